"""The inbox of the driving thread."""
from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from jobs import LIMIT

from taskproc.run.inbox import Inbox


@pytest.fixture
def inbox() -> Iterator[Inbox[int]]:
    inbox: Inbox[int] = Inbox()
    yield inbox
    inbox.close()


def test_items_are_told_once_in_their_order(inbox: Inbox[int]) -> None:
    """One wait returns all items since the last one, in order, each once."""
    inbox.put(1)
    inbox.put(2)

    assert [1, 2] == inbox.wait(None)
    assert [] == inbox.wait(0)


def test_what_was_told_stays_with_who_was_told(inbox: Inbox[int]) -> None:
    """A later wait does not change an earlier answer."""
    inbox.put(1)
    told = inbox.wait(0)
    inbox.put(2)
    inbox.wait(0)

    assert [1] == told


def test_nothing_of_many_threads_is_lost(inbox: Inbox[int]) -> None:
    """All items of many threads arrive, whether the driver sleeps or not."""
    threads = [threading.Thread(target=lambda: [inbox.put(number) for number in range(1000)]) for _ in range(4)]
    for thread in threads:
        thread.start()

    told: list[int] = []
    while len(told) < 4000:
        part = inbox.wait(LIMIT)
        assert part
        told += part

    assert sorted([*range(1000)] * 4) == sorted(told)


def test_a_put_wakes_the_sleeper(inbox: Inbox[int]) -> None:
    """A put ends a wait without limit."""

    def put_to_a_sleeper() -> None:
        while not inbox._asleep:
            os.sched_yield()
        inbox.put(1)

    threading.Thread(target=put_to_a_sleeper, daemon=True).start()

    assert [1] == inbox.wait(LIMIT)


def test_a_watched_source_is_read_within_wait(inbox: Inbox[int]) -> None:
    """`on_ready` runs in the waiting thread, and the same wait returns what it puts."""
    here, there = socket.socketpair()
    threads = []

    def on_ready() -> None:
        threads.append(threading.current_thread())
        inbox.put(len(here.recv(10)))

    inbox.watch(here, on_ready)
    there.send(b"abc")

    assert [3] == inbox.wait(LIMIT)
    assert [threading.current_thread()] == threads
    inbox.unwatch(here)
    there.send(b"abc")
    assert [] == inbox.wait(0)
    here.close()
    there.close()


def test_a_source_that_brings_no_item_does_not_end_the_wait(inbox: Inbox[int]) -> None:
    """Half a message does not end the wait."""
    here, there = socket.socketpair()
    parts: list[bytes] = []

    def on_ready() -> None:
        parts.append(here.recv(1))
        if len(parts) == 2:
            inbox.put(7)

    inbox.watch(here, on_ready)
    there.send(b"ab")

    assert [7] == inbox.wait(LIMIT)
    here.close()
    there.close()


def test_a_watched_source_does_not_starve_beside_items(inbox: Inbox[int]) -> None:
    """A wait that finds items also looks at the sources."""
    here, there = socket.socketpair()
    inbox.watch(here, lambda: inbox.put(len(here.recv(10))))
    there.send(b"abc")
    inbox.put(1)

    assert [1, 3] == inbox.wait(None)
    here.close()
    there.close()


def test_a_source_forgotten_by_another_is_not_called(inbox: Inbox[int]) -> None:
    """Of two sources that are ready, the first may close the second."""
    pairs = [socket.socketpair() for _ in range(2)]
    called = []

    def on_ready(index: int) -> None:
        called.append(index)
        other = pairs[1 - index][0]
        inbox.unwatch(other)
        inbox.unwatch(other)
        other.close()
        pairs[index][0].recv(10)
        inbox.put(index)

    for index, (here, there) in enumerate(pairs):
        inbox.watch(here, lambda index=index: on_ready(index))  # type: ignore[misc]
        there.send(b"!")

    assert called == inbox.wait(LIMIT)
    assert 1 == len(called)
    for pair in pairs:
        pair[0].close()
        pair[1].close()


def test_an_interrupt_loses_nothing(inbox: Inbox[int]) -> None:
    """Ctrl-C passes through a wait; the next one returns the item that had come."""
    here, there = socket.socketpair()

    def on_ready() -> None:
        inbox.put(len(here.recv(10)))
        signal.raise_signal(signal.SIGINT)

    inbox.watch(here, on_ready)
    there.send(b"abc")

    with pytest.raises(KeyboardInterrupt):
        inbox.wait(LIMIT)
    assert [3] == inbox.wait(0)
    here.close()
    there.close()


def test_an_interrupt_ends_a_wait_without_bound(inbox: Inbox[int]) -> None:
    """Ctrl-C ends a wait on an empty inbox, and a later put arrives."""
    pid = os.getpid()

    with pytest.raises(KeyboardInterrupt):  # the signal may come before the wait begins
        threading.Thread(target=os.kill, args=(pid, signal.SIGINT)).start()
        inbox.wait(None)
    inbox.put(1)

    assert [1] == inbox.wait(0)


def test_a_put_after_close_is_harmless() -> None:
    """A late thread may put into a closed inbox."""
    inbox: Inbox[int] = Inbox()
    inbox.close()
    inbox.put(1)

    assert inbox._button.fileno() == -1


def test_an_alarm_goes_off_within_a_wait(inbox: Inbox[int]) -> None:
    """Alarms go off in the order of their times, and what they put ends the wait."""
    now = time.monotonic()
    inbox.call_at(now + 0.02, lambda: inbox.put(2))
    inbox.call_at(now + 0.01, lambda: inbox.put(1))

    found = [*inbox.wait(None)]
    assert [1, 2] == (found if len(found) == 2 else [*found, *inbox.wait(None)]), "both at once if we come late"


def test_an_alarm_that_is_called_off_is_silent(inbox: Inbox[int]) -> None:
    """A cancelled alarm never goes off, even if it is late."""
    inbox.call_at(0.0, lambda: inbox.put(1)).call_off()

    assert [] == inbox.wait(0)


def test_an_alarm_is_heard_beside_a_busy_thread(inbox: Inbox[int]) -> None:
    """An alarm goes off even if there is always an item, and no need to sleep."""
    inbox.call_at(0.0, lambda: inbox.put(2))
    inbox.put(1)

    assert [1, 2] == [*inbox.wait(0)]


def test_a_ring_ends_the_wait(inbox: Inbox[int]) -> None:
    """A ring ends the current wait, or the next one, but only one."""
    inbox.ring()
    inbox.call_at(time.monotonic() + 0.01, lambda: inbox.put(1))

    assert [] == inbox.wait(None)
    assert [1] == inbox.wait(None)


def test_a_signal_handler_may_ring(inbox: Inbox[int]) -> None:
    """A signal handler may ring while the driver sleeps."""
    before = signal.signal(signal.SIGALRM, lambda *_: inbox.ring())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        assert [] == inbox.wait(None)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_rest_comes_before_a_sleep_and_once(inbox: Inbox[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A rest comes once before a sleep, gathers items, and is skipped if there is one."""
    rests: list[float] = []
    monkeypatch.setattr(time, "sleep", lambda seconds: (rests.append(seconds), inbox.put(2), inbox.put(3)))
    inbox.rest(0.5)
    inbox.put(1)
    assert ([1], []) == (inbox.wait(None), rests)

    assert ([2, 3], [0.5]) == (inbox.wait(None), rests)
    inbox.call_at(0.0, lambda: inbox.put(4))
    assert ([4], [0.5]) == (inbox.wait(None), rests)
