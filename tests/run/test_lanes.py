"""Tests of two runners as one."""
from __future__ import annotations

import os
from pathlib import Path

from jobs import call, endings, ticket, value

from taskproc.run.base import Ending
from taskproc.run.inbox import Inbox
from taskproc.run.lanes import Lanes
from taskproc.run.pool import LocalExecutor, PoolRunner
from taskproc.run.prefix import PrefixRunner
from taskproc.run.prefixed import PrefixedJob


def test_a_prefixed_job_takes_its_own_lane(tmp_path: Path) -> None:
    """What has a command runs behind it, all else in the other runner; both endings come out of one wait."""
    inbox: Inbox[Ending[str]] = Inbox()
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
