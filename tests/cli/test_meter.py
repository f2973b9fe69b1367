"""Laws of the progress of long work: one line on a terminal, lines at intervals elsewhere, none for short work."""
from __future__ import annotations

import io
import itertools

import pytest

from taskproc.cli import meter
from taskproc.cli.meter import Meter


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")


def test_a_terminal_has_one_line() -> None:
    """On a terminal a line overwrites the last one, however long, and is removed in the end."""
    file, clock = Terminal(), itertools.count(0.0, meter.DRAW_EVERY)
    shown = Meter(file, clock.__next__)

    for text in ("one hundred", "two", "three"):
        shown.show(lambda text=text: text)
    shown.wipe()
    shown.wipe()

    assert "\rone hundred\rtwo        \rthree\r     \r" == file.getvalue()


def test_it_is_drawn_now_and_then() -> None:
    """A text is made only when it is shown."""
    file, clock = Terminal(), itertools.count(0.0, meter.DRAW_EVERY / 10)
    shown, asked = Meter(file, clock.__next__), []

    for number in range(100):
        shown.show(lambda number=number: asked.append(number) or "x")

    assert 9 <= len(asked) <= 10


def test_elsewhere_there_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    """Elsewhere a line without control characters comes at intervals, and none for short work."""
    clock = itertools.count(0.0, meter.TELL_EVERY / 2)
    shown = Meter(clock=clock.__next__)

    for text in ("one", "two", "three", "four"):
        shown.show(lambda text=text: text)
    shown.wipe()

    assert "two\nfour\n" == capsys.readouterr().err


def test_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed terminal raises nothing."""

    class Gone(Terminal):
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    clock = itertools.count(0.0, 1.0)
    shown = Meter(Gone(), clock.__next__)

    shown.show(lambda: "one")
    shown.wipe()
