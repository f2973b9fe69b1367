"""What a task is made from besides its code and its inputs."""
from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from taskproc.errors import BuildError
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.tasks.future import Const, FutureList
from taskproc.tasks.settings import left_on, settings_of
from taskproc.tasks.task import Task

made_from: dict[str, Any] = {}


class Made(Task):
    """Its attributes are those in `made_from`."""

    def __init__(self, number: int = 0):
        self.number = number
        vars(self).update(made_from)

    def run_task(self) -> int:
        self.scratch = "made while it ran"
        return self.number


class Up(Task):
    def __init__(self, name: str = "a"):
        self.name = name

    def run_task(self) -> list[str]:
        return [self.name, self.name]


@pytest.fixture(autouse=True)
def nothing_left() -> None:
    made_from.clear()


def left(cache: Cache, **attributes: Any) -> Any:
    """What is known of a new task with these attributes."""
    cache.instances.clear()
    made_from.clear()
    made_from.update(attributes)
    return left_on(Made())


def run(task: Any) -> int:
    """How many tasks of its class ran."""
    _, stats = task.run_graph(executor=LocalExecutor())
    count: int = stats["stats"].get(type(task).task_name, 0)
    return count


def runs_again(cache: Cache, **attributes: Any) -> bool:
    cache.instances.clear()
    made_from.clear()
    made_from.update(attributes)
    return run(Made()) == 1


def test_what_init_left_counts(cache: Cache) -> None:
    """A value from outside that is not an argument reruns the task if it changes, but not if it is equal."""
    assert runs_again(cache, rows=range(10))
    assert not runs_again(cache, rows=range(10))
    assert runs_again(cache, rows=range(20))
    assert not runs_again(cache, rows=range(10)), "the older version is there still"
    assert runs_again(cache)


def test_an_attribute_that_happens_to_be_an_argument_counts(cache: Cache) -> None:
    """Small values exist once: a value from outside may equal one argument today and another tomorrow."""

    class Switched(Task):
        task_ignored_args = ("jobs",)

        def __init__(self, one: bool, other: bool, jobs: str):
            self._one, self.other, self.workers, self.switch = one, other, jobs, made_from["switch"]

        def run_task(self) -> None: ...

    seen = []
    for made_from["switch"] in (True, False):
        cache.instances.clear()
        seen.append(left_on(Switched(True, False, "many")).settings)

    assert [["attribute switch"]] * 2 == list(map(list, seen))
    assert seen[0] != seen[1]


def test_an_attribute_that_equals_an_ignored_argument_counts(cache: Cache) -> None:
    """`1`, `True` and "a" exist once: only an assignment in `__init__` shows that the attribute is the parameter."""

    class Ignoring(Task):
        task_ignored_args = ("jobs", "tools")

        def __init__(self, jobs: object, tools: list[int]):
            self.workers, self._tools = jobs, tools
            self.switch = made_from["switch"]

        def run_task(self) -> None: ...

    for made_from["switch"] in (1, True, "a", None):
        cache.instances.clear()
        assert ["attribute switch"] == list(left_on(Ignoring(made_from["switch"], [1])).settings)


class Plain:
    """Has no canonical form as an argument."""

    def __init__(self, **held: Any):
        vars(self).update(held)


def test_an_attribute_that_could_be_no_argument_counts_by_its_parts(cache: Cache) -> None:
    """Parts without a form are listed with their places, and all others count."""
    one, other = (left(cache, model=Plain(rate=rate, part=[Plain(file=iter([1]))])) for rate in (1, 2))

    assert one.untracked == other.untracked == (
        "attribute model.part[0].file has no canonical form (list_iterator)",
    )
    assert list(one.settings) == list(other.settings) == ["attribute model"]
    assert one.settings != other.settings
    assert left(cache, model=Plain(rate=1, part=[Plain(file=iter([2]))])) == one


def test_futures_on_self_count(cache: Cache) -> None:
    """Which element is read, which task it is, what a Const holds."""
    forms = [
        left(cache, up=value).settings["attribute up"]
        for value in (Up("a"), Up("b"), Up("a")[0], Up("a")[1], Const(1), Const(2), FutureList([Up("a")]), [Up("a")])
    ]

    assert len(set(forms)) == len(forms)
    assert left(cache, up=Up("a")).settings["attribute up"] == forms[0]


def test_arguments_are_not_counted_twice(cache: Cache) -> None:
    """They are in the key."""
    assert left(cache) == ({}, ())


def test_what_is_put_aside_while_it_runs_does_not_count(cache: Cache) -> None:
    """A result was made from the attributes before the run."""
    task = Made()
    run(task)

    assert task.scratch == "made while it ran"
    assert task.task_is_done()
    assert run(task) == 0


def test_what_cannot_be_named_is_listed(cache: Cache) -> None:
    """In the record, with its type."""
    found = left(cache, lock=threading.Lock())

    assert found == ({}, ("attribute lock (a lock)",))
    run(Made())
    version = next(cache.store.look(Made()._taskproc.place))
    assert version.about["untracked"] == ["attribute lock (a lock)"]


LARGE = {"bytes": bytes(1 << 20) + b"1", "array": np.zeros(1 << 18), "list": [0] * (1 << 20) + [1]}


@pytest.mark.parametrize("large", LARGE.values(), ids=LARGE)
def test_what_is_large_is_not_looked_at(cache: Cache, large: Any) -> None:
    """Above a megabyte; a value slightly below counts."""
    assert left(cache, large=large).untracked == (f"attribute large (a {type(large).__name__})",)
    assert list(left(cache, large=large[: len(large) // 2]).settings) == ["attribute large"]


def test_an_argument_that_is_large_is_not_listed(cache: Cache) -> None:
    """It counts by its key, whatever copy of it the task holds."""

    class Holds(Task):
        def __init__(self, data: list[int]):
            self.data = data

        def run_task(self) -> None:
            pass

    assert left_on(Holds([0] * (1 << 20) + [1])) == ({}, ())


def test_a_version_stands_for_the_source(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then an edit does not count; another version does."""
    monkeypatch.setattr(Up, "task_version", "1")
    assert run(Up()) == 1
    record = next(cache.store.look(Up()._taskproc.place)).record
    assert (cache.store.code(Up.task_name, record.code) or {})["items"] == {}
    monkeypatch.setattr(Up, "task_version", "2")
    assert run(Up()) == 1
    monkeypatch.setattr(Up, "task_version", "1")
    assert run(Up()) == 0


def test_packages_count_by_their_version(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name of the distribution or of the module; a missing package counts as such."""
    monkeypatch.setattr(Up, "task_packages", ["numpy", "pytest", "_pytest", "no-such-thing"])

    found = settings_of(Up)

    assert found["package numpy"] == np.__version__
    assert found["package pytest"] == found["package _pytest"] == pytest.__version__
    assert found["package no-such-thing"] == "not installed"


def test_a_package_that_is_not_installed_is_warned_of(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, with the one that was probably meant."""
    monkeypatch.setattr(Up, "task_packages", ["nunpy", "pytest"])

    for _ in range(2):
        settings_of(Up)

    assert [record.getMessage() for record in caplog.records] == [
        "task_packages of Up names 'nunpy', which is not installed. Did you mean 'numpy'?"
    ]


def test_variables_count_by_their_value(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not set is a value, too. The text itself is not stored, because it may be a secret."""
    monkeypatch.setattr(Up, "task_environment", ["MODEL_DIR"])
    monkeypatch.delenv("MODEL_DIR", raising=False)
    counts = [run(Up())]
    for value in ("/secret", "/secret", "", "/other"):
        monkeypatch.setenv("MODEL_DIR", value)
        counts.append(run(Up()))

    assert counts == [1, 1, 0, 1, 1]
    assert not [path for path in Path(cache.path).rglob("*.json") if "/secret" in path.read_text()]
    for version in cache.store.look(Up()._taskproc.place):
        assert "/secret" not in str(version)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("task_version", 2, "task_version of Wrong must be a string, got 2"),
        ("task_packages", "numpy", "task_packages of Wrong must be a list of strings, got 'numpy'"),
        ("task_environment", [1], r"task_environment of Wrong must be a list of strings, got \[1\]"),
    ],
)
def test_wrong_settings_are_refused(name: str, value: object, text: str) -> None:
    """When the class is defined."""
    with pytest.raises(BuildError, match=text):
        type(Task)("Wrong", (Task,), {name: value, "__qualname__": "Wrong"})
