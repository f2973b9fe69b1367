"""Every file operation of the store, in one small object, so that a test can count them, fail them or die between them.

A *folder* is an open directory descriptor: it stays the same directory when another process renames it. On Windows it
is a path, and the store is less well guarded.

On a network folder, a descriptor of a folder may for ever show the names of the moment when it was opened, so a
second look opens it again. Other machines may see written bytes only after the file was closed.

Two operations have one winner among many: to make a new name, and to rename without replacing anything. The losers get
FileExistsError. A network folder may give any error instead (sshfs: EPERM), so an error of creation is believed only
when it comes again and again and the name does not exist.
"""
from __future__ import annotations

import errno
import functools
import itertools
import os
import stat
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar, Union

from taskproc.store.removal import Removal, close_descriptor, remove_by_path

Folder = Union[int, str]

_HAS_FOLDERS = {os.open, os.mkdir, os.rename, os.stat, os.unlink, os.rmdir} <= os.supports_dir_fd and (
    {os.listdir, os.scandir} <= os.supports_fd
)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_OWN = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_REWRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_SMALL = 1 << 16  # bytes up to which contents are joined and written by one call
_JUNCTION = 0xA0000003  # IO_REPARSE_TAG_MOUNT_POINT of Windows
_MOST = 1 << 30  # bytes that every system writes by one call
Made = TypeVar("Made")

_MAKE = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_LOOK = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_FOLLOWS = os.access not in os.supports_follow_symlinks  # follow links only where the system has no other way
_TRIES = 3
_NO_REPLACE = 1  # RENAME_NOREPLACE of linux/fs.h
# Errors of systems and file systems without such a rename; seccomp gives EPERM
_REFUSALS = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM})


class IsLink(NotADirectoryError):
    """A link stands where a folder of the cache is expected; `filename` is its name."""


class Files:
    """The operations, thin over `os`. Each of them may raise OSError."""

    _must_look = False  # for the new name before a rename: the system or file system cannot do both in one step

    def mkdir(self, folder: Folder, name: str, mode: int = 0o777) -> bool:
        """Create one directory in a folder; False if the name exists."""
        return make_folder(*_at(folder, name), mode)

    def listdir(self, folder: Folder) -> list[str]:
        """Names in a folder, in no order; through a descriptor possibly those of the moment when it was opened."""
        return os.listdir(folder)

    def list_anew(self, folder: Folder) -> list[str]:
        """Names that are in a folder now: it is opened again, and the new descriptor is listed."""
        if not isinstance(folder, int):
            return self.listdir(folder)
        handle = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
        try:
            return self.listdir(handle)
        finally:
            os.close(handle)

    def scandir(self, folder: Folder) -> list[os.DirEntry[str]]:
        """Entries of a directory, in no order; empty if it does not exist."""
        try:
            with os.scandir(folder) as entries:
                return list(entries)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def few(self, folder: Folder, most: int) -> list[str]:
        """At most `most` names in a folder, in no order; empty if it does not exist."""
        try:
            with os.scandir(folder) as entries:
                return [entry.name for entry in itertools.islice(entries, most)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def open_folder(self, at: Folder, inside: Sequence[str] = ()) -> Folder:
        """Open the directory that the names `inside` lead to from `at`, as a descriptor where the system has them.

        Each level is opened through the one above, so no link is followed: neither the last part of a path `at` nor
        any level inside. The folders above `at` are the user's and may be links. Raises IsLink for a link, and
        NotADirectoryError for anything else that is not a directory.
        """
        if not _HAS_FOLDERS:
            return _checked_path(str(at), inside)
        held, name = (at, "") if isinstance(at, int) else (None, at)
        try:
            if held is None:
                held = os.open(name, _FOLDER)
            for name in inside:
                above, held = held, os.open(name, _FOLDER, dir_fd=held)
                if above != at:
                    close_descriptor(above)
        except OSError as error:
            # For a link, systems raise ENOTDIR, ELOOP or EMLINK
            is_linked = not isinstance(error, FileNotFoundError) and entry_kind(name, held) == "link"
            if held is not None and held != at:
                close_descriptor(held)
            if is_linked:
                raise IsLink(errno.ENOTDIR, "is a link, not a folder", name) from None
            raise
        return held

    def close_folder(self, folder: Folder) -> None:
        """Close a folder. Raises nothing: nothing was written through it."""
        if isinstance(folder, int):
            close_descriptor(folder)

    def make(self, folder: Folder, name: str) -> int:
        """Create a file and open it. Of many callers one succeeds, the others get FileExistsError."""
        return make_file(*_at(folder, name))

    def has(self, folder: Folder, name: str) -> bool:
        """Whether a name exists now, even if the cache of a network folder says otherwise."""
        return exists_now(*_at(folder, name))

    def open_to_append(self, folder: Folder, name: str) -> int:
        """Open an existing regular file for reading, and for writing at its end; never follows a link."""
        handle = _regular(_open(folder, name, _OWN), name)
        os.lseek(handle, 0, os.SEEK_END)
        return handle

    def read_only(self, folder: Folder, name: str) -> int:
        """Open an existing regular file for reading; never follows a link, never waits for the other end of a pipe."""
        return _regular(_open(folder, name, _READ), name)

    def tail(self, folder: Folder, name: str, most: int) -> tuple[bytes, int, int]:
        """At most `most` last bytes of a regular file, its size, and the user id of its owner; see read_only."""
        handle = _open(folder, name, _READ)
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file", name)
            size = status.st_size
            return _read(handle, *((size, 0) if size <= most else (most, size - most))), size, status.st_uid
        finally:
            os.close(handle)

    def size_and_owner(self, handle: int) -> tuple[int, int]:
        """Size of an open file in bytes, and the user id of its owner."""
        status = os.fstat(handle)
        return status.st_size, status.st_uid

    def modified(self, handle: int) -> int:
        """Time of the last change in ns, by the clock of the file system: it tells files apart, but is not our time."""
        return os.fstat(handle).st_mtime_ns

    def identity(self, handle: int) -> tuple[int, int]:
        """Device and inode of an open file."""
        status = os.fstat(handle)
        return status.st_dev, status.st_ino

    def identity_of(self, folder: Folder, name: str) -> tuple[int, int]:
        """Device and inode of a name."""
        path, at = _at(folder, name)
        status = os.stat(path, dir_fd=at, follow_symlinks=False)
        return status.st_dev, status.st_ino

    def kind(self, folder: Folder, name: str) -> str:
        """The kind of an entry: file, folder or link; empty if it does not exist."""
        return entry_kind(*_at(folder, name))

    def target(self, folder: Folder, name: str) -> str:
        """The target of a link, as it is written in it."""
        path, at = _at(folder, name)
        return os.readlink(path, dir_fd=at)

    def sign(self, folder: Folder) -> tuple[int, int] | None:
        """Inode of a directory, and the time of its last change in ns; None if it does not exist or is a link.

        Also None on Windows, which stores a different time. A path is opened, and a descriptor must be new: a network
        folder may answer for an old one from its cache, and NFS asks the server each time a file is opened.
        """
        if not _HAS_FOLDERS:
            return None
        try:
            handle = folder if isinstance(folder, int) else os.open(folder, _FOLDER)
        except OSError:
            return None
        try:
            status = os.fstat(handle)
            return status.st_ino, status.st_ctime_ns
        finally:
            if handle != folder:
                os.close(handle)

    def read(self, handle: int, size: int, offset: int) -> bytes:
        """`size` bytes from `offset`; fewer at the end of the file."""
        return _read(handle, size, offset)

    def read_into(self, handle: int, target: memoryview, offset: int) -> int:
        """Read into `target` from `offset` with one system call; returns the number of bytes."""
        if hasattr(os, "preadv"):
            return os.preadv(handle, [target], offset)
        content = _read_at(handle, len(target), offset)
        target[: len(content)] = content
        return len(content)

    def append(self, handle: int, *contents: bytes | memoryview) -> None:
        """Write all of `contents` at the end, with one system call if they are small."""
        # The position of a handle is its end: only writing moves it, see `own` and `read`
        if sum(map(len, contents)) <= _SMALL:
            _write(handle, b"".join(contents))
            return
        for content in contents:
            _write(handle, content)

    def cut(self, handle: int, size: int) -> None:
        """Cut an open file after `size` bytes; the next append goes there."""
        os.ftruncate(handle, size)
        os.lseek(handle, 0, os.SEEK_END)

    def sync(self, handle: int) -> None:
        """Wait until an open file is on the disk."""
        os.fsync(handle)

    def sync_folder(self, folder: Folder) -> None:
        """Wait until the names in a folder are on the disk; does nothing where the system has no way to."""
        if not _HAS_FOLDERS:
            return
        handle = folder if isinstance(folder, int) else os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            if handle != folder:
                os.close(handle)

    def close(self, handle: int) -> None:
        """Close an open file; on a network folder, a failed write may be reported only here."""
        os.close(handle)

    def rename(self, folder: Folder, old: str, new: str, replaces: bool = False) -> None:
        """Rename within a folder. FileExistsError if `new` exists, unless `replaces`.

        Check and rename are one step on Linux, except on most network folders. Elsewhere the name is checked first, and
        another process may create it in between.
        """
        if not replaces and isinstance(folder, int) and not self._must_look:
            if rename_exclusively(old, new, folder):
                return
            self._must_look = True
        if not replaces and exists_now(*_at(folder, new)):
            raise exists_error(new)
        if isinstance(folder, int):
            os.replace(old, new, src_dir_fd=folder, dst_dir_fd=folder)
        else:
            os.replace(os.path.join(folder, old), os.path.join(folder, new))

    def unlink(self, folder: Folder, name: str) -> None:
        """Remove a file, if it exists."""
        path, at = _at(folder, name)
        try:
            os.unlink(path, dir_fd=at)
        except FileNotFoundError:
            pass

    def move_out(self, folder: Folder, name: str, target: Folder, new: str) -> bool:
        """Move an entry of a folder to another folder, under a new name; False if it does not exist."""
        (old, at), (path, there) = _at(folder, name), _at(target, new)
        try:
            os.rename(old, path, src_dir_fd=at, dst_dir_fd=there)
        except FileNotFoundError:
            return False
        return True

    def remove_tree(self, folder: Folder, name: str, goes_on: Callable[[], bool] = lambda: True) -> bool:
        """Remove an entry of a folder with everything in it; False if something could not be removed.

        Args:
            goes_on: called after each file; once it returns False, the removal stops.
        """
        if isinstance(folder, int):
            return Removal(folder, goes_on).remove(name)
        return remove_by_path(os.path.join(folder, name))

    def touch(self, folder: Folder, name: str) -> None:
        """Create an empty file unless a file exists; never follows a link."""
        os.close(_open(folder, name, _APPEND))

    def write_text(self, folder: Folder, name: str, text: str) -> None:
        """Write a small file, and replace its content if it exists."""
        handle = _open(folder, name, _REWRITE)
        try:
            _write(handle, text.encode("utf-8", "backslashreplace"))
        finally:
            os.close(handle)


def entry_kind(name: str, at: int | None = None) -> str:
    """The kind of an entry: file, folder, link; empty if it does not exist. A junction of Windows is a link."""
    try:
        status = os.stat(name, dir_fd=at, follow_symlinks=False)
    except (OSError, ValueError):
        return ""  # or a path that no file system allows
    if stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == _JUNCTION:
        return "link"
    return "folder" if stat.S_ISDIR(status.st_mode) else "file"


def _checked_path(at: str, inside: Sequence[str]) -> str:
    """The path instead of a descriptor: each level is checked, but may be replaced right after that."""
    path = at
    for level in itertools.accumulate(inside, os.path.join, initial=at):
        path = level
        if entry_kind(path) == "link":
            raise IsLink(errno.ENOTDIR, "is a link, not a folder", path)
        if not stat.S_ISDIR(os.stat(path).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    return path


def _at(folder: Folder, name: str) -> tuple[str, int | None]:
    return (name, folder) if isinstance(folder, int) else (f"{folder}{os.sep}{name}", None)


def _write(handle: int, content: bytes | memoryview) -> None:
    while (written := os.write(handle, content[:_MOST])) < len(content):
        content = memoryview(content)[written:]


def _read(handle: int, size: int, offset: int) -> bytes:
    first = _read_at(handle, min(size, _MOST), offset) if size > 0 else b""
    if len(first) == size or not first:
        return first
    parts = [first]
    size, offset = size - len(first), offset + len(first)
    while size > 0 and (part := _read_at(handle, min(size, _MOST), offset)):
        parts.append(part)
        size -= len(part)
        offset += len(part)
    return b"".join(parts)


def _read_at(handle: int, size: int, offset: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(handle, size, offset)
    os.lseek(handle, offset, os.SEEK_SET)
    try:
        return os.read(handle, size)
    finally:
        os.lseek(handle, 0, os.SEEK_END)


def _regular(handle: int, name: str) -> int:
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file", name)
    return handle


def _open(folder: Folder, name: str, flags: int) -> int:
    if isinstance(folder, int):
        return os.open(name, flags, 0o666, dir_fd=folder)
    return os.open(f"{folder}{os.sep}{name}", flags, 0o666)


def make_file(path: str, at: int | None = None, mode: int = 0o666) -> int:
    """Create a file and open it, below the folder `at` if that is given. FileExistsError if the name exists."""
    try:
        return os.open(path, _MAKE, mode, dir_fd=at)
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError:
        return _made(lambda: os.open(path, _MAKE, mode, dir_fd=at), path, at)


def make_folder(path: str, at: int | None = None, mode: int = 0o777) -> bool:
    """Create a directory, below the folder `at` if that is given; False if the name exists."""
    try:
        os.mkdir(path, mode, dir_fd=at)
    except FileExistsError:
        return False
    except FileNotFoundError:
        raise
    except OSError:
        try:
            _made(lambda: os.mkdir(path, mode, dir_fd=at), path, at)
        except FileExistsError:
            return False
    return True


def _made(make: Callable[[], Made], path: str, at: int | None) -> Made:
    for _ in range(_TRIES - 1):
        try:
            return make()
        except (FileExistsError, FileNotFoundError):
            raise
        except OSError as error:
            if exists_now(path, at):
                raise exists_error(path) from error
    return make()  # the winner has renamed it in the meantime; or it is another error, and raised


def exists_now(path: str, at: int | None = None) -> bool:
    """Whether a name exists now. The cache of a network folder may list a removed file, so the file is opened."""
    if not os.access(path, os.F_OK, dir_fd=at, follow_symlinks=_FOLLOWS):
        return False
    try:
        os.close(os.open(path, _LOOK, dir_fd=at))
    except FileNotFoundError:
        return False
    except OSError:
        pass  # a link, a socket, or not readable for us
    return True


def rename_exclusively(old: str, new: str, at: int) -> bool:
    """Rename within the folder `at` in one step. FileExistsError if `new` exists. False: not supported here."""
    call = _renameat2()
    number = errno.ENOSYS if call is None else call(at, os.fsencode(old), os.fsencode(new))
    if number == 0:
        return True
    if number in _REFUSALS:
        return False  # the plain rename raises it, if it was another error
    raise OSError(number, os.strerror(number), old, None, new)


def exists_error(path: str) -> FileExistsError:
    """The error for a name that exists."""
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)


@functools.cache
def _renameat2() -> Callable[[int, bytes, bytes], int] | None:
    """A call of renameat2 within a folder that returns the error number or 0; None if the system has none."""
    if sys.platform != "linux":
        return None
    import ctypes  # here: 1 ms, and most processes publish no result

    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)

    def renamed(at: int, old: bytes, new: bytes) -> int:
        return ctypes.get_errno() if call(at, old, at, new, _NO_REPLACE) else 0

    return renamed
