"""The thread that looks for processes which have missed their pings, as long as there are any that promised some."""
from __future__ import annotations

import logging
import threading
import weakref
from functools import partial
from typing import Protocol

from taskproc.remote.spawn import Spawned
from taskproc.run.problem import sentence

logger = logging.getLogger("taskproc")

LONGEST = 60.0  # seconds, after which it looks whether the manager is still there
AGAIN = 1.0     # seconds until the next look, if one failed


class Checked(Protocol):
    """What is looked after."""

    def check(self) -> float | None:
        """Look; seconds until the next look, None: there is nothing left to look for."""
        ...


def start(checked: Checked, bell: threading.Event) -> Spawned:
    """A thread that calls `check` in time; `bell` says that there may be less than was said. It keeps nothing alive.

    RuntimeError or MemoryError: it cannot be started.
    """
    return Spawned(partial(_look, weakref.ref(checked), bell))


def _look(checked: weakref.ref[Checked], bell: threading.Event) -> None:
    while True:
        bell.clear()
        there = checked()
        try:
            seconds = None if there is None else there.check()
        except Exception as error:  # noqa: BLE001  # out of memory, for one: nobody else would look after that
            logger.warning("a look for processes that have missed their pings failed (%s)", sentence(error))
            seconds = AGAIN
        del there
        if seconds is None:
            return
        bell.wait(min(seconds + 0.001, LONGEST))  # a little later: it is over only after that time
