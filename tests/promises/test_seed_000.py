"""What the document of the manager promises, one test a promise; 000-NN is its number in the list of promises.

On the real thing each time: in this process, in worker processes, and on a local Ray.
"""
from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from taskproc.batch import JSONLinesSaver, ListResultHandler, OnlineMeanResultHandler, Saver, Task, TaskManager
from tests.batch.tasks import Diary, Fails, Square, Where, diary

pytestmark = pytest.mark.slow

Make = Callable[..., TaskManager]


@pytest.fixture(params=["sequential", "processes", "ray"], scope="module")  # so that those of Ray come together
def make(request: pytest.FixtureRequest) -> Make:
    """Makes managers, each test for each way."""
    if request.param == "ray":
        request.getfixturevalue("ray")
        return lambda task_class, *args, **named: TaskManager(task_class, *args, **{"use_ray": True, **named})
    if request.param == "processes":
        return lambda task_class, *args, **named: TaskManager(
            task_class, *args, **{"executor": "processes", "n_cores": 2, **named})
    return TaskManager


class Kept(Saver):
    """Remembers each call."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[Any], dict[str, Any]]] = []

    def save(self, data: Sequence[Any], **save_kwargs: Any) -> None:
        self.calls.append((list(data), save_kwargs))


def test_000_01_submission_and_results_sequential_or_parallel(make: Make) -> None:
    """By the documented arguments."""
    manager = make(Square, result_handler=None, n_cores=2, n_cores_worker=1)

    manager.submit_tasks([1, 2, 3, 4, 5])

    assert [1, 4, 9, 16, 25] == manager.get_results()


def test_000_02_the_task_is_made_once_for_each_worker(make: Make, tmp_path: Path) -> None:
    """By a class or a function; once where all is sequential. Set up and torn down as often, though there are more
    chunks. What 000-15 says of a new instance for each chunk would make that useless. The processes of Ray outlive the
    batch, so there nothing is torn down yet.
    """
    manager = make(lambda: Diary(tmp_path))

    manager.submit_tasks(range(40), chunk_size=4)

    seen = diary(tmp_path)
    workers = sorted({who.split()[0] for who in seen["item"]})
    for what in ("made", "setup", *(() if manager.use_ray else ("teardown",))):
        assert workers == sorted(who.split()[0] for who in seen[what]), what
    assert len(workers) == 1 if manager.max_concurrent_tasks == 1 else len(workers) <= 2
    assert ([str(os.getpid())] == workers) == (not manager.use_ray and manager.executor is None)


def test_000_03_the_number_of_cores(ray: ModuleType) -> None:
    """All by -1, 0 and what is below; on a cluster those of all nodes."""
    assert {len(os.sched_getaffinity(0))} >= {TaskManager(Square, n_cores=count).n_cores for count in (-1, 0, -7)}
    assert 5 == TaskManager(Square, n_cores=5).n_cores
    assert int(ray.cluster_resources()["CPU"]) == TaskManager(Square, use_ray=True).n_cores


def test_000_04_sequential_by_default() -> None:
    """In this process and this thread, where a debugger sees it."""
    import threading

    manager = TaskManager(Where)
    manager.submit_tasks(range(3))

    assert not manager.use_ray
    assert [(os.getpid(), threading.get_ident())] * 3 == manager.get_results()


def test_000_05_cores_for_each_worker(ray: ModuleType) -> None:
    """Parallelism is cores by cores of a worker: with two of two, one chunk at a time."""
    manager = TaskManager(Where, use_ray=True, n_cores=2, n_cores_worker=2)

    seen: list[int] = []
    manager.submit_tasks(watched(range(8), lambda: seen.append(len(manager.futures))), chunk_size=1)

    assert (1, 1) == (TaskManager(Where).n_cores_worker, manager.max_concurrent_tasks)
    assert max(seen) <= 1


def watched(items: Sequence[int], look: Callable[[], object]) -> Iterator[int]:
    for item in items:
        look()
        yield item


def test_000_06_the_references_of_what_runs(ray: ModuleType) -> None:
    """Never more than may run at once; none before and after, and none without Ray."""
    manager = TaskManager(Square, use_ray=True, n_cores=2)
    seen: list[list[Any]] = []
    before = manager.futures

    manager.submit_tasks(watched(range(30), lambda: seen.append(manager.futures)), chunk_size=1)

    assert [] == before == manager.futures == TaskManager(Square).futures
    assert 1 <= max(map(len, seen)) <= manager.max_concurrent_tasks == 2
    assert {ray.ObjectRef} == {type(reference) for found in seen for reference in found}


@pytest.mark.parametrize(("cores", "each", "most"), [(8, 2, 4), (16, 4, 4), (24, 1, 24), (1, 4, 1), (7, 2, 3)])
def test_000_07_at_most_so_many_at_once(cores: int, each: int, most: int) -> None:
    """The floor, and at least one."""
    assert most == TaskManager(Square, n_cores=cores, n_cores_worker=each, use_ray=True).max_concurrent_tasks


def test_000_08_the_result_handler(make: Make) -> None:
    """The one that is given, though it may be empty and so count for False, or a list."""

    class Empty(ListResultHandler):
        def __len__(self) -> int:
            return 0

    empty, mean = Empty(), OnlineMeanResultHandler()
    for handler in (empty, mean):
        make(Square, handler).submit_tasks([1, 2, 3], chunk_size=1)

    assert ListResultHandler is type(make(Square).result_handler)
    assert [1, 4, 9] == empty.get_results()
    assert pytest.approx(14 / 3) == mean.get_results()["mean"]


def test_000_09_results_in_the_order_of_the_items(make: Make) -> None:
    """Not of their ends, as one sentence says; through several submissions."""
    manager = make(Backwards)

    assert [] == manager.results
    manager.submit_tasks(range(8), chunk_size=1)
    manager.submit_tasks([0], chunk_size=1)

    assert [*range(8), 0] == manager.results == manager.get_results()


class Backwards(Task[int, int]):
    """The first items take longest."""

    def process_item(self, item: int, **kwargs: Any) -> int:
        import time

        time.sleep(0.01 * (8 - item))
        return item


def test_000_10_the_interval_of_saving() -> None:
    """1 before a submission, then what is submitted, by default 100."""
    manager = TaskManager(Square)
    before = manager.save_interval

    manager.submit_tasks([1], saver=Kept())

    assert (1, 100) == (before, manager.save_interval)


def test_000_11_arguments_of_the_saver() -> None:
    """Set as an attribute, passed each time; no two managers share the default."""
    manager, saver = TaskManager(Square), Kept()
    manager.save_kwargs["compression"] = "gzip"
    manager.submit_tasks([1, 2], saver=saver, save_interval=1)

    assert [{"compression": "gzip"}] * 2 == [kwargs for _, kwargs in saver.calls]
    assert {} == TaskManager(Square).save_kwargs


def test_000_12_the_saver(make: Make, tmp_path: Path) -> None:
    """None at first; anything that has `save`, such as the documented HDF5Saver."""
    h5py = pytest.importorskip("h5py", reason="needs h5py")
    from taskproc.batch import HDF5Saver

    manager = make(Square)
    before = manager.saver
    saver = HDF5Saver(str(tmp_path / "results.h5"), dataset_name="analysis_results")
    manager.save_kwargs = {"compression": "gzip", "append": True, "dtype": "float32"}
    manager.submit_tasks(range(10), chunk_size=3, saver=saver, save_interval=4)

    assert (None, saver) == (before, manager.saver)
    with h5py.File(tmp_path / "results.h5") as file:
        assert [x * x for x in range(10)] == file["analysis_results"][:].tolist()
        assert ("gzip", "float32") == (file["analysis_results"].compression, file["analysis_results"].dtype)


def test_000_13_submission(make: Make) -> None:
    """All its arguments, by their places; it gives None. `num_cpus` is refused, and no default is shared."""

    class Told(Task[int, Any]):
        def process_item(self, item: int, **kwargs: Any) -> Any:
            return "item", item, kwargs

        def process_items(self, items: Sequence[int], **kwargs: Any) -> Any:
            return [("items", list(items), kwargs)]

    manager = make(Told)
    submit: Any = manager.submit_tasks

    assert submit([1, 2, 3], 2, None, True, 10, {"a": 1}, {"max_retries": 3}) is None
    submit([4])
    assert [("items", [1, 2], {"a": 1}), ("items", [3], {"a": 1}), ("item", 4, {})] == manager.get_results()
    with pytest.raises(ValueError, match="num_cpus is not for kwargs_remote: give n_cores_worker"):
        submit([5], kwargs_remote={"num_cpus": 2})


def test_000_14_what_is_raised(make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """ValueError from a saver that fails, with its cause and what was saved; ImportError without Ray. No saver, no
    interval.
    """

    class Full(Kept):
        def save(self, data: Sequence[Any], **save_kwargs: Any) -> None:
            if self.calls:
                raise OSError(28, "No space left on device")
            super().save(data)

    manager = make(Square)
    with pytest.raises(ValueError, match=r"No space left on device. Until then 4 results were saved") as caught:
        manager.submit_tasks(range(20), chunk_size=3, saver=Full(), save_interval=4)

    assert (OSError, 4) == (type(caught.value.__cause__), caught.value.saved)  # type: ignore[attr-defined]
    assert [0, 1, 4, 9] == manager.get_results()
    manager.submit_tasks([2], save_interval=1_000)
    assert [0, 1, 4, 9, 4] == manager.get_results()
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"pip install 'taskproc\[ray\]'"):
        TaskManager(Square, use_ray=True).submit_tasks([1])


def test_000_15_one_chunk_after_the_other() -> None:
    """In order, saved when there are enough and at the end; what was saved is in the results."""
    manager, saver = TaskManager(Square), Kept()
    manager.saver, manager.save_interval = saver, 4

    manager._submit(manager.task_generator(range(10), 3), at_once=True, kwargs_task={"plus": 1})

    assert [[1, 2, 5, 10], [17, 26, 37, 50], [65, 82]] == [data for data, _ in saver.calls]
    assert [x * x + 1 for x in range(10)] == manager.results


def test_000_16_each_chunk_is_a_task_of_ray(ray: ModuleType) -> None:
    """Whichever ends first: they are handed over and saved in order; options are those of Ray."""
    manager, saver = TaskManager(Backwards, use_ray=True, n_cores=2), Kept()
    manager.saver, manager.save_interval = saver, 3

    manager._submit_ray(manager.task_generator(range(8), 1), False, {}, {"max_retries": 0, "num_gpus": 0})

    assert [[0, 1, 2], [3, 4, 5], [6, 7]] == [data for data, _ in saver.calls]
    assert [*range(8)] == manager.results
    with pytest.raises(ValueError, match="no_such_option"):
        manager._submit_ray(manager.task_generator(range(8), 1), kwargs_remote={"no_such_option": 1})


def test_000_17_results_are_those_that_were_saved(make: Make) -> None:
    """Nothing before any task, a list or a dict after it."""
    manager, saver = make(Square), Kept()

    assert [] == manager.get_results()
    manager.submit_tasks(range(10), chunk_size=3, saver=saver, save_interval=4)

    assert [row for data, _ in saver.calls for row in data] == manager.get_results() == [x * x for x in range(10)]
    assert isinstance(make(Square, OnlineMeanResultHandler()).get_results(), dict)


def test_000_18_chunks() -> None:
    """As in the document; of anything that can be read once, as far as it is asked for."""
    generator = TaskManager(Square).task_generator
    source = iter(range(10))

    assert [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]] == list(generator(list(range(10)), 3))
    assert [0, 1, 2] == next(generator(source, 3))
    assert 3 == next(source)
    assert [] == list(generator([], 3))


def test_000_19_what_was_saved_is_not_done_again(make: Make, tmp_path: Path) -> None:
    """A long computation that has failed is gone on with; memory need not hold what is saved."""
    with pytest.raises(ZeroDivisionError):
        make(Fails).submit_tasks(range(20), chunk_size=2, saver=JSONLinesSaver(tmp_path / "x"), save_interval=4)
    mean = OnlineMeanResultHandler()
    manager = make(lambda: Fails(at=-1), mean)

    manager.submit_tasks(range(20), chunk_size=2, saver=JSONLinesSaver(tmp_path / "x"), save_interval=4, resume=True)

    assert {"mean": 9.5, "n": 20, "variance": pytest.approx(33.25)} == mean.get_results()
    assert [*range(20)] == [row for rows in JSONLinesSaver(tmp_path / "x").load() for row in rows]


def test_an_executor_of_somebody_else() -> None:
    """As the issue asks for: any of concurrent.futures, which stays open."""
    with ThreadPoolExecutor(2) as executor:
        manager = TaskManager(Square, executor=executor)
        manager.submit_tasks(range(10), chunk_size=3)

        assert [x * x for x in range(10)] == manager.get_results()
        assert 3 == executor.submit(sum, [1, 2]).result()
