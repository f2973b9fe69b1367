"""Result handlers, which take the results of a batch while it runs: a list, their mean, or a callback.

A handler receives all results in the order of the items. A resumed batch passes the saved results first, so the handler
ends in the same state as without an interruption.
"""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any


class ResultHandler(ABC):
    """Receives results as they come. Override both methods."""

    @abstractmethod
    def add_chunk(self, results: Sequence[Any]) -> None:
        """Take the next results, in the order of the items; with a saver, as soon as they are saved.

        Args:
            results: any number of results. Without a saver those of a chunk, else those that were saved together.
        """

    @abstractmethod
    def get_results(self) -> list[Any] | dict[str, Any]:
        """The outcome of all results so far."""


class ListResultHandler(ResultHandler):
    """Stores all results in memory, whether they are saved or not."""

    def __init__(self) -> None:
        self._results: list[Any] = []

    def add_chunk(self, results: Sequence[Any]) -> None:
        """Append them."""
        self._results.extend(results)

    def get_results(self) -> list[Any]:
        """The list itself, with one entry per result in the order of the items. The next batch appends to it."""
        return self._results


class OnlineMeanResultHandler(ResultHandler):
    """Mean and variance of numbers, or elementwise of arrays of one shape, with the memory of one result.

    Uses the recurrence of Welford (1962), which adds up differences from the mean instead of squares, so a mean of 1e9
    costs no digits of a variance of 1. Parts are joined as in Chan, Golub and LeVeque (1979).

    Args:
        partial: each result is a pair: the mean of some values, and their number.
    """

    def __init__(self, *, partial: bool = False):
        self._partial = partial
        self._count = 0
        self._mean: Any = None
        self._squares: Any = None  # of the differences from the mean, added up

    def add_chunk(self, results: Sequence[Any]) -> None:
        """Add results to the mean.

        Args:
            results: numbers, arrays or nested lists, all of one shape; with `partial`, pairs `(mean, count)`.

        Raises:
            ValueError: the shapes of two results differ.
        """
        for result in results:
            value, count = result if self._partial else (result, 1)
            self._add(value, count)

    def _add(self, value: Any, count: int) -> None:
        if isinstance(value, (list, tuple)) or hasattr(value, "__array__"):
            import numpy as np

            value = np.asarray(value)
            value = value.astype(np.result_type(value.dtype, np.float64))
        if not count:
            return
        if self._mean is None:
            self._mean, self._squares, self._count = value * 1.0, abs(value) * 0.0, count  # copies: it may be a buffer
            return
        if getattr(value, "shape", ()) != getattr(self._mean, "shape", ()):
            shapes = f"{getattr(self._mean, 'shape', ())} and {getattr(value, 'shape', ())}"
            raise ValueError(f"results of different shapes have no mean: {shapes}")
        total = self._count + count
        difference = value - self._mean
        self._mean = self._mean + difference * (count / total)
        self._squares = self._squares + abs(difference) ** 2 * (self._count * count / total)
        self._count = total

    def get_results(self) -> dict[str, Any]:
        """The statistics of all results so far.

        Returns:
            A dict with `n`, the number of values, and with `mean` and `variance` (of the population, divided by `n`),
            both in the shape of one result. The dtype is at least float64: integers and float32 become float64, complex
            numbers have a complex mean and a real variance. Both are None before the first result, and `variance`
            is None with `partial`, because the variances of the parts are unknown.
        """
        unknown = self._mean is None or self._partial
        variance = None if unknown else self._squares / self._count
        return {"mean": self._mean, "n": self._count, "variance": variance}


class CallbackResultHandler(ResultHandler):
    """Calls a function with each list of results, in the thread of `submit_tasks`, and stores only their number.

    An exception of the function ends the batch. Results that were saved before stay saved.

    Raises:
        TypeError: `callback` cannot be called.
    """

    def __init__(self, callback: Callable[[Sequence[Any]], object]):
        if not callable(callback):
            raise TypeError(f"callback must be a function of a list of results, got {callback!r}")
        self._callback = callback
        self._count = 0

    def add_chunk(self, results: Sequence[Any]) -> None:
        """Call the function with these results."""
        self._callback(results)
        self._count += len(results)

    def get_results(self) -> dict[str, Any]:
        """A dict with `n`, the number of results so far."""
        return {"n": self._count}
