"""How long a run will still take: from the records of its cache, beside the run."""
from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from taskproc.kernel.model import Event
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.tasks.future import FutureList
from taskproc.tasks.remaining import RunRemaining
from taskproc.tasks.running import plan_work
from taskproc.tasks.task import Task
from taskproc.watch.stream import WORKERS, Outline, Remaining
from tests.pace import limit

pytestmark = pytest.mark.usefixtures("cache")


class Part(Task):
    def __init__(self, number: int):
        self.number = number

    def run_task(self) -> int:
        return sum(range(10_000 * self.number))


class Whole(Task):
    def __init__(self, count: int):
        self.parts = FutureList([Part(number) for number in range(count)])

    def run_task(self) -> int:
        return sum(self.parts.get_result())


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def follower(task: Task, clock: Clock) -> RunRemaining:
    """What follows a run of the task by one worker."""
    known = plan_work(task)
    labels = dict.fromkeys(known.graph.needs, (WORKERS,))
    return RunRemaining(known, labels, {WORKERS: 1}, clock)


def wait_for_answer() -> None:
    """Until the thread that computes has ended."""
    for thread in threading.enumerate():
        if thread.name == "taskproc-left":
            thread.join(limit(60))


def likely(found: RunRemaining) -> float:
    """The seconds that are most likely."""
    left = found.left()
    assert left is not None
    return left.likely


def test_the_records_say_how_long_it_takes() -> None:
    """The same as a plan says, for tasks that were cleared."""
    Whole(4).run_graph(executor=LocalExecutor())
    plan = Whole(5).plan(1)
    found = follower(Whole(5), Clock())

    found.compute()

    assert plan.to_run == 2
    assert likely(found) >= plan.wall.likely > 0  # what may be fresh was not judged yet, and counts


def test_it_is_less_each_second() -> None:
    """Between two computations, and never below zero."""
    clock = Clock()
    Whole(4).run_graph(executor=LocalExecutor())
    found = follower(Whole(5), clock)
    found.compute()
    before = likely(found)
    found.close()

    clock.now += before / 2
    assert likely(found) == pytest.approx(before / 2, abs=1e-6)
    clock.now += 1000.0
    assert likely(found) == 0.0


def test_an_empty_cache_says_nothing() -> None:
    """Nobody knows, until a task has ended."""
    found = follower(Whole(3), Clock())
    found.compute()

    assert found.left() is None


class Counting(RunRemaining):
    """Counts how often it computes."""

    computed = 0

    def compute(self) -> None:
        self.computed += 1
        super().compute()

    def wait(self) -> None:
        """Until its thread has ended: one that is not listed any more may still be alive for a moment."""
        assert self._thread is not None
        self._thread.join(limit(60))


def test_the_answer_is_computed_now_and_then() -> None:
    """In another thread, not more often than each second, and not after the end."""
    clock = Clock()
    Whole(4).run_graph(executor=LocalExecutor())
    known = plan_work(Whole(5))
    found = Counting(known, dict.fromkeys(known.graph.needs, (WORKERS,)), {WORKERS: 1}, clock)
    counts: list[int] = []
    for seconds in (0.0, 0.5, 1.0, 100.0):
        clock.now = 100.0 + seconds
        found.left()
        found.wait()
        counts.append(found.computed)
    found.close()
    clock.now += 100.0
    found.left()
    found.wait()

    assert [*counts, found.computed] == [1, 1, 2, 3, 3]


class Asks:
    """A watcher that asks when a task has begun."""

    def __init__(self) -> None:
        self.answers: list[Remaining | None] = []

    def begin(self, outline: Outline) -> None:
        self.left = outline.left

    def tell(self, event: Event[Any], name: str, text: Callable[[], str]) -> None:
        if event.kind == "started":
            self.left()
            wait_for_answer()
            self.answers.append(self.left())

    def close(self) -> None: ...


def test_a_watcher_may_ask(cache: Cache) -> None:
    """Of a run whose tasks have records; what is fresh is not counted."""
    Whole(4).run_graph(executor=LocalExecutor())
    Part(3).clear_task()
    asks = Asks()
    Whole(4).run_graph(executor=LocalExecutor(), watchers=[asks])

    first = asks.answers[0]
    assert first is not None
    assert first.unknown == 0
    assert 0.0 <= first.low <= first.likely <= first.high < 60.0
