"""Find damaged, foreign and left-over files in a cache folder. Nothing is changed, and nothing is unpickled.

Kinds of findings:

    damaged   a published result whose bytes have changed, which the next run computes again; or a link, which is not
              followed
    unsigned  a result that is not signed with the key in use; it is not loaded
    signed    a signed result, while no key is in use; it is not loaded
    dead      a claim of a run that has died; the next attempt takes it over
    foreign   a file or folder that taskproc did not create, or that belongs to another user; it is never touched
    orphan    data, logs or accepted code of an attempt that does not exist any more
    leftover  files of ended runs in run/ and trash/, and half-written files; the next clear empties the trash
"""
from __future__ import annotations

import hashlib
import itertools
import os
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager

from taskproc.errors import LinkInCache
from taskproc.frozen import frozen
from taskproc.store import layout
from taskproc.store.claims import EMPTY_CLAIM, is_held
from taskproc.store.disk import DiskStore
from taskproc.store.files import Folder
from taskproc.store.folder import UNREADABLE, Untrusted, is_place
from taskproc.store.layout import Place
from taskproc.store.version import Version, version_from

_CHUNK = 1 << 20
_FILES = frozenset({"taskproc.json", "CACHEDIR.TAG", ".gitignore"})
_TEMPORARY = re.compile(r"\.taskproc\.[0-9a-f]{32}\.tmp")
_RUN = re.compile(r"([0-9a-f]{32})(\.d|\.new)?")

Entry = os.DirEntry[str]


@frozen
class Finding:
    """A file or folder that is not as it should be: its path, the kind (see above), and a description."""

    path: str
    kind: str
    text: str


def check(
    store: DiskStore,
    note: Callable[[bool], object] = lambda has_result: None,
    only: Mapping[str, Collection[int]] | None = None,
) -> Iterator[Finding]:
    """Yield the findings, class by class, in the order of their paths.

    Runs may be at work; their changes are not findings. A run on another machine counts as living until this process
    has seen its beat unchanged for the lease. Raises OSError for a folder that cannot be listed.

    Costs one listing for each folder, a small read for each claim, and a read of every byte of every result: about 1 s
    per GB in the cache of the system, in pieces of 1 MiB. The tasks of a class are read in the order of the disk: if
    nothing is cached, a hundred thousand are read ten times faster than in the order of their names.

    Args:
        note: called for each checked task, with whether it has a result.
        only: folder of a class → ids of its tasks; nothing else is checked.
    """
    # Without a token: a run of our own is treated like any other
    observer = DiskStore(store.root, files=store.files, rules=store.rules)
    observer.witness = store.witness
    if only is not None:
        for name, ids in sorted(only.items()):
            yield from sorted(_check_results(observer, name, note, ids), key=lambda finding: finding.path)
        return
    for entry in sorted(observer.files.scandir(store.root), key=lambda entry: entry.name):
        yield from sorted(_check_top(observer, entry, note), key=lambda finding: finding.path)


def _check_top(store: DiskStore, entry: Entry, note: Callable[[bool], object]) -> Iterator[Finding]:
    """Findings about one entry of the cache folder."""
    if not _is_folder(entry):
        if entry.is_symlink() or entry.name not in _FILES:
            is_temporary = _TEMPORARY.fullmatch(entry.name) and not entry.is_symlink()
            left = Finding(entry.path, "leftover", "left by a process that died while creating the cache")
            yield left if is_temporary else _foreign(entry, entry.path, True)  # a class may have any name
    elif entry.name == "run":
        yield from _check_runs(store, entry.path)
    elif entry.name == "trash":
        yield from _check_trash(store, entry.path)
    elif entry.name == "inputs":
        yield from _check_inputs(store, entry.path)
    elif entry.name == layout.JOURNALS:
        yield from _check_journals(store, entry.path)
    else:
        with _opened(store, entry.name) as folder:
            inside = store.files.scandir(folder) if folder is not None else []
            if any(part.name in ("results", "code") for part in inside):
                yield from _check_class(store, entry.name, inside, note)
            elif folder is not None:
                yield _foreign(entry, entry.path, False)


@contextmanager
def _opened(store: DiskStore, *levels: str) -> Iterator[Folder | None]:
    """A folder of the cache, open; None if it was removed, or replaced by a link, since it was listed."""
    try:
        folder = store.folder(*levels)
    except (FileNotFoundError, NotADirectoryError, LinkInCache):
        yield None
        return
    try:
        yield folder
    finally:
        store.files.close_folder(folder)


def _check_class(
    store: DiskStore, name: str, entries: list[Entry], note: Callable[[bool], object]
) -> Iterator[Finding]:
    for entry in entries:
        path = os.path.join(store.root, name, entry.name)
        if entry.name == "code" and _is_folder(entry):
            yield from _check_code(store, name)
        elif entry.name == "results" and _is_folder(entry):
            yield from _check_results(store, name, note)
        elif layout.is_temporary(entry.name) and entry.is_file(follow_symlinks=False):
            yield from _check_temporary(entry, path)
        elif entry.name != layout.INDEX or not entry.is_file(follow_symlinks=False):
            yield _foreign(entry, path, entry.name in ("code", "results", layout.INDEX))


def _check_code(store: DiskStore, name: str) -> Iterator[Finding]:
    with _opened(store, name, "code") as folder:
        for entry in store.files.scandir(folder) if folder is not None else []:
            path = os.path.join(store.root, name, "code", entry.name)
            if layout.is_temporary(entry.name) and entry.is_file(follow_symlinks=False):
                yield from _check_temporary(entry, path)
            elif not layout.is_code_file(entry.name) or not entry.is_file(follow_symlinks=False):
                yield _foreign(entry, path, layout.is_code_file(entry.name))
            elif folder is not None and store.read_code_file(folder, entry.name) is None:
                yield Finding(path, "leftover", "it cannot be read any more; it only describes code")


def _check_temporary(entry: Entry, path: str) -> Iterator[Finding]:
    if _age(entry) > EMPTY_CLAIM:
        yield Finding(path, "leftover", "left by a process that died while writing it")


def _check_results(
    store: DiskStore, name: str, note: Callable[[bool], object], only: Collection[int] | None = None
) -> Iterator[Finding]:
    with _opened(store, name, "results") as results:
        entries = store.files.scandir(results) if results is not None else []
        for entry in sorted(entries, key=Entry.inode):
            if only is not None and not (is_place(entry) and int(entry.name) in only):
                continue
            path = os.path.join(store.root, name, "results", entry.name)
            if results is None or not is_place(entry):
                yield _foreign(entry, path, entry.name.isascii() and entry.name.isdigit())
                continue
            try:
                folder = store.files.open_folder(results, (entry.name,))
            except FileNotFoundError:
                continue  # cleared since it was listed
            try:
                yield from _TaskFolder(store, name, int(entry.name), path, folder).check(note)
            finally:
                store.files.close_folder(folder)


class _TaskFolder:
    """The open folder of one task."""

    def __init__(self, store: DiskStore, class_folder: str, number: int, path: str, folder: Folder):
        self._store, self._class_folder, self._id = store, class_folder, number
        self._path, self._folder = path, folder

    def check(self, note: Callable[[bool], object]) -> Iterator[Finding]:
        """Findings about its entries; `note`: see check."""
        entries = self._store.files.scandir(self._folder)
        kinds = layout.numbers([entry.name for entry in entries if entry.is_file(follow_symlinks=False)])
        note(bool(kinds["result"]))
        known = {*itertools.chain(*kinds.values()), layout.highest_number(kinds) + 1}
        for entry in entries:
            kind, number = layout.side_file(entry.name) or ("", 0)
            if kind and (entry.is_dir if kind == "data" else entry.is_file)(follow_symlinks=False):
                if number not in (kinds["result"] if kind == "accept" else known):
                    yield self._finding(entry.name, "orphan", f"attempt {number} does not exist any more")
            elif not entry.is_file(follow_symlinks=False):
                is_ours = kind or entry.name == layout.ARGUMENTS or any(layout.numbers([entry.name]).values())
                yield _foreign(entry, self._of(entry.name), bool(is_ours))
            elif entry.name != layout.ARGUMENTS:
                yield from self._check_file(entry, entries)

    def _of(self, name: str) -> str:
        return f"{self._path}{os.sep}{name}"

    def _finding(self, name: str, kind: str, text: str) -> Finding:
        return Finding(self._of(name), kind, text)

    def _check_file(self, entry: Entry, entries: list[Entry]) -> Iterator[Finding]:
        kinds = {kind: numbers[0] for kind, numbers in layout.numbers([entry.name]).items() if numbers}
        if layout.is_temporary(entry.name):
            yield from _check_temporary(entry, self._of(entry.name))
        elif "result" in kinds:
            number = kinds["result"]
            yield from self._check_result(entry.name, number, layout.accept_file(number) in {e.name for e in entries})
        elif "claim" in kinds:
            if not is_held(self._store, self._folder, kinds["claim"]):
                yield self._finding(entry.name, "dead", "its run has died; the next attempt takes it over")
        elif not kinds:
            yield _foreign(entry, self._of(entry.name), False)

    def _check_result(self, name: str, number: int, is_accepted: bool) -> Iterator[Finding]:
        store = self._store
        try:
            content, end, size = store.record(self._folder, number, _CHUNK)
            version = version_from(Place(content["name"], self._id, content["key"]), self._of(name), content)
            intact = self._is_intact(name, version, end if len(end) == size else None)
        except FileNotFoundError:
            return  # cleared, or moved aside by a reader, since it was listed
        except Untrusted as error:
            yield self._finding(name, error.kind, f"{error}; it is not loaded")
            return
        except UNREADABLE as error:
            yield self._finding(name, "damaged", f"its record cannot be read: {error}")
            return
        key = (store.arguments(self._folder) or {}).get("key")
        is_of_another = isinstance(key, str) and key != version.place.key
        if layout.folder_name(version.place.name) != self._class_folder or is_of_another:
            yield self._finding(
                name, "foreign", f"it is the result of another task, of class {version.place.name!r}"
            )
        if not intact:
            yield self._finding(name, "damaged", "its bytes are not those that were written")
        accept = layout.accept_file(number)
        if is_accepted and store.accepted(self._folder, version) is None:
            yield self._finding(accept, "leftover", "it does not fit the result with this number")

    def _is_intact(self, name: str, version: Version, content: bytes | None) -> bool:
        """Whether its bytes have its digests. `content` is the whole file, if it was read already."""
        if content is not None:
            head, payload = content[: version.head], content[version.head : version.size]
            digests = hashlib.sha256(head).hexdigest(), hashlib.sha256(payload).hexdigest()
            return digests == (version.head_digest, version.digest)
        store = self._store
        handle = store.files.read_only(self._folder, name)
        try:
            return (version.head_digest, version.digest) == (
                _digest(store, handle, 0, version.head),
                _digest(store, handle, version.head, version.size),
            )
        finally:
            store.files.close(handle)


def _digest(store: DiskStore, handle: int, start: int, end: int) -> str:
    digest = hashlib.sha256()
    while start < end and (part := store.files.read(handle, min(_CHUNK, end - start), start)):
        digest.update(part)
        start += len(part)
    return digest.hexdigest()


def _check_runs(store: DiskStore, path: str) -> Iterator[Finding]:
    with _opened(store, "run") as folder:
        for entry in store.files.scandir(folder) if folder is not None else []:
            yield from _check_run(store, entry, os.path.join(path, entry.name))


def _check_run(store: DiskStore, entry: Entry, path: str) -> Iterator[Finding]:
    match = _RUN.fullmatch(entry.name)
    if match is None or _is_folder(entry) != (match[2] == ".d") or entry.is_symlink():
        yield _foreign(entry, path, match is not None)
    elif match[2] == ".new":
        if _age(entry) > EMPTY_CLAIM:
            yield Finding(path, "leftover", "left by a run that died while it registered")
    elif not store.witness.lives(match[1]):
        yield Finding(path, "leftover", "its run has died")


def _check_trash(store: DiskStore, path: str) -> Iterator[Finding]:
    until = "it stays while runs are at work" if store.witness.others() else "the next clear removes it"
    for name in store.names("trash"):
        yield Finding(os.path.join(path, name), "leftover", f"cleared or retired; {until}")


def _check_inputs(store: DiskStore, path: str) -> Iterator[Finding]:
    """Only links: remembered digests decide nothing."""
    with _opened(store, "inputs") as folder:
        for entry in store.files.scandir(folder) if folder is not None else []:
            if entry.is_symlink():
                yield _foreign(entry, os.path.join(path, entry.name), True)


def _check_journals(store: DiskStore, path: str) -> Iterator[Finding]:
    """Not what they say: they decide nothing."""
    with _opened(store, layout.JOURNALS) as folder:
        for entry in store.files.scandir(folder) if folder is not None else []:
            is_ours = layout.is_journal(entry.name)
            if not is_ours or not entry.is_file(follow_symlinks=False):
                yield _foreign(entry, os.path.join(path, entry.name), is_ours)


def _foreign(entry: Entry, path: str, is_ours: bool) -> Finding:
    """The finding for an entry that the store did not create; `is_ours`: it has a name that the store uses."""
    if entry.is_symlink() and is_ours:
        text = "a link, which is not followed: remove it, or move what it leads to into its place"
        return Finding(path, "damaged", text)
    kind = "a link" if entry.is_symlink() else "a folder" if _is_folder(entry) else "a file"
    return Finding(path, "foreign", f"{kind} that taskproc did not create")


def _is_folder(entry: Entry) -> bool:
    return entry.is_dir(follow_symlinks=False)


def _age(entry: Entry) -> float:
    try:
        return time.time() - entry.stat(follow_symlinks=False).st_mtime
    except OSError:
        return 0.0  # it was renamed by now
