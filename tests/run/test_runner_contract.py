"""The contract of every runner."""
from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pytest
from jobs import (
    Call,
    Timed,
    boom,
    call,
    end_at_term,
    endings,
    exit_at_once,
    fifo,
    fill_and_die,
    hang_politely,
    hang_with_child,
    is_gone,
    journal,
    kill_self,
    leave,
    problem,
    read_fifo,
    same,
    ticket,
    value,
)

from taskproc.kernel.model import Failed, Outcome
from taskproc.run.combined_runners import Lanes, LateRunner
from taskproc.run.group import own_peak
from taskproc.run.inbox import Inbox
from taskproc.run.pool import LocalExecutor, PoolRunner
from taskproc.run.prefix_job import PrefixedJob
from taskproc.run.prefix_runner import PrefixRunner
from taskproc.run.resident import ResidentRunner
from taskproc.run.runner import Ending, Job, Runner
from taskproc.text import size_text

OURS = ["resident", "prefix"]
PROCESSES = [*OURS, "processes", "lanes"]
ALL = [*PROCESSES, "late", "threads", "local"]


@dataclass
class Case:
    """A runner with room for two (the local one: for one), and a function that makes a job for it."""

    runner: Runner[str, Outcome[str]]
    wrap: Callable[[Job[Outcome[str]]], Job[Outcome[str]]]

    def start(self, number: int, job: Job[Outcome[str]]) -> None:
        self.runner.start(ticket(number), self.wrap(job))


def plain(job: Job[Outcome[str]]) -> Job[Outcome[str]]:
    return job


@pytest.fixture
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    inbox: Inbox[Ending[str, Outcome[str]]] = Inbox()
    executors: dict[str, Callable[[], Executor]] = {
        "processes": lambda: ProcessPoolExecutor(2, get_context("spawn")),
        "threads": lambda: ThreadPoolExecutor(2),
        "local": LocalExecutor,
    }
    executor: Executor | None = None

    def prefixed(job: Job[Outcome[str]]) -> Job[Outcome[str]]:
        return PrefixedJob((), job, tmp_path / "jobs", tmp_path / "out", tmp_path / "err")

    if request.param in executors:
        executor = executors[request.param]()
        case = Case(PoolRunner(executor, inbox), plain)
    elif request.param == "resident":
        case = Case(ResidentRunner(inbox, 2), plain)
    elif request.param == "prefix":
        case = Case(PrefixRunner(inbox, 2), prefixed)
    elif request.param == "late":
        case = Case(LateRunner(2, partial(ResidentRunner, inbox, 2)), plain)
    else:
        case = Case(Lanes(inbox, ResidentRunner(inbox, 1), PrefixRunner(inbox, 1)), plain)
    yield case
    case.runner.stop()
    if executor is not None:
        executor.shutdown()
    inbox.close()


def on(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", names, indirect=True)


@on(*ALL)
def test_each_outcome_arrives_once_with_its_ticket(case: Case) -> None:
    """Every start has one ending, under its own ticket."""
    for number in range(3):
        case.start(number, call(same, f"value {number}"))

    found = endings(case.runner, 3)

    assert {0: "value 0", 1: "value 1", 2: "value 2"} == {number: value(found[number]) for number in found}
    assert [] == list(case.runner.wait(0))


@on(*ALL)
def test_no_more_than_capacity_at_once(case: Case, tmp_path: Path) -> None:
    """Never more jobs run at once than the capacity; others wait."""
    path = tmp_path / "journal"
    for number in range(5):
        case.start(number, call(journal, str(path)))
    endings(case.runner, 5)

    running, most = 0, 0
    for mark in path.read_text():
        running += 1 if mark == "+" else -1
        most = max(most, running)

    assert 1 <= most <= case.runner.capacity()
    assert 0 == running


@on(*PROCESSES)
def test_a_job_that_cannot_be_sent_is_an_ending(case: Case) -> None:
    """A job that does not pickle fails its own ticket, says so, and hurts no other."""
    case.start(1, call(same, threading.Lock()))
    case.start(2, call(same, "fine"))

    found = endings(case.runner, 2)

    assert "exception" == problem(found[1]).kind
    assert "pickle" in problem(found[1]).text
    assert "fine" == value(found[2])


@on(*ALL)
@pytest.mark.parametrize(("job", "text"), [(call(boom, "x"), "KeyError: 'x'"), (call(leave, 0), "SystemExit: 0")])
def test_a_job_that_raises_is_an_ending(case: Case, job: Call, text: str) -> None:
    """Any exception, even SystemExit, ends the job and not the process."""
    case.start(1, job)

    found = problem(endings(case.runner, 1)[1])

    assert ("exception", text) == (found.kind, found.text)


@on(*ALL)
def test_stop_is_idempotent(case: Case) -> None:
    """`stop` may be called twice, even if nothing was started."""
    case.runner.stop()
    case.runner.stop()

    assert case.runner.capacity() >= 1


@on(*PROCESSES)
def test_a_job_that_is_killed_is_an_ending(case: Case) -> None:
    """The death of a process is an ending, whoever made the process."""
    case.start(1, call(kill_self, signal.SIGSEGV))

    assert "died" == problem(endings(case.runner, 1)[1]).kind


@on(*OURS)
@pytest.mark.parametrize(
    ("job", "code", "text"),
    [
        (call(exit_at_once, 0), 0, "exited with code 0 without an answer (os._exit, exec, or a crash"),
        (call(exit_at_once, 3), 3, "exited with code 3 without an answer (os._exit, exec, or a crash"),
        (call(kill_self, signal.SIGKILL), -9, "was killed by signal 9 (SIGKILL)"),
        (call(kill_self, signal.SIGTERM), -15, "was killed by signal 15 (SIGTERM)"),
    ],
)
def test_a_death_is_told_in_words_and_its_neighbour_is_kept(
    case: Case, tmp_path: Path, job: Call, code: int, text: str
) -> None:
    """A death is reported with its signal or exit code, and the job beside it continues."""
    pipe = fifo(tmp_path / "pipe")
    case.start(1, call(read_fifo, pipe))
    case.start(2, job)

    died = problem(endings(case.runner, 1)[2])
    Path(pipe).write_text("kept")
    kept = value(endings(case.runner, 1)[1])

    assert ("died", code, "kept") == (died.kind, died.exit_code, kept)
    assert text in died.text


@on(*OURS)
def test_a_death_tells_the_peak_memory_of_the_process_that_died(case: Case) -> None:
    """A death reports the peak memory of its own process, not of the runner or of earlier ones."""
    # A child begins with what its parent had, and the parent here is pytest after two thousand tests
    size = own_peak() + 300_000_000
    case.start(1, call(fill_and_die, size))
    much = problem(endings(case.runner, 1)[1])
    case.start(2, call(kill_self, signal.SIGKILL))
    little = problem(endings(case.runner, 1)[2])

    assert size < much.memory < size + 300_000_000
    assert much.text.endswith(f"SIGKILL), peak memory {size_text(much.memory)}")
    assert little.memory < 300_000_000 or "peak memory at most" in little.text


@on(*OURS)
@pytest.mark.parametrize("hang", [hang_politely, hang_with_child])
@pytest.mark.slow
def test_a_job_that_runs_too_long_is_ended(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hang: Callable[[str], None]
) -> None:
    """A job that runs too long is ended with its children; its neighbour continues, and its place is free."""
    for module in ("resident", "prefix_runner"):
        monkeypatch.setattr(f"taskproc.run.{module}.GRACE", 0.1)
    pipes = [fifo(tmp_path / name) for name in "ab"]
    case.start(1, call(read_fifo, pipes[0]))
    case.start(2, Timed(hang, (pipes[1],), timeout=0.2))
    pids = [int(pid) for pid in Path(pipes[1]).read_text().split()]

    late = problem(endings(case.runner, 1)[2])
    case.start(3, Timed(same, ("next",)))
    again = value(endings(case.runner, 1)[3])
    Path(pipes[0]).write_text("kept")

    assert ("timeout", "timed out after 0.2 s") == (late.kind, late.text)
    assert isinstance(late.memory, int)
    assert [True, True] == [is_gone(pid, 1) for pid in pids]
    assert ("next", "kept") == (again, value(endings(case.runner, 1)[1]))


@on(*OURS)
@pytest.mark.parametrize("how", ["exception", "result"])
@pytest.mark.slow
def test_a_result_in_the_grace_counts_and_an_exception_does_not(case: Case, tmp_path: Path, how: str) -> None:
    """After a timeout, a result within the grace counts, and an exception becomes the timeout."""
    pipe = fifo(tmp_path / "pipe")
    case.start(1, Timed(end_at_term, (pipe, how), timeout=0.2))
    read_fifo(pipe)

    (found,) = endings(case.runner, 1).values()
    case.start(2, call(same, "next"))

    assert "result" == value(found) if how == "result" else "timeout" == problem(found).kind
    assert "next" == value(endings(case.runner, 1)[2])


@on(*OURS)
@pytest.mark.slow
def test_the_clock_starts_when_the_job_begins(case: Case) -> None:
    """Neither the start of a process nor its imports count for the timeout."""
    case.start(1, Timed(same, ("fine",), timeout=0.4, before=0.6))

    assert "fine" == value(endings(case.runner, 1)[1])


@on(*OURS)
@pytest.mark.slow
def test_stop_leaves_no_process(case: Case, tmp_path: Path) -> None:
    """`stop` kills running jobs with their children, even if they ignore TERM; waiting jobs never begin."""
    pipes = [fifo(tmp_path / f"pipe {number}") for number in range(2)]
    for number, pipe in enumerate(pipes):
        case.start(number, call(hang_with_child, pipe))
    pids = [int(pid) for pipe in pipes for pid in Path(pipe).read_text().split()]
    case.start(3, call(journal, str(tmp_path / "never")))

    case.runner.stop()
    case.runner.stop()

    assert [True] * 4 == [is_gone(pid, 1) for pid in pids]
    assert not (tmp_path / "never").exists()


@on("processes")
def test_a_foreign_executor_is_left_open(case: Case) -> None:
    """`stop` does not shut down an executor of the user."""
    assert isinstance(case.runner, PoolRunner)
    case.runner.stop()

    assert isinstance(case.runner._executor.submit(Failed, None).result(), Failed)

