"""The soak: every fault class F1 to F17 at its full figure, as a table. `python -m tests.fault.soak --minutes 30`."""
from __future__ import annotations

import argparse
import importlib
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from tests.fault.rows import ROOT, Row, say, settings

# Module → its fault classes. The open-ended ones share the time; the others take what they need.
MODULES = {
    "soak_identity": ("F8",),
    "soak_rest": ("F8", "F9", "F11", "F12", "F13", "F14", "F15", "F16"),
    "soak_deaths": ("F1", "F2", "F10"),
    "soak_edits": ("F17",),
    "soak_many": ("F5", "F6"),
    "soak_store": ("F1", "F3", "F4", "F7"),
}
OPEN_ENDED = ("soak_deaths", "soak_many", "soak_store")
CLASSES = tuple(f"F{number}" for number in range(1, 18))

INTRODUCTION = """\
# Reliability

A cache of taskproc never gives a wrong answer.
A run may be ended at any moment, by anything; the next run continues from there without manual repair.
This page defines this promise, describes how it is tested, and shows the measurements of the last long test.

## What is promised

- Every result is verified before a byte of it is unpickled; a damaged result is computed again.
- A run that is killed, or runs out of disk space, leaves nothing half visible.
  Its finished results are not computed again.
- An error names the task that failed, with the cause and the path.
- Any number of processes and hosts may work on one folder.
- No decision depends on a clock, on the time of a file, or on a process that is still alive.
  The change time of a folder can only save a second look at it.
- No name, argument or path is read by a shell, or creates a file outside the cache.

Files that a task wrote into its `task_directory` are listed with digests when the task has ended, up to 1 GB.
They are not verified when they are read.

## How it is tested

Faults are enumerated where that is possible; otherwise they are drawn at random, with a seed that is printed.
A run is killed, and gets an error, at every operation that changes a file.
A result is cut to every length, and every file of a cache is lost, damaged and swapped.
The right answers come from outside the cache.
Values are computed without taskproc, and the tasks write a log of their executions.
Small projects are run, edited, and run again with their cache and with an empty one (`tests/source/corpus`).
The two answers must be equal, or the run must report the code that it cannot watch.

The quick part runs with the tests.
The long part prints the table below:

```sh
python -m tests.fault.soak --minutes 30 --output docs/reliability.md
```

`--only F3,F7` runs some fault classes; `--seed` draws other random faults.
The exit code is 1 if a row is not met; a row that could not be run here is not met.

## What was measured
"""


def main(words: Sequence[str] | None = None) -> int:
    """Run the soak; 0 if every row is met."""
    # In the background of a shell these are ignored, and would be in all that is started here
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    options = _options(words)
    settings.seed, settings.only = options.seed, frozenset(filter(None, options.only.split(",")))
    started = time.monotonic()
    found = all_rows(options.minutes)
    text = table(found, (time.monotonic() - started) / 60)
    print(text)
    if options.output:
        Path(options.output).write_text(f"{INTRODUCTION}\n{text}\n", encoding="utf-8")
    return 0 if all(row[4] for row in found) else 1


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fault.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="for what is open-ended; the rest takes its time")
    parser.add_argument("--only", default="", help="fault classes, as F3,F7; default: all")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of what is drawn at random")
    parser.add_argument("--output", help="also write the page with the table to this file")
    options = parser.parse_args(words)
    if unknown := {*filter(None, options.only.split(","))}.difference(CLASSES):
        parser.error(f"no such fault class: {', '.join(sorted(unknown))}")
    return options


def all_rows(minutes: float) -> list[Row]:
    """The rows of all modules that are asked for, in the order of their fault classes."""
    wanted = {name: classes for name, classes in MODULES.items() if settings.wants(*classes)}
    shares = sum(name in OPEN_ENDED for name in wanted)
    found: list[Row] = []
    for name, classes in wanted.items():
        say(name)
        rows = [row for row in rows_of(name, classes, minutes / max(1, shares)) if settings.wants(row[0])]
        for row in rows:
            say(*row)  # the table comes at the end, and may not come
        found += rows
    return sorted(found, key=lambda row: int(row[0][1:]))


def rows_of(name: str, classes: Sequence[str], minutes: float) -> list[Row]:
    """The rows of one module; one that is not there, or breaks, has rows that say so."""
    try:
        return list(importlib.import_module(f"tests.fault.{name}").rows(minutes))
    except ModuleNotFoundError as error:
        if error.name != f"tests.fault.{name}":
            raise
        return _no_rows(name, classes, "not run")
    except Exception as error:
        say(name, "FAULT", f"{type(error).__name__}: {error}")
        return _no_rows(name, classes, f"it crashed: {type(error).__name__}")


def _no_rows(name: str, classes: Sequence[str], why: str) -> list[Row]:
    return [(each, f"all of tests.fault.{name}", "", why, False) for each in classes]


def table(found: Sequence[Row], minutes: float) -> str:
    """The rows as Markdown, below the circumstances."""
    now, python = datetime.now(timezone.utc), platform.python_version()
    lines = [
        f"{now:%Y-%m-%d %H:%M} UTC, commit {_commit()}, Python {python}, {_machine()}.",
        f"Seed {settings.seed}, {minutes:.0f} minutes.",
        "",
        "| class | what was done | required | measured | met |",
        "|---|---|---|---|---|",
    ]
    for kind, done, required, measured, ok in found:
        cells = [kind, done, required, measured, "yes" if ok else "**no**"]
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines)


def _commit() -> str:
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    changed = " with changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    return (git("rev-parse", "--short", "HEAD") or "unknown") + changed


def _machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores, {_file_system()}, {platform.system()} {platform.release()}"


def _file_system() -> str:
    """What the temporary folder lies on."""
    place, kind = os.path.realpath(tempfile.gettempdir()), ("", "an unknown file system")
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return kind[1]
    for _, point, name, *_ in mounts:
        if os.path.commonpath([place, point]) == point and len(point) > len(kind[0]):
            kind = (point, name)
    return kind[1]


if __name__ == "__main__":
    sys.exit(main())
