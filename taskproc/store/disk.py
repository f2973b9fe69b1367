"""Results in a folder: a directory per task, a file per version, and the directories are the truth.

Nothing is ever changed in place. A version appears by one rename and is immutable from then on, a clear is one rename
away, and what is read is verified first; so any number of processes may read, compute and clear at once, and may be
killed at any moment. The full description is docs/storage.md.
"""
from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from taskproc.errors import CacheError, CorruptedResult, MissingResult
from taskproc.store import accepting, claims, endings, layout, sources
from taskproc.store.base import Pick, Place, Version
from taskproc.store.files import Folder
from taskproc.store.folder import UNREADABLE, CacheFolder, Untrusted
from taskproc.store.payload import stored_value
from taskproc.store.retire import retire
from taskproc.store.verified import payload_of

InUse = Callable[[list[int]], int]


class DiskStore(CacheFolder):
    """The store in a cache folder; see Store for what each verb promises."""

    def load(self, version: Version) -> object:
        """The value of a version; see Store.load."""
        payload = self._payload(version)
        if payload is None:
            if not self._quarantine(version):
                raise MissingResult(f"result {version.path} was cleared, and computed anew by somebody else")
            raise CorruptedResult(f"result {version.path} is damaged: its bytes are not those that were written")
        return self._value(version, payload)

    def value(self, version: Version) -> object:
        """The value of a version, as `load` gives it; what is at hand, verified, is not read once more.

        So it may be told of a result that was cleared meanwhile.
        """
        if version.payload and hashlib.sha256(version.payload).hexdigest() == version.digest:
            return self._value(version, version.payload)
        return self.load(version)

    def _value(self, version: Version, payload: bytes | memoryview) -> object:
        written = version.about.get("versions")
        about = written if isinstance(written, Mapping) else {}
        return stored_value(payload, self.root, f"result {version.path}", about)

    def _payload(self, version: Version) -> memoryview | None:
        """What is published, verified; None if it is damaged."""
        try:
            handle = self.files.read_only(os.path.dirname(version.path), os.path.basename(version.path))
            try:
                self.owned_size(handle)
                return payload_of(self.files, handle, version)
            finally:
                self.files.close(handle)
        except (OSError, Untrusted) as error:
            raise MissingResult(f"result {version.path} cannot be read: {error}") from error

    def _quarantine(self, version: Version) -> bool:
        """Move a damaged version to bad.<n>. False: it was cleared meanwhile, and a good one has its name now."""
        number = version.record.number
        if self.rules.refusal:
            return True
        try:
            # One descriptor for both: after a clear the path leads to another folder, where numbers begin anew
            folder = self.files.open_folder(os.path.dirname(version.path))
            try:
                if self._was_replaced(folder, version):
                    return False
                self.files.rename(folder, layout.result_file(number), f"bad.{number}")
            finally:
                self.files.close_folder(folder)
        except OSError:
            pass  # a read-only cache, or it is gone: it is not believed either way
        return True

    def _was_replaced(self, folder: Folder, version: Version) -> bool:
        """Whether another version has that name. FileNotFoundError: none has."""
        try:
            now = self.read_version(folder, version.place, version.record.number)
        except FileNotFoundError:
            raise  # one that comes under this name from now on is not ours to move
        except UNREADABLE:
            return False
        return not _is_same(now, version)

    def claim(self, place: Place, arguments: Callable[[], str], pick: Pick, *, forced: bool = False) -> claims.Claimed:
        """The right to make the next version; see Store.claim."""
        self.rules.allow_writing()
        return claims.claim(self, place, arguments, pick, forced=forced)

    def resume(self, place: Place, number: int) -> claims.DiskAttempt | None:
        """An attempt of this run that was claimed in another process; None if it was taken over or cleared."""
        return claims.resume(self, place, number)

    def bury(
        self,
        place: Place,
        why: Mapping[str, object],
        last: Callable[[claims.DiskAttempt], object] = lambda attempt: None,
    ) -> None:
        """Mark as failed what a dead worker of this run left claimed at `place`, after `last` of it."""
        endings.bury(self, place, why, last)

    def directory(self, place: Place, in_use: InUse = lambda versions: 0) -> Path:
        """The data directory of the version `in_use`; else of the newest, or of the attempt that runs or will run.

        Made if possible. `in_use` is asked where there are several: given their numbers, newest first, it tells which
        is in use; 0: none, or that is not known.
        """
        path = layout.place_path(self.root, place)
        found = layout.numbers(self.names(path))
        versions, last = found["result"], layout.highest(found)
        number = last if last in found["claim"] and claims.is_held(self, path, last) else last + 1
        if versions:
            number = (in_use(versions) if len(versions) > 1 else 0) or versions[0]
        directory = os.path.join(path, layout.data_folder(number))
        _try(lambda: self.make_folder(directory))
        return Path(directory)

    def log_path(self, place: Place, stream: str) -> Path:
        """Where the newest attempt prints to `stream`, or the first will. Not made by asking."""
        path = layout.place_path(self.root, place)
        return Path(path, layout.log_file(stream, endings.newest(self, path, self.names(path)) or 1))

    def log(self, place: Place, stream: str, in_use: InUse = lambda versions: 0) -> Path:
        """What was printed to `stream` when the version `in_use` was made; else by the newest attempt.

        The file is made, empty, if it can be, and if the output of that attempt was captured at all: else there is
        none. `in_use` is asked where that may be another one; see `directory`.
        """
        folder = layout.place_path(self.root, place)
        names = self.names(folder)
        versions, number = layout.results(names), endings.newest(self, folder, names) or 1
        if versions and versions != [number]:
            number = in_use(versions) or number
        path = Path(folder, layout.log_file(stream, number))
        if not path.exists() and self._was_captured(place, number, names):
            _try(lambda: self._make_empty(path))
        return path

    def _was_captured(self, place: Place, number: int, names: list[str]) -> bool:
        """Whether an attempt that has ended, one of those in `names`, has kept what it printed."""
        folder, found = layout.place_path(self.root, place), layout.numbers(names)
        try:
            if number in found["failed"]:
                return (endings.why_failed(self, folder, number) or {}).get("captured") is not False
            is_there = number in found["result"]
            return not is_there or self.read_version(folder, place, number).about.get("captured") is not False
        except UNREADABLE:
            return True

    def _make_empty(self, path: Path) -> None:
        self.make_folder(str(path.parent))
        path.touch()

    def retire(self, in_use: Mapping[Place, int]) -> None:
        """Forget older versions; see Store.retire."""
        retire(self, in_use)

    def accept(self, place: Place, version: Version, code: str) -> None:
        """Declare `version` good for other code; see Store.accept. Of two who accept at once one may be lost."""
        self.rules.allow_writing()
        number = version.record.number
        try:
            folder = self.files.open_folder(layout.place_path(self.root, place))
            try:
                now = self.read_version(folder, place, number)
                if not _is_same(now, version):
                    raise MissingResult(f"result {version.path} was cleared, and computed anew")
                codes = (self.accepted(folder, now) or frozenset()) | {code}
                self.put(folder, layout.accept_file(number), accepting.encode(now, codes, self.key))
            finally:
                self.files.close_folder(folder)
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError) as error:
            raise MissingResult(f"result {version.path} is not there any more: {error}") from error
        except OSError as error:
            raise CacheError(f"cannot write to cache {self.root!r}: {error}") from error

    def keep_code(self, name: str, digest: str, content: Mapping[str, object]) -> None:
        """Keep what a digest of code stands for; see Store.keep_code."""
        sources.keep(self, name, digest, content)

    def code(self, name: str, digest: str) -> Mapping[str, Any] | None:
        """What was kept of some code; see Store.code."""
        return sources.read(self, name, digest)

    def failure(self, place: Place) -> Mapping[str, Any] | None:
        """What is known of the newest attempt, if it failed: `error`, and what else `fail` was told; for people."""
        path = layout.place_path(self.root, place)
        found = layout.numbers(self.names(path))
        number = layout.highest(found)
        return endings.why_failed(self, path, number) if number and number in found["failed"] else None

    def clear(self, place: Place) -> bool:
        """Forget all of `place`; see Store.clear."""
        return self._forget(layout.place_path(self.root, place))

    def clear_all(self, name: str) -> bool:
        """Forget every result of a class; see Store.clear_all."""
        return self._forget(layout.class_path(self.root, name))

    def _forget(self, path: str) -> bool:
        try:
            return self.discard(path)
        except OSError as error:
            raise CacheError(f"cannot clear in cache {self.root!r}: {error}") from error


def _is_same(one: Version, other: Version) -> bool:
    return (one.head_digest, one.digest) == (other.head_digest, other.digest)


def _try(change: Callable[[], object]) -> None:
    try:
        change()
    except (OSError, CacheError):
        pass  # a read-only cache still tells where things would be
