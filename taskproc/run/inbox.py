"""Where the driving thread waits for whatever comes first: an ending from any thread, a descriptor, or an hour.

Any thread may `put`; a wake-up through a socket is paid only while the driver is asleep. The order of the two steps is
what makes that safe: `put` appends and then looks whether the driver sleeps, the driver says that it sleeps and then
looks whether there is something.
"""
from __future__ import annotations

import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count, repeat
from typing import Any, Generic, TypeVar, cast

from taskproc.streams import fill_gaps

T = TypeVar("T")


class Alarm:
    """Something to be done later, unless it is called off."""

    __slots__ = ("action",)

    def __init__(self, action: Callable[[], None]):
        self.action: Callable[[], None] | None = action

    def call_off(self) -> None:
        """It is not to be done any more. Idempotent."""
        self.action = None


class Inbox(Generic[T]):
    """Items of many threads for one. All but `put` and `ring` belongs to the thread that waits."""

    def __init__(self) -> None:
        fill_gaps()  # here: each run begins with one of these, before it opens a file or starts a process
        self._items: deque[T] = deque()
        self._taken: list[T] = []
        self._told = False
        self._asleep = False
        self._rung = False
        self._rest = 0.0
        self._alarms: list[tuple[float, int, Alarm]] = []
        self._turns = count()
        self._selector = selectors.DefaultSelector()
        self._bell, self._button = socket.socketpair()
        self._bell.setblocking(False)
        self._button.setblocking(False)
        self._selector.register(self._bell, selectors.EVENT_READ, self._silence)

    def put(self, item: T) -> None:
        """Hand over `item`, from any thread; never blocks."""
        self._items.append(item)
        if self._asleep:
            try:
                self._button.send(b"!")
            except OSError:
                pass  # the bell is ringing already, or nobody waits here any more

    def ring(self) -> None:
        """End the wait that is on, or the next one, though there is no item. Signal handlers may call it."""
        self._rung = True
        try:
            self._button.send(b"!")
        except OSError:
            pass  # the bell is ringing already

    def button(self) -> int:
        """The descriptor through which a byte wakes the sleeper, who sleeps on if there is no item and no ring."""
        return self._button.fileno()

    def call_at(self, when: float, action: Callable[[], None]) -> Alarm:
        """Call `action` within a wait, at the time `when` of `time.monotonic` or soon after; it may `put`."""
        alarm = Alarm(action)
        heappush(self._alarms, (when, next(self._turns), alarm))
        return alarm

    def rest(self, seconds: float) -> None:
        """In the next sleep look at nothing for so long, unless there is an item: what comes is read at one go then."""
        self._rest = seconds

    def watch(self, source: int | socket.socket, on_ready: Callable[[], None]) -> None:
        """From now on call `on_ready` within `wait` whenever `source` can be read; it should read, and may `put`."""
        self._selector.register(source, selectors.EVENT_READ, on_ready)

    def unwatch(self, source: int | socket.socket) -> None:
        """Forget `source`, before it is closed. Nothing happens if it is not watched."""
        try:
            self._selector.unregister(source)
        except (KeyError, ValueError):
            pass  # not watched, or closed and thereby forgotten

    def wait(self, timeout: float | None) -> Sequence[T]:
        """All items that came since the last wait, at least one unless `timeout` seconds passed. None: no bound.

        An exception that falls in here, such as Ctrl-C, passes through; the next wait tells what this one did not.
        """
        if self._told:
            self._taken = []
            self._told = False
        if not self._items and not self._taken:
            self._sleep(timeout)
        elif len(self._selector.get_map()) > 1 or (self._alarms and self._alarms[0][0] <= time.monotonic()):
            self._look(0)  # or a watched source would starve beside a busy thread
        # One call in C, in which no signal handler runs: an item is either still there or already taken, never between.
        self._taken.extend(map(deque.popleft, repeat(self._items, len(self._items))))
        self._told = True
        return self._taken

    def close(self) -> None:
        """Give the descriptors back. What is put from now on is never received."""
        self._selector.close()
        self._bell.close()
        self._button.close()

    def _sleep(self, timeout: float | None) -> None:
        """Until there is an item, a ring, or the time is over; a watched source that brings no item does not end it."""
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            while not self._items and not self._rung:
                if self._rest:
                    time.sleep(self._rest)
                    self._rest = 0.0
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                self._look(left, sleeps=True)
                if left == 0:
                    return
        finally:
            self._rung = False

    def _look(self, timeout: float | None, *, sleeps: bool = False) -> None:
        if self._alarms:
            until = max(0.0, self._alarms[0][0] - time.monotonic())
            timeout = until if timeout is None else min(timeout, until)
        for key, _ in self._select(timeout, sleeps):
            # one that was called before may have forgotten this one, and its number may be another's already
            if self._selector.get_map().get(key.fd) is key:
                cast("Callable[[], Any]", key.data)()
        while self._alarms and self._alarms[0][0] <= time.monotonic():
            action = heappop(self._alarms)[2].action
            if action is not None:
                action()

    def _select(self, timeout: float | None, sleeps: bool) -> list[tuple[selectors.SelectorKey, int]]:
        # Only here: what we put ourselves, in answer to what came, needs no bell
        self._asleep = sleeps
        try:
            return self._selector.select(0 if sleeps and (self._items or self._rung) else timeout)
        finally:
            self._asleep = False

    def _silence(self) -> None:
        try:
            while self._bell.recv(4096):
                pass
        except BlockingIOError:
            pass  # read to its end
