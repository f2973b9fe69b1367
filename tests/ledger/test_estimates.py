"""What a task costs, from the records of its class."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from taskproc.ledger import estimates
from taskproc.ledger.estimates import UNKNOWN, Cost, Estimate, Estimates, PastTask, past_tasks
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.tasks.task import Task


class Grow(Task):
    def __init__(self, size: int):
        self.size = size

    def run_task(self) -> bytes:
        (self.task_directory / "file").write_bytes(b"x" * self.size)
        return b"y" * self.size


Past = Mapping[int, tuple[dict[str, Any], "float | None"]]


def cost(past: Past, arguments: dict[str, Any], number: int = 10**9) -> Cost:
    """What a task costs, given id → arguments and seconds of the past ones."""
    tasks = [PastTask(each, args, seconds, None, None) for each, (args, seconds) in past.items()]
    return Estimates(lambda name: tasks).costs("Train", [number], lambda number: arguments)[number]


def likely(past: Past, **arguments: Any) -> float:
    """The seconds that are most likely."""
    seconds = cost(past, arguments).seconds
    assert seconds is not None
    return seconds.likely


def test_what_was_never_run_is_unknown() -> None:
    """No figure is made up for a class without records, nor for a figure that no record has."""
    assert cost({}, {"n": 1}) is UNKNOWN
    assert cost({1: ({"n": 1}, None)}, {"n": 1}).seconds is None


def test_the_same_task_counts_alone() -> None:
    """Whatever its arguments say, and whatever others took; the range is a quarter up and down."""
    found = cost({1: ({"n": 1}, 4.0), 2: ({"n": 2}, 100.0)}, {"n": 2}, number=1)

    assert (found.basis, found.seconds) == ("same", Estimate(4.0, 3.0, 5.0))


def test_near_numbers_count() -> None:
    """The nearest, and what is at most twice as far."""
    past = {n: ({"n": n}, float(n)) for n in (10, 20, 30, 40, 50)}

    assert likely(past, n=21) == 20.0
    assert likely(past, n=25) == 25.0
    assert likely(past, n=1000) == 30.0  # all are at most twice as far as the nearest
    assert cost(past, {"n": 21}).basis == "nearest"


def test_numbers_of_many_sizes_are_compared_by_their_ratio() -> None:
    """0.003 lies nearer to 0.01 than to 0.0001, and 3 nearer to 10 than to 0.1, on a logarithmic scale only."""
    past = {place: ({"lr": 10.0**place}, float(place)) for place in range(-4, 3)}

    assert likely(past, lr=0.005) == -2.0
    assert likely(past, lr=5) == 1.0


def test_equal_texts_are_nearer_than_others() -> None:
    """One text that is the same outweighs a number that is not, if that is not at the other end."""
    past = {1: ({"kind": "svm", "n": 1}, 1.0), 2: ({"kind": "svm", "n": 3}, 2.0), 3: ({"kind": "net", "n": 4}, 90.0)}

    assert likely(past, kind="svm", n=3.6) == 2.0


def test_lists_are_compared_by_their_lengths() -> None:
    """Also tuples, which JSON shows as a dict with one name; tasks have no length, and differ or not."""
    tuples = {n: ({"xs": {"__tuple__": [0] * n}}, float(n)) for n in (1, 5, 9)}
    tasks = {n: ({"on": {"__task__": ["Load", str(n)]}}, float(n)) for n in (1, 5, 9)}

    assert likely(tuples, xs={"__tuple__": [1] * 5}) == 5.0
    assert likely(tasks, on={"__task__": ["Load", "9"]}) == 9.0
    assert likely(tasks, on={"__task__": ["Load", "4"]}) == 5.0


def test_without_anything_near_the_median_of_the_class_counts() -> None:
    """With the range from the first to the last tenth; an argument that tells nothing apart does not count."""
    past = {n: ({"name": f"{n}.txt", "depth": 3}, float(n)) for n in range(11)}
    found = cost(past, {"name": "other.txt", "depth": 4})

    assert (found.basis, found.seconds) == ("class", Estimate(5.0, 1.0, 9.0))


def test_odd_arguments_do_no_harm() -> None:
    """Missing ones, truth values, numbers that no float can hold, and infinite ones."""
    past = {1: ({"n": True}, 1.0), 2: ({"n": 10**400}, 2.0), 3: ({}, 3.0), 4: ({"n": {}}, 4.0), 5: ({"n": [1]}, 5.0)}

    assert likely(past, n=10**400) == 2.0
    assert likely(past, n=True) == 1.0
    assert likely(past, n=float("inf")) == 3.0


def test_many_tasks_are_compared_with_fewer_records() -> None:
    """The newest ones: the price does not grow with the square."""
    past = [PastTask(n, {"n": n}, float(n), None, None) for n in range(1000)]
    numbers = range(5000, 15000)

    found = Estimates(lambda name: past).costs("Train", numbers, lambda number: {"n": 900})

    assert {24.5} == {each.seconds.likely for each in found.values() if each.seconds is not None}


def test_records_are_read_once_for_a_class() -> None:
    """However often it is asked."""
    asked: list[str] = []

    def history(name: str) -> list[PastTask]:
        asked.append(name)
        return []

    known = Estimates(history)
    for _ in range(3):
        known.costs("Train", [1], lambda number: {})
        known.costs("Load", [1], lambda number: {})

    assert asked == ["Train", "Load"]


def test_the_records_of_a_cache(cache: Cache) -> None:
    """Seconds, and bytes of the result; what older records do not have is unknown."""
    for size in (10, 100_000):
        Grow(size).run_graph(executor=LocalExecutor())
    small, large = sorted(past_tasks(cache.store, Grow.task_name), key=lambda past: past.arguments["size"])

    assert (small.arguments, large.arguments) == ({"size": 10}, {"size": 100_000})
    assert small.number == Grow(10).task_id
    assert small.seconds is not None
    assert 100 < (small.size or 0.0) < 1000
    assert past_tasks(cache.store, "none.Such") == []


def test_only_the_newest_are_read(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class with a million tasks costs no more than one with a thousand."""
    monkeypatch.setattr(estimates, "MOST_RECORDS", 2)
    for size in (1, 2, 3):
        Grow(size).run_graph(executor=LocalExecutor())

    assert len(past_tasks(cache.store, Grow.task_name)) == 2


def test_no_result_is_loaded(cache: Cache) -> None:
    """What is damaged, cleared or half written is passed over; a value is never read."""
    Grow(1).run_graph(executor=LocalExecutor())
    Grow(2).run_graph(executor=LocalExecutor())
    path = Grow(2).task_directory.parent / "result.1.pkl.gz"
    path.write_bytes(path.read_bytes()[:-5])

    assert [past.arguments for past in past_tasks(cache.store, Grow.task_name)] == [{"size": 1}]
