"""The folders inside a cache: each is opened through the one above it, so no link leads out of the cache.

The folder of the cache itself may be reached through links, for its path is the user's. Below it each level is opened
by its name in the descriptor of the level above, without following (see Files.open_folder). So nobody can lead an
operation elsewhere, before it or while it is under way. A link is refused with words, since it may be the user's own.
"""
from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from taskproc.errors import CacheError, LinkInCache
from taskproc.store.files import Files, Folder, IsLink, kind_of
from taskproc.store.rules import Rules

TOP = ("run", "trash", "inputs")  # folders that belong to no task class


class Inside:
    """What lies below the folder `root`.

    Args:
        root: absolute path of the cache.
    """

    def __init__(self, root: str, files: Files | None = None, rules: Rules | None = None):
        self.root = root
        self.files = files or Files()
        self.rules = rules or Rules()

    def folder(self, first: str, *levels: str) -> Folder:
        """Hold a folder of the cache, given by the names that lead there; to be closed with `files.close_folder`.

        FileNotFoundError or NotADirectoryError if there is none, LinkInCache if one of the levels is a link.
        """
        try:
            return self.files.open_folder(f"{self.root}{os.sep}{first}", levels)
        except IsLink as error:
            raise self.refusal(first, *levels) from error

    def folder_in(self, folder: Folder, name: str, *above: str) -> Folder:
        """Hold a folder in one that is held and to which the names `above` lead; otherwise as `folder`."""
        try:
            return self.files.open_folder(folder, (name,))
        except IsLink as error:
            raise self.refusal(*above, name) from error

    @contextmanager
    def held(self, first: str, *levels: str) -> Iterator[Folder]:
        """The same inside a block."""
        folder = self.folder(first, *levels)
        try:
            yield folder
        finally:
            self.files.close_folder(folder)

    def made_folder(self, first: str, *levels: str) -> Folder:
        """The same, and what is missing is made; CacheError if the cache itself is gone, or is not to be written."""
        self.rules.allow_writing()
        try:
            return self.folder(first, *levels)
        except FileNotFoundError:
            pass
        if not os.path.isdir(self.root):
            raise CacheError(f"cache folder {self.root!r} was removed or renamed while it was in use")
        self.files.mkdir(self.root, first)
        folder = self.folder(first)
        for count, name in enumerate(levels):
            try:
                self.files.mkdir(folder, name)
                below = self.folder_in(folder, name, first, *levels[:count])
            finally:
                self.files.close_folder(folder)
            folder = below
        return folder

    def made_place(self, first: str, second: str, name: str) -> tuple[bool, Folder]:
        """Whether a folder two levels below another one was made, or was there; and that folder, held.

        The same in fewer steps, for each task that runs passes here; what was made is flushed if the rules say so.
        """
        files = self.files
        try:
            try:
                above = files.open_folder(f"{self.root}{os.sep}{first}", (second,))
            except FileNotFoundError:
                above = self.made_folder(first, second)
            try:
                is_new = files.mkdir(above, name)
                if is_new and self.rules.durability == "full":
                    self._flush(above, first)
                return is_new, files.open_folder(above, (name,))
            finally:
                files.close_folder(above)
        except IsLink as error:
            raise self.refusal(first, second, name) from error

    def _flush(self, folder: Folder, first: str) -> None:
        """Wait until what is new in a folder, in the one above it and in the cache is on the disk."""
        self.files.sync_folder(folder)
        with self.held(first) as above:
            self.files.sync_folder(above)
        self.files.sync_folder(self.root)

    def refusal(self, *levels: str) -> LinkInCache:
        """The error for the first of these levels that is a link; the path of all if that cannot be told any more."""
        path = self.root
        for name in levels:
            path = os.path.join(path, name)
            if kind_of(path) == "link":
                break
        return link_refused(path)


def link_refused(path: str) -> LinkInCache:
    """The error for a link at `path`."""
    return LinkInCache(
        f"{path!r} is a link, and no link is followed inside a cache folder. "
        "Remove the link, or move what it leads to into its place"
    )
