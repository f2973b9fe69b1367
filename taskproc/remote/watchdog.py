"""The thread that looks for missing pings, while there are processes that promised some; and how threads are started.

`threading.Thread.start` waits until the thread has begun, for ever if the thread finds no memory for its first step. So
code that must continue in any case starts its threads by `StartedThread`.
"""
from __future__ import annotations

import _thread
import logging
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Protocol

from taskproc.run.problem import sentence

logger = logging.getLogger("taskproc")

LONGEST = 60.0  # seconds after which it looks whether the manager still exists
AGAIN = 1.0     # seconds until the next look after one that failed
_IN_TIME = 1.0  # seconds


class Checked(Protocol):
    """The object that is checked."""

    def check(self) -> float | None:
        """Look for missing pings; seconds until the next look, None if there is nothing left to look for."""
        ...


def start_watchdog(checked: Checked, bell: threading.Event) -> StartedThread:
    """Start a thread that calls `check` in time. It does not keep `checked` alive.

    Args:
        bell: set to call `check` before the time that it returned.

    Raises:
        RuntimeError, MemoryError: the thread cannot be started.
    """
    return StartedThread(partial(_look, weakref.ref(checked), bell))


def _look(checked: weakref.ref[Checked], bell: threading.Event) -> None:
    while True:
        bell.clear()
        manager = checked()
        try:
            seconds = None if manager is None else manager.check()
        except Exception as error:  # noqa: BLE001  # such as out of memory: nobody else would look
            logger.warning("looking for missing pings failed, and is tried again (%s)", sentence(error))
            seconds = AGAIN
        del manager
        if seconds is None:
            return
        bell.wait(min(seconds + 0.001, LONGEST))  # a little later, because a period ends only after that time


class StartedThread:
    """A daemon thread that has begun to run `work`.

    Raises:
        RuntimeError, MemoryError: the thread cannot be started; `work` is not called, now or later.
    """

    def __init__(self, work: Callable[[], object]):
        self._work = work
        self._begun, self._ended = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._is_late = False
        _thread.start_new_thread(self._run, ())
        if not self._begun.wait(_IN_TIME):
            with self._lock:
                self._is_late = not self._begun.is_set()
            if self._is_late:
                raise RuntimeError("can't start new thread: it did not begin in time")

    def join(self) -> None:
        """Wait until the thread has ended."""
        self._ended.wait()

    def _run(self) -> None:
        with self._lock:
            if self._is_late:
                return
            self._begun.set()
        try:
            self._work()
        finally:
            self._ended.set()
