"""How slow this machine is now, measured once a test run; limits that tell a hang from slowness grow with it.

A test never asserts that something is fast. It only gives up waiting, and how long it waits before that is `limit(60)`:
sixty seconds on an idle machine, more on a slow one and on one that is busy with other things.
"""
from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

VARIABLE = "TASKPROC_TESTS_PACE"  # of the environment, so that all processes of a test run share one measurement

# Seconds in which an idle machine of 2026 starts and ends an interpreter on each core
_USUAL = 0.04
_ROUNDS = 5


def limit(seconds: float) -> float:
    """So many seconds, times how much slower than an idle machine this one is."""
    return seconds * pace()


def pace() -> float:
    """How many times longer than on an idle machine things take here: at least 1."""
    return float(os.environ.get(VARIABLE, "1"))


def measure() -> float:
    """Measure the pace, and let it hold in this process and those that it starts; takes 0.5 s on an idle machine."""
    if VARIABLE not in os.environ:
        seconds = statistics.median(_seconds() for _ in range(_ROUNDS))
        os.environ[VARIABLE] = f"{max(1.0, seconds / _USUAL):.1f}"
    return pace()


def _seconds() -> float:
    """How long one interpreter takes, where as many run at once as tests do: two on each core."""
    command = [sys.executable, "-c", "import json, socket"]
    started = time.perf_counter()
    running = [subprocess.Popen(command) for _ in range(2 * (os.cpu_count() or 1))]
    for process in running:
        process.wait()
    return (time.perf_counter() - started) / 2
