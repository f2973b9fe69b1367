"""Ctrl-C, TERM and HUP during a run: the first signal asks it to end, the second leaves it no time.

A handler runs between any two instructions, so the first signal only leaves a note. The loop looks at the note before
it starts anything (`check`). If the driving thread itself runs a job, the handler raises KeyboardInterrupt in it. A
signal that comes between the last instruction before a sleep and the sleep would be noticed only after it, so the
interpreter wakes the sleeper through a descriptor (`set_wakeup_fd`).
"""
from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType

NUMBERS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
LOST_AFTER = 1.0  # seconds after which a job that still runs must have lost or caught its KeyboardInterrupt
_in_force: list[Signals] = []


class Signals:
    """A context that handles these signals: only in the main thread, and only signals without another handler.

    Args:
        ask: called by the first signal; press: by each later one. Both run in the handler: they must not lock.
        is_inside: whether the driving thread runs a job now, which must be interrupted.
        enabled: False: leave all signals alone.
        wakeup: a non-blocking descriptor; a byte written to it wakes the driving thread.

    Attributes:
        first: number of the first signal; 0: none came.
    """

    def __init__(
        self,
        ask: Callable[[], None],
        press: Callable[[], None],
        is_inside: Callable[[], bool] = lambda: False,
        *,
        enabled: bool = True,
        wakeup: int = -1,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.first = 0
        self._clock, self._next_raise = clock, -math.inf
        self._enabled, self._wakeup = enabled, wakeup
        self._ask, self._press, self._is_inside = ask, press, is_inside
        self._before: dict[int, object] = {}
        self._wakeup_before: int | None = None
        self._pid = os.getpid()

    def __enter__(self) -> Signals:
        if self._enabled and threading.current_thread() is threading.main_thread():
            for number in NUMBERS:
                handler = signal.getsignal(number)
                if handler in (signal.SIG_DFL, signal.default_int_handler):
                    self._before[number] = handler
                    signal.signal(number, self._note)
            if self._before and self._wakeup >= 0:
                self._wakeup_before = signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
                if self._wakeup_before >= 0:  # an event loop has set it, and this run blocks that anyway
                    signal.set_wakeup_fd(self._wakeup_before)
        if signal.SIGINT in self._before:
            _in_force.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            if signal.getsignal(number) == self._note:  # a task in this thread may have set another one
                signal.signal(number, handler)  # type: ignore[arg-type]  # it is what getsignal returned
        if self._wakeup_before == -1:
            signal.set_wakeup_fd(-1)
        if self in _in_force:
            _in_force.remove(self)

    def ignore(self) -> None:
        """Ignore the signals from now on, even after this context: for a process whose exit code is decided.

        Otherwise a signal that comes while the interpreter ends would kill it, and look like the reason of its end.
        """
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)

    def check(self) -> None:
        """Raise the exception of the first signal, if one came: KeyboardInterrupt, or SystemExit(128 + its number)."""
        if self.first:
            raise KeyboardInterrupt if self.first == signal.SIGINT else SystemExit(128 + self.first)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:
            # A fork of this process, such as a process of the caller's pool, has this handler too
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
            os.kill(os.getpid(), number)
        else:
            report = self._press if self.first else self._ask
            self.first = self.first or number
            report()
            # Raise it again later: Python drops an exception raised in a destructor, and a job may catch it. But not at
            # once: a second exception would hit the handling of the first
            if self._is_inside() and self._clock() >= self._next_raise:
                self._next_raise = self._clock() + LOST_AFTER
                raise KeyboardInterrupt


def is_interrupt() -> bool:
    """Return whether a KeyboardInterrupt in the main thread may come from a signal, and not from the job itself."""
    if _in_force:
        return any(signals.first for signals in _in_force)
    return signal.getsignal(signal.SIGINT) != signal.SIG_IGN  # ignored in the background of a shell: none can come
