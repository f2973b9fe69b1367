"""Ray as an executor, on a real local Ray."""
from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path
from types import ModuleType

import pytest

from taskproc import Cache, FutureList, OptionError, Task, WorkerDied
from taskproc.run.ray import RayExecutor
from tests.pace import limit

pytestmark = pytest.mark.slow


@pytest.fixture
def executor(ray: ModuleType) -> Iterator[RayExecutor]:
    with RayExecutor() as made:
        yield made


def test_calls_and_what_they_raise(executor: RayExecutor) -> None:
    """Calls run in other processes and raise their own exceptions, even if no worker could import them."""
    assert [0, 2, 4] == list(executor.map(lambda x: 2 * x, range(3)))
    assert os.getpid() != executor.submit(os.getpid).result()
    assert ZeroDivisionError is type(executor.submit(divmod, 1, 0).exception())


def test_as_many_as_there_are_processors(ray: ModuleType) -> None:
    """The number of workers follows from the processors of the cluster, or those allowed, and those per call."""
    assert [2, 1, 3, 1] == [
        RayExecutor(*numbers)._max_workers for numbers in [(None,), (None, 2), (6, 2), (1, 4)]  # type: ignore[arg-type]
    ]


def test_what_is_cancelled_makes_room(executor: RayExecutor) -> None:
    """Cancelling withdraws a waiting call and interrupts a running one."""
    hanging = [executor.submit(_hang) for _ in range(3)]

    assert 3 == len(executor.futures)
    assert [True] * 3 == [future.cancel() for future in hanging]
    assert not wait(hanging, 0).not_done
    assert 7 == executor.submit(sum, [3, 4]).result(limit(60))
    assert all(future.cancelled() for future in hanging)


def test_what_is_cancelled_is_interrupted_first(executor: RayExecutor, tmp_path: Path) -> None:
    """A cancelled call is interrupted first, so that it can clean up; its process survives."""
    pid, left = tmp_path / "pid", tmp_path / "left"

    def waits() -> None:
        try:
            pid.write_text(str(os.getpid()))
            while True:
                time.sleep(0.01)
        except KeyboardInterrupt:
            left.touch()

    future = executor.submit(waits)
    while not (pid.exists() and pid.read_text()):
        time.sleep(0.01)
    assert future.cancel()
    while executor.futures:
        time.sleep(0.01)

    assert left.exists()
    assert Path(f"/proc/{pid.read_text()}").exists()


def test_a_lost_request_to_cancel_is_made_again(
    executor: RayExecutor, ray: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A request that Ray loses is repeated, or the call would hold its processors until its end."""
    began, cancel, lost = tmp_path / "began", ray.cancel, list(range(3))
    monkeypatch.setattr("taskproc.run.ray.GRACE", 0.1)
    monkeypatch.setattr(ray, "cancel", lambda *args, **named: lost.pop() if lost else cancel(*args, **named))

    def hangs() -> None:
        began.touch()
        _hang()

    future = executor.submit(hangs)
    while not began.exists():
        time.sleep(0.01)

    assert future.cancel()
    end = time.monotonic() + limit(30)
    while executor.futures and time.monotonic() < end:
        time.sleep(0.01)

    assert ([], []) == (executor.futures, lost)


def _hang() -> None:
    time.sleep(600)


def test_a_death_is_told(executor: RayExecutor) -> None:
    """The death of a Ray worker is reported as that of ours, without a second try."""
    with pytest.raises(WorkerDied, match="its Ray worker died"):
        executor.submit(os._exit, 3).result()


def test_after_the_end(ray: ModuleType) -> None:
    """After `shutdown`, calls are done or cancelled, no more are accepted, and Ray stays."""
    executor = RayExecutor()
    done = executor.submit(sum, [1, 2])
    executor.shutdown()
    hanging = RayExecutor()
    late = hanging.submit(_hang)
    hanging.shutdown(cancel_futures=True)

    assert 3 == done.result(0)
    assert late.cancelled()
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(sum, [1])
    assert ray.is_initialized()
    assert not wait([done, late]).not_done


class Word(Task):
    """One of the small tasks of a graph."""

    def __init__(self, number: int):
        self.number = number

    def run_task(self) -> tuple[int, int]:
        return self.number, os.getpid()


class Words(Task):
    """All of them."""

    def __init__(self, count: int):
        self.words = FutureList([Word(number) for number in range(count)])

    def run_task(self) -> list[int]:
        found = self.words.get_result()
        return [number for number, _ in found]


def test_a_graph_runs_on_ray(executor: RayExecutor, cache: Cache) -> None:
    """`run_graph(executor=RayExecutor())` runs and caches a graph."""
    words, stats = Words(5).run_graph(executor=executor)

    assert [0, 1, 2, 3, 4] == words
    assert os.getpid() not in {Word(number).get_result()[1] for number in range(5)}
    assert 6 == sum(stats["stats"].values())
    assert {} == Words(5).run_graph(executor=executor)[1]["stats"]


def test_options(ray: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processors have their own argument, and a missing Ray is reported with the remedy."""
    with pytest.raises(OptionError, match="pass n_cores_worker instead"):
        RayExecutor(options={"num_cpus": 2})
    with pytest.raises(ValueError, match="no_such"):
        RayExecutor(options={"no_such": 2})
    monkeypatch.setitem(sys.modules, "ray", None)

    with pytest.raises(ImportError, match=r"pip install 'taskproc\[ray\]'"):
        RayExecutor()
