"""An index of the fresh versions of a class, and a listing of its tasks: they save looks into folders, warm and cold.

A warm run looks into ten thousand folders and finds what was there before. A row of the index says which version is
fresh if the task is made from *these* inputs and its folder has *this* inode and time of change: one `lstat` instead of
a listing and a read. Every name that is added or removed changes that time, and no program can set it. A row never says
that there is no result, or none that is fresh: then the folder is read. So the folders decide, and the index may be
deleted at any time.

A folder that changed a moment ago gets no row, since it might change again within the same tick of the file system's
clock ("racy" in git). Nor does a folder on a file system without fine times.

A cold run asks ten thousand times for results that do not exist. One listing of a class answers for all of its tasks,
for the moment of the listing: it says only that a look would have found nothing then. A claim looks again, twice, so an
old listing costs at most one needless claim.
"""
from __future__ import annotations

import functools
import itertools
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b, sha256
from struct import Struct
from typing import NamedTuple

from taskproc.errors import CacheError, LinkInCache
from taskproc.kernel.model import Record, Stamp
from taskproc.kernel.rebuild import Present
from taskproc.store import layout
from taskproc.store.files import Folder
from taskproc.store.folder import UNREADABLE, CacheFolder, TooLarge
from taskproc.store.layout import Place
from taskproc.store.version import Version, package_versions

LEAST = 64               # weight in a run from which on an index pays, and of new rows that are worth a new file
_MOST = 4096             # bytes of an index that are read for each unit of weight: a larger one is about other tasks
_SHARE = 8               # an index is written again when one row in this many would be new
_SECONDS = 1.0           # that checking the folders may take; or, if that is longer,
_PART = 4                # this part of the time of the run: on some network folders each look takes a millisecond
_TICK = 30_000_000       # nanoseconds; the clocks of file systems tick every 10 ms or faster, or in whole milliseconds:
_COARSE = 1_000_000
_MAGIC = b"taskproc index 2\n"
_START = len(_MAGIC) + 32  # bytes before the body; 32 of them are its digest
_COUNT = Struct("<?Q")   # whether the files of all users are trusted; number of rows
_ROW = Struct("<QQqQ16sIQ32s32sQII")
_LISTED_AFTER = 8  # looks that found nothing after which a class is listed: not for one new task among a million
_LISTED_NAMES = 4    # names of a class that are read for each task of the run: more cost more than they save


class _Row(NamedTuple):
    """One task: its folder, what it is made from, and the version that is fresh then.

    Attributes:
        id: of its place.
        inode, changed: of its folder.
        number, head, size, head_digest, digest: of the version.
        made_from: a digest of its code, settings and inputs.
        at: where its texts begin, after the rows: first the stamp, with versions of packages if there are any, then
            the payload.
        stamp, payload: sizes of these texts.
    """

    id: int
    inode: int
    changed: int
    number: int
    made_from: bytes
    head: int
    size: int
    head_digest: bytes
    digest: bytes
    at: int = 0
    stamp: int = 0
    payload: int = 0


FoundVersion = tuple[Version, Present]  # what is fresh, and for which inputs


def _weight(found: FoundVersion) -> int:
    return 1 + len(found[1].needs)


class _Table:
    """The rows of a class, as they are in the file."""

    def __init__(self, content: memoryview):
        self.count = _COUNT.unpack_from(content)[1]
        self._content, self._rest = content, _COUNT.size + self.count * _ROW.size
        only_id = Struct(f"<Q{_ROW.size - 8}x")
        self._places = {number: place for place, (number,) in enumerate(only_id.iter_unpack(self._rows()))}

    def _rows(self) -> memoryview:
        return self._content[_COUNT.size : self._rest]

    def __iter__(self) -> Iterator[_Row]:
        return itertools.starmap(_Row, _ROW.iter_unpack(self._rows()))

    def row(self, number: int) -> _Row | None:
        """The row of the place with the id `number`."""
        place = self._places.get(number)
        return None if place is None else _Row(*_ROW.unpack_from(self._content, _COUNT.size + place * _ROW.size))

    def texts(self, row: _Row) -> tuple[bytes, bytes]:
        """The stamp and the payload of a row."""
        at = self._rest + row.at
        middle = at + row.stamp
        return bytes(self._content[at:middle]), bytes(self._content[middle : middle + row.payload])


class _Draft:
    """Rows that will be written."""

    def __init__(self) -> None:
        self.ids: set[int] = set()
        self.weight = 0  # of the new rows
        self._rows: list[bytes] = []
        self._texts: list[bytes] = []
        self._at = 0

    def add(self, row: _Row, stamp: bytes, payload: bytes) -> None:
        """Add the row of another place."""
        self.ids.add(row.id)
        self._rows.append(_ROW.pack(*row[:-3], self._at, len(stamp), len(payload)))
        self._texts += (stamp, payload)
        self._at += len(stamp) + len(payload)

    def content(self, shared: bool) -> bytes:
        """The bytes of all rows and texts."""
        return b"".join([_COUNT.pack(shared, len(self._rows)), *self._rows, *self._texts])


class Index:
    """The indexes of the classes of a run.

    Args:
        weights: name of a class → number of its tasks in the run plus number of their needs. A record with ten thousand
            stamps takes as long to read as hundreds of others.
        clock: gives seconds; limits the time of `keep`.
    """

    def __init__(self, store: CacheFolder, weights: Mapping[str, int], clock: Callable[[], float] = time.monotonic):
        self._store, self._weights, self._seconds = store, weights, clock
        self._begun = clock()
        self._until = 0.0  # when `keep` is to end
        self._tables: dict[str, _Table | None] = {}
        self._starts: dict[tuple[str | None, tuple[tuple[str, str], ...]], blake2b] = {}

    def find(self, place: Place, now: Present) -> Version | None:
        """The version that a look would find fresh, without its needs; None: look into the folder."""
        table = self._table(place.name)
        row = None if table is None else table.row(place.id)
        if table is None or row is None or row.number <= now.above or row.made_from != self._digest_of(place.key, now):
            return None
        path = layout.place_path(self._store.root, place)
        if self._store.files.sign(path) != (row.inode, row.changed):
            return None
        text, payload = table.texts(row)
        order, value, *versions = text.decode().split(" ", 2)
        record = Record(row.number, "", Stamp(order, value), "", {})
        path += os.sep + layout.result_file(row.number)
        digests = row.head, row.head_digest.hex(), row.size, row.digest.hex()
        return Version(place, path, record, *digests, _about(versions[0]) if versions else {}, payload)

    def keep(self, found: Iterable[FoundVersion]) -> None:
        """Write rows for versions that were found fresh, or made. Never fails.

        Checks each folder again: only the newest version of a folder gets a row. When the time is over, the other
        versions get none.
        """
        if self._store.rules.refusal:
            return
        now = self._seconds()
        self._until = now + max(_SECONDS, (now - self._begun) / _PART)
        by_class: dict[str, list[FoundVersion]] = {}
        for version, made_from in found:
            by_class.setdefault(version.place.name, []).append((version, made_from))
        for name, versions in by_class.items():
            table = self._table(name)
            if table is not None and sum(map(_weight, versions)) >= LEAST and len(versions) >= table.count // _SHARE:
                try:
                    self._write(name, table, versions)
                except (OSError, CacheError):
                    pass  # full, read-only, or cleared by now: the next run looks into the folders, as this one did

    def _digest_of(self, key: str, now: Present) -> bytes:
        """A digest of a key and all that its task is made from."""
        start = now.code, tuple(now.settings.items())
        digest = self._starts.get(start)
        if digest is None:
            digest = self._starts[start] = blake2b(repr(start).encode("utf-8", "backslashreplace"), digest_size=16)
        digest = digest.copy()
        digest.update(key.encode())
        needs = [
            f"{len(need)} {len(order)} {len(value)} {need}{order}{value}" for need, (order, value) in now.needs.items()
        ]
        digest.update("".join(needs).encode())
        return digest.digest()

    def _table(self, name: str) -> _Table | None:
        """The index of a class; None if it does not pay: the run has few of its tasks, or the index is too large."""
        if name not in self._tables:
            weight = self._weights.get(name, 0)
            self._tables[name] = self._read(name, weight * _MOST) if weight >= LEAST else None
        return self._tables[name]

    @contextmanager
    def _opened(self, name: str) -> Iterator[tuple[Folder, Folder]]:
        """The folder of a class, and the folder of its results, open.

        `find` uses paths, at half the cost. If a link appears in between, it leads to a folder without a row, and
        nothing is read there.
        """
        store, (above, below) = self._store, layout.results_levels(name)
        with store.held(above) as folder:
            results = store.folder_in(folder, below, above)
            try:
                yield folder, results
            finally:
                store.files.close_folder(results)

    def _read(self, name: str, longest: int) -> _Table | None:
        store = self._store
        try:
            with self._opened(name) as (folder, _):
                content = store.small(folder, layout.INDEX, longest)
            start, body = content[:_START], content[_START:]
            if start != _MAGIC + self._signature(body) or _COUNT.unpack_from(body)[0] != store.rules.shared:
                raise ValueError("not an index, damaged, of another key, or made by other rules")
        except TooLarge:
            return None
        except (LinkInCache, *UNREADABLE):  # a look reports a link
            body = _COUNT.pack(store.rules.shared, 0)
        return _Table(memoryview(body))

    def _signature(self, body: bytes) -> bytes:
        return sha256(body).digest() if self._store.key is None else self._store.key.sign(body)

    def _write(self, name: str, table: _Table, found: Sequence[FoundVersion]) -> None:
        store, draft = self._store, _Draft()
        path = layout.class_path(store.root, name)
        with self._opened(name) as (folder, results):
            before = store.files.sign(path)
            clock, sign = self._clock(folder, path)
            if sign == before:
                return  # here the time of folders does not show changes
            late = self._add(draft, results, found, clock)
            if late:  # the clock has advanced by now
                self._add(draft, results, late, self._clock(folder, path)[0])
            if draft.weight >= LEAST:
                for row in table:
                    if row.id not in draft.ids and self._seen(results, row.id)[0] == (row.inode, row.changed):
                        draft.add(row, *table.texts(row))
                body = draft.content(store.rules.shared)
                store.put(folder, layout.INDEX, _MAGIC + self._signature(body) + body, flush=False)

    def _seen(self, results: Folder, number: int, until: int = 0) -> tuple[tuple[int, int] | None, list[str]]:
        """Inode and time of change of the folder of a task, None if it does not exist; and its names.

        The names only if the folder has not changed since the time `until`.
        """
        files = self._store.files
        try:
            folder = files.open_folder(results, (str(number),))
        except OSError:
            return None, []  # cleared by now
        try:
            sign = files.sign(folder)
            # Listed after the time was read: later changes change it
            return sign, files.listdir(folder) if sign is not None and sign[1] <= until else []
        except OSError:
            return None, []
        finally:
            files.close_folder(folder)

    def _clock(self, folder: Folder, path: str) -> tuple[int, tuple[int, int] | None]:
        """The time of the file system in ns, and the sign of `folder` after a file was created in it."""
        files = self._store.files
        name = layout.temporary(layout.INDEX)
        handle = files.make(folder, name)
        try:
            return files.modified(handle), files.sign(path)
        finally:
            files.close(handle)
            files.unlink(folder, name)

    def _add(self, draft: _Draft, results: Folder, found: Iterable[FoundVersion], clock: int) -> list[FoundVersion]:
        """Draft rows for unchanged folders. Returns the versions whose folders may still change within a tick."""
        late: list[FoundVersion] = []
        for version, now in found:
            if self._seconds() > self._until:
                break
            place, number = version.place, version.record.number
            sign, names = self._seen(results, place.id, clock - _TICK)
            if sign is None or not sign[1] % _COARSE:
                continue
            if sign[1] > clock - _TICK:
                late.append((version, now))
            elif _is_newest(names, number):
                stamp = " ".join([*version.record.stamp, *_versions(version.about)]).encode()
                made_from = self._digest_of(place.key, now)
                digests = bytes.fromhex(version.head_digest), bytes.fromhex(version.digest)
                row = _Row(place.id, *sign, number, made_from, version.head, version.size, *digests)
                draft.add(row, stamp, version.payload)
                draft.weight += _weight((version, now))
        return late


def _versions(about: Mapping[str, object]) -> Iterator[str]:
    """The versions of packages that a record names, as text; nothing if there is only that of Python."""
    versions = package_versions(about)
    if len(versions) > 1:
        yield json.dumps(dict(versions))


@functools.lru_cache(maxsize=64)
def _about(versions: str) -> Mapping[str, object]:
    """What readers may ask of a record with these versions; one mapping for all of them."""
    return {"versions": json.loads(versions)}


def _is_newest(names: list[str], number: int) -> bool:
    """Whether `number` is the newest version in a folder."""
    return layout.result_file(number) in names and (len(names) == 2 or layout.result_numbers(names)[0] == number)


class Listing:
    """Which tasks of a run had no folder when their class was listed.

    Args:
        count: of all tasks of the run.
    """

    def __init__(self, store: CacheFolder, count: int):
        self._store, self._most = store, _LISTED_NAMES * count
        self._missed: dict[str, int] = {}
        self._listed: dict[str, frozenset[str]] = {}

    def lacks(self, place: Place) -> bool:
        """Whether `place` had no folder when its class was listed; False if it was not listed."""
        listed = self._listed.get(place.name)
        return listed is not None and str(place.id) not in listed

    def missed(self, place: Place) -> None:
        """Note that a look found nothing at `place`; after eight of these its class is listed."""
        count = self._missed[place.name] = self._missed.get(place.name, 0) + 1
        if count == _LISTED_AFTER:
            try:
                with self._store.held(*layout.results_levels(place.name)) as folder:
                    names = self._store.files.few(folder, self._most + 1)
            except (FileNotFoundError, NotADirectoryError, LinkInCache):
                names = []
            if len(names) <= self._most:
                self._listed[place.name] = frozenset(names)
