"""What a runner is: it starts callables and tells how each ended. It knows no store and no task.

How many may run at once is not asked here: the plan's limits hold a slot for each place that a runner has at the time
(`capacity`), so a runner is never given more than it said it can take.
"""
from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Protocol, TypeVar

from taskproc.kernel.model import Outcome, Ticket

K = TypeVar("K", bound=Hashable)

# A job carries all it needs. Called where the runner runs it, without arguments, it answers how the attempt ended and
# raises nothing of its own. One that travels to another process must pickle with plain `pickle`.
Job = Callable[[], "Outcome[K]"]

# What a runner reports: the ticket it was given and how it ended.
Ending = tuple["Ticket[K]", "Outcome[K]"]


class Runner(Protocol[K]):
    """Runs jobs. All verbs are called by one thread, the one that drives."""

    def capacity(self) -> int:
        """How many jobs it can have in hand now, at least 1. Changes, also to less than it has; free to ask."""
        ...

    def start(self, ticket: Ticket[K], job: Job[K]) -> None:
        """Begin `job`; returns at once, unless the runner is the calling thread itself (LocalExecutor).

        Whatever goes wrong, also a job that cannot be sent, is an ending of `ticket`, never an exception.
        """
        ...

    def wait(self, timeout: float | None) -> Sequence[Ending[K]]:
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
