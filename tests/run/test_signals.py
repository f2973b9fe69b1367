"""Tests of what signals do to a run: the note, the handlers, and what is left alone."""
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
    """Those of a program that has set none, and again after the test."""
    before = {number: signal.getsignal(number) for number in NUMBERS}
    for number in NUMBERS:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Calls(list[str]):
    """What was called, in order."""

    def signals(self, **options: Any) -> Signals:
        return Signals(lambda: self.append("ask"), lambda: self.append("press"), **options)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_first_asks_and_each_further_one_presses(number: signal.Signals) -> None:
    """Whichever it is; and nothing is raised where it comes in."""
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
    """For Ctrl-C what Python raises, else the exit code that a shell would give."""
    with Calls().signals() as signals:
        signals.check()
        signal.raise_signal(number)
        with pytest.raises(error) as caught:
            signals.check()

    assert code == getattr(caught.value, "code", None)


def test_handlers_are_put_back() -> None:
    """Also those that were the default; but not over one that was set meanwhile."""
    with Calls().signals():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    kept = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert [signal.default_int_handler, signal.SIG_DFL, signal.SIG_IGN] == kept


def test_who_is_about_to_end_ignores_them() -> None:
    """Also when the context has been left: the handlers that were there before would change the exit code."""
    calls = Calls()
    with calls.signals() as signals:
        signals.ignore()

    for number in NUMBERS:
        signal.raise_signal(number)
    assert [] == calls


def test_what_others_have_claimed_is_left_alone() -> None:
    """A handler of the program, and a signal that is ignored."""
    heard: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with Calls().signals() as signals:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)

    assert ([signal.SIGTERM], 0) == (heard, signals.first)


@pytest.mark.parametrize("enabled", [True, False])
def test_only_the_main_thread_sets_handlers(enabled: bool) -> None:
    """Another one cannot, and a run inside a task must not."""
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
    """By the first signal, whichever; nothing else would reach it."""
    with Calls().signals(is_inside=lambda: True) as signals, pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)

    assert signal.SIGTERM == signals.first


def test_a_job_that_lost_the_first_interrupt_gets_the_next() -> None:
    """Python drops an exception in a destructor, and a job may catch it. But none meets the handling of the first."""
    calls, now = Calls(), [0.0]
    with calls.signals(is_inside=lambda: True, clock=lambda: now[0]):
        for now[0] in (0.0, LOST_AFTER):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    assert ["ask", "press", "press", "press"] == calls


def test_a_fork_hears_as_if_there_were_no_run() -> None:
    """It has the handlers too, but is not the one that drives."""
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
    """A job's own, as long as no signal has come, and nobody else could have raised it."""
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
    """Through the descriptor that it gave, unless an event loop has one there; that stays in any case."""
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
