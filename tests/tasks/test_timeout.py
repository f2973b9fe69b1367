"""How long a task may run: set on its class, enforced where a process can be ended, refused elsewhere."""
from __future__ import annotations

import math
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest

from taskproc.errors import BuildError, FailedTaskError, OptionError, TaskTimeout
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.tasks.task import Task
from tests.plain import plain


class Hangs(Task):
    task_timeout = 0.2

    def run_task(self) -> None:
        import signal

        signal.pause()


class Hurries(Hangs):
    """Inherits the limit, and stays below it."""

    def run_task(self) -> str:  # type: ignore[override]
        return "in time"


class Patient(Hangs):
    task_timeout = None

    def run_task(self) -> str:  # type: ignore[override]
        return "as long as it takes"


class All(Task):
    def __init__(self, *ups: Any):
        self.ups = ups

    def run_task(self) -> list[Any]:
        return [up.get_result() for up in self.ups]


@pytest.mark.parametrize("timeout", [0, -1, math.nan, math.inf, True, "10", [1]])
def test_what_is_no_number_of_seconds_is_refused(timeout: Any) -> None:
    """At the definition."""
    with pytest.raises(BuildError, match="task_timeout of Odd must be a positive number of seconds or None, got"):
        type("Odd", (Task,), {"task_timeout": timeout, "run_task": lambda self: None, "__qualname__": "Odd"})


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["own", "pool", "prefix"])
def test_a_task_that_runs_too_long_fails_and_no_other(cache: Cache, kind: str) -> None:
    """In our workers, also if other tasks run in a pool of the caller; and behind a prefix."""
    pool = ProcessPoolExecutor(1, get_context("fork")) if kind == "pool" else None
    graph = All(Hangs(), Hurries(), Patient())
    with pytest.raises(FailedTaskError) as caught:
        prefixes = {Hangs.task_name: ""} if kind == "prefix" else None
        graph.run_graph(executor=pool, prefixes=prefixes, on_error="continue")
    if pool is not None:
        assert pool.submit(int).result() == 0
        pool.shutdown()

    (failure,) = caught.value.failures
    assert (plain(failure.task), str(failure.error)) == ("Hangs()", "timed out after 0.2 s")
    assert isinstance(failure.error, TaskTimeout)
    assert isinstance(failure.error, TimeoutError)
    assert Hurries().get_result() == "in time"
    assert Patient().get_result() == "as long as it takes"


@pytest.mark.parametrize("kind", [LocalExecutor, ThreadPoolExecutor])
def test_where_it_cannot_be_kept_it_is_refused(cache: Cache, kind: type[Executor]) -> None:
    """Before anything starts, with the class and the remedy."""
    patient = Patient()
    with kind() as executor, pytest.raises(OptionError, match="^Hurries has a task_timeout, which is not supported"):
        All(patient, Hurries()).run_graph(executor=executor)

    assert not patient.task_is_done()
    with kind() as executor:
        assert All(patient).run_graph(executor=executor)[0] == ["as long as it takes"]


@pytest.mark.slow
def test_behind_a_prefix_it_is_kept_beside_threads(cache: Cache) -> None:
    """So it is not refused there."""
    with ThreadPoolExecutor(1) as executor:
        answer, _ = All(Hurries()).run_graph(executor=executor, prefixes={Hurries.task_name: ""})

    assert answer == ["in time"]
