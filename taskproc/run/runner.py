"""The protocol of runners: a runner starts callables and reports how each ended. It knows no store and no task.

A runner does not limit how many jobs run at once. The plan's limits hold a slot for each place that a runner has at the
moment (`capacity`), so a runner is never given more jobs than it said it can take.
"""
from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Protocol, TypeVar

from taskproc.kernel.model import Failed, Returned, Ticket

K = TypeVar("K", bound=Hashable)
Answer = TypeVar("Answer")  # what the jobs of a runner return: an Outcome in a graph, bytes in a map

# A job carries all it needs. The runner calls it without arguments; it returns its answer and raises nothing of its
# own. A job that travels to another process must pickle with plain `pickle`.
Job = Callable[[], "Answer"]

# A runner reports the ticket of a job with its answer, or with the reason why there is none.
Ending = tuple["Ticket[K]", "Answer | Failed | Returned"]


class Runner(Protocol[K, Answer]):
    """Runs jobs. All methods are called by one thread, the driving one."""

    def capacity(self) -> int:
        """Return how many jobs it can have in hand now, at least 1. May change at any time, even below what it has."""
        ...

    def start(self, ticket: Ticket[K], job: Job[Answer]) -> None:
        """Begin `job`. Return at once, unless the runner is the calling thread itself (LocalExecutor).

        Every failure, even that a job cannot be sent, is an ending of `ticket`, never an exception.
        """
        ...

    def wait(self, timeout: float | None) -> Sequence[Ending[K, Answer]]:
        """Block, and return new endings, each once: at least one, unless `timeout` seconds have passed."""
        ...

    def recall(self) -> None:
        """Give back jobs that have not begun, as endings that are Returned. It may give back none."""
        ...

    def stop(self) -> None:
        """End the jobs that run (our own processes are killed with their children) and free resources. Idempotent.

        An executor that the caller passed stays open.
        """
        ...


def timeout_of(job: object) -> float | None:
    """Return how many seconds `job` may run; None: no limit."""
    seconds: float | None = getattr(job, "timeout", None)
    return seconds


def is_alone(job: object) -> bool:
    """Return whether `job` needs a process that runs nothing before it and nothing after it."""
    alone: bool = getattr(job, "alone", False)
    return alone
