"""The commands `list`, `check` and `clear`. They load no script and no result, and follow no link."""
from __future__ import annotations

import math
import os
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TextIO

from taskproc.cli.argument_texts import Arguments
from taskproc.cli.usage import DONE, FAILED, UsageError, say, tell
from taskproc.errors import CacheError
from taskproc.folders import absolute_path
from taskproc.frozen import replace
from taskproc.store import layout
from taskproc.store.cache import is_cache, prepare_cache
from taskproc.store.check import check
from taskproc.store.disk import DiskStore
from taskproc.store.files import Folder
from taskproc.store.folder import refuse_links
from taskproc.store.layout import FEWEST_DIGITS, ShortIds, key_digits, matching_ids
from taskproc.store.rules import checked_rules
from taskproc.store.trash import discard, empty_trash
from taskproc.streams import nowhere
from taskproc.text import counted, cut_to, did_you_mean, padded, printable, size_text, terminal_width, width_of
from taskproc.watch.progress import has_cursor

DRAW_EVERY = 0.2  # seconds, on a terminal
TELL_EVERY = 5.0  # seconds, elsewhere


def list_command(given: Namespace) -> int:
    """`list -o DIR`: a line per task class; with NAME, a line per task of this class; with ids, details of these."""
    store = opened(given.output)
    words = list[str](given.what)
    if not words:
        _show(("task", "results", "size", "newest"), _class_rows(store))
        _report_links(store)
        return DONE
    folder, numbers = _class_folder(store, words[0])
    chosen = [_task_id(word, folder, numbers) for word in words[1:]]
    tasks = task_holdings(store, folder, chosen or numbers)
    ids = ShortIds(chain(map(key_digits, numbers), *(task.arguments.keys() for task in tasks)))
    if chosen:
        for task in tasks:
            _show_task(task, ids)
    else:
        _show(("id", "results", "size", "newest", "arguments"), _task_rows(tasks, ids))
    return DONE


def _class_rows(store: DiskStore) -> list[tuple[str, ...]]:
    return [
        (printable(name), f"{holding.tasks:,}", size_text(holding.size), time_text(holding.newest))
        for name, holding in sorted(holdings(store).items())
    ]


def _report_links(store: DiskStore) -> None:
    """Report links: the folders behind them are not listed."""
    names = [name for name in store.files.listdir(store.root) if store.files.kind(store.root, name) == "link"]
    if names:
        say(f"not followed: {', '.join(sorted(names))} ({'a link' if len(names) == 1 else 'links'})")


def _task_rows(tasks: Sequence[TaskHolding], ids: ShortIds) -> list[tuple[str, ...]]:
    """Short id, number of versions, size, time and arguments of each task, newest first.

    Arguments in which the tasks differ come first, so that a line that is cut still identifies its task.
    """
    shared = _shared_arguments(tasks)
    return [
        (
            ids.of(key_digits(task.id)),
            f"{task.results:,}",
            size_text(task.holding.size),
            time_text(task.holding.newest),
            ", ".join(f"{name}={value}" for name, value in task.arguments.texts(ids, last=shared).items()),
        )
        for task in sorted(tasks, key=lambda task: (-task.holding.newest, task.id))
    ]


def _shared_arguments(tasks: Sequence[TaskHolding]) -> frozenset[str]:
    """Names of the arguments that are equal in all tasks."""
    first, *others = (task.arguments.forms for task in tasks)
    return frozenset(name for name in first if all(name in each and each[name] == first[name] for each in others))


def _show_task(task: TaskHolding, ids: ShortIds) -> None:
    """Print the details of a task that are known without loading a result, and its arguments, one per line."""
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
    """Print a table: the first and the last column are left-aligned, the others right-aligned.

    Lines are cut to the width of a terminal, but not in a pipe.
    """
    columns = terminal_width(sys.stdout)
    table = [head, *rows]
    widths = [max(width_of(row[column]) for row in table) for column in range(len(head) - 1)]
    for first, *middle, last in table:
        cells = [f"{cell:>{width}}" for cell, width in zip(middle, widths[1:])]
        tell(cut_to("  ".join([padded(first, widths[0]), *cells, last]).rstrip(), columns))


def clear_command(given: Namespace) -> int:
    """`clear -o DIR NAME [ID …]`: remove the results of a class, or of some of its tasks; none, if an id is unknown.

    Then empty the trash, in which other processes may have left files, too. Without a name, only that.
    """
    store = opened(given.output, writes=True)
    if not given.what:
        if not store.names("trash"):
            raise UsageError("nothing to clear: give the name of a task class, as `list` shows it")
    else:
        _clear(store, *given.what)
    empty_trash_and_report(store)
    return DONE


def _clear(store: DiskStore, shown: str, *ids: str) -> None:
    """Move the results of a class, or of some tasks of it, into the trash."""
    folder, known = _class_folder(store, shown)
    name = printable(layout.folder_task_name(folder))
    numbers = [_task_id(word, folder, known, "; nothing was cleared") for word in ids]
    if not ids:
        discard(store, folder)
        tell(f"cleared {name}: {counted(len(known), 'task')}")
    for word, number in zip(ids, numbers):
        discard(store, folder, "results", str(number))
        tell(f"cleared {name} {printable(word)}")
    sys.stdout.flush()  # this is done; emptying the trash may take long and be interrupted


def empty_trash_and_report(store: DiskStore) -> None:
    """Empty the trash and report the progress."""
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
        say("a run may still read the cleared results: they stay in the trash until the next clear")
    else:
        say(f"{_files(removed)} removed from the trash; some files cannot be removed")


def check_command(given: Namespace) -> int:
    """`check -o DIR`: a line for each finding, and the number of each kind."""
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
    findings = ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items())) or "nothing wrong"
    say(f"{counted(results, 'task')} with a result; {findings}")
    return FAILED if "damaged" in counts else DONE


def opened(path: str, *, writes: bool = False) -> DiskStore:
    """The store of an existing cache. Raises UsageError if there is none.

    Args:
        writes: refuse a cache that contains links.
    """
    root = absolute_path(path, CacheError)
    if not is_cache(path):
        raise UsageError(f"no cache at {path!r}")
    rules = checked_rules("result", 0, None, False)
    if writes:
        refuse_links(Path(root))
        rules = replace(rules, refusal=prepare_cache(Path(root)))
    return DiskStore(root, rules=rules)


def _task_id(word: str, folder: str, known: Sequence[int], ending: str = "") -> int:
    """The id of the one task of a class that a word identifies by its id or the first digits of its key.

    Args:
        ending: of the message of the UsageError, which lists the candidates.
    """
    numbers = sorted(matching_ids(word, known))
    if len(numbers) == 1:
        return numbers[0]
    shown = printable(layout.folder_task_name(folder))
    ids = ShortIds(map(key_digits, known))
    if not numbers:
        digits = word.rpartition("#")[2].lower()
        longer = [number for number in known if digits and key_digits(number).startswith(digits)]
        example = ids.of(key_digits(longer[0])) if longer else ""
        short = f": an id has at least {FEWEST_DIGITS} digits, such as {example}" if example else ""
        raise UsageError(f"{shown} has no task {word!r}{short}{ending}")
    several = ", ".join(f"#{ids.of(key_digits(number))} ({number})" for number in numbers)
    raise UsageError(f"{word!r} may be any of {len(numbers)} tasks of {shown}: {several}{ending}")


def _class_folder(store: DiskStore, shown: str) -> tuple[str, list[int]]:
    """The folder of a class, by its name or as `list` shows it, and the ids of its tasks, of which there is one."""
    classes = {folder: layout.folder_task_name(folder) for folder in store.files.listdir(store.root)}
    known = [folder for folder, name in classes.items() if shown in (name, printable(name))]
    for folder in known:
        if ids := store.ids(folder):
            return folder, ids
        store.names(folder, "results")  # refuses a link
    names = sorted({printable(name) for folder, name in classes.items() if store.ids(folder)})
    known_names = f"; it has {', '.join(names)}" if names else ": it is empty"
    raise UsageError(f"the cache has no results of {shown!r}{known_names}{did_you_mean(shown, names)}")


def _files(count: int) -> str:
    return counted(count, "file")


def time_text(when: float) -> str:
    """Local date and time to the minute, `-` for never."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(when)) if when else "-"


@dataclass
class Holding:
    """The content of a cache for one task class: tasks with a result, bytes of all files, wall time of the newest."""

    tasks: int = 0
    size: int = 0
    newest: float = 0.0


@dataclass
class TaskHolding:
    """The content of a cache for one task; `path`: of its folder, `results`: the number of its versions."""

    name: str
    id: int
    path: str
    holding: Holding
    results: int
    arguments: Arguments


def holdings(store: DiskStore) -> dict[str, Holding]:
    """Task class → its content. Costs a listing per task and a stat per file; no file is opened."""
    classes: dict[str, Holding] = {}
    for folder in store.files.listdir(store.root):
        ids = store.ids(folder)
        if not ids:
            continue
        holding = classes.setdefault(layout.folder_task_name(folder), Holding())
        with store.held(folder, "results") as results:
            for number in ids:
                with _task_folder(store, results, number) as place:
                    holding.tasks += place is not None and _count(store, place, holding) > 0
    return classes


def task_holdings(store: DiskStore, folder: str, numbers: Sequence[int]) -> list[TaskHolding]:
    """The content for some tasks of the class in `folder`; each folder is opened once."""
    tasks = []
    with store.held(folder, "results") as results:
        for number in numbers:
            holding, versions, arguments = Holding(), 0, None
            with _task_folder(store, results, number) as place:
                if place is not None:
                    versions, arguments = _count(store, place, holding), store.arguments(place)
            path = os.path.join(store.root, folder, "results", str(number))
            task = TaskHolding(layout.folder_task_name(folder), number, path, holding, versions, Arguments(arguments))
            tasks.append(task)
    return tasks


@contextmanager
def _task_folder(store: DiskStore, results: Folder, number: int) -> Iterator[Folder | None]:
    """The folder of a task; None if it was cleared in the meantime."""
    try:
        place = store.files.open_folder(results, (str(number),))
    except OSError:
        yield None
        return
    try:
        yield place
    finally:
        store.files.close_folder(place)


def _count(store: DiskStore, place: Folder, holding: Holding) -> int:
    """Add the content of one task to `holding`; the number of its versions."""
    names = []
    for entry in store.files.scandir(place):
        try:
            status = entry.stat(follow_symlinks=False)
            if entry.is_dir(follow_symlinks=False):
                holding.size += _size_of(store, place, entry.name)
                continue
        except OSError:
            continue  # cleared in the meantime
        holding.size += status.st_size
        names.append(entry.name)
        if layout.result_numbers(names[-1:]):
            holding.newest = max(holding.newest, status.st_mtime)
    return len(layout.result_numbers(names))


def _size_of(store: DiskStore, at: Folder, name: str) -> int:
    """Bytes of all files in a data directory."""
    todo: list[tuple[str, ...]] = [(name,)]
    size = 0
    while todo:
        levels = todo.pop()
        try:
            folder = store.files.open_folder(at, levels)
        except OSError:
            continue
        try:
            for entry in store.files.scandir(folder):
                if entry.is_dir(follow_symlinks=False):
                    todo.append((*levels, entry.name))
                else:
                    size += entry.stat(follow_symlinks=False).st_size
        except OSError:
            pass  # removed in the meantime
        finally:
            store.files.close_folder(folder)
    return size


class Meter:
    """The progress of long work: on a terminal one line that is rewritten, elsewhere a line every few seconds.

    Args:
        file: default: the present standard error.
    """

    def __init__(self, file: TextIO | None = None, clock: Callable[[], float] = time.monotonic):
        shown = file or sys.stderr or nowhere()
        self.moves = has_cursor(shown)
        self._file, self._clock = shown, clock
        self._every = DRAW_EVERY if self.moves else TELL_EVERY
        self._next = clock() + self._every
        self._width = 0

    def show(self, text: Callable[[], str]) -> None:
        """Show the progress if the last time is long enough ago."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + self._every
        if not self.moves:
            say(text())
            return
        line = printable(text())
        self._write("\r" + line.ljust(self._width))
        self._width = len(line)

    def wipe(self) -> None:
        """Remove the line, before other text is written to the terminal."""
        if self._width:
            self._write("\r" + " " * self._width + "\r")
            self._width = 0

    def _write(self, text: str) -> None:
        try:
            self._file.write(text)
            self._file.flush()
        except OSError:
            pass  # nobody reads it any more
