"""The far end of a worker process: what it does with a chunk. Imports little, for each worker imports it."""
from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from time import perf_counter
from typing import cast

from taskproc.attributes import SCALARS
from taskproc.maps.delayed import made
from taskproc.maps.map_options import ArgumentPassing, Call, calls
from taskproc.maps.pack import Sent, receive_item, send_error, send_value
from taskproc.run.setup import load
from taskproc.run.steps import of_this_job
from taskproc.run.timeout import begin as begin_clock

TELL_EVERY = 0.02  # seconds, after which what is ready is told though the chunk has not ended


def clock_every(timeout: float) -> float:
    """How often the clock of items is set anew: not for each of thousands of small ones, so each may take so much more.

    Seconds.
    """
    return min(timeout / 20, 1.0)


def _say_that_none_debugs_here() -> None:
    """Let `breakpoint()` say what to do, unless a debugger of the user's is there."""
    if sys.breakpointhook is sys.__breakpointhook__ and "PYTHONBREAKPOINT" not in os.environ:
        sys.breakpointhook = _breakpoint


def _breakpoint(*args: object, **kwargs: object) -> object:
    raise RuntimeError(
        "breakpoint() cannot be used here. A worker process has no terminal: to debug the function, call it in your "
        "own process, without the pool"
    )


class Work:
    """The far end: the worker's function or object, and what it does with a chunk."""

    def __init__(self, worker: Callable[..., object], passing: ArgumentPassing, timeout: float | None, main: str):
        self._worker, self._passing, self._timeout, self._main = worker, passing, timeout, main
        self._call: Call | None = None

    def __call__(self, own: bytes) -> bytes:
        """The values of a pickled chunk that were not told before, and the seconds that they took, pickled.

        Raises what making the object raises.
        """
        if self._call is None:
            _say_that_none_debugs_here()
            self._call = calls(made(self._worker), self._passing)
        call, steps, timeout, main = self._call, of_this_job(), self._timeout, self._main
        values: list[Sent] = []
        start, clock_set = perf_counter(), float("-inf")
        for step, item in enumerate(cast("list[Sent]", load(own))):
            if not steps.begin(step):
                break
            if timeout is not None and perf_counter() - clock_set > clock_every(timeout):
                begin_clock(timeout)
                clock_set = perf_counter()
            try:
                value = call(receive_item(item) if type(item) is tuple else item)
            except BaseException as error:  # noqa: BLE001  # SystemExit is how this item ended, not the worker
                value = send_error(error)
            else:
                if type(value) not in SCALARS:
                    value = send_value(value, main)
            values.append(value)
            if perf_counter() - start > TELL_EVERY:
                steps.tell(pickle.dumps((values, perf_counter() - start), 5))
                values, start = [], perf_counter()
        return pickle.dumps((values, perf_counter() - start), 5)


class Alone(Work):
    """The same in a process of somebody else's, which has neither steps nor a clock: a chunk is done to its end."""

    def __call__(self, own: bytes) -> bytes:
        """All values of a pickled chunk, and the seconds that they took, pickled."""
        if self._call is None:
            self._call = calls(made(self._worker), self._passing)
        start, values = perf_counter(), []
        for item in cast("list[Sent]", load(own)):
            try:
                values.append(send_value(self._call(receive_item(item)), self._main))
            except BaseException as error:  # noqa: BLE001  # SystemExit is how this item ended, not the process
                values.append(send_error(error))
        return pickle.dumps((values, perf_counter() - start), 5)
