"""Which tasks may be deleted: each condition lets more stay, and what a living run may use stays."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskproc import Cache, LocalExecutor, Task
from taskproc.errors import CacheError, OptionError
from taskproc.ledger.expiry import DAY, Candidate, Choice, LiveUse, candidates, choose_expired, delete_expired
from taskproc.store.disk import DiskStore
from taskproc.store.layout import folder_name
from taskproc.store.marks import Mark

NOW = 1e9
SIZES = st.integers(0, 1000)
SECONDS = st.none() | st.floats(0, 1e4)
AGES = st.floats(0, 100 * DAY)


@st.composite
def caches(draw: st.DrawFn) -> list[Candidate]:
    rows = draw(st.lists(st.tuples(SIZES, SECONDS, AGES), max_size=12))
    return [Candidate("job.A", at, size, seconds, 1, NOW - age) for at, (size, seconds, age) in enumerate(rows)]


def sizes(some: list[Candidate]) -> int:
    return sum(candidate.size for candidate in some)


def gone(choice: Choice) -> list[Candidate]:
    return [dropped.candidate for dropped in choice.dropped]


@given(caches(), st.sets(st.integers(0, 12)), st.none() | st.floats(0, 100), st.none() | st.integers(0, 5000),
       st.sets(st.integers(0, 12)))  # fmt: skip
def test_each_condition_is_respected(
    stored: list[Candidate], reached: set[int], days: float | None, most: int | None, used: set[int]
) -> None:
    """What goes is not reached, not young and not used, and every task is in exactly one of the lists."""
    choice = choose_expired(stored, reached={("job.A", at) for at in reached}, keep_days=days, max_size=most,
                    is_used=lambda where: where[1] in used, now=NOW)  # fmt: skip

    for candidate in gone(choice):
        assert candidate.id not in reached | used
        assert days is None or candidate.made <= NOW - days * DAY
    assert sorted([*gone(choice), *choice.kept, *choice.used]) == sorted(stored)


@given(caches(), st.integers(0, 8000))
def test_a_limit_lets_no_more_go_than_needed(stored: list[Candidate], most: int) -> None:
    """The rest fits, and would not without the last one that goes; none that stays is cheaper per byte."""
    choice = choose_expired(stored, max_size=most, now=NOW)

    assert choice.excess == 0
    assert sizes(list(choice.kept)) <= most
    if choice.dropped:
        assert sizes(list(choice.kept)) + gone(choice)[-1].size > most

    def price(candidate: Candidate) -> float:
        return (float("inf") if candidate.seconds is None else candidate.seconds) / max(1, candidate.size)

    assert all(price(one) <= price(other) for one in gone(choice) for other in choice.kept)


def test_what_may_not_go_is_in_excess() -> None:
    """The bytes above the limit that stay are counted."""
    stored = [Candidate("job.A", 1, 700, 1.0, 1, NOW), Candidate("job.A", 2, 200, 1.0, 1, NOW)]

    assert choose_expired(stored, reached={("job.A", 1)}, max_size=500, now=NOW).excess == 200


class Square(Task):
    def __init__(self, x: int):
        self.x = x

    def run_task(self) -> int:
        return self.x**2


def where(task: Task) -> tuple[str, int]:
    return folder_name(task.task_name), task.task_id


@pytest.fixture
def tasks(tmp_path: Path) -> Iterator[list[Square]]:
    with Cache(tmp_path / "cache"):
        built = [Square(x) for x in range(3)]
        for task in built:
            task.run_graph(executor=LocalExecutor())
        yield built


@pytest.fixture
def store(tasks: list[Square], tmp_path: Path) -> DiskStore:
    return DiskStore(str(tmp_path / "cache"))


def test_candidates_are_measured(store: DiskStore, tasks: list[Square]) -> None:
    """The bytes are those of all files of the task, the seconds those of its record."""
    before = {candidate.id: candidate for candidate in candidates(store)}
    (tasks[0].task_directory / "big").write_bytes(bytes(5000))

    found = {candidate.id: candidate for candidate in candidates(store)}

    assert found.keys() == before.keys() == {task.task_id for task in tasks}
    assert found[tasks[0].task_id].size == before[tasks[0].task_id].size + 5000
    assert all(candidate.seconds is not None and candidate.seconds < 60 for candidate in found.values())


def test_a_damaged_record_has_no_seconds(store: DiskStore, tasks: list[Square]) -> None:
    """Such a result is a candidate all the same."""
    (path,) = Path(store.root, *where(tasks[0])[:1], "results", str(tasks[0].task_id)).glob("result.*")
    path.write_bytes(b"torn")

    assert {candidate.id: candidate.seconds for candidate in candidates(store)}[tasks[0].task_id] is None


def test_chosen_results_go(store: DiskStore, tasks: list[Square]) -> None:
    """They are not found any more, and the others are."""
    choice = choose_expired(candidates(store), reached=[where(tasks[1])])

    deleted = delete_expired(store, choice, LiveUse(store))

    assert {candidate.id for candidate in deleted} == {tasks[0].task_id, tasks[2].task_id}

    assert [candidate.id for candidate in candidates(store)] == [tasks[1].task_id]


def test_the_same_from_code(store: DiskStore, tasks: list[Square]) -> None:
    """`Cache.gc` shows, and deletes when asked to."""
    cache = Cache(store.root)

    choice = cache.gc(tasks[1])
    assert {dropped.candidate.id for dropped in choice.dropped} == {tasks[0].task_id, tasks[2].task_id}
    assert len(list(candidates(store))) == 3

    assert len(cache.gc(tasks[1], delete=True).dropped) == 2
    assert [candidate.id for candidate in candidates(store)] == [tasks[1].task_id]
    assert not cache.gc(keep_days=1).dropped
    with pytest.raises(OptionError, match="nothing says what may go"):
        cache.gc()
    with pytest.raises(CacheError, match="there is no cache at"):
        Cache(f"{store.root}-none").gc(max_size=0)


def test_a_result_that_was_replaced_stays(store: DiskStore, tasks: list[Square]) -> None:
    """A choice holds for the results that it has seen."""
    choice = choose_expired(candidates(store))
    tasks[0].run_graph(executor=LocalExecutor(), force=True)

    assert tasks[0].task_id not in {candidate.id for candidate in delete_expired(store, choice, LiveUse(store))}


def test_a_living_run_keeps_what_it_reaches(store: DiskStore, tasks: list[Square]) -> None:
    """Also a run that has begun after the choice; when it has ended, all may go."""
    choice = choose_expired(candidates(store))
    use = LiveUse(store)
    mark = Mark(store.root)
    try:
        mark.declare_reach([where(tasks[0])])
        deleted = delete_expired(store, choice, use)
        assert {candidate.id for candidate in deleted} == {tasks[1].task_id, tasks[2].task_id}
    finally:
        mark.close()

    assert [candidate.id for candidate in delete_expired(store, choice, use)] == [tasks[0].task_id]


def test_a_run_that_does_not_say_what_it_reaches_keeps_all(store: DiskStore, tasks: list[Square]) -> None:
    """So does a run of an older version."""
    choice = choose_expired(candidates(store))
    mark = Mark(store.root)
    try:
        assert delete_expired(store, choice, LiveUse(store)) == []
    finally:
        mark.close()


def test_runs_say_what_they_reach(tmp_path: Path) -> None:
    """While a task runs, all tasks of its graph are in use, those that were fresh included."""
    with Cache(tmp_path / "cache"):
        Square(7).run_graph(executor=LocalExecutor())
        answer, _ = Asking(7).run_graph(executor=LocalExecutor())

    assert answer == [True, True, False]


class Asking(Task):
    """Asks, as another process would, which tasks may be used now."""

    def __init__(self, x: int):
        self.square = Square(x)

    def run_task(self) -> list[bool]:
        use = LiveUse(DiskStore(str(self.task_directory.parents[3])))
        return [use.covers(where(self)), use.covers(where(self.square)), use.covers(("job.Other", 1))]  # type: ignore[arg-type]
