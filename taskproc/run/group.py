"""Processes that lead a group of their own: waited for without being forgotten, and killed with all their children."""
from __future__ import annotations

import os
import subprocess

GRACE = 2.0  # seconds between TERM and KILL


def await_exit(process: subprocess.Popen[bytes]) -> int:
    """Block until it has ended; its exit code, or minus the signal.

    It stays a zombie until `process.wait()`, so that its number, which is that of its group, is not another's yet.
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


def signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to the group, also when its leader is a zombie; nothing happens if nobody is left."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        pass  # macOS says "not permitted" of a group of zombies
