"""Laws of progress: bars where a cursor can move, else plain lines, whose number depends only on the time."""
from __future__ import annotations

import io
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from taskproc.kernel.model import Event, Problem
from taskproc.watch import progress as module
from taskproc.watch.bars import Bars
from taskproc.watch.progress import FAILURES, FIRST, LONGEST, Lines, pause, progress
from taskproc.watch.stream import WORKERS, Outline, Remaining
from tests.pace import limit

BOOM = Problem("exception", "ValueError: boom")


def unread() -> str:
    raise AssertionError("the text of a task was asked for, though no line tells of it")


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


Told = tuple[float, str, Event[Any]]


def told(
    totals: dict[str, int], events: Sequence[Told], *, ends: float | None = None, waits: dict[str, int] | None = None
) -> list[str]:
    """The lines written in a run of these events, each given with its time and class."""
    clock, file = Clock(), io.StringIO()
    lines = Lines(totals, file, clock=clock, beats=False)
    lines.begin(Outline(totals, lambda: waits or {}))
    for now, name, event in events:
        clock.now = now
        lines.tell(event, name, lambda event=event: f"A#3fa1({event.key})")  # type: ignore[misc]
    clock.now = clock.now if ends is None else ends
    lines.close()
    lines.close()
    return file.getvalue().splitlines()


def test_a_line_says_how_long_it_still_takes() -> None:
    """The time left is a range, behind the tasks that have ended."""
    clock, file = Clock(), io.StringIO()
    lines = Lines({"m.A": 9}, file, clock=clock, beats=False)
    lines.begin(Outline({"m.A": 9}, dict, lambda: Remaining(150.0, 120.0, 200.0)))
    clock.now = 6.0
    lines.tell(Event("done", 1), "m.A", unread)
    lines.close()

    assert file.getvalue().startswith("  after 6.0 s: 1 of 9 ended; 2 min 0 s to 3 min 20 s left\n")


def run_of(count: int, seconds: float) -> list[Told]:
    """The events of `count` tasks that end one after the other within `seconds`."""
    kinds = ("stale", "started", "done")
    return [
        (seconds * (key + at / 3) / count, f"m.{'AB'[key % 2]}", Event(kind, key, {"text": "new", "reason": "new"}))
        for key in range(count)
        for at, kind in enumerate(kinds)
    ]


def test_a_short_run_is_a_table() -> None:
    """A short run writes a line for each class and a closing line."""
    assert [
        "  task  ran  fresh  failed  skipped  seconds",
        "  A       1      1       0        0      2.0",
        "  B       0      0       1        1     41.0",
        "1 done, 1 fresh, 1 failed, 1 skipped in 4.0 s",
    ] == told({"m.A": 2, "m.B": 2}, [
        (0, "m.A", Event("fresh", 1)),
        (0, "m.A", Event("stale", 2, {"reason": "new", "text": "no result", "summary": "no result"})),
        (0, "m.A", Event("started", 2)),
        (2, "m.A", Event("done", 2, {"seconds": 2.0})),
        (3, "m.B", Event("failed", 3, {"seconds": 41.0, "problem": BOOM})),
        (3, "m.B", Event("skipped", 4, {"because": 3})),
    ], ends=4.0)[1:]  # fmt: skip


@pytest.mark.parametrize(
    ("totals", "events"),
    [
        ({"m.A": 1}, [(0, "m.A", Event("done", 1, {"seconds": 0.1}))]),
        ({"m.A": 1, "m.B": 1}, [(0, "m.A", Event("fresh", 1)), (0, "m.B", Event("fresh", 2))]),
    ],
)
def test_one_line_where_there_is_no_more_to_say(totals: dict[str, int], events: list[Told]) -> None:
    """A run of one class, and a run that finds all its results, write only the closing line."""
    assert 1 == len(told(totals, events))


@pytest.mark.parametrize(("count", "seconds"), [(57, 8), (57, 57), (1000, 57), (100_000, 20), (50, 3600)])
def test_the_time_makes_the_lines_and_not_the_tasks(count: int, seconds: float) -> None:
    """There are never two lines within five seconds, and never none for a minute in which events come."""
    lines = told({"m.A": count // 2, "m.B": count // 2}, run_of(count, seconds))

    at = [float(found[1]) for line in lines if (found := re.match(r"  after ([\d.]+) s:", line))]
    assert len(lines) - 4 <= min(seconds / FIRST, 100)
    assert len(lines) - 4 >= min(seconds // FIRST - 1, 9) * (count > seconds / FIRST)
    assert all(later - earlier > FIRST - 0.6 for earlier, later in zip(at, at[1:]))
    assert max(map(len, lines)) < 120


def test_pauses_grow_to_a_minute() -> None:
    """The time between lines grows with the run, to at most a minute."""
    assert [FIRST, FIRST, 10.0, LONGEST, LONGEST] == [pause(elapsed) for elapsed in (0, 50, 100, 600, 1e6)]


def test_a_line_says_how_far_it_is() -> None:
    """A line counts the tasks that ended and run, and shows the oldest one and what the others wait for."""
    events = [(0.0, "m.A", Event("fresh", 0)), (1.0, "m.A", Event("failed", 1, {"problem": BOOM}))]
    events += [(1.0, name, Event("started", name)) for name in ("m.A", "m.B", "x.C")]
    events += [(2.0, "m.A", Event("started", 9)), (3.0, "x.D", Event("elsewhere", 3)), (9.0, "m.A", Event("late", 7))]

    lines = told({"m.A": 5, "m.B": 4, "x.D": 2}, events, waits={"gpu": 3, WORKERS: 1200, "": 2})

    assert (
        "  after 9.0 s: 2 of 11 ended, 1 fresh (9 %), 1 failed; running: 2 A, 1 B, 1 C (A#3fa1 for 8.0 s); "
        "ready: 3 wait for 'gpu', 1,200 for a worker, 2 about to start; 1 in other runs"
    ) == lines[1]


def test_each_failure_is_a_line_at_once() -> None:
    """Each failure is written at once, up to a bound."""
    events = [(0.0, "m.A", Event("failed", key, {"problem": BOOM})) for key in range(500)]

    lines = told({"m.A": 500}, events)

    assert "  failed  A#3fa1(0)  ValueError: boom" == lines[0]
    assert FAILURES + 2 == len(lines)
    assert lines[-2].startswith("  failed  …")
    assert "500 failed" in lines[-1]


def test_reasons_are_told_at_the_end() -> None:
    """Each different reason is written at the end, except that a task was new."""
    reasons = [("new", "no result"), ("code", "source changed"), ("code", "source changed")]
    stale = [
        Event("stale", key, {"reason": reason, "text": "?", "summary": words})
        for key, (reason, words) in enumerate(reasons)
    ]

    lines = told({"m.A": 3}, [(0.0, "m.A", event) for event in stale])

    assert "  m.A ran because source changed (2)" == lines[-2]


def test_what_is_not_told_is_not_put_into_words() -> None:
    """The text of a task is only asked for if it is shown, because it costs time."""
    lines = Lines({"m.A": 1}, io.StringIO(), beats=False)

    for kind in ("stale", "started", "done"):
        lines.tell(Event(kind, 1), "m.A", unread)


def test_a_line_is_one_line_and_harmless() -> None:
    """Names, reasons and messages cannot break lines or control the terminal."""
    clock, file = Clock(), io.StringIO()
    lines = Lines({"m.\x1b[2J": 2, "m.B": 1}, file, clock=clock, beats=False)
    problem = Problem("result", "it\x1b[2J \u202ecannot")
    lines.tell(Event("stale", 1, {"reason": "code", "summary": "a\rb"}), "m.\x1b[2J", unread)
    lines.tell(Event("failed", 1, {"problem": problem}), "m.\x1b[2J", lambda: "A(\n)")
    lines.tell(Event("started", 2), "m.\x1b[2J", lambda: "\x07(1)")
    clock.now = 6.0
    lines.look()
    lines.close()

    assert file.getvalue().replace("\n", "").isprintable()
    assert r"  failed  A(\n)  it\x1b[2J \u202ecannot" == file.getvalue().splitlines()[0]


class Terminal(io.StringIO):
    """A file that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_lines_of_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are cut to the width of a terminal; a pipe gets them whole."""
    monkeypatch.setenv("COLUMNS", "30")
    terminal, pipe = Terminal(), io.StringIO()
    for file in (terminal, pipe):
        lines = Lines({"m.A": 1}, file, beats=False)
        lines.tell(Event("failed", 1, {"problem": BOOM}), "m.A", lambda: "A" * 50)
        lines.close()

    assert [30, 30] == [max(map(len, terminal.getvalue().splitlines())), len(terminal.getvalue().splitlines()[0])]
    assert f"  failed  {'A' * 50}  ValueError: boom" in pipe.getvalue()


class Signalling(io.StringIO):
    """A file that signals each write to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def write(self, text: str) -> int:
        count = super().write(text)
        self.written.set()
        return count


def test_a_line_comes_though_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are written while one task runs for long, and none after the end."""
    monkeypatch.setattr(module, "LOOK_EVERY", 0.001)
    clock, file = Clock(), Signalling()
    lines = Lines({"m.A": 1}, file, clock=clock)
    lines.tell(Event("started", 1), "m.A", lambda: "A#3fa1(1)")
    assert not file.written.is_set()

    clock.now = 6.0
    assert file.written.wait(limit(60))
    lines.close()

    assert "  after 6.0 s: 0 of 1 ended; running: 1 A (A#3fa1 for 6.0 s)" == file.getvalue().splitlines()[0]
    assert not [thread for thread in threading.enumerate() if thread.name == "taskproc-lines"]


def test_no_thread_where_tasks_run_in_this_one() -> None:
    """Without `beats` there is no thread."""
    lines = Lines({"m.A": 1}, io.StringIO(), beats=False)

    lines.tell(Event("started", 1), "m.A", unread)

    assert not [thread for thread in threading.enumerate() if thread.name == "taskproc-lines"]


def test_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets bars, also with NO_COLOR."""
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
    """A terminal of an unknown kind gets lines, because rich would not move its cursor."""
    monkeypatch.setenv("TERM", "unknown")

    assert isinstance(progress({"m.A": 1}, Terminal()), Lines)


def test_bars_can_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets lines if the caller asks for them."""
    monkeypatch.setenv("TERM", "xterm")

    assert isinstance(progress({"m.A": 1}, Terminal(), bars=False), Lines)


def test_the_default_is_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """The default file is standard error as it is at that moment."""
    progress({"m.A": 1}).close()

    captured = capsys.readouterr()
    assert "" == captured.out
    assert captured.err.startswith("0 done, 1 not run")


def test_lines_cost_no_import_of_rich() -> None:
    """Plain lines do not import rich."""
    code = "import sys, taskproc.watch.progress as p; p.progress({}).close(); print('rich' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "False\n" == done.stdout
