"""Batches in this process, in processes and in executors: results, failures, and arguments that are refused."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from taskproc import LocalExecutor, OptionError, UnsendableItem, WorkerDied
from taskproc.batch import (
    CallbackResultHandler,
    FileSaver,
    JSONLinesSaver,
    ListResultHandler,
    NpySaver,
    SaveError,
    Task,
    TaskManager,
)
from taskproc.batch.batch_task import results_of
from tests.batch.tasks import Diary, Dies, Fails, Square, Where, diary
from tests.pace import limit

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX"),
]

Make = Callable[..., TaskManager]
WAYS = ("here", "processes", "threads", "pool")


def end_processes(executor: object) -> None:
    """The task of a process of an executor is torn down when that process ends."""
    if isinstance(executor, ProcessPoolExecutor):
        executor.shutdown()


@pytest.fixture(params=WAYS)
def executor(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "threads":
        with ThreadPoolExecutor(2) as threads:
            yield threads
    elif request.param == "pool":
        with ProcessPoolExecutor(2) as pool:
            yield pool
    else:
        yield {"here": None, "processes": "processes"}[request.param]


@pytest.fixture
def make(executor: Any) -> Make:
    return lambda task_class, *args, **named: TaskManager(
        task_class, *args, **{"executor": executor, "n_cores": 2, **named})


def test_any_iterable_as_far_as_needed(make: Make) -> None:
    """Even an endless one; at most four chunks per worker are read and not yet handed over."""
    numbers, given = count(), 0

    class Enough(Exception):
        pass

    def look(results: Sequence[Any]) -> None:
        nonlocal given
        given += len(results)
        assert next(numbers) <= given + 2 * 4 * 3 + given  # next() itself takes one each time
        if given > 60:
            raise Enough

    manager = make(Square, CallbackResultHandler(look))
    with pytest.raises(Enough):
        manager.submit_tasks(numbers, chunk_size=3)

    assert next(numbers) < 150


def test_no_items(make: Make, tmp_path: Path) -> None:
    """No task is made for them."""
    manager = make(lambda: Diary(tmp_path))

    manager.submit_tasks([], saver=JSONLinesSaver(tmp_path / "x"))

    assert [] == manager.get_results() == list(tmp_path.iterdir())


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have no notes")
def test_a_failure_in_a_chunk_of_one_names_its_item(make: Make, tmp_path: Path) -> None:
    """Once, by its place in the batch."""
    manager = make(lambda: Diary(tmp_path, fails_at=2))

    with pytest.raises(ZeroDivisionError, match="item 2") as caught:
        manager.submit_tasks(range(5), chunk_size=1)

    assert ["at item 2 of the batch"] == caught.value.__notes__


def test_a_failure_is_raised_in_its_place(make: Make, tmp_path: Path) -> None:
    """Results before it are handed over and saved, even those that waited for the interval; workers are torn down."""
    manager = make(lambda: Diary(tmp_path, fails_at=7))

    with pytest.raises(ZeroDivisionError, match="item 7") as caught:
        manager.submit_tasks(range(40), chunk_size=2, saver=JSONLinesSaver(tmp_path / "x"), save_interval=4)

    assert [*range(6)] == manager.get_results() == [x for rows in JSONLinesSaver(tmp_path / "x").load() for x in rows]
    if sys.version_info >= (3, 11):
        assert ["at item 1 of its chunk", "in the chunk of items 6 to 7 of the batch"] == caught.value.__notes__
    end_processes(manager.executor)
    seen = diary(tmp_path)
    assert sorted(seen["setup"]) == sorted(seen["made"])
    assert len(seen["setup"]) == len(seen["teardown"])
    if manager.executor == "processes":  # though the exception holds on to all that was on
        assert not [who for who in seen["setup"] if Path(f"/proc/{who.split()[0]}").exists()]
    if not isinstance(manager.executor, ProcessPoolExecutor):
        manager.submit_tasks([1])
        assert [*range(6), 1] == manager.get_results()


def test_a_teardown_that_fails_is_reported(make: Make, tmp_path: Path) -> None:
    """It is raised after all results were handed over, and does not hide an earlier failure."""
    manager = make(lambda: Diary(tmp_path, teardown_fails=True))
    if isinstance(manager.executor, ProcessPoolExecutor):
        manager.submit_tasks(range(4))  # the teardown comes when the processes of the pool end
    else:
        with pytest.raises(RuntimeError, match="cannot be torn down"):
            manager.submit_tasks(range(4))
    assert [*range(4)] == manager.get_results()

    with pytest.raises(ZeroDivisionError):
        make(lambda: Diary(tmp_path, fails_at=1, teardown_fails=True)).submit_tasks(range(4))


def test_a_setup_that_fails(make: Make, tmp_path: Path) -> None:
    """It is not tried again for each chunk, and nothing is torn down."""

    class Unready(Diary):
        def setup(self) -> None:
            super().setup()
            raise LookupError("no such device")

    with pytest.raises(LookupError, match="no such device"):
        make(lambda: Unready(tmp_path)).submit_tasks(range(40), chunk_size=1)

    seen = diary(tmp_path)
    assert len(seen["setup"]) == len(set(seen["setup"])) <= 2
    assert "teardown" not in seen


def test_a_saver_that_fails_ends_the_batch(make: Make, tmp_path: Path) -> None:
    """Saved results stay; the workers end, torn down."""

    class Full(JSONLinesSaver):
        def _append(self, rows: list[Any], before: Any, after: Any, kwargs: dict[str, Any]) -> None:
            if after.results > 10:
                raise OSError("full")
            super()._append(rows, before, after, kwargs)

    manager = make(lambda: Diary(tmp_path))
    with pytest.raises(SaveError, match="OSError: full. Until then 8 results were saved") as caught:
        manager.submit_tasks(range(1000), chunk_size=3, saver=Full(tmp_path / "x"), save_interval=4)

    assert (8, 8) == (caught.value.saved, JSONLinesSaver(tmp_path / "x").saved().results)
    assert [*range(8)] == manager.get_results()


@pytest.mark.parametrize("save_interval", [1, 3, 4, 100])
@pytest.mark.parametrize("at_once", [False, True])
def test_resumed_at_any_place(tmp_path: Path, save_interval: int, at_once: bool) -> None:
    """However far a batch came, the next one ends as an uninterrupted one, for the handler and for the saver."""

    class Once(ListResultHandler):
        def add_chunk(self, results: Sequence[Any]) -> None:
            super().add_chunk(results)
            if len(self.get_results()) > 11:
                raise KeyError("enough")

    def submit(handler: ListResultHandler, name: str, resume: bool) -> None:
        manager = TaskManager(Square, handler)
        manager.submit_tasks(range(23), 5, NpySaver(tmp_path / name), at_once, save_interval, resume=resume)

    handlers = ListResultHandler(), ListResultHandler()
    submit(handlers[0], "whole", False)
    with pytest.raises(KeyError):
        submit(Once(), "parts", False)
    submit(handlers[1], "parts", True)
    submit(ListResultHandler(), "parts", True)

    assert handlers[0].get_results() == handlers[1].get_results()
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "parts").read_bytes()


def test_resumed_with_other_executors(make: Make, tmp_path: Path) -> None:
    """Any executor continues a batch of any other, and no saved item runs twice."""
    with pytest.raises(ZeroDivisionError):
        TaskManager(lambda: Fails(at=12)).submit_tasks(range(30), 4, JSONLinesSaver(tmp_path / "x"), save_interval=4)
    manager = make(lambda: Diary(tmp_path))

    manager.submit_tasks(range(30), 4, JSONLinesSaver(tmp_path / "x"), save_interval=4, resume=True)

    assert [*range(30)] == manager.get_results()
    assert 18 == len(diary(tmp_path)["item"])


def test_what_cannot_be_resumed(tmp_path: Path) -> None:
    """It is refused before anything runs or is written."""
    path = tmp_path / "x"
    TaskManager(Square).submit_tasks(range(10), 3, JSONLinesSaver(path), save_interval=4)
    before = path.read_bytes()

    def refused(words: str, items: Any, size: int, saver: Any, resume: bool) -> None:
        with pytest.raises(OptionError, match=words):
            TaskManager(Square).submit_tasks(items, size, saver, resume=resume)

    used = JSONLinesSaver(tmp_path / "y")
    used.save([1])
    refused("already has 10 results. Continue with resume=True", range(10), 3, JSONLinesSaver(path), False)
    refused("chunk_size=3, got 4", range(10), 4, JSONLinesSaver(path), True)
    refused("results of 10 items, the input has 5", range(5), 3, JSONLinesSaver(path), True)
    refused("pass a saver that has not been used", range(5), 3, used, True)
    refused("needs a FileSaver", range(5), 3, None, True)
    assert before == path.read_bytes()


def test_another_batch_behind_the_first(tmp_path: Path) -> None:
    """With the same saver, or with `append`."""
    saver = JSONLinesSaver(tmp_path / "x")
    manager = TaskManager(Square)
    manager.submit_tasks([1, 2], saver=saver)
    manager.submit_tasks([3], saver=saver)
    manager.save_kwargs = {"append": True}
    manager.submit_tasks([4], saver=JSONLinesSaver(tmp_path / "x"))

    assert [1, 4, 9, 16] == manager.get_results() == [x for rows in JSONLinesSaver(tmp_path / "x").load() for x in rows]


def test_a_chunk_that_gives_less_than_it_did(tmp_path: Path) -> None:
    """Then its saved results cannot be completed."""

    class Fewer(Task[int, int]):
        def process_items(self, items: Sequence[int], *, most: int = 9, **kwargs: Any) -> list[int]:
            return list(items)[:most]

    class Ends(JSONLinesSaver):
        def save(self, data: Sequence[Any], **save_kwargs: Any) -> None:
            super().save(data)
            raise OSError("ended")

    with pytest.raises(SaveError, match="ended"):
        TaskManager(Fewer).submit_tasks(range(9), 5, Ends(tmp_path / "x"), True, 3)

    with pytest.raises(SaveError, match="3 results of a chunk are saved, which now gives 2"):
        TaskManager(Fewer).submit_tasks(
            range(9), 5, JSONLinesSaver(tmp_path / "x"), True, 3, {"most": 2}, resume=True)


@pytest.mark.parametrize("executor", ["processes", "pool"])
def test_a_death_costs_its_chunk(executor: str, tmp_path: Path) -> None:
    """It is tried once more. A second death ends the batch, with the results before it saved, in order."""
    with ProcessPoolExecutor(2) as pool:
        chosen: Any = pool if executor == "pool" else "processes"
        once = TaskManager(lambda: Dies(tmp_path), executor=chosen, n_cores=2)
        once.submit_tasks(range(20), chunk_size=2)
    with ProcessPoolExecutor(2) as pool:
        chosen = pool if executor == "pool" else "processes"
        always = TaskManager(Dies, executor=chosen, n_cores=2)
        with pytest.raises(WorkerDied, match="SIGKILL"):
            always.submit_tasks(range(20), 2, JSONLinesSaver(tmp_path / "x"), save_interval=4)

    assert [*range(20)] == once.get_results()
    assert [*range(6)] == always.get_results() == [x for rows in JSONLinesSaver(tmp_path / "x").load() for x in rows]


def test_each_worker_is_torn_down_where_it_works(tmp_path: Path, executor: Any) -> None:
    """In its own process, once for each batch; in a process of an executor, when that process ends."""
    manager = TaskManager(lambda: Diary(tmp_path), executor=executor, n_cores=2)
    for _ in range(2):
        manager.submit_tasks(range(60), chunk_size=1)
    if isinstance(executor, ProcessPoolExecutor):
        assert "teardown" not in diary(tmp_path)
    end_processes(executor)

    seen = diary(tmp_path)
    assert sorted(who.split()[0] for who in seen["setup"]) == sorted(who.split()[0] for who in seen["teardown"])
    assert 2 <= len(seen["setup"]) <= 4


SCRIPT = """
import sys
from pathlib import Path
from taskproc.batch import JSONLinesSaver, ListResultHandler, TaskManager
from tests.batch.tasks import HangsAt

class Tells(ListResultHandler):
    def add_chunk(self, results):
        super().add_chunk(results)
        Path(f"has {len(self.get_results())}").touch()

manager = TaskManager(lambda: HangsAt(Path(), fails_at=13), Tells(), executor=sys.argv[1] or None, n_cores=2)
try:
    manager.submit_tasks(range(40), chunk_size=2, saver=JSONLinesSaver("x"), save_interval=4)
except KeyboardInterrupt:
    print(manager.get_results())
"""


@pytest.mark.parametrize("executor", ["", "processes"])
def test_an_interrupt(executor: str, tmp_path: Path, environ: dict[str, str]) -> None:
    """Ctrl-C ends it though a chunk hangs: earlier results are saved and handed over, workers torn down and gone."""
    command = [sys.executable, "-c", SCRIPT, executor]
    process = subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, text=True)
    while not ((tmp_path / "hangs").exists() and (tmp_path / "has 12").exists()):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)

    assert (f"{[*range(12)]}\n", None) == process.communicate(timeout=limit(60))
    assert [*range(12)] == [x for rows in JSONLinesSaver(tmp_path / "x").load() for x in rows]
    seen = diary(tmp_path)
    assert sorted(seen["setup"]) == sorted(seen["teardown"])
    for who in seen["setup"]:
        assert not Path(f"/proc/{who.split()[0]}").exists()


def test_a_task_that_cannot_travel() -> None:
    """It is refused when the batch begins, with a remedy."""
    lock = threading.Lock()
    with ProcessPoolExecutor(1) as pool:
        executors: list[Any] = ["processes", pool]
        for executor in executors:
            with pytest.raises(UnsendableItem, match="cannot be sent to a worker process"):
                TaskManager(lambda: (lock, Square())[1], executor=executor).submit_tasks([1])


def test_what_cannot_travel() -> None:
    """Items and results that do not pickle fail their chunk, in words."""

    with pytest.raises(UnsendableItem, match="item"):
        TaskManager(Square, executor="processes").submit_tasks([threading.Lock()])

    class Locks(Task[int, Any]):
        def process_item(self, item: int, **kwargs: Any) -> Any:
            return threading.Lock()

    with pytest.raises(UnsendableItem, match="a value"):
        TaskManager(Locks, executor="processes").submit_tasks([1])


def test_the_script_itself_may_define_the_task(script: Callable[..., str]) -> None:
    """Without a guard, also in a function; results are instances of its own classes."""
    printed = script("""
from collections import namedtuple
from taskproc.batch import Task, TaskManager

Point = namedtuple("Point", "x y")
factor = 3

class Scale(Task):
    def process_item(self, item, **kwargs):
        return Point(item.x * factor, item.y * factor)

manager = TaskManager(Scale, executor="processes", n_cores=1)
manager.submit_tasks([Point(1, 2)])
print(manager.get_results(), type(manager.get_results()[0]) is Point)
""")

    assert "[Point(x=3, y=6)] True\n" == printed


class Pair(NamedTuple):
    """One result, not two."""

    a: int
    b: int


def test_what_a_chunk_may_give() -> None:
    """Lists and the like have a result in each place, all else is one."""
    np = pytest.importorskip("numpy", reason="needs NumPy")
    rows = results_of(np.arange(4).reshape(2, 2))

    assert [1, 2] == results_of([1, 2]) == results_of((1, 2)) == results_of(iter([1, 2]))
    assert [[0, 1], [2, 3]] == [row.tolist() for row in rows]
    for value in ("text", {"a": 1}, None, Pair(1, 2), 3, np.array(5), {1, 2}):
        assert [value] == results_of(value)


def test_any_object_with_methods(make: Make) -> None:
    """No base class is needed; `run` is enough."""

    class Runs:
        def run(self, items: Sequence[int], at_once: bool, **kwargs: Any) -> Any:
            return {"count": len(items), "at_once": at_once, **kwargs}

    class Processes:
        def process_item(self, item: int) -> int:
            return -item

    runs, processes = make(Runs), make(Processes)
    runs.submit_tasks(range(5), 3, at_once=True, kwargs_task={"a": 1})
    processes.submit_tasks(range(3))

    assert [{"count": 3, "at_once": True, "a": 1}, {"count": 2, "at_once": True, "a": 1}] == runs.get_results()
    assert [0, -1, -2] == processes.get_results()


WRONG: list[tuple[str, Callable[[], object]]] = [
    ("task_class must be", lambda: TaskManager(3)),  # type: ignore[arg-type]
    ("n_cores must be an int", lambda: TaskManager(Square, n_cores=1.5)),  # type: ignore[arg-type]
    ("n_cores_worker must be at least 1", lambda: TaskManager(Square, n_cores_worker=0)),
    ("executor must be 'processes' or", lambda: TaskManager(Square, executor="process")),  # type: ignore[arg-type]
    ("exclude each other", lambda: TaskManager(Square, use_ray=True, executor="processes")),
    ("result_handler must have add_chunk", lambda: TaskManager(Square, [])),  # type: ignore[arg-type]
    ("chunk_size must be", lambda: TaskManager(Square).submit_tasks([1], 0)),
    ("save_interval must be", lambda: TaskManager(Square).submit_tasks([1], save_interval=0)),
    ("saver must have a method save", lambda: TaskManager(Square).submit_tasks([1], saver=3)),
    ("kwargs_task must be a dict", lambda: TaskManager(Square).submit_tasks([1], kwargs_task=[])),  # type: ignore[arg-type]
    ("kwargs_remote must be a dict", lambda: TaskManager(Square).submit_tasks([1], kwargs_remote=3)),  # type: ignore[arg-type]
    ("at_once is not for kwargs_task", lambda: TaskManager(Square).submit_tasks([1], kwargs_task={"at_once": 1})),
    ("not iterable", lambda: TaskManager(Square).submit_tasks(3)),  # type: ignore[arg-type]
    ("Where has no process_items. Define it, or pass", lambda: TaskManager(Where).submit_tasks([1], at_once=True)),
    ("dict has no process_item. Define it, or pass", lambda: TaskManager(dict).submit_tasks([1])),
    ("object has no process_item", lambda: TaskManager(lambda: object()).submit_tasks([1])),
]


@pytest.mark.parametrize(("words", "call"), WRONG, ids=[words for words, _ in WRONG])
def test_wrong_arguments_are_reported_at_once(words: str, call: Callable[[], object]) -> None:
    """By name, with the accepted values; nothing has begun."""
    with pytest.raises((OptionError, TypeError), match=words):
        call()


def test_the_local_executor_is_this_process() -> None:
    """One and the same."""
    executor: Executor = LocalExecutor()
    manager = TaskManager(Where, executor=executor)
    manager.submit_tasks([1])

    assert [(os.getpid(), threading.get_ident())] == manager.get_results()


def test_the_front_door() -> None:
    """All names of the room, and no others."""
    from taskproc import batch

    assert set(batch.__all__) <= set(dir(batch))
    assert all(getattr(batch, name) is not None for name in batch.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Pool'"):
        _ = batch.Pool  # type: ignore[attr-defined]
    assert issubclass(NpySaver, FileSaver)


def test_on_ray_deaths_and_failures(ray: ModuleType, tmp_path: Path) -> None:
    """Order is kept, and results before a failure are saved; tasks are set up in processes of Ray."""
    failing = TaskManager(lambda: Diary(tmp_path, fails_at=7), use_ray=True, n_cores=2)
    with pytest.raises(ZeroDivisionError, match="item 7"):
        failing.submit_tasks(range(40), chunk_size=2, saver=JSONLinesSaver(tmp_path / "x"), save_interval=4)
    once = TaskManager(lambda: Dies(tmp_path), use_ray=True, n_cores=2)
    once.submit_tasks(range(20), chunk_size=2)

    assert [*range(6)] == failing.get_results() == [x for rows in JSONLinesSaver(tmp_path / "x").load() for x in rows]
    assert [*range(20)] == once.get_results()
    seen = diary(tmp_path)
    assert str(os.getpid()) not in {who.split()[0] for who in seen["setup"]}
