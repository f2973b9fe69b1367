"""Virtual time: a graph on so many workers, and the chain that decides."""
from __future__ import annotations

from collections.abc import Mapping

from taskproc.ledger.schedule import critical_path, simulated, wall_time

# a and b are needed by c, d stands alone
NEEDS: Mapping[str, tuple[str, ...]] = {"a": (), "b": (), "c": ("a", "b"), "d": ()}
SECONDS = {"a": 4.0, "b": 1.0, "c": 2.0, "d": 3.0}


def labels(**more: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Each needs a worker, and some a slot of another label."""
    return {key: ("worker", *more.get(key, ())) for key in NEEDS}


def test_one_worker_does_one_after_the_other() -> None:
    """All seconds are added up."""
    assert wall_time(NEEDS, SECONDS, {"worker": 1}, labels()) == 10.0


def test_two_workers_wait_for_needs_only() -> None:
    """d takes the place of b while a runs."""
    ends = {key: (began, ended) for key, began, ended in simulated(NEEDS, SECONDS, {"worker": 2}, labels())}

    assert ends == {"a": (0.0, 4.0), "b": (0.0, 1.0), "d": (1.0, 4.0), "c": (4.0, 6.0)}


def test_no_number_of_workers_beats_the_critical_path() -> None:
    """It is the slowest chain of needs."""
    assert critical_path(NEEDS, SECONDS) == ["a", "c"]
    assert wall_time(NEEDS, SECONDS, {"worker": 100}, labels()) == 6.0


def test_a_limit_holds_in_virtual_time() -> None:
    """a and d share one slot, so one waits for the other."""
    assert wall_time(NEEDS, SECONDS, {"worker": 9, "gpu": 1}, labels(a=("gpu",), d=("gpu",))) == 7.0


def test_what_runs_already_comes_first() -> None:
    """With what is left of it."""
    left = {**SECONDS, "d": 0.5}

    assert wall_time(NEEDS, left, {"worker": 1}, labels(), begun=["d"]) == 7.5


def test_unknown_times_count_nothing() -> None:
    """And an empty graph takes no time and has no path."""
    assert wall_time(NEEDS, {"c": 2.0}, {"worker": 1}, labels()) == 2.0
    assert wall_time({}, {}, {"worker": 1}, {}) == 0.0
    assert critical_path({}, {}) == []
