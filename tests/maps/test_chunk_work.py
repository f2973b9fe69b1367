"""The loop of a worker, and the `close` of its object."""
from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from workers import Closes, LaterCloses, square

from taskproc import Pool
from taskproc.maps.chunk_work import work_off

pytestmark = pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")

Make = Callable[..., Pool]


@pytest.fixture(params=[pytest.param("processes", marks=pytest.mark.slow), "threads"])
def pool(request: pytest.FixtureRequest) -> Make:
    """Makes pools of one kind."""
    return lambda *args, **kwargs: Pool(*args, use_threads=request.param == "threads", **kwargs)


def lines(file: Path, word: str) -> list[str]:
    """Process and thread of each line that begins with `word`."""
    return [line.partition(" ")[2] for line in file.read_text().splitlines() if line.startswith(word)]


def test_each_object_is_closed_once_where_it_worked(pool: Make, tmp_path: Path) -> None:
    """In its own process and thread, when the map has ended."""
    file = tmp_path / "lines"

    assert [*range(10, 30)] == list(pool(LaterCloses(str(file)), 2, chunk_size=1)(range(10, 30)))

    assert sorted(set(lines(file, "item"))) == sorted(lines(file, "close"))


def test_in_a_with_block_of_the_pool_objects_are_closed_at_its_end(pool: Make, tmp_path: Path) -> None:
    """They stay open from one map to the next."""
    file = tmp_path / "lines"

    with pool(LaterCloses(str(file)), 1) as pool_of_one:
        assert [1] == list(pool_of_one([1]))
        assert [2] == list(pool_of_one([2]))
        assert [] == lines(file, "close")

    assert 1 == len(lines(file, "close"))


def test_a_close_that_raises_is_logged_and_costs_no_value(
    pool: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """All values are yielded, and the warning has the exception."""
    assert [1, 2] == list(pool(LaterCloses(str(tmp_path / "lines"), fails=True), 1)([1, 2]))

    assert [True] == ["cannot be closed" in record.getMessage() for record in caplog.records]


def test_an_object_passed_to_threads_stays_open(tmp_path: Path) -> None:
    """It belongs to the caller, who may still need it."""
    file = tmp_path / "lines"

    assert [1] == list(Pool(Closes(str(file)), 1, use_threads=True)([1]))

    assert [] == lines(file, "close")


@pytest.mark.slow
def test_a_copy_in_a_process_is_closed(tmp_path: Path) -> None:
    """It belongs to the worker."""
    file = tmp_path / "lines"

    assert [1] == list(Pool(Closes(str(file)), 1)([1]))

    assert lines(file, "item") == lines(file, "close")


@pytest.mark.slow
def test_a_map_that_is_left_closes_a_busy_object(tmp_path: Path) -> None:
    """SIGTERM interrupts the item, and `close` runs before the process ends."""
    file = tmp_path / "lines"
    values = Pool(LaterCloses(str(file)), 1, chunk_size=1)([1, 3])
    assert 1 == next(values)
    while len(lines(file, "item")) < 2:
        pass

    values.close()

    assert 1 == len(lines(file, "close"))


@pytest.mark.slow
def test_in_an_executor_an_object_is_closed_when_its_process_ends(tmp_path: Path) -> None:
    """Nobody can choose which process of an executor takes a job."""
    file = tmp_path / "lines"
    with ProcessPoolExecutor(2, get_context("spawn")) as executor:
        assert [1, 2] == list(Pool(LaterCloses(str(file)), executor=executor)([1, 2]))
        assert [] == lines(file, "close")

    assert sorted({line.split()[0] for line in lines(file, "item")}) == sorted(
        line.split()[0] for line in lines(file, "close"))


def test_a_class_as_a_function_is_not_closed(caplog: pytest.LogCaptureFixture) -> None:
    """Its `close` is a method of its instances."""
    values: list[Any] = list(Pool(Closes, 1, use_threads=True)(["x"]))

    assert "x" == values[0].file
    assert [] == caplog.records


def test_the_loop_ends_where_it_is_reported_to() -> None:
    """`begin` is asked with the place of each item, before the item."""
    values, seconds = work_off([1, 2, 3], square, repr, begin=lambda place: place < 2)

    assert [1, 4] == values
    assert seconds >= 0
