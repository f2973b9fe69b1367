"""A worker that is started early is used if it fits, and otherwise ends with the program."""
from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jobs import call, endings, is_gone, package_environ, ticket, value

from taskproc.run import process
from taskproc.run.inbox import Inbox
from taskproc.run.resident import ResidentRunner
from taskproc.run.runner import Ending
from tests.pace import limit


@pytest.fixture(autouse=True)
def none_left() -> Iterator[None]:
    process._end_early()  # of a test before, in the same process
    yield
    process._end_early()


def start() -> int:
    """Start one for a runner with two workers, and return the process id of its keeper."""
    process.start_early_worker(2)  # not in a fixture: pytest keeps the phase of a test in an environment variable
    pid: int = process._early[0][2]._process.pid
    return pid


def keeper_of_worker(workers: int) -> int:
    inbox: Inbox[Ending[str]] = Inbox()
    runner: ResidentRunner[str] = ResidentRunner(inbox, workers)
    runner.start(ticket(1), call(os.getppid))
    found = int(value(endings(runner, 1)[1]))
    runner.stop()
    inbox.close()
    return found


def test_it_is_taken_once() -> None:
    """The first runner that needs a worker takes it."""
    assert start() == keeper_of_worker(2) != keeper_of_worker(2)


def test_it_is_not_taken_by_what_has_changed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is not taken if environment or folder have changed since."""
    started = start()
    monkeypatch.setenv("TASKPROC_TEST", "x")
    assert keeper_of_worker(2) != started
    monkeypatch.delenv("TASKPROC_TEST")
    with monkeypatch.context() as moved:
        moved.chdir(tmp_path)
        assert keeper_of_worker(2) != started
    assert keeper_of_worker(2) == started


MAIN = """
from taskproc.run import process
if __name__ == "__main__":
    process.start_early_worker()
    print(process._early[0][2]._process.pid)
"""


@pytest.mark.slow
def test_nobody_need_take_it(tmp_path: Path) -> None:
    """If nobody takes it, it ends with the program."""
    (tmp_path / "main.py").write_text(MAIN)
    done = subprocess.run(
        [sys.executable, "main.py"], cwd=tmp_path, env=package_environ(), capture_output=True, text=True, check=True,
        timeout=limit(60),
    )  # fmt: skip

    assert is_gone(int(done.stdout), 0)
