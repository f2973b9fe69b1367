"""Runners made of other runners: one that is made at its first job, and two that share an inbox."""
from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic

from taskproc.kernel.model import K, Ticket
from taskproc.run.inbox import Inbox
from taskproc.run.prefix_job import PrefixedJob
from taskproc.run.runner import Answer, Ending, Job, Runner
from taskproc.run.system_limits import start_thread


class LateRunner(Generic[K, Answer]):
    """Calls `make` for its runner at the first job, so a run without jobs imports less. Until then: `capacity`."""

    def __init__(self, capacity: int, make: Callable[[], Runner[K, Answer]]):
        self._capacity, self._make = capacity, make
        self._runner: Runner[K, Answer] | None = None

    def capacity(self) -> int:
        """Return how many jobs it takes."""
        return self._capacity if self._runner is None else self._runner.capacity()

    def start(self, ticket: Ticket[K], job: Job[Answer]) -> None:
        """Begin `job`."""
        if self._runner is None:
            self._runner = self._make()
        self._runner.start(ticket, job)

    def wait(self, timeout: float | None) -> Sequence[Ending[K, Answer]]:
        """Return new endings; none before the first job."""
        return () if self._runner is None else self._runner.wait(timeout)

    def recall(self) -> None:
        """Give back jobs that have not begun."""
        if self._runner is not None:
            self._runner.recall()

    def stop(self) -> None:
        """End the jobs that run."""
        if self._runner is not None:
            self._runner.stop()


class Lanes(Generic[K, Answer]):
    """Two runners that put their endings into one inbox, so waiting there is waiting for both.

    Attributes:
        ordinary: runs jobs without a prefix.
        prefixed: runs each PrefixedJob.
        left: after `stop`, the commands that end jobs which may be left on clusters.
    """

    def __init__(
        self,
        inbox: Inbox[Ending[K, Answer]],
        ordinary: Runner[K, Answer],
        prefixed: Runner[K, Answer],
        left: Sequence[str] = (),
    ):
        self._inbox = inbox
        self.left = left
        self.ordinary = ordinary
        self.prefixed = prefixed

    def capacity(self) -> int:
        """Return the capacity of both lanes together. The bound of each is its own; jobs beyond it wait there."""
        return self.ordinary.capacity() + self.prefixed.capacity()

    def start(self, ticket: Ticket[K], job: Job[Answer]) -> None:
        """Begin `job` in its lane."""
        lane: Runner[K, Answer] = self.prefixed if isinstance(job, PrefixedJob) else self.ordinary
        lane.start(ticket, job)

    def wait(self, timeout: float | None) -> Sequence[Ending[K, Answer]]:
        """Return endings of both lanes, in the order in which they came."""
        return self._inbox.wait(timeout)

    def call_every(self, seconds: float, action: Callable[[], object]) -> None:
        """From now on, call `action` every `seconds`, during the waits."""

        def again() -> None:
            self.call_every(seconds, action)
            action()

        self._inbox.call_at(time.monotonic() + seconds, again)

    def ring(self) -> None:
        """End the current wait, or the next one. Signal handlers may call this."""
        self._inbox.ring()

    def button(self) -> int:
        """See `Inbox.button`."""
        return self._inbox.button()

    def recall(self) -> None:
        """Give back jobs that have not begun, in both lanes."""
        self.ordinary.recall()
        self.prefixed.recall()

    def stop(self) -> None:
        """Stop both lanes at the same time, so that the grace passes only once."""
        other = threading.Thread(target=self.prefixed.stop, name="taskproc-stop")
        try:
            start_thread(other)
        except BlockingIOError:
            self.prefixed.stop()  # no more threads are possible: one after the other
        try:
            self.ordinary.stop()
        finally:
            if other.ident is not None:
                other.join()
