"""Processes that lead a group of their own: waited for without being forgotten, and killed with all their children."""
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
LOOK_EVERY = 0.02


@frozen
class Exit:
    """How a process ended.

    Attributes:
        code: its exit code, or minus the signal.
        memory: its peak memory in bytes; None where that is not known. A child that it waited for may have had it.
        above: False if that is only a bound, for the process that started it had had as much before.
    """

    code: int
    memory: int | None = None
    above: bool = True


class Grace:
    """How long what is to end may take: GRACE seconds between TERM and KILL, or until somebody is in a hurry."""

    def __init__(self) -> None:
        self._over = False  # not an Event: a signal handler sets it, and may interrupt who holds the lock of that

    def hurry(self) -> None:
        """No grace from now on."""
        self._over = True

    def wait(self, some: Callable[[float], object], deadline: float) -> bool:
        """Call `some(seconds)`, which waits so long for an end, until it says yes; False if the grace was over first.

        `deadline` is of `time.monotonic`.
        """
        while not (ended := some(0)) and not self._over and (left := deadline - time.monotonic()) > 0:
            if some(min(left, LOOK_EVERY)):
                return True
        return bool(ended)


def await_exit(process: subprocess.Popen[bytes]) -> int:
    """Block until it has ended; its exit code, or minus the signal.

    It stays a zombie until `reap`, so that its number, which is that of its group, is not another's yet.
    """
    if not hasattr(os, "waitid"):
        return process.wait()  # macOS before Python 3.13
    try:
        ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    except ChildProcessError:
        ended = None  # somebody else has waited for it
    if ended is None:
        return process.wait()
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has ended; without reaping it, where that can be (see await_exit)."""
    if process.returncode is not None or not hasattr(os, "waitid"):
        return process.poll() is not None
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True  # it was reaped


def reap(process: subprocess.Popen[bytes], inherited: int | None = None) -> Exit:
    """Wait for its end and forget it; how it ended, and with what peak memory.

    Args:
        inherited: what it had itself measured as its peak when it started (`own_peak`). The kernel begins to count
            with the peak of the process that started it, so only more than this is its own. None: do not tell.
    """
    if process.returncode is not None:
        return Exit(process.returncode)
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except ChildProcessError:
        return Exit(process.wait())  # somebody else has waited for it
    process.returncode = os.waitstatus_to_exitcode(status)
    if inherited is None:
        return Exit(process.returncode)
    memory = in_bytes(usage.ru_maxrss)
    return Exit(process.returncode, memory, memory > inherited)


def own_peak() -> int:
    """The peak memory of this process up to now, as the kernel counts it: in bytes."""
    if sys.platform == "win32":
        return 0
    import resource

    return in_bytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to the group, also when its leader is a zombie; nothing happens if nobody is left."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        pass  # macOS says "not permitted" of a group of zombies


def has_children() -> bool:
    """Whether a child of this process runs. Those that have ended, and nobody waited for, are waited for."""
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return False
    return True


def end_own_group() -> None:
    """Kill this process; with all its children, if it leads a group, and with the daemons that were given to it."""
    kill_emigrants(os.getpid())
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def in_bytes(kernel: int) -> int:
    """A peak memory as the kernel counts it."""
    return kernel if sys.platform == "darwin" else kernel * 1024
