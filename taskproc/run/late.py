"""A runner that is made when it gets its first job: a run that finds all it needs does without its imports."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic

from taskproc.kernel.model import K, Ticket
from taskproc.run.base import Answer, Ending, Job, Runner


class LateRunner(Generic[K, Answer]):
    """Runs what the runner runs that `make` makes; until then it has room for `capacity` jobs."""

    def __init__(self, capacity: int, make: Callable[[], Runner[K, Answer]]):
        self._capacity, self._make = capacity, make
        self._runner: Runner[K, Answer] | None = None

    def capacity(self) -> int:
        """How many jobs it takes."""
        return self._capacity if self._runner is None else self._runner.capacity()

    def start(self, ticket: Ticket[K], job: Job[Answer]) -> None:
        """Begin `job`."""
        if self._runner is None:
            self._runner = self._make()
        self._runner.start(ticket, job)

    def wait(self, timeout: float | None) -> Sequence[Ending[K, Answer]]:
        """What has ended; nothing until something was begun."""
        return () if self._runner is None else self._runner.wait(timeout)

    def recall(self) -> None:
        """Give back what has not begun."""
        if self._runner is not None:
            self._runner.recall()

    def stop(self) -> None:
        """End what runs."""
        if self._runner is not None:
            self._runner.stop()
