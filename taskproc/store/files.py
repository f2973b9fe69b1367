"""Every file operation of the store, in one small object, so that a test can count them, fail them or die between them.

A *folder* is an open directory descriptor: what is reached through it stays the same directory when somebody renames it
away. Where the system has no such descriptors (Windows) it is a path, and the guards of the store are weaker by that.

On a network folder a descriptor of a folder may show for ever what was there when it was opened, so whoever looks again
opens it once more; and others may see what was written only when it was closed.

Two operations have one winner among many: to make a new name, and to rename without replacing anything. The losers get
FileExistsError. A network folder may give any error instead (sshfs: EPERM), so an error of creation is believed only
when it comes again and again, and the name was looked for and is not there.
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
_SMALL = 1 << 16  # bytes that are rather copied than written one by one
_JUNCTION = 0xA0000003  # of Windows: IO_REPARSE_TAG_MOUNT_POINT
_MOST = 1 << 30   # bytes that every system writes at once
Made = TypeVar("Made")

_MAKE = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_LOOK = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_FOLLOWS = os.access not in os.supports_follow_symlinks  # links, where it cannot do otherwise
_TRIES = 3
_NO_REPLACE = 1  # RENAME_NOREPLACE of linux/fs.h
# What a system or a file system answers that has no such rename; seccomp: EPERM
_REFUSALS = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM})


class IsLink(NotADirectoryError):
    """A link stands where a folder of ours is expected; `filename` tells where."""


class Files:
    """The operations, thin over `os`; every one may raise OSError."""

    _must_look = False  # before a rename: the system, or the file system, has refused to do both at once

    def mkdir(self, folder: Folder, name: str, mode: int = 0o777) -> bool:
        """Make one directory in a folder; False if something has its name."""
        return make_folder(*_at(folder, name), mode)

    def listdir(self, folder: Folder) -> list[str]:
        """Names in a folder, in no order; by descriptor perhaps those that were there when it was opened."""
        return os.listdir(folder)

    def list_anew(self, folder: Folder) -> list[str]:
        """Names that are in a folder now: it is opened once more, and the new descriptor asked."""
        if not isinstance(folder, int):
            return self.listdir(folder)
        handle = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
        try:
            return self.listdir(handle)
        finally:
            os.close(handle)

    def scandir(self, folder: Folder) -> list[os.DirEntry[str]]:
        """Entries of a directory, in no order; empty if there is none."""
        try:
            with os.scandir(folder) as entries:
                return list(entries)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def few(self, folder: Folder, most: int) -> list[str]:
        """Names in a folder, in no order, `most` of them at most; empty if there is none."""
        try:
            with os.scandir(folder) as entries:
                return [entry.name for entry in itertools.islice(entries, most)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def open_folder(self, at: Folder, inside: Sequence[str] = ()) -> Folder:
        """Hold the directory that is reached from `at` by the names `inside`, by descriptor where the system can.

        Each level is opened through the one above, so no link is followed at any of them: not at the last part of a
        path `at`, and not inside. What lies above that is the user's, and may be reached through links. IsLink if there
        is one; NotADirectoryError for anything else that is no directory.
        """
        if not _HAS_FOLDERS:
            return _looked_at(str(at), inside)
        held, name = (at, "") if isinstance(at, int) else (None, at)
        try:
            if held is None:
                held = os.open(name, _FOLDER)
            for name in inside:
                above, held = held, os.open(name, _FOLDER, dir_fd=held)
                if above != at:
                    close_descriptor(above)
        except OSError as error:
            # Systems differ in what they say of a link: ENOTDIR, ELOOP or EMLINK. Here it is refused already
            is_linked = not isinstance(error, FileNotFoundError) and entry_kind(name, held) == "link"
            if held is not None and held != at:
                close_descriptor(held)
            if is_linked:
                raise IsLink(errno.ENOTDIR, "is a link, not a folder", name) from None
            raise
        return held

    def close_folder(self, folder: Folder) -> None:
        """Let go of it. No error: nothing was written through it."""
        if isinstance(folder, int):
            close_descriptor(folder)

    def make(self, folder: Folder, name: str) -> int:
        """Make a new file, by one caller of many; FileExistsError for all others."""
        return make_file(*_at(folder, name))

    def has(self, folder: Folder, name: str) -> bool:
        """Whether a name is there now, whatever a cache of a network folder knows of it."""
        return exists_now(*_at(folder, name))

    def own(self, folder: Folder, name: str) -> int:
        """Open an existing regular file to read it and to go on at its end; never follows a link."""
        handle = _regular(_open(folder, name, _OWN), name)
        os.lseek(handle, 0, os.SEEK_END)
        return handle

    def read_only(self, folder: Folder, name: str) -> int:
        """Open an existing regular file for reading; never follows a link, never waits for a pipe's other end."""
        return _regular(_open(folder, name, _READ), name)

    def tail(self, folder: Folder, name: str, most: int) -> tuple[bytes, int, int]:
        """The last bytes of a regular file, `most` at most, how many it has in all, and whose it is; see read_only."""
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
        """Bytes in an open file, and whose it is."""
        status = os.fstat(handle)
        return status.st_size, status.st_uid

    def modified(self, handle: int) -> int:
        """When it was last changed, by the clock of its file system: to tell files apart, not to be compared."""
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
        """What has a name in a folder: file, folder or link; empty if there is nothing."""
        return entry_kind(*_at(folder, name))

    def target(self, folder: Folder, name: str) -> str:
        """Where a link leads, as it says."""
        path, at = _at(folder, name)
        return os.readlink(path, dir_fd=at)

    def sign(self, folder: Folder) -> tuple[int, int] | None:
        """Inode of a directory, and when it was last changed in nanoseconds; None if there is none, or a link.

        None also where the system keeps another time (Windows). A path is opened for it, and a descriptor is to be new:
        a network folder may answer others from its cache, and NFS asks the server at each opening.
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
        """Up to `size` bytes from `offset`; fewer at the end of the file."""
        return _read(handle, size, offset)

    def read_into(self, handle: int, target: memoryview, offset: int) -> int:
        """Fill `target` with bytes from `offset`, as far as they come at once; returns how many."""
        if hasattr(os, "preadv"):
            return os.preadv(handle, [target], offset)
        content = _read_at(handle, len(target), offset)
        target[: len(content)] = content
        return len(content)

    def append(self, handle: int, *contents: bytes | memoryview) -> None:
        """Write all of `contents` at the end, by one call of the system if they are small."""
        # Where a handle stands is its end: it is moved by writing only, see `own` and `read`
        if sum(map(len, contents)) <= _SMALL:
            _write(handle, b"".join(contents))
            return
        for content in contents:
            _write(handle, content)

    def cut(self, handle: int, size: int) -> None:
        """Let go of all beyond the first `size` bytes; what is appended then follows these."""
        os.ftruncate(handle, size)
        os.lseek(handle, 0, os.SEEK_END)

    def sync(self, handle: int) -> None:
        """Wait until an open file is on the disk."""
        os.fsync(handle)

    def sync_folder(self, folder: Folder) -> None:
        """Wait until the names in a folder are on the disk; does nothing where the system cannot."""
        if not _HAS_FOLDERS:
            return
        handle = folder if isinstance(folder, int) else os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            if handle != folder:
                os.close(handle)

    def close(self, handle: int) -> None:
        """Close an open file; on a network folder this is where a write may fail."""
        os.close(handle)

    def rename(self, folder: Folder, old: str, new: str, replaces: bool = False) -> None:
        """Rename within a folder. FileExistsError if `new` is there, unless it `replaces` that.

        The two are one act where there is such a rename: on Linux, but on few network folders. Elsewhere the name is
        looked for first, and somebody may make it in between.
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
        """Remove a file; it is no error if it is gone."""
        path, at = _at(folder, name)
        try:
            os.unlink(path, dir_fd=at)
        except FileNotFoundError:
            pass

    def move_out(self, folder: Folder, name: str, target: Folder, new: str) -> bool:
        """Rename what is in a folder to a name in another one; False if there is nothing."""
        (old, at), (path, there) = _at(folder, name), _at(target, new)
        try:
            os.rename(old, path, src_dir_fd=at, dst_dir_fd=there)
        except FileNotFoundError:
            return False
        return True

    def remove_tree(self, folder: Folder, name: str, goes_on: Callable[[], bool] = lambda: True) -> bool:
        """Remove what is in a folder, with all in it; False if something stays, since it cannot be removed.

        Args:
            goes_on: asked after each file; once it says no, all that is left stays.
        """
        if isinstance(folder, int):
            return Removal(folder, goes_on).remove(name)
        return remove_by_path(os.path.join(folder, name))

    def touch(self, folder: Folder, name: str) -> None:
        """Make an empty file, or find a file there; never follows a link."""
        os.close(_open(folder, name, _APPEND))

    def write_text(self, folder: Folder, name: str, text: str) -> None:
        """Write a small file, in place of what was in it."""
        handle = _open(folder, name, _REWRITE)
        try:
            _write(handle, text.encode("utf-8", "backslashreplace"))
        finally:
            os.close(handle)


def entry_kind(name: str, at: int | None = None) -> str:
    """What has that name: file, folder, link, or empty if there is nothing. A junction of Windows is a link."""
    try:
        status = os.stat(name, dir_fd=at, follow_symlinks=False)
    except (OSError, ValueError):
        return ""  # or a path that no file system takes
    if stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == _JUNCTION:
        return "link"
    return "folder" if stat.S_ISDIR(status.st_mode) else "file"


def _looked_at(at: str, inside: Sequence[str]) -> str:
    """The same where there are no descriptors: each level is looked at, and may be another one right after that."""
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
    """Make a file and open it, below the folder `at` if that is given. FileExistsError if the name is there."""
    try:
        return os.open(path, _MAKE, mode, dir_fd=at)
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError:
        return _made(lambda: os.open(path, _MAKE, mode, dir_fd=at), path, at)


def make_folder(path: str, at: int | None = None, mode: int = 0o777) -> bool:
    """Make one directory, below the folder `at` if that is given; False if the name is there."""
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
    return make()  # the winner has renamed it meanwhile; or the error is true


def exists_now(path: str, at: int | None = None) -> bool:
    """Whether a name is there now. A cache of a network folder may know one that is gone, so this one is opened."""
    if not os.access(path, os.F_OK, dir_fd=at, follow_symlinks=_FOLLOWS):
        return False
    try:
        os.close(os.open(path, _LOOK, dir_fd=at))
    except FileNotFoundError:
        return False
    except OSError:
        pass  # a link, a socket, or not ours to read
    return True


def rename_exclusively(old: str, new: str, at: int) -> bool:
    """Rename within the folder `at`, FileExistsError if `new` is there, as one act. False: there is no such rename."""
    call = _renameat2()
    number = errno.ENOSYS if call is None else call(at, os.fsencode(old), os.fsencode(new))
    if number == 0:
        return True
    if number in _REFUSALS:
        return False  # the plain rename_exclusively says whether it is one
    raise OSError(number, os.strerror(number), old, None, new)


def exists_error(path: str) -> FileExistsError:
    """What is raised if a name is there."""
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)


@functools.cache
def _renameat2() -> Callable[[int, bytes, bytes], int] | None:
    """A call of renameat2 within a folder, that gives the number of the error or 0; None where there is none."""
    if sys.platform != "linux":
        return None
    import ctypes  # here: 1 ms, and most processes publish nothing

    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)

    def renamed(at: int, old: bytes, new: bytes) -> int:
        return ctypes.get_errno() if call(at, old, at, new, _NO_REPLACE) else 0

    return renamed
