"""Digests of files and folders: of those outside the cache, and of what lies in a data directory.

`<cache>/inputs/<digest of the path>.json` holds size, times, inode and SHA-256 of each file outside. It only saves
reading: if any of these differs, the file is read again. A file that was changed in the last two seconds is not
remembered, since another change might leave no trace in a coarse clock (the "racy" entries of git's index).

The *manifest* of a data directory has a row for each file, folder and link. It is made from the directory's descriptor,
level by level; a link counts by its target and is not followed. A directory without a manifest (more than MOST_BYTES, a
pipe, an unreadable file) is not known, and equals no other.
"""
from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from taskproc.frozen import frozen
from taskproc.store.files import Files, Folder

_CHUNK = 1 << 20
_SETTLED = 2.0       # seconds
_LARGE = 1 << 30     # bytes of a file from which on a log message says that it is read
_TRIES = 3
MOST_BYTES = 1 << 30  # of all files in a data directory
_MOST_ROWS = 100_000

Row = tuple[str, str, int, str]  # path, kind, size, and SHA-256 or the target of a link

# Size, modification and change time in ns, inode
Signs = tuple[int, int, int, int]


@frozen
class Content:
    """The content of a file or folder.

    Attributes:
        digest: 64 hex digits: SHA-256 of the bytes of a file, or of the names and digests in a folder.
        signs: a digest of sizes, times and inodes: if it is equal, so is the content.
    """

    digest: str
    signs: str


@dataclass
class _Memory:
    """The remembered digests of the files of a path, and those that are known now."""

    then: dict[str, tuple[Signs, str]]
    now: dict[str, tuple[Signs, str]] = field(default_factory=dict)


class Contents:
    """Digests of files and folders outside the cache `root`, remembered in it.

    Attributes:
        remembers: whether what was read is remembered; set for the whole process. Without, links in a path are followed
            to find what is remembered already.
    """

    remembers = True

    def __init__(self, root: str):
        self._root, self._files = root, Files()

    def look(self, path: str) -> Content:
        """The content of an absolute path. OSError if it does not exist, cannot be read, or keeps changing.

        Costs a stat for each file, and a read of each file that is not remembered: about 1 s per GB.
        """
        path = path if self.remembers else os.path.realpath(path)
        name = f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:32]}.json"
        for _ in range(_TRIES):
            memory = _Memory(self._remembered(name, path))
            before = signs_of(path)
            digest = _digest_of(path, memory)
            if signs_of(path) == before:
                if memory.now != memory.then and self.remembers:
                    self._remember(name, path, memory.now)
                return Content(digest, before)
        raise OSError(errno.EBUSY, "it is being written to: wait until it is complete", path)

    def _remembered(self, name: str, path: str) -> dict[str, tuple[Signs, str]]:
        files = self._files
        try:
            folder = files.open_folder(os.path.join(self._root, "inputs"))
            try:
                handle = files.read_only(folder, name)
            finally:
                files.close_folder(folder)
            try:
                content = json.loads(files.read(handle, files.size_and_owner(handle)[0], 0))
            finally:
                files.close(handle)
            if content["path"] != path:
                return {}
            return {name: (tuple(signs), str(digest)) for name, (signs, digest) in content["files"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}  # new, torn or of another program: the files are read again

    def _remember(self, name: str, path: str, known: dict[str, tuple[Signs, str]]) -> None:
        files, temporary = self._files, f"{name}.{os.urandom(16).hex()}.tmp"
        try:
            files.mkdir(self._root, "inputs")
            folder = files.open_folder(os.path.join(self._root, "inputs"))
            try:
                handle = files.make(folder, temporary)
                try:
                    files.append(handle, json.dumps({"path": path, "files": known}).encode("ascii"))
                finally:
                    files.close(handle)
                files.rename(folder, temporary, name, True)
            finally:
                files.close_folder(folder)
        except OSError:
            pass  # a read-only cache: the files are read again next time


def signs_of(path: str) -> str:
    """A digest of sizes, times and inodes of a file, or of all files in a folder; OSError if it does not exist."""
    digest = hashlib.blake2b(digest_size=16)
    for name, _, status in _walk(path):
        digest.update(f"{name}\0{stat.S_IFMT(status.st_mode)} {_signs(status)}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _digest_of(path: str, memory: _Memory) -> str:
    rows = []
    for name, full, status in _walk(path):
        if stat.S_ISDIR(status.st_mode):
            rows.append([name, "folder"])
        elif stat.S_ISLNK(status.st_mode):
            rows.append([name, f"link {os.readlink(full)}"])
        else:
            rows.append([name, _file_digest(full, name, status, memory)])
    if len(rows) == 1 and not rows[0][0] and rows[0][1] != "folder":
        return rows[0][1]
    return hashlib.sha256(json.dumps(rows).encode("ascii")).hexdigest()


def _walk(path: str) -> Iterator[tuple[str, str, os.stat_result]]:
    """Name below `path` ("" for itself), full path and status of each entry, in the order of names.

    Links are followed, except links that lead nowhere or back to a folder above them: these are yielded as links.
    """
    todo: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    while todo:
        name, above = todo.pop()
        full = os.path.join(path, name) if name else path
        status = os.lstat(full) if name else os.stat(full)
        if stat.S_ISLNK(status.st_mode) and os.path.exists(full):
            behind = os.stat(full)
            status = status if (behind.st_dev, behind.st_ino) in above else behind
        if stat.S_IFMT(status.st_mode) not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
            raise OSError(errno.EINVAL, "it is neither a file nor a folder", full)
        yield name, full, status
        if stat.S_ISDIR(status.st_mode):
            inside = above | {(status.st_dev, status.st_ino)}
            names = sorted((os.path.join(name, entry) for entry in os.listdir(full)), reverse=True)
            todo += [(entry, inside) for entry in names]


def _file_digest(full: str, name: str, status: os.stat_result, memory: _Memory) -> str:
    signs = _signs(status)
    known = memory.then.get(name)
    if known is not None and known[0] == signs:
        memory.now[name] = known
        return known[1]
    if status.st_size >= _LARGE:
        import logging  # here: 3 ms, and workers log nothing

        logging.getLogger("taskproc").info("reading %s (%.1f GB) to compute its digest", full, status.st_size / 1e9)
    began = time.time()
    digest = hashlib.sha256()
    with open(full, "rb", buffering=0) as content:
        while part := content.read(_CHUNK):
            digest.update(part)
    if max(status.st_mtime, status.st_ctime) < began - _SETTLED:
        memory.now[name] = (signs, digest.hexdigest())
    return digest.hexdigest()


def _signs(status: os.stat_result) -> Signs:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


class Manifest(NamedTuple):
    """The rows as JSON, and their digest of 32 hex digits, both empty for an empty directory; bytes of its files."""

    text: str
    digest: str
    size: int


def manifest_of(files: Files, folder: Folder, name: str, path: str) -> Manifest | None:
    """The manifest of a directory in an open folder; None if its content is not known.

    Costs a read of all of its files: about 1 s per GB.

    Args:
        path: of the directory. A target below it counts by its relative path, without the number of the attempt.
    """
    try:
        rows = sorted(_rows(files, folder, name, path))
    except (OSError, RecursionError):
        return None
    if not rows:
        return Manifest("", "", 0)
    text = json.dumps({"files": rows}, separators=(",", ":"))
    return Manifest(text, hashlib.sha256(text.encode("ascii")).hexdigest()[:32], sum(row[2] for row in rows))


def folder_bytes(files: Files, folder: Folder, name: str) -> int | None:
    """The bytes of all files in a directory in an open folder; links are not followed. None if it cannot be listed."""
    size = 0
    todo: list[tuple[str, ...]] = [(name,)]
    try:
        while todo:
            levels = todo.pop()
            below = files.open_folder(folder, levels)
            try:
                for entry in files.scandir(below):
                    status = entry.stat(follow_symlinks=False)
                    size += status.st_size if stat.S_ISREG(status.st_mode) else 0
                    todo += [(*levels, entry.name)] if stat.S_ISDIR(status.st_mode) else []
            finally:
                files.close_folder(below)
    except OSError:
        return None
    return size


def _rows(files: Files, folder: Folder, name: str, path: str) -> Iterator[Row]:
    size, count = 0, 0
    todo: list[tuple[str, ...]] = [(name,)]
    while todo:
        levels = todo.pop()
        below = files.open_folder(folder, levels)
        try:
            for entry in files.scandir(below):
                count += 1
                status = entry.stat(follow_symlinks=False)
                size += status.st_size if stat.S_ISREG(status.st_mode) else 0
                if size > MOST_BYTES or count > _MOST_ROWS:
                    raise OSError("too much to read")
                if stat.S_ISDIR(status.st_mode):
                    todo.append((*levels, entry.name))
                where = "/".join((*levels[1:], entry.name))
                yield (where, *_row(files, below, entry.name, status, path))
        finally:
            files.close_folder(below)


def _row(files: Files, folder: Folder, name: str, status: os.stat_result, path: str) -> tuple[str, int, str]:
    if stat.S_ISDIR(status.st_mode):
        return "folder", 0, ""
    if stat.S_ISLNK(status.st_mode):
        target = files.target(folder, name)
        inside = target == path or target.startswith(path + os.sep)
        return ("own link", 0, target[len(path) :]) if inside else ("link", 0, target)
    handle = files.read_only(folder, name)
    try:
        digest, at = hashlib.sha256(), 0
        while part := files.read(handle, _CHUNK, at):
            digest.update(part)
            at += len(part)
    finally:
        files.close(handle)
    return "program" if status.st_mode & stat.S_IXUSR else "file", at, digest.hexdigest()
