"""What a look found, remembered for a class: good for as long as the folder of a task is the one that was looked at.

A warm run asks ten thousand times what lies in a folder, and it is what lay there before. A row says what a look comes
to, if the task is to be made from *that* and its folder has *this* inode and time of change: one `lstat` instead of a
listing and a read. Every name that comes or goes changes that time, and nobody can set it. A row never says that there
is nothing, or nothing good: then there is a look. So the directories stay the truth, and the file may be deleted.

A folder that changed just now is left out, since it might change once more within the same tick of its file system's
clock (as git does it: "racy"); so is what a file system without fine times has.

A cold run asks ten thousand times whether there is a result, and there is none: one listing of a class answers for all
of its tasks, of the moment at which it was made. It says nothing but that a look would have been in vain then. Whoever
claims looks again, twice, so that an old listing costs one claim that is not needed, and no truth.
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

LEAST = 64               # weight of a class in a run from which this pays, and of rows that are worth a new file
_MOST = 4096             # bytes that are read of a file, for each of its weight: others' rows are not worth more
_SHARE = 8               # a file is made anew when one in so many rows would be new
_SECONDS = 1.0           # that it may take to look once more, or if that is longer
_PART = 4                # a part of what the run took: on some network folders each look takes a millisecond
_TICK = 30_000_000       # nanoseconds; the clocks of file systems go on every 10 ms at least, or have whole ones:
_COARSE = 1_000_000
_MAGIC = b"taskproc index 2\n"
_START = len(_MAGIC) + 32  # bytes before the body; 32 are its digest
_COUNT = Struct("<?Q")   # whether files count whoever owns them; rows
_ROW = Struct("<QQqQ16sIQ32s32sQII")
_LISTED_AFTER = 8  # looks in vain after which a class is listed: not for one new task among a million others
_LISTED_NAMES = 4    # names that are read of a class, for each task of the run: more cost more than they save


class _Row(NamedTuple):
    """One task: its folder, what it is made from, and the version that is good then.

    Attributes:
        id: of its place; inode, changed: of its folder.
        number: of the version; head, size, and their digests: see Version.
        made_from: a digest of it.
        at: where its stamp and its payload begin, behind the rows; stamp, payload: their bytes; of a draft unknown.
            The versions of packages stand behind the stamp, if there are any.
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


FoundVersion = tuple[Version, Present]  # what is good, and for what


def _weight(found: FoundVersion) -> int:
    return 1 + len(found[1].needs)


class _Table:
    """The rows of a class, as they lie in the file."""

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
        """That of the place with the id `number`."""
        place = self._places.get(number)
        return None if place is None else _Row(*_ROW.unpack_from(self._content, _COUNT.size + place * _ROW.size))

    def texts(self, row: _Row) -> tuple[bytes, bytes]:
        """Its stamp and its payload."""
        at = self._rest + row.at
        middle = at + row.stamp
        return bytes(self._content[at:middle]), bytes(self._content[middle : middle + row.payload])


class _Draft:
    """Rows that are to be written."""

    def __init__(self) -> None:
        self.ids: set[int] = set()
        self.weight = 0  # of those that are new
        self._rows: list[bytes] = []
        self._texts: list[bytes] = []
        self._at = 0

    def add(self, row: _Row, stamp: bytes, payload: bytes) -> None:
        """One more, of another place than those before."""
        self.ids.add(row.id)
        self._rows.append(_ROW.pack(*row[:-3], self._at, len(stamp), len(payload)))
        self._texts += (stamp, payload)
        self._at += len(stamp) + len(payload)

    def content(self, shared: bool) -> bytes:
        """All of them."""
        return b"".join([_COUNT.pack(shared, len(self._rows)), *self._rows, *self._texts])


class Index:
    """What is remembered of the classes of a run.

    Args:
        weights: how many tasks the run has, by the name of their class, each counted once more for all that it needs:
            a record that names ten thousand stamps takes as long to be read as hundreds of others.
        clock: tells seconds, for how long `keep` may take.
    """

    def __init__(self, store: CacheFolder, weights: Mapping[str, int], clock: Callable[[], float] = time.monotonic):
        self._store, self._weights, self._seconds = store, weights, clock
        self._begun = clock()
        self._until = 0.0  # when `keep` is to end
        self._tables: dict[str, _Table | None] = {}
        self._starts: dict[tuple[str | None, tuple[tuple[str, str], ...]], blake2b] = {}

    def find(self, place: Place, now: Present) -> Version | None:
        """The version that a look would find to be good, without what it was made from; None: look for it."""
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
        """Remember versions that were found, or made, and are good for what they are to be made from. Never fails.

        Looks at each folder once more: what is remembered is the newest version there, or nothing. So it is with what
        there is no time for.
        """
        if self._store.rules.refusal:
            return
        now = self._seconds()
        self._until = now + max(_SECONDS, (now - self._begun) / _PART)
        by_class: dict[str, list[FoundVersion]] = {}
        for each in found:
            by_class.setdefault(each[0].place.name, []).append(each)
        for name, some in by_class.items():
            table = self._table(name)
            if table is not None and sum(map(_weight, some)) >= LEAST and len(some) >= table.count // _SHARE:
                try:
                    self._write(name, table, some)
                except (OSError, CacheError):
                    pass  # full, read-only, or cleared just now: the next run looks, as this one did

    def _digest_of(self, key: str, now: Present) -> bytes:
        """One for all that a task is made from, and itself."""
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
        """What is remembered of a class; None if that is not asked for: it has few tasks here, or many elsewhere."""
        if name not in self._tables:
            weight = self._weights.get(name, 0)
            self._tables[name] = self._read(name, weight * _MOST) if weight >= LEAST else None
        return self._tables[name]

    @contextmanager
    def _opened(self, name: str) -> Iterator[tuple[Folder, Folder]]:
        """The folder of a class, and the one for results in it.

        Whoever finds then asks for signs by path, at half the price. Should a link get in between, it leads to no
        folder of which a row tells; and nothing is read there.
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
        except (LinkInCache, *UNREADABLE):  # of a link a look tells
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
                return  # here folders do not tell that they have changed
            late = self._add(draft, results, found, clock)
            if late:  # meanwhile the clock has gone on
                self._add(draft, results, late, self._clock(folder, path)[0])
            if draft.weight >= LEAST:
                for row in table:
                    if row.id not in draft.ids and self._seen(results, row.id)[0] == (row.inode, row.changed):
                        draft.add(row, *table.texts(row))
                body = draft.content(store.rules.shared)
                store.put(folder, layout.INDEX, _MAGIC + self._signature(body) + body, flush=False)

    def _seen(self, results: Folder, number: int, until: int = 0) -> tuple[tuple[int, int] | None, list[str]]:
        """The sign of the folder of the task `number`, None if there is none; and what is in it if it changed `until`.
        """
        files = self._store.files
        try:
            folder = files.open_folder(results, (str(number),))
        except OSError:
            return None, []  # cleared just now
        try:
            sign = files.sign(folder)
            # Listed after the sign was taken: what changes from here on changes that
            return sign, files.listdir(folder) if sign is not None and sign[1] <= until else []
        except OSError:
            return None, []
        finally:
            files.close_folder(folder)

    def _clock(self, folder: Folder, path: str) -> tuple[int, tuple[int, int] | None]:
        """What time it is for the file system, in nanoseconds; and the sign of `folder` as long as that tells it."""
        files = self._store.files
        name = layout.temporary(layout.INDEX)
        handle = files.make(folder, name)
        try:
            return files.modified(handle), files.sign(path)
        finally:
            files.close(handle)
            files.unlink(folder, name)

    def _add(self, draft: _Draft, results: Folder, found: Iterable[FoundVersion], clock: int) -> list[FoundVersion]:
        """Draft rows of what is as it was found; returns what may still change without a sign of it."""
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
    """The versions of packages that a record names, as text; nothing where Python's is the only one."""
    versions = package_versions(about)
    if len(versions) > 1:
        yield json.dumps(dict(versions))


@functools.lru_cache(maxsize=64)
def _about(versions: str) -> Mapping[str, object]:
    """What a record with these versions says to readers; one mapping for all that have them."""
    return {"versions": json.loads(versions)}


def _is_newest(names: list[str], number: int) -> bool:
    """Whether no version in a folder is newer than `number`, and that is there."""
    return layout.result_file(number) in names and (len(names) == 2 or layout.result_numbers(names)[0] == number)


class Listing:
    """For a run over `count` tasks."""

    def __init__(self, store: CacheFolder, count: int):
        self._store, self._most = store, _LISTED_NAMES * count
        self._missed: dict[str, int] = {}
        self._listed: dict[str, frozenset[str]] = {}

    def lacks(self, place: Place) -> bool:
        """Whether it is known that `place` had no folder when its class was listed."""
        listed = self._listed.get(place.name)
        return listed is not None and str(place.id) not in listed

    def missed(self, place: Place) -> None:
        """Tell that a look found nothing there."""
        count = self._missed[place.name] = self._missed.get(place.name, 0) + 1
        if count == _LISTED_AFTER:
            try:
                with self._store.held(*layout.results_levels(place.name)) as folder:
                    names = self._store.files.few(folder, self._most + 1)
            except (FileNotFoundError, NotADirectoryError, LinkInCache):
                names = []
            if len(names) <= self._most:
                self._listed[place.name] = frozenset(names)
