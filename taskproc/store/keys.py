"""The key that results are signed with: read from a file that is nobody else's, shown to nobody, sent nowhere."""
from __future__ import annotations

import hmac
import os
import stat
import sys

from taskproc.errors import CacheError
from taskproc.store.exclusive import make_file

LEAST, MOST = 16, 4096  # bytes of a key


class Key:
    """Signs. Where it is sent it travels as the path of its file, and is read again there.

    Raises:
        CacheError: the file is not there, not a key, or others may read or write it; the message has the remedy.
    """

    __slots__ = ("_bytes", "owners", "path")

    def __init__(self, path: str, owners: frozenset[int] = frozenset()):
        """`owners`: users who may own the file, besides root and this process's own."""
        self.path, self.owners = path, owners
        # No variable of a frame holds the key: some programs print them with a traceback
        self._bytes = _read(path, owners)
        if not LEAST <= len(self._bytes) <= MOST:
            raise CacheError(
                f"key file {path!r} must hold {LEAST} to {MOST:,} bytes, got {len(self._bytes):,}. "
                "Make one with taskproc.make_key_file(path)"
            )

    def sign(self, content: bytes) -> bytes:
        """HMAC-SHA256 of `content`."""
        return hmac.digest(self._bytes, content, "sha256")

    def __repr__(self) -> str:
        return f"Key({self.path!r})"

    def __reduce__(self) -> tuple[type[Key], tuple[str, frozenset[int]]]:
        return Key, (self.path, self.owners)


def make_key_file(path: str | os.PathLike[str]) -> None:
    """Make a file with a new random key, readable by its owner only. CacheError if it is there, or cannot be made."""
    path = os.fspath(path)
    try:
        handle = make_file(path, mode=0o600)
        try:
            os.write(handle, os.urandom(32).hex().encode() + b"\n")
            os.fsync(handle)
        finally:
            os.close(handle)
    except FileExistsError:
        raise CacheError(f"key file {path!r} is there already, and is not replaced") from None
    except OSError as error:
        raise CacheError(f"key file {path!r} cannot be made: {error}") from error


def _read(path: str, owners: frozenset[int]) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        try:
            _refuse_exposed(path, os.fstat(handle), owners)
            # An editor may have ended the line
            return os.read(handle, MOST + 2).rstrip(b"\r\n")
        finally:
            os.close(handle)
    except FileNotFoundError:
        raise CacheError(f"key file {path!r} is not there. Make one with taskproc.make_key_file(path)") from None
    except OSError as error:
        raise CacheError(f"key file {path!r} cannot be read: {error}") from error


def _refuse_exposed(path: str, status: os.stat_result, owners: frozenset[int]) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise CacheError(f"key file {path!r} is not a regular file")
    if sys.platform == "win32":
        return  # access is not told by these bits there
    if status.st_uid not in owners | {0, os.geteuid()}:
        raise CacheError(f"key file {path!r} belongs to another user (uid {status.st_uid}): use one of your own")
    if status.st_mode & 0o077:
        raise CacheError(f"key file {path!r} can be read or written by others: chmod 600 {path!r}, or make a new one")
