"""A runner that is made with its first job."""
from __future__ import annotations

from collections.abc import Callable, Sequence

from jobs import call, same, ticket

from taskproc.kernel.model import Outcome
from taskproc.run.base import Ending, Job
from taskproc.run.late import LateRunner


class Fake:
    """Notes what it is told."""

    def __init__(self, told: list[str]):
        self.told = told

    def capacity(self) -> int:
        return 5

    def start(self, ticket: object, job: Job[Outcome[str]]) -> None:
        self.told.append("start")

    def wait(self, timeout: float | None) -> Sequence[Ending[str, Outcome[str]]]:
        return ()

    def recall(self) -> None:
        self.told.append("recall")

    def stop(self) -> None:
        self.told.append("stop")


def test_nothing_is_made_without_a_job() -> None:
    """It has room, and can be stopped."""
    runner: LateRunner[str, Outcome[str]] = LateRunner(3, _never)

    runner.recall()
    runner.stop()

    assert (3, ()) == (runner.capacity(), runner.wait(0))


def _never() -> Fake:
    raise AssertionError


def test_it_is_the_other_from_the_first_job_on() -> None:
    """Made once; capacity and all else are its own."""
    told: list[str] = []
    make: Callable[[], Fake] = lambda: (told.append("made"), Fake(told))[1]  # noqa: E731
    runner: LateRunner[str, Outcome[str]] = LateRunner(3, make)

    for number in range(2):
        runner.start(ticket(number), call(same, "x"))
    runner.recall()
    runner.stop()

    assert (5, ["made", "start", "start", "recall", "stop"]) == (runner.capacity(), told)
