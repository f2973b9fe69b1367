"""The runner for processes of the user's executor."""
from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from jobs import (
    LIMIT,
    Timed,
    call,
    exit_at_once,
    fifo,
    is_gone,
    kill_self,
    package_environ,
    problem,
    same,
    ticket,
    value,
)

from taskproc.frozen import replace
from taskproc.kernel.model import Failed, Outcome, Returned
from taskproc.run import foreign
from taskproc.run.foreign import Begun, ForeignJob, ForeignRunner
from taskproc.run.inbox import Inbox
from taskproc.run.lifeline import Main
from taskproc.run.resident import ResidentRunner
from taskproc.run.runner import Ending, Job

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


class Pool(Executor):
    """An executor that holds its jobs until the test says what becomes of them."""

    _max_workers = 2

    def __init__(self) -> None:
        self.given: list[tuple[Any, Future[Any]]] = []
        self.broken = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self.broken:
            raise BrokenExecutor("broken")
        future: Future[Any] = Future()
        self.given.append((fn, future))
        return future

    def begin(self, index: int) -> None:
        """Begin as a process of the pool does before it dies."""
        job = self.job(index)
        Begun(job.marks).begin(job.number)

    def job(self, index: int) -> ForeignJob[Outcome[str]]:
        run_marked, _ = self.given[index]
        found: ForeignJob[Outcome[str]] = run_marked.__self__
        return found

    def collapse(self) -> None:
        self.broken = True
        for _, future in self.given:
            if not future.done():
                future.set_exception(BrokenExecutor("a process died"))


class Desk:
    """A runner over such a pool, and workers of our own that are counted."""

    def __init__(self, folder: Path, pool: Pool | None = None) -> None:
        self.folder = folder
        self.inbox: Inbox[Ending[str, Outcome[str]]] = Inbox()
        self.pool = pool or Pool()
        self.hired: list[int] = []
        self.runner: ForeignRunner[str, Outcome[str]] = ForeignRunner(self.pool, self.inbox, self.workers)

    def workers(self, count: int) -> ResidentRunner[str, Outcome[str]]:
        self.hired.append(count)
        return ResidentRunner(self.inbox, count)

    def start(self, number: int, job: Job[Outcome[str]]) -> None:
        self.runner.start(ticket(number), ForeignJob(job, self.folder / "begun", number, Main.here()))

    def endings(self, count: int) -> dict[int, Outcome[str]]:
        found: dict[int, Outcome[str]] = {}
        while len(found) < count:
            told = self.runner.wait(LIMIT)
            assert told, f"hung with {sorted(found)} of {count}"
            found.update({each.number: outcome for each, outcome in told})
        return found


def tell_and_wait(writer: int) -> None:
    os.write(writer, str(os.getpid()).encode())
    while True:
        signal.pause()


def tell_and_leave_a_deaf_child(writer: int) -> None:
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        tell_and_wait(writer)
    while True:
        signal.pause()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.runner.stop()
    desk.inbox.close()


def test_what_was_in_a_pool_that_broke_is_given_back(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """Jobs of a broken pool are given back, whether they had begun or not; one warning says so."""
    desk.start(1, call(same, 1))
    desk.start(2, call(same, 2))
    desk.pool.begin(0)
    with caplog.at_level(logging.WARNING):
        desk.pool.collapse()

    assert {1: Returned(), 2: Returned()} == desk.endings(2)
    (message,) = caplog.messages
    assert "a process of the Pool died and broke it (BrokenExecutor: a process died); the run continues" in message


def test_suspects_run_one_by_one_and_the_killer_is_named(desk: Desk) -> None:
    """Suspects run one after another, so a death is blamed on one job, and the innocent one ends."""
    desk.start(1, call(kill_self, signal.SIGKILL))
    desk.start(2, call(os.getpid))
    desk.pool.begin(0)
    desk.pool.begin(1)
    desk.pool.collapse()
    desk.endings(2)

    desk.start(1, call(kill_self, signal.SIGKILL))
    desk.start(2, call(same, "innocent"))
    found = desk.endings(2)

    assert "its worker process was killed by signal 9 (SIGKILL), peak memory" in problem(found[1]).text
    assert "innocent" == value(found[2])
    assert [1] == desk.hired


def test_what_had_not_begun_and_what_is_to_come_runs_beside_the_suspects(desk: Desk) -> None:
    """Jobs that had not begun, and later ones, run in other workers than the suspects."""
    desk.start(1, call(same, 1))
    desk.pool.collapse()
    desk.endings(1)

    desk.start(1, call(same, "again"))
    desk.start(2, call(same, "new"))

    assert {1: "again", 2: "new"} == {number: value(each) for number, each in desk.endings(2).items()}
    assert [2] == desk.hired
    assert 1 == len(desk.pool.given)


def test_a_pool_that_was_broken_before_is_no_failure(desk: Desk) -> None:
    """If the pool was broken before, the run continues in workers of our own."""
    desk.pool.broken = True

    desk.start(1, call(same, "fine"))

    assert "fine" == value(desk.endings(1)[1])


def test_what_may_not_run_for_ever_runs_in_workers_of_our_own(desk: Desk) -> None:
    """A job with a timeout runs in our own workers: a process of a pool cannot be ended without breaking the pool."""
    desk.start(1, Timed(same, ("fine",)))

    assert "fine" == value(desk.endings(1)[1])
    assert [] == desk.pool.given


def test_an_executor_that_refuses_is_an_ending(desk: Desk) -> None:
    """Any other exception of `submit` is the failure of the job."""
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    desk.runner._executor = executor

    desk.start(1, call(same, 1))

    assert "RuntimeError: cannot schedule new futures after shutdown" == problem(desk.endings(1)[1]).text


def test_a_foreign_job_leads_a_group_and_leaves_a_mark(tmp_path: Path) -> None:
    """While a job runs, its process leads a group; afterwards it is in the group of its pool again."""
    marks = tmp_path / "begun"
    job: ForeignJob[Outcome[str]] = ForeignJob(call(groups), marks, 7, Main.here())
    before = os.getpgrp()

    child = os.fork()
    if child == 0:
        seen = value(job.run_marked())
        os._exit(0 if seen == f"{os.getpid()}" and os.getpgrp() == before else 1)
    _, status = os.waitpid(child, 0)

    assert 0 == status
    assert 7 in Begun(marks)
    assert Begun(marks).running(7) is None


def groups() -> int:
    return os.getpgrp()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="a process is known by its birth on Linux only")
@pytest.mark.parametrize("other", [{"birth": "1"}, {"machine": "another"}, {}])
def test_a_job_of_a_dead_run_does_not_begin(tmp_path: Path, other: dict[str, str]) -> None:
    """A job dies if its main process is dead; on another machine nobody can know."""
    here = Main.here()
    main = Main(here.pid, other.get("birth", here.birth), other.get("machine", here.machine))
    job: ForeignJob[Outcome[str]] = ForeignJob(call(same, 1), tmp_path / "begun", 1, main)

    child = os.fork()
    if child == 0:
        job.run_marked()
        os._exit(3)
    _, status = os.waitpid(child, 0)

    assert (-signal.SIGKILL if "birth" in other else 3) == os.waitstatus_to_exitcode(status)
    assert ("birth" not in other) == (tmp_path / "begun").exists()


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="a process follows by a descriptor of another")
def test_a_process_that_a_pool_forks_dies_with_the_main_process(tmp_path: Path) -> None:
    """A process of a pool dies with the main process, even before it has a job."""
    pipe = fifo(tmp_path / "pipe")

    class Forks(Pool):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            if os.fork() == 0:
                Path(pipe).write_text(str(os.getpid()))
                threading.Event().wait()
            return super().submit(fn)

    main = os.fork()
    if main == 0:
        desk = Desk(tmp_path, Forks())
        desk.start(1, call(same, 1))
        signal.pause()
    forked = int(Path(pipe).read_text())
    os.kill(main, signal.SIGKILL)

    assert is_gone(forked, LIMIT)
    os.waitpid(main, 0)


def stop_what_runs(folder: str, act: Callable[[int], None]) -> None:
    """Print how the process of a job ends when the runner is stopped, and what the job reported."""
    foreign.GRACE = 0.1
    desk = Desk(Path(folder))
    reader, writer = os.pipe()
    desk.start(1, call(partial(act, writer)))
    desk.pool.given[0][1].set_running_or_notify_cancel()
    child = os.fork()
    if child == 0:
        desk.pool.given[0][0]()
        os._exit(0)
    told = int(os.read(reader, 16))
    desk.runner.stop()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), told)


@pytest.mark.slow
@pytest.mark.parametrize("act", [tell_and_wait, tell_and_leave_a_deaf_child])
def test_stop_ends_what_runs_in_the_pool(tmp_path: Path, act: Callable[[int], None]) -> None:
    """`stop` ends the process that the mark names, if it still runs the job, and its children."""
    code = f"import test_foreign as t; t.stop_what_runs({str(tmp_path)!r}, t.{act.__name__})"
    # In a process of its own, for a fork of one with threads, such as those of the tests, may hang
    done = subprocess.run(
        [sys.executable, "-c", code], env=package_environ([str(Path(__file__).parent)]), capture_output=True, text=True,
        timeout=LIMIT, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    status, told = map(int, done.stdout.split())
    assert status == -signal.SIGTERM
    assert is_gone(told, 1)


class KilledWorker(Exception):
    """The error of Dask."""


def died_in(process: int, desk: Desk, monkeypatch: pytest.MonkeyPatch, *numbers: int) -> None:
    """Mark these jobs as begun in a process that has died."""
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(os, "getpid", lambda: process)
        for number in numbers:
            Begun(desk.folder / "begun").begin(number)


def test_what_killed_its_process_is_not_run_again_by_its_executor(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """If an executor repeats a job that was alone in a dead process, the repetition reports the death at once."""
    desk.start(1, call(exit_at_once, 3))
    died_in(10**7, desk, monkeypatch, 1)
    again, future = desk.pool.given[0]
    future.set_result(again())

    found = problem(desk.endings(1)[1])
    assert ("died", "its process 10000000 in the Pool died while it ran") == (found.kind, found.text)
    assert [] == desk.hired


def test_of_those_that_died_together_each_is_tried_alone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that ran in one dead process each run alone in our own workers."""
    for number in (1, 2):
        desk.start(number, call(same, number))
    died_in(10**7, desk, monkeypatch, 1, 2)
    for again, future in desk.pool.given:
        future.set_result(again())
    assert {1: Returned(), 2: Returned()} == desk.endings(2)

    desk.start(1, call(same, "first"))
    desk.start(2, call(kill_self, signal.SIGKILL))
    found = desk.endings(2)

    assert "first" == value(found[1])
    assert "SIGKILL" in problem(found[2]).text
    assert [1] == desk.hired


def test_what_had_ended_may_be_done_again(desk: Desk) -> None:
    """A job may be repeated if it had ended before the death, or if the user has asked the executor for it."""
    desk.start(1, call(same, 1))
    job = desk.pool.job(0)

    assert ["1", "1"] == [value(job.run_marked()), value(job.run_marked())]
    Begun(job.marks).begin(1)
    assert "1" == value(replace(job, repeats=True).run_marked())


@pytest.mark.parametrize(("begun", "expected"), [
    ([1], "its process 10000000 in the Pool died while it ran (KilledWorker: 4 died)"),
    ([2], None), ([1, 2], None), ([], "its process in the Pool died while it ran (KilledWorker: 4 died)"),
], ids=["alone", "not begun", "with another", "elsewhere"])  # fmt: skip
def test_an_executor_that_gives_up_is_told_in_words_of_ours(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, begun: list[int], expected: str | None
) -> None:
    """When an executor gives up, jobs that had not begun, or were not alone, are not blamed."""
    desk.start(1, call(same, 1))
    died_in(10**7, desk, monkeypatch, *begun)
    desk.pool.given[0][1].set_exception(KilledWorker("4 died"))

    found = desk.endings(1)[1]
    assert expected == (found.problem.text if isinstance(found, Failed) else None)
    assert isinstance(found, Failed if expected else Returned)


def test_an_error_of_the_executor_is_no_death(desk: Desk) -> None:
    """An error of the executor about a job that had not begun, or has ended, is reported as it is."""
    desk.start(1, call(same, 1))
    desk.pool.given[0][1].set_exception(ImportError("no module of that name there"))

    assert "ImportError: no module of that name there" == problem(desk.endings(1)[1]).text


def test_the_stand_in_for_a_job_that_cannot_travel_is_run(desk: Desk) -> None:
    """The stand-in for a job that cannot travel reports why."""
    desk.runner.start(ticket(1), call(exit_at_once, 0))

    desk.pool.given[0][1].set_result(Failed(problem_text()))
    assert isinstance(desk.endings(1)[1], Failed)


def problem_text() -> Any:
    from taskproc.kernel.model import Problem

    return Problem("exception", "cannot travel")
