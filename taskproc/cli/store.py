"""The subcommands that look at a cache: `list`, `check` and `clear`. They load no script, and no result."""
from __future__ import annotations

import math
import os
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from taskproc.cli.holdings import Stored, holdings, stored
from taskproc.cli.meter import Meter
from taskproc.cli.usage import DONE, FAILED, UsageError, say, tell
from taskproc.errors import CacheError
from taskproc.folders import absolute
from taskproc.frozen import replace
from taskproc.store import layout
from taskproc.store.cache import is_cache, prepare_cache
from taskproc.store.check import check
from taskproc.store.disk import DiskStore
from taskproc.store.folder import refuse_links
from taskproc.store.layout import FEWEST_DIGITS, ShortIds, key_digits, matching_ids
from taskproc.store.rules import checked_rules
from taskproc.store.trash import discard, empty_trash
from taskproc.text import counted, cut_to, did_you_mean, padded, printable, size_text, terminal_width, width_of


def list_command(given: Namespace) -> int:
    """`list -o DIR`: a line per task class; with a NAME a line per task of one; with ids all that is known of these."""
    store = opened(given.output)
    words = list[str](given.what)
    if not words:
        _show(("task", "results", "size", "newest"), _class_rows(store))
        _tell_of_links(store)
        return DONE
    folder, there = _class(store, words[0])
    chosen = [_meant(word, folder, there) for word in words[1:]]
    tasks = stored(store, folder, chosen or there)
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


def _tell_of_links(store: DiskStore) -> None:
    """What is a link is not looked into; somebody may miss it."""
    names = [name for name in store.files.listdir(store.root) if store.files.kind(store.root, name) == "link"]
    if names:
        say(f"not followed: {', '.join(sorted(names))} ({'a link' if len(names) == 1 else 'links'})")


def _task_rows(tasks: Sequence[Stored], ids: ShortIds) -> list[tuple[str, ...]]:
    """Of each task its short id, versions, size, time and arguments, newest first.

    Arguments in which tasks differ come first: where a line is cut, it still tells them apart.
    """
    alike = _alike(tasks)
    return [
        (
            ids.of(key_digits(task.id)),
            f"{task.results:,}",
            size_text(task.holding.size),
            time_text(task.holding.newest),
            ", ".join(f"{name}={value}" for name, value in task.arguments.texts(ids, last=alike).items()),
        )
        for task in sorted(tasks, key=lambda task: (-task.holding.newest, task.id))
    ]


def _alike(tasks: Sequence[Stored]) -> frozenset[str]:
    """Names of the arguments that are the same in all tasks."""
    first, *others = (task.arguments.forms for task in tasks)
    return frozenset(name for name in first if all(name in each and each[name] == first[name] for each in others))


def _show_task(task: Stored, ids: ShortIds) -> None:
    """All that is known of a task without loading a result, and its arguments, each in a line."""
    tell(f"{printable(task.name)}#{ids.of(key_digits(task.id))}")
    facts = {
        "id": str(task.id),
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


def clear_command(given: Namespace) -> int:
    """`clear -o DIR NAME [ID …]`: forget the results of a class, or of some tasks; nothing, if one is not there.

    Then remove all that lies in the trash, also what others left there; without a name only that.
    """
    store = opened(given.output, writes=True)
    if not given.what:
        if not store.names("trash"):
            raise UsageError("clear what? Give the name of a task class, as `list` shows it")
    else:
        _forget(store, *given.what)
    _empty_trash(store)
    return DONE


def _forget(store: DiskStore, shown: str, *ids: str) -> None:
    """Move the results of a class, or of some tasks of it, into the trash."""
    folder, there = _class(store, shown)
    name = printable(layout.folder_task_name(folder))
    numbers = [_meant(word, folder, there, "; nothing was cleared") for word in ids]
    if not ids:
        discard(store, folder)
        tell(f"cleared {name}: {counted(len(there), 'task')}")
    for word, number in zip(ids, numbers):
        discard(store, folder, "results", str(number))
        tell(f"cleared {name} {printable(word)}")
    sys.stdout.flush()  # this much is done; what follows may take long, and may be interrupted


def _empty_trash(store: DiskStore) -> None:
    """Remove all that was cleared, and say how far that is."""
    meter, removed = Meter(), 0

    def note(count: int) -> None:
        nonlocal removed
        removed = count
        meter.show(lambda: f"emptying the trash: {_files(count)} removed")

    try:
        is_empty = empty_trash(store, seconds=math.inf, tell=note)
    except KeyboardInterrupt:
        meter.wipe()
        say(f"{_files(removed)} removed from the trash; the next clear removes the rest")
        raise
    meter.wipe()
    if is_empty:
        say(f"emptied the trash: {_files(removed)} removed")
    elif store.witness.others():
        say("a run is at work, and may read what was cleared: it stays in the trash until the next clear")
    else:
        say(f"{_files(removed)} removed from the trash; some of it cannot be removed")


def check_command(given: Namespace) -> int:
    """`check -o DIR`: a line for all that is not as it should be, and how much of each kind."""
    store = opened(given.output)
    counts: dict[str, int] = {}
    meter = Meter()
    total = sum(1 for _ in store.places()) if meter.moves else 0
    looked, results = 0, 0

    def note(has_result: bool) -> None:
        nonlocal looked, results
        looked, results = looked + 1, results + has_result
        if meter.moves:
            meter.show(lambda: f"checking: {looked:,} of {counted(total, 'task')}, {looked / max(total, looked):.0%}")

    for finding in check(store, note):
        meter.wipe()
        counts[finding.kind] = counts.get(finding.kind, 0) + 1
        path = os.path.relpath(finding.path, store.root)
        tell(f"{finding.kind:<8}  {printable(path)}  {printable(finding.text)}")
    meter.wipe()
    found = ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items())) or "nothing wrong"
    say(f"{counted(results, 'task')} with a result; {found}")
    return FAILED if "damaged" in counts else DONE


def opened(path: str, *, writes: bool = False) -> DiskStore:
    """The store of a cache that exists; nothing is made. UsageError if there is none.

    Args:
        writes: refuse a cache in which taskproc would have to follow a link.
    """
    root = absolute(path, CacheError)
    if not is_cache(path):
        raise UsageError(f"no cache at {path!r}")
    rules = checked_rules("result", 0, None, False)
    if writes:
        refuse_links(Path(root))
        rules = replace(rules, refusal=prepare_cache(Path(root)))
    return DiskStore(root, rules=rules)


def _meant(word: str, folder: str, there: Sequence[int], otherwise: str = "") -> int:
    """The one task of a class that a word means: its id, or the first digits of its key. UsageError names what may be.

    Args:
        otherwise: what is said after an error.
    """
    numbers = sorted(matching_ids(word, there))
    if len(numbers) == 1:
        return numbers[0]
    shown = printable(layout.folder_task_name(folder))
    ids = ShortIds(map(key_digits, there))
    if not numbers:
        digits = word.rpartition("#")[2].lower()
        begun = [number for number in there if digits and key_digits(number).startswith(digits)]
        short = f": an id has at least {FEWEST_DIGITS} digits, such as {ids.of(key_digits(begun[0]))}" if begun else ""
        raise UsageError(f"{shown} has no task {word!r}{short}{otherwise}")
    several = ", ".join(f"#{ids.of(key_digits(number))} ({number})" for number in numbers)
    raise UsageError(f"{word!r} may be any of {len(numbers)} tasks of {shown}: {several}{otherwise}")


def _class(store: DiskStore, shown: str) -> tuple[str, list[int]]:
    """The folder of a class of which there is something, and the ids of its tasks; as it is named, or `list` shows it.
    """
    classes = {folder: layout.folder_task_name(folder) for folder in store.files.listdir(store.root)}
    known = [folder for folder, name in classes.items() if shown in (name, printable(name))]
    for folder in known:
        if ids := store.ids(folder):
            return folder, ids
        store.names(folder, "results")  # a link is refused
    names = sorted({printable(name) for folder, name in classes.items() if store.ids(folder)})
    there = f"; it has {', '.join(names)}" if names else ": it is empty"
    raise UsageError(f"the cache has nothing of {shown!r}{there}{did_you_mean(shown, names)}")


def _files(count: int) -> str:
    return counted(count, "file")


def time_text(when: float) -> str:
    """Local date and time to the minute, `-` for never."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(when)) if when else "-"
