"""What a cache remembers of each task, one entry a task: its arguments, how its newest attempt went, what it costs.

An entry describes the newest attempt that ran, or runs. Older caches did not record all of it; what is missing is None.
"""
from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from taskproc.errors import LinkInCache, MissingResult
from taskproc.ledger.argument_texts import Arguments
from taskproc.ledger.attempts import StoredAttempt, newest_attempt
from taskproc.ledger.identifiers import Catalogue, Located
from taskproc.ledger.sizes import tree_size
from taskproc.ledger.task_calls import LONGEST, TaskCalls
from taskproc.ledger.wanted import WantedArguments, moment
from taskproc.store import layout
from taskproc.store.disk import DiskStore
from taskproc.store.files import Folder
from taskproc.store.layout import Place

FIELDS = (
    "id", "key", "task", "state", "seconds", "cpu", "peak_memory", "bytes", "began", "ended", "host", "user", "run",
    "worker", "error",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Entry:
    """A task in the cache, and its newest attempt.

    Attributes:
        id: the shortest prefix of its key that tells it from all tasks of the cache, six hex digits or more.
        key: the whole key; what is known of it where neither its result nor its arguments can be read.
        task: name of its class.
        arguments: by name, as Python: `{"lr": "0.1", "data": "Load(day=3)"}`.
        state: `good`, `failed`, `claimed` (it runs) or `damaged`. Whether a good result is fresh is not judged.
        seconds, cpu: that it took, and CPU seconds with those of its children.
        peak_memory: bytes.
        bytes: of the file of the newest version and of its data directory; 0 if it has no version.
        began, ended: wall-clock time, in seconds since 1970.
        host, user, run, worker: where, by whom, in which run and by which worker.
        error: why it failed, or why its result cannot be used; else empty.
        attempt: its number.
        versions: numbers of all stored versions, newest first.
    """

    id: str
    key: str
    task: str
    arguments: Mapping[str, str]
    state: str
    seconds: float | None
    cpu: float | None
    peak_memory: int | None
    bytes: int
    began: float | None
    ended: float | None
    host: str | None
    user: str | None
    run: str | None
    worker: str | None
    error: str
    attempt: int
    versions: tuple[int, ...]
    _place: Place = field(repr=False)
    _store: DiskStore = field(repr=False)
    _forms: Mapping[str, Any] = field(repr=False)

    def load(self) -> object:
        """The value of its newest version. MissingResult if it has none that can be read.

        The classes of the value must be importable. It is not judged whether it is fresh.
        """
        version = next(self._store.look(self._place), None)
        if version is None:
            why = f": {self.error}" if self.error else ""
            raise MissingResult(f"{self.task}#{self.id} has no result that can be loaded{why}")
        return self._store.load(version)

    def row(self) -> dict[str, object]:
        """One flat dict: the attributes, and each argument by its name, for `pandas.DataFrame(e.row() for e in …)`.

        Arguments that are numbers, texts, bools or None have their values, others their texts. One that is called like
        an attribute is `arguments.NAME`.
        """
        values = {name: getattr(self, name) for name in FIELDS}
        for name, text in self.arguments.items():
            form = self._forms.get(name, text)
            plain = form if form is None or isinstance(form, (bool, int, float, str)) else text
            values[f"arguments.{name}" if name in values else name] = plain
        return values

    def tasks_among_arguments(self) -> list[tuple[str, str, Mapping[str, Any]]]:
        """Name of the class, key, and stored arguments if there are any, of each task among its arguments."""
        return [*Arguments({"args": self._forms}).tasks()]

    @property
    def when(self) -> float:
        """When its newest attempt ended, or began if it runs; 0.0 if that is not known."""
        return self.ended or self.began or 0.0


def entries(
    store: DiskStore,
    task: str | type | None = None,
    *,
    where: Mapping[str, object] | WantedArguments | None = None,
    failed: bool = False,
    since: float | dt.timedelta | dt.datetime | None = None,
    catalogue: Catalogue | None = None,
    longest: int = LONGEST,
) -> list[Entry]:
    """The entries of a cache, newest first; see Cache.entries.

    Args:
        catalogue: of the cache, if there is one already.
        longest: characters of the arguments of tasks among the arguments.
    """
    reader = EntryReader(catalogue or Catalogue(_observer(store)), longest)
    if isinstance(task, type):
        task = str(getattr(task, "task_name", task.__qualname__))
        tasks = reader.catalogue.located(layout.folder_name(task))
    else:
        tasks = reader.catalogue.located(reader.catalogue.class_folder(task) if task is not None else "")
    wanted = where if isinstance(where, WantedArguments) else WantedArguments(where or {})
    earliest = moment(since)
    chosen = [
        entry
        for entry in reader.read(tasks, wanted)
        if (not failed or entry.state == "failed") and (not earliest or entry.when >= earliest)
    ]
    wanted.refuse_unknown()
    return sorted(chosen, key=lambda entry: (-entry.when, entry.key))


class EntryReader:
    """Reads entries. Costs a listing, the arguments and the newest record for each task, and loads no result."""

    def __init__(self, catalogue: Catalogue, longest: int = LONGEST):
        self.catalogue = catalogue
        self._store = catalogue.store
        self._calls = TaskCalls(catalogue, longest)

    def read(self, tasks: Iterable[Located], where: WantedArguments | None = None) -> Iterator[Entry]:
        """The entries of tasks that ever ran, in their order; those of other arguments are left out early."""
        for task in tasks:
            with opened_task(self._store, task) as folder:
                entry = None if folder is None else self._entry(task, folder, where)
            if entry is not None:
                yield entry

    def _entry(self, task: Located, folder: Folder, where: WantedArguments | None) -> Entry | None:
        names = self._store.files.listdir(folder)
        content = self._store.arguments(folder) or {}
        arguments = Arguments(content)
        if where is not None and not where.fits(arguments, self._calls.text):
            return None
        attempt = newest_attempt(self._store, folder, names)
        if attempt is None:
            return None
        name = _text(attempt.record.get("name")) or _text(content.get("task")) or task.name
        key = _text(attempt.record.get("key")) or _text(content.get("key")) or layout.key_digits(task.id)
        about = attempt.about
        return Entry(
            id=self.catalogue.short(task.id),
            key=key,
            task=name,
            arguments=arguments.texts(self._calls.text),
            state=attempt.state,
            seconds=_number(about.get("seconds")),
            cpu=_number(about.get("cpu")),
            peak_memory=_count(about.get("peak")),
            bytes=self._bytes(folder, names, attempt),
            **_times(self._store, folder, attempt),
            host=_text(about.get("host")),
            user=_text(about.get("user")),
            run=_text(about.get("run")),
            worker=_text(about.get("worker")),
            error=attempt.error,
            attempt=attempt.number,
            versions=tuple(layout.result_numbers(names)),
            _place=Place(name, task.id, key),
            _store=self._store,
            _forms=arguments.forms,
        )

    def _bytes(self, folder: Folder, names: list[str], attempt: StoredAttempt) -> int:
        """Of the file and the data directory of the newest version."""
        if attempt.state == "good":
            number, size = attempt.number, attempt.size
        else:
            number = next(iter(layout.result_numbers(names)), 0)
            size = _size(self._store, folder, layout.result_file(number)) if number else 0
        data = layout.data_folder(number)
        if not number or data not in names:
            return size
        recorded = _count(attempt.about.get("data")) if attempt.state == "good" else None
        return size + (tree_size(self._store, folder, data) if recorded is None else recorded)


def _observer(store: DiskStore) -> DiskStore:
    """The same cache, for which a run of this process is one like any other."""
    observer = DiskStore(store.root, files=store.files, rules=store.rules)
    observer.witness = store.witness
    return observer


@contextmanager
def opened_task(store: DiskStore, task: Located) -> Iterator[Folder | None]:
    """The folder of a task, open; None if it was cleared in the meantime."""
    try:
        folder = store.folder(task.class_folder, "results", str(task.id))
    except (OSError, LinkInCache):
        yield None
        return
    try:
        yield folder
    finally:
        store.files.close_folder(folder)


def _times(store: DiskStore, folder: Folder, attempt: StoredAttempt) -> dict[str, float | None]:
    """When an attempt began and ended. Of one that has no record, by the time of its file."""
    began, ended = _number(attempt.about.get("began")), _number(attempt.about.get("ended"))
    if attempt.state == "claimed":
        return {"began": began or _modified(store, folder, layout.claim_file(attempt.number)), "ended": None}
    if attempt.state == "failed":
        ended = ended or _modified(store, folder, layout.failed_file(attempt.number))
    return {"began": began, "ended": ended}


def _modified(store: DiskStore, folder: Folder, name: str) -> float | None:
    try:
        handle = store.files.read_only(folder, name)
    except OSError:
        return None
    try:
        return store.files.modified(handle) / 1e9
    finally:
        store.files.close(handle)


def _size(store: DiskStore, folder: Folder, name: str) -> int:
    try:
        return store.files.tail(folder, name, 0)[1]
    except OSError:
        return 0


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
