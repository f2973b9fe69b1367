"""What a runner is: it starts callables and reports how each ended. It knows no store and no task.

A runner does not limit how many jobs run at once. The plan's limits hold a slot for each place that a runner has at the
time (`capacity`), so a runner is never given more than it said it can take.
"""
from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Protocol, TypeVar

from taskproc.kernel.model import Failed, Returned, Ticket

K = TypeVar("K", bound=Hashable)
Answer = TypeVar("Answer")  # of the jobs of a runner: an Outcome in a graph, bytes in a map

# A job carries all it needs. Called where the runner runs it, without arguments, it returns its answer and raises
# nothing of its own. One that travels to another process must pickle with plain `pickle`.
Job = Callable[[], "Answer"]

# What a runner reports: the ticket of a job, and its answer, or why there is none.
Ending = tuple["Ticket[K]", "Answer | Failed | Returned"]


class Runner(Protocol[K, Answer]):
    """Runs jobs. One thread calls all methods: the one that drives."""

    def capacity(self) -> int:
        """How many jobs it can have in hand now, at least 1. May change at any time, also to fewer than it has."""
        ...

    def start(self, ticket: Ticket[K], job: Job[Answer]) -> None:
        """Begin `job`; returns at once, unless the runner is the calling thread itself (LocalExecutor).

        Whatever goes wrong, also a job that cannot be sent, is an ending of `ticket`, never an exception.
        """
        ...

    def wait(self, timeout: float | None) -> Sequence[Ending[K, Answer]]:
        """Endings that were not reported yet, each once; at least one unless `timeout` seconds passed. Blocks."""
        ...

    def recall(self) -> None:
        """Give back what has not begun, as endings that are Returned; it may do so with none."""
        ...

    def stop(self) -> None:
        """End what runs (processes of our own are killed with their children), free what was taken. Idempotent.

        An executor that the caller gave is left open.
        """
        ...


def timeout_of(job: object) -> float | None:
    """How many seconds `job` may run; None: no limit."""
    seconds: float | None = getattr(job, "timeout", None)
    return seconds


def is_alone(job: object) -> bool:
    """Whether `job` is to have a process that ran nothing before it, and runs nothing after it."""
    alone: bool = getattr(job, "alone", False)
    return alone
