"""A cache folder as it lies there: the versions in it, read record by record, and the trash."""
from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from taskproc.store import layout
from taskproc.store.base import Place, Version
from taskproc.store.codec import FOOTER, footer_member, read_comment, record_length
from taskproc.store.files import Files, Folder
from taskproc.store.marks import Witness
from taskproc.store.record import version_of

_TAIL = 4096  # most records fit: one read gets record and footer
UNREADABLE = (OSError, ValueError, KeyError, TypeError)  # what reading a damaged, foreign or retired file may raise


class CacheFolder:
    """The folder `root`.

    Args:
        root: absolute path of the cache.
        token: of the run in whose name claims are made; only claims need one.
    """

    def __init__(self, root: str, token: str = "", files: Files | None = None):
        self.root = root
        self.token = token
        self.files = files or Files()
        self.witness = Witness(root)

    def look(self, place: Place) -> Iterator[Version]:
        """Published versions, newest first; see Store.look."""
        path = layout.place_path(self.root, place)
        try:
            folder = self.files.open_folder(path)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            yield from self.versions(folder, place, self.files.listdir(folder))
        finally:
            self.files.close_folder(folder)

    def versions(self, folder: Folder, place: Place, names: list[str]) -> Iterator[Version]:
        """The readable versions among the `names` of an open folder, newest first."""
        for number in layout.numbers(names)["result"]:
            try:
                yield self.read_version(folder, place, number)
            except UNREADABLE:
                continue  # damaged, foreign or just retired: not a version of this place; `check` tells of it

    def read_version(self, folder: Folder, place: Place, number: int) -> Version:
        """Version `number` of an open folder. Raises one of UNREADABLE."""
        path = os.path.join(layout.place_path(self.root, place), layout.result_file(number))
        version = version_of(place, path, self.record(folder, number))
        accepted = os.path.join(layout.place_path(self.root, place), f"accept.{number}.json")
        if not os.path.exists(accepted):
            return version
        with open(accepted) as file:
            codes = frozenset(json.load(file)["codes"])
        return replace(version, record=replace(version.record, accepted=codes))

    def record(self, folder: Folder, number: int) -> dict[str, Any]:
        """What the record of a published version says, whosever it is. Raises one of UNREADABLE."""
        handle = self.files.read_only(folder, layout.result_file(number))
        try:
            size = self.files.size(handle)
            tail = self.files.read(handle, min(size, _TAIL), max(0, size - _TAIL))
            length = record_length(tail[-FOOTER:])
            if length + FOOTER > size:
                raise ValueError("the record is longer than the file")
            if length + FOOTER > len(tail):
                tail = self.files.read(handle, length + FOOTER, max(0, size - length - FOOTER))
        finally:
            self.files.close(handle)
        record, footer = tail[-FOOTER - length : -FOOTER], tail[-FOOTER:]
        if footer_member(record) != footer:
            raise ValueError("record and footer do not match")
        content = read_comment(record)
        if content["n"] != number or content["size"] + length + FOOTER != size:
            raise ValueError("the record is of another file")
        return content

    def highest(self, place: Place) -> int:
        """The highest number in use at `place`, 0 if none. One listing."""
        return layout.highest(layout.numbers(self.names(layout.place_path(self.root, place))))

    def names(self, path: str) -> list[str]:
        """What a directory has in it; empty if there is none."""
        return [entry.name for entry in self.files.scandir(path)]

    def discard(self, path: str) -> bool:
        """Move a path into the trash, and empty that unless a run is at work on the cache."""
        trash = os.path.join(self.root, "trash")
        if not os.path.lexists(path):
            return False
        self.files.makedirs(trash)
        moved = self.files.move(path, os.path.join(trash, uuid.uuid4().hex))
        if not self.witness.others():
            for entry in self.files.scandir(trash):
                self.files.remove_tree(entry.path)
        return moved

    def places(self) -> Iterator[tuple[str, int]]:
        """Name and id of everything that has a folder; see Store.places."""
        for entry in self.files.scandir(self.root):
            for task in self.files.scandir(os.path.join(entry.path, "results")):
                if task.name.isascii() and task.name.isdigit() and task.is_dir(follow_symlinks=False):
                    yield layout.task_name(entry.name), int(task.name)
