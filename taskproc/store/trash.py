"""The trash of a cache: cleared and retired results go there by one rename, and are removed when no run can read them.

Removing a hundred thousand results takes many seconds, and a user should not wait for that: a run and a call of
`clear_task` remove files for a moment, and the next one goes on. `taskproc clear` removes everything.

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

MOMENT = 0.1  # seconds for which a run, or a call, removes files
LOOK_EVERY = 0.2  # seconds after which a removal checks whether a run has begun
_AT_ONCE = 500  # names that are listed at once

Clock = Callable[[], float]


def move_to_trash(store: CacheFolder, folder: Folder, *names: str) -> int:
    """Move entries of an open folder into the trash, in this order. Returns how many existed."""
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
    """Remove the files in the trash. Returns whether it is empty now.

    Does nothing while a run other than `own` is at work, whose tasks may read these files. A run that begins in the
    meantime ends the removal: it cannot know the files, but it needs the disk.

    Args:
        own: token of the run that calls this.
        seconds: that this may take.
        tell: called after each file, with the number of removed files.
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
    """One removal, which ends when its time is over or a run begins."""

    def __init__(self, store: CacheFolder, own: str, seconds: float, tell: Callable[[int], object], clock: Clock):
        self._store, self._own, self._tell, self._clock = store, own, tell, clock
        now = clock()
        self._until, self._look_at = now + seconds, now + LOOK_EVERY
        self._count = 0
        self._goes_on = True

    def empty(self, folder: Folder) -> bool:
        """Remove the entries of the trash. Returns whether nothing is left."""
        files = self._store.files
        stuck: set[str] = set()  # names that cannot be removed
        while True:
            # Listed before looking for other runs: a run that begins after that cannot read what is listed
            names = set(files.few(folder, len(stuck) + _AT_ONCE)) - stuck
            if not names or self._store.witness.others(self._own):
                return not names and not stuck
            for name in names:
                gone = files.remove_tree(folder, name, self._removed)
                if not self._goes_on:
                    return False
                if not gone:
                    stuck.add(name)

    def _removed(self) -> bool:
        """Count a removed file. Returns whether to go on."""
        self._count += 1
        self._tell(self._count)
        now = self._clock()
        if now >= self._look_at:
            self._look_at = now + LOOK_EVERY
            self._goes_on = not self._store.witness.others(self._own)
        self._goes_on = self._goes_on and now < self._until
        return self._goes_on


def discard(store: CacheFolder, *levels: str) -> bool:
    """Move the file or folder that these names lead to into the trash; False if it does not exist.

    If the last level is a link, the link itself is moved. Raises LinkInCache if a level above is a link, and another
    CacheError if the move fails.
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
    """Remove files in the trash for a moment. Raises nothing: what stays only costs space until the next time."""
    try:
        empty_trash(store, own, seconds=MOMENT)
    except (OSError, CacheError):
        pass


def retire(store: CacheFolder, in_use: Mapping[Place, int]) -> None:
    """Move older versions into the trash; see DiskStore.retire. Costs one listing for each place."""
    if not in_use or store.witness.others(store.token):
        return
    for place, number in in_use.items():
        try:
            _retire(store, place, number)
        except (OSError, CacheError):
            continue  # cleared in the meantime, or not movable: it costs space until the next run


def _retire(store: CacheFolder, place: Place, in_use: int) -> None:
    # By descriptor: after a clear, the path leads to another folder, where numbers begin again
    with store.held(*layout.place_levels(place)) as folder:
        ours = _ours(store, folder)
        if superfluous(ours, in_use, store.rules.keep_versions):
            kept = _equal(store, folder, place, ours, in_use)
            move_to_trash(store, folder, *superfluous(ours, in_use, store.rules.keep_versions, kept))


def _equal(store: CacheFolder, folder: Folder, place: Place, names: list[str], in_use: int) -> list[int]:
    """Versions with a data directory and the value of the one in use.

    Tasks below were not run again when the version in use replaced them, so results may have paths into them.
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
    """Names in a place whose kind is as the store makes it; other files are left alone."""
    names = []
    for entry in store.files.scandir(folder):
        is_data = (layout.side_file(entry.name) or ("", 0))[0] == "data"
        if entry.is_dir(follow_symlinks=False) if is_data else entry.is_file(follow_symlinks=False):
            names.append(entry.name)
    return names


def superfluous(names: list[str], in_use: int, keep_versions: int, besides: Collection[int] = ()) -> list[str]:
    """The names in a place that can be retired, in the order of their removal: results first.

    Args:
        besides: numbers that stay as well.
    """
    kinds = layout.numbers(names)
    if in_use not in kinds["result"]:
        return []  # it was cleared, and numbers begin again
    others = [number for number in kinds["result"] if number != in_use]
    stays = {in_use, *others[:keep_versions], *kinds["claim"], *besides}
    top = layout.highest_number(kinds)

    def goes(number: int) -> bool:
        return number < top and number not in stays

    results = [layout.result_file(number) for number in reversed(kinds["result"]) if goes(number)]
    ended = [f"{kind}.{number}" for kind in ("failed", "bad") for number in kinds[kind] if goes(number)]
    side_files = [name for name in names if (kind := layout.side_file(name)) is not None and goes(kind[1])]
    return [*results, *sorted(side_files), *ended]
