"""Maps whose chunks run in an executor of the user."""
from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from itertools import count, islice
from multiprocessing import get_context
from pathlib import Path

import pytest
from workers import Broken, Counter, dies_always, square

from taskproc import Cache, LocalExecutor, OptionError, Pool, WorkerDied
from taskproc.processes import pqdm

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")]


@pytest.fixture
def executor() -> Iterator[Executor]:
    with ProcessPoolExecutor(2, get_context("spawn")) as executor:
        yield executor


@pytest.mark.parametrize("options", [{}, {"chunk_size": 7}, {"is_unordered": True}, {"n_jobs": 1}])
def test_values_come_back(executor: Executor, options: dict[str, int]) -> None:
    """In order, in chunks or one by one; the executor is whole afterwards."""
    values = list(Pool(square, executor=executor, **options)(range(50)))  # type: ignore[arg-type]

    assert [x * x for x in range(50)] == (sorted(values) if "is_unordered" in options else values)
    assert 4 == executor.submit(square, 2).result()


def test_what_has_no_name_and_what_raises(executor: Executor) -> None:
    """Lambdas travel; an exception is that of its item."""
    values = list(Pool(lambda x: 6 // x, executor=executor, exception_behaviour="ignore", chunk_size=3)([3, 0, 2]))

    assert [2, 3] == values[::2]
    assert isinstance(values[1], ZeroDivisionError)


def test_an_object_is_made_once_in_each_process(executor: Executor, tmp_path: Path) -> None:
    """And keeps its state from chunk to chunk."""
    made = tmp_path / "made"

    values = list(Pool(Counter("it", str(made)), executor=executor, chunk_size=1)(range(40)))

    processes = [line.split()[1] for line in made.read_text().splitlines()]
    assert sorted(set(processes)) == sorted(processes)
    assert len(processes) <= 2
    assert 40 == len(values) <= max(count for *_, count in values) * 2


def test_an_object_that_cannot_be_made_ends_the_map(executor: Executor) -> None:
    """Whatever is said of exceptions."""
    with pytest.raises(RuntimeError, match="no such device"):
        list(Pool(Broken(), executor=executor, exception_behaviour="ignore")(range(3)))


@pytest.mark.parametrize("chunk_size", [1, 4])
def test_a_death_costs_one_item(executor: Executor, chunk_size: int) -> None:
    """Its neighbours in the chunk have values, and so have all that come after the pool has broken."""
    pool = Pool(dies_always, executor=executor, exception_behaviour="ignore", chunk_size=chunk_size)

    values = list(pool(range(10)))

    assert [x for x in range(10) if x != 3] == [value for value in values if isinstance(value, int)]
    assert isinstance(values[3], WorkerDied)


def test_leaving_early_leaves_the_executor(executor: Executor) -> None:
    """Of an endless input a few values."""
    with Pool(square, executor=executor)(count()) as values:
        assert [0, 1, 4] == list(islice(values, 3))


def test_with_a_bar(executor: Executor) -> None:
    """pqdm passes it on."""
    pytest.importorskip("tqdm")

    assert [0, 1, 4] == list(pqdm(range(3), square, executor=executor, disable=True))


def test_values_of_a_cache(executor: Executor, cache: Cache) -> None:
    """The tasks of its items run there, and not once more."""
    pool = Pool(square, executor=executor)

    assert [0, 1, 4] == list(pool.map(range(3), cache=True)) == list(pool.map(range(3), cache=True))


@pytest.mark.parametrize(
    ("text", "worker", "options"),
    [
        ("must be a concurrent.futures.Executor", square, {"executor": 2}),
        ("pass use_threads=True", square, {"executor": LocalExecutor()}),
        ("pass use_threads=True", square, {"executor": ThreadPoolExecutor(1)}),
        ("task_timeout is not supported", square, {"executor": ProcessPoolExecutor(1), "task_timeout": 1}),
        ("not a list", [square, dies_always], {"executor": ProcessPoolExecutor(1)}),
    ],
)
def test_what_does_not_go_together(text: str, worker: object, options: dict[str, object]) -> None:
    """The pool refuses it."""
    with pytest.raises(OptionError, match=text):
        Pool(worker, **options)  # type: ignore[arg-type]
