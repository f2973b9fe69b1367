"""To which job a thread belongs: to that of the thread which started it, also when that job has ended.

Python does not tell who started a thread, and most versions give it an empty context. So in processes that do nothing
else but run jobs `Thread.start` notes it, and what is submitted to a pool of threads takes along the job that submits:
such threads may be older than it.
"""
from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any

_job: ContextVar[Any] = ContextVar("taskproc_job", default=None)
_NOTE = "_taskproc_job"


def enter_job(job: Any) -> Token[Any]:
    """From now on this thread belongs to `job`; see `leave_job`."""
    return _job.set(job)


def leave_job(before: Token[Any]) -> None:
    """It belongs again to whom it belonged before."""
    _job.reset(before)


def job_here() -> Any:
    """The job to which this thread belongs; None: to none, as far as that is known."""
    job = _job.get()
    return vars(threading.current_thread()).get(_NOTE) if job is None else job


def follow_threads() -> None:
    """See to it that threads are known, which are started in this process from now on. To be repeated for each job."""
    start: Any = threading.Thread.start
    if not hasattr(start, _NOTE):
        threading.Thread.start = _noting(start)  # type: ignore[method-assign, assignment]
    pools: Any = sys.modules.get("concurrent.futures.thread")  # not imported for this
    if pools is not None and not hasattr(pools.ThreadPoolExecutor.submit, _NOTE):
        pools.ThreadPoolExecutor.submit = _taking_along(pools.ThreadPoolExecutor.submit)


def _noting(start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    @functools.wraps(start)
    def begin_thread(self: threading.Thread) -> None:
        vars(self)[_NOTE] = job_here()
        start(self)

    setattr(begin_thread, _NOTE, None)
    return begin_thread


def _taking_along(submit: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(submit)
    def submit_for_job(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        job = job_here()
        return submit(self, fn if job is None else functools.partial(_call_for, job, fn), *args, **kwargs)

    setattr(submit_for_job, _NOTE, None)
    return submit_for_job


def _call_for(job: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    before = enter_job(job)
    try:
        return fn(*args, **kwargs)
    finally:
        leave_job(before)
