"""An argument that changes between building a task and running it: its key would name another result."""
from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from taskproc.errors import BuildError, FailedTaskError
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.tasks.future import Const, FutureDict, FutureList
from taskproc.tasks.task import Task

numpy: Any = pytest.importorskip("numpy")
pandas: Any = pytest.importorskip("pandas")
pytestmark = pytest.mark.usefixtures("cache")


class Echo(Task):
    task_ignored_args = ("note",)
    task_default_since = {"start": collections.deque([0])}

    def __init__(self, value: Any, start: Any = 0, note: Any = None):
        self.value = value

    def run_task(self) -> Any:
        return self.value


@dataclasses.dataclass
class Box:
    content: Any


@dataclasses.dataclass(eq=False)
class Key:
    content: Any


class Color(enum.Enum):
    RED = 1


def key(task: Any) -> str:
    return str(task._taskproc.place.key)


def run(task: Any) -> Any:
    return task.run_graph(executor=LocalExecutor())[0]


def zeros() -> Any:
    return numpy.zeros(100)


def fill(array: Any) -> None:
    array[3] = 1


CHANGES: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "array": (zeros, fill),
    "array in a list": (lambda: [1, zeros()], lambda value: fill(value[1])),
    "array in a dict in a tuple": (lambda: ({"a": zeros()},), lambda value: fill(value[0]["a"])),
    "array of objects": (lambda: numpy.array([[1], None], object), lambda value: value[0].append(2)),
    "frame": (lambda: pandas.DataFrame({"a": [1, 2]}), lambda value: value.insert(1, "b", [3, 4])),
    "series": (lambda: pandas.Series([1, 2]), lambda value: value.pop(0)),
    "dataclass": (lambda: Box(1), lambda value: setattr(value, "content", 2)),
    "list in a dataclass": (lambda: Box([1]), lambda value: value.content.append(2)),
    "what has no form any more": (lambda: Box([1]), lambda value: value.content.append(object())),
    "dataclass in a dict": (lambda: {(1, 2): [Box(1)]}, lambda value: setattr(value[1, 2][0], "content", 2)),
    "key of a dict": (lambda: {Key(1): 2}, lambda value: setattr(next(iter(value)), "content", 2)),
    "deque": (lambda: collections.deque([1]), lambda value: value.append(2)),
    "ordered dict": (lambda: collections.OrderedDict(a=1), lambda value: value.update(b=1)),
    "counter": (lambda: collections.Counter("a"), lambda value: value.update("b")),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_task_whose_argument_was_changed_is_not_run(case: str, cache: Cache) -> None:
    """It fails, names the argument, and stores nothing; built again from the old value, it runs."""
    make, change = CHANGES[case]
    value = make()
    task = Echo(value)
    change(value)

    message = "argument 'value' of Echo was changed after the task was built: pass a copy"
    with pytest.raises(FailedTaskError, match=message) as error:
        run(task)

    assert isinstance(error.value.__cause__, BuildError)
    assert not task.task_is_done()
    assert key(Echo(make())) == key(task)
    run(Echo(make()))


def test_what_was_stored_before_is_what_the_task_was_built_for() -> None:
    """A fresh result needs no argument."""
    value = zeros()
    run(Echo(zeros()))
    task = Echo(value)
    fill(value)

    assert not run(task).any()


def test_what_is_left_out_at_its_old_meaning_counts_too() -> None:
    """Its absence from the key states its value."""
    start = collections.deque([0])
    task = Echo(1, start)
    assert key(task) == key(Echo(1, collections.deque([0])))
    start.append(1)

    with pytest.raises(FailedTaskError, match="argument 'start' of Echo was changed"):
        run(task)


def test_an_instance_is_shared_as_long_as_it_is_what_it_was_built_as() -> None:
    """An instance with a changed argument is discarded."""
    value = zeros()
    task = Echo(value)
    assert Echo(zeros()) is task
    fill(value)

    assert Echo(zeros()) is not task
    assert Echo(value) is not task
    assert key(Echo(value)) != key(task)


def test_an_ignored_argument_may_change() -> None:
    """It is not part of the key."""
    note = zeros()
    task = Echo(1, note=note)
    fill(note)

    assert run(task) == 1


PLAIN = [
    None, True, 1, 1.5, 1j, "a", b"a", bytearray(b"a"), ..., range(3), [1, [2, {3}], frozenset({4})],
    {"a": (1, [2]), (1, 2): {"b": None}}, pathlib.Path("a"), dt.date(2020, 1, 1), dt.timedelta(1), Color.RED, len, int,
    Box, Const([1]), FutureList([Const(1)]), FutureDict({"a": Const(numpy.zeros(1))}), [1] * 1000,
]  # fmt: skip


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: type(value).__name__)
def test_plain_arguments_cost_nothing(value: Any) -> None:
    """They are copied or immutable, so they are not compared again; futures have their own copies."""
    task = Echo([value], {"a": value})

    assert () == task._taskproc.loose
    assert () == Echo(Echo(zeros())[0])._taskproc.loose


def test_the_index_into_a_future_is_held_apart_too() -> None:
    """The key contains it as it was."""
    index = [0, 1]
    item = Const(numpy.arange(3))[index]
    index.append(2)

    assert [0, 1] == item.get_result().tolist()
