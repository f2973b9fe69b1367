"""What a cache holds, as `list` shows it. No script is loaded, no result is opened, and no link is followed."""
from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from taskproc.cli.arguments import Arguments
from taskproc.store import layout
from taskproc.store.disk import DiskStore
from taskproc.store.files import Folder


@dataclass
class Holding:
    """What a cache holds of one task class: tasks with a result, bytes of all files, wall time of the newest result."""

    tasks: int = 0
    size: int = 0
    newest: float = 0.0


@dataclass
class Stored:
    """What there is of one task; `path`: of its folder, `results`: how many versions it has."""

    name: str
    id: int
    path: str
    holding: Holding
    results: int
    arguments: Arguments


def holdings(store: DiskStore) -> dict[str, Holding]:
    """Task class → what there is of it. Costs a listing a task and a stat a file; no file is opened."""
    found: dict[str, Holding] = {}
    for folder in store.files.listdir(store.root):
        ids = store.ids(folder)
        if not ids:
            continue
        holding = found.setdefault(layout.folder_task_name(folder), Holding())
        with store.held(folder, "results") as results:
            for number in ids:
                with _task_folder(store, results, number) as place:
                    holding.tasks += place is not None and _count(store, place, holding) > 0
    return found


def stored(store: DiskStore, folder: str, numbers: Sequence[int]) -> list[Stored]:
    """What there is of some tasks of the class in `folder`; each folder is opened once."""
    found = []
    with store.held(folder, "results") as results:
        for number in numbers:
            holding, versions, said = Holding(), 0, None
            with _task_folder(store, results, number) as place:
                if place is not None:
                    versions, said = _count(store, place, holding), store.arguments(place)
            path = os.path.join(store.root, folder, "results", str(number))
            found.append(Stored(layout.folder_task_name(folder), number, path, holding, versions, Arguments(said)))
    return found


@contextmanager
def _task_folder(store: DiskStore, results: Folder, number: int) -> Iterator[Folder | None]:
    """The folder of a task; None if it was cleared while we look."""
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
    """Add what there is of one task; how many versions that has."""
    names = []
    for entry in store.files.scandir(place):
        try:
            status = entry.stat(follow_symlinks=False)
            if entry.is_dir(follow_symlinks=False):
                holding.size += _size_of(store, place, entry.name)
                continue
        except OSError:
            continue  # cleared while we look
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
            pass  # removed while we look
        finally:
            store.files.close_folder(folder)
    return size
