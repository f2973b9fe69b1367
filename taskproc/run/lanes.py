"""Two runners as one: what stands behind a prefix command takes one lane, all else the other."""
from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from taskproc.kernel.model import Ticket
from taskproc.run.base import Ending, Job, Runner
from taskproc.run.inbox import Inbox
from taskproc.run.prefixed import PrefixedJob
from taskproc.run.scarce import start_thread

K = TypeVar("K", bound=Hashable)


class Lanes(Generic[K]):
    """All its runners put their endings into the one inbox, so waiting there is waiting for each of them.

    Attributes:
        ordinary: runs what has no prefix.
        prefixed: runs each PrefixedJob.
        left: after `stop`, the commands that end what may be left on clusters.
    """

    def __init__(
        self, inbox: Inbox[Ending[K]], ordinary: Runner[K], prefixed: Runner[K], left: Sequence[str] = ()
    ):
        self._inbox = inbox
        self.left = left
        self.ordinary = ordinary
        self.prefixed = prefixed

    def capacity(self) -> int:
        """Of both lanes together. The bound of each is its own `capacity()`; one that gets more keeps it waiting."""
        return self.ordinary.capacity() + self.prefixed.capacity()

    def start(self, ticket: Ticket[K], job: Job[K]) -> None:
        """Begin `job` in its lane."""
        lane: Runner[K] = self.prefixed if isinstance(job, PrefixedJob) else self.ordinary
        lane.start(ticket, job)

    def wait(self, timeout: float | None) -> Sequence[Ending[K]]:
        """Endings of both lanes, in the order in which they came."""
        return self._inbox.wait(timeout)

    def call_every(self, seconds: float, action: Callable[[], object]) -> None:
        """Call `action` every so many seconds, within the waits from now on."""

        def again() -> None:
            self.call_every(seconds, action)
            action()

        self._inbox.call_at(time.monotonic() + seconds, again)

    def ring(self) -> None:
        """End the wait that is on, or the next one. Signal handlers may call it."""
        self._inbox.ring()

    def button(self) -> int:
        """See `Inbox.button`."""
        return self._inbox.button()

    def recall(self) -> None:
        """Give back what has not begun in either lane."""
        self.ordinary.recall()
        self.prefixed.recall()

    def stop(self) -> None:
        """Stop both at the same time, so that the grace is not paid twice."""
        other = threading.Thread(target=self.prefixed.stop, name="taskproc-stop")
        try:
            start_thread(other)
        except BlockingIOError:
            self.prefixed.stop()  # there can be no more threads: one after the other
        try:
            self.ordinary.stop()
        finally:
            if other.ident is not None:
                other.join()
