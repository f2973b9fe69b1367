"""Limits of the system that refuse threads, processes and open files: how they are recognized, and the remedy.

A run that has begun continues with what it has: fewer workers do the same work. It is an error only if nothing at all
could begin.
"""
from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from taskproc.errors import CacheError, SystemLimit, TaskprocError
from taskproc.kernel.model import Problem
from taskproc.run.problem import sentence

TRIES, PAUSE = 50, 0.02  # seconds
_NO_THREAD = "can't start new thread"  # as Python says it
_PROCESSES = (
    "allow more threads and processes (ulimit -u, or the limit of the container), or run fewer tasks at once "
    "(max_workers)"
)
_REMEDIES = {
    errno.EMFILE: "allow more open files (ulimit -n), or run fewer tasks at once (max_workers)",
    errno.ENFILE: "the whole machine has too many open files: end programs that use them",
    errno.ENOMEM: "free some memory, or run fewer tasks at once (max_workers)",
    errno.EAGAIN: _PROCESSES,
}
_SIGNS = (_NO_THREAD, "Resource temporarily unavailable", "Too many open files", "Cannot allocate memory")


def is_scarce(error: BaseException | None) -> bool:
    """Return whether it says that a limit of the system is reached, itself or as the cause of one of our errors."""
    if isinstance(error, TaskprocError):
        return is_scarce(error.__cause__)
    if isinstance(error, OSError):
        return error.errno in _REMEDIES
    return isinstance(error, RuntimeError) and _NO_THREAD in str(error)


def names_scarcity(text: str) -> bool:
    """Return whether the last words of a process that could not start name a limit of the system."""
    return any(sign in text for sign in _SIGNS)


def limit_text(what: str, error: BaseException) -> str:
    """Return `what`, the reason, and the remedy."""
    cause = error
    while isinstance(cause, TaskprocError) and cause.__cause__ is not None:
        cause = cause.__cause__
    remedy = _REMEDIES.get(cause.errno or 0, _PROCESSES) if isinstance(cause, OSError) else _PROCESSES
    return f"{what}: {sentence(cause)}. A limit of the system is reached: {remedy}"


def limit_problem(what: str, error: BaseException) -> Problem:
    """Return the same text as a failure."""
    return Problem("limit", limit_text(what, error), error=error)


def was_refused(problem: Problem) -> bool:
    """Return whether a limit of the system refused something in this process."""
    return isinstance(problem.error, BaseException) and is_scarce(problem.error)


def start_thread(thread: threading.Thread) -> None:
    """Start a thread. Raises BlockingIOError, as for a process, if no more are possible."""
    try:
        thread.start()
    except RuntimeError as error:
        if not is_scarce(error):
            raise
        raise BlockingIOError(errno.EAGAIN, _NO_THREAD) from error


def repeated_tries() -> Iterator[bool]:
    """Yield TRIES times within a second, each time whether it is the last: what has ended still counts for a moment."""
    for number in range(TRIES):
        if number:
            time.sleep(PAUSE)
        yield number == TRIES - 1


@contextmanager
def limits_raised() -> Iterator[None]:
    """Raise refusals by the system within the block as SystemLimit."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        is_ours: bool = isinstance(error, TaskprocError) and not isinstance(error, CacheError)
        if is_ours or not is_scarce(error):
            raise  # our other errors explain themselves
        raise SystemLimit(limit_text("the run could not continue", error)) from error
