"""All that a cache remembers of one task: what it was made from, who reads it, its code, files and logs."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskproc.errors import CacheError
from taskproc.ledger.attempts import StoredAttempt, newest_attempt
from taskproc.ledger.entries import Entry, EntryReader, opened_task
from taskproc.ledger.identifiers import Catalogue, Located
from taskproc.ledger.logs import Log
from taskproc.ledger.task_calls import TaskCalls
from taskproc.store import layout
from taskproc.store.disk import DiskStore
from taskproc.store.files import Folder
from taskproc.store.folder import UNREADABLE

_LONGEST = 200  # characters of the arguments of a task that is read, or reads


@dataclass(frozen=True)
class Neighbour:
    """A task that another one reads, or that reads it. `id` is short; `call` is the task as it would be written."""

    id: str
    key: str
    task: str
    call: str


@dataclass(frozen=True)
class Detail:
    """One task.

    Attributes:
        entry: what a listing shows of it.
        path: of its folder.
        attempt: the newest one, which all other attributes belong to.
        inputs, readers: the tasks that it read, and those whose newest result was made from it.
        code: digest of its fingerprint; `items` are the names of its code items.
        files: path and bytes of each file in its data directory.
        logs: those that are not empty.
    """

    entry: Entry
    path: str
    attempt: StoredAttempt
    inputs: Sequence[Neighbour]
    readers: Sequence[Neighbour]
    code: str
    items: Sequence[str]
    files: Sequence[tuple[str, int]]
    logs: Sequence[Log]

    @property
    def packages(self) -> Mapping[str, str]:
        """Python and the packages that its code reached, with their versions."""
        versions = self.attempt.about.get("versions")
        return versions if isinstance(versions, dict) else {}

    @property
    def settings(self) -> Mapping[str, str]:
        """The other conditions of its run: settings, and what was observed while it ran."""
        observed = self.attempt.record.get("observed") or {}
        both = [self.attempt.record.get("settings") or {}, *observed.values()]
        return {str(name): str(value) for part in both for name, value in part.items()}


def detail(
    catalogue: Catalogue, task: Located, note: Callable[[int, int], object] = lambda done, total: None
) -> Detail:
    """All about one task. CacheError if it never ran.

    Costs a record for each task in the cache, to find those that read it.

    Args:
        note: called while records are read, with how many were, and how many there are.
    """
    store = catalogue.store
    entry = next(EntryReader(catalogue, _LONGEST).read([task]), None)
    with opened_task(store, task) as folder:
        attempt = None if folder is None else newest_attempt(store, folder, store.files.listdir(folder))
        if folder is None or attempt is None or entry is None:
            raise CacheError(f"{task.name}#{catalogue.short(task.id)} never ran, or was cleared")
        files = [*_files(store, folder, layout.data_folder(attempt.number))]
    calls = TaskCalls(catalogue, _LONGEST)
    code = str(attempt.record.get("code") or "")
    logs = [Log(store, task, stream, attempt.number) for stream in layout.STREAMS]
    return Detail(
        entry=entry,
        path=os.path.join(store.root, task.class_folder, "results", str(task.id)),
        attempt=attempt,
        inputs=[*_inputs(catalogue, calls, entry, attempt)],
        readers=[*_readers(catalogue, calls, entry.key, note)],
        code=code,
        items=[*_items(store, entry.task, code)],
        files=sorted(files),
        logs=[log for log in logs if log.size()],
    )


def _inputs(catalogue: Catalogue, calls: TaskCalls, entry: Entry, attempt: StoredAttempt) -> Iterator[Neighbour]:
    """What it was made from; of an attempt without a record, the tasks among its arguments."""
    among = {key: (name, forms) for name, key, forms in entry.tasks_among_arguments()}
    needs = attempt.record.get("needs")
    keys = [str(need[0]) for need in needs] if isinstance(needs, list) else list(among)
    places = {number: folder for folder, numbers in catalogue.ids.items() for number in numbers} if keys else {}
    for key in keys:
        name, forms = among.get(key, ("", {}))
        folder = places.get(int(key[:16], 16) >> 1)
        if not name and folder is not None:
            name = layout.folder_task_name(folder)
        yield Neighbour(catalogue.short(key), key, name, calls.text(name, key, forms) if name else "")


def _readers(
    catalogue: Catalogue, calls: TaskCalls, key: str, note: Callable[[int, int], object]
) -> Iterator[Neighbour]:
    store, total = catalogue.store, sum(map(len, catalogue.ids.values()))
    for done, task in enumerate(catalogue.located()):
        note(done, total)
        with opened_task(store, task) as folder:
            record = None if folder is None else _newest_record(store, folder)
        if record is None:
            continue
        if any(need[0] == key for need in record["needs"]):
            yield Neighbour(
                catalogue.short(task.id), record["key"], record["name"], calls.text(record["name"], record["key"], {})
            )


def _newest_record(store: DiskStore, folder: Folder) -> Mapping[str, Any] | None:
    number = next(iter(layout.result_numbers(store.files.listdir(folder))), 0)
    try:
        return store.record(folder, number)[0] if number else None
    except UNREADABLE:
        return None  # damaged, or cleared in the meantime


def _items(store: DiskStore, name: str, code: str) -> list[str]:
    try:
        items = (store.code(name, code) or {}).get("items") if code else None
    except ValueError:
        items = None  # not a digest
    return sorted(map(str, items)) if isinstance(items, dict) else []


def _files(store: DiskStore, folder: Folder, name: str) -> Iterator[tuple[str, int]]:
    """Path and bytes of each file in a folder inside an open one."""
    todo: list[tuple[str, ...]] = [(name,)]
    while todo:
        levels = todo.pop()
        try:
            below = store.files.open_folder(folder, levels)
        except OSError:
            continue  # there is none, or it was removed
        try:
            for entry in store.files.scandir(below):
                if entry.is_dir(follow_symlinks=False):
                    todo.append((*levels, entry.name))
                else:
                    yield "/".join((*levels[1:], entry.name)), entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue  # removed in the meantime
        finally:
            store.files.close_folder(below)
