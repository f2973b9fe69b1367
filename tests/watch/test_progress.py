"""Laws of choosing: bars where a cursor can move, lines elsewhere."""
from __future__ import annotations

import io
import subprocess
import sys

import pytest

from taskproc.watch.bars import Bars
from taskproc.watch.lines import Lines
from taskproc.watch.progress import progress


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets bars, whatever it is told about colours."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")

    assert isinstance(progress({"m.A": 1}, Terminal()), Bars)


def test_lines_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, a closed file and a terminal without a cursor get lines."""
    closed = io.StringIO()
    closed.close()

    assert isinstance(progress({"m.A": 1}, io.StringIO()), Lines)
    assert isinstance(progress({"m.A": 1}, closed), Lines)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress({"m.A": 1}, Terminal()), Lines)


def test_a_terminal_of_an_unknown_kind_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """rich would move no cursor there."""
    monkeypatch.setenv("TERM", "unknown")

    assert isinstance(progress({"m.A": 1}, Terminal()), Lines)


def test_bars_can_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose tasks write to the terminal themselves asks for lines."""
    monkeypatch.setenv("TERM", "xterm")

    assert isinstance(progress({"m.A": 1}, Terminal(), bars=False), Lines)


def test_the_default_is_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Talk goes to standard error, as it is at that moment."""
    progress({"m.A": 1}).close()

    captured = capsys.readouterr()
    assert "" == captured.out
    assert captured.err.startswith("0 done, 1 not run")


def test_lines_cost_no_import_of_rich() -> None:
    """Who sees no bars does not wait for them."""
    code = "import sys, taskproc.watch.progress as p; p.progress({}).close(); print('rich' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "False\n" == done.stdout
