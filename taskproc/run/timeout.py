"""Jobs that may not run for ever: how long is theirs to say, and the clock starts when they say that they begin.

A job with a `timeout` (seconds) calls `begin` as soon as it has all it needs, so that neither a queue nor the import of
its modules counts. Whoever runs jobs in this process has said before whom to tell (`on_begin`).
"""
from __future__ import annotations

import faulthandler
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from taskproc.kernel.model import Failed, Problem
from taskproc.run.group import GRACE, Exit
from taskproc.run.wire import job_file

_tell: Callable[[float], None] | None = None


def timeout_of(job: object) -> float | None:
    """How many seconds `job` may run; None: no limit."""
    seconds: float | None = getattr(job, "timeout", None)
    return seconds


def is_alone(job: object) -> bool:
    """Whether `job` is to have a process that ran nothing before it, and runs nothing after it."""
    alone: bool = getattr(job, "alone", False)
    return alone


def on_begin(tell: Callable[[float], None]) -> None:
    """From now on call `tell(seconds)` when a job with a timeout begins in this process."""
    global _tell  # a fact of the process
    _tell = tell


def begin_timeout(seconds: float) -> None:
    """The job that runs here begins now, and may run so long."""
    if _tell is not None:
        _tell(seconds)


def timed_out(seconds: float, end: Exit | None = None, step: int | None = None, *, hint: str = "") -> Failed:
    """The failure of a job that ran too long; in which of its steps, if it is of many, and what to do about it."""
    text = f"timed out after {seconds:g} s" + (f"\n{hint}" if hint else "")
    if end is None:
        return Failed(Problem("timeout", text), float(seconds))
    return Failed(Problem("timeout", text, exit_code=end.code, memory=end.memory, step=step), float(seconds))


def watch_over(file: Path, seconds: float) -> None:
    """At the far end of a command, beside the job `file`: end our process group when the time is over.

    The near end does the same, but the command may not pass its signals on.
    """
    job_file(file, "began").touch()
    threading.Thread(target=_end_later, args=(file, seconds), name="taskproc-timeout", daemon=True).start()
    # That thread cannot run while C code holds the interpreter; this one is none of the interpreter's
    faulthandler.dump_traceback_later(seconds + 2 * GRACE, exit=True, file=2)


def _end_later(file: Path, seconds: float) -> None:
    time.sleep(seconds)
    job_file(file, "timedout").touch()
    os.killpg(os.getpgrp(), signal.SIGTERM)
    time.sleep(GRACE)
    os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)  # the first process of a container cannot be killed from within
