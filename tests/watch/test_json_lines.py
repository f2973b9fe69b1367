"""Laws of the log for programs: each line is a JSON object with all fields of an event."""
from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import pytest

from taskproc.kernel.model import Event, Problem
from taskproc.watch.json_lines import VERSION, JsonLines
from taskproc.watch.stream import WORKERS, Outline, Remaining


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def written(some: Sequence[tuple[float, Event[Any]]], **options: Any) -> list[dict[str, Any]]:
    """The objects written in a run of two tasks of m.A, each event given with its time."""
    clock, file = Clock(), io.StringIO()
    log = JsonLines(file, clock=clock, wall=lambda: 1000.0 + clock.now, **options)
    log.begin(Outline({"m.A": 2}, lambda: {WORKERS: 1}, lambda: Remaining(3.0, 2.0, 4.0, 1)))
    for now, event in some:
        clock.now = now
        log.tell(event, "m.A", lambda event=event: f"A#3fa1({event.key})")  # type: ignore[misc]
    log.close()
    log.close()
    return [json.loads(line) for line in file.getvalue().splitlines()]


def test_each_event_is_an_object() -> None:
    """Each event is an object with version, times and three forms of the task."""
    detail = {"reason": "code", "text": "why", "needs": ["k"], "summary": "s"}

    begin, stale, end = written([(2.0, Event("stale", "3fa1", detail))])

    head = {"version": VERSION, "time": 1000.0, "elapsed": 0.0}
    assert {**head, "event": "begin", "total": 2, "classes": {"m.A": 2}} == begin
    assert {
        "version": VERSION, "time": 1002.0, "elapsed": 2.0, "event": "stale",
        "task": "A#3fa1(3fa1)", "class": "m.A", "key": "3fa1",
        "reason": {"kind": "code", "text": "why", "needs": ["k"], "summary": "s"},
    } == stale  # fmt: skip
    assert ("end", {"m.A": {"s": 1}}) == (end["event"], end["reasons"])


def test_a_problem_is_an_object() -> None:
    """A problem is an object without the exception, which has no JSON form."""
    problem = Problem("died", "killed", "Traceback …", ValueError("x"), exit_code=-9, memory=5)

    _, failed, end = written([(0.0, Event("failed", 1, {"seconds": 1.5, "problem": problem}))])

    assert 1.5 == failed["seconds"]
    told = {"kind": "died", "text": "killed", "traceback": "Traceback …", "exit_code": -9, "memory": 5}
    assert told == failed["problem"]
    assert {"total": 2, "done": 0, "fresh": 0, "failed": 1, "skipped": 0, "seconds": 1.5} == end["classes"]["m.A"]


def test_now_and_then_it_says_where_the_run_stands() -> None:
    """The progress is written at intervals, with what tasks wait for, which no event contains."""
    kinds = [(0.0, Event("started", 1)), (4.0, Event("started", 2)), (6.0, Event("done", 2)), (7.0, Event("late", 2))]

    found = [each for each in written(kinds) if each["event"] == "progress"]

    assert [6.0] == [each["elapsed"] for each in found]
    assert ({"m.A": 1}, {WORKERS: 1}, 1) == (found[0]["running"], found[0]["waits"], found[0]["done"])
    assert {"likely": 3.0, "low": 2.0, "high": 4.0, "unknown": 1} == found[0]["left"]


def test_without_events_there_is_the_end() -> None:
    """Without events only the end is written, with all counts."""
    (end,) = written([(0.0, Event("done", 1, {"seconds": 1.0}))], events=False)

    assert ("end", 1, 1.0) == (end["event"], end["done"], end["classes"]["m.A"]["seconds"])


def test_any_text_and_any_value_is_written() -> None:
    """Any text and value is written in one line of ASCII, whatever the encoding of the file."""
    file = io.StringIO()
    log = JsonLines(file)

    log.tell(Event("odd", ("k", 1), {"what": {1, 2}, "text": "\ud800\n\u2028"}), "m.\n", lambda: "A('\x1b')")

    assert file.getvalue().isascii()
    assert 1 == file.getvalue().count("\n")
    assert "{1, 2}" == json.loads(file.getvalue())["what"]


def test_nobody_need_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed pipe, or a process without standard error, raises nothing."""
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stderr", None)

    for log in (JsonLines(closed), JsonLines()):
        log.tell(Event("done", 1), "m.A", lambda: "A(1)")
        log.close()
