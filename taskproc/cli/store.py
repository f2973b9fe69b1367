"""The subcommands that look at a cache: `list`, `check` and `clear`. They load no script, and no result."""
from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from taskproc.cli.arguments import Arguments
from taskproc.cli.options import Parser
from taskproc.cli.usage import DONE, FAILED, UsageError, say, tell
from taskproc.errors import CacheError
from taskproc.folders import absolute
from taskproc.frozen import replace
from taskproc.store import layout
from taskproc.store.base import Place
from taskproc.store.cache import is_cache, prepare
from taskproc.store.check import check
from taskproc.store.disk import DiskStore
from taskproc.store.ids import FEWEST, ShortIds, id_matches, key_digits
from taskproc.store.rules import checked
from taskproc.text import counted, cut_to, did_you_mean, padded, printable, terminal_width, width_of


@dataclass
class Holding:
    """What a cache holds of one task class: tasks with a result, bytes of all files, wall time of the newest result."""

    tasks: int = 0
    size: int = 0
    newest: float = 0.0


def list_command(prog: str, words: Sequence[str]) -> int:
    """`list -o DIR`: a line per task class; with a NAME a line per task of one; with ids all that is known of these."""
    text = "Show what a cache holds: a line per task class, or per task of the class NAME with its id and arguments."
    parser = Parser(prog=prog, usage="%(prog)s -o DIR [NAME [ID …]]", description=text)
    parser.add_argument("-o", "--output", metavar="DIR", required=True, help="the cache folder")
    parser.add_argument("what", metavar="NAME [ID …]", nargs="*",
                        help="a task class as `list` shows it; ids of its tasks, to show all that is known of these")
    given = parser.parse_intermixed_args(words)
    store = opened(given.output)
    words = list[str](given.what)
    if not words:
        _show(("task", "results", "size", "newest"), _class_rows(store))
        return DONE
    name, there = _ids(store, words[0])
    chosen = [_meant(word, name, there) for word in words[1:]]
    tasks = [_Stored(store, Place(name, number, "")) for number in chosen or there]
    ids = ShortIds(chain(map(key_digits, there), *(task.arguments.keys() for task in tasks)))
    if chosen:
        for task in tasks:
            _show_task(task, ids)
    else:
        _show(("id", "results", "size", "newest", "arguments"), _task_rows(tasks, ids))
    return DONE


def _class_rows(store: DiskStore) -> list[tuple[str, ...]]:
    return [
        (printable(name), f"{each.tasks:,}", size_text(each.size), time_text(each.newest))
        for name, each in sorted(holdings(store).items())
    ]


class _Stored:
    """What there is of one task."""

    def __init__(self, store: DiskStore, place: Place):
        self.place = place
        self.path = layout.place_path(store.root, place)
        self.holding = _holding(self.path)
        self.results = len(layout.numbers(store.names(self.path))["result"])
        self.arguments = Arguments(self.path)


def _task_rows(tasks: Sequence[_Stored], ids: ShortIds) -> list[tuple[str, ...]]:
    """Of each task its short id, versions, size, time and arguments, newest first.

    Arguments in which tasks differ come first: where a line is cut, it still tells them apart.
    """
    alike = _alike(tasks)
    return [
        (
            ids.of(key_digits(task.place.id)),
            f"{task.results:,}",
            size_text(task.holding.size),
            time_text(task.holding.newest),
            ", ".join(f"{name}={value}" for name, value in task.arguments.texts(ids, last=alike).items()),
        )
        for task in sorted(tasks, key=lambda task: (-task.holding.newest, task.place.id))
    ]


def _alike(tasks: Sequence[_Stored]) -> frozenset[str]:
    """Names of the arguments that are the same in all tasks."""
    first, *others = (task.arguments.forms for task in tasks)
    return frozenset(name for name in first if all(name in each and each[name] == first[name] for each in others))


def _show_task(task: _Stored, ids: ShortIds) -> None:
    """All that is known of a task without loading a result, and its arguments, each in a line."""
    name, number = printable(task.place.name), task.place.id
    tell(f"{name}#{ids.of(key_digits(number))}")
    facts = {
        "id": str(number),
        "folder": printable(os.path.relpath(task.path)),
        "results": f"{task.results:,}, {size_text(task.holding.size)}, newest {time_text(task.holding.newest)}",
    }
    arguments = task.arguments.texts(ids)
    width = max(map(width_of, [*facts, *arguments]))
    for key, value in [*facts.items(), *arguments.items()]:
        tell(f"  {padded(key, width)}  {value}")


def _show(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """A table: the first column to the left, the last as it is, the others to the right.

    On a terminal a line is cut at its end, in a pipe it is whole.
    """
    columns = terminal_width(sys.stdout)
    table = [head, *rows]
    widths = [max(width_of(row[column]) for row in table) for column in range(len(head) - 1)]
    for first, *middle, last in table:
        cells = [f"{cell:>{width}}" for cell, width in zip(middle, widths[1:])]
        tell(cut_to("  ".join([padded(first, widths[0]), *cells, last]).rstrip(), columns))


def clear_command(prog: str, words: Sequence[str]) -> int:
    """`clear -o DIR NAME [ID …]`: forget the results of a class, or of some tasks; nothing, if one is not there."""
    usage = "%(prog)s -o DIR NAME [ID …]"
    parser = Parser(prog=prog, usage=usage, description="Forget results: of a whole task class, or of some tasks.")
    parser.add_argument("-o", "--output", metavar="DIR", required=True, help="the cache folder")
    what = "the task class as `list` shows it, and ids of its tasks, without a `#`; without an id, all of them"
    parser.add_argument("what", metavar="NAME [ID …]", nargs="*", help=what)
    given = parser.parse_intermixed_args(words)
    if not given.what:
        raise UsageError("clear what? Give the name of a task class, as `list` shows it")
    name, *ids = given.what
    store = opened(given.output)
    name, there = _ids(store, name)
    numbers = [_meant(word, name, there, "; nothing was cleared") for word in ids]
    if not ids:
        store.clear_all(name)
        tell(f"cleared {printable(name)}: {counted(len(there), 'task')}")
    for word, number in zip(ids, numbers):
        store.clear(Place(name, number, ""))
        tell(f"cleared {printable(name)} {printable(word)}")
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
    say(f"{counted(results, 'task')} with a result; {found}")
    return FAILED if "damaged" in counts else DONE


def opened(path: str) -> DiskStore:
    """The store of a cache that exists; nothing is made. UsageError if there is none."""
    place = absolute(path, CacheError)
    if not is_cache(path):
        raise UsageError(f"no cache at {path!r}")
    rules = checked("result", 0, None, False)
    return DiskStore(place, rules=replace(rules, refusal=prepare(Path(path))))


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


def _meant(word: str, name: str, there: Sequence[int], otherwise: str = "") -> int:
    """The one task of a class that a word means: its id, or the first digits of its key. UsageError names what may be.

    Args:
        otherwise: what is said after an error.
    """
    numbers = id_matches(word, there)
    if len(numbers) == 1:
        return numbers[0]
    shown = printable(name)
    ids = ShortIds(map(key_digits, there))
    if not numbers:
        digits = word.rpartition("#")[2].lower()
        begun = [number for number in there if digits and key_digits(number).startswith(digits)]
        short = f": an id has at least {FEWEST} digits, such as {ids.of(key_digits(begun[0]))}" if begun else ""
        raise UsageError(f"{shown} has no task {word!r}{short}{otherwise}")
    several = ", ".join(f"#{ids.of(key_digits(number))} ({number})" for number in numbers)
    raise UsageError(f"{word!r} may be any of {len(numbers)} tasks of {shown}: {several}{otherwise}")


def _ids(store: DiskStore, shown: str) -> tuple[str, list[int]]:
    """The name of a class of which there is something, as it is or as `list` shows it, and the ids of its tasks."""
    everything = list(store.places())
    name = next((known for known, _ in everything if printable(known) == shown), shown)
    found = sorted(number for known, number in everything if known == name)
    if not found:
        names = sorted({printable(known) for known, _ in everything})
        there = f"; it has {', '.join(names)}" if names else ": it is empty"
        raise UsageError(f"the cache has nothing of {name!r}{there}{did_you_mean(name, names)}")
    return name, found


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
