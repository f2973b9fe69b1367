"""Find what is wrong or left over in a cache folder. Nothing is changed, and nothing is unpickled.

Kinds of findings:

    damaged   a published result whose bytes are not what was written; the next run computes it again
    unsigned  a result that was not signed with the key that is used now; it is not loaded
    signed    a result that was signed, where no key is used now; it is not loaded
    dead      a claim whose run is dead; the next attempt takes it over
    foreign   a file or folder that taskproc did not make there, or that belongs to another user; it is never touched
    orphan    data, logs or acceptance of a number that no attempt bears any more
    leftover  what ended runs left in run/ and trash/, and half-written files; the next clear empties the trash
"""
from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator

from taskproc.frozen import frozen
from taskproc.store import layout, sources
from taskproc.store.base import Place, Version
from taskproc.store.claims import EMPTY_CLAIM, is_held
from taskproc.store.disk import DiskStore
from taskproc.store.folder import UNREADABLE, Untrusted
from taskproc.store.record import version_of

_CHUNK = 1 << 20
_FILES = frozenset({"taskproc.json", "CACHEDIR.TAG", ".gitignore"})
_TEMPORARY = re.compile(r"\.taskproc\.[0-9a-f]{32}\.tmp")
_RUN = re.compile(r"([0-9a-f]{32})(\.d|\.new)?")

Entry = os.DirEntry[str]


@frozen
class Finding:
    """One thing that is not as it should be: where, which kind (see above), and what it is in words."""

    path: str
    kind: str
    text: str


def check(store: DiskStore) -> Iterator[Finding]:
    """What is not as it should be, folder by folder in the order of their names.

    May be called while runs are at work; what they do meanwhile is no finding. A run on another machine counts as
    living until this process has seen its beat stand still for the lease. OSError for a folder that cannot be listed.

    Costs a listing a folder, a small read a claim, and a read of every byte of every result: about 1 s a GB that is
    cached by the system, in pieces of 1 MiB.
    """
    # no token: our own run is as good as another
    observer = DiskStore(store.root, files=store.files, rules=store.rules)
    observer.witness = store.witness
    for entry in _entries(observer, store.root):
        if entry.name == "run" and _is_folder(entry):
            yield from _check_runs(observer, entry.path)
        elif entry.name == "trash" and _is_folder(entry):
            yield from _check_trash(observer, entry.path)
        elif entry.name == "inputs" and _is_folder(entry):
            continue  # what is remembered of files outside; it decides nothing
        elif _TEMPORARY.fullmatch(entry.name):
            yield Finding(entry.path, "leftover", "somebody died while he made the cache")
        elif _is_folder(entry) and any(os.path.isdir(os.path.join(entry.path, name)) for name in ("results", "code")):
            yield from _check_class(observer, entry)
        elif entry.name not in _FILES:
            yield _foreign(entry)


def _check_class(store: DiskStore, folder: Entry) -> Iterator[Finding]:
    for entry in _entries(store, folder.path):
        if entry.name == "code" and _is_folder(entry):
            yield from _check_code(store, entry)
            continue
        if entry.is_file(follow_symlinks=False) and (entry.name == layout.INDEX or layout.is_temporary(entry.name)):
            if entry.name != layout.INDEX:
                yield from _check_temporary(entry)
            continue
        if entry.name != "results" or not _is_folder(entry):
            yield _foreign(entry)
            continue
        for place in _entries(store, entry.path):
            if place.name.isascii() and place.name.isdigit() and _is_folder(place):
                yield from _check_place(store, folder.name, place)
            else:
                yield _foreign(place)


def _check_code(store: DiskStore, folder: Entry) -> Iterator[Finding]:
    for entry in _entries(store, folder.path):
        if layout.is_temporary(entry.name) and entry.is_file(follow_symlinks=False):
            yield from _check_temporary(entry)
        elif not layout.is_code_file(entry.name) or not entry.is_file(follow_symlinks=False):
            yield _foreign(entry)
        elif sources.read_file(store, folder.path, entry.name) is None:
            yield Finding(entry.path, "leftover", "it does not tell any more what code it was; it decides nothing")


def _check_temporary(entry: Entry) -> Iterator[Finding]:
    if _age(entry) > EMPTY_CLAIM:
        yield Finding(entry.path, "leftover", "somebody died while he wrote it")


def _check_place(store: DiskStore, class_folder: str, folder: Entry) -> Iterator[Finding]:
    entries = _entries(store, folder.path)
    found = layout.numbers(entry.name for entry in entries if entry.is_file(follow_symlinks=False))
    known = {number for some in found.values() for number in some} | {layout.highest(found) + 1}
    for entry in entries:
        kind, number = layout.beside(entry.name) or ("", 0)
        if kind and (entry.is_dir if kind == "data" else entry.is_file)(follow_symlinks=False):
            if number not in (found["result"] if kind == "accept" else known):
                yield Finding(entry.path, "orphan", f"no attempt {number} is known any more")
        elif not entry.is_file(follow_symlinks=False):
            yield _foreign(entry)
        else:
            yield from _check_file(store, class_folder, folder, entry)


def _check_file(store: DiskStore, class_folder: str, folder: Entry, entry: Entry) -> Iterator[Finding]:
    kinds = {kind: numbers[0] for kind, numbers in layout.numbers([entry.name]).items() if numbers}
    if layout.is_temporary(entry.name):
        yield from _check_temporary(entry)
        return
    if "result" in kinds:
        yield from _check_result(store, class_folder, folder, entry, kinds["result"])
    elif "claim" in kinds:
        if not is_held(store, folder.path, kinds["claim"]):
            yield Finding(entry.path, "dead", "its run is dead; the next attempt takes it over")
    elif not kinds and entry.name != layout.ARGUMENTS:
        yield _foreign(entry)


def _check_result(store: DiskStore, class_folder: str, folder: Entry, entry: Entry, number: int) -> Iterator[Finding]:
    try:
        content = store.record(folder.path, number)
        version = version_of(Place(content["name"], int(folder.name), content["key"]), entry.path, content)
        intact = _is_intact(store, folder.path, entry.name, version)
    except FileNotFoundError:
        return  # cleared, or moved aside by a reader, since it was listed
    except Untrusted as error:
        yield Finding(entry.path, error.kind, f"{error}; it is not loaded")
        return
    except UNREADABLE as error:
        yield Finding(entry.path, "damaged", f"it has no record that can be read: {error}")
        return
    key = _key_of(os.path.join(folder.path, layout.ARGUMENTS))
    if layout.folder_name(version.place.name) != class_folder or key not in (None, version.place.key):
        yield Finding(entry.path, "foreign", f"it is the result of another task, of class {version.place.name!r}")
    if not intact:
        yield Finding(entry.path, "damaged", "its bytes are not those that were written")
    accept = os.path.join(folder.path, layout.accept_file(number))
    if os.path.isfile(accept) and store.accepted(folder.path, version) is None:
        yield Finding(accept, "leftover", "it accepts no code for the version that is here")


def _is_intact(store: DiskStore, folder: str, name: str, version: Version) -> bool:
    handle = store.files.read_only(folder, name)
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


def _key_of(arguments: str) -> str | None:
    """The key that args.json names. It decides nothing; None if it is torn, gone, or names none."""
    try:
        with open(arguments, "rb") as file:
            key = json.load(file)["key"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return key if isinstance(key, str) else None


def _check_runs(store: DiskStore, folder: str) -> Iterator[Finding]:
    for entry in _entries(store, folder):
        match = _RUN.fullmatch(entry.name)
        if match is None or _is_folder(entry) != (match[2] == ".d"):
            yield _foreign(entry)
        elif match[2] == ".new":
            if _age(entry) > EMPTY_CLAIM:
                yield Finding(entry.path, "leftover", "a run died while it registered")
        elif not store.witness.lives(match[1]):
            yield Finding(entry.path, "leftover", "its run is dead")


def _check_trash(store: DiskStore, folder: str) -> Iterator[Finding]:
    until = "kept while runs are at work" if store.witness.others() else "the next clear removes it"
    for entry in _entries(store, folder):
        yield Finding(entry.path, "leftover", f"moved aside; {until}")


def _foreign(entry: Entry) -> Finding:
    kind = "a link" if entry.is_symlink() else "a folder" if _is_folder(entry) else "a file"
    return Finding(entry.path, "foreign", f"{kind} that taskproc did not make here")


def _entries(store: DiskStore, path: str) -> list[Entry]:
    return sorted(store.files.scandir(path), key=lambda entry: entry.name)


def _is_folder(entry: Entry) -> bool:
    return entry.is_dir(follow_symlinks=False)


def _age(entry: Entry) -> float:
    try:
        return time.time() - entry.stat(follow_symlinks=False).st_mtime
    except OSError:
        return 0.0  # it has its name by now
