"""What tasks use and cannot be watched: listed by `why` for each class, and mentioned by the first run that meets it.

A change of it reruns nothing, so nobody may learn of it too late. Each thing is text, `PLACE CAUSE`; a class accepts
what `task_unwatched_ok` names, by a pattern for the place or for the whole text.
"""
from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from taskproc.store.disk import DiskStore
from taskproc.tasks.settings import left_on
from taskproc.tasks.source import check_unwatched_ok
from taskproc.text import counted

if TYPE_CHECKING:
    from taskproc.source.fingerprint import Fingerprint

logger = logging.getLogger("taskproc")

Task = Any  # tasks.task stands above this module

_CLASSES = 5  # that a run mentions one by one


class Unwatched:
    """What the tasks of a graph use and cannot be watched, by class and code."""

    def __init__(self) -> None:
        self._words: dict[tuple[type[Task], str], dict[str, None]] = {}
        self._patterns: dict[type[Task], None] = {}
        self._last: Fingerprint | None = None

    def note(self, task: Task, code: Fingerprint) -> None:
        """Take a task into account, whose code is `code`."""
        left = left_on(task).untracked
        if code is self._last and not left:
            return  # as most of ten thousand: a code belongs to one class
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
        """All of it for people, with what is accepted, and with the patterns that accept nothing."""
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
        """Log a line for each class with something that no run on this cache has mentioned for its present code."""
        if not logger.isEnabledFor(logging.WARNING):
            return  # nobody would see it, and so it is not remembered as said
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
        """Class → patterns that match nothing; what several classes inherit is told of one, if it matches in none."""
        words: dict[type, list[str]] = {}
        for cls, found in self._by_class().items():
            words.setdefault(_owner(cls), []).extend(found)
        first = {_owner(cls): cls for cls in reversed(list(self._patterns))}
        return {
            cls: [each for each in _patterns_of(cls) if not any(_is_accepted(some, [each]) for some in words[owner])]
            for owner, cls in first.items()
        }


def _owner(cls: type) -> type:
    """The class that says what counts as accepted for `cls`."""
    return next((base for base in cls.__mro__ if "task_unwatched_ok" in vars(base)), cls)


def _patterns_of(cls: type[Task]) -> Sequence[str]:
    check_unwatched_ok(cls)  # it may have been set later
    patterns: Sequence[str] = cls.task_unwatched_ok
    return patterns


def _is_accepted(words: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns is for this; also as it is written, for names may have brackets."""
    texts = (words, words.partition(" ")[0])
    return any(pattern in texts or any(fnmatchcase(text, pattern) for text in texts) for pattern in patterns)
