"""The task manager as an executor of concurrent.futures: what is submitted is run by whoever serves the manager.

Calls are tasks of a private tag, which every worker of `python -m taskproc.remote work` knows; their results bear a tag
of this executor's own, so nobody else gets them. It is a process of the manager like a worker: if it dies, what it has
asked for is dropped.
"""
from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any, ParamSpec, TypeVar

from taskproc.checks import at_least
from taskproc.errors import TaskManagerTermination, TaskprocError, UnknownToManager
from taskproc.kernel.lease import PATIENCE
from taskproc.remote.calls import pack, unpack, unpack_raised
from taskproc.remote.channel import Address
from taskproc.remote.client import connect
from taskproc.remote.requests import CALL
from taskproc.run.pool import FarFuture
from taskproc.run.problem import sentence

P = ParamSpec("P")
R = TypeVar("R")
PERIOD = 15.0  # seconds: the main thread may hold the interpreter for a while
IN_HAND = 64
LOOK_EVERY = 1.0  # seconds, after which it sees that nothing is left to wait for


class RemoteExecutor(Executor):
    """Runs calls on the workers of the task manager at `address`, wherever they are.

    A worker that dies with a call costs nothing: the call is run again by another one. When several have died with it
    (see TaskManager) its future fails with WorkerDied. What is called travels with cloudpickle: functions of the main
    script by value, those of modules by name, so the workers must be able to import these.
    If the manager is gone all futures fail with a BrokenExecutor, and nothing more is taken.

    Args:
        key: the bytes, or the path of a key file.
        max_workers: how many calls those who ask (a run of a graph) should have in hand at once; how many workers
            there are changes, and is not asked.
        period: of its pings, in seconds.
        retry: see `connect`.
    """

    repeats = True  # a call with which a worker has died is run by another one, and the manager counts how often

    def __init__(
        self,
        address: str | Address,
        key: bytes | str | os.PathLike[str] | None,
        *,
        max_workers: int = IN_HAND,
        period: float = PERIOD,
        retry: float = 0.0,
    ):
        self._max_workers = at_least(max_workers, 1, "max_workers")
        self._manager = connect(address, key, retry=retry)
        self._process = self._manager.register_process(period, f"executor, process {os.getpid()}")
        self._reply_tag = f"{CALL}.{os.urandom(8).hex()}"
        self._lock = threading.Condition()
        self._futures: dict[str, FarFuture[Any]] = {}
        self._closed = False
        self._broken: Exception | None = None
        self._over = threading.Event()
        self._collector = threading.Thread(target=self._collect, name="taskproc-executor", daemon=True)
        self._collector.start()
        threading.Thread(target=self._ping, args=(period,), name="taskproc-pings", daemon=True).start()

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Ask for a call. One that cannot be pickled is a future that has failed."""
        future: FarFuture[R] = FarFuture(self._call_off)
        try:
            content = pack((fn, args, kwargs), f"the call of {getattr(fn, '__qualname__', fn)!s}")
        except TaskprocError as error:
            future.set_exception(error)
            return future
        with self._lock:
            if self._broken is not None:
                raise BrokenExecutor(str(self._broken)) from self._broken
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            # Within the lock, for the result may be there before we know its id
            future.reference = self._asked(content)
            self._futures[future.reference] = future
            self._lock.notify_all()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take nothing more; with `cancel_futures` call off what no worker has begun. The manager goes on."""
        with self._lock:
            self._closed = True
            futures = list(self._futures.values())
            self._lock.notify_all()
        if cancel_futures:
            for future in futures:
                future.cancel()
        if wait:
            self._collector.join()

    def _asked(self, content: bytes) -> str:
        try:
            return self._manager.link.add_request(CALL, content, self._process, self._reply_tag)
        except (TaskprocError, OSError) as error:
            raise BrokenExecutor(sentence(error)) from error

    def _call_off(self, future: FarFuture[Any]) -> bool:
        """Whether no worker had begun it, and now none will."""
        if future.done():
            return future.cancelled()
        try:
            called_off = self._manager.cancel_task(future.reference)
        except (TaskprocError, OSError):
            called_off = False  # the collector will see why
        if called_off:
            with self._lock:
                self._futures.pop(future.reference, None)
                self._lock.notify_all()
            future.give_up()
        return future.cancelled()

    def _collect(self) -> None:
        """In a thread: results come in until all have, and no more are asked for."""
        try:
            while self._has_open():
                try:
                    found = self._manager.link.take_result(self._reply_tag, LOOK_EVERY)
                except TimeoutError:
                    continue
                with self._lock:
                    future = self._futures.pop(found[0], None)
                if future is not None:
                    _settle(future, *found)
        except Exception as error:  # noqa: BLE001  # whatever it is, the waiting threads must learn of it
            self._break(error)
        self._over.set()
        self._leave()

    def _has_open(self) -> bool:
        """Wait until there is something to wait for. False: there never will be."""
        with self._lock:
            self._lock.wait_for(lambda: self._futures or self._closed or self._broken)
            return bool(self._futures) and self._broken is None

    def _leave(self) -> None:
        try:
            self._manager.unregister_process(self._process)
        except (TaskprocError, OSError, RuntimeError):
            pass  # it does not know us any more, or is gone
        self._manager.close()

    def _ping(self, period: float) -> None:
        """In a thread: send pings. A failed one is tried again until the process is given up."""
        answered = time.monotonic()
        while not self._over.wait(period):
            asked = time.monotonic()
            try:
                self._manager.ping(self._process)
                answered = asked
            except UnknownToManager as error:
                self._break(error)  # and has dropped what was asked for
                return
            except Exception as error:  # noqa: BLE001  # the collector may have a connection, and would wait for ever
                if time.monotonic() > answered + PATIENCE * period:
                    self._break(error)
                    return

    def _break(self, error: Exception) -> None:
        with self._lock:
            self._broken = error
            futures = list(self._futures.values())
            self._futures.clear()
            self._lock.notify_all()
        for future in futures:
            broken = error if isinstance(error, TaskManagerTermination) else BrokenExecutor(sentence(error))
            broken.__cause__ = None if broken is error else error
            _begin(future)
            future.set_exception(broken)


def _begin(future: FarFuture[Any]) -> None:
    if not future.running():
        future.set_running_or_notify_cancel()


def _settle(
    future: FarFuture[Any], task_id: str, tag: str, content: bytes, raised: tuple[bytes, str] | None
) -> None:
    _begin(future)
    if raised is not None:
        future.set_exception(unpack_raised(*raised))
        return
    try:
        value = unpack(content, "the value of a call")
    except TaskprocError as error:
        future.set_exception(error)
    else:
        future.set_result(value)
