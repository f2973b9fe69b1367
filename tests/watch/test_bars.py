"""Laws of bars: they show the progress of each class, and leave only the final state on the terminal."""
from __future__ import annotations

import io
import re
import sys
from typing import Any

import pytest

from taskproc.kernel.model import Event, Problem
from taskproc.watch.bars import Bars, Layout
from taskproc.watch.stream import WORKERS, Outline, Remaining

BOOM = Problem("exception", "ValueError: [red]boom[/red]")


class Terminal(io.StringIO):
    """A file that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of known width, with colours."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


def tell(bars: Bars, kind: str, key: int, name: str = "m.A", **detail: Any) -> None:
    bars.tell(Event(kind, key, detail), name, lambda: f"A({key})")


def final(terminal: io.StringIO) -> list[str]:
    """The last lines on the terminal, without colours and cursor movements."""
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())
    return [line.rpartition("\r")[2].rstrip() for line in text.replace("\r\n", "\n").splitlines()]


def test_the_final_state_stays() -> None:
    """The final state has a row per class with its counts and time, and the closing line."""
    terminal, clock = Terminal(), Clock()
    bars = Bars({"m.A": 4, "m.B": 1}, terminal, clock=clock, draws=False)
    tell(bars, "fresh", 1)
    tell(bars, "started", 2)
    clock.now = 30.0
    tell(bars, "done", 2)
    tell(bars, "failed", 3, problem=BOOM, seconds=30.0)
    tell(bars, "skipped", 4, "m.B")
    bars.close()
    bars.close()

    rows = final(terminal)
    assert "  failed  A(3)  ValueError: [red]boom[/red] after 30 s" == rows[0]
    assert re.fullmatch(r"A\s.*3/4 · 1 fresh · 1 failed +30 s, 15 s left", rows[-3])
    assert re.fullmatch(r"B\s.*0/1 · 1 skipped", rows[-2])
    assert "1 done, 1 fresh, 1 failed, 1 skipped, 1 not run in 30 s" == rows[-1]


def test_failures_are_red_unless_colours_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR removes the colours and not the bars."""
    coloured, plain = Terminal(), Terminal()
    for terminal in (coloured, plain):
        bars = Bars({"m.A": 1}, terminal, draws=False)
        tell(bars, "started", 1)
        tell(bars, "failed", 1, problem=BOOM)
        bars.close()
        monkeypatch.setenv("NO_COLOR", "1")

    assert "\x1b[31m1 failed" in coloured.getvalue()
    assert "\x1b[31m" not in plain.getvalue()
    assert "1 failed" in plain.getvalue()


def test_no_bar_without_a_start() -> None:
    """A run that finds everything in the cache writes one line."""
    terminal = Terminal()
    bars = Bars({"m.A": 2}, terminal, clock=Clock())
    tell(bars, "fresh", 1)
    tell(bars, "fresh", 2)
    bars.close()

    assert "0 done, 2 fresh in 0.0 s\n" == terminal.getvalue()


def test_events_draw_nothing() -> None:
    """Events do not draw: a thread draws, a few times a second."""
    terminal = Terminal()
    bars = Bars({"m.A": 10_000}, terminal)
    for key in range(1000):
        tell(bars, "started", key)
        tell(bars, "done", key)
    bars.close()

    assert terminal.getvalue().count("1,000/10,000") <= 10


def test_a_drawn_bar_moves() -> None:
    """Each drawing shows the present counts, also of a class that was not announced."""
    terminal = Terminal()
    bars = Bars({"m.A": 2}, terminal, clock=Clock(), draws=False)
    tell(bars, "started", 1)
    bars.draw()
    tell(bars, "done", 1)
    tell(bars, "done", 2)
    tell(bars, "done", 3, "m.Late")
    bars.close()

    text = terminal.getvalue()
    assert "0/2" in text
    assert "2/2" in text
    assert "Late" in text


def test_prints_appear_above_the_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text that this process prints to a terminal appears above the bars; afterwards the streams are restored."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    bars = Bars({"m.A": 1}, terminal, clock=Clock(), guards=True, draws=False)
    tell(bars, "started", 1)
    bars.draw()

    print("hello [bold]you[/bold]")
    bars.close()

    assert "hello [bold]you[/bold]" in final(terminal)
    assert sys.stdout is sys.stderr is terminal


def test_redirected_output_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """If standard output is not a terminal, printed text goes there only."""
    terminal, pipe = Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", pipe)
    monkeypatch.setattr(sys, "stderr", terminal)
    bars = Bars({"m.A": 1}, terminal, clock=Clock(), guards=True, draws=False)
    tell(bars, "started", 1)
    bars.draw()

    print("data")
    bars.close()

    assert "data\n" == pipe.getvalue()
    assert "data" not in terminal.getvalue()


def test_skipped_tasks_fill_no_bar() -> None:
    """Skipped tasks do not fill the bar."""
    terminal = Terminal()
    bars = Bars({"m.A": 1, "m.B": 4, "m.C": 4}, terminal, clock=Clock(), draws=False)
    tell(bars, "started", 1)
    tell(bars, "failed", 1, problem=BOOM)
    for key in range(2, 6):
        tell(bars, "skipped", key, "m.B")
    bars.close()

    rows = terminal.getvalue().splitlines()[-4:-1]
    full, skipped, untouched = (re.findall("\x1b[^m]*m━+", row) for row in rows)
    assert len(skipped) == 1
    assert skipped == untouched != full
    assert "B 0/4 · 4 skipped" == re.sub(r" ?━+", "", final(terminal)[-3]).rstrip()


def test_what_runs_and_what_waits_is_shown() -> None:
    """Each row shows how many tasks run, and a line below what the others wait for; neither stays."""
    terminal = Terminal()
    waits = {"gpu": 3, WORKERS: 1}
    bars = Bars({"m.A": 5}, terminal, clock=Clock(), draws=False)
    bars.begin(Outline({"m.A": 5}, lambda: waits))
    tell(bars, "started", 1)

    bars.draw()
    drawn = terminal.getvalue()
    tell(bars, "done", 1)
    bars.close()

    assert "1 running" in drawn
    assert "ready: 3 wait for 'gpu', 1 for a worker" in drawn
    assert "ready" not in terminal.getvalue().removeprefix(drawn)


def test_what_is_left_is_shown_once() -> None:
    """Below the bars, with the share that was fresh; a row of its own class would say something else."""
    terminal, clock = Terminal(), Clock()
    left: list[Remaining | None] = [None]
    bars = Bars({"m.A": 4}, terminal, clock=clock, draws=False)
    bars.begin(Outline({"m.A": 4}, dict, lambda: left[0]))
    tell(bars, "fresh", 0)
    for key in (1, 2):
        tell(bars, "started", key)
    clock.now = 60.0
    tell(bars, "done", 1)

    bars.draw()
    unknown = terminal.getvalue()
    left[0] = Remaining(150.0, 120.0, 200.0)
    bars.draw()
    known = terminal.getvalue().removeprefix(unknown)
    bars.close()

    assert "1 min 0 s, 2 min 0 s left" in unknown
    assert "1 fresh (25 %); 2 min 0 s to 3 min 20 s left" in known
    assert "1 min 0 s, 2 min" not in known
    assert "left" not in terminal.getvalue().removeprefix(unknown + known)


def test_a_failure_takes_one_line_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure takes one line, however long the text of the task is."""
    monkeypatch.setenv("COLUMNS", "40")
    terminal = Terminal()
    bars = Bars({"m.A": 1}, terminal, draws=False)
    bars.tell(Event("failed", 1, {"problem": BOOM}), "m.A", lambda: "A" * 100)
    bars.close()

    assert f"  failed  {'A' * 29}…" == final(terminal)[0]


def test_reasons_stay_above_the_last_line() -> None:
    """Reasons for a run other than being new stay above the closing line."""
    terminal = Terminal()
    bars = Bars({"m.A": 1}, terminal, draws=False)
    tell(bars, "stale", 1, reason="code", summary="source changed")
    bars.close()

    assert "  m.A ran because source changed (1)" == final(terminal)[0]


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 160])
def test_a_row_fits_with_the_counts_whole(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """In a narrow row the middle of the name, then the bar and the times are left out, never the failures."""
    monkeypatch.setenv("COLUMNS", str(columns))
    terminal, clock = Terminal(), Clock()
    name = "m.AClassWithAVeryLongNameIndeed"
    bars = Bars({name: 1200, "m.B": 1}, terminal, clock=clock, draws=False)
    for key in range(12):
        tell(bars, "started", key, name)
    clock.now = 30.0
    tell(bars, "failed", 1, name, problem=BOOM, seconds=30.0)
    tell(bars, "skipped", 99, "m.B")
    bars.draw()
    bars.close()

    rows = final(terminal)[-3:-1]
    assert re.match(r"AClas.*deed +.*1/1,200 .*· 1 failed", rows[0])
    assert re.match(r"B +.*0/1 · 1 skipped", rows[1])
    assert max(map(len, rows)) <= columns
    assert ("left" in rows[0], "━" in rows[0]) == (columns >= 80, columns >= 60)


def test_columns_of_a_row_are_shared_out() -> None:
    """The counts get their columns first, then the name, a short bar and the times; name and bar share the rest."""
    assert Layout.of(40, 25, 30, 20) == Layout(14, 0, False)
    assert Layout.of(60, 25, 30, 20) == Layout(23, 10, False)
    assert Layout.of(100, 25, 30, 20) == Layout(30, 22, True)
    assert Layout.of(200, 25, 5, 20) == Layout(5, 30, True)
    assert Layout.of(30, 40, 30, 20) == Layout(5, 0, False)
