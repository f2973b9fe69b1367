"""The runner for executors, and the executor that is the calling thread."""
from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import pytest
from jobs import Call, boom, call, endings, problem, same, ticket, value

from taskproc.kernel.model import Outcome
from taskproc.run.inbox import Inbox
from taskproc.run.pool import LocalExecutor, PoolRunner
from taskproc.run.runner import Ending


@pytest.fixture
def inbox() -> Iterator[Inbox[Ending[str, Outcome[str]]]]:
    inbox: Inbox[Ending[str, Outcome[str]]] = Inbox()
    yield inbox
    inbox.close()


class Silent(Executor):
    """An executor that does not say how many workers it has, and refuses all jobs."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        raise ValueError("not today")


def test_capacity_is_that_of_the_executor(inbox: Inbox[Ending[str, Outcome[str]]]) -> None:
    """The capacity is the number of workers, or of processors if the executor does not say."""
    with ThreadPoolExecutor(3) as threads, ProcessPoolExecutor(2) as processes:
        executors = [threads, processes, LocalExecutor(), Silent()]

        assert [3, 2, 1, os.cpu_count()] == [PoolRunner(each, inbox).capacity() for each in executors]


@pytest.mark.parametrize("executor", [ThreadPoolExecutor(1), LocalExecutor()])
def test_a_closed_executor_is_an_ending(inbox: Inbox[Ending[str, Outcome[str]]], executor: Executor) -> None:
    """If the executor was closed too early, the task fails and says so."""
    executor.shutdown()
    runner = PoolRunner(executor, inbox)
    runner.start(ticket(1), call(same, 1))

    assert "RuntimeError: cannot schedule new futures after shutdown" == problem(endings(runner, 1)[1]).text


def test_an_executor_that_refuses_is_an_ending(inbox: Inbox[Ending[str, Outcome[str]]]) -> None:
    """Any exception of `submit` is an ending."""
    runner = PoolRunner(Silent(), inbox)
    runner.start(ticket(1), call(same, 1))

    assert "ValueError: not today" == problem(endings(runner, 1)[1]).text


def test_stop_calls_off_what_has_not_begun(inbox: Inbox[Ending[str, Outcome[str]]]) -> None:
    """After `stop`, a running job continues, and waiting jobs fail."""
    begun, go = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        go.wait()

    with ThreadPoolExecutor(1) as executor:
        runner = PoolRunner(executor, inbox)
        runner.start(ticket(1), Call(hold))
        runner.start(ticket(2), call(same, 2))
        begun.wait()
        runner.stop()
        called_off = endings(runner, 1)
        go.set()
        ended = endings(runner, 1)

    assert "it was cancelled before it began" == problem(called_off[2]).text
    assert "None" == value(ended[1])


def test_in_threads_the_exception_itself_is_kept(inbox: Inbox[Ending[str, Outcome[str]]]) -> None:
    """In threads, an exception keeps its traceback and attributes."""
    error = ValueError("x")

    def fail() -> None:
        raise error

    runner = PoolRunner(LocalExecutor(), inbox)
    runner.start(ticket(1), Call(fail))

    assert problem(endings(runner, 1)[1]).error is error


def test_the_local_executor_runs_in_the_calling_thread() -> None:
    """The call runs at once in the calling thread, and its future is done."""
    future = LocalExecutor().submit(threading.current_thread)

    assert future.done()
    assert future.result() is threading.current_thread()


def test_the_local_executor_keeps_exceptions_but_not_ctrl_c() -> None:
    """Exceptions and SystemExit are in the future; KeyboardInterrupt ends the run."""
    executor = LocalExecutor()

    assert isinstance(executor.submit(boom, "x").exception(), KeyError)
    assert isinstance(executor.submit(exit).exception(), SystemExit)
    with pytest.raises(KeyboardInterrupt):
        executor.submit(interrupt)


def interrupt() -> None:
    raise KeyboardInterrupt


def test_the_local_executor_maps_like_any_other() -> None:
    """`map` and `with` work as with any Executor."""
    with LocalExecutor() as executor:
        assert [1, 2] == list(executor.map(abs, [-1, 2]))
