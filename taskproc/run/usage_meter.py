"""What a job used: processor time, and the peak memory of its process while it ran.

The kernel counts the peak of a process from its beginning. In a process that runs many jobs, a peak is certainly that
of one job only if it rose while the job ran, or if nothing larger came before. So in processes that only run jobs, the
peak is set back to the present size before a job, if it has risen: writing "5" to /proc/self/clear_refs does that on
Linux. In a process of the user it is not set back, since the user's code may read it.

The peak of children that have ended cannot be set back, so it counts only where it rose. In threads, the memory of
other jobs is in the peak as well. Wherever the peak may be another's, it is None.
"""
from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from taskproc.run.group import in_bytes

if sys.platform != "win32":
    from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

_SLACK = (1 << 20) // in_bytes(1)  # by which a peak may have risen and still counts as set back: 1 MiB
_SHORT = 0.01  # seconds of a job after which no file is read
_CPU, _SYSTEM, _PEAK, _COUNT, _FAULTS = 0, 1, 2, 3, 6  # places in what getrusage returns


class _Start(NamedTuple):
    """The peak with which a job starts, and whether it is the size of the process at that time.

    Attributes:
        process: for which this holds; a fork has a peak of its own.
        most: up to this peak, nothing has to be set back.
    """

    process: int
    most: float
    is_known: bool


_start = _Start(0, -1, False)
_main = threading.main_thread().ident
_worker: Callable[[], str] | None = None
_name = ""  # of the worker, once it was asked for


def work_as(name: Callable[[], str]) -> None:
    """From now on jobs in this process are reported to have run in the worker of this name."""
    global _worker, _name  # a fact of the process
    _worker, _name = name, ""


def worker_name(*, is_away: bool, captures: bool) -> str:
    """Where a job runs: the name by `work_as`; else `executor`, `thread` or `inline`.

    Args:
        is_away: whether this is not the process that drives the run.
        captures: False for a job that runs in the driving thread.
    """
    if is_away:
        return _name or _known_name()
    return "thread" if captures else "inline"


def _known_name() -> str:
    global _name
    if not _name:
        _name = "executor" if _worker is None else _worker()
    return _name


# The usage of children and of this process before a job, and whether the peak with which the job starts is the size of
# the process; in a thread that runs beside others, the processor time of the thread, None and False
Begin = tuple[Any, Any, bool]


def begin_usage(resets: bool) -> Begin:
    """What was used before the job that begins now. `resets`: whether the peak of this process may be set back."""
    if sys.platform == "win32" or threading.get_ident() != _main:
        return time.thread_time(), None, False
    children, before = getrusage(RUSAGE_CHILDREN), getrusage(RUSAGE_SELF)
    if not resets:
        return children, before, False
    if before[_PEAK] > _start.most or _start.process != os.getpid():
        before = _set_back()
    return children, before, _start.is_known


def usage_since(begin: Begin, seconds: float) -> tuple[float, int | None]:
    """Seconds of processor time, children that have ended included, and the peak memory in bytes since `begin`.

    Args:
        seconds: for which the job has run.
    """
    children_before, before, is_known = begin
    if before is None:
        return time.thread_time() - children_before, None
    after: Any = getrusage(RUSAGE_SELF)
    children: Any = getrusage(RUSAGE_CHILDREN)
    user, system, peak = after[:_COUNT]
    user_before, system_before, peak_before = before[:_COUNT]
    cpu: float = user + system - user_before - system_before
    if seconds >= _SHORT and is_known:
        _compare(peak_before)
    is_known = is_known or peak > peak_before
    if children[_FAULTS] != children_before[_FAULTS]:  # some have ended
        was = children_before
        cpu += children[_CPU] + children[_SYSTEM] - was[_CPU] - was[_SYSTEM]
        # A child begins with the peak of this process, so only a higher one is its own
        if children[_PEAK] > peak:
            is_known = children[_PEAK] > was[_PEAK]
            peak = children[_PEAK]
    return cpu, in_bytes(peak) if is_known else None


def _set_back() -> Any:
    """Set the peak of this process back to its present size, if that is possible. Returns its usage now."""
    global _start  # a fact of the process
    process = os.getpid()
    try:
        handle = os.open("/proc/self/clear_refs", os.O_WRONLY)
        try:
            os.write(handle, b"5")
        finally:
            os.close(handle)
        usage: Any = getrusage(RUSAGE_SELF)
        # It may start with the peak of the process that started it, which cannot be set back
        _start = _Start(process, usage[_PEAK] + _SLACK, usage[_PEAK] <= _size() + _SLACK)
    except OSError:
        usage = getrusage(RUSAGE_SELF)
        _start = _Start(process, float("inf"), False)
    return usage


def _compare(peak: int) -> None:
    """If the process is smaller than at its last start by now, set the peak back before the next job."""
    global _start
    try:
        if _size() < peak - 2 * _SLACK:
            _start = _Start(0, -1, False)
    except OSError:
        pass  # it was readable before: the system allows no more files, and this only makes the next figure exact


def _size() -> int:
    """The present size of this process in memory, in the unit of getrusage."""
    handle = os.open("/proc/self/statm", os.O_RDONLY)
    try:
        pages = int(os.read(handle, 100).split()[1])
    finally:
        os.close(handle)
    return pages * os.sysconf("SC_PAGE_SIZE") // in_bytes(1)
