"""A failure tells what failed, with what error, and where to read on."""
from __future__ import annotations

import sys
from typing import Any

import pytest

from taskproc.errors import FailedTaskError, MissingResult, WorkerDied
from taskproc.kernel.model import Event, Problem
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.tasks.cached import GraphWork, graph_of
from taskproc.tasks.failures import failure_of
from taskproc.tasks.task import Task


class Leaf(Task):
    def __init__(self, name: str = "a", up: Any = None):
        self.name = name
        self.up = up

    def run_task(self) -> Any:
        print("out")
        if self.name == "stderr":
            print("\n".join(f"line {number}" for number in range(500)), file=sys.stderr)
        raise KeyError(self.name)


def failure(task: Any, problem: Problem | None = None, **detail: Any) -> Any:
    work = GraphWork(graph_of(task), task._taskproc.cache.store)
    more = detail if problem is None else {"problem": problem}
    return failure_of(work, work.graph.root, Event("failed", work.graph.root, more))


def test_the_error_is_the_exception_itself_where_it_is_there(cache: Cache) -> None:
    """With the traceback of where it was raised."""
    error = ValueError("boom")

    found = failure(Leaf(), Problem("exception", "boom", "Traceback …", error))

    assert found.error is error
    assert (found.task, found.task_name, found.task_id) == ("Leaf(name='a', up=None)", Leaf.task_name, Leaf().task_id)
    assert found.traceback == "Traceback …"


def test_a_death_is_an_error_of_ours(cache: Cache) -> None:
    """Nothing was raised, so nothing is rebuilt."""
    found = failure(Leaf(), Problem("died", "its worker process was killed", exit_code=-9))

    assert isinstance(found.error, WorkerDied)
    assert "its worker process was killed" in str(found.error)


def test_what_was_lost_too_often_is_named(cache: Cache) -> None:
    """There is no problem of the task then."""
    up = Leaf("up")

    found = failure(Leaf("a", up), keys=[up._taskproc.place.key])

    assert isinstance(found.error, MissingResult)
    assert str(found.error) == "results that it reads were lost again and again: Leaf(name='up', up=None)"


def test_without_a_log_there_is_none(cache: Cache) -> None:
    """A task that failed before it printed."""
    found = failure(Leaf(), Problem("died", "x"))

    assert (found.stdout, found.stderr, found.log) == (None, None, "")


def run(task: Any) -> FailedTaskError:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as executor, pytest.raises(FailedTaskError) as caught:
        task.run_graph(executor=executor)
    return caught.value


def test_the_last_lines_of_the_log_are_in_the_message(cache: Cache) -> None:
    """Of stderr, where the traceback is, and not all of it; the files are named."""
    error = run(Leaf("stderr"))
    found = error.failures[0]

    assert found.log.splitlines()[-1] == "KeyError: 'stderr'"
    assert 1 < len(found.log.splitlines()) < 50
    assert (found.stdout, found.stderr) == (Leaf("stderr").task_stdout, Leaf("stderr").task_stderr)
    assert str(error).startswith("task Leaf(name='stderr', up=None) failed: KeyError: 'stderr'\n  last lines of its")
    assert str(error).endswith(f"  log: {found.stderr}")


def test_the_cause_is_the_users_exception(cache: Cache) -> None:
    """`raise … from`, so that Python shows where it came from."""
    with pytest.raises(FailedTaskError) as caught:
        Leaf().run_graph(executor=LocalExecutor())

    assert isinstance(caught.value.__cause__, KeyError)
    assert caught.value.__cause__ is caught.value.failures[0].error
    assert "in run_task" in caught.value.failures[0].traceback
