"""What lies in a data directory: a row for each file, folder and link, and one digest of them all.

It is made from the directory's descriptor, level by level; a link counts by where it leads and is not followed. What
has no manifest (more than MOST bytes, a pipe, a file that may not be read) is not known, and equals nothing.
"""
from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from taskproc.store.files import Files, Folder

MOST = 1 << 30  # bytes in all
_MOST_ROWS = 100_000
_CHUNK = 1 << 20

Row = tuple[str, str, int, str]  # path, kind, size, and SHA-256 or where a link leads


class Manifest(NamedTuple):
    """The rows as JSON, and a digest of them: 32 hex digits; both empty for an empty directory."""

    text: str
    digest: str


NO_FILES = Manifest("", "")


def manifest_of(files: Files, folder: Folder, name: str, path: str) -> Manifest | None:
    """The manifest of a directory in an open folder; None if what is in it is not known.

    Costs a read of all that is in it: about 1 s a GB.

    Args:
        path: that of the directory. Links that lead below it count by the rest: its number says nothing.
    """
    try:
        rows = sorted(_rows(files, folder, name, path))
    except (OSError, RecursionError):
        return None
    if not rows:
        return NO_FILES
    text = json.dumps({"files": rows}, separators=(",", ":"))
    return Manifest(text, hashlib.sha256(text.encode("ascii")).hexdigest()[:32])


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
                if size > MOST or count > _MOST_ROWS:
                    raise OSError("too much to be read")
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
