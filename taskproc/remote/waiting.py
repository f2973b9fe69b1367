"""Threads that wait: for a task or a result of some tags, and for the time when a ping or a worker is missing.

A waiting thread is given its object before it is woken. So a thousand waiting threads cost nothing, threads are served
in the order in which they came, and an object is not lost if its thread stops waiting at the same moment.

`threading.Thread.start` waits until the thread has begun, for ever if the thread finds no memory for its first step. So
code that must continue in any case starts its threads by `StartedThread`.
"""
from __future__ import annotations

import _thread
import logging
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Container, Iterable
from functools import partial
from typing import Generic, Protocol, TypeVar

from taskproc.remote.requests import CALL
from taskproc.run.problem import sentence

T = TypeVar("T")
logger = logging.getLogger("taskproc")

REPORT_AFTER = 3.0  # seconds within which a worker may come, before its absence is reported
LONGEST = 60.0      # seconds after which the watchdog checks whether the manager still exists
AGAIN = 1.0         # seconds until the next check after one that failed
_IN_TIME = 1.0      # seconds in which a new thread must begin


class _Waiter(Generic[T]):
    """A waiting thread. `received` or `error` ends its wait."""

    __slots__ = ("among", "bell", "error", "process", "received")

    def __init__(self, among: Container[str], process: int | None, lock: threading.Lock):
        self.among, self.process = among, process
        self.bell = threading.Condition(lock)
        self.received: T | None = None
        self.error: Exception | None = None


class Desk(Generic[T]):
    """Hands out objects of one kind. All methods are called with `lock` held; `wait` releases it while it waits.

    Args:
        take: removes and returns an object of these tags for a process; None if there is none.
        put_back: undoes a `take`.
    """

    def __init__(
        self,
        lock: threading.Lock,
        take: Callable[[Container[str], int | None], T | None],
        put_back: Callable[[T], object],
    ):
        self._lock, self._take, self._put_back = lock, take, put_back
        self._waiting: dict[_Waiter[T], None] = {}

    def wait(self, among: Container[str], process: int | None, timeout: float | None) -> T:
        """The next object of these tags; raises TimeoutError after `timeout` seconds (None: never)."""
        waiter: _Waiter[T] = _Waiter(among, process, self._lock)
        self._waiting[waiter] = None
        try:
            waiter.bell.wait_for(lambda: waiter.received is not None or waiter.error is not None, timeout)
        except BaseException:
            if waiter.received is not None:
                self._put_back(waiter.received)  # Ctrl-C came at the same moment
            raise
        finally:
            self._waiting.pop(waiter, None)
        if waiter.error is not None:
            raise waiter.error
        if waiter.received is None:
            raise TimeoutError(f"nothing came within {timeout:g} s")
        return waiter.received

    def serve(self) -> None:
        """Hand out the available objects. O(waiting threads)."""
        for waiter in list(self._waiting):
            received = self._take(waiter.among, waiter.process)
            if received is not None:
                waiter.received = received
                self._wake(waiter)

    def dismiss(self, error: Callable[[], Exception], process: int | None = None) -> None:
        """End the wait of all threads, or of those of a process, with `error`."""
        for waiter in list(self._waiting):
            if process is None or waiter.process == process:
                waiter.error = error()
                self._wake(waiter)

    def _wake(self, waiter: _Waiter[T]) -> None:
        del self._waiting[waiter]
        waiter.bell.notify()


class Takers:
    """Knows which tags processes take, by their requests, and reports tags whose tasks wait though nobody takes them.

    The reason may be that a worker was not started, or that a tag is misspelt. A process that gave no id may have ended
    or may come again, so its tags count as taken for good. All methods except `missing` and `reported` are called with
    `lock` held. `now` is the time in seconds of a clock that does not go back.

    Args:
        waiting: gives tag and reply tag of each waiting task.
    """

    def __init__(self, lock: threading.Lock, waiting: Callable[[], Iterable[tuple[str, str]]]):
        self._lock, self._waiting = lock, waiting
        self._taken: dict[int | None, set[Container[str]]] = {}
        self._counts: Counter[Container[str]] = Counter()  # of the processes that take these tags
        # Tags that nobody takes and whose tasks wait, or did: when to report that; None: it was reported
        self._missing: dict[str, float | None] = {}

    def takes(self, process: int | None, among: Container[str]) -> None:
        """Note that a process has asked for a task of these tags."""
        taken = self._taken.setdefault(process, set())
        if among not in taken:
            taken.add(among)
            self._counts[among] += 1
            for tag in [tag for tag in self._missing if tag in among]:
                del self._missing[tag]

    def leaves(self, process: int, now: float) -> bool:
        """Note that a process takes no more tasks; see `waits`. O(tasks) if it was the last that took a tag."""
        taken = self._taken.pop(process, set())
        self._counts.subtract(taken)
        self._counts = +self._counts
        if taken <= self._counts.keys():
            return False
        new = [tag for tag in {tag for tag, _ in self._waiting()} if self.waits(tag, now)]
        return bool(new)

    def waits(self, tag: str, now: float) -> bool:
        """Note that a task of this tag waits; whether this must be reported, at the time of `next_look`."""
        if tag in self._missing or any(tag in among for among in self._counts):
            return False
        self._missing[tag] = now + REPORT_AFTER
        return True

    def next_look(self) -> float | None:
        """The time of the next report; None if there is none."""
        return min((when for when in self._missing.values() if when is not None), default=None)

    def report(self, now: float) -> None:
        """Log the tags that are due, each once until a process takes it."""
        due = [tag for tag, when in self._missing.items() if when is not None and when <= now]
        counts = Counter(tag for tag, _ in self._waiting()) if due else Counter[str]()
        for tag in due:
            if counts[tag]:
                self._missing[tag] = None
                logger.warning("%s", missing_worker_text(tag))
            else:
                del self._missing[tag]  # its tasks were cancelled, or taken by a process that has left

    def missing(self) -> list[str]:
        """Tags of waiting tasks that nobody takes. O(tasks) if there may be some."""
        with self._lock:
            return sorted({tag for tag, _ in self._waiting()} & self._missing.keys() if self._missing else ())

    def reported(self, replies: Container[str]) -> list[str]:
        """Those of `missing` that were reported, and whose results are collected by one of these tags."""
        with self._lock:
            known = {tag for tag, when in self._missing.items() if when is None}
            return sorted({tag for tag, reply in self._waiting() if tag in known and reply in replies} if known else ())


def missing_worker_text(tag: str) -> str:
    """The warning that nobody takes tasks of this tag, with the remedy."""
    has = "" if tag == CALL else f" whose module has a function do_{tag}"
    correct = "" if tag == CALL else ", or correct the tag"
    return (f"tasks with the tag {tag!r} wait, but there is no worker for them\n\n"
            f"hint: start one{has}: `python -m taskproc.remote work`{correct}")


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
