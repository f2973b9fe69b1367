"""Statistics of a run, counted by task class."""
from __future__ import annotations

from typing import Any, TypedDict

from taskproc.kernel.model import Event


class RunStats(TypedDict):
    """Statistics of one run. The dicts are keyed by task name, and contain only classes that occur.

    Attributes:
        stats: how many tasks ran (in a dry run: would run, at most).
        hits: how many had a fresh result already.
        failed: how many failed.
        skipped: how many did not run because of a failure.
        reasons: why tasks had to run, in words → how many of the class; `explain()` of a task says more.
        seconds: time spent in `run_task`, summed over tasks.
        elapsed: wall time of the whole run in seconds.
    """

    stats: dict[str, int]
    hits: dict[str, int]
    failed: dict[str, int]
    skipped: dict[str, int]
    reasons: dict[str, dict[str, int]]
    seconds: dict[str, float]
    elapsed: float


# Kind of event → where it is counted
COUNTED = {"done": "stats", "fresh": "hits", "failed": "failed", "skipped": "skipped"}


class Counter:
    """Counts the events of a run as they come."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, int]] = {name: {} for name in COUNTED.values()}
        self._seconds: dict[str, float] = {}
        self._reasons: dict[str, dict[str, int]] = {}

    def reason(self, name: str, text: str) -> None:
        """Count why a task of the class `name` has to run."""
        reasons = self._reasons.setdefault(name, {})
        reasons[text] = reasons.get(text, 0) + 1

    def count(self, event: Event[Any], name: str) -> None:
        """Count an event of a task of the class `name`."""
        if (which := COUNTED.get(event.kind)) is None:
            return
        counts = self._counts[which]
        counts[name] = counts.get(name, 0) + 1
        seconds = event.detail.get("seconds")
        if isinstance(seconds, float):
            self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    def total(self, which: str) -> int:
        """The sum of `stats`, `hits`, `failed` or `skipped` over all classes."""
        return sum(self._counts[which].values())

    def stats(self, elapsed: float) -> RunStats:
        """The statistics so far."""
        counts = {name: dict(some) for name, some in self._counts.items()}
        return RunStats(
            stats=counts["stats"],
            hits=counts["hits"],
            failed=counts["failed"],
            skipped=counts["skipped"],
            reasons={name: dict(some) for name, some in self._reasons.items()},
            seconds=dict(self._seconds),
            elapsed=elapsed,
        )
