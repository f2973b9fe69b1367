"""What becomes of results."""
from __future__ import annotations

import math
import statistics

import pytest

from taskproc.batch import CallbackResultHandler, ListResultHandler, OnlineMeanResultHandler

np = pytest.importorskip("numpy", reason="needs NumPy")


def test_a_list_of_all() -> None:
    """In the order in which they came."""
    handler = ListResultHandler()
    handler.add_chunk([1, 2])
    handler.add_chunk(())
    handler.add_chunk([3])

    assert [1, 2, 3] == handler.get_results()


def test_the_mean_of_nothing() -> None:
    """Is not known."""
    assert {"mean": None, "n": 0, "variance": None} == OnlineMeanResultHandler().get_results()


@pytest.mark.parametrize("offset", [0.0, 1e9, -1e9])
def test_the_mean_is_sound(offset: float) -> None:
    """Far from zero as well, where sums of squares lose all their digits."""
    values = [offset + math.sin(number) for number in range(10_000)]
    handler = OnlineMeanResultHandler()
    for first in range(0, 10_000, 7):
        handler.add_chunk(values[first : first + 7])

    found = handler.get_results()
    assert 10_000 == found["n"]
    assert pytest.approx(statistics.fmean(values), rel=1e-12) == found["mean"]
    assert pytest.approx(statistics.pvariance(values), rel=1e-6) == found["variance"]


def test_means_of_arrays() -> None:
    """Place by place; a buffer that is used again does no harm, integers do not overflow."""
    handler, buffer = OnlineMeanResultHandler(), np.zeros((2, 3), "int8")
    for number in (100, 120, 50):
        buffer[:] = number
        handler.add_chunk([buffer])

    assert np.allclose(90, handler.get_results()["mean"])
    assert ((2, 3), "float64") == (handler.get_results()["mean"].shape, handler.get_results()["mean"].dtype)
    assert np.allclose(np.var([100, 120, 50]), handler.get_results()["variance"])
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(3,\)"):
        handler.add_chunk([np.zeros(3)])
    assert 3 == handler.get_results()["n"]


def test_means_of_lists_and_of_complex_numbers() -> None:
    """A list is taken for an array."""
    lists, numbers = OnlineMeanResultHandler(), OnlineMeanResultHandler()
    lists.add_chunk([[1, 2], [3, 6]])
    numbers.add_chunk([1 + 2j, 3 - 4j])

    assert [2, 4] == lists.get_results()["mean"].tolist()
    assert (2 - 1j, pytest.approx(10.0)) == (numbers.get_results()["mean"], numbers.get_results()["variance"])


def test_means_of_means() -> None:
    """Pairs of a mean and how many there were; those of none count for nothing."""
    handler = OnlineMeanResultHandler(partial=True)
    handler.add_chunk([(1.0, 1), (100.0, 0), (4.0, 3)])

    assert {"mean": 3.25, "n": 4, "variance": None} == handler.get_results()


def test_a_function_is_called() -> None:
    """With each list, and nothing is kept."""
    seen: list[object] = []
    handler = CallbackResultHandler(seen.append)
    handler.add_chunk([1, 2])
    handler.add_chunk([3])

    assert [[1, 2], [3]] == seen
    assert {"n": 3} == handler.get_results()
    with pytest.raises(TypeError, match="callback must be a function"):
        CallbackResultHandler(3)  # type: ignore[arg-type]
