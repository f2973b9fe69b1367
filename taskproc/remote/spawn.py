"""A thread that begins in time, or an error says that it does not.

`threading.Thread.start` waits until the thread has begun, and does so for ever if that finds no memory for its first
step: whoever must go on whatever happens cannot start threads by that.
"""
from __future__ import annotations

import _thread
import threading
from collections.abc import Callable

_IN_TIME = 1.0  # seconds


class Spawned:
    """A thread that has begun with `work`, and ends with the process at the latest.

    Raises:
        RuntimeError, MemoryError: there is none, and `work` is not called, now or later.
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
        """Wait until it has ended."""
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
