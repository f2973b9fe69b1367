"""The soak of edits: the whole corpus, on this Python, the oldest and the newest that are at hand."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from shutil import which

from tests.fault.rows import ROOT, Row, folder, guarded, row_of, say
from tests.source.corpus.scenario import themes

CLASSES = ("F17",)
PYTHONS = "TASKPROC_PYTHONS"  # in the environment: interpreters that have what the corpus needs, as in PATH
NEEDED = "cloudpickle jsonargparse rich typing-extensions attrs numpy pandas pydantic".split()
REQUIRED = "0 silent, 0 wrong but for what is confessed in the same run"
_ASK = "import sys, venv; print(*sys.version_info[:2], sys.version_info >= (3, 10))"


def rows(minutes: float) -> list[Row]:
    """One for each theme; a minute for each Python."""
    del minutes
    return guarded("F17", "a corpus of edits", _rows)


def _rows() -> list[Row]:
    with folder() as place:
        found = {version: list(plays(python)) for version, python in interpreters(place)}
    return [row_of_theme(theme, found) for theme in themes()]


def row_of_theme(theme: str, found: dict[str, list[dict[str, str]]]) -> Row:
    """What became of the scenarios of a theme. `found`: version of Python → plays, as the player tells them."""
    faults, parts = [f"nothing was played on {version}" for version, each in found.items() if not each], []
    for version, every in found.items():
        plays = [each for each in every if each["theme"] == theme]
        counts = Counter(each["verdict"] for each in plays)
        parts.append(f"{version}: {len(plays)} plays, " + ", ".join(
            f"{counts[verdict]} {verdict}" for verdict in ("silent", "confessed", "needless")))
        faults += [f"{each['verdict']} on {version}: {each['where']} {each['name']}: {each['detail'][-200:]}"
                   for each in plays if each["verdict"] in ("silent", "broken")]
    return row_of("F17", f"projects run, edited and run again: {theme}", REQUIRED, faults, "; ".join(parts))


def plays(python: str) -> Iterator[dict[str, str]]:
    """What became of each scenario under an interpreter."""
    say("F17", python)
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [python, "-m", "tests.source.corpus", "--json"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    if done.stderr.strip():
        say("F17", done.stderr[-2000:])
    yield from map(json.loads, done.stdout.splitlines())


def interpreters(place: Path) -> list[tuple[str, str]]:
    """(version, path): this Python, the oldest and the newest; with what they need, in `place` where they lack it."""
    here = "{}.{}".format(*sys.version_info[:2])
    known = {here: sys.executable}
    listed = list(filter(None, os.environ.get(PYTHONS, "").split(os.pathsep)))
    others = {version: path for path in listed or _at_hand() if (version := _version(path)) and version != here}
    for version in sorted({*_ends(list(others))} if not listed else others, key=_number):
        known[version] = others[version] if listed else _with_needs(others[version], place / version)
    return sorted(known.items(), key=lambda each: _number(each[0]))


def _number(version: str) -> int:
    return int(version.partition(".")[2])


def _ends(versions: Sequence[str]) -> list[str]:
    ordered = sorted(versions, key=_number)
    return [*ordered[:1], *ordered[-1:]]


def _at_hand() -> list[str]:
    homes = sorted((Path.home() / ".pyenv" / "versions").glob("3.*/bin/python"))
    return [*map(str, homes), *filter(None, (which(f"python3.{minor}") for minor in range(10, 20)))]


def _version(python: str) -> str:
    """Of one that works, and is new enough; else nothing."""
    try:
        done = subprocess.run([python, "-c", _ASK], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    words = done.stdout.split()
    return ".".join(words[:2]) if done.returncode == 0 and words[-1:] == ["True"] else ""


def _with_needs(python: str, place: Path) -> str:
    subprocess.run([python, "-m", "venv", str(place)], check=True, capture_output=True)
    made = str(place / "bin" / "python")
    subprocess.run([made, "-m", "pip", "install", "--quiet", *NEEDED], check=True, stdout=subprocess.DEVNULL)
    return made
