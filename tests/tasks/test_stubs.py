"""Laws of stubs: a value stands where a task would, for all that reads it, and no real cache learns of it."""
from __future__ import annotations

import multiprocessing
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from taskproc.errors import FailedTaskError, NoCacheError, UnstorableResult
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache, current_cache
from taskproc.tasks.future import Future
from taskproc.tasks.inputs import InputFile
from taskproc.tasks.task import Task
from taskproc.testing import assert_plan, stub
from tests.pace import limit

ROOT = Path(__file__).resolve().parents[2]


class Never(Task):
    """Fails wherever it runs."""

    def run_task(self) -> int:
        """Not to be called."""
        raise AssertionError("it ran")


class Load(Task):
    """What is stubbed."""

    def __init__(self, day: int):
        self.day, self.never = day, Never()

    def run_task(self) -> list[int]:
        """Not to be called."""
        raise AssertionError("it ran")


class Special(Load):
    """A kind of it."""


class Total(Task):
    """Reads it."""

    def __init__(self, *loads: Future[list[int]]):
        self.loads = loads

    def run_task(self) -> list[list[int]]:
        """All of them, after having changed its own copies."""
        values = [load.get_result() for load in self.loads]
        for value in values:
            value.append(0)
        return values


class Main(Task):
    """The end."""

    def __init__(self) -> None:
        self.total, self.load = Total(Load(1), Special(2)), Load(1)

    def run_task(self) -> tuple[list[list[int]], list[int]]:
        """What is there of both."""
        return self.total.get_result(), self.load.get_result()


class Inner(Task):
    """Runs a task inside."""

    def run_task(self) -> list[int]:
        """The value of a task that it builds."""
        return Load(9).run_graph(executor=LocalExecutor())[0]


def run(task: Task) -> object:
    value: object = task.run_graph(executor=LocalExecutor())[0]  # type: ignore[misc]
    return value


@pytest.mark.parametrize("make", [
    lambda: None, LocalExecutor, lambda: ThreadPoolExecutor(2),
    lambda: ProcessPoolExecutor(1, multiprocessing.get_context("spawn")),
], ids=["workers", "inline", "threads", "pool"])  # fmt: skip
def test_who_reads_it_gets_the_value(make: Callable[[], Executor | None]) -> None:
    """Wherever it runs; the task, and what it needs, does not run. Each reader has its own copy."""
    executor = make()
    with stub(Load, value=[7]):
        value, stats = Main().run_graph(executor=executor, max_workers=None if executor else 1)
        assert [7] == Load(1).get_result()
        assert Load(1).task_is_done()
    if executor is not None:
        executor.shutdown()

    assert ([[7, 0], [7, 0]], [7]) == value
    assert {Total.task_name: 1, Main.task_name: 1} == stats["stats"]


def test_behind_a_prefix() -> None:
    """In a fresh interpreter as well."""
    with stub(Load, value=[7]):
        assert [[7, 0]] == Total(Load(1)).run_graph(prefixes={Total.task_name: ""})[0]


def test_the_real_cache_is_not_touched(cache: Cache) -> None:
    """Not by what is computed from the value, and not by entering it inside the block; afterwards all is as before."""
    with stub(Load, value=[7]) as temporary:
        run(Total(Load(1)))
        with cache as inside, Cache(cache.path / "new"):
            assert temporary is inside is current_cache("")
            run(Main())
        with Cache(cache.path) as again:
            assert temporary is again
        assert temporary is current_cache("")
        assert temporary.path.exists()

    assert cache is current_cache("")
    assert {"taskproc.json", "CACHEDIR.TAG", ".gitignore"} == set(os.listdir(cache.path))
    assert not temporary.path.exists()
    with pytest.raises(FailedTaskError, match="it ran"):
        run(Total(Load(1)))


def test_the_block_ends_with_an_error_too() -> None:
    """Nothing is left in use."""
    with pytest.raises(KeyError), stub(Load, value=1), Cache("never"):
        raise KeyError
    with pytest.raises(NoCacheError):
        Load(1)


def test_one_task_may_be_stubbed() -> None:
    """The others of its class run, or are stubbed by another value. The inner one, and the special one, wins."""
    with stub(Load, value=[1]), stub(Load(1), value=[2]):
        assert [[2, 0], [1, 0]] == run(Total(Load(1), Load(2)))
        with stub(Load, value=[3]):
            assert [[2, 0], [3, 0]] == run(Total(Load(1), Load(2)))
            with stub(Load(1), value=[4]):
                assert [[4, 0]] == run(Total(Load(1)))
        with stub(Special, value=[5]):
            assert [[1, 0], [5, 0]] == run(Total(Load(2), Special(2)))
        assert [[2, 0], [1, 0]] == run(Total(Load(1), Load(2)))


def test_a_task_of_a_real_cache_may_be_given(cache: Cache) -> None:
    """It says which one is meant, and stays as it is."""
    load = Load(1)
    with stub(load, value=[2]):
        assert [[2, 0]] == run(Total(Load(1)))
        with pytest.raises(FailedTaskError, match="it ran"):
            run(Total(Load(2)))
    assert not load.task_is_done()


@stub(Load, value=[6])
def decorated(tail: int) -> list[object]:
    """A function that builds tasks."""
    return [run(Total(Load(1))), tail]


def test_a_decorator() -> None:
    """Each call has a block of its own."""
    assert [[[6, 0]], 1] == decorated(1)
    assert [[[6, 0]], 2] == decorated(2)


def test_what_a_task_builds_itself_is_stubbed_inline() -> None:
    """As the documentation says, in this process."""
    with stub(Load, value=[8]):
        assert [8] == run(Inner())


def test_threads_may_build_one_task_at_once() -> None:
    """One of them makes the stub."""
    with stub(Load, value=[8]) as cache:
        start, found = threading.Barrier(8), list[object]()

        def build() -> None:
            with cache:
                start.wait(limit(30))
                found.append(Load(1).get_result())

        threads = [threading.Thread(target=build) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert [[8]] * 8 == found


@pytest.mark.parametrize("wrong", [3, int, InputFile])
def test_what_cannot_be_stubbed_is_refused(wrong: object) -> None:
    """At once, and with what it is."""
    with pytest.raises(TypeError, match=r"stub needs a task|cannot be stubbed"), stub(wrong, value=1):  # type: ignore[arg-type]
        raise AssertionError


def test_a_value_that_cannot_be_stored_is_refused() -> None:
    """A result could not be it either."""
    with stub(Load, value=threading.Lock()), pytest.raises(UnstorableResult):
        Load(1)


# ---------------------------------------------------------------- what would run


def test_a_plan_as_expected() -> None:
    """By class, by whole name, by the last part, with numbers; fresh ones need not all be listed."""
    with stub(Load, value=[1]):
        assert_plan(Main(), runs=["Total", Main], fresh=[Load])
        assert_plan(Main(), runs={Total.task_name: 1, "Main": 1}, fresh={"Load": 1, "Special": 1})
        run(Main())
        assert_plan(Main(), runs=[])
        assert_plan(Main(), runs={"Main": 0}, fresh=["Total", "Main"])
        assert_plan(Main(), runs=(), fresh="Total")


@pytest.mark.parametrize(("runs", "fresh", "lines"), [
    (["Main"], [], ["Total: 1 task would run, expected none   because no result is stored"]),
    (["Main", "Total", "Load"], [], ["Load: none would run, expected some; all are fresh"]),
    ({"Main": 2, "Total": 1}, [], ["Main: 1 task would run, expected 2   because upstream tasks would run"]),
    (["Main", "Total"], ["Main"], ["Main: 0 tasks of 1 fresh, expected some"]),
    (["Main", "Total"], {"Load": 3}, ["Load: 1 task of 1 fresh, expected 3"]),
    (["Mian", "Main", "Total"], [], ["Mian: the graph has no such task class. Did you mean"]),
    (["Main", "Total"], [Never], ["Never: the graph has no such task class"]),
    ([], [], ["Total: 1 task would run", "Main: 1 task would run"]),
])  # fmt: skip
def test_another_plan(runs: list[str], fresh: list[str], lines: list[str]) -> None:
    """Each difference has a line, with the reason."""
    with stub(Load, value=[1]), pytest.raises(AssertionError) as error:
        assert_plan(Main(), runs=runs, fresh=fresh)

    head, *found = str(error.value).splitlines()
    assert re.fullmatch(r"the plan of Main#\w+\(\) is not as expected", head)
    assert len(lines) == len(found)
    assert all(line in shown for line, shown in zip(lines, found))


def test_a_name_of_several_classes_is_refused(cache: Cache) -> None:
    """It would say too little."""
    one: Any = type("Pair", (Never,), {"__module__": "one", "__qualname__": "Pair"})
    other: Any = type("Pair", (Never,), {"__module__": "other", "__qualname__": "Pair"})

    with pytest.raises(ValueError, match=r"'Pair' may be any of the classes one.Pair, other.Pair"):
        assert_plan(Total(one(), other()), runs=["Pair"])


def test_the_examples_of_the_documentation(tmp_path: Path, environ: dict[str, str]) -> None:
    """Its files are tests that pass."""
    page = (ROOT / "docs" / "testing.md").read_text("utf-8")
    for block in re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        (tmp_path / block.split()[1]).write_text(block)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "test_study.py"]

    done = subprocess.run(words, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=limit(100))

    assert "4 passed" in done.stdout, done.stdout + done.stderr
    assert {"study.py", "test_study.py"} == {path.name for path in tmp_path.iterdir()} - {"__pycache__"}
