"""The subcommands that look at a cache: `list`, `check` and `clear`. They load no script, and no result."""
from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from taskproc.cli.options import Parser
from taskproc.cli.usage import DONE, FAILED, UsageError, say, tell
from taskproc.store import layout
from taskproc.store.base import Place
from taskproc.store.cache import is_cache, prepare
from taskproc.store.check import check
from taskproc.store.disk import DiskStore
from taskproc.store.rules import checked
from taskproc.text import printable


@dataclass
class Holding:
    """What a cache holds of one task class: tasks with a result, bytes of all files, wall time of the newest result."""

    tasks: int = 0
    size: int = 0
    newest: float = 0.0


def list_command(prog: str, words: Sequence[str]) -> int:
    """`list -o DIR`: a line per task class."""
    parser = Parser(prog=prog, description="Show what a cache holds: a line per task class.")
    parser.add_argument("-o", "--output", metavar="DIR", required=True, help="the cache folder")
    store = opened(parser.parse_args(words).output)
    found = holdings(store)
    rows = [
        (printable(name), f"{each.tasks:,}", size_text(each.size), time_text(each.newest))
        for name, each in sorted(found.items())
    ]
    rows.insert(0, ("task", "results", "size", "newest"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for name, count, size, newest in rows:
        tell(f"{name:<{widths[0]}}  {count:>{widths[1]}}  {size:>{widths[2]}}  {newest}")
    return DONE


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
        results = 0.0
        for path in _files(layout.place_path(store.root, Place(name, number, ""))):
            try:
                status = os.stat(path)
            except OSError:
                continue  # cleared while we look
            holding.size += status.st_size
            if os.path.basename(path).startswith("result."):
                results = max(results, status.st_mtime)
        holding.tasks += results > 0
        holding.newest = max(holding.newest, results)
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
