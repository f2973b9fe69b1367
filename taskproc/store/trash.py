"""The trash of a cache: what was cleared or retired is moved there by one rename, and removed when no run may read it.

To remove a hundred thousand results takes many seconds, and nobody should wait for that: a run and a call of
`clear_task` remove for a moment only, and leave the rest to whoever comes next. `taskproc clear` removes all of it.
Whoever is killed meanwhile leaves the rest, too.

Older versions are retired when a run ends, unless another run is at work, whose tasks may read their files: first the
results, then the files beside them. The highest number stays, so that no number is used twice, and claims stay. A
process that dies in between leaves data and logs without an attempt; the next retirement moves them.
"""
from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping

from taskproc.errors import CacheError
from taskproc.store import layout
from taskproc.store.files import Folder
from taskproc.store.folder import UNREADABLE, CacheFolder
from taskproc.store.layout import Place

MOMENT = 0.1      # seconds for which a run, or a call, removes what lies in the trash
LOOK_EVERY = 0.2  # seconds after which a removal looks whether a run has begun
_AT_ONCE = 500    # names

Clock = Callable[[], float]


def move_to_trash(store: CacheFolder, folder: Folder, *names: str) -> int:
    """Move what has these names in an open folder into the trash, in their order; how many there were."""
    trash = store.made_folder("trash")
    try:
        return sum(store.files.move_out(folder, name, trash, os.urandom(16).hex()) for name in names)
    finally:
        store.files.close_folder(trash)


def empty_trash(
    store: CacheFolder,
    own: str = "",
    *,
    seconds: float,
    tell: Callable[[int], object] = lambda count: None,
    clock: Clock = time.monotonic,
) -> bool:
    """Remove what was moved aside; whether the trash is empty_trash now.

    Not while a run other than `own` is at work, whose tasks may read what lies there. A run that begins meanwhile ends
    the removal: it cannot know what was moved aside before, but it needs the disk.

    Args:
        seconds: for which this may take.
        tell: called after each file, with how many are gone.
    """
    try:
        folder = store.folder("trash")
    except FileNotFoundError:
        return True
    try:
        return _Emptying(store, own, seconds, tell, clock).empty(folder)
    finally:
        store.files.close_folder(folder)


class _Emptying:
    """One go at it."""

    def __init__(self, store: CacheFolder, own: str, seconds: float, tell: Callable[[int], object], clock: Clock):
        self._store, self._own, self._tell, self._clock = store, own, tell, clock
        now = clock()
        self._until, self._look_at = now + seconds, now + LOOK_EVERY
        self._count = 0
        self._goes_on = True

    def empty(self, folder: Folder) -> bool:
        """Whether nothing is left."""
        files = self._store.files
        kept: set[str] = set()  # since they cannot be removed
        while True:
            # Listed before it is asked who is at work: a run that begins after this has nothing of what is listed
            names = set(files.few(folder, len(kept) + _AT_ONCE)) - kept
            if not names or self._store.witness.others(self._own):
                return not names and not kept
            for name in names:
                gone = files.remove_tree(folder, name, self._removed)
                if not self._goes_on:
                    return False
                if not gone:
                    kept.add(name)

    def _removed(self) -> bool:
        """Note one file more; whether to go on."""
        self._count += 1
        self._tell(self._count)
        now = self._clock()
        if now >= self._look_at:
            self._look_at = now + LOOK_EVERY
            self._goes_on = not self._store.witness.others(self._own)
        self._goes_on = self._goes_on and now < self._until
        return self._goes_on


def discard(store: CacheFolder, *levels: str) -> bool:
    """Move what these names lead to from the cache into the trash; False if there is nothing.

    A link that has the last of these names is moved itself. LinkInCache if one above is a link, another CacheError if
    that cannot be done.
    """
    *above, name = levels
    try:
        folder = store.folder(*above) if above else store.root
        try:
            return store.files.kind(folder, name) != "" and bool(move_to_trash(store, folder, name))
        finally:
            store.files.close_folder(folder)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise CacheError(f"cannot clear in cache {store.root!r}: {error}") from error


def sweep_trash(store: CacheFolder, own: str = "") -> None:
    """Empty the trash for a moment, or leave it: what stays costs room, and whoever comes next does it."""
    try:
        empty_trash(store, own, seconds=MOMENT)
    except (OSError, CacheError):
        pass


def retire(store: CacheFolder, in_use: Mapping[Place, int]) -> None:
    """Move what is not kept into the trash; see DiskStore.retire. Costs a listing a place."""
    if not in_use or store.witness.others(store.token):
        return
    for place, number in in_use.items():
        try:
            _retire(store, place, number)
        except (OSError, CacheError):
            continue  # cleared meanwhile, or not ours to move: what stays costs room, and the next run comes by again


def _retire(store: CacheFolder, place: Place, in_use: int) -> None:
    # By descriptor: after a clear the path has another task's first numbers, and they are not ours to count
    with store.held(*layout.place_levels(place)) as folder:
        ours = _ours(store, folder)
        if superfluous(ours, in_use, store.rules.keep_versions):
            kept = _equal(store, folder, place, ours, in_use)
            move_to_trash(store, folder, *superfluous(ours, in_use, store.rules.keep_versions, kept))


def _equal(store: CacheFolder, folder: Folder, place: Place, names: list[str], in_use: int) -> list[int]:
    """Versions with a data directory and the value of the one in use.

    What lies below was not made anew when they gave way to it, so there may be paths into their directories.
    """
    numbers = [n for n in layout.result_numbers(names) if n != in_use and layout.data_folder(n) in names]
    if not numbers:
        return []
    value = store.read_version(folder, place, in_use).record.stamp.value
    return [n for n in numbers if _value_of(store, folder, place, n) == value]


def _value_of(store: CacheFolder, folder: Folder, place: Place, number: int) -> str:
    try:
        return store.read_version(folder, place, number).record.stamp.value
    except UNREADABLE:
        return ""


def _ours(store: CacheFolder, folder: Folder) -> list[str]:
    """Names in a place, but for those of another kind than we make: a stranger's are left alone."""
    found = []
    for entry in store.files.scandir(folder):
        is_data = (layout.side_file(entry.name) or ("", 0))[0] == "data"
        if entry.is_dir(follow_symlinks=False) if is_data else entry.is_file(follow_symlinks=False):
            found.append(entry.name)
    return found


def superfluous(names: list[str], in_use: int, keep_versions: int, besides: Collection[int] = ()) -> list[str]:
    """Which of the names in a place need not stay, in the order in which they may go: results before all else."""
    found = layout.numbers(names)
    if in_use not in found["result"]:
        return []  # it was cleared, and counts anew
    others = [number for number in found["result"] if number != in_use]
    kept = {in_use, *others[:keep_versions], *found["claim"], *besides}
    top = layout.highest_number(found)

    def goes(number: int) -> bool:
        return number < top and number not in kept

    results = [layout.result_file(number) for number in reversed(found["result"]) if goes(number)]
    ended = [f"{kind}.{number}" for kind in ("failed", "bad") for number in found[kind] if goes(number)]
    beside = [name for name in names if (known := layout.side_file(name)) is not None and goes(known[1])]
    return [*results, *sorted(beside), *ended]
