"""What a system refuses when a limit is reached: threads, processes, open files. With the remedy.

Whoever has begun something goes on with what it has: fewer workers do the same work. Only where nothing could be begun
at all is it an error.
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
    "raise the number of threads and processes that are allowed (ulimit -u, or that of the container), "
    "or let less run at once (max_workers)"
)
_REMEDIES = {
    errno.EMFILE: "raise the number of open files that are allowed (ulimit -n), or let less run at once (max_workers)",
    errno.ENFILE: "the whole machine has too many open files: end what needs them",
    errno.ENOMEM: "free some memory, or let less run at once (max_workers)",
    errno.EAGAIN: _PROCESSES,
}
_SIGNS = (_NO_THREAD, "Resource temporarily unavailable", "Too many open files", "Cannot allocate memory")


def is_scarce(error: BaseException | None) -> bool:
    """Whether it says that a limit of the system is reached, as such or as the cause of one of ours."""
    if isinstance(error, TaskprocError):
        return is_scarce(error.__cause__)
    if isinstance(error, OSError):
        return error.errno in _REMEDIES
    return isinstance(error, RuntimeError) and _NO_THREAD in str(error)


def names_scarcity(text: str) -> bool:
    """Whether the last words of a process that could not begin are of that kind."""
    return any(sign in text for sign in _SIGNS)


def limit_text(what: str, error: BaseException) -> str:
    """`what`, why, and what to do."""
    known = error
    while isinstance(known, TaskprocError) and known.__cause__ is not None:
        known = known.__cause__
    remedy = _REMEDIES.get(known.errno or 0, _PROCESSES) if isinstance(known, OSError) else _PROCESSES
    return f"{what}: {sentence(known)}. A limit of the system is reached: {remedy}"


def limit_problem(what: str, error: BaseException) -> Problem:
    """The same as the failure of what was to be begun."""
    return Problem("limit", limit_text(what, error), error=error)


def was_refused(problem: Problem) -> bool:
    """Whether something could not be begun for such a reason, in this process."""
    return isinstance(problem.error, BaseException) and is_scarce(problem.error)


def start_thread(thread: threading.Thread) -> None:
    """Start it. Raises BlockingIOError, as for a process, if there can be no more."""
    try:
        thread.start()
    except RuntimeError as error:
        if not is_scarce(error):
            raise
        raise BlockingIOError(errno.EAGAIN, _NO_THREAD) from error


def repeated_tries() -> Iterator[bool]:
    """Some tries within a second, with whether it is the last: what has ended still counts for a moment."""
    for number in range(TRIES):
        if number:
            time.sleep(PAUSE)
        yield number == TRIES - 1


@contextmanager
def limits_raised() -> Iterator[None]:
    """Within the block what the system refuses is raised as SystemLimit."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        is_ours: bool = isinstance(error, TaskprocError) and not isinstance(error, CacheError)
        if is_ours or not is_scarce(error):
            raise  # the others of ours say themselves what they are
        raise SystemLimit(limit_text("the run could not go on", error)) from error
