"""The task manager as an executor of concurrent.futures: submitted calls are run by the workers of the manager.

Calls are tasks with a private tag that every `python -m taskproc.remote work` takes. Their results have a tag that only
this executor uses, so no other process gets them. The executor is registered like a worker: if it dies, its requests
are dropped.
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
LOOK_EVERY = 1.0  # seconds, after which it notices that there is nothing left to wait for


class RemoteExecutor(Executor):
    """Runs calls on the workers of the task manager at `address`, on any machine.

    If a worker dies during a call, another one runs the call again. After several deaths (see TaskManager) the future
    fails with WorkerDied. Functions are sent with cloudpickle: those of the main script by value, those of modules by
    name, so the workers must be able to import these modules.
    If the manager cannot be reached any more, all futures fail with BrokenExecutor, and no more calls are accepted.

    Args:
        address: `HOST:PORT`, or a pair.
        key: the bytes, or the path of a key file.
        max_workers: the number of calls that a run of a graph should submit at once. The number of workers is not
            asked for, because it changes.
        period: seconds between two pings.
        retry: see `connect`.

    Raises:
        OptionError: `max_workers` is below 1, there is no key, or other users can read it.
        ManagerUnreachable: no task manager answers, or it has a different key.
    """

    repeats = True  # the manager runs a call again when its worker has died, and counts the deaths

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
        """Request a call.

        Args:
            fn: called by a worker with `args` and `kwargs`.

        Returns:
            The future of the call; it has failed already if the call cannot be pickled.

        Raises:
            BrokenExecutor: the manager cannot be reached, or has given this executor up.
            RuntimeError: after `shutdown`.
        """
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
            # With the lock held, because the result may come before the id is known
            future.reference = self._asked(content)
            self._futures[future.reference] = future
            self._lock.notify_all()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more calls. The manager goes on.

        Args:
            wait: return only when all calls have ended.
            cancel_futures: cancel the calls that no worker has begun.
        """
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
        """Cancel the call at the manager; False if a worker has begun it."""
        if future.done():
            return future.cancelled()
        try:
            called_off = self._manager.cancel_task(future.reference)
        except (TaskprocError, OSError):
            called_off = False  # the collector will find out why
        if called_off:
            with self._lock:
                self._futures.pop(future.reference, None)
                self._lock.notify_all()
            future.give_up()
        return future.cancelled()

    def _collect(self) -> None:
        """In a thread: collect results until the executor is shut down and all have come."""
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
        except Exception as error:  # noqa: BLE001  # all waiting threads must get the error
            self._break(error)
        self._over.set()
        self._leave()

    def _has_open(self) -> bool:
        """Wait until a call is open. False: there will never be one again."""
        with self._lock:
            self._lock.wait_for(lambda: self._futures or self._closed or self._broken)
            return bool(self._futures) and self._broken is None

    def _leave(self) -> None:
        try:
            self._manager.unregister_process(self._process)
        except (TaskprocError, OSError, RuntimeError):
            pass  # it has given this process up, or cannot be reached
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
                self._break(error)  # the manager has dropped its requests
                return
            except Exception as error:  # noqa: BLE001  # the collector may have a connection and would wait for ever
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
