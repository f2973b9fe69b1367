"""The contract of a store in a dict: for tests, and for runs that are to leave no trace.

Values are kept as pickles, so that what cannot be stored on disk cannot be stored here either, and what is loaded is
never shared. Holds within one process.
"""
from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taskproc.errors import MissingResult
from taskproc.frozen import replace
from taskproc.kernel.model import Elsewhere, Record, Stamp
from taskproc.kernel.rebuild import order_of
from taskproc.store.base import Claim, Facts, Pick, Place, Version
from taskproc.store.codec import loads, store_form
from taskproc.store.files import Files
from taskproc.store.manifest import NO_FILES, manifest_of


@dataclass
class _Shelf:
    """All that belongs to one place; a clear replaces it as a whole."""

    versions: dict[int, tuple[Version, bytes]] = field(default_factory=dict)
    highest: int = 0
    held: bool = False


class MemoryStore:
    """The store in this process's memory."""

    def __init__(self) -> None:
        self._shelves: dict[Place, _Shelf] = {}
        self._code: dict[tuple[str, str], Mapping[str, object]] = {}
        self._lock = threading.Lock()
        self._folders = tempfile.TemporaryDirectory(prefix="taskproc-")

    def look(self, place: Place) -> Iterator[Version]:
        """Published versions, newest first; see Store.look."""
        shelf = self._shelves.get(place, _Shelf())
        with self._lock:
            found = sorted(shelf.versions.items(), reverse=True)
        return iter([version for _, (version, _) in found])

    def load(self, version: Version) -> object:
        """The value of a version; see Store.load."""
        shelf = self._shelves.get(version.place, _Shelf())
        kept = shelf.versions.get(version.record.number)
        if kept is None or not _is_same(kept[0], version):
            raise MissingResult(f"result {version.path} is not there any more")
        try:
            return loads(kept[1])
        except Exception as error:  # whatever a class's own __setstate__ raises
            raise MissingResult(f"result {version.path} does not load: {type(error).__name__}: {error}") from error

    def claim(self, place: Place, arguments: Callable[[], str], pick: Pick, *, forced: bool = False) -> Claim:
        """The right to make the next version; see Store.claim."""
        with self._lock:
            shelf = self._shelves.setdefault(place, _Shelf())
            if shelf.held:
                return Elsewhere()
            newest_first = [kept for _, (kept, _) in sorted(shelf.versions.items(), reverse=True)]
            if (good := pick(iter(newest_first))) is not None:
                return good
            shelf.held = True
            shelf.highest += 1
            newest = shelf.versions[max(shelf.versions)][0] if shelf.versions else None
            nonce = secrets.token_hex(16) if forced or newest is None else newest.record.nonce
            return MemoryAttempt(self, place, shelf, nonce)

    def retire(self, in_use: Mapping[Place, int]) -> None:
        """Forget older versions, but for one; see Store.retire."""
        with self._lock:
            for place, number in in_use.items():
                versions = self._shelves.get(place, _Shelf()).versions
                others = sorted((other for other in versions if other != number), reverse=True)
                for old in others[1:] if number in versions else ():
                    del versions[old]

    def accept(self, place: Place, version: Version, code: str) -> None:
        """Declare `version` good for other code; see Store.accept."""
        with self._lock:
            versions = self._shelves.get(place, _Shelf()).versions
            kept = versions.get(version.record.number)
            if kept is None or not _is_same(kept[0], version):
                raise MissingResult(f"result {version.path} is not there any more")
            record = replace(kept[0].record, accepted=kept[0].record.accepted | {code})
            versions[version.record.number] = (replace(kept[0], record=record), kept[1])

    def keep_code(self, name: str, digest: str, content: Mapping[str, object]) -> None:
        """Keep what a digest of code stands for; see Store.keep_code."""
        self._code[name, digest] = content

    def code(self, name: str, digest: str) -> Mapping[str, Any] | None:
        """What was kept of some code; see Store.code."""
        return self._code.get((name, digest))

    def clear(self, place: Place) -> bool:
        """Forget all of `place`; see Store.clear."""
        with self._lock:
            return self._shelves.pop(place, None) is not None

    def clear_all(self, name: str) -> bool:
        """Forget every result of a class; see Store.clear_all."""
        with self._lock:
            gone = [place for place in self._shelves if place.name == name]
            for place in gone:
                del self._shelves[place]
            for known in [known for known in self._code if known[0] == name]:
                del self._code[known]
            return bool(gone)

    def places(self) -> Iterator[tuple[str, int]]:
        """Name and id of everything that is kept; see Store.places."""
        return iter([(place.name, place.id) for place in list(self._shelves)])


class MemoryAttempt:
    """A claim that is held; see Attempt."""

    def __init__(self, store: MemoryStore, place: Place, shelf: _Shelf, nonce: str):
        self.number = shelf.highest
        self._store, self._place, self._shelf, self._nonce = store, place, shelf, nonce
        self._directory: Path | None = None
        self._ended = False

    @property
    def directory(self) -> Path:
        """The data directory of this attempt; see Attempt.directory."""
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(dir=self._store._folders.name))
        return self._directory

    def commit(self, value: object, facts: Facts) -> Version | None:
        """Publish `value`; see Attempt.commit."""
        met: list[object] = []
        content = store_form(value, "", "its result", met)
        digest = hashlib.sha256(content).hexdigest()
        home = "" if self._directory is None else str(self._directory)
        manifest = manifest_of(Files(), *os.path.split(home), home) if home else NO_FILES
        files = None if manifest is None else manifest.digest
        value_half = facts.value(value, digest, met, files=files, home=home)
        stamp = Stamp(order_of(self._nonce, facts.needs), value_half)
        needs, settings = dict(facts.needs), dict(facts.settings)
        record = Record(self.number, self._nonce, stamp, facts.code, needs, settings, observed=facts.observed)
        path = f"memory:{self._place.key}/{self.number}"
        version = Version(self._place, path, record, head_digest=self._nonce, size=len(content), digest=digest)
        with self._store._lock:
            self._shelf.held, self._ended = False, True
            if self._store._shelves.get(self._place) is not self._shelf:
                return None
            self._shelf.versions[self.number] = (version, content)
            return version

    def fail(self, why: Mapping[str, object]) -> None:
        """End without a version; see Attempt.fail."""
        self.not_needed()

    def not_needed(self) -> None:
        """End without a version and without a word. Does nothing if the attempt has ended."""
        with self._store._lock:
            if not self._ended:
                self._shelf.held, self._ended = False, True


def _is_same(one: Version, other: Version) -> bool:
    return (one.record.number, one.record.stamp, one.digest) == (other.record.number, other.record.stamp, other.digest)
