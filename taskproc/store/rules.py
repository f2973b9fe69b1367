"""How a cache is kept: what is flushed, what stays, who signs, whose files count.

Rules travel with every job, so they hold paths, numbers and names only; the key stays in its file.
"""
from __future__ import annotations

import os
from typing import Literal, get_args

from taskproc.checks import at_least
from taskproc.errors import CacheError, OptionError
from taskproc.folders import absolute_path
from taskproc.frozen import frozen

Durability = Literal["none", "result", "full"]


@frozen
class Rules:
    """What holds for one cache folder.

    Attributes:
        durability: what is flushed to the disk: nothing, results that took more than 20 ms to make, or every result
            with the folder that it lies in.
        keep_versions: how many versions stay besides the one in use.
        key_file: path of the key that results are signed with; None: they are not signed.
        shared: whether files count whoever owns them.
        owners: user ids whose files count, besides root and whoever reads.
        refusal: why nothing may be written there; empty if it may.
    """

    durability: Durability = "result"
    keep_versions: int = 1
    key_file: str | None = None
    shared: bool = False
    owners: frozenset[int] = frozenset()
    refusal: str = ""

    def trusts(self, owner: int) -> bool:
        """Whether files of the user `owner` count. On Windows they all do, since there everything is of user 0."""
        return self.shared or owner == 0 or owner in self.owners or owner == own_uid()

    def flushes(self, seconds: float) -> bool:
        """Whether a result that took `seconds` to make is flushed to the disk before it is published."""
        return self.durability == "full" or (self.durability == "result" and seconds >= LONG_ENOUGH)

    def allow_writing(self) -> None:
        """CacheError if nothing may be written."""
        if self.refusal:
            raise CacheError(self.refusal)


LONG_ENOUGH = 0.02  # seconds of work that are worth the half millisecond of an fsync
KEY_FILE_VARIABLE = "TASKPROC_KEY_FILE"
SHARED_VARIABLE = "TASKPROC_SHARED"


def checked(durability: object, keep_versions: object, key_file: object, shared: object) -> Rules:
    """Rules as a user gave them, for files of this process's user. OptionError names the option that is wrong."""
    kind: Durability | None = next((kind for kind in get_args(Durability) if kind == durability), None)
    if kind is None:
        raise OptionError(f"durability must be 'none', 'result' or 'full', got {durability!r}")
    keep = at_least(keep_versions, 0, "keep_versions")
    if not isinstance(shared, bool):
        raise OptionError(f"shared must be True or False, got {shared!r}")
    shared = shared or os.environ.get(SHARED_VARIABLE, "") not in ("", "0")
    return Rules(kind, keep, _key_path(key_file), shared, frozenset({own_uid()}))


def _key_path(given: object) -> str | None:
    if given is None:
        given = os.environ.get(KEY_FILE_VARIABLE) or None
    if given is None:
        return None
    if not isinstance(given, (str, os.PathLike)) or not isinstance(os.fspath(given), str) or not os.fspath(given):
        # not the value itself: somebody may have given the key where its file was asked for
        raise OptionError(f"key_file must be the path of a file, got a {type(given).__name__}")
    return absolute_path(given)


def own_uid() -> int:
    """Whose files this process makes; 0 where the system has no such numbers."""
    return os.geteuid() if hasattr(os, "geteuid") else 0
