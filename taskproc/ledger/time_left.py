"""How long a run will still take: past durations, corrected by this run, over what is left of the graph.

Each task that has not ended is expected to take what its estimate says, times a ratio: how long the tasks of its class
took in this run, by what was estimated for them. A class of which one task has ended has half of its ratio from that
task, and half from all classes together: another machine, or a busy one, slows all of them. Of a class without records,
the mean of this run counts. What is left of the graph is then driven through the plan in virtual time (schedule.py).

The range comes from the ranges of the estimates. Of many tasks of a class some take longer and others less, so it is
narrower by the square root of their number; and so is what is uncertain about the ratio, by the number that have ended.
A task that may turn out to be fresh, since its inputs may come out as they were, counts nothing at the low end.
"""
from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple

from taskproc.kernel.model import K
from taskproc.ledger.estimates import Estimate
from taskproc.ledger.schedule import wall_time

_OVERDUE = 0.1   # of its age, what a task still takes that has taken longer than expected
_MOST_OVERDUE = 0.5


class LeftToRun(NamedTuple):
    """Seconds that are left. `unknown`: tasks of which nothing is known, which are not counted in them."""

    seconds: Estimate
    unknown: int


@dataclass
class _ClassSoFar:
    """What this run has seen of a class: seconds of the tasks that ended, and of those with an estimate, which was."""

    ended: int = 0
    seconds: float = 0.0
    estimated: int = 0
    observed: float = 0.0
    expected: float = 0.0


class TimeLeft(Generic[K]):
    """Follows one run.

    Args:
        needs: key → needs, in an order in which needs come first.
        classes: key → name of the class.
        labels, limits: as of `simulated`.
        estimates: gives key → seconds for some keys, as far as they are known; asked once, at the first `left`.
        runs_surely: whether a task will run whatever its needs give, as far as that can be said; asked then as well.
    """

    def __init__(
        self,
        needs: Mapping[K, Sequence[K]],
        classes: Mapping[K, str],
        labels: Mapping[K, tuple[str, ...]],
        limits: Mapping[str, int],
        estimates: Callable[[Sequence[K]], Mapping[K, Estimate]],
        runs_surely: Callable[[K], bool],
    ):
        self._needs, self._classes, self._labels, self._limits = needs, classes, labels, limits
        self._estimates_of, self._runs_surely = estimates, runs_surely
        self._lock = threading.Lock()
        self._open = dict.fromkeys(needs)
        self._running: dict[K, float] = {}
        self._certain: set[K] = set()
        self._ended: list[tuple[K, float]] = []
        self._estimates: dict[K, Estimate] | None = None
        self._so_far: dict[str, _ClassSoFar] = {}

    def note(self, kind: str, key: K, seconds: float, now: float) -> None:
        """Take an event into account. Some of a microsecond."""
        with self._lock:
            if kind == "started":
                self._running[key] = now
                self._certain.add(key)
                return
            self._running.pop(key, None)
            if kind in ("fresh", "done", "failed", "skipped"):
                self._open.pop(key, None)
                if kind == "done":
                    self._ended.append((key, seconds))
            elif kind in ("stale", "returned"):
                self._open.setdefault(key)
                self._certain.add(key)

    def left(self, now: float) -> LeftToRun | None:
        """What is left; None if nothing is known, or nothing is left. One thread at a time.

        Costs 20 µs for each task that has not ended; the first call also reads the records.
        """
        with self._lock:
            todo, running = dict(self._open), dict(self._running)
            certain, ended = set(self._certain), self._ended
            self._ended = []
        if self._estimates is None:
            wanted = [*todo, *(key for key, _ in ended)]
            self._estimates = dict(self._estimates_of(wanted))
            self._certain.update(key for key in todo if key not in certain and self._runs_surely(key))
            certain |= self._certain
        for key, seconds in ended:
            self._count(key, seconds)
        keys = [key for key in self._needs if key in todo]
        counts: dict[str, int] = {}
        for key in keys:
            counts[self._classes[key]] = counts.get(self._classes[key], 0) + 1
        corrections = {name: self._correction(name, count) for name, count in counts.items()}
        seconds_of = {key: expected for key in keys if (expected := self._expected(key, corrections)) is not None}
        if not seconds_of:
            return None
        for key in running.keys() & seconds_of.keys():
            seconds_of[key] = _rest(seconds_of[key], now - running[key])
        return LeftToRun(self._wall(keys, running, certain, seconds_of), len(keys) - len(seconds_of))

    def _count(self, key: K, seconds: float) -> None:
        so_far = self._so_far.setdefault(self._classes[key], _ClassSoFar())
        so_far.ended += 1
        so_far.seconds += seconds
        estimate = (self._estimates or {}).get(key)
        if estimate is not None:
            so_far.estimated += 1
            so_far.observed += seconds
            so_far.expected += estimate.likely

    def _correction(self, name: str, count: int) -> tuple[float, float]:
        """The ratio of a class, and how much of the range of an estimate remains for `count` tasks of it together."""
        so_far = self._so_far.get(name, _ClassSoFar())
        expected = sum(each.expected for each in self._so_far.values())
        ratio = sum(each.observed for each in self._so_far.values()) / expected if expected else 1.0
        if so_far.expected:
            typical = so_far.expected / so_far.estimated
            ratio = (so_far.observed + typical * ratio) / (so_far.expected + typical)
        return ratio, min(1.0, count**-0.5 + (so_far.ended + 1) ** -0.5)

    def _expected(self, key: K, corrections: Mapping[str, tuple[float, float]]) -> Estimate | None:
        """What a task would take from its beginning; None if nothing is known."""
        name = self._classes[key]
        estimate = (self._estimates or {}).get(key)
        if estimate is not None:
            ratio, width = corrections[name]
            likely = estimate.likely * ratio
            low, high = (likely + (end - estimate.likely) * ratio * width for end in (estimate.low, estimate.high))
            return Estimate(likely, low, high)
        so_far = self._so_far.get(name)
        if so_far is None:
            return None
        mean, width = so_far.seconds / so_far.ended, corrections[name][1]
        return Estimate(mean, mean * (1 - width / 2), mean * (1 + width / 2))

    def _wall(
        self, keys: Sequence[K], running: Mapping[K, float], certain: set[K], seconds: Mapping[K, Estimate]
    ) -> Estimate:
        open_keys = set(keys)
        needs = {key: [need for need in self._needs[key] if need in open_keys] for key in keys}
        begun = [key for key in keys if key in running]
        likely = {key: each.likely for key, each in seconds.items()}
        low = {key: each.low for key, each in seconds.items() if key in certain}
        high = {key: each.high for key, each in seconds.items()}
        walls = [wall_time(needs, ends, self._limits, self._labels, begun) for ends in (likely, low, high)]
        return Estimate(walls[0], min(walls), max(walls))


def _rest(whole: Estimate, age: float) -> Estimate:
    """What is left of a task that has been running for `age` seconds."""
    return Estimate(
        max(whole.likely - age, _OVERDUE * age),
        max(whole.low - age, 0.0),
        max(whole.high - age, _MOST_OVERDUE * age if whole.likely < age else 0.0),
    )
