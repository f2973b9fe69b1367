"""Results in a folder: a directory for each task, a file for each version. Nothing else is stored.

Files are never changed in place. A version appears by one rename and is immutable, a clear is one rename, and every
read is verified first. So any number of processes may read, compute and clear at once, and may be killed at any moment.
The full description is docs/storage.md.
"""
from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from taskproc.errors import CacheError, CorruptedResult, LinkInCache, MissingResult
from taskproc.store import claims, layout
from taskproc.store.files import Folder
from taskproc.store.folder import UNREADABLE, CacheFolder, Untrusted
from taskproc.store.layout import Place
from taskproc.store.members import read_comment
from taskproc.store.payload import read_payload, stored_value
from taskproc.store.trash import discard, retire, sweep_trash
from taskproc.store.version import Pick, Version, accept_text

_LONGEST_FAILURE = 1 << 20  # bytes that are read
_LONGEST_CODE = 16 << 20

InUse = Callable[[list[int]], int]


class DiskStore(CacheFolder):
    """The store in a cache folder. Every method may be called from any thread."""

    def load(self, version: Version) -> object:
        """The value of a version. Size and digest of its bytes are verified before any of them is unpickled.

        Raises CorruptedResult for a damaged version, after moving it to bad.<n> if possible, and MissingResult if it
        was cleared in the meantime or does not load.
        """
        payload = self._payload(version)
        if payload is None:
            if not self._quarantine(version):
                raise MissingResult(f"result {version.path} was cleared, and computed again by another process")
            raise CorruptedResult(f"result {version.path} is damaged: its bytes are not those that were written")
        return self._value(version, payload)

    def value(self, version: Version) -> object:
        """The value of a version, like `load`, but a tiny payload that the version holds is not read again.

        So it may return a result that was cleared in the meantime.
        """
        if version.payload and hashlib.sha256(version.payload).hexdigest() == version.digest:
            return self._value(version, version.payload)
        return self.load(version)

    def _value(self, version: Version, payload: bytes | memoryview) -> object:
        written = version.about.get("versions")
        about = written if isinstance(written, Mapping) else {}
        return stored_value(payload, self.root, f"result {version.path}", about)

    def _payload(self, version: Version) -> memoryview | None:
        """The verified payload of a version; None if it is damaged."""
        try:
            with self.held(*layout.place_levels(version.place)) as folder:
                handle = self.files.read_only(folder, layout.result_file(version.record.number))
            try:
                self.owned_size(handle)
                return read_payload(self.files, handle, version)
            finally:
                self.files.close(handle)
        except (OSError, Untrusted, LinkInCache) as error:
            raise MissingResult(f"result {version.path} cannot be read: {error}") from error

    def _quarantine(self, version: Version) -> bool:
        """Move a damaged version to bad.<n>. False: it was cleared in the meantime, and another one has its name."""
        number = version.record.number
        if self.rules.refusal:
            return True
        try:
            # One descriptor for both: after a clear, the path leads to another folder, where numbers begin again
            with self.held(*layout.place_levels(version.place)) as folder:
                if self._was_replaced(folder, version):
                    return False
                self.files.rename(folder, layout.result_file(number), f"bad.{number}")
        except (OSError, LinkInCache):
            pass  # a read-only cache, or it was removed: it is not used in any case
        return True

    def _was_replaced(self, folder: Folder, version: Version) -> bool:
        """Whether another version has its name. FileNotFoundError: none has."""
        try:
            now = self.read_version(folder, version.place, version.record.number)
        except FileNotFoundError:
            raise  # a version that gets this name later must not be moved
        except UNREADABLE:
            return False
        return not _is_same(now, version)

    def claim(self, place: Place, arguments: Callable[[], str], pick: Pick, *, forced: bool = False) -> claims.Claimed:
        """The right to make the next version, unless another process has it or `pick` finds a fresh version.

        Args:
            arguments: gives JSON of the task's arguments, stored beside the results for people; called if missing.
            pick: chooses a fresh version or None; called after the claim, if there are versions.
            forced: the user wants the task to run, so the new stamp has a new order.

        Raises CacheError if the cache cannot be written.
        """
        self.rules.allow_writing()
        return claims.claim(self, place, arguments, pick, forced=forced)

    def resume(self, place: Place, number: int) -> claims.DiskAttempt | None:
        """An attempt that this run has claimed in another process; None if it was taken over or cleared."""
        return claims.resume(self, place, number)

    def bury(
        self,
        place: Place,
        why: Mapping[str, object],
        last: Callable[[claims.DiskAttempt], object] = lambda attempt: None,
    ) -> None:
        """Turn the claim of a dead worker of this run at `place` into a failed attempt, with `why` for people.

        `last` is called with the attempt before that.
        """
        try:
            names = self.names(*layout.place_levels(place))
        except (OSError, LinkInCache):
            return
        for number in layout.numbers(names)["claim"]:
            if (attempt := claims.reopen(self, place, number)) is not None:
                last(attempt)
                attempt.fail(why)

    def directory(self, place: Place, in_use: InUse = lambda versions: 0) -> Path:
        """The data directory of the version in use; else of the newest, or of the attempt that runs or will run.

        It is created if possible. If there are several versions, `in_use` gets their numbers, newest first, and returns
        the one in use, or 0 if it is not known.
        """
        levels = layout.place_levels(place)
        try:
            with self.held(*levels) as folder:
                kinds = layout.numbers(self.files.listdir(folder))
                last = layout.highest_number(kinds)
                number = last if last in kinds["claim"] and claims.is_held(self, folder, last) else last + 1
        except (FileNotFoundError, NotADirectoryError):
            kinds, number = layout.numbers(()), 1
        if versions := kinds["result"]:
            number = (in_use(versions) if len(versions) > 1 else 0) or versions[0]
        name = layout.data_folder(number)
        _try(lambda: self.files.close_folder(self.made_folder(*levels, name)))
        return Path(layout.place_path(self.root, place), name)

    def log_path(self, place: Place, stream: str) -> Path:
        """The path of the log `stream` of the newest attempt, or of the first one. The file is not created."""
        number = 1
        try:
            with self.held(*layout.place_levels(place)) as folder:
                number = self.newest_attempt(folder, self.files.listdir(folder)) or 1
        except (FileNotFoundError, NotADirectoryError):
            pass  # it has not run
        return Path(layout.place_path(self.root, place), layout.log_file(stream, number))

    def log(self, place: Place, stream: str, in_use: InUse = lambda versions: 0) -> Path:
        """The path of the log `stream` of the version in use; else of the newest attempt.

        An empty file is created if there is none, unless the output of that attempt was not captured, or the cache is
        read-only. LinkInCache if it is a link. `in_use` is called if the newest attempt may not be in use; see
        `directory`.
        """
        names: list[str] = []
        number, levels, links = 1, layout.place_levels(place), set[str]()
        try:
            with self.held(*levels) as folder:
                names = self.files.listdir(folder)
                number = self.newest_attempt(folder, names) or 1
                logs = [name for name in names if name.startswith(f"{stream}.")]
                links.update(name for name in logs if self.files.kind(folder, name) == "link")
        except (FileNotFoundError, NotADirectoryError):
            pass  # it has not run
        versions = layout.result_numbers(names)
        if versions and versions != [number]:
            number = in_use(versions) or number
        path = Path(layout.place_path(self.root, place), layout.log_file(stream, number))
        if path.name in links:
            raise self.refusal(*levels, path.name)
        if path.name not in names and self._was_captured(place, number, names):
            _try(lambda: self._make_empty(place, path.name))
        return path

    def _was_captured(self, place: Place, number: int, names: list[str]) -> bool:
        """Whether the output of an attempt was captured; True if it has not ended. `names` is the listing."""
        kinds = layout.numbers(names)
        try:
            with self.held(*layout.place_levels(place)) as folder:
                if number in kinds["failed"]:
                    return (self.why_failed(folder, number) or {}).get("captured") is not False
                has_version = number in kinds["result"]
                return not has_version or self.read_version(folder, place, number).about.get("captured") is not False
        except UNREADABLE:
            return True  # or it has not run

    def _make_empty(self, place: Place, name: str) -> None:
        folder = self.made_folder(*layout.place_levels(place))
        try:
            self.files.touch(folder, name)
        finally:
            self.files.close_folder(folder)

    def retire(self, in_use: Mapping[Place, int]) -> None:
        """Retire older versions at the end of a run. Does nothing while another run is at work, and never fails.

        Args:
            in_use: place → number of the version that stays, besides the newest of the others (see CacheRules).
        """
        retire(self, in_use)
        if in_use:
            self.sweep()

    def sweep(self) -> None:
        """Remove files in the trash for a moment, unless another run is at work. Never fails."""
        sweep_trash(self, self.token)

    def accept(self, place: Place, version: Version, code: str, *, flush: bool = True) -> None:
        """Accept the code with the digest `code` for `version`. If two processes accept at once, one may be lost.

        Without `flush`, a power failure may cost it. Raises MissingResult if `version` was cleared or replaced,
        CacheError if the cache cannot be written.
        """
        self.rules.allow_writing()
        number = version.record.number
        try:
            with self.held(*layout.place_levels(place)) as folder:
                now = self.read_version(folder, place, number)
                if not _is_same(now, version):
                    raise MissingResult(f"result {version.path} was cleared, and computed again")
                codes = (self.accepted(folder, now) or frozenset()) | {code}
                self.put(folder, layout.accept_file(number), accept_text(now, codes, self.key), flush=flush)
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError) as error:
            raise MissingResult(f"result {version.path} does not exist any more: {error}") from error
        except OSError as error:
            raise CacheError(f"cannot write to cache {self.root!r}: {error}") from error

    def keep_code(self, name: str, digest: str, content: Mapping[str, object]) -> None:
        """Store the code (JSON) that a digest of the class `name` stands for, unless it is stored. Never fails."""
        if self.code(name, digest) is None:
            self._put_code(name, layout.code_file(digest), content)

    def code(self, name: str, digest: str) -> Mapping[str, Any] | None:
        """The code that was stored for `digest`; None if there is none, or it cannot be read."""
        return self._code(name, layout.code_file(digest))

    def keep_reported(self, name: str, digest: str, words: Iterable[str]) -> None:
        """Store what runs have reported about the code `digest`, and replace what was stored before. Never fails."""
        self._put_code(name, layout.reported_file(digest), {"told": sorted(words)})

    def reported(self, name: str, digest: str) -> frozenset[str]:
        """What runs have already reported about the code `digest`, as far as it is stored."""
        words = (self._code(name, layout.reported_file(digest)) or {}).get("told")
        return frozenset(map(str, words)) if isinstance(words, list) else frozenset()

    def _put_code(self, name: str, file: str, content: Mapping[str, object]) -> None:
        try:
            folder = self.made_folder(*layout.code_levels(name))
            try:
                self.put(folder, file, json.dumps(dict(content)).encode("ascii") + b"\n")
            finally:
                self.files.close_folder(folder)
        except (OSError, CacheError):
            pass  # read-only, full, or cleared by now: it is for people, and a run must not fail for it

    def _code(self, name: str, file: str) -> Mapping[str, Any] | None:
        try:
            with self.held(*layout.code_levels(name)) as folder:
                return self.read_code_file(folder, file)
        except (OSError, LinkInCache):
            return None

    def read_code_file(self, folder: Folder, name: str) -> Mapping[str, Any] | None:
        """The content of a file in an open folder of code; None if it is missing or torn."""
        try:
            content = json.loads(self.small(folder, name, _LONGEST_CODE))
        except (OSError, ValueError, RecursionError):
            return None
        return content if isinstance(content, dict) else None

    def failure(self, place: Place) -> Mapping[str, Any] | None:
        """The reason of the newest attempt, if it failed: `error`, and whatever else `fail` got; for people."""
        try:
            with self.held(*layout.place_levels(place)) as folder:
                kinds = layout.numbers(self.files.listdir(folder))
                number = layout.highest_number(kinds)
                return self.why_failed(folder, number) if number and number in kinds["failed"] else None
        except (FileNotFoundError, NotADirectoryError, LinkInCache):
            return None

    def why_failed(self, folder: Folder, number: int) -> Mapping[str, Any] | None:
        """The reason of a failed attempt; None if it has none, or it cannot be read."""
        try:
            content = self.small(folder, layout.failed_file(number), _LONGEST_FAILURE)
            end = content.find(b"\x00", 10) + 11  # of the head
            return read_comment(content[end:])
        except UNREADABLE:
            return None

    def newest_attempt(self, folder: Folder, names: list[str]) -> int:
        """The number of the newest attempt that ran, or runs; 0 if there is none. `names` is the listing of the folder.

        An attempt that ended before it ran, since a version was fresh, does not count.
        """
        kinds = layout.numbers(names)
        for number in sorted(itertools.chain(*kinds.values()), reverse=True):
            printed = any(layout.log_file(stream, number) in names for stream in layout.STREAMS)
            if number not in kinds["failed"] or printed or self.why_failed(folder, number) is not None:
                return number
        return 0

    def clear(self, place: Place) -> bool:
        """Clear `place` by one rename. Returns whether there was anything. CacheError if the rename fails."""
        return self._clear(*layout.place_levels(place))

    def clear_all(self, name: str) -> bool:
        """Clear all results of the class `name` by one rename. Returns whether there was anything."""
        return self._clear(layout.folder_name(name))

    def _clear(self, *levels: str) -> bool:
        moved = discard(self, *levels)
        if moved:
            sweep_trash(self)  # without a token: a run of our own also prevents it
        return moved


def _is_same(one: Version, other: Version) -> bool:
    return (one.head_digest, one.digest) == (other.head_digest, other.digest)


def _try(change: Callable[[], object]) -> None:
    try:
        change()
    except LinkInCache:
        raise
    except (OSError, CacheError):
        pass  # a read-only cache: the path is answered all the same
