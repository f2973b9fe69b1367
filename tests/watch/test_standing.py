"""Laws of where a run stands: what runs, what is ready, and why tasks ran."""
from __future__ import annotations

from typing import Any

import pytest

from taskproc.kernel.model import Event
from taskproc.watch.standing import Standing, fresh_texts, left_text, ready_text, reason_lines, short_names
from taskproc.watch.stream import COMMANDS, WORKERS, Remaining
from taskproc.watch.tally import Tally


def standing(*kinds: str, **detail: Any) -> Standing:
    """After these events of one task."""
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
    """Ready, running, in another run, or none of these."""
    found = standing(*kinds)

    assert where == (len(found.ready), len(found.running), len(found.elsewhere))


def test_seconds_are_those_of_all_attempts() -> None:
    """A failure took time, too."""
    found = standing("failed", seconds=2.5)

    assert (2.5, 2.5) == (found.all.seconds, found.classes["m.A"].seconds)


def test_what_is_ready_says_for_what_it_waits() -> None:
    """A label of the user's is in quotes, a place of the run is not."""
    assert "ready: 1 wait for a worker, 2 for '(workers )'" == ready_text({WORKERS: 1, "(workers )": 2})
    assert "ready: 3 wait for a place among the commands, 1 about to start" == ready_text({"": 1, COMMANDS: 3})
    assert "ready: 1 about to start" == ready_text({"": 1})


def test_few_reasons_are_told() -> None:
    """And how many there are beside."""
    many = {f"reason {number}": 1 for number in range(9)}

    assert ["  m.A ran because reason 0 (1); reason 1 (1); reason 2 (1); 6 more reasons"] == reason_lines({"m.A": many})
    assert [] == reason_lines({"m.A": {}})


def test_names_are_short_where_they_stay_apart() -> None:
    """The module is shown only of classes that share their name."""
    assert {"a.Load": "a.Load", "b.Load": "b.Load", "b.Train": "Train"} == short_names(
        {"a.Load": 1, "b.Load": 1, "b.Train": 1}
    )


def test_names_are_harmless() -> None:
    """A class may be called anything."""
    assert {"a.\x1b[2J": r"\x1b[2J"} == short_names({"a.\x1b[2J": 1})


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
