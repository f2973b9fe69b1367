"""What a worker does with its chunks: one loop over items for threads, worker processes and executors.

Imports little, because each worker process imports it.
"""
from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterable
from time import perf_counter
from types import FrameType
from typing import Any, NoReturn, cast

from taskproc.attributes import SCALARS
from taskproc.maps.delayed import close_method, made
from taskproc.maps.map_options import ArgumentPassing, Call, calls
from taskproc.maps.transfer import Sent, receive_item, send_error, send_value
from taskproc.pickling import load
from taskproc.run.far_end import begin_timeout as begin_clock
from taskproc.run.worker_protocol import of_this_job

REPORT_EVERY = 0.02  # seconds after which finished values are reported although the chunk has not ended
CLOSE = pickle.dumps(None, 5)  # sent instead of the items of a chunk: close the object of the worker

Report = Callable[[list[Any], float], object]


def work_off(
    items: Iterable[Any],
    call: Call,
    failed: Callable[[BaseException], object],
    *,
    begin: Callable[[int], bool] | None = None,
    report: Report | None = None,
    main: str | None = None,
) -> tuple[list[Any], float]:
    """Call `call` with each item; return the values not reported before and the seconds that they took.

    Args:
        failed: gives what takes the place of a value, from the exception of its item.
        begin: called with the place of an item before it begins; False ends the chunk there.
        report: called every REPORT_EVERY seconds with the values since then and the seconds that they took.
        main: items and values are packed, for a process whose `__main__` has this name. None: they are the objects.
    """
    # Small items cost what this loop costs, so a hook that is not needed is None: cheaper than a call that does nothing
    every = float("inf") if report is None else REPORT_EVERY
    clock = perf_counter
    values: list[Any] = []
    step, start = 0, clock()
    for item in items:
        if begin is not None:
            if not begin(step):
                break
            step += 1
        try:
            if main is None:
                value = call(item)
            else:
                value = call(receive_item(item) if type(item) is tuple else item)
                if type(value) not in SCALARS:
                    value = send_value(value, main)
        except BaseException as error:  # noqa: BLE001  # SystemExit is how this item ended, not the worker
            value = failed(error)
        values.append(value)
        if clock() - start > every:
            cast("Report", report)(values, clock() - start)
            values, start = [], clock()
    return values, clock() - start


def clock_every(timeout: float) -> float:
    """Seconds between two starts of the clock of `task_timeout`.

    Starting it for each of thousands of small items would cost too much, so an item may take this much longer.
    """
    return min(timeout / 20, 1.0)


class ChunkWork:
    """A worker in a process of its own: a kind of jobs (run/kinds.py), each of which is a pickled chunk.

    The object is created with the first chunk. If it has a `close`, that is called when the process is asked to
    (CLOSE), when it exits, or when SIGTERM interrupts an item: then in the time that the main process grants.
    """

    def __init__(self, worker: Callable[..., object], passing: ArgumentPassing, timeout: float | None, main: str):
        self._worker, self._passing, self._timeout, self._main = worker, passing, timeout, main
        self._call: Call | None = None
        self._close: Callable[[], object] | None = None

    def __call__(self, own: bytes) -> bytes:
        """The values of a pickled chunk that were not reported before, and the seconds that they took, pickled.

        Raises what creating the object raises.
        """
        if own == CLOSE:
            return pickle.dumps((self._closed(), 0.0), 5)
        try:
            if self._call is None:
                self._call = self._begun()
            return pickle.dumps(self._done(self._call, cast("list[Sent]", load(own))), 5)
        except _Terminated:
            self._end()

    def _begun(self) -> Call:
        _explain_breakpoint()
        worker = made(self._worker)
        self._close = close_method(worker)
        if self._close is not None:
            import atexit  # here: most workers have nothing to close

            atexit.register(self._close_once)
            signal.signal(signal.SIGTERM, _terminate)
        return calls(worker, self._passing)

    def _done(self, call: Call, items: list[Sent]) -> tuple[list[Sent], float]:
        steps = of_this_job()
        return work_off(
            items, call, self._failed,
            begin=steps.begin if self._timeout is None else _timed(steps.begin, self._timeout),
            report=lambda values, seconds: steps.tell(pickle.dumps((values, seconds), 5)),
            main=self._main,
        )

    def _failed(self, error: BaseException) -> Sent:
        if isinstance(error, _Terminated):
            raise error
        return send_error(error)

    def _end(self) -> NoReturn:
        try:
            self._close_once()
        except BaseException as error:  # noqa: BLE001  # printed, since nobody waits for an answer
            sys.excepthook(type(error), error, error.__traceback__)
        finally:
            from taskproc.run.capture import flush_all  # here: only a terminated worker needs it

            flush_all()
            os._exit(128 + signal.SIGTERM)

    def _closed(self) -> list[Sent]:
        """The exception of `close`, as it is sent back, if it raises one."""
        try:
            self._close_once()
        except BaseException as error:  # noqa: BLE001  # reported by the main process
            return [send_error(error)]
        return []

    def _close_once(self) -> None:
        close, self._close = self._close, None
        if close is not None:
            close()


class ForeignChunkWork(ChunkWork):
    """A worker in a process of an executor, which may outlive the map. It can be neither halted nor timed.

    Nobody can choose which process of an executor takes a job, so none is asked to close: its `close` is called when
    the process ends, or when the process drops this object after many other maps.
    """

    def _begun(self) -> Call:
        worker = made(self._worker)
        close = close_method(worker)
        if close is not None:
            from multiprocessing.util import Finalize  # not atexit, which processes of multiprocessing skip

            Finalize(self, close, exitpriority=0)
        return calls(worker, self._passing)

    def _done(self, call: Call, items: list[Sent]) -> tuple[list[Sent], float]:
        return work_off(items, call, send_error, main=self._main)


def _timed(begin: Callable[[int], bool], timeout: float) -> Callable[[int], bool]:
    """`begin`, and the clock of `task_timeout` started with it where that is due."""
    started = float("-inf")

    def begin_timed(step: int) -> bool:
        nonlocal started
        if not begin(step):
            return False
        if perf_counter() - started > clock_every(timeout):
            begin_clock(timeout)
            started = perf_counter()
        return True

    return begin_timed


class _Terminated(SystemExit):
    """The main process ends this one. Raised in the user's code, so that its `with` blocks are left."""


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not interrupt `close`
    raise _Terminated(128 + number)


def _explain_breakpoint() -> None:
    """Let `breakpoint()` say what to do, unless the user has set a debugger."""
    if sys.breakpointhook is sys.__breakpointhook__ and "PYTHONBREAKPOINT" not in os.environ:
        sys.breakpointhook = _no_breakpoint


def _no_breakpoint(*args: object, **kwargs: object) -> object:
    raise RuntimeError(
        "breakpoint() cannot be used here. A worker process has no terminal: to debug the function, call it in your "
        "own process, without the pool"
    )
