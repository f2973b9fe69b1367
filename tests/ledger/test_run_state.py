"""What the journals say of runs: how long a run will take, and what the cache has saved."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from taskproc.ledger.estimates import PastTask
from taskproc.ledger.journal import Run, TaskTrace
from taskproc.ledger.run_state import RunStates, saved_seconds
from taskproc.store.disk import DiskStore

PAST = {"m.A": [8.0, 10.0, 12.0], "m.B": [100.0, 100.0]}


def history(name: str) -> Sequence[PastTask]:
    """Past tasks of a class with these seconds."""
    return [PastTask(number, {}, seconds, None, None) for number, seconds in enumerate(PAST.get(name, ()))]


@pytest.fixture
def states(tmp_path: Path) -> RunStates:
    """The states at second 1,004, of runs that began at second 1,000."""
    return RunStates(DiskStore(str(tmp_path)), lambda: 1004.0, history)


def run_of(totals: dict[str, int], counts: dict[str, dict[str, int]], *running: str) -> Run:
    """A run of so many tasks, some of which were started when it began."""
    traces = {f"{at:032x}": TaskTrace(f"{at:032x}", name, "running", started=0.0) for at, name in enumerate(running)}
    return Run("r", "r.jsonl", {"began": 1000.0, "tasks": totals}, traces, counts, "running", {}, 4.0)


def test_what_is_left_is_shared_by_the_tasks_that_run(states: RunStates) -> None:
    """Eight tasks of ten seconds, two of which have run for four seconds: 72 seconds of work for two tasks at once."""
    counts = {"m.A": {"stale": 10, "done": 2, "running": 2}}
    left = states.state(run_of({"m.A": 10}, counts, "m.A", "m.A")).left

    assert left is not None
    assert left.likely == pytest.approx((8 * 10.0 - 2 * 4.0) / 2)
    assert left.low < left.likely < left.high


def test_what_may_be_fresh_counts_at_the_high_end(states: RunStates) -> None:
    """A class that was not judged yet adds nothing at least."""
    counts = {"m.A": {"stale": 1, "running": 1}}
    alone = states.state(run_of({"m.A": 1}, counts, "m.A")).left
    both = states.state(run_of({"m.A": 1, "m.B": 1}, counts, "m.A")).left

    assert alone is not None
    assert both is not None
    assert (both.low, both.high) == (pytest.approx(alone.low), pytest.approx(alone.high + 100.0))


def test_an_unknown_class_is_counted_apart(states: RunStates) -> None:
    """No duration is made up for it."""
    state = states.state(run_of({"m.A": 1, "m.New": 3}, {"m.A": {"stale": 1, "running": 1}}, "m.A"))

    assert state.unknown == 3
    assert state.left is not None
    assert state.left.likely == pytest.approx(6.0)


def test_what_was_fresh_is_saved(states: RunStates) -> None:
    """By the usual time of its class."""
    run = run_of({"m.A": 5}, {"m.A": {"fresh": 3}, "m.New": {"fresh": 2}})

    assert saved_seconds(states, run) == pytest.approx(30.0)
