"""Laws of recorded tasks: what a cache has of a task is enough to build it again, and to run it alone."""
from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from taskproc.errors import BuildError, CacheError, MissingResult, UnnamableValue
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.tasks.future import Const, Future, FutureDict, FutureList
from taskproc.tasks.inputs import InputFile
from taskproc.tasks.recorded import alone, reading_only, recorded_task, stored_inputs, task_class, value_of_run
from taskproc.tasks.task import Task


class Number(Task):
    """A number."""

    def __init__(self, value: int):
        self.value = value

    def run_task(self) -> dict[str, int]:
        """A dict with it."""
        return {"n": self.value}


class Chain(Task):
    """One more than the one above."""

    def __init__(self, above: Future[int], depth: int):
        self.above, self.depth = above, depth

    def run_task(self) -> int:
        """The number."""
        return self.above.get_result() + 1


class Every(Task):
    """Takes futures of each kind."""

    def __init__(
        self, first: Number, /, row: Sequence[Future[int]], *more: object, path: InputFile, **named: Future[int]
    ):
        self.first, self.row, self.more, self.path = first, FutureList(row), more, path
        self.named, self.twice = FutureDict(named), Number(first.value * 2)

    def run_task(self) -> list[object]:
        """All values, and what a task inside gives."""
        inner, _ = Number(7).run_graph(executor=LocalExecutor())
        self.task_directory.joinpath("file").write_text("x")
        named, twice = self.named.get_result(), self.twice.get_result()
        row = self.row.get_result()
        return [self.first.get_result(), row, self.more, self.path.get_result().name, named, twice, inner]


def run(cache: Cache, task: Task) -> object:
    """The value of the twin that is built from the record of `task`, and run alone."""
    twin = recorded_task(reading_only(cache.store), task._taskproc.place)
    assert twin is not task
    assert twin._taskproc.place == task._taskproc.place
    with alone(twin, stored_inputs(twin, cache.store)):
        return value_of_run(twin)


def files(cache: Cache) -> set[Path]:
    return set(cache.path.rglob("*"))


def test_each_kind_of_argument_comes_back(cache: Cache, tmp_path: Path) -> None:
    """Tasks, elements, constants, files, positional and named ones; those of `__init__`, too. No file is new."""
    (tmp_path / "a.txt").write_text("a")
    task = Every(Number(1), [Number(2)["n"], Const(5)], (3, None), {"x": {4}}, path=InputFile(tmp_path / "a.txt"),
                 left=Const({"n": 9})["n"], right=Number(6)["n"])  # fmt: skip
    value, _ = task.run_graph(executor=LocalExecutor())
    before = files(cache)

    assert value == run(cache, task)
    assert [{"n": 1}, [2, 5], ((3, None), {"x": {4}}), "a.txt", {"left": 9, "right": 6}, {"n": 2}, {"n": 7}] == value
    assert before == files(cache)


def test_a_long_chain_is_built(cache: Cache) -> None:
    """However deep its record leads, under the default limit of recursion."""
    task: Future[int] = Number(0)["n"]
    for depth in range(1500):
        task = Chain(task, depth)
    assert isinstance(task, Chain)
    task.run_graph(executor=LocalExecutor())

    assert 1500 == run(cache, task)


def test_what_is_above_an_input_need_not_be_stored(cache: Cache) -> None:
    """Of an input its result counts, also where nobody knows any more with what it was called."""
    task = Chain(Chain(Number(3)["n"], 0), 1)
    task.run_graph(executor=LocalExecutor())
    Number(3).clear_task()
    assert 5 == run(cache, task)

    (cache.path / Chain.task_name / "results" / str(task.above.task_id) / "args.json").unlink()  # type: ignore[attr-defined]
    assert 5 == run(cache, task)


def test_the_newest_version_of_an_input_is_read(cache: Cache) -> None:
    """Whether it is fresh or not: here the code of one upstream task is another now."""
    task = Chain(Number(3)["n"], 0)
    task.run_graph(executor=LocalExecutor())
    before = Number.run_task
    try:
        Number.run_task = lambda self: {"n": -1}  # type: ignore[method-assign]
        assert not Number(3).task_is_done()
        assert 4 == run(cache, task)
    finally:
        Number.run_task = before  # type: ignore[method-assign]


def test_the_cache_cannot_be_written(cache: Cache) -> None:
    """By nobody who uses the one in which it is built."""
    number = Number(1)
    number.run_graph(executor=LocalExecutor())
    twin = recorded_task(reading_only(cache.store), number._taskproc.place)
    assert isinstance(twin, Number)

    with pytest.raises(CacheError, match="writes nothing"):
        twin.run_graph(executor=LocalExecutor(), force=True)


def test_a_missing_record_is_named(cache: Cache) -> None:
    """That of the arguments, and that of an input."""
    chain = Chain(Number(3)["n"], 0)
    with pytest.raises(MissingResult, match=r"the arguments of .*Chain#\w+ are not recorded"):
        recorded_task(reading_only(cache.store), chain._taskproc.place)

    with pytest.raises(MissingResult, match=r"no result is stored of Number#\w+\(value=3\), which Chain#"):
        stored_inputs(chain, cache.store)


def test_an_argument_that_was_not_recorded_is_named(cache: Cache) -> None:
    """It does not count for the key, and need not have a form."""

    class Client(Task):
        task_ignored_args = "lock"

        def __init__(self, lock: object):
            self.lock = lock

        def run_task(self) -> int:
            return 1

    task = Client(threading.Lock())
    task.run_graph(executor=LocalExecutor())

    with pytest.raises(UnnamableValue, match="argument 'lock' of .*Client is not recorded, as it has no JSON form"):
        recorded_task(reading_only(cache.store), task._taskproc.place)


def test_a_parameter_that_is_gone_is_named(cache: Cache) -> None:
    """An argument is not dropped in silence."""

    class Older(Task):
        task_pinned_name = "renamed"

        def __init__(self, old: int):
            self.old = old

        def run_task(self) -> int:
            return self.old

    task = Older(1)
    task.run_graph(executor=LocalExecutor())

    class Newer(Task):
        task_pinned_name = "renamed"

        def __init__(self, new: int):
            self.new = new

        def run_task(self) -> int:
            return self.new

    assert Newer is task_class(task.task_name)
    with pytest.raises(BuildError, match="was recorded with an argument 'old', which it no longer has"):
        recorded_task(reading_only(cache.store), task._taskproc.place)
