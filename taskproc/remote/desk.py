"""A desk: threads wait at it for something of some tags, and who came first is served first.

What becomes available is handed over, so each thread is woken for something that is its own already: a thousand that
wait cost nothing while they do, and nothing that was handed to one who leaves in that moment is lost.
"""
from __future__ import annotations

import threading
from collections.abc import Callable, Container
from typing import Generic, TypeVar

T = TypeVar("T")


class _Waiter(Generic[T]):
    """Somebody who waits. `found` or `error` ends it."""

    __slots__ = ("among", "bell", "error", "found", "process")

    def __init__(self, among: Container[str], process: int | None, lock: threading.Lock):
        self.among, self.process = among, process
        self.bell = threading.Condition(lock)
        self.found: T | None = None
        self.error: Exception | None = None


class Desk(Generic[T]):
    """Where one kind of thing is got. All verbs are called with `lock` held; `wait` gives it free while it waits.

    Args:
        take: what there is of these tags, for that process; None: nothing.
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
        """What is there now, or comes within `timeout` seconds; None: however long it takes. TimeoutError."""
        waiter: _Waiter[T] = _Waiter(among, process, self._lock)
        self._waiting[waiter] = None
        try:
            waiter.bell.wait_for(lambda: waiter.found is not None or waiter.error is not None, timeout)
        except BaseException:
            if waiter.found is not None:
                self._put_back(waiter.found)  # Ctrl-C came together with it
            raise
        finally:
            self._waiting.pop(waiter, None)
        if waiter.error is not None:
            raise waiter.error
        if waiter.found is None:
            raise TimeoutError(f"nothing came within {timeout:g} s")
        return waiter.found

    def serve(self) -> None:
        """Hand out what there is. O(who waits) if there is something that nobody wants."""
        for waiter in list(self._waiting):
            found = self._take(waiter.among, waiter.process)
            if found is not None:
                waiter.found = found
                self._wake(waiter)

    def dismiss(self, error: Callable[[], Exception], process: int | None = None) -> None:
        """Those who wait, or those of a process, get `error` instead."""
        for waiter in list(self._waiting):
            if process is None or waiter.process == process:
                waiter.error = error()
                self._wake(waiter)

    def _wake(self, waiter: _Waiter[T]) -> None:
        del self._waiting[waiter]
        waiter.bell.notify()
