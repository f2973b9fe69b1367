"""task_own_process: each task of the class has a process in which no other task runs, before or after it."""
from __future__ import annotations

import os
import statistics
import threading
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest

from taskproc.errors import BuildError, FailedTaskError, OptionError, TaskTimeout, WorkerDied
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.tasks.task import Task
from tests.plain import plain

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


class Patches(Task):
    """Makes a change that cannot be detected, and leaves a thread that never ends."""

    task_own_process = True

    def __init__(self, number: int):
        self.number = number

    def run_task(self) -> tuple[int, float]:
        found: Any = statistics.mean([1, 2, 3])
        statistics.mean = lambda data: 7.0  # type: ignore[assignment, return-value]
        threading.Thread(target=threading.Event().wait).start()
        return os.getpid(), found


class Plain(Task):
    def __init__(self, number: int):
        self.number = number

    def run_task(self) -> tuple[int, float]:
        return os.getpid(), statistics.mean([1, 2, 3])


class Dies(Patches):
    def run_task(self) -> Any:
        os._exit(3)


class Hangs(Patches):
    task_timeout = 0.2

    def run_task(self) -> Any:
        threading.Event().wait()


class All(Task):
    def __init__(self, *ups: Any):
        self.ups = ups

    def run_task(self) -> list[Any]:
        return [up.get_result() for up in self.ups]


@pytest.mark.parametrize("value", [1, None, "yes"])
def test_it_is_true_or_false(value: Any) -> None:
    """Other values are refused at the definition."""
    with pytest.raises(BuildError, match="task_own_process of Odd must be True or False, got"):
        type("Odd", (Task,), {"task_own_process": value, "run_task": lambda self: None, "__qualname__": "Odd"})


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_its_worker_runs_nothing_else(cache: Cache, workers: int) -> None:
    """Neither before nor after it, even with few workers; the thread that it leaves does not delay the run."""
    ups = [kind(number) for number in range(4) for kind in (Plain, Patches)]

    found = All(*ups).run_graph(max_workers=workers)[0]

    plain, patched = {pid for pid, _ in found[::2]}, [pid for pid, _ in found[1::2]]
    assert {2} == {value for _, value in found}
    assert 4 == len(set(patched))
    assert plain.isdisjoint(patched)


@pytest.mark.slow
def test_beside_a_pool_of_the_user_it_has_a_worker_of_ours(cache: Cache) -> None:
    """A process of the pool is not fresh, and cannot be replaced."""
    with ProcessPoolExecutor(1, get_context("fork")) as executor:
        found = All(Plain(0), Patches(0), Patches(1), Plain(1)).run_graph(executor=executor)[0]

    pids = [pid for pid, _ in found]
    assert (pids[0], 3) == (pids[3], len(set(pids)))


@pytest.mark.slow
def test_what_becomes_of_it_is_told_as_of_any_other(cache: Cache) -> None:
    """If it dies or takes too long, other tasks go on."""
    with pytest.raises(FailedTaskError) as caught:
        All(Dies(0), Hangs(0), Patches(0), Plain(0)).run_graph(max_workers=1, on_error="continue")

    errors = {plain(failure.task): type(failure.error) for failure in caught.value.failures}
    assert {"Dies(number=0)": WorkerDied, "Hangs(number=0)": TaskTimeout} == errors
    assert Patches(0).get_result()[1] == Plain(0).get_result()[1] == 2


@pytest.mark.parametrize("kind", [LocalExecutor, ThreadPoolExecutor])
def test_where_there_is_one_process_it_is_refused(cache: Cache, kind: type[Executor]) -> None:
    """Before anything starts, with the class and the remedy."""
    with kind() as executor, pytest.raises(OptionError, match="^Patches has task_own_process, which is not supported"):
        All(Plain(0), Patches(0)).run_graph(executor=executor)

    assert not Plain(0).task_is_done()


@pytest.mark.slow
def test_behind_a_prefix_it_has_one_anyway(cache: Cache) -> None:
    """So it is accepted next to threads."""
    with ThreadPoolExecutor(1) as executor:
        found = All(Patches(0)).run_graph(executor=executor, prefixes={Patches.task_name: ""})[0]

    assert found[0][1] == 2


def test_it_is_no_part_of_the_code(cache: Cache) -> None:
    """Where a task runs is not part of what it computes."""
    from taskproc.tasks.task_code import fingerprint

    before = fingerprint(Plain).digest
    Plain.task_own_process = True
    try:
        assert before == fingerprint(Plain).digest
    finally:
        del Plain.task_own_process
