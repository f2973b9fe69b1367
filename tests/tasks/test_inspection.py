"""Inspection reports what a run would find, and changes nothing."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from works import known_of

from taskproc.errors import CycleError, MissingResult
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.tasks.future import Const, FutureDict, FutureList
from taskproc.tasks.inspection import is_done, preview, stored_result
from taskproc.tasks.naming import nested
from taskproc.tasks.task import Task
from tests.plain import plain


class Leaf(Task):
    def __init__(self, value: Any = 1):
        self.value = value

    def run_task(self) -> Any:
        return self.value


class Twice(Task):
    def __init__(self, up: Any):
        self.up = up

    def run_task(self) -> Any:
        return self.up.get_result() * 2


@pytest.fixture
def graph(cache: Cache) -> Twice:
    return Twice(Twice(Leaf()))


def run(task: Any, **options: Any) -> Any:
    return task.run_graph(executor=LocalExecutor(), **options)


def would_run(task: Any, **options: Any) -> list[tuple[str, str]]:
    """The tasks that would run, and why."""
    known = known_of(task, **options)
    return [(plain(known.graph.name_of(key)), plain(reason.text)) for key, reason in preview(known)]


def files(cache: Cache) -> set[Path]:
    return set(cache.path.rglob("*"))


def test_before_the_first_run_all_would_run(cache: Cache, graph: Twice) -> None:
    """Needs first; all tasks below one that would run would run. No file is created."""
    before = files(cache)

    assert would_run(graph) == [
        ("Leaf(value=1)", "no result is stored"),
        ("Twice(up=Leaf(value=1))", "upstream Leaf(value=1) would run"),
        ("Twice(up=Twice(up=Leaf(value=1)))", "upstream Twice(up=Leaf(value=1)) would run"),
    ]
    assert files(cache) == before


def test_after_a_run_nothing_would(cache: Cache, graph: Twice) -> None:
    """Each result is fresh."""
    run(graph)

    assert would_run(graph) == []


def test_what_is_forced_would_run(graph: Twice) -> None:
    """And all tasks below it."""
    run(graph)

    assert would_run(graph, forced=frozenset([graph.up._taskproc.place.key])) == [
        ("Twice(up=Leaf(value=1))", "it was cleared or forced"),
        ("Twice(up=Twice(up=Leaf(value=1)))", "upstream Twice(up=Leaf(value=1)) would run"),
    ]


def test_result_and_is_done_agree(cache: Cache, graph: Twice) -> None:
    """Before, after, and after an upstream task was cleared."""
    assert not is_done(graph)
    run(graph)
    assert (is_done(graph), stored_result(graph)) == (True, 4)

    Leaf().clear_task()

    assert (is_done(graph), is_done(graph.up), is_done(Leaf())) == (False, False, False)


@pytest.mark.parametrize(
    ("clear", "says"),
    [
        (lambda: Twice(Twice(Leaf())), "has no fresh result: no result is stored. Run it with Twice(...).run_graph()"),
        (lambda: Leaf(), "has no fresh result: Leaf(value=1) must run first: no result is stored. Run it with"),
    ],
)
def test_a_missing_result_says_why(graph: Twice, clear: Any, says: str) -> None:
    """Its own reason, or the first upstream task that is not fresh."""
    run(graph)
    clear().clear_task()

    with pytest.raises(MissingResult) as caught:
        stored_result(graph)

    assert plain(caught.value).startswith(f"Twice(up=Twice(up=Leaf(value=1))) {says}")


def test_a_result_is_loaded_anew_each_time(cache: Cache) -> None:
    """No caller sees what another one does to it."""
    task = Leaf([1])
    run(task)

    stored_result(task).append(2)

    assert stored_result(task) == [1]


def test_looking_at_a_cycle_ends(cache: Cache) -> None:
    """With its path."""
    one, other = Leaf("one"), Leaf("other")
    one.next, other.next = other, one  # type: ignore[attr-defined]

    with pytest.raises(CycleError) as caught:
        is_done(one)

    assert "Leaf(value='one') -> Leaf(value='other') -> Leaf(value='one')" in plain(caught.value)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Cache]:
    with Cache(tmp_path / "other") as made:
        yield made


def test_a_task_is_looked_for_in_its_own_cache(graph: Twice, other: Cache) -> None:
    """Whichever cache is the current one."""
    run(graph)

    assert is_done(graph)
    assert not is_done(Twice(Twice(Leaf())))
    assert files(other) == {other.path / name for name in ("taskproc.json", "CACHEDIR.TAG", ".gitignore")}


def test_an_element_says_which_task_to_run(cache: Cache) -> None:
    """A list and an element cannot run themselves."""
    for future in (FutureList([Const(1), Leaf("x")]), Leaf("x")["a"], FutureDict({"a": Leaf("x")[0]})):
        with pytest.raises(MissingResult) as caught:
            future.get_result()
        assert str(caught.value).endswith(f". Run it with {nested(Leaf('x'))}(...).run_graph()")
