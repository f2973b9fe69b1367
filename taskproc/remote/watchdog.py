"""The thread that looks for processes which have missed their pings, as long as there are any that promised some."""
from __future__ import annotations

import threading
import weakref
from typing import Protocol

LONGEST = 60.0  # seconds, after which it looks whether the manager is still there


class Checked(Protocol):
    """What is looked after."""

    def check(self) -> float | None:
        """Look; seconds until the next look, None: there is nothing left to look for."""
        ...


def start(checked: Checked, bell: threading.Event) -> threading.Thread:
    """A thread that calls `check` in time; `bell` says that there may be less than was said. It keeps nothing alive."""
    thread = threading.Thread(target=_look, args=(weakref.ref(checked), bell), name="taskproc-watchdog", daemon=True)
    thread.start()
    return thread


def _look(checked: weakref.ref[Checked], bell: threading.Event) -> None:
    while True:
        bell.clear()
        there = checked()
        seconds = None if there is None else there.check()
        del there
        if seconds is None:
            return
        bell.wait(min(seconds + 0.001, LONGEST))  # a little later: it is over only after that time
