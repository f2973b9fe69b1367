"""The conditions under which the tasks of a run are made: their code and settings when the run began."""
from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from taskproc.kernel.model import Record, Stamp
from taskproc.kernel.rebuild import Present, changed_items
from taskproc.source.fingerprint import Fingerprint, is_older, is_same
from taskproc.store.disk import DiskStore
from taskproc.tasks.reached_code import code_of_values
from taskproc.tasks.settings import NOTHING_LEFT, left_on, settings_of
from taskproc.tasks.task_code import fingerprint
from taskproc.text import counted

if TYPE_CHECKING:
    from taskproc.source.fingerprint import Fingerprint

Task = Any  # tasks.task stands above this module

LOOKED_AT = "taskproc has changed the way it reads code"  # and the code, as far as is known, has not
_UNKNOWN = "the source changed"  # when the old source is not known any more
logger = logging.getLogger("taskproc")
_CLASSES = 5  # that a run reports one by one


class Conditions:
    """Read once per class and remembered: files may be edited during the run, but the old code runs.

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
        """The code that the task runs, including code among its arguments."""
        given = code_of_values(task)
        key = (type(task), given)
        found = self._code.get(key)
        if found is None:
            found = self._code[key] = fingerprint(type(task), given)
        return found

    def reaches_packages(self) -> bool:
        """Whether some of the code read so far reaches an installed package."""
        return any(code.packages for code in self._code.values())

    def settings(self, task: Task) -> Mapping[str, str]:
        """All settings of the task, see tasks/settings.py."""
        return left_on(task).added_to(self.of_class(type(task)))

    def of_class(self, cls: type) -> Mapping[str, str]:
        """The settings that all tasks of a class have."""
        found = self._settings.get(cls)
        if found is None:
            found = self._settings[cls] = settings_of(cls)
        return found

    def present(self, task: Task, needs: Mapping[str, Stamp], above: int) -> Present:
        """What a result of `task` would be made from now."""
        # Most tasks of a large graph need nothing and differ only by class
        is_alone = not needs and not above and not code_of_values(task) and left_on(task) is NOTHING_LEFT
        found = self._alone.get(type(task)) if is_alone else None
        if found is None:
            code = self.code(task).digest if self._checks_code else None
            settings = left_on(task).added_to(self.of_class(type(task)))
            found = Present(code, needs, settings, above)
            if is_alone:
                self._alone[type(task)] = found
        return found

    def change(self, task: Task, store: DiskStore, *codes: str) -> str:
        """In words, how the code of `task` differs from the nearest of those with the digests `codes`."""
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
        """The content of that one of `codes`, read as today, that differs least from the code of `task`."""
        now = self.code(task).items
        found = [then for code in codes if (then := store.code(task._taskproc.place.name, code)) is not None]
        whole = [then for then in found if not is_older(then) and isinstance(then.get("items"), Mapping)]
        return min(whole, key=lambda then: _differing(then["items"], now), default=None)

    def is_same(self, task: Task, store: DiskStore, record: Record) -> bool:
        """Whether an older way of reading code saw the code of a result, and all that it saw is the same now.

        The files in `code/` are not signed, so in a cache with a key this is for the user to decide.
        """
        return any(self._is_same(task, store, code) for code in (record.code, *record.accepted))

    def _is_same(self, task: Task, store: DiskStore, code: str) -> bool:
        name, now = task._taskproc.place.name, self.code(task)
        known = self._same.get((name, code, now.digest))
        if known is None:
            then = store.code(name, code) if store.key is None else None
            known = self._same[name, code, now.digest] = then is not None and is_older(then) and is_same(then, now)
        return known

    def stored_code(self, task: Task, store: DiskStore) -> Fingerprint:
        """The code of the task, stored in the cache under its digest, so that a later run can name a change."""
        name, code = task._taskproc.place.name, self.code(task)
        if (name, code.digest) not in self._kept:
            self._kept.add((name, code.digest))
            store.keep_code(name, code.digest, code.content())
        return code


def _differing(then: Mapping[str, object], now: Mapping[str, object]) -> int:
    """The number of items that differ."""
    return sum(then.get(item) != now.get(item) for item in {**then, **now})


class Unwatched:
    """What the tasks of a graph use that cannot be watched, by class and code."""

    def __init__(self) -> None:
        self._words: dict[tuple[type[Task], str], dict[str, None]] = {}
        self._patterns: dict[type[Task], None] = {}
        self._last: Fingerprint | None = None

    def note(self, task: Task, code: Fingerprint) -> None:
        """Add a task, whose code is `code`."""
        left = left_on(task).untracked
        if code is self._last and not left:
            return  # the usual case, for ten thousand tasks: a code belongs to one class
        self._last, cls = code, type(task)
        if code.untracked or left:
            known = self._words.get((cls, code.digest))
            if known is None:
                known = self._words[cls, code.digest] = dict.fromkeys(code.untracked)
            if left:
                known.update(dict.fromkeys(left))
        if cls.task_unwatched_ok:
            self._patterns[cls] = None

    def words(self) -> dict[str, tuple[str, ...]]:
        """Task class → all that cannot be watched there, accepted or not."""
        return {cls.task_name: tuple(words) for cls, words in self._by_class().items() if words}

    def lines(self) -> Iterator[str]:
        """All of it for people, with accepted entries, and with patterns that match nothing."""
        idle = self._idle()
        for cls, words in self._by_class().items():
            patterns = _patterns_of(cls)
            lines = [f"  not watched: {each}" for each in words if not _is_accepted(each, patterns)]
            lines += [f"  not watched, and accepted: {each}" for each in words if _is_accepted(each, patterns)]
            lines += [f"  {pattern!r} in task_unwatched_ok matches nothing" for pattern in idle.get(cls, ())]
            if lines:
                yield cls.task_name
                yield from lines

    def tell(self, store: DiskStore) -> None:
        """Log a line for each class with an entry that no run on this cache has reported for its present code."""
        if not logger.isEnabledFor(logging.WARNING):
            return  # it would not be shown, so it must not count as reported
        counts: dict[str, int] = {}
        for (cls, digest), words in self._words.items():
            patterns = _patterns_of(cls)
            open_words = {each for each in words if not _is_accepted(each, patterns)}
            if not open_words:
                continue
            known = store.reported(cls.task_name, digest)
            if not open_words <= known:
                if not store.rules.refusal:
                    store.keep_reported(cls.task_name, digest, known | open_words)
                counts[cls.__qualname__] = max(len(open_words), counts.get(cls.__qualname__, 0))
        for name, count in list(counts.items())[:_CLASSES]:
            things = counted(count, "thing")
            logger.warning("%s that the code of %s uses cannot be watched: see `taskproc why`", things, name)
        if len(counts) > _CLASSES:
            more = counted(len(counts) - _CLASSES, "more class", "more classes")
            logger.warning("the same holds for the code of %s: see `taskproc why`", more)

    def _by_class(self) -> dict[type[Task], dict[str, None]]:
        found: dict[type[Task], dict[str, None]] = {}
        for (cls, _), words in self._words.items():
            found.setdefault(cls, {}).update(words)
        return {**found, **{cls: found.get(cls, {}) for cls in self._patterns}}

    def _idle(self) -> dict[type[Task], list[str]]:
        """Class → patterns that match nothing; a pattern that several classes inherit is reported for one of them."""
        words: dict[type, list[str]] = {}
        for cls, found in self._by_class().items():
            words.setdefault(_owner(cls), []).extend(found)
        first = {_owner(cls): cls for cls in reversed(list(self._patterns))}
        return {
            cls: [each for each in _patterns_of(cls) if not any(_is_accepted(some, [each]) for some in words[owner])]
            for owner, cls in first.items()
        }


def _owner(cls: type) -> type:
    """The class that sets the accepted patterns for `cls`."""
    return next((base for base in cls.__mro__ if "task_unwatched_ok" in vars(base)), cls)


def _patterns_of(cls: type[Task]) -> Sequence[str]:
    patterns: Sequence[str] = cls.task_unwatched_ok
    return patterns


def _is_accepted(words: str, patterns: Iterable[str]) -> bool:
    """Whether a pattern matches; also literally, because names may contain brackets."""
    texts = (words, words.partition(" ")[0])
    return any(pattern in texts or any(fnmatchcase(text, pattern) for text in texts) for pattern in patterns)
