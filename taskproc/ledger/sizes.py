"""Bytes of a cache, class by class and by kind. Nothing is opened but folders and records, and no link is followed."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from taskproc.errors import LinkInCache
from taskproc.store import layout
from taskproc.store.disk import DiskStore
from taskproc.store.files import Folder
from taskproc.store.folder import UNREADABLE

KINDS = ("results", "data", "logs", "earlier", "other")


@dataclass
class ClassUsage:
    """What a task class takes, in bytes of files, and what it took.

    Attributes:
        task: its name.
        tasks: how many of its tasks have a result.
        newest: wall-clock time of the newest result, 0.0 if there is none.
        results, data, logs: of the newest version of each task, and the logs and data of attempts without a version.
        earlier: older versions, with their data and logs.
        other: arguments, code, the index, notes of failures.
        seconds: that the newest versions took to compute, as far as it is known.
        peak: the largest peak memory of one of them; None if none is known.
    """

    task: str
    tasks: int = 0
    newest: float = 0.0
    results: int = 0
    data: int = 0
    logs: int = 0
    earlier: int = 0
    other: int = 0
    seconds: float = 0.0
    peak: int | None = None

    @property
    def bytes(self) -> int:
        """All together."""
        return self.results + self.data + self.logs + self.earlier + self.other


def class_usages(store: DiskStore, *, costs: bool = False) -> list[ClassUsage]:
    """What each class takes, by name. Costs a listing for each task and a stat for each file.

    Args:
        costs: read what the results took, too: one record for each task.
    """
    usages: dict[str, ClassUsage] = {}
    for folder in store.files.listdir(store.root):
        ids = store.ids(folder)
        if not ids:
            continue
        usage = usages.setdefault(folder, ClassUsage(layout.folder_task_name(folder)))
        with store.held(folder, "results") as results:
            for number in ids:
                with _opened(store, results, str(number)) as place:
                    if place is not None:
                        _add_task(store, place, usage, costs)
        usage.other += _files_of_class(store, folder)
    return sorted(usages.values(), key=lambda usage: usage.task)


def _add_task(store: DiskStore, place: Folder, usage: ClassUsage, costs: bool) -> None:
    entries = store.files.scandir(place)
    newest = next(iter(layout.result_numbers([entry.name for entry in entries])), 0)
    for entry in entries:
        try:
            status = entry.stat(follow_symlinks=False)
            is_folder = entry.is_dir(follow_symlinks=False)
        except OSError:
            continue  # cleared in the meantime
        size = tree_size(store, place, entry.name) if is_folder else status.st_size
        kind = _kind(entry.name, newest)
        setattr(usage, kind, getattr(usage, kind) + size)
        if newest and entry.name == layout.result_file(newest):
            usage.tasks += 1
            usage.newest = max(usage.newest, status.st_mtime)
    if costs and newest:
        _add_costs(store, place, newest, usage)


def _add_costs(store: DiskStore, place: Folder, number: int, usage: ClassUsage) -> None:
    try:
        about = store.record(place, number)[0]["about"]
        usage.seconds += about["seconds"]
        peak = about.get("peak")
    except UNREADABLE:
        return  # damaged, or cleared in the meantime
    if isinstance(peak, int):
        usage.peak = max(usage.peak or 0, peak)


def _kind(name: str, newest: int) -> str:
    """Which part of the sum a file belongs to."""
    kind, number = layout.side_file(name) or ("", 0)
    results = layout.result_numbers([name])
    if results and results[0] != newest:
        return "earlier"
    if kind and 0 < number < newest:
        return "earlier"
    if results:
        return "results"
    return {"data": "data", "files": "other", "accept": "other", "": "other"}.get(kind, "logs")


def _files_of_class(store: DiskStore, class_folder: str) -> int:
    """Bytes of a class outside the folders of its tasks: its code and its index."""
    try:
        with store.held(class_folder) as folder:
            size = tree_size(store, folder, "code")
            for entry in store.files.scandir(folder):
                if entry.is_file(follow_symlinks=False):
                    size += entry.stat(follow_symlinks=False).st_size
            return size
    except (OSError, LinkInCache):
        return 0


def trash_size(store: DiskStore) -> int:
    """Bytes of what was cleared or retired, and not removed yet."""
    return tree_size(store, store.root, "trash")


def rest_size(store: DiskStore) -> int:
    """Bytes of the cache outside the classes that have tasks, and outside the trash."""
    size = 0
    for entry in store.files.scandir(store.root):
        if not entry.is_dir(follow_symlinks=False):
            size += entry.stat(follow_symlinks=False).st_size
        elif entry.name != "trash" and not store.ids(entry.name):
            size += tree_size(store, store.root, entry.name)
    return size


def tree_size(store: DiskStore, at: Folder, *levels: str) -> int:
    """Bytes of all files below the folder that these names lead to from another; 0 if it does not exist.

    Costs a listing for each folder, and a stat for each file. What is removed in the meantime does not count.
    """
    todo: list[tuple[str, ...]] = [levels]
    size = 0
    while todo:
        above = todo.pop()
        try:
            folder = store.files.open_folder(at, above)
        except OSError:
            continue
        try:
            for entry in store.files.scandir(folder):
                if entry.is_dir(follow_symlinks=False):
                    todo.append((*above, entry.name))
                else:
                    size += entry.stat(follow_symlinks=False).st_size
        except OSError:
            pass  # removed in the meantime
        finally:
            store.files.close_folder(folder)
    return size


@contextmanager
def _opened(store: DiskStore, at: Folder, name: str) -> Iterator[Folder | None]:
    """A folder inside another, open; None if it was cleared in the meantime."""
    try:
        folder = store.files.open_folder(at, (name,))
    except OSError:
        yield None
        return
    try:
        yield folder
    finally:
        store.files.close_folder(folder)
