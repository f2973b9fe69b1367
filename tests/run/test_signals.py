"""Signals during a run: the note, the handlers, and what is left alone."""
from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from taskproc.run.signals import LOST_AFTER, NUMBERS, Signals, is_interrupt

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The handlers of a program that has set none, put back after the test."""
    before = {number: signal.getsignal(number) for number in NUMBERS}
    for number in NUMBERS:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Calls(list[str]):
    """The calls, in order."""

    def signals(self, **options: Any) -> Signals:
        return Signals(lambda: self.append("ask"), lambda: self.append("press"), **options)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_first_asks_and_each_further_one_presses(number: signal.Signals) -> None:
    """The first signal asks and each later one presses; nothing is raised where it arrives."""
    calls = Calls()
    with calls.signals() as signals:
        signal.raise_signal(number)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(number)

    assert ["ask", "press", "press"] == calls
    assert number == signals.first


ENDS = [(2, KeyboardInterrupt, None), (15, SystemExit, 143), (1, SystemExit, 129)]


@pytest.mark.parametrize(("number", "error", "code"), ENDS)
def test_the_check_raises_what_it_stands_for(number: int, error: type[BaseException], code: int | None) -> None:
    """For Ctrl-C, `check` raises KeyboardInterrupt, otherwise the exit code that a shell would give."""
    with Calls().signals() as signals:
        signals.check()
        signal.raise_signal(number)
        with pytest.raises(error) as caught:
            signals.check()

    assert code == getattr(caught.value, "code", None)


def test_handlers_are_put_back() -> None:
    """Handlers are put back, also default ones, but not over one that was set meanwhile."""
    with Calls().signals():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    kept = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert [signal.default_int_handler, signal.SIG_DFL, signal.SIG_IGN] == kept


def test_who_is_about_to_end_ignores_them() -> None:
    """`ignore` holds after the context: earlier handlers would change the exit code."""
    calls = Calls()
    with calls.signals() as signals:
        signals.ignore()

    for number in NUMBERS:
        signal.raise_signal(number)
    assert [] == calls


def test_what_others_have_claimed_is_left_alone() -> None:
    """A handler of the program and an ignored signal are left alone."""
    heard: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with Calls().signals() as signals:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)

    assert ([signal.SIGTERM], 0) == (heard, signals.first)


@pytest.mark.parametrize("enabled", [True, False])
def test_only_the_main_thread_sets_handlers(enabled: bool) -> None:
    """Another thread sets no handlers: it cannot, and a run inside a task must not."""
    seen: list[object] = []

    def look() -> None:
        with Calls().signals(enabled=enabled):
            seen.append(signal.getsignal(signal.SIGTERM))

    if enabled:
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    else:
        look()

    assert [signal.SIG_DFL] == seen


def test_a_job_in_the_driving_thread_is_broken_off() -> None:
    """The first signal interrupts a job in the driving thread."""
    with Calls().signals(is_inside=lambda: True) as signals, pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)

    assert signal.SIGTERM == signals.first


def test_a_job_that_lost_the_first_interrupt_gets_the_next() -> None:
    """A job that lost its interrupt gets another, but not while it handles the first."""
    calls, now = Calls(), [0.0]
    with calls.signals(is_inside=lambda: True, clock=lambda: now[0]):
        for now[0] in (0.0, LOST_AFTER):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    assert ["ask", "press", "press", "press"] == calls


def test_a_fork_hears_as_if_there_were_no_run() -> None:
    """A fork reacts to signals as if there were no run."""
    calls = Calls()
    with calls.signals():
        child = os.fork()
        if child == 0:
            signal.raise_signal(signal.SIGTERM)
            os._exit(0)
        _, status = os.waitpid(child, 0)

    assert -signal.SIGTERM == os.waitstatus_to_exitcode(status)
    assert [] == calls


def test_whose_a_keyboard_interrupt_is() -> None:
    """A KeyboardInterrupt is the job's own if no signal has come, and nobody else could have raised it."""
    assert is_interrupt()
    with Calls().signals():
        assert not is_interrupt()
        signal.raise_signal(signal.SIGTERM)
        assert is_interrupt()

    signal.signal(signal.SIGINT, lambda *_: None)
    with Calls().signals():
        assert is_interrupt()


@pytest.mark.parametrize("taken", [False, True])
def test_a_signal_wakes_the_sleeper(taken: bool) -> None:
    """A signal wakes the sleeper through its descriptor, unless an event loop has set another, which stays."""
    reader, writer = os.pipe()
    other, loop = os.pipe()
    for descriptor in (writer, loop, reader, other):
        os.set_blocking(descriptor, False)
    before = signal.set_wakeup_fd(loop if taken else -1)
    try:
        with Calls().signals(wakeup=writer):
            signal.raise_signal(signal.SIGINT)
        assert signal.SIGINT == os.read(other if taken else reader, 1)[0]
        assert (loop if taken else -1) == signal.set_wakeup_fd(before)
    finally:
        signal.set_wakeup_fd(before)
        for descriptor in (writer, loop, reader, other):
            os.close(descriptor)
