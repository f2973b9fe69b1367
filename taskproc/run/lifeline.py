"""Nothing outlives the main process: a pipe of which only that holds the end to write, and whose end is a death.

Where the kernel can (Linux: F_SETSIG), it kills our process group itself, also while a task holds the interpreter in C
code for minutes. A thread does the same everywhere else, and where somebody who was forked from the main process still
holds the pipe: then the parent's changed process id tells.
"""
from __future__ import annotations

import os
import selectors
import signal
import threading

LOOK_EVERY = 0.5
VARIABLE = "TASKPROC_LIFELINE"


def hold_on(pipe: int, parent: int | None = None) -> None:
    """From now on kill our own process group as soon as `pipe` has no writer, or `parent` is not our parent.

    The caller's process group must be its own, with none in it that shall live on.
    """
    os.set_inheritable(pipe, False)
    _ask_kernel(pipe)
    threading.Thread(target=_watch, args=(pipe, parent), name="taskproc-lifeline", daemon=True).start()


def describe(pipe: int) -> str:
    """What the environment variable says, so that a far end knows whether the descriptor has come along."""
    status = os.fstat(pipe)
    return f"{pipe}:{status.st_dev}:{status.st_ino}"


def hold_on_if_given() -> None:
    """Hold on to the pipe that the environment names, if it came along: through `nice` it does, through `srun` not."""
    description = os.environ.pop(VARIABLE, "")
    number = description.partition(":")[0]
    try:
        if number.isdigit() and describe(int(number)) == description:
            hold_on(int(number))
    except OSError:
        pass  # no such descriptor: a command between us and the main process closed it, or this is another host


def _ask_kernel(pipe: int) -> None:
    import fcntl

    if not hasattr(fcntl, "F_SETSIG"):
        return
    try:
        fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(pipe, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
    except OSError:
        pass  # not in this sandbox: the thread remains


def _watch(pipe: int, parent: int | None) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            ended = bool(selector.select(LOOK_EVERY))
            if ended or (parent is not None and os.getppid() != parent):
                os.killpg(os.getpgrp(), signal.SIGKILL)
