"""Nothing outlives the main process: a pipe of which only that holds the end to write, and whose end is a death.

A process of somebody else's pool has no such pipe. It follows the main process by its number, see `Main`.

Where the kernel can (Linux: F_SETSIG), it kills our process group itself, also while a task holds the interpreter in C
code for minutes. A thread does the same everywhere else, and where somebody who was forked from the main process still
holds the pipe: then the parent's changed process id tells.
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

LOOK_EVERY = 0.5
VARIABLE = "TASKPROC_LIFELINE"


def hold_on(pipe: int, parent: int | None = None) -> None:
    """From now on kill our own process group as soon as `pipe` has no writer, or `parent` is not our parent.

    The caller's process group must be its own, with no process in it that must live on.
    """
    os.set_inheritable(pipe, False)
    tie(pipe, os.getpgrp())
    watch = threading.Thread(target=_watch, args=(pipe, parent), name="taskproc-lifeline", daemon=True)
    try:
        watch.start()
    except RuntimeError:  # there can be no more threads
        if not can_tie():
            raise


def describe(pipe: int) -> str:
    """What the environment variable says, so that a far end knows whether the descriptor has come along."""
    status = os.fstat(pipe)
    return f"{pipe}:{status.st_dev}:{status.st_ino}"


def hold_on_if_given() -> bool:
    """Hold on to the pipe that the environment names, if it came along: through `nice` it does, through `srun` not."""
    description = os.environ.pop(VARIABLE, "")
    number = description.partition(":")[0]
    try:
        if number.isdigit() and describe(int(number)) == description:
            hold_on(int(number))
            return True
    except OSError:
        pass  # no such descriptor: a command between us and the main process closed it, or this is another host
    return False


@frozen
class Main:
    """The main process of a run, as others know it.

    Attributes:
        birth: when it was started, in the kernel's own count, which tells it from a later one with its number.
        machine: where these hold; empty where that is unknown, and then nobody follows.
    """

    pid: int
    birth: str
    machine: str

    @classmethod
    def here(cls) -> Main:
        """This process."""
        return cls(os.getpid(), birth_of(os.getpid()) or "", realm())

    def follow(self) -> None:
        """Die, at once or later, as soon as it is dead. Does nothing on another machine; cheap when called again."""
        if not this_process.serves_many and self.machine and self.machine == realm() and self.pid != os.getpid():
            _follow(self, os.getpid())


@functools.cache
def _follow(main: Main, follower: int) -> None:
    """Once a process: its number is given because a fork would inherit that this was called, but not the thread."""
    try:
        death = os.pidfd_open(main.pid) if hasattr(os, "pidfd_open") else None
    except OSError:
        death = None  # it is gone, or the kernel is old
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
    """Whether the kernel is one that `tie` can ask."""
    import fcntl

    return hasattr(fcntl, "F_SETSIG")


def tie(pipe: int, group: int) -> None:
    """Ask the kernel to kill a process group as soon as `pipe` has no writer. It must be of our user.

    It does while somebody holds this end of the pipe, who need not know what it is: a program that was started
    with it. Does nothing where the kernel cannot.
    """
    if not can_tie():
        return
    import fcntl

    try:
        fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(pipe, fcntl.F_SETOWN, -group)
        fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
    except OSError:
        pass  # not in this sandbox: who can have a thread to watch has one


def _watch(pipe: int, parent: int | None) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            ended = bool(selector.select(LOOK_EVERY))
            if ended or (parent is not None and os.getppid() != parent):
                os.killpg(os.getpgrp(), signal.SIGKILL)
