"""A failure reports what failed, with which error, and where to read more."""
from __future__ import annotations

import copy
import dataclasses
import pickle
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from taskproc.errors import FailedTaskError, MissingResult, RemoteError, TaskFailure, WorkerDied
from taskproc.kernel.model import Event, Problem
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.tasks.running import failure_of
from taskproc.tasks.task import Task
from taskproc.tasks.task_graph import graph_of
from tests.plain import plain


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
    graph, store = graph_of(task), task._taskproc.cache.store
    more = detail if problem is None else {"problem": problem}
    return failure_of(graph, store, graph.root, Event("failed", graph.root, more))


def test_the_error_is_the_exception_itself_where_it_is_there(cache: Cache) -> None:
    """With the traceback of the place where it was raised."""
    error = ValueError("boom")

    found = failure(Leaf(), Problem("exception", "boom", "Traceback …", error))

    assert found.error is error
    assert plain(found.task) == "Leaf(name='a', up=None)"
    assert (found.task_name, found.task_id) == (Leaf.task_name, Leaf().task_id)
    assert found.traceback == "Traceback …"


def test_a_death_is_an_error_of_ours(cache: Cache) -> None:
    """Nothing was raised, so nothing is rebuilt."""
    found = failure(Leaf(), Problem("died", "its worker process was killed", exit_code=-9))

    assert isinstance(found.error, WorkerDied)
    assert "its worker process was killed" in str(found.error)


def test_what_was_lost_too_often_is_named(cache: Cache) -> None:
    """Then there is no problem of the task."""
    up = Leaf("up")

    found = failure(Leaf("a", up), keys=[up._taskproc.place.key])

    assert isinstance(found.error, MissingResult)
    assert plain(found.error) == "results that it reads were lost again and again: Leaf(name='up', up=None)"


def test_without_a_log_there_is_none(cache: Cache) -> None:
    """For a task that failed before it printed."""
    found = failure(Leaf(), Problem("died", "x"))

    assert (found.stdout, found.stderr, found.log) == (None, None, "")


def run(task: Any) -> FailedTaskError:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as executor, pytest.raises(FailedTaskError) as caught:
        task.run_graph(executor=executor)
    return caught.value


def test_the_last_lines_of_the_log_are_in_the_message(cache: Cache) -> None:
    """Of stderr, which has the traceback, and not all of it; the files are named."""
    error = run(Leaf("stderr"))
    found = error.failures[0]

    assert found.log.splitlines()[-1] == "KeyError: 'stderr'"
    assert 1 < len(found.log.splitlines()) < 50
    assert (found.stdout, found.stderr) == (Leaf("stderr").task_stdout, Leaf("stderr").task_stderr)
    assert plain(error).startswith("task Leaf(name='stderr', up=None) failed: KeyError: 'stderr'\n  last lines of its")
    assert str(error).endswith(f"  log: {found.stderr}")


class Clears(Task):
    """Fails, and its log is removed between two accesses: the file of that name cannot be read."""

    def run_task(self) -> None:
        self.task_stderr.mkdir(parents=True)
        raise ValueError("boom")


def test_a_log_that_cannot_be_read_does_not_hide_the_error(cache: Cache) -> None:
    """It may be cleared at any moment."""
    with pytest.raises(FailedTaskError, match="boom") as caught:
        Clears().run_graph(executor=LocalExecutor())

    assert "" == caught.value.failures[0].log


def test_the_cause_is_the_users_exception(cache: Cache) -> None:
    """`raise … from`, so that Python shows its origin."""
    with pytest.raises(FailedTaskError) as caught:
        Leaf().run_graph(executor=LocalExecutor())

    assert isinstance(caught.value.__cause__, KeyError)
    assert caught.value.__cause__ is caught.value.failures[0].error
    assert "in run_task" in caught.value.failures[0].traceback


def test_the_message_is_harmless_and_not_too_long(cache: Cache) -> None:
    """None of its text controls the terminal, whatever its origin; lines stay lines."""
    log = "first\n\x1b]0;title\x07"
    task, path = "A(\x1b[2J)", Path("a\nb\x1b[2J")
    error = RuntimeError("one\ntwo\x1b[31m\u202e" + "x" * 20_000)

    text = str(TaskFailure(task, "m.A", 1, error, log=log, stderr=path))

    assert text.startswith("task A(\\x1b[2J) failed: RuntimeError: one\ntwo\\x1b[31m\\u202exxx")
    assert text.endswith("x\n  last lines of its log:\n  | first\n  | \\x1b]0;title\\x07\n  log: a\\nb\\x1b[2J")
    assert len(text) < 10_500


class Silent(Exception):
    def __init__(self, first: int, second: int):
        self.numbers = first, second

    def __str__(self) -> str:
        raise ValueError("no words")


def test_an_error_without_words_is_told() -> None:
    """Its class may raise anything."""
    assert "task A failed: Silent: <its __str__ raised ValueError>" == str(TaskFailure("A", "m.A", 1, Silent(1, 2)))


def test_failures_are_pickled_and_copied() -> None:
    """Whatever the errors are; with their causes."""
    lock = ValueError("locked", threading.Lock())
    first = TaskFailure("A", "m.A", 1, Silent(1, 2), traceback="Traceback …", stderr=Path("a"), log="x")
    error = FailedTaskError([first, TaskFailure("B", "m.B", 2, lock)])

    again = pickle.loads(pickle.dumps(error))
    copies = [copy.copy(error), copy.deepcopy(error)]

    assert str(again) == str(error).replace("ValueError: ('locked'", "RemoteError: ValueError: ('locked'")
    assert (type(again.failures[0].error), again.failures[0].error.numbers) == (Silent, (1, 2))
    assert again.__cause__ is again.failures[0].error
    assert "Traceback …" in str(again.__cause__.__cause__)
    assert dataclasses.replace(again.failures[0], error=first.error) == first
    assert [each.failures for each in copies] == [error.failures] * 2
    assert copies[1].__cause__ is error.__cause__


class Raises(Task):
    """Fails in a process of its own."""

    def __init__(self, how: str):
        self.how = how

    def run_task(self) -> None:
        if self.how == "chain":
            try:
                raise Silent(1, 2)
            except Silent as error:
                raise LookupError("\x1b[2Jnot there") from error
        raise RuntimeError(threading.Lock())


@pytest.mark.slow
def test_exceptions_arrive_from_another_process(cache: Cache) -> None:
    """As themselves, with their causes and original tracebacks, or as text."""

    class Both(Task):
        def __init__(self) -> None:
            self.parts = [Raises("chain"), Raises("lock")]

        def run_task(self) -> None: ...

    with pytest.raises(FailedTaskError) as caught:
        Both().run_graph(max_workers=1, on_error="continue")

    found = {plain(each.task): each for each in caught.value.failures}
    chain, lock = (found[f"Raises(how='{how}')"].error for how in ("chain", "lock"))
    assert (type(chain), chain.args) == (LookupError, ("\x1b[2Jnot there",))
    assert isinstance(chain.__cause__, Silent)
    assert chain.__cause__.numbers == (1, 2)
    assert "in run_task" in str(chain.__cause__.__cause__)
    assert (type(lock), str(lock)[:13]) == (RemoteError, "RuntimeError:")
    assert "in run_task" in str(lock.__cause__)
    assert "\x1b" not in str(caught.value)
    assert "in run_task" in found["Raises(how='lock')"].traceback
