"""A runner for any executor of concurrent.futures, and an executor that is the calling thread itself."""
from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar

from taskproc.kernel.model import Failed, K, Problem, Returned, Ticket
from taskproc.run.inbox import Inbox
from taskproc.run.problem import problem_of, sentence
from taskproc.run.runner import Answer, Ending, Job
from taskproc.run.system_limits import is_scarce, limit_problem

P = ParamSpec("P")
R = TypeVar("R")


class FarFuture(Future[R]):
    """A future of a call that runs elsewhere, where it must be cancelled as well.

    Attributes:
        reference: what names the call there.
    """

    def __init__(self, call_off: Callable[[FarFuture[Any]], bool]):
        super().__init__()
        self.reference: Any = None
        self._call_off = call_off

    def cancel(self) -> bool:
        """Cancel the call as its maker does (`call_off`)."""
        return self._call_off(self)

    def give_up(self) -> bool:
        """Cancel it on this side only. Return False if it runs, is done, or was given up before."""
        if self.cancelled() or not super().cancel():
            return False
        self.set_running_or_notify_cancel()  # wakes those who wait for several futures
        return True


class PoolRunner(Generic[K, Answer]):
    """Runs jobs in an executor that the caller made and closes.

    Attributes:
        is_inline: whether jobs run in the thread that starts them.
    """

    def __init__(self, executor: Executor, inbox: Inbox[Ending[K, Answer]]):
        self._executor = executor
        self._inbox = inbox
        self.is_inline = isinstance(executor, LocalExecutor)
        self._in_threads = isinstance(executor, ThreadPoolExecutor)
        self._futures: set[Future[Answer | Returned]] = set()
        self._capacity: int = workers_of(executor) or os.cpu_count() or 1

    def capacity(self) -> int:
        """Return the number of workers of the executor; if it does not say, the number of processors."""
        return self._capacity

    def start(self, ticket: Ticket[K], job: Job[Answer]) -> None:
        """Submit `job`. If the executor is broken or shut down, that is its ending."""
        if type(self._executor) is LocalExecutor and not self._executor.is_closed:
            self._inbox.put((ticket, _run(job)))  # no future: nobody waits for one
            return
        own_end = _Kept(job) if self._in_threads else None
        try:
            future: Future[Answer | Returned] = self._executor.submit(own_end or job)
        except Exception as error:  # noqa: BLE001  # an executor may raise anything
            if own_end is None or not is_scarce(error) or not getattr(self._executor, "_threads", None):
                self._inbox.put((ticket, _failed(error)))
                if own_end is not None:
                    own_end.future.cancel()
                return
            future = own_end.future  # the threads that it has will run the job
        self._futures.add(future)
        future.add_done_callback(partial(self._ended, ticket))

    def wait(self, timeout: float | None) -> Sequence[Ending[K, Answer]]:
        """Return what has come into the inbox."""
        return self._inbox.wait(timeout)

    def recall(self) -> None:
        """Do nothing: it is never given more jobs than the executor has workers."""

    def stop(self) -> None:
        """Cancel jobs that have not begun. What runs in a thread, or in a process of others, cannot be ended."""
        for future in list(self._futures):
            future.cancel()

    def _ended(self, ticket: Ticket[K], future: Future[Answer | Returned]) -> None:
        self._futures.discard(future)
        answer = outcome_of(future)
        self._inbox.put((ticket, answer))


class _Kept(Generic[Answer]):
    """A job that reports its own end.

    A ThreadPoolExecutor that cannot start another thread raises on `submit`, but leaves the job to the threads it has.

    Attributes:
        future: of the outcome. If it is cancelled, the job does not begin.
    """

    def __init__(self, job: Job[Answer]):
        self._job = job
        self.future: Future[Answer | Returned] = Future()

    def __call__(self) -> Answer | Returned:
        if not self.future.set_running_or_notify_cancel():
            return Returned()
        try:
            outcome = self._job()
        except BaseException as error:
            self.future.set_exception(error)
            raise
        self.future.set_result(outcome)
        return outcome


class LocalExecutor(Executor):
    """Runs each call in the thread that submits it, at once: for debuggers, and for tasks too small to be sent.

    Attributes:
        is_closed: whether it was shut down.
    """

    def __init__(self) -> None:
        self._max_workers = 1
        self.is_closed = False

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Run the call and return its future, which is done. KeyboardInterrupt passes through: it ends the run."""
        if self.is_closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: Future[R] = Future()
        future.set_running_or_notify_cancel()
        try:
            result = fn(*args, **kwargs)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  # SystemExit ends the call, not the program
            future.set_exception(error)
        else:
            future.set_result(result)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Refuse further calls; there is nothing to wait for."""
        self.is_closed = True


def workers_of(executor: Executor | None) -> int | None:
    """Return how many workers an executor says it has; None: it does not say."""
    count = getattr(executor, "_max_workers", None)
    return count if isinstance(count, int) and count > 0 else None


def is_in_process(executor: Executor | None) -> bool:
    """Return whether its jobs need no pickling. Interpreters (3.14) share no objects, though they subclass."""
    if executor is None:
        return sys.platform == "win32"
    threads = isinstance(executor, ThreadPoolExecutor) and type(executor).__name__ != "InterpreterPoolExecutor"
    return threads or isinstance(executor, LocalExecutor)


def _run(job: Job[Answer]) -> Answer | Failed:
    """Run it as LocalExecutor does."""
    try:
        return job()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  # as there
        return _failed(error)


def outcome_of(future: Future[R]) -> R | Failed:
    """Return how the job of a future that is done has ended."""
    if future.cancelled():
        return Failed(Problem("exception", "it was cancelled before it began"))
    error = future.exception()
    return future.result() if error is None else _failed(error)


def _failed(error: BaseException) -> Failed:
    if isinstance(error, BrokenExecutor):
        text = f"a process of the executor died, and with it all its jobs ({sentence(error)})"
        return Failed(Problem("died", text, error=error))
    if is_scarce(error):
        return Failed(limit_problem("the executor could not begin it", error))
    return Failed(problem_of(error, pickled=False))
