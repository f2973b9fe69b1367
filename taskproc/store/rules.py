"""The rules of a cache: what is flushed and what stays, which key signs results, and whose files count.

Rules travel with every job, so they hold only paths, numbers and names. The key stays in its file, which only its owner
may read. The owner of a file cannot be faked, so the owner of each result is checked when it is opened. Here the folder
is checked, once, since the files of a run are reached through it by name.
"""
from __future__ import annotations

import hmac
import os
import stat
import sys
from pathlib import Path
from typing import Literal, get_args

from taskproc.checks import at_least
from taskproc.errors import CacheError, OptionError
from taskproc.folders import absolute_path
from taskproc.frozen import frozen
from taskproc.store.files import make_file

Durability = Literal["none", "result", "full"]
LONG_ENOUGH = 0.02  # seconds of work that are worth an fsync of half a millisecond
KEY_FILE_VARIABLE = "TASKPROC_KEY_FILE"
SHARED_VARIABLE = "TASKPROC_SHARED"
LEAST_KEY, MOST_KEY = 16, 4096  # bytes of a key


@frozen
class CacheRules:
    """The rules of one cache folder.

    Attributes:
        durability: what is flushed to the disk: nothing, results that took more than 20 ms to make, or every result
            and its folder.
        keep_versions: how many versions stay besides the one in use.
        keep_runs: how many journals of runs stay; 0: none is written.
        key_file: path of the key that results are signed with; None: they are not signed.
        shared: whether the files of all users are trusted.
        owners: user ids whose files are trusted, besides root and the user of this process.
        refusal: why nothing may be written to the cache; empty if writing is allowed.
    """

    durability: Durability = "result"
    keep_versions: int = 1
    key_file: str | None = None
    shared: bool = False
    owners: frozenset[int] = frozenset()
    refusal: str = ""
    keep_runs: int = 100

    def trusts(self, owner: int) -> bool:
        """Whether files of the user `owner` are trusted. On Windows all are: there every owner is 0."""
        return self.shared or owner == 0 or owner in self.owners or owner == own_uid()

    def flushes(self, seconds: float) -> bool:
        """Whether a result of a task that ran for `seconds` is flushed to the disk before it is published."""
        return self.durability == "full" or (self.durability == "result" and seconds >= LONG_ENOUGH)

    def allow_writing(self) -> None:
        """Raise CacheError if nothing may be written."""
        if self.refusal:
            raise CacheError(self.refusal)


def checked_rules(
    durability: object, keep_versions: object, key_file: object, shared: object, keep_runs: object = 100
) -> CacheRules:
    """The rules that a user has chosen; trusts files of this process's user. OptionError names a wrong option."""
    kind: Durability | None = next((kind for kind in get_args(Durability) if kind == durability), None)
    if kind is None:
        raise OptionError(f"durability must be 'none', 'result' or 'full', got {durability!r}")
    keep, journals = at_least(keep_versions, 0, "keep_versions"), at_least(keep_runs, 0, "keep_runs")
    if not isinstance(shared, bool):
        raise OptionError(f"shared must be True or False, got {shared!r}")
    shared = shared or os.environ.get(SHARED_VARIABLE, "") not in ("", "0")
    return CacheRules(kind, keep, _key_path(key_file), shared, frozenset({own_uid()}), keep_runs=journals)


def _key_path(path: object) -> str | None:
    if path is None:
        path = os.environ.get(KEY_FILE_VARIABLE) or None
    if path is None:
        return None
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str) or not os.fspath(path):
        # Without the value itself: it may be the key instead of its file
        raise OptionError(f"key_file must be the path of a file, got a {type(path).__name__}")
    return absolute_path(path)


def own_uid() -> int:
    """The user id of this process; 0 where the system has none."""
    return os.geteuid() if hasattr(os, "geteuid") else 0


class Key:
    """The key that results are signed with, read from a file. It is pickled as the path, and read again there.

    Raises:
        CacheError: the file is missing, is not a key, or other users may read or write it; the message has the remedy.
    """

    __slots__ = ("_bytes", "owners", "path")

    def __init__(self, path: str, owners: frozenset[int] = frozenset()):
        """`owners`: ids of users who may own the file, besides root and the user of this process."""
        self.path, self.owners = path, owners
        # No local variable holds the key: some programs print them with a traceback
        self._bytes = _key_bytes(path, owners)
        if not LEAST_KEY <= len(self._bytes) <= MOST_KEY:
            raise CacheError(
                f"key file {path!r} must hold {LEAST_KEY} to {MOST_KEY:,} bytes, got {len(self._bytes):,}. "
                "Create one with taskproc.make_key_file(path)"
            )

    def sign(self, content: bytes) -> bytes:
        """HMAC-SHA256 of `content`."""
        return hmac.digest(self._bytes, content, "sha256")

    def __repr__(self) -> str:
        return f"Key({self.path!r})"

    def __reduce__(self) -> tuple[type[Key], tuple[str, frozenset[int]]]:
        return Key, (self.path, self.owners)


def make_key_file(path: str | os.PathLike[str]) -> None:
    """Create a file with a new random key, readable only by its owner. CacheError if it exists or cannot be created."""
    path = os.fspath(path)
    try:
        handle = make_file(path, mode=0o600)
        try:
            os.write(handle, os.urandom(32).hex().encode() + b"\n")
            os.fsync(handle)
        finally:
            os.close(handle)
    except FileExistsError:
        raise CacheError(f"key file {path!r} already exists and is not replaced") from None
    except OSError as error:
        raise CacheError(f"key file {path!r} cannot be created: {error}") from error


def _key_bytes(path: str, owners: frozenset[int]) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        try:
            _refuse_exposed_key(path, os.fstat(handle), owners)
            # An editor may have added the end of a line
            return os.read(handle, MOST_KEY + 2).rstrip(b"\r\n")
        finally:
            os.close(handle)
    except FileNotFoundError:
        raise CacheError(f"key file {path!r} does not exist. Create one with taskproc.make_key_file(path)") from None
    except OSError as error:
        raise CacheError(f"key file {path!r} cannot be read: {error}") from error


def _refuse_exposed_key(path: str, status: os.stat_result, owners: frozenset[int]) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise CacheError(f"key file {path!r} is not a regular file")
    if sys.platform == "win32":
        return  # there these bits do not say who has access
    if status.st_uid not in owners | {0, os.geteuid()}:
        raise CacheError(f"key file {path!r} belongs to another user (uid {status.st_uid}): use one of your own")
    if status.st_mode & 0o077:
        raise CacheError(f"key file {path!r} is not private, other users may read or write it: chmod 600 {path!r}")


def refuse_exposed(path: Path, rules: CacheRules) -> None:
    """Raise CacheError if users who are not trusted can write to the cache folder `path`."""
    if rules.shared or sys.platform == "win32":
        return
    for folder in (path, path / "run"):
        try:
            status = folder.stat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise CacheError(f"cache {str(path)!r} cannot be read: {error}") from error
        if why := _exposure(status, rules):
            is_ours = status.st_uid == own_uid()
            remedy = f"chmod go-w {str(folder)!r}" if is_ours else "Use a folder of your own"
            raise CacheError(
                f"cache folder {str(folder)!r} {why}, and loading a result can run any code. "
                f"{remedy}, or use Cache(..., shared=True) if you trust them all"
            )


def _exposure(status: os.stat_result, rules: CacheRules) -> str:
    if not rules.trusts(status.st_uid):
        return f"belongs to another user ({_user(status.st_uid)})"
    if status.st_mode & stat.S_ISVTX:
        return ""  # other users may add files, which are seen to be theirs, but cannot move ours
    if status.st_mode & stat.S_IWOTH:
        return "can be written by all users"
    if status.st_mode & stat.S_IWGRP and not is_private_group(status.st_gid, rules):
        return f"can be written by the group {_group(status.st_gid)}"
    return ""


def is_private_group(group: int, rules: CacheRules) -> bool:
    """Whether all members of a group are trusted users.

    Many systems give each user a group of the same name and a umask of 002, so that new files are writable by a group
    of one. A group without a name, as in many containers, is private if its number is that of a trusted user.
    """
    if sys.platform == "win32":
        return True
    import grp
    import pwd

    users = rules.owners | {0, own_uid()}
    try:
        entry = grp.getgrgid(group)
    except KeyError:
        return group in users
    names = set()
    for user in users:
        try:
            names.add(pwd.getpwuid(user).pw_name)
        except KeyError:
            continue  # it has no name, as in many containers
    return entry.gr_name in names and names.issuperset(entry.gr_mem)


def _user(number: int) -> str:
    if sys.platform != "win32":
        import pwd

        try:
            return f"{pwd.getpwuid(number).pw_name}, uid {number}"
        except KeyError:
            pass  # it has no name here
    return f"uid {number}"


def _group(number: int) -> str:
    if sys.platform != "win32":
        import grp

        try:
            return repr(grp.getgrgid(number).gr_name)
        except KeyError:
            pass  # it has no name here
    return str(number)
