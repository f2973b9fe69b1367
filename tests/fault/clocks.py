"""Runs under clocks that lie, and over files with times that do: what was fresh stays so, what is not is run again."""
from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from taskproc import Cache, LocalExecutor
from tests.fault import journal
from tests.fault.forks import forked
from tests.fault.graphs import Total, expected

Clock = Callable[[], float]
HOUR, YEAR = 3600.0, 365.0 * 86400
_true = time.time

# Two moments that a local clock shows in the wrong order: the second lies 40 minutes after the first
_FOLD = (1792888200.0, 1792890600.0)  # 2026-10-25 02:30 in summer time and 02:10 in winter time, in Berlin


def _run(folder: Path, clock: Clock, clears: bool, zone: str) -> object:
    os.environ["TZ"] = zone
    time.tzset()
    journal.begin(folder)
    time.time = clock
    time.time_ns = lambda: int(clock() * 1e9)
    with Cache(folder / "cache"):
        task = Total(1)
        if clears:
            task.words.clear_task()  # type: ignore[attr-defined]
        return task.run_graph(executor=LocalExecutor())[0]


def trial(folder: Path, first: Clock, then: Clock, change: Callable[[Path], object], zone: str = "UTC") -> list[str]:
    """What is wrong with a run, one after a change, one after its input was cleared, and one after that."""
    faults = []
    for name, clock, clears, times in (
        ("first", first, False, 1),
        ("second", then, False, 1),
        ("third", then, True, 2),
        ("fourth", first, False, 2),
    ):
        if forked(_run, folder, clock, clears, zone).value() != expected(1):
            faults.append(f"a wrong answer of the {name} run")
        ran = journal.counts(folder / "journal")
        if [ran["start Words 1"], ran["start Total 1"]] != [times, times]:
            faults.append(f"after the {name} run: {dict(ran)} instead of {times} each")
        change(folder)
    return faults


def _set_times(folder: Path, change: Callable[[float], float]) -> None:
    for path in [folder / "cache", *(folder / "cache").rglob("*")]:
        now = change(path.stat().st_mtime)
        os.utime(path, (now, now))


def _backwards(folder: Path) -> None:
    """What was made first looks newest."""
    times = itertools.count(1_900_000_000, -100)
    for path in sorted((folder / "cache").rglob("*"), key=lambda path: path.stat().st_mtime_ns):
        now = next(times)
        os.utime(path, (now, now))


def _copy(folder: Path) -> None:
    shutil.rmtree(folder / "copy", ignore_errors=True)
    shutil.copytree(folder / "cache", folder / "copy", copy_function=shutil.copyfile)
    shutil.rmtree(folder / "cache")
    (folder / "copy").rename(folder / "cache")


def _nothing(folder: Path) -> None:
    """Leave the files as they are."""


def _jumping() -> Clock:
    jumps = itertools.cycle([0.0, HOUR, -HOUR, 10 * YEAR, -30 * YEAR])
    return lambda: _true() + next(jumps)


CELLS: dict[str, Callable[[Path], list[str]]] = {
    "all files of 1970": lambda folder: trial(folder, _true, _true, lambda at: _set_times(at, lambda then: 0.0)),
    "all files ten years ahead": lambda folder: trial(
        folder, _true, _true, lambda at: _set_times(at, lambda then: then + 10 * YEAR)
    ),
    "times to 2 s": lambda folder: trial(folder, _true, _true, lambda at: _set_times(at, lambda then: then // 2 * 2)),
    "times in the wrong order": lambda folder: trial(folder, _true, _true, _backwards),
    "copied without times": lambda folder: trial(folder, _true, _true, _copy),
    "an hour back": lambda folder: trial(folder, _true, lambda: _true() - HOUR, _nothing),
    "an hour ahead": lambda folder: trial(folder, _true, lambda: _true() + HOUR, _nothing),
    "an hour back for the files, too": lambda folder: trial(
        folder, _true, lambda: _true() - HOUR, lambda at: _set_times(at, lambda then: then - HOUR)
    ),
    "jumping during runs": lambda folder: trial(folder, _jumping(), _jumping(), _nothing),
    "the hour that comes twice": lambda folder: trial(
        folder, lambda: _FOLD[0], lambda: _FOLD[1], _nothing, "Europe/Berlin"
    ),
}


def cell(folder: Path, name: str) -> list[str]:
    """What is wrong in one of the CELLS; nothing, if all is well."""
    return CELLS[name](folder)
