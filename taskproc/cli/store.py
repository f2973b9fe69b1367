"""The subcommands that look at a cache: `list`, `check` and `clear`. They load no script, and no result."""
from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from taskproc.cli.options import Parser
from taskproc.cli.usage import DONE, FAILED, UsageError, say, tell
from taskproc.frozen import replace
from taskproc.store import layout
from taskproc.store.base import Place
from taskproc.store.cache import is_cache, prepare
from taskproc.store.check import check
from taskproc.store.disk import DiskStore
from taskproc.store.rules import checked
from taskproc.text import printable

_LONGEST = 100  # characters of a task's arguments that are shown


@dataclass
class Holding:
    """What a cache holds of one task class: tasks with a result, bytes of all files, wall time of the newest result."""

    tasks: int = 0
    size: int = 0
    newest: float = 0.0


def list_command(prog: str, words: Sequence[str]) -> int:
    """`list -o DIR`: a line per task class; `list -o DIR NAME`: a line per task of one."""
    text = "Show what a cache holds: a line per task class, or per task of the class NAME, with its id."
    parser = Parser(prog=prog, description=text)
    parser.add_argument("-o", "--output", metavar="DIR", required=True, help="the cache folder")
    parser.add_argument("name", metavar="NAME", nargs="?", help="a task class, as `list` shows it")
    given = parser.parse_intermixed_args(words)
    store = opened(given.output)
    if given.name is None:
        _show(("task", "results", "size", "newest"), _class_rows(store))
    else:
        _show(("id", "results", "size", "newest", "arguments"), _task_rows(store, given.name))
    return DONE


def _class_rows(store: DiskStore) -> list[tuple[str, ...]]:
    return [
        (printable(name), f"{each.tasks:,}", size_text(each.size), time_text(each.newest))
        for name, each in sorted(holdings(store).items())
    ]


def _task_rows(store: DiskStore, shown: str) -> list[tuple[str, ...]]:
    """Of each task of a class id, versions, size, time and arguments, newest first."""
    name, ids = _ids(store, shown)
    found = []
    for number in sorted(ids, key=int):
        path = layout.place_path(store.root, Place(name, int(number), ""))
        holding = _holding(path)
        versions = len(layout.numbers(store.names(path))["result"])
        row = (number, f"{versions:,}", size_text(holding.size), time_text(holding.newest), _arguments_of(path))
        found.append((holding.newest, row))
    return [row for _, row in sorted(found, key=lambda each: -each[0])]


def _arguments_of(path: str) -> str:
    """`n=6, k=3`, as args.json has it; empty if that is torn or gone."""
    try:
        arguments = json.loads(Path(path, layout.ARGUMENTS).read_text("utf-8"))["args"]
        text = ", ".join(f"{name}={json.dumps(value)}" for name, value in arguments.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
    return printable(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…")


def _show(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """A table: the first column to the left, the last as it is, the others to the right."""
    table = [head, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(head) - 1)]
    for first, *middle, last in table:
        cells = [f"{cell:>{width}}" for cell, width in zip(middle, widths[1:])]
        tell("  ".join([f"{first:<{widths[0]}}", *cells, last]).rstrip())


def clear_command(prog: str, words: Sequence[str]) -> int:
    """`clear -o DIR NAME [ID …]`: forget the results of a class, or of some tasks; nothing, if one is not there."""
    usage = "%(prog)s -o DIR NAME [ID …]"
    parser = Parser(prog=prog, usage=usage, description="Forget results: of a whole task class, or of some tasks.")
    parser.add_argument("-o", "--output", metavar="DIR", required=True, help="the cache folder")
    what = "the task class as `list` shows it, and ids of its tasks; without an id, all of them"
    parser.add_argument("what", metavar="NAME [ID …]", nargs="*", help=what)
    given = parser.parse_intermixed_args(words)
    if not given.what:
        raise UsageError("clear what? Give the name of a task class, as `list` shows it")
    name, *ids = given.what
    store = opened(given.output)
    name, there = _ids(store, name)
    if unknown := [number for number in ids if number not in there]:
        raise UsageError(f"{name} has no task {unknown[0]!r}; nothing was cleared")
    if not ids:
        store.clear_all(name)
        tell(f"cleared {printable(name)}: {_tasks(len(there))}")
    for number in ids:
        store.clear(Place(name, int(number), ""))
        tell(f"cleared {printable(name)} {number}")
    return DONE


def check_command(prog: str, words: Sequence[str]) -> int:
    """`check -o DIR`: a line for all that is not as it should be, and how much of each kind."""
    parser = Parser(prog=prog, description="Read all of a cache, and tell what is damaged, dead, foreign or left over.")
    parser.add_argument("-o", "--output", metavar="DIR", required=True, help="the cache folder")
    store = opened(parser.parse_args(words).output)
    counts: dict[str, int] = {}
    for finding in check(store):
        counts[finding.kind] = counts.get(finding.kind, 0) + 1
        path = os.path.relpath(finding.path, store.root)
        tell(f"{finding.kind:<8}  {printable(path)}  {printable(finding.text)}")
    results = sum(each.tasks for each in holdings(store).values())
    found = ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items())) or "nothing wrong"
    say(f"{_tasks(results)} with a result; {found}")
    return FAILED if "damaged" in counts else DONE


def opened(path: str) -> DiskStore:
    """The store of a cache that exists; nothing is made. UsageError if there is none."""
    if not is_cache(path):
        raise UsageError(f"no cache at {path!r}")
    rules = checked("result", 0, None, False)
    return DiskStore(os.path.abspath(path), rules=replace(rules, refusal=prepare(Path(path))))


def holdings(store: DiskStore) -> dict[str, Holding]:
    """Task class → what there is of it. Costs a listing a task and a stat a file; no file is opened."""
    found: dict[str, Holding] = {}
    for name, number in store.places():
        holding = found.setdefault(name, Holding())
        one = _holding(layout.place_path(store.root, Place(name, number, "")))
        holding.size += one.size
        holding.tasks += one.tasks
        holding.newest = max(holding.newest, one.newest)
    return found


def _holding(place: str) -> Holding:
    """What there is of one task."""
    found = Holding()
    for path in _files(place):
        try:
            status = os.stat(path)
        except OSError:
            continue  # cleared while we look
        found.size += status.st_size
        if os.path.basename(path).startswith("result."):
            found.newest = max(found.newest, status.st_mtime)
    found.tasks = int(found.newest > 0)
    return found


def _files(path: str) -> list[str]:
    return [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]


def _ids(store: DiskStore, shown: str) -> tuple[str, set[str]]:
    """The name of a class of which there is something, as it is or as `list` shows it, and the ids of its tasks."""
    everything = list(store.places())
    name = next((known for known, _ in everything if printable(known) == shown), shown)
    found = {str(number) for known, number in everything if known == name}
    if not found:
        names = sorted({printable(known) for known, _ in everything})
        there = f"; it has {', '.join(names)}" if names else ": it is empty"
        raise UsageError(f"the cache has nothing of {name!r}{there}")
    return name, found


def _tasks(count: int) -> str:
    return f"{count:,} task{'' if count == 1 else 's'}"


def size_text(size: float) -> str:
    """`12 B`, `3.4 kB`, `1.2 GB`."""
    if size < 1000:
        return f"{size:.0f} B"
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:,.1f} TB"


def time_text(when: float) -> str:
    """Local date and time to the minute, `-` for never."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(when)) if when else "-"
