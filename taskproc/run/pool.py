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
    """A future of a call that is known elsewhere, where it has to be called off as well.

    Attributes:
        reference: what the call is known by there.
    """

    def __init__(self, call_off: Callable[[FarFuture[Any]], bool]):
        super().__init__()
        self.reference: Any = None
        self._call_off = call_off

    def cancel(self) -> bool:
        """See who made it."""
        return self._call_off(self)

    def give_up(self) -> bool:
        """Cancel it on this side, for those who wait. False: it is running or done, or was given up before."""
        if self.cancelled() or not super().cancel():
            return False
        self.set_running_or_notify_cancel()  # tells those who wait for several futures
        return True


class PoolRunner(Generic[K, Answer]):
    """Runs jobs in an executor that somebody else made, and closes.

    Attributes:
        is_inline: whether they run in the thread that starts them.
    """

    def __init__(self, executor: Executor, inbox: Inbox[Ending[K, Answer]]):
        self._executor = executor
        self._inbox = inbox
        self.is_inline = isinstance(executor, LocalExecutor)
        self._in_threads = isinstance(executor, ThreadPoolExecutor)
        self._futures: set[Future[Answer | Returned]] = set()
        self._capacity: int = workers_of(executor) or os.cpu_count() or 1

    def capacity(self) -> int:
        """As many as the executor has workers; where it does not tell, as many as there are processors."""
        return self._capacity

    def start(self, ticket: Ticket[K], job: Job[Answer]) -> None:
        """Submit `job`. An executor that is broken, or was shut down, is an ending."""
        if type(self._executor) is LocalExecutor and not self._executor.is_closed:
            self._inbox.put((ticket, _run(job)))  # what a future costs is paid by those who wait for it
            return
        kept = _Kept(job) if self._in_threads else None
        try:
            future: Future[Answer | Returned] = self._executor.submit(kept or job)
        except Exception as error:  # noqa: BLE001  # a foreign executor refuses as it likes
            if kept is None or not is_scarce(error) or not getattr(self._executor, "_threads", None):
                self._inbox.put((ticket, _failed(error)))
                if kept is not None:
                    kept.future.cancel()
                return
            future = kept.future  # those threads that there are will do it
        self._futures.add(future)
        future.add_done_callback(partial(self._ended, ticket))

    def wait(self, timeout: float | None) -> Sequence[Ending[K, Answer]]:
        """What has come into the inbox."""
        return self._inbox.wait(timeout)

    def recall(self) -> None:
        """Nothing: it is never given more than the executor has workers."""

    def stop(self) -> None:
        """Call off what has not begun. What runs in a thread, or in a process of somebody else, cannot be ended."""
        for future in list(self._futures):
            future.cancel()

    def _ended(self, ticket: Ticket[K], future: Future[Answer | Returned]) -> None:
        self._futures.discard(future)
        answer = outcome_of(future)
        self._inbox.put((ticket, answer))


class _Kept(Generic[Answer]):
    """A job that says itself how it has ended.

    A ThreadPoolExecutor that can have no more threads raises when it is given a job, and keeps it for those it has.

    Attributes:
        future: of its outcome. Cancel it, and it does not begin.
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
    """Runs each call in the thread that submits it, at once: for debuggers, and for tasks too small to be sent away.

    Attributes:
        is_closed: whether it was shut down.
    """

    def __init__(self) -> None:
        self._max_workers = 1
        self.is_closed = False

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """A future that is done already. KeyboardInterrupt is not kept in it: it ends the whole run."""
        if self.is_closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: Future[R] = Future()
        future.set_running_or_notify_cancel()
        try:
            result = fn(*args, **kwargs)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  # SystemExit too is how the call ended, not the program
            future.set_exception(error)
        else:
            future.set_result(result)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Refuse further calls; there is nothing to wait for."""
        self.is_closed = True


def workers_of(executor: Executor | None) -> int | None:
    """How many workers an executor says that it has."""
    found = getattr(executor, "_max_workers", None)
    return found if isinstance(found, int) and found > 0 else None


def is_in_process(executor: Executor | None) -> bool:
    """Whether its jobs need not travel. Interpreters of one process (3.14) share no objects, though they subclass."""
    if executor is None:
        return sys.platform == "win32"
    threads = isinstance(executor, ThreadPoolExecutor) and type(executor).__name__ != "InterpreterPoolExecutor"
    return threads or isinstance(executor, LocalExecutor)


def _run(job: Job[Answer]) -> Answer | Failed:
    """As LocalExecutor does."""
    try:
        return job()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  # as there
        return _failed(error)


def outcome_of(future: Future[R]) -> R | Failed:
    """How the job of a future that is done has ended."""
    if future.cancelled():
        return Failed(Problem("exception", "it was called off before it began"))
    error = future.exception()
    return future.result() if error is None else _failed(error)


def _failed(error: BaseException) -> Failed:
    if isinstance(error, BrokenExecutor):
        text = f"a process of the executor died, and all that it was given with it ({sentence(error)})"
        return Failed(Problem("died", text, error=error))
    if is_scarce(error):
        return Failed(limit_problem("the executor could not begin it", error))
    return Failed(problem_of(error, pickled=False))
