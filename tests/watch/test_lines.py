"""Laws of plain lines: small runs are told one by one, large ones in tenths, and the end always."""
from __future__ import annotations

import io
from typing import Any

from taskproc.kernel.model import Event, Problem
from taskproc.watch.lines import LINES, Lines

BOOM = Problem("exception", "ValueError: boom")


def unread() -> str:
    raise AssertionError("the text of a task was asked for, though no line tells of it")


def told(totals: dict[str, int], events: list[tuple[str, Event[Any]]]) -> list[str]:
    """The lines on a run of these events, each given with its class; the clock goes a second an event."""
    ticks = iter(range(10**6))
    file = io.StringIO()
    lines = Lines(totals, file, clock=lambda: float(next(ticks)))
    for name, event in events:
        lines.tell(event, name, lambda event=event: f"A({event.key})")  # type: ignore[misc]
    lines.close()
    lines.close()
    return file.getvalue().splitlines()


def test_what_happens_to_a_task_is_told() -> None:
    """One line for each event that matters, and a closing line."""
    lines = told({"m.A": 5}, [
        ("m.A", Event("fresh", 1)),
        ("m.A", Event("stale", 2, {"reason": "need", "text": "A(1) changed"})),
        ("m.A", Event("started", 2)),
        ("m.A", Event("done", 2, {"seconds": 2.0})),
        ("m.A", Event("failed", 3, {"seconds": 41.0, "problem": BOOM})),
        ("m.A", Event("skipped", 4, {"because": 3})),
    ])

    assert [
        "  ready   A(2)   because A(1) changed",
        "  done    A(2)   2.0 s",
        "  failed  A(3)  ValueError: boom after 41 s",
        "1 done, 1 fresh, 1 failed, 1 skipped, 1 not run in 1.0 s",
    ] == lines


def test_waiting_for_another_run_is_told_once() -> None:
    """Somebody else's task is looked at again and again, which is no news."""
    lines = told({"m.A": 1}, [("m.A", Event("elsewhere", 1))] * 3 + [("m.A", Event("fresh", 1))])

    assert "  waits   A(1)   another run computes it" == lines[0]
    assert 2 == len(lines)


def test_a_large_run_is_told_in_tenths() -> None:
    """A thousand tasks make some lines of each kind, nine tenths and the end."""
    kinds = ("stale", "started", "done")
    events = [("m.A", Event(kind, key, {"text": "new"})) for key in range(1_000) for kind in kinds]

    lines = told({"m.A": 1_000}, events)

    assert 2 * LINES + 9 + 1 == len(lines)
    assert "  100 of 1,000 ended after 1.0 s" == lines[2 * LINES]
    assert lines[-2].startswith("  900 of 1,000 ended")


def test_failures_are_told_though_much_else_was() -> None:
    """A class that has used up its lines may still fail, and the tenths count it."""
    events = [("m.A", Event("done", key)) for key in range(90)]
    events += [("m.A", Event("failed", key, {"problem": BOOM})) for key in range(90, 100)]

    lines = told({"m.A": 100}, events)

    assert 10 == sum("failed  A(" in line for line in lines)
    assert "90 done, 10 failed" in lines[-1]


def test_what_is_not_told_is_not_put_into_words() -> None:
    """The text of a task costs time, so nobody asks for it in vain."""
    lines = Lines({"m.A": 1}, io.StringIO())

    lines.tell(Event("fresh", 1), "m.A", unread)
    lines.tell(Event("started", 1), "m.A", unread)


def test_a_line_is_one_line_and_harmless() -> None:
    """Names, reasons and messages come from anywhere."""
    lines = told({"m.A": 2}, [
        ("m.A", Event("stale", "\x1b]0;x\x07", {"text": "a\rb"})),
        ("m.A", Event("failed", "\n", {"problem": Problem("result", "it\x1b[2J \u202ecannot")})),
    ])

    assert [r"  ready   A(\x1b]0;x\x07)   because a\rb", r"  failed  A(\n)  it\x1b[2J \u202ecannot"] == lines[:2]
