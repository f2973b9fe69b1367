"""Two runners as one: what stands behind a prefix command takes one lane, all else the other."""
from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Generic

from taskproc.kernel.model import K, Ticket
from taskproc.run.base import Answer, Ending, Job, Runner
from taskproc.run.inbox import Inbox
from taskproc.run.prefixed import PrefixedJob
from taskproc.run.scarce import start_thread


class Lanes(Generic[K, Answer]):
    """All its runners put their endings into the one inbox, so waiting there is waiting for each of them.

    Attributes:
        ordinary: runs what has no prefix.
        prefixed: runs each PrefixedJob.
        left: after `stop`, the commands that end what may be left on clusters.
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
        """Of both lanes together. The bound of each is its own `capacity()`; one that gets more keeps it waiting."""
        return self.ordinary.capacity() + self.prefixed.capacity()

    def start(self, ticket: Ticket[K], job: Job[Answer]) -> None:
        """Begin `job` in its lane."""
        lane: Runner[K, Answer] = self.prefixed if isinstance(job, PrefixedJob) else self.ordinary
        lane.start(ticket, job)

    def wait(self, timeout: float | None) -> Sequence[Ending[K, Answer]]:
        """Endings of both lanes, in the order in which they came."""
        return self._inbox.wait(timeout)

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
