"""A cache folder: the folders inside it, opened without following a link, and the versions in them.

The folder of the cache itself may be reached through links, for its path is the user's. Below it, each level is opened
by name in the descriptor of the level above, without following a link (see Files.open_folder). So no link can lead an
operation elsewhere, whenever it appears. The error for a link says what to do, since it may be the user's own.
"""
from __future__ import annotations

import functools
import hmac
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from taskproc.errors import CacheError, LinkInCache
from taskproc.frozen import replace
from taskproc.store import layout
from taskproc.store.files import Files, Folder, IsLink, entry_kind
from taskproc.store.layout import Place
from taskproc.store.marks import Witness
from taskproc.store.members import FOOTER, comment, footer_member, is_signed, json_object, record_length
from taskproc.store.rules import CacheRules, Key
from taskproc.store.version import LONGEST_ACCEPT, TINY_PAYLOAD, Version, accepted_codes, version_from

TOP_FOLDERS = ("run", "trash", "inputs", layout.JOURNALS)  # folders that are not of a task class
_TAIL = 4096  # bytes that are read first: most records and their footers fit
UNREADABLE = (OSError, ValueError, KeyError, TypeError)  # raised for a damaged, foreign or retired file


class Untrusted(ValueError):
    """A file that may be intact but is not trusted: `foreign`, `unsigned`, or `signed` without a key to verify it."""

    def __init__(self, kind: str, text: str):
        super().__init__(text)
        self.kind = kind


class TooLarge(ValueError):
    """A file that is too large to be read."""


class CacheFolder:
    """The folder `root`.

    Args:
        root: absolute path of the cache.
        token: of the run in whose name claims are made; only claims need one.

    Attributes:
        passed_over: place → why its newest result was skipped when it was last looked at.
    """

    def __init__(self, root: str, token: str = "", files: Files | None = None, rules: CacheRules | None = None):
        self.root = root
        self.files = files or Files()
        self.rules = rules or CacheRules()
        self.token = token
        self.witness = Witness(root)
        self.passed_over: dict[Place, str] = {}

    @functools.cached_property
    def key(self) -> Key | None:
        """The key that results are signed with, if any. CacheError if it cannot be used."""
        return None if self.rules.key_file is None else Key(self.rules.key_file, self.rules.owners)

    def folder(self, first: str, *levels: str) -> Folder:
        """Open a folder of the cache, given by the names that lead there. Close it with `files.close_folder`.

        Raises FileNotFoundError or NotADirectoryError if it does not exist, LinkInCache if one of the levels is a link.
        """
        try:
            return self.files.open_folder(f"{self.root}{os.sep}{first}", levels)
        except IsLink as error:
            raise self.refusal(first, *levels) from error

    def folder_in(self, folder: Folder, name: str, *above: str) -> Folder:
        """Open a folder in an open one, to which the names `above` lead; otherwise like `folder`."""
        try:
            return self.files.open_folder(folder, (name,))
        except IsLink as error:
            raise self.refusal(*above, name) from error

    @contextmanager
    def held(self, first: str, *levels: str) -> Iterator[Folder]:
        """Like `folder`, and close it at the end of the block."""
        folder = self.folder(first, *levels)
        try:
            yield folder
        finally:
            self.files.close_folder(folder)

    def made_folder(self, first: str, *levels: str) -> Folder:
        """Like `folder`, and create what is missing. CacheError if the cache was removed or must not be written."""
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
        """Like `made_folder` for three levels, in fewer steps, since every task that runs passes here.

        Returns whether the folder is new, and the open folder. A new one is flushed if the rules say so.
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
        """Wait until the new names in a folder, in the one above it and in the cache are on the disk."""
        self.files.sync_folder(folder)
        with self.held(first) as above:
            self.files.sync_folder(above)
        self.files.sync_folder(self.root)

    def refusal(self, *levels: str) -> LinkInCache:
        """The error for the first of these levels that is a link; for the last one if none is a link any more."""
        path = self.root
        for name in levels:
            path = os.path.join(path, name)
            if entry_kind(path) == "link":
                break
        return link_error(path)

    def look(self, place: Place) -> Iterator[Version]:
        """Published versions, newest first. Costs one listing, and one read for each version that is reached.

        Each record is verified. Damaged versions and those of another key are skipped.
        """
        try:
            folder = self.folder(*layout.place_levels(place))
        except (FileNotFoundError, NotADirectoryError):
            return
        except LinkInCache as error:
            self.passed_over[place] = str(error)
            self._warn(str(error))
            return
        try:
            yield from self.versions(folder, place, self.files.listdir(folder), warns=True)
        finally:
            self.files.close_folder(folder)

    def versions(self, folder: Folder, place: Place, names: list[str], *, warns: bool = False) -> Iterator[Version]:
        """The readable versions among the `names` of an open folder, newest first; `warns` about those not trusted."""
        if self.passed_over:
            self.passed_over.pop(place, None)
        for number in layout.version_numbers(names):
            try:
                version = self.read_version(folder, place, number)
            except FileNotFoundError:
                continue  # retired by now, or moved aside by another reader; or the name was a claim
            except UNREADABLE as error:
                # Damaged or foreign, so not a version of this place; `check` reports it
                text = f"{layout.result_file(number)} is skipped: {error}"
                self.passed_over.setdefault(place, text)
                if warns and isinstance(error, Untrusted):
                    self._warn(os.path.join(layout.place_path(self.root, place), text))
                continue
            if layout.accept_file(number) in names:
                accepted = self.accepted(folder, version) or frozenset()
                version = replace(version, record=replace(version.record, accepted=accepted))
            yield version

    def _warn(self, text: str) -> None:
        # Once per program: a cache may have ten thousand foreign results
        if self.root not in _warned:
            _warned.add(self.root)
            warnings.warn(f"{text}. `check` lists all such files", RuntimeWarning, stacklevel=2)

    def read_version(self, folder: Folder, place: Place, number: int) -> Version:
        """Version `number` in the open folder of a place. Raises one of UNREADABLE."""
        path = f"{layout.place_path(self.root, place)}{os.sep}{layout.result_file(number)}"
        content, end, size = self.record(folder, number)
        return version_from(place, path, content, _tiny_payload(content, end, size))

    def accepted(self, folder: Folder, version: Version) -> frozenset[str] | None:
        """Digests of other code that was accepted for a version; None if its accept file is missing or invalid."""
        try:
            text = self.small(folder, layout.accept_file(version.record.number), LONGEST_ACCEPT)
        except UNREADABLE:
            return None
        return accepted_codes(text, version, self.key)

    def small(self, folder: Folder, name: str, longest: int) -> bytes:
        """The content of a file. Raises one of UNREADABLE, also if it is longer than `longest` or not trusted."""
        handle = self.files.read_only(folder, name)
        try:
            if self.owned_size(handle) > longest:
                raise TooLarge(f"{name} is too large")
            return self.files.read(handle, longest, 0)
        finally:
            self.files.close(handle)

    def put(self, folder: Folder, name: str, content: bytes, *, flush: bool = True) -> None:
        """Create or replace a file in one step, and flush it unless the rules say otherwise."""
        temporary = layout.temporary(name)
        handle = self.files.make(folder, temporary)
        try:
            try:
                self.files.append(handle, content)
                if flush and self.rules.durability != "none":
                    self.files.sync(handle)
            finally:
                self.files.close(handle)
            self.files.rename(folder, temporary, name, True)
        except OSError:
            self.files.unlink(folder, temporary)
            raise

    def owned_size(self, handle: int) -> int:
        """Size of an open file; Untrusted if its owner is not trusted."""
        size, owner = self.files.size_and_owner(handle)
        self._refuse_foreign(owner)
        return size

    def _refuse_foreign(self, owner: int) -> None:
        if not self.rules.trusts(owner):
            text = f"it belongs to another user (uid {owner}); if you trust this user, use Cache(..., shared=True)"
            raise Untrusted("foreign", text)

    def record(self, folder: Folder, number: int, most: int = _TAIL) -> tuple[Mapping[str, Any], bytes, int]:
        """The fields of the record of a published version, the last bytes of its file, and the size of the file.

        Raises one of UNREADABLE.

        Args:
            most: bytes that are read, unless the record is longer.
        """
        tail, size = self._tail(folder, number, most)
        footer = tail[-FOOTER:]
        length = record_length(footer)
        if length + FOOTER > len(tail):
            if length + FOOTER > size:
                raise ValueError("the record is longer than the file")
            tail, size = self._tail(folder, number, length + FOOTER)
            footer = tail[-FOOTER:]
        record = tail[-FOOTER - length : -FOOTER]
        self._verify(record, footer)
        content = json_object(comment(record))
        if content["n"] != number or content["size"] + length + FOOTER != size:
            raise ValueError("the record is of another file")
        return content, tail, size

    def _tail(self, folder: Folder, number: int, most: int) -> tuple[bytes, int]:
        """The last bytes of a published version, and its size. Raises one of UNREADABLE."""
        tail, size, owner = self.files.tail(folder, layout.result_file(number), most)
        self._refuse_foreign(owner)
        return tail, size

    def _verify(self, record: bytes, footer: bytes) -> None:
        """Raise Untrusted or ValueError unless `footer` fits the record, with our key if we have one."""
        if hmac.compare_digest(footer_member(record, self.key), footer):
            return
        if self.key is None and is_signed(footer):
            raise Untrusted("signed", "it is signed, but no key_file was given to verify it")
        if self.key is not None and not is_signed(footer):
            raise Untrusted("unsigned", "it is not signed, but a key_file was given")
        if self.key is not None:
            raise Untrusted("unsigned", "it was signed with another key, or is damaged")
        raise ValueError("record and footer do not match")

    def highest(self, place: Place) -> int:
        """The highest number in use at `place`, 0 if there is none. Costs one listing."""
        return layout.highest_number(layout.numbers(self.names(*layout.place_levels(place))))

    def names(self, first: str, *levels: str) -> list[str]:
        """The names in the folder that these levels lead to; empty if it does not exist."""
        try:
            with self.held(first, *levels) as folder:
                return self.files.listdir(folder)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def is_filled(self, folder: Folder, name: str) -> bool:
        """Whether an entry of an open folder exists and is not an empty folder."""
        try:
            below = self.files.open_folder(folder, (name,))
        except FileNotFoundError:
            return False
        except NotADirectoryError:
            return True
        try:
            return bool(self.files.few(below, 1))
        finally:
            self.files.close_folder(below)

    def arguments(self, folder: Folder) -> Mapping[str, Any] | None:
        """The content of args.json in an open folder; None if it is torn or missing. It decides nothing."""
        try:
            handle = self.files.read_only(folder, layout.ARGUMENTS)
            try:
                content = json.loads(self.files.read(handle, self.files.size_and_owner(handle)[0], 0))
            finally:
                self.files.close(handle)
        except (OSError, ValueError, RecursionError):
            return None
        return content if isinstance(content, dict) else None

    def places(self) -> Iterator[tuple[str, int]]:
        """Name and id of each task that has a folder, in no order. Costs one listing for each class."""
        for entry in self.files.scandir(self.root):
            for number in self.ids(entry.name):
                yield layout.folder_task_name(entry.name), number

    def ids(self, class_folder: str) -> list[int]:
        """The ids of all tasks that have a folder, given the name of the folder of their class; none if that is a link.

        In the order of the disk, so that a visit reads forwards where the system has nothing cached.
        """
        try:
            with self.held(class_folder, "results") as folder:
                entries = [entry for entry in self.files.scandir(folder) if is_place(entry)]
        except (OSError, LinkInCache):
            return []
        entries.sort(key=os.DirEntry.inode)
        return [int(entry.name) for entry in entries]


def _tiny_payload(content: Mapping[str, Any], end: bytes, size: int) -> bytes:
    """The payload if it is tiny and was read along with its record, else nothing; `load` reports damage."""
    start, stop = content["head"], content["size"]
    if len(end) < size or stop - start > TINY_PAYLOAD or sha256(end[:start]).hexdigest() != content["head_sha256"]:
        return b""
    return end[start:stop]


def is_place(entry: os.DirEntry[str]) -> bool:
    """Whether an entry of the results of a class is the folder of a task."""
    return entry.name.isascii() and entry.name.isdigit() and entry.is_dir(follow_symlinks=False)


_warned: set[str] = set()


def link_error(path: str) -> LinkInCache:
    """The error for a link at `path`."""
    return LinkInCache(
        f"{path!r} is a link, and no link is followed inside a cache folder. "
        "Remove the link, or move what it leads to into its place"
    )


def refuse_links(path: Path) -> None:
    """Raise LinkInCache if something that belongs to the cache as a whole is a link.

    No link is followed later either, but then the error may come late, or be swallowed.
    """
    for name in (layout.MARKER, *TOP_FOLDERS):
        link = os.path.join(path, name)
        if entry_kind(link) == "link":
            raise link_error(link)
