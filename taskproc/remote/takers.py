"""Which tasks wait though nobody takes such ones: a worker was not started, or a tag is misspelt.

What a process takes is known by what it has asked for. One that gave no number may be gone or come again, so its tags
count as taken for good.
"""
from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Container, Iterable

from taskproc.remote.nouns import CALL

logger = logging.getLogger("taskproc")

REPORT_AFTER = 3.0  # seconds that a worker may take to come, before it is told that there is none


class Takers:
    """All verbs but `missing` and `reported` are called with `lock` held.

    `now` is in seconds, of any clock that does not go back.

    Args:
        waiting: the tags of the tasks that wait, each with the tag of its reply.
    """

    def __init__(self, lock: threading.Lock, waiting: Callable[[], Iterable[tuple[str, str]]]):
        self._lock, self._waiting = lock, waiting
        self._taken: dict[int | None, set[Container[str]]] = {}
        self._counts: Counter[Container[str]] = Counter()  # how many processes take it
        # Tags that wait, or did, and are taken by nobody: when to report that; None: it was
        self._missing: dict[str, float | None] = {}

    def takes(self, process: int | None, among: Container[str]) -> None:
        """A process has asked for a task of these tags."""
        taken = self._taken.setdefault(process, set())
        if among not in taken:
            taken.add(among)
            self._counts[among] += 1
            for tag in [tag for tag in self._missing if tag in among]:
                del self._missing[tag]

    def leaves(self, process: int, now: float) -> bool:
        """A process takes nothing any more; see `waits`. O(tasks) if it was the last that took some tags."""
        taken = self._taken.pop(process, set())
        self._counts.subtract(taken)
        self._counts = +self._counts
        if taken <= self._counts.keys():
            return False
        news = [tag for tag in {tag for tag, _ in self._waiting()} if self.waits(tag, now)]
        return bool(news)

    def waits(self, tag: str, now: float) -> bool:
        """A task of that tag waits; whether there is something new to report, when `next_look` says so."""
        if tag in self._missing or any(tag in among for among in self._counts):
            return False
        self._missing[tag] = now + REPORT_AFTER
        return True

    def next_look(self) -> float | None:
        """When there will be something to report; None: never, as things are."""
        return min((when for when in self._missing.values() if when is not None), default=None)

    def report(self, now: float) -> None:
        """Log what is due: each tag once, as long as nobody comes who takes it."""
        due = [tag for tag, when in self._missing.items() if when is not None and when <= now]
        counts = Counter(tag for tag, _ in self._waiting()) if due else Counter[str]()
        for tag in due:
            if counts[tag]:
                self._missing[tag] = None
                logger.warning("%s", remark(tag))
            else:
                del self._missing[tag]  # it was called off, or taken by a process that has left

    def missing(self) -> list[str]:
        """Tags of tasks that wait though nobody takes such ones. O(tasks) if there may be some."""
        with self._lock:
            return sorted({tag for tag, _ in self._waiting()} & self._missing.keys() if self._missing else ())

    def reported(self, replies: Container[str]) -> list[str]:
        """Those among them that were reported, and whose results are got by one of these tags."""
        with self._lock:
            told = {tag for tag, when in self._missing.items() if when is None}
            return sorted({tag for tag, reply in self._waiting() if tag in told and reply in replies} if told else ())


def remark(tag: str) -> str:
    """That nobody takes such tasks, and what to do."""
    has = "" if tag == CALL else f" whose module has a function do_{tag}"
    correct = "" if tag == CALL else ", or correct the tag"
    return (f"tasks with the tag {tag!r} wait, and there is no worker for them\n\n"
            f"hint: start one{has}: `python -m taskproc.remote work`{correct}")
