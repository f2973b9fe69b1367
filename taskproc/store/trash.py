"""The trash of a cache: what was cleared or retired is moved there by one rename, and removed when no run may read it.

To remove a hundred thousand results takes many seconds, and nobody should wait for that: a run and a call of
`clear_task` remove for a moment only, and leave the rest to whoever comes next. `taskproc clear` removes all of it.
Whoever is killed meanwhile leaves the rest, too.
"""
from __future__ import annotations

import os
import time
from collections.abc import Callable

from taskproc.errors import CacheError
from taskproc.store.files import Folder
from taskproc.store.folder import CacheFolder

MOMENT = 0.1      # seconds for which a run, or a call, removes what lies in the trash
LOOK_EVERY = 0.2  # seconds after which a removal looks whether a run has begun
_AT_ONCE = 500    # names

Clock = Callable[[], float]


def set_aside(store: CacheFolder, folder: Folder, *names: str) -> int:
    """Move what has these names in an open folder into the trash, in their order; how many there were."""
    trash = store.made_folder("trash")
    try:
        return sum(store.files.move_out(folder, name, trash, os.urandom(16).hex()) for name in names)
    finally:
        store.files.close_folder(trash)


def empty(
    store: CacheFolder,
    own: str = "",
    *,
    seconds: float,
    tell: Callable[[int], object] = lambda count: None,
    clock: Clock = time.monotonic,
) -> bool:
    """Remove what was moved aside; whether the trash is empty now.

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
            return store.files.kind(folder, name) != "" and bool(set_aside(store, folder, name))
        finally:
            store.files.close_folder(folder)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise CacheError(f"cannot clear in cache {store.root!r}: {error}") from error


def try_to_empty(store: CacheFolder, own: str = "") -> None:
    """Empty the trash for a moment, or leave it: what stays costs room, and whoever comes next does it."""
    try:
        empty(store, own, seconds=MOMENT)
    except (OSError, CacheError):
        pass
