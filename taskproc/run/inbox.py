"""Where the driving thread waits for the first of: an item from any thread, a descriptor, or a deadline.

Any thread may `put`. It wakes the driver through a socket only if the driver sleeps. This is safe because of the order:
`put` appends and then checks whether the driver sleeps; the driver declares that it sleeps and then checks for items.
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
    """An action to be done later, unless it is called off."""

    __slots__ = ("action",)

    def __init__(self, action: Callable[[], None]):
        self.action: Callable[[], None] | None = action

    def call_off(self) -> None:
        """Cancel the action. Idempotent."""
        self.action = None


class Inbox(Generic[T]):
    """Items of many threads for one. All methods but `put` and `ring` belong to the thread that waits."""

    def __init__(self) -> None:
        fill_gaps()  # here: each run makes an inbox before it opens a file or starts a process
        self._items: deque[T] = deque()
        self._taken: list[T] = []
        self._reported = False
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
        """Hand over `item`, from any thread. Never blocks."""
        self._items.append(item)
        if self._asleep:
            try:
                self._button.send(b"!")
            except OSError:
                pass  # the bell rings already, or nobody waits any more

    def ring(self) -> None:
        """End the current wait, or the next one, even without an item. Signal handlers may call this."""
        self._rung = True
        try:
            self._button.send(b"!")
        except OSError:
            pass  # the bell rings already

    def button(self) -> int:
        """Return a descriptor. A byte written to it wakes the driver, who sleeps again if there is no item or ring."""
        return self._button.fileno()

    def call_at(self, when: float, action: Callable[[], None]) -> Alarm:
        """Call `action` within a wait, at or soon after the time `when` of `time.monotonic`. It may `put`."""
        alarm = Alarm(action)
        heappush(self._alarms, (when, next(self._turns), alarm))
        return alarm

    def rest(self, seconds: float) -> None:
        """Watch nothing for the first `seconds` of the next sleep: messages gather, and are read together."""
        self._rest = seconds

    def watch(self, source: int | socket.socket, on_ready: Callable[[], None]) -> None:
        """Call `on_ready` within `wait` whenever `source` can be read. It should read, and may `put`."""
        self._selector.register(source, selectors.EVENT_READ, on_ready)

    def unwatch(self, source: int | socket.socket) -> None:
        """Stop watching `source`, before it is closed. Does nothing if it is not watched."""
        try:
            self._selector.unregister(source)
        except (KeyError, ValueError):
            pass  # not watched, or already closed

    def wait(self, timeout: float | None) -> Sequence[T]:
        """Return all items since the last wait; at least one, unless `timeout` seconds have passed. None: no limit.

        An exception raised here, such as Ctrl-C, passes through. The next wait returns the items that this one did not.
        """
        if self._reported:
            self._taken = []
            self._reported = False
        if not self._items and not self._taken:
            self._sleep(timeout)
        elif len(self._selector.get_map()) > 1 or (self._alarms and self._alarms[0][0] <= time.monotonic()):
            self._look(0)  # or busy threads would starve the watched sources
        # One call in C, in which no signal handler runs: an item is either still there or already taken
        self._taken.extend(map(deque.popleft, repeat(self._items, len(self._items))))
        self._reported = True
        return self._taken

    def close(self) -> None:
        """Close the descriptors. Items put from now on are never received."""
        self._selector.close()
        self._bell.close()
        self._button.close()

    def _sleep(self, timeout: float | None) -> None:
        """Sleep until an item, a ring or the timeout. A watched source that brings no item does not end the sleep."""
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
            # an action before may have unwatched this source, and its descriptor may be reused already
            if self._selector.get_map().get(key.fd) is key:
                cast("Callable[[], Any]", key.data)()
        while self._alarms and self._alarms[0][0] <= time.monotonic():
            action = heappop(self._alarms)[2].action
            if action is not None:
                action()

    def _select(self, timeout: float | None, sleeps: bool) -> list[tuple[selectors.SelectorKey, int]]:
        # Asleep only here: what this thread puts itself, within `_look`, needs no bell
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
            pass  # all is read
