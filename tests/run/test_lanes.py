"""Tests of two runners as one."""
from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from jobs import call, endings, ticket, value

from taskproc.kernel.model import Outcome
from taskproc.run.base import Ending
from taskproc.run.inbox import Inbox
from taskproc.run.lanes import Lanes
from taskproc.run.pool import LocalExecutor, PoolRunner
from taskproc.run.prefix import PrefixRunner
from taskproc.run.prefixed import PrefixedJob


def test_a_prefixed_job_takes_its_own_lane(tmp_path: Path) -> None:
    """What has a command runs behind it, all else in the other runner; both endings come out of one wait."""
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
    """Tells whether it was stopped."""

    is_stopped = False

    def stop(self) -> None:
        self.is_stopped = True


def test_both_lanes_stop_where_there_can_be_no_thread_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other: what stopped the run is not hidden by the end of it."""
    inbox: Inbox[Ending[str, Outcome[str]]] = Inbox()
    ordinary, prefixed = Stops(LocalExecutor(), inbox), Stops(LocalExecutor(), inbox)
    lanes = Lanes(inbox, ordinary, prefixed)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    lanes.stop()
    inbox.close()

    assert all(lane.is_stopped for lane in (ordinary, prefixed))


def refuse(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")
