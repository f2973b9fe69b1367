"""Runners made of other runners: one that is made with its first job, and two that share an inbox."""
from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from jobs import call, endings, same, ticket, value

from taskproc.kernel.model import Outcome
from taskproc.run.combined_runners import Lanes, LateRunner
from taskproc.run.inbox import Inbox
from taskproc.run.pool import LocalExecutor, PoolRunner
from taskproc.run.prefix_job import PrefixedJob
from taskproc.run.prefix_runner import PrefixRunner
from taskproc.run.runner import Ending, Job


def test_a_prefixed_job_takes_its_own_lane(tmp_path: Path) -> None:
    """A job with a command runs in its own lane; one wait returns endings of both lanes."""
    inbox: Inbox[Ending[str, Outcome[str]]] = Inbox()
    lanes = Lanes(inbox, PoolRunner(LocalExecutor(), inbox), PrefixRunner(inbox, 5))
    job = call(os.getpid)

    lanes.start(ticket(1), job)
    lanes.start(ticket(2), PrefixedJob((), job, tmp_path, tmp_path / "out", tmp_path / "err"))
    found = endings(lanes, 2)
    lanes.stop()
    inbox.close()

    assert str(os.getpid()) == value(found[1])
    assert str(os.getpid()) != value(found[2])
    assert 6 == lanes.capacity()


class Stops(PoolRunner[str, Outcome[str]]):
    """Records whether it was stopped."""

    is_stopped = False

    def stop(self) -> None:
        self.is_stopped = True


def test_both_lanes_stop_where_there_can_be_no_thread_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without another thread, the lanes stop one after the other, and no error hides why the run stopped."""
    inbox: Inbox[Ending[str, Outcome[str]]] = Inbox()
    ordinary, prefixed = Stops(LocalExecutor(), inbox), Stops(LocalExecutor(), inbox)
    lanes = Lanes(inbox, ordinary, prefixed)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    lanes.stop()
    inbox.close()

    assert all(lane.is_stopped for lane in (ordinary, prefixed))


def refuse(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


class Fake:
    """Records its calls."""

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
    """Without a job no runner is made; the late one has a capacity and can be stopped."""
    runner: LateRunner[str, Outcome[str]] = LateRunner(3, _never)

    runner.recall()
    runner.stop()

    assert (3, ()) == (runner.capacity(), runner.wait(0))


def _never() -> Fake:
    raise AssertionError


def test_it_is_the_other_from_the_first_job_on() -> None:
    """The runner is made once, at the first job; from then on all calls go to it."""
    told: list[str] = []
    make: Callable[[], Fake] = lambda: (told.append("made"), Fake(told))[1]  # noqa: E731
    runner: LateRunner[str, Outcome[str]] = LateRunner(3, make)

    for number in range(2):
        runner.start(ticket(number), call(same, "x"))
    runner.recall()
    runner.stop()

    assert (5, ["made", "start", "start", "recall", "stop"]) == (runner.capacity(), told)
