"""Nothing outlives the main process: it alone holds the writing end of a pipe, whose end of file is its death.

A process of another executor has no such pipe. It follows the main process by its pid; see `Main`.

If the kernel can (Linux: F_SETSIG), it kills our process group itself, even while a task holds the interpreter in C
code for minutes. A thread does the same on other systems, and also if a fork of the main process still holds the pipe:
then our parent's pid has changed.
"""
from __future__ import annotations

import functools
import os
import selectors
import signal
import threading

from taskproc.frozen import frozen
from taskproc.machine import birth_of, realm
from taskproc.run.far_end import this_process
from taskproc.run.group import end_own_group

LOOK_EVERY = 0.5  # seconds
VARIABLE = "TASKPROC_LIFELINE"


def hold_on(pipe: int, parent: int | None = None) -> None:
    """Kill our own process group as soon as `pipe` has no writer, or `parent` is not our parent any more.

    The process group must be ours, and no process in it may need to survive.
    """
    os.set_inheritable(pipe, False)
    tie(pipe, os.getpgrp())
    watch = threading.Thread(target=_watch, args=(pipe, parent), name="taskproc-lifeline", daemon=True)
    try:
        watch.start()
    except RuntimeError:  # no more threads are possible
        if not can_tie():
            raise


def describe(pipe: int) -> str:
    """Return the text of the environment variable by which a far end recognizes the descriptor."""
    status = os.fstat(pipe)
    return f"{pipe}:{status.st_dev}:{status.st_ino}"


def hold_on_if_given() -> bool:
    """Hold on to the pipe that the environment names, if we inherited it: `nice` passes it on, `srun` does not."""
    description = os.environ.pop(VARIABLE, "")
    number = description.partition(":")[0]
    try:
        if number.isdigit() and describe(int(number)) == description:
            hold_on(int(number))
            return True
    except OSError:
        pass  # no such descriptor: a command in between closed it, or this is another host
    return False


@frozen
class Main:
    """The main process of a run, as other processes know it.

    Attributes:
        birth: its start time as the kernel counts, which distinguishes it from a later process with its pid.
        machine: where `pid` and `birth` are valid; empty: unknown, and nobody follows.
    """

    pid: int
    birth: str
    machine: str

    @classmethod
    def here(cls) -> Main:
        """Return this process."""
        return cls(os.getpid(), birth_of(os.getpid()) or "", realm())

    def follow(self) -> None:
        """Die as soon as the main process is dead. Does nothing on another machine; cheap when called again."""
        if not this_process.serves_many and self.machine and self.machine == realm() and self.pid != os.getpid():
            _follow(self, os.getpid())


@functools.cache
def _follow(main: Main, follower: int) -> None:
    """Follow, once per process: `follower` is an argument because a fork inherits the cache, but not the thread."""
    try:
        death = os.pidfd_open(main.pid) if hasattr(os, "pidfd_open") else None
    except OSError:
        death = None  # the process is gone, or the kernel is old
    if birth_of(main.pid) != main.birth:
        end_own_group()
    if death is not None:
        threading.Thread(target=_await_death, args=(death,), name="taskproc-lifeline", daemon=True).start()


def _await_death(descriptor: int) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while not selector.select():
            pass
    end_own_group()


def can_tie() -> bool:
    """Return whether the kernel supports `tie`."""
    import fcntl

    return hasattr(fcntl, "F_SETSIG")


def tie(pipe: int, group: int) -> None:
    """Ask the kernel to kill a process group of our user as soon as `pipe` has no writer.

    This works while any process holds this end of the pipe, such as a program that inherited it and does not know it.
    Does nothing if the kernel cannot.
    """
    if not can_tie():
        return
    import fcntl

    try:
        fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(pipe, fcntl.F_SETOWN, -group)
        fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
    except OSError:
        pass  # not in this sandbox: a thread watches, if one can start


def _watch(pipe: int, parent: int | None) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            ended = bool(selector.select(LOOK_EVERY))
            if ended or (parent is not None and os.getppid() != parent):
                os.killpg(os.getpgrp(), signal.SIGKILL)
