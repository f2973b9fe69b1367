"""Which tasks have no folder at all: one listing of a class instead of a look a task.

A cold run asks ten thousand times whether there is a result, and there is none. A listing answers for all of them, of
the moment at which it was made; it says nothing but that a look would have been in vain then, and never that a result
is good. Whoever claims looks again, twice, so that an old listing costs one claim that is not needed, and no truth.
"""
from __future__ import annotations

from taskproc.errors import LinkInCache
from taskproc.store import layout
from taskproc.store.base import Place
from taskproc.store.folder import CacheFolder

_MISSED = 8  # looks in vain after which a class is listed: not for one new task among a million others
_MOST = 4    # names that are read of a class, for each task of the run: more cost more than they save


class Listing:
    """For a run over `count` tasks."""

    def __init__(self, store: CacheFolder, count: int):
        self._store, self._most = store, _MOST * count
        self._missed: dict[str, int] = {}
        self._listed: dict[str, frozenset[str]] = {}

    def lacks(self, place: Place) -> bool:
        """Whether it is known that `place` had no folder when its class was listed."""
        listed = self._listed.get(place.name)
        return listed is not None and str(place.id) not in listed

    def missed(self, place: Place) -> None:
        """Tell that a look found nothing there."""
        count = self._missed[place.name] = self._missed.get(place.name, 0) + 1
        if count == _MISSED:
            try:
                with self._store.held(*layout.results_levels(place.name)) as folder:
                    names = self._store.files.few(folder, self._most + 1)
            except (FileNotFoundError, NotADirectoryError, LinkInCache):
                names = []
            if len(names) <= self._most:
                self._listed[place.name] = frozenset(names)
