"""A tiny file system and its laws: directories by identity, files by maker, and what must never be done to them.

A state is immutable and small. What an actor does to it goes through the functions here; each raises `Breach` when it
breaks a law, so that no protocol can break one unseen. A directory that was moved to the trash is still reached through
a descriptor; one whose trash was emptied is `None`, and nothing can be made or renamed in it.
"""
from __future__ import annotations

from typing import NamedTuple, Union

EMPTY, HEAD, SEALED, TORN = "empty", "head", "sealed", "torn"  # what is in a file; torn: its bytes were damaged later
ENDS = frozenset({"done", "failed", "dead", "capped"})


class Breach(Exception):
    """A law was broken; the text is the law."""


class File(NamedTuple):
    """Its maker, its number among those of the maker, and its content."""

    owner: int
    serial: int
    content: str


class Entry(NamedTuple):
    """A name in a directory: kind and number; `file` is what it leads to."""

    kind: str
    number: int
    file: File


Folder = Union[tuple[Entry, ...], None]


class Actor(NamedTuple):
    """One run. `step` is what it does next; the rest is what it remembers until then."""

    step: str
    folder: int = -1  # the directory that it has a descriptor of
    number: int = 0
    serial: int = 0  # of the file that it made last
    names: tuple[Entry, ...] = ()  # what it still has to remove
    fenced: tuple[int, ...] = ()  # the claims that it has removed
    shown: tuple[Entry, ...] | None = None  # what was in the directory when its descriptor was opened
    version: Entry | None = None  # what it has read, or uses
    floor: int = 0  # only versions above it count
    remembered: tuple[int, tuple[Entry, ...]] | None = None  # an old listing that its client may serve: of which folder


class Left(NamedTuple):
    """How often each of these may still happen."""

    listings: int = 0  # a client serves a listing of an earlier moment
    replies: int = 0  # a rename is done and its reply is lost
    damages: int = 0  # a published version loses its bytes


class State(NamedTuple):
    """All there is at one moment. `place` is the directory that the path leads to, -1: none."""

    place: int
    folders: tuple[Folder, ...]
    actors: tuple[Actor, ...]
    left: Left


def at(folder: Folder, kind: str, number: int) -> Entry | None:
    """What a name leads to."""
    for entry in folder or ():
        if entry.number == number and entry.kind == kind:
            return entry
    return None


def highest(entries: Folder) -> int:
    """The highest number in use, 0 if none."""
    return max((entry.number for entry in entries or () if entry.kind != "data"), default=0)


def folder_at(state: State, index: int) -> Folder:
    """The directory with that index, None if there is none."""
    return state.folders[index] if index >= 0 else None


def with_actor(state: State, me: int, actor: Actor) -> State:
    return State(state.place, state.folders, (*state.actors[:me], actor, *state.actors[me + 1 :]), state.left)


def with_folder(state: State, index: int, folder: Folder) -> State:
    folders = (*state.folders[:index], folder, *state.folders[index + 1 :])
    return State(state.place, folders, state.actors, state.left)


def make_folder(state: State) -> State:
    """mkdir of the path: a directory that is there stays, otherwise it is a new one."""
    if state.place >= 0:
        return state
    used = _reached(state)
    free = next((index for index in range(len(state.folders)) if index not in used), None)
    if free is None:
        return State(len(state.folders), (*state.folders, ()), state.actors, state.left)
    return State(free, with_folder(state, free, ()).folders, state.actors, state.left)


def make(state: State, index: int, number: int, file: File) -> State:
    """O_CREAT | O_EXCL of a claim; the name must be free."""
    entries = state.folders[index] or ()
    return with_folder(state, index, tuple(sorted((*entries, Entry("claim", number, file)))))


def write(state: State, owner: int, serial: int, content: str) -> State:
    """Write through a handle: the file gets it wherever it is by now, also if no name leads to it."""
    for index, folder in enumerate(state.folders):
        for entry in folder or ():
            if (entry.file.owner, entry.file.serial) == (owner, serial) and entry.kind != "data":
                if entry.kind != "claim" and content == SEALED:
                    raise Breach("a published version was changed")
                rest = tuple(other for other in folder or () if other is not entry)
                changed = entry._replace(file=File(owner, serial, content))
                return with_folder(state, index, tuple(sorted((*rest, changed))))
    return state


def remove(state: State, index: int, kind: str, number: int) -> State:
    """Remove a name, if it exists."""
    folder = folder_at(state, index)
    entry = at(folder, kind, number)
    if entry is None:
        return state
    rest = tuple(other for other in folder or () if other is not entry)
    if kind != "data" and highest(rest) < highest(folder):
        raise Breach("a number vanished while it was the highest")
    if kind == "data" and (owner := at(rest, "result", number)) is not None and owner.file.content == SEALED:
        raise Breach("a published version lost its data")
    return with_folder(state, index, rest)


def rename(state: State, index: int, old: str, new: str, number: int) -> State | None:
    """Rename a number from one kind to another by whoever does; None if there is nothing. See `publish` for claims."""
    folder = folder_at(state, index)
    entry = at(folder, old, number)
    if entry is None:
        return None
    if old == "result" and entry.file.content == SEALED:
        raise Breach("a good version was moved aside")
    rest = tuple(other for other in folder or () if other is not entry and (other.kind, other.number) != (new, number))
    return with_folder(state, index, tuple(sorted((*rest, Entry(new, number, entry.file)))))


def publish(state: State, index: int, number: int, file: File, me: tuple[int, int], floor: int, lenient: bool) -> State:
    """`file` becomes version `number` in place of the claim, by an act of `me`, the maker of claim me[1].

    `floor`: versions up to it do not count for him; `lenient`: he may move a stranger's unwritten claim.
    """
    folder = state.folders[index] or ()
    claim = at(folder, "claim", number)
    if claim is None or claim.file != file:
        raise Breach("one that was fenced published")
    if (file.owner, file.serial) != me and file.content == SEALED:
        raise Breach("a stranger's claim was published")
    if (file.owner, file.serial) != me and not lenient:
        raise Breach("a stranger's unwritten claim was moved")
    if at(folder, "result", number) is not None:
        raise Breach("a published version was replaced")
    rest = tuple(entry for entry in folder if entry is not claim)
    if file.content == SEALED and any(is_good(entry, floor) for entry in rest):
        raise Breach("double commit")
    return with_folder(state, index, tuple(sorted((*rest, Entry("result", number, file)))))


def is_good(entry: Entry, floor: int = 0) -> bool:
    """Whether a name is a version whose bytes are what was written."""
    return entry.kind == "result" and entry.number > floor and entry.file.content == SEALED


def fresh_start(actor: Actor, step: str) -> Actor:
    """`actor` with nothing in hand."""
    return Actor(step, serial=actor.serial, floor=actor.floor, remembered=actor.remembered)


def readable(entry: Entry) -> bool:
    """Whether the record can be read: also of what was damaged in its payload."""
    return entry.file.content in (SEALED, TORN)


def same(entry: Entry, other: Entry) -> bool:
    """Whether both are the work of one attempt."""
    return entry.file[:2] == other.file[:2]


def results(folder: Folder) -> list[Entry]:
    """Versions whose record can be read, newest first."""
    return [entry for entry in reversed(folder or ()) if entry.kind == "result" and readable(entry)]


def newest(folder: Folder, floor: int) -> Entry | None:
    """The newest version that counts."""
    return next((entry for entry in results(folder) if entry.number > floor), None)


def move_away(state: State) -> State:
    """The path is renamed into the trash: its directory lives on for those who have it open."""
    return State(-1, state.folders, state.actors, state.left)


def tidy(state: State) -> State:
    """Forget what is in directories that nobody can reach any more."""
    reached = _reached(state)
    folders = state.folders
    if all(folder == () or index in reached for index, folder in enumerate(folders)):
        return state
    kept = tuple(folder if index in reached else () for index, folder in enumerate(folders))
    return State(state.place, kept, state.actors, state.left)


def _reached(state: State) -> set[int]:
    reached = {state.place}
    for actor in state.actors:
        reached.add(actor.folder)
        if actor.remembered is not None:
            reached.add(actor.remembered[0])
    return reached
