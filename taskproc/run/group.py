"""Processes that lead their own process group: waited for without being reaped, and killed with all their children."""
from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from taskproc.frozen import frozen
from taskproc.run.keeper import kill_emigrants

if TYPE_CHECKING:
    import subprocess

GRACE = 2.0  # seconds between TERM and KILL
LOOK_EVERY = 0.02  # seconds


@frozen
class Exit:
    """How a process ended.

    Attributes:
        code: its exit code, or minus the signal.
        memory: its peak memory in bytes; None: not known. It may be that of a child that it waited for.
        above: False if `memory` is only an upper bound, because the process that started it had had as much before.
    """

    code: int
    memory: int | None = None
    above: bool = True


class Grace:
    """The time between TERM and KILL: GRACE seconds, or until the user is in a hurry."""

    def __init__(self) -> None:
        self._over = False  # not an Event: a signal handler sets it, and may interrupt a holder of its lock

    def hurry(self) -> None:
        """End the grace now and for all later waits."""
        self._over = True

    def wait(self, await_end: Callable[[float], object], deadline: float) -> bool:
        """Call `await_end(seconds)`, which waits that long for an end, until it returns true. False: the grace is over.

        `deadline` is a time of `time.monotonic`.
        """
        while not (ended := await_end(0)) and not self._over and (left := deadline - time.monotonic()) > 0:
            if await_end(min(left, LOOK_EVERY)):
                return True
        return bool(ended)


def await_exit(process: subprocess.Popen[bytes]) -> int:
    """Block until a process has ended. Return its exit code, or minus the signal.

    It stays a zombie until `reap`, so its pid, which is also that of its group, is not reused yet.
    """
    if not hasattr(os, "waitid"):
        return process.wait()  # macOS before Python 3.13
    try:
        ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    except ChildProcessError:
        ended = None  # other code has waited for it
    if ended is None:
        return process.wait()
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Return whether it has ended, if possible without reaping it (see await_exit)."""
    if process.returncode is not None or not hasattr(os, "waitid"):
        return process.poll() is not None
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True  # it was reaped


def reap(process: subprocess.Popen[bytes], inherited: int | None = None) -> Exit:
    """Wait for the end of a process and reap it. Return how it ended, with its peak memory.

    Args:
        inherited: the peak that it measured itself when it started (`own_peak`). The kernel begins to count with the
            peak of the process that started it, so only more than this is its own. None: do not report memory.
    """
    if process.returncode is not None:
        return Exit(process.returncode)
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except ChildProcessError:
        return Exit(process.wait())  # other code has waited for it
    process.returncode = os.waitstatus_to_exitcode(status)
    if inherited is None:
        return Exit(process.returncode)
    memory = in_bytes(usage.ru_maxrss)
    return Exit(process.returncode, memory, memory > inherited)


def own_peak() -> int:
    """Return the peak memory of this process up to now, in bytes, as the kernel counts it."""
    if sys.platform == "win32":
        return 0
    import resource

    return in_bytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to the group, even if its leader is a zombie. Does nothing if no member is left."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        pass  # macOS says "not permitted" for a group of zombies


def has_children() -> bool:
    """Return whether a child of this process runs. Reap those that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return False
    return True


def end_own_group() -> None:
    """Kill this process; with its group, if it leads one, and with the daemons that became its children."""
    kill_emigrants(os.getpid())
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def in_bytes(kernel: int) -> int:
    """Convert a peak memory from the unit of the kernel."""
    return kernel if sys.platform == "darwin" else kernel * 1024
