"""Jobs of many steps report their progress and may be asked to end early."""
from __future__ import annotations

import os
import pickle
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from jobs import LIMIT, ticket

from taskproc.kernel.model import Failed
from taskproc.run import worker_protocol
from taskproc.run.far_end import this_process
from taskproc.run.inbox import Inbox
from taskproc.run.kinds import Kind, KindJob
from taskproc.run.resident import ResidentRunner
from taskproc.run.runner import Ending
from taskproc.run.worker_protocol import HALT, MARKS, STEP, Part


@pytest.fixture(autouse=True)
def _no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process not be a worker after a test."""
    monkeypatch.setattr(this_process, "steps", None)


def test_a_step_is_of_its_job() -> None:
    """A step of an earlier job in the file does not count."""
    with tempfile.TemporaryFile() as file:
        file.write(bytes(MARKS))
        file.flush()
        worker_protocol.use_marks(file.fileno(), lambda: 7, lambda part: None)
        here = worker_protocol.of_this_job()

        assert worker_protocol.step_of(os.pread(file.fileno(), 8, STEP), 7) is None
        assert here.begin(3)
        word = os.pread(file.fileno(), 8, STEP)
        assert (3, None) == (worker_protocol.step_of(word, 7), worker_protocol.step_of(word, 8))


def test_only_the_job_that_is_meant_is_halted() -> None:
    """Only the halted job ends, and its next step does not begin."""
    with tempfile.TemporaryFile() as file:
        file.write(bytes(MARKS))
        file.flush()
        numbers = iter([1, 2])
        worker_protocol.use_marks(file.fileno(), lambda: next(numbers), lambda part: None)
        first, second = worker_protocol.of_this_job(), worker_protocol.of_this_job()
        first.begin(5)
        os.pwrite(file.fileno(), (1).to_bytes(8, sys.byteorder), HALT)

        assert (False, True) == (first.begin(6), second.begin(0))
        assert 0 == worker_protocol.step_of(os.pread(file.fileno(), 8, STEP), 2)


@dataclass(frozen=True)
class Steps:
    """A kind: each step reports its number; at one step the process ends itself, or waits for a pipe."""

    deadly: int = -1

    def __call__(self, own: bytes) -> Any:
        count, pipe = pickle.loads(own)
        here = worker_protocol.of_this_job()
        for step in range(count):
            if not here.begin(step):
                return ("halted", step)
            here.tell(b"%d" % step)
            if step == self.deadly:
                os._exit(3)
            if pipe and step == 1:
                with open(pipe, "rb") as file:
                    file.read()
        return ("ended", count)


@pytest.fixture
def runner() -> Iterator[ResidentRunner[str, Any]]:
    inbox: Inbox[Ending[str, Any]] = Inbox()
    runner: ResidentRunner[str, Any] = ResidentRunner(inbox, 1, keeps=True, part=Part)
    yield runner
    runner.stop()
    inbox.close()


def outcomes(runner: ResidentRunner[str, Any], count: int) -> list[Any]:
    """Return that many answers, parts as their content."""
    found: list[Any] = []
    while len(found) < count:
        told = runner.wait(LIMIT)
        assert told, "nothing came"
        found += [outcome.content if isinstance(outcome, Part) else outcome for _, outcome in told]
    return found


def job(kind: Steps, count: int, pipe: str = "") -> KindJob[Any]:
    return KindJob(Kind(pickle.dumps(kind)), pickle.dumps((count, pipe)))


def test_parts_are_told_before_the_outcome(runner: ResidentRunner[str, Any]) -> None:
    """Parts arrive in order before the outcome, with the ticket of their job."""
    runner.start(ticket(1), job(Steps(), 3))

    assert [b"0", b"1", b"2", ("ended", 3)] == outcomes(runner, 4)


@pytest.mark.slow
def test_a_death_names_its_step(runner: ResidentRunner[str, Any]) -> None:
    """A death names its step, if there was one, and the parts before it arrive."""
    runner.start(ticket(1), job(Steps(), 2))
    outcomes(runner, 3)
    runner.start(ticket(2), job(Steps(deadly=1), 3))
    *parts, died = outcomes(runner, 3)

    assert [b"0", b"1"] == parts
    assert isinstance(died, Failed)
    assert ("died", 1) == (died.problem.kind, died.problem.step)


@pytest.mark.slow
def test_a_halted_job_ends_before_its_next_step(runner: ResidentRunner[str, Any], tmp_path: Any) -> None:
    """A halted job ends before its next step, and later jobs do not begin."""
    pipe = str(tmp_path / "pipe")
    os.mkfifo(pipe)
    runner.start(ticket(1), job(Steps(), 5, pipe))
    assert [b"0", b"1"] == outcomes(runner, 2)

    runner.halt()
    with open(pipe, "wb"):
        pass

    assert [("halted", 2)] == outcomes(runner, 1)


@pytest.mark.slow
def test_a_worker_that_is_kept_keeps_its_children(runner: ResidentRunner[str, Any]) -> None:
    """With `keeps`, the process stays, though a job has left a child and changed the environment."""
    runner.start(ticket(1), KindJob(Kind(pickle.dumps(leave_child)), b""))
    [(first, _)] = outcomes(runner, 1)
    runner.start(ticket(2), KindJob(Kind(pickle.dumps(look)), b""))
    [(second, found)] = outcomes(runner, 1)

    assert (first, "here") == (second, found)


def leave_child(own: bytes) -> Any:
    import subprocess

    os.environ["LEFT"] = "here"
    subprocess.Popen(["sleep", "60"])
    return os.getpid(), ""


def look(own: bytes) -> Any:
    return os.getpid(), os.environ.get("LEFT")
