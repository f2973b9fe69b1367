"""What becomes of the results of a batch while it runs: a list, their mean, or whatever a function makes of them.

The original says of this "TODO" only. Here a handler is given all results in the order of the items, also those that a
resumed batch finds saved: so it comes to what it would have come to without an interruption.
"""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any


class ResultHandler(ABC):
    """Takes results as they come, and tells at any time what it has made of them."""

    @abstractmethod
    def add_chunk(self, results: Sequence[Any]) -> None:
        """The next results, in the order of the items; with a saver, as soon as they are saved."""

    @abstractmethod
    def get_results(self) -> list[Any] | dict[str, Any]:
        """What was made of all of them."""


class ListResultHandler(ResultHandler):
    """Keeps them all; so memory grows with the number of results, whether they are saved or not."""

    def __init__(self) -> None:
        self._results: list[Any] = []

    def add_chunk(self, results: Sequence[Any]) -> None:
        """Keep them."""
        self._results.extend(results)

    def get_results(self) -> list[Any]:
        """The list itself, which grows with the next batch."""
        return self._results


class OnlineMeanResultHandler(ResultHandler):
    """Mean and variance of numbers, or of arrays of one shape, place by place, in memory for one.

    By the recurrence of Welford (1962), which adds up differences from the mean, not squares: a mean of 1e9 costs no
    digits of a variance of 1. Parts are joined after Chan, Golub and LeVeque (1979).

    Args:
        partial: each result is a pair, the mean of some values and how many they were.
    """

    def __init__(self, *, partial: bool = False):
        self._partial = partial
        self._count = 0
        self._mean: Any = None
        self._squares: Any = None  # of the differences from the mean, added up

    def add_chunk(self, results: Sequence[Any]) -> None:
        """Count them in."""
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
        """`mean`, `n` and `variance` (of the population); the first and the last are None as long as there is none.

        There is no variance of means whose own variances are not known, so None with `partial`.
        """
        unknown = self._mean is None or self._partial
        variance = None if unknown else self._squares / self._count
        return {"mean": self._mean, "n": self._count, "variance": variance}


class CallbackResultHandler(ResultHandler):
    """Calls a function with each list of results, in the thread of `submit_tasks`; keeps nothing but their number.

    What it raises ends the batch. What was saved before stays saved.
    """

    def __init__(self, callback: Callable[[Sequence[Any]], object]):
        if not callable(callback):
            raise TypeError(f"callback must be a function of a list of results, got {callback!r}")
        self._callback = callback
        self._count = 0

    def add_chunk(self, results: Sequence[Any]) -> None:
        """Call it."""
        self._callback(results)
        self._count += len(results)

    def get_results(self) -> dict[str, Any]:
        """`n`, how many results it was called with."""
        return {"n": self._count}
