"""A worker process that is started before it is needed, so that its imports run beside those of the main process."""
from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager

from taskproc.machine import available_cpus, share_of_threads
from taskproc.run.process import Worker
from taskproc.run.setup import Setup

_kept: list[tuple[int, Setup, Worker]] = []  # with the process that may use it, and as what it was started


def start_worker(workers: int | None = None) -> None:
    """Start one of so many workers (default: as ResidentRunner). One that nobody takes ends with this process.

    It is taken only by a process that is as this one is now: change folder, environment or import path later, and it
    is of no use.
    """
    if os.name != "posix" or _kept:
        return
    setup = Setup.here(environ=share_of_threads(workers or available_cpus(), os.environ))
    try:
        _kept.append((os.getpid(), setup, Worker(setup)))
    except OSError:
        return  # whoever needs one tries again, and tells why there is none
    atexit.register(_end)  # once more does no harm


@contextmanager
def started(workers: int | None) -> Iterator[None]:
    """Have one started within the block, and let it go at the end if nobody has taken it."""
    had_one = bool(_kept)
    start_worker(workers)
    try:
        yield
    finally:
        if not had_one:
            _end()


def take(setup: Setup) -> Worker | None:
    """The one that was started, if it fits."""
    if not _kept or _kept[0][:2] != (os.getpid(), setup):
        return None
    return _kept.pop()[2]


def _end() -> None:
    while _kept:
        pid, _, worker = _kept.pop()
        if pid == os.getpid():
            worker.close()
