"""Results in a folder: a directory per task, a file per version, and the directories are the truth.

Nothing is ever changed in place. A version appears by one rename and is immutable from then on, a clear is one rename
away, and what is read is verified first; so any number of processes may read, compute and clear at once, and may be
killed at any moment. The full description is docs/storage.md.
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
from taskproc.store.codec import read_comment
from taskproc.store.files import Folder
from taskproc.store.folder import UNREADABLE, CacheFolder, Untrusted
from taskproc.store.layout import Place
from taskproc.store.payload import read_payload, stored_value
from taskproc.store.trash import discard, retire, sweep_trash
from taskproc.store.version import Pick, Version, accept_text

_LONGEST_FAILURE = 1 << 20  # bytes that are read
_LONGEST_CODE = 16 << 20

InUse = Callable[[list[int]], int]


class DiskStore(CacheFolder):
    """The store in a cache folder. Every verb may be called from any thread."""

    def load(self, version: Version) -> object:
        """The value of a version. Size and digest of its bytes are verified before one of them is unpickled.

        Raises CorruptedResult (it was moved aside, where possible) or MissingResult (cleared meanwhile, or it does not
        load).
        """
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
        """Move a damaged version to bad.<n>. False: it was cleared meanwhile, and a good one has its name now."""
        number = version.record.number
        if self.rules.refusal:
            return True
        try:
            # One descriptor for both: after a clear the path leads to another folder, where numbers begin anew
            with self.held(*layout.place_levels(version.place)) as folder:
                if self._was_replaced(folder, version):
                    return False
                self.files.rename(folder, layout.result_file(number), f"bad.{number}")
        except (OSError, LinkInCache):
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
        """The right to make the next version, unless somebody else has it or `pick` finds a version good after all.

        Args:
            arguments: gives JSON of the task's arguments, kept beside the results for people; asked where none lies.
            pick: chooses a fresh version or None; asked once more after the claim, if there is any to choose from.
            forced: made by order, so its stamp has a new order whatever was stored before.

        Raises CacheError if nothing can be written there.
        """
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
        """Turn the claim that a dead worker of this run left at `place` into a failed attempt, for people to read why.

        `last` is called with the attempt before.
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
        """The data directory of the version `in_use`; else of the newest, or of the attempt that runs or will run.

        Made if possible. `in_use` is asked where there are several: given their numbers, newest first, it tells which
        is in use; 0: none, or that is not known.
        """
        levels = layout.place_levels(place)
        try:
            with self.held(*levels) as folder:
                found = layout.numbers(self.files.listdir(folder))
                last = layout.highest_number(found)
                number = last if last in found["claim"] and claims.is_held(self, folder, last) else last + 1
        except (FileNotFoundError, NotADirectoryError):
            found, number = layout.numbers(()), 1
        if versions := found["result"]:
            number = (in_use(versions) if len(versions) > 1 else 0) or versions[0]
        name = layout.data_folder(number)
        _try(lambda: self.files.close_folder(self.made_folder(*levels, name)))
        return Path(layout.place_path(self.root, place), name)

    def log_path(self, place: Place, stream: str) -> Path:
        """Where the newest attempt prints to `stream`, or the first will. Not made by asking."""
        number = 1
        try:
            with self.held(*layout.place_levels(place)) as folder:
                number = self.newest_attempt(folder, self.files.listdir(folder)) or 1
        except (FileNotFoundError, NotADirectoryError):
            pass  # it has not run
        return Path(layout.place_path(self.root, place), layout.log_file(stream, number))

    def log(self, place: Place, stream: str, in_use: InUse = lambda versions: 0) -> Path:
        """What was printed to `stream` when the version `in_use` was made; else by the newest attempt.

        The file is made, empty, if it can be, and if the output of that attempt was captured at all: else there is
        none. LinkInCache if it is a link. `in_use` is asked where that may be another one; see `directory`.
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
        """Whether an attempt that has ended, one of those in `names`, has kept what it printed."""
        found = layout.numbers(names)
        try:
            with self.held(*layout.place_levels(place)) as folder:
                if number in found["failed"]:
                    return (self._why_failed(folder, number) or {}).get("captured") is not False
                is_there = number in found["result"]
                return not is_there or self.read_version(folder, place, number).about.get("captured") is not False
        except UNREADABLE:
            return True  # or it has not run

    def _make_empty(self, place: Place, name: str) -> None:
        folder = self.made_folder(*layout.place_levels(place))
        try:
            self.files.touch(folder, name)
        finally:
            self.files.close_folder(folder)

    def retire(self, in_use: Mapping[Place, int]) -> None:
        """Forget older versions: `in_use` says which one stays at each place, besides the newest of the others.

        For a run that ends. Does nothing while another one is at work, and never fails.
        """
        retire(self, in_use)
        if in_use:
            self.sweep()

    def sweep(self) -> None:
        """Remove for a moment what lies in the trash, unless another run is at work. Never fails."""
        sweep_trash(self, self.token)

    def accept(self, place: Place, version: Version, code: str, *, flush: bool = True) -> None:
        """Declare `version` good also for the code with the digest `code`. Of two who accept at once one may be lost.

        Without `flush` it may be lost with the power, too. Raises MissingResult if `version` was cleared or replaced,
        CacheError if that cannot be written.
        """
        self.rules.allow_writing()
        number = version.record.number
        try:
            with self.held(*layout.place_levels(place)) as folder:
                now = self.read_version(folder, place, number)
                if not _is_same(now, version):
                    raise MissingResult(f"result {version.path} was cleared, and computed anew")
                codes = (self.accepted(folder, now) or frozenset()) | {code}
                self.put(folder, layout.accept_file(number), accept_text(now, codes, self.key), flush=flush)
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError) as error:
            raise MissingResult(f"result {version.path} is not there any more: {error}") from error
        except OSError as error:
            raise CacheError(f"cannot write to cache {self.root!r}: {error}") from error

    def keep_code(self, name: str, digest: str, content: Mapping[str, object]) -> None:
        """Store what the digest of some code of the class `name` stands for (JSON), once; never fails."""
        if self.code(name, digest) is None:
            self._put_code(name, layout.code_file(digest), content)

    def code(self, name: str, digest: str) -> Mapping[str, Any] | None:
        """What was stored of the code `digest`; None if nothing was, or it cannot be read."""
        return self._code(name, layout.code_file(digest))

    def keep_reported(self, name: str, digest: str, words: Iterable[str]) -> None:
        """Remember what runs have reported of some code, in place of what was remembered before; never fails."""
        self._put_code(name, layout.reported_file(digest), {"told": sorted(words)})

    def reported(self, name: str, digest: str) -> frozenset[str]:
        """What runs have reported of some code already, as far as it is remembered."""
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
            pass  # read-only, full, or cleared just now: it is for people, and no run should fail for it

    def _code(self, name: str, file: str) -> Mapping[str, Any] | None:
        try:
            with self.held(*layout.code_levels(name)) as folder:
                return self.read_code_file(folder, file)
        except (OSError, LinkInCache):
            return None

    def read_code_file(self, folder: Folder, name: str) -> Mapping[str, Any] | None:
        """What a file in a folder of code says; None if it is missing or torn."""
        try:
            content = json.loads(self.small(folder, name, _LONGEST_CODE))
        except (OSError, ValueError, RecursionError):
            return None
        return content if isinstance(content, dict) else None

    def failure(self, place: Place) -> Mapping[str, Any] | None:
        """What is known of the newest attempt, if it failed: `error`, and what else `fail` was told; for people."""
        try:
            with self.held(*layout.place_levels(place)) as folder:
                found = layout.numbers(self.files.listdir(folder))
                number = layout.highest_number(found)
                return self._why_failed(folder, number) if number and number in found["failed"] else None
        except (FileNotFoundError, NotADirectoryError, LinkInCache):
            return None

    def _why_failed(self, folder: Folder, number: int) -> Mapping[str, Any] | None:
        """What a failed attempt was ended with; None if that cannot be read, or nothing was said."""
        try:
            content = self.small(folder, layout.failed_file(number), _LONGEST_FAILURE)
            end = content.find(b"\x00", 10) + 11  # of the head
            return read_comment(content[end:])
        except UNREADABLE:
            return None

    def newest_attempt(self, folder: Folder, names: list[str]) -> int:
        """The number of the newest attempt that ran, or runs; 0 if none has, and `names` are those in the folder.

        One that was given up before it ran, since a version was found to be fresh, has nothing to say.
        """
        kinds = layout.numbers(names)
        for number in sorted(itertools.chain(*kinds.values()), reverse=True):
            printed = any(layout.log_file(stream, number) in names for stream in layout.STREAMS)
            if number not in kinds["failed"] or printed or self._why_failed(folder, number) is not None:
                return number
        return 0

    def clear(self, place: Place) -> bool:
        """Forget all of `place`: one rename. Whether there was anything. CacheError if that cannot be done."""
        return self._forget(*layout.place_levels(place))

    def clear_all(self, name: str) -> bool:
        """Forget every result of the class `name`: one rename. Whether there was anything."""
        return self._forget(layout.folder_name(name))

    def _forget(self, *levels: str) -> bool:
        moved = discard(self, *levels)
        if moved:
            sweep_trash(self)  # not while our own run is at work either
        return moved


def _is_same(one: Version, other: Version) -> bool:
    return (one.head_digest, one.digest) == (other.head_digest, other.digest)


def _try(change: Callable[[], object]) -> None:
    try:
        change()
    except LinkInCache:
        raise
    except (OSError, CacheError):
        pass  # a read-only cache still tells where things would be
