"""The time that a run will still take, for those who watch it: computed beside the run, and never waited for."""
from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from taskproc.errors import TaskprocError
from taskproc.kernel.model import Event
from taskproc.ledger.estimates import Estimate, Estimates
from taskproc.ledger.time_left import TimeLeft
from taskproc.store import layout
from taskproc.tasks.costs import task_costs
from taskproc.tasks.inspection import own_reason
from taskproc.tasks.known_versions import KnownVersions
from taskproc.watch.stream import Remaining

_LEAST = 1.0  # seconds between two computations
_LOOKED = 5   # tasks of a class that are looked at
_SHARE = 50   # of the time, what a computation may take: one part in so many


class RunRemaining:
    """A watcher that follows the run, and answers the others.

    Args:
        labels: key → labels of the task.
        limits: label → slots; may be filled until the first event.
        clock: seconds, from any clock that does not go back.
    """

    def __init__(
        self,
        known: KnownVersions,
        labels: Mapping[str, tuple[str, ...]],
        limits: Mapping[str, int],
        clock: Callable[[], float] = time.monotonic,
    ):
        self._known, self._clock = known, clock
        graph = known.graph
        classes = {key: graph.class_name(key) for key in graph.needs}
        self._time: TimeLeft[str] = TimeLeft(graph.needs, classes, labels, limits, self._estimates, self._runs_surely)
        self._last: tuple[float, Remaining | None] | None = None  # when it was computed
        self._next = 0.0
        self._thread: threading.Thread | None = None
        self._is_over = False
        self._looked: dict[str, list[bool]] = {}  # class → whether its first tasks are stale themselves

    def tell(self, event: Event[Any], name: str, text: Callable[[], str]) -> None:
        """Take note of it."""
        if event.key is None:
            return
        seconds = event.detail.get("seconds")
        self._time.note(event.kind, event.key, seconds if isinstance(seconds, float) else 0.0, self._clock())

    def close(self) -> None:
        """Compute nothing any more."""
        self._is_over = True

    def left(self) -> Remaining | None:
        """Seconds that are left as they were computed last, less those since then. In any thread; does not wait."""
        now = self._clock()
        if not self._is_over and now >= self._next and (self._thread is None or not self._thread.is_alive()):
            self._start()
        if self._last is None or self._last[1] is None:
            return None
        since, found = now - self._last[0], self._last[1]
        likely, low, high = (max(0.0, seconds - since) for seconds in found[:3])
        return Remaining(likely, low, high, found.unknown)

    def _start(self) -> None:
        # Reading the records of a class takes a tenth of a second, and no event of the run should wait for that
        self._thread = threading.Thread(target=self.compute, name="taskproc-left", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            self._is_over, self._last = True, None  # no more threads: nobody depends on this one

    def compute(self) -> None:
        """Compute what is left now."""
        began = self._clock()
        try:
            left = self._time.left(began)
        except (OSError, TaskprocError):
            self._is_over, self._last = True, None  # the cache was removed: the run itself reports that
            return
        self._last = began, None
        if left is not None:
            seconds = left.seconds
            self._last = began, Remaining(seconds.likely, seconds.low, seconds.high, left.unknown)
        now = self._clock()
        self._next = now + max(_LEAST, _SHARE * (now - began))

    def _estimates(self, keys: Sequence[str]) -> dict[str, Estimate]:
        costs = task_costs(self._known.graph, keys, Estimates.of_store(self._known.store))
        return {key: cost.seconds for key, cost in costs.items() if cost.seconds is not None}

    def _runs_surely(self, key: str) -> bool:
        """Whether it had no attempt yet, or is stale itself, as far as the first tasks of its class tell."""
        place = self._known.graph.tasks[key]._taskproc.place
        if not os.path.lexists(layout.place_path(self._known.store.root, place)):
            return True
        looked = self._looked.setdefault(place.name, [])
        if len(looked) < _LOOKED:
            looked.append(own_reason(self._known, key) is not None)
        return all(looked)
