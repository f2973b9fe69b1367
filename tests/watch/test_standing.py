"""Laws of the state of a run: which tasks run and wait, how many ended, and the words for it."""
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskproc.kernel.model import Event, Problem
from taskproc.text import width_of
from taskproc.watch.standing import (
    Standing,
    Tally,
    closing_line,
    closing_table,
    duration,
    failed_line,
    fresh_texts,
    left_text,
    ready_text,
    reason_lines,
    short_names,
    tallies,
)
from taskproc.watch.stream import COMMANDS, WORKERS, Remaining


def standing(*kinds: str, **detail: Any) -> Standing:
    """The state after these events of one task."""
    found = Standing({"m.A": 1})
    for kind in kinds:
        found.note(Event(kind, 1, detail), "m.A", lambda: "A(1)", 0.0)
    return found


@pytest.mark.parametrize(
    ("kinds", "where"),
    [
        (["stale"], (1, 0, 0)),
        (["stale", "started"], (0, 1, 0)),
        (["stale", "started", "done"], (0, 0, 0)),
        (["stale", "started", "returned"], (1, 0, 0)),
        (["stale", "started", "lost"], (0, 0, 0)),
        (["stale", "started", "fresh"], (0, 0, 0)),
        (["elsewhere", "elsewhere"], (0, 0, 1)),
        (["elsewhere", "stale"], (1, 0, 0)),
        (["stale", "started", "late"], (0, 1, 0)),
    ],
)
def test_a_task_is_in_one_place(kinds: list[str], where: tuple[int, int, int]) -> None:
    """A task is ready, running, in another run, or none of these, and never two."""
    found = standing(*kinds)

    assert where == (len(found.ready), len(found.running), len(found.elsewhere))


def test_seconds_are_those_of_all_attempts() -> None:
    """The seconds of failed attempts count too."""
    found = standing("failed", seconds=2.5)

    assert (2.5, 2.5) == (found.all.seconds, found.classes["m.A"].seconds)


def test_what_is_ready_says_for_what_it_waits() -> None:
    """A label of the user is quoted; a place of the run itself is not."""
    assert "ready: 1 wait for a worker, 2 for '(workers )'" == ready_text({WORKERS: 1, "(workers )": 2})
    assert "ready: 3 wait for a place among the commands, 1 about to start" == ready_text({"": 1, COMMANDS: 3})
    assert "ready: 1 about to start" == ready_text({"": 1})


def test_few_reasons_are_told() -> None:
    """The first reasons are shown, and the number of the others."""
    many = {f"reason {number}": 1 for number in range(9)}

    assert ["  m.A ran because reason 0 (1); reason 1 (1); reason 2 (1); 6 more reasons"] == reason_lines({"m.A": many})
    assert [] == reason_lines({"m.A": {}})


def test_names_are_short_where_they_stay_apart() -> None:
    """The module is shown only for classes that share their name."""
    assert {"a.Load": "a.Load", "b.Load": "b.Load", "b.Train": "Train"} == short_names(
        {"a.Load": 1, "b.Load": 1, "b.Train": 1}
    )


def test_names_are_harmless() -> None:
    """Control characters in names are escaped."""
    assert {"a.\x1b[2J": r"\x1b[2J"} == short_names({"a.\x1b[2J": 1})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (58.2, "58 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 0 min"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    """A duration has at most two units, and no unit is ever full."""
    assert text == duration(seconds)


def test_the_closing_line_leaves_out_what_does_not_occur() -> None:
    """The number of tasks done is always shown, the other counts only if they are not 0."""
    assert "0 done in 0.1 s" == closing_line(Tally(), 0.1)
    assert "2 done, 1 failed, 1 skipped in 58 s" == closing_line(Tally(4, done=2, failed=1, skipped=1), 58)
    assert "1,000 done, 11 fresh, 5 not run in 3.0 s" == closing_line(Tally(1016, done=1000, fresh=11), 3)


def test_only_ends_are_counted_and_each_once() -> None:
    """A result that is lost and made again is counted once."""
    tally = Tally(2)

    counted = [tally.note(kind) for kind in ("stale", "started", "done", "lost", "done", "done", "failed")]

    assert [False, False, True, False, True, True, True] == counted
    assert Tally(2, done=2) == tally


def test_totals_are_those_of_the_classes() -> None:
    """The run has as many tasks as its classes together."""
    everything, by_class = tallies({"m.A": 3, "m.B": 1})

    assert 4 == everything.total
    assert {"m.A": Tally(3), "m.B": Tally(1)} == by_class


def test_a_failure_is_told_in_one_line() -> None:
    """A failure is one line: name, first line of the error, and its time if it was noticeable."""
    problem = Problem("exception", "ValueError: too\nlong")
    lost = Event("failed", "a", {"keys": ["b"]})

    assert "failed  A(1)  ValueError: too after 41 s" == failed_line(
        Event("failed", "a", {"seconds": 41.0, "problem": problem}), "A(1)"
    )
    assert "failed  A(1)  ValueError: too" == failed_line(
        Event("failed", "a", {"seconds": 0.0, "problem": problem}), "A(1)"
    )
    late = Event("failed", "a", {"seconds": 41.0, "problem": Problem("timeout", "timed out after 41 s")})
    assert "failed  A(1)  timed out after 41 s" == failed_line(late, "A(1)")
    assert "failed  A(1)  its inputs were lost again and again" == failed_line(lost, "A(1)")


def test_a_line_on_a_failure_is_harmless() -> None:
    """Control characters in a failure are escaped."""
    event = Event("failed", "a", {"problem": Problem("died", "\x1b[2J")})

    assert r"failed  A(\x07)  \x1b[2J" == failed_line(event, "A(\x07)")


def test_the_table_has_a_line_for_each_class() -> None:
    """The table has aligned columns, and one for tasks that were not run if there are any."""
    assert [
        "  task   ran  fresh  failed  skipped  seconds",
        "  漢字     1      0       0        0      0.5",
        "  Train  999      1       0        0  1,234.0",
    ] == closing_table({"漢字": Tally(1, 1, seconds=0.5), "Train": Tally(1000, 999, 1, seconds=1234.0)})
    assert [
        "  task  ran  fresh  failed  skipped  not run  seconds",
        "  A       0      0       0        0        2      0.0",
    ] == closing_table({"A": Tally(2)})


def test_a_large_table_leaves_out_what_was_fresh() -> None:
    """A large table counts the classes of which all tasks were fresh."""
    tallies = {f"A{number}": Tally(1, fresh=1) for number in range(300)}
    tallies["B"] = Tally(1, done=1)

    lines = closing_table(tallies)

    assert ["  B", "  … and 300 more classes"] == [lines[1][:3], lines[2]]
    assert len(closing_table({f"A{number}": Tally(1, done=1) for number in range(300)})) < 50


def test_a_failure_leaves_out_arguments_rather_than_the_error() -> None:
    """A terminal too narrow for both gets the error without the arguments."""
    event = Event("failed", "a", {"problem": Problem("exception", "ValueError: boom")})

    assert "failed  A#3fa1(…)  ValueError: boom" == failed_line(event, f"A#3fa1({'x' * 99})", 60)
    assert "failed  A#3fa1(x)  ValueError: boom" == failed_line(event, "A#3fa1(x)", 35)


@given(st.integers(38, 100), st.lists(st.text("abc.漢", min_size=1, max_size=60), min_size=1, max_size=3, unique=True))
def test_a_narrow_table_still_tells_what_failed(columns: int, names: list[str]) -> None:
    """In a narrow table the middle of names, then the seconds are left out; every line fits."""
    lines = closing_table({name: Tally(9, 1, 2, 3, 3, seconds=4.0) for name in names}, columns)

    assert max(map(width_of, lines)) <= columns
    assert all(line.split()[1:5] == ["1", "2", "3", "3"] for line in lines[1:])


def test_names_lose_their_middle_before_the_seconds_go() -> None:
    """The seconds are shown until the names would get too short."""
    tallies = {"AVeryLongNameOfATaskClass": Tally(1, 1, seconds=0.5)}

    assert closing_table(tallies, 58)[1].startswith("  AVeryLong…askClass")
    assert "seconds" in closing_table(tallies, 58)[0]
    assert "seconds" not in closing_table(tallies, 50)[0]


@pytest.mark.parametrize(
    ("left", "text"),
    [
        (Remaining(150.0, 120.0, 200.0), "2 min 0 s to 3 min 20 s left"),
        (Remaining(150.0, 145.0, 155.0), "about 2 min 30 s left"),
        (Remaining(0.5, 0.1, 0.9), "about 0.5 s left"),
        (Remaining(150.0, 100.0, 200.0, 3), "at least 2 min 30 s left"),
    ],
)
def test_what_is_left_is_a_range(left: Remaining, text: str) -> None:
    """One figure where the range says no more; a lower bound while tasks are left of which nothing is known."""
    assert left_text(left) == text


def test_the_cached_share_is_shown() -> None:
    """Of all tasks; nothing if none was fresh."""
    assert fresh_texts(Tally(57, done=3, fresh=11)) == ["11 fresh (19 %)"]
    assert fresh_texts(Tally(57, done=3)) == []
