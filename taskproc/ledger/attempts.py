"""What the folder of a task says about its newest attempt: its state, and its record or why it failed.

    good      it is the newest version, whose record is verified; its value is verified when it is loaded
    claimed   it runs, as far as this machine can see
    failed    it failed or was interrupted; or its run has died
    damaged   it is a version that cannot be used: damaged, not trusted, or moved aside
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from taskproc.frozen import frozen
from taskproc.store import layout
from taskproc.store.claims import is_held
from taskproc.store.disk import DiskStore
from taskproc.store.files import Folder
from taskproc.store.folder import UNREADABLE, Untrusted

STATES = ("good", "failed", "claimed", "damaged")
_DIED = "its run has died"
_MOVED = "its bytes were not those that were written, so it was moved aside"
_TRIES = 3


@frozen
class StoredAttempt:
    """The newest attempt of a task that ran, or runs.

    Attributes:
        number: 0 if there was none.
        state: one of STATES.
        record: the fields of the record of a good version, else empty.
        size: bytes of the file of a good version.
        error: why it failed, or why the version cannot be used.
        why: all that was stored about a failure.
    """

    number: int
    state: str
    record: Mapping[str, Any]
    size: int = 0
    error: str = ""
    why: Mapping[str, Any] | None = None

    @property
    def about(self) -> Mapping[str, Any]:
        """What was recorded of the attempt for people."""
        about = self.record.get("about", self.why)
        return about if isinstance(about, Mapping) else {}


def newest_attempt(store: DiskStore, folder: Folder, names: Sequence[str]) -> StoredAttempt | None:
    """The newest attempt in an open folder of a task; None if none ever ran.

    Costs a read of one file: a record, the reason of a failure, or a claim.

    Args:
        names: the listing of the folder.
    """
    for _ in range(_TRIES):
        attempt = _look(store, folder, names)
        if attempt is not None or not names:
            return attempt
        names = store.files.list_anew(folder)  # a claim has become something else since the listing
        if not any(layout.numbers(names).values()):
            return None
    return None


def _look(store: DiskStore, folder: Folder, names: Sequence[str]) -> StoredAttempt | None:
    number = store.newest_attempt(folder, list(names))
    kinds = layout.numbers(names)
    if number in kinds["claim"]:
        return _claimed(store, folder, number)
    if number in kinds["result"]:
        return _published(store, folder, number)
    if number in kinds["bad"]:
        return StoredAttempt(number, "damaged", {}, error=_MOVED)
    return _ended(store, folder, number) if number else None


def _claimed(store: DiskStore, folder: Folder, number: int) -> StoredAttempt | None:
    if not store.files.has(folder, layout.claim_file(number)):
        return None
    held = is_held(store, folder, number)
    return StoredAttempt(number, "claimed", {}) if held else StoredAttempt(number, "failed", {}, error=_DIED)


def _published(store: DiskStore, folder: Folder, number: int) -> StoredAttempt | None:
    try:
        record, _, size = store.record(folder, number)
    except FileNotFoundError:
        return None
    except Untrusted as error:
        return StoredAttempt(number, "damaged", {}, error=f"{error}; it is not loaded")
    except UNREADABLE as error:
        return StoredAttempt(number, "damaged", {}, error=f"its record cannot be read: {error}")
    return StoredAttempt(number, "good", record, size)


def _ended(store: DiskStore, folder: Folder, number: int) -> StoredAttempt:
    why = store.why_failed(folder, number) or {}
    return StoredAttempt(number, "failed", {}, error=str(why.get("error", "")), why=why)
