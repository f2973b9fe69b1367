"""Every file operation of the store, in one small object, so that a test can count them, fail them or die between them.

A *folder* is an open directory descriptor: what is reached through it stays the same directory when somebody renames it
away. Where the system has no such descriptors (Windows) it is a path, and the guards of the store are weaker by that.

On a network folder a descriptor of a folder may show for ever what was there when it was opened, so whoever looks again
opens it once more; and others may see what was written only when it was closed. See exclusive.py for the rest.
"""
from __future__ import annotations

import errno
import itertools
import os
import stat
from typing import Union

from taskproc.store import exclusive

Folder = Union[int, str]

_HAS_FOLDERS = os.open in os.supports_dir_fd and os.rename in os.supports_dir_fd and os.listdir in os.supports_fd
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_OWN = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_REWRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_SMALL = 1 << 16  # bytes that are rather copied than written one by one
_MOST = 1 << 30   # bytes that every system writes at once


class Files:
    """The operations, thin over `os`; every one may raise OSError."""

    _must_look = False  # before a rename: the system, or the file system, has refused to do both at once

    def mkdir(self, path: str) -> bool:
        """Make one directory whose parents exist; False if it is there."""
        return exclusive.make_folder(path)

    def makedirs(self, path: str) -> None:
        """Make a directory with its parents, or find them there."""
        missing = [path]
        while not os.path.isdir(above := os.path.dirname(missing[-1])) and above != missing[-1]:
            missing.append(above)
        for folder in reversed(missing):
            if not exclusive.make_folder(folder) and not os.path.isdir(folder):
                raise exclusive.exists(folder)

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

    def few(self, path: str, most: int) -> list[str] | None:
        """Names in a directory, in no order; None if they are more than `most`. Empty if there is none."""
        try:
            with os.scandir(path) as entries:
                names = [entry.name for entry in itertools.islice(entries, most + 1)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return names if len(names) <= most else None

    def open_folder(self, path: str) -> Folder:
        """Hold a directory by descriptor, where the system can; never that which a link leads to."""
        if not _HAS_FOLDERS:
            if not os.path.isdir(path):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            return path
        try:
            return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno == errno.ELOOP:  # some systems say so of a link
                raise NotADirectoryError(errno.ENOTDIR, "is a link, not a folder", path) from None
            raise

    def close_folder(self, folder: Folder) -> None:
        """Let go of it."""
        if isinstance(folder, int):
            os.close(folder)

    def make(self, folder: Folder, name: str) -> int:
        """Make a new file, by one caller of many; FileExistsError for all others."""
        return exclusive.make_file(*_at(folder, name))

    def has(self, folder: Folder, name: str) -> bool:
        """Whether a name is there now, whatever a cache of a network folder knows of it."""
        return exclusive.is_there(*_at(folder, name))

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

    def sign(self, path: str) -> tuple[int, int] | None:
        """Inode of a directory, and when it was last changed in nanoseconds; None if there is none, or a link.

        None also where the system keeps another time (Windows). Asked of a new descriptor: a network folder may answer
        a path from its cache, and NFS asks the server at each opening.
        """
        if not _HAS_FOLDERS:
            return None
        try:
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            status = os.fstat(handle)
            return status.st_ino, status.st_ctime_ns
        finally:
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
            if exclusive.rename(old, new, folder):
                return
            self._must_look = True
        if not replaces and exclusive.is_there(*_at(folder, new)):
            raise exclusive.exists(new)
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

    def move_out(self, folder: Folder, name: str, new: str) -> None:
        """Rename what is in a folder to a path elsewhere; it is no error if it is gone."""
        path, at = _at(folder, name)
        try:
            os.rename(path, new, src_dir_fd=at)
        except FileNotFoundError:
            pass

    def move(self, old: str, new: str) -> bool:
        """Rename a path to another one; False if there is nothing."""
        try:
            os.rename(old, new)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def remove_tree(self, path: str) -> None:
        """Remove a directory with all in it, or a file; what cannot be removed stays."""
        try:
            os.unlink(path)
        except OSError:
            import shutil  # here: 2 ms, and most runs remove nothing

            shutil.rmtree(path, ignore_errors=True)

    def write_text(self, folder: Folder, name: str, text: str) -> None:
        """Write a small file, in place of what was in it."""
        handle = _open(folder, name, _REWRITE)
        try:
            _write(handle, text.encode("utf-8", "backslashreplace"))
        finally:
            os.close(handle)


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
