"""Under which conditions the tasks of a run are made: their code and their settings, as they were when it began."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from taskproc.kernel.model import Record, Stamp
from taskproc.kernel.rebuild import Present, changed_items
from taskproc.source.fingerprint import Fingerprint, is_older, is_same
from taskproc.store.disk import DiskStore
from taskproc.tasks.given import given_to
from taskproc.tasks.settings import NOTHING_LEFT, left_on, settings_of
from taskproc.tasks.source import fingerprint

Task = Any  # tasks.task stands above this module

LOOKED_AT = "the way of looking at code has changed"  # and not, as far as is known, the code
_UNKNOWN = "the source changed"  # where it is not known any more what it was


class Conditions:
    """Asked once per class and remembered: files may be edited while the run is on its way, and what runs is the old.

    Args:
        checks_code: whether the source counts.
    """

    def __init__(self, checks_code: bool = True):
        self._checks_code = checks_code
        self._code: dict[tuple[type, tuple[object, ...]], Fingerprint] = {}
        self._settings: dict[type, Mapping[str, str]] = {}
        self._alone: dict[type, Present] = {}
        self._kept: set[tuple[str, str]] = set()
        self._changes: dict[tuple[str, str, tuple[str, ...]], str] = {}
        self._same: dict[tuple[str, str, str], bool] = {}

    def code(self, task: Task) -> Fingerprint:
        """What code the task runs; that of what it got as arguments is among it."""
        given = given_to(task)
        key = (type(task), given)
        found = self._code.get(key)
        if found is None:
            found = self._code[key] = fingerprint(type(task), given)
        return found

    def reaches_packages(self) -> bool:
        """Whether some code that was asked for reaches an installed package."""
        return any(code.packages for code in self._code.values())

    def settings(self, task: Task) -> Mapping[str, str]:
        """See tasks/settings.py."""
        return left_on(task).added_to(self.of_class(type(task)))

    def of_class(self, cls: type) -> Mapping[str, str]:
        """The settings that all tasks of a class have."""
        found = self._settings.get(cls)
        if found is None:
            found = self._settings[cls] = settings_of(cls)
        return found

    def present(self, task: Task, needs: Mapping[str, Stamp], above: int) -> Present:
        """What a result of `task` would be made from now."""
        # Most tasks of a large graph need nothing, and have nothing but their class to be told by
        is_alone = not needs and not above and not given_to(task) and left_on(task) is NOTHING_LEFT
        found = self._alone.get(type(task)) if is_alone else None
        if found is None:
            code = self.code(task).digest if self._checks_code else None
            settings = left_on(task).added_to(self.of_class(type(task)))
            found = Present(code, needs, settings, above)
            if is_alone:
                self._alone[type(task)] = found
        return found

    def change(self, task: Task, store: DiskStore, *codes: str) -> str:
        """How the code of `task` differs from the nearest of those with the digests `codes`, in words."""
        name, now = task._taskproc.place.name, self.code(task)
        known = self._changes.get((name, now.digest, codes))
        if known is None:
            then = self.nearest(task, store, codes)
            if then is None:
                found = [store.code(name, code) for code in codes]
                known = LOOKED_AT if any(each is not None and is_older(each) for each in found) else _UNKNOWN
            else:
                known = changed_items(then["items"], now.items) or _UNKNOWN
            self._changes[name, now.digest, codes] = known
        return known

    def nearest(self, task: Task, store: DiskStore, codes: Iterable[str]) -> Mapping[str, Any] | None:
        """What is known of that one of `codes`, looked at as today, which differs least from the code of `task`."""
        now = self.code(task).items
        found = [then for code in codes if (then := store.code(task._taskproc.place.name, code)) is not None]
        whole = [then for then in found if not is_older(then) and isinstance(then.get("items"), Mapping)]
        return min(whole, key=lambda then: _differing(then["items"], now), default=None)

    def is_same(self, task: Task, store: DiskStore, record: Record) -> bool:
        """Whether the code that made a result was looked at in an older way, and all that this saw is there as it was.

        What lies in `code/` is not signed, so in a cache with a key that is for the user to say.
        """
        return any(self._is_same(task, store, code) for code in (record.code, *record.accepted))

    def _is_same(self, task: Task, store: DiskStore, code: str) -> bool:
        name, now = task._taskproc.place.name, self.code(task)
        known = self._same.get((name, code, now.digest))
        if known is None:
            then = store.code(name, code) if store.key is None else None
            known = self._same[name, code, now.digest] = then is not None and is_older(then) and is_same(then, now)
        return known

    def kept(self, task: Task, store: DiskStore) -> Fingerprint:
        """Its code, of which the cache knows from now on what the digest stands for: a later run can name a change."""
        name, code = task._taskproc.place.name, self.code(task)
        if (name, code.digest) not in self._kept:
            self._kept.add((name, code.digest))
            store.keep_code(name, code.digest, code.content())
        return code


def _differing(then: Mapping[str, object], now: Mapping[str, object]) -> int:
    """How many items are not the same."""
    return sum(then.get(item) != now.get(item) for item in {**then, **now})
