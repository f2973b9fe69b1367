"""Laws of values that other systems confuse or refuse: each is a task of its own, with its own result."""
from __future__ import annotations

import copy
import datetime as dt
import decimal
import pathlib
import uuid
from typing import Any

import pytest

from taskproc.errors import UnnamableValue
from taskproc.run.pool import LocalExecutor
from taskproc.tasks.future import Const, FutureDict, FutureList
from taskproc.tasks.task import Task
from tests.identity.oracle import same
from tests.identity.samples import Box, Color, Number, Pair, Point, Word

numpy: Any = pytest.importorskip("numpy")
pytestmark = pytest.mark.usefixtures("cache")


class Echo(Task):
    def __init__(self, value: Any, other: Any = 2):
        self.value = value

    def run_task(self) -> Any:
        return self.value.get_result() if hasattr(self.value, "get_result") else self.value


class OwnInt(int):
    pass


class OwnDict(dict):  # type: ignore[type-arg]
    pass


def run(task: Any) -> Any:
    return task.run_graph(executor=LocalExecutor())[0]


PAIRS: list[tuple[Any, Any]] = [
    ((1, 2), [1, 2]),
    ({1: "a"}, {"1": "a"}),
    ({None: 1}, {"null": 1}),
    ({True: 1}, {"true": 1}),
    (((1,),), ([1],)),
    (Number.ONE, 1),
    (Word.ONE, "one"),
    (Const(1), {"__const__": 1}),
    (FutureList([Const(1)]), {"__futurelist__": [{"__const__": 1}]}),
    (FutureList([Const(1)]), [{"__const__": 1}]),
    (FutureDict({1: Const(1)}), FutureDict({"1": Const(1)})),
    (numpy.float64(1), 1.0),
    (Pair(1, 2), (1, 2)),
    (1, True),
    (1, 1.0),
    (0.0, -0.0),
    (float("nan"), "NaN"),
    (numpy.array([1, 2], "f4"), numpy.array([1, 2], "i4")),
    (numpy.array([[1, 2]]), numpy.array([1, 2])),
    (Point(1), Box(1)),
]


@pytest.mark.parametrize(("left", "right"), PAIRS, ids=lambda value: type(value).__name__)
def test_what_was_taken_for_one_is_two(left: Any, right: Any) -> None:
    """Each value of a pair gives its own result, of its own type, computed and stored."""
    tasks = [Echo(left), Echo(right)]
    values = [value.get_result() if hasattr(value, "get_result") else value for value in (left, right)]

    assert tasks[0].task_id != tasks[1].task_id
    for _ in range(2):
        assert all(same(value, run(task)) for value, task in zip(values, tasks, strict=True))


ACCEPTED = [
    {1, "a"}, frozenset({(1,)}), b"\xff", 1j, decimal.Decimal("1.0"), dt.date(2020, 1, 1), pathlib.Path("a"), Color.RED,
    Point((1,), {"a": 1}), numpy.int32(1), numpy.arange(6).reshape(2, 3), uuid.UUID(int=1), range(1, 9, 2),
    {1: "a", "1": "b", None: "c", (1, "1"): "d"}, {"lone \ud800": "\0"},
]  # fmt: skip


@pytest.mark.parametrize("value", ACCEPTED, ids=lambda value: type(value).__name__)
def test_what_was_refused_is_accepted(value: Any) -> None:
    """A value that others refuse is accepted, and the result is the value."""
    task = Echo(value)

    assert task is Echo(copy.deepcopy(value)) is Echo(value=value) is Echo(value, 2) is Echo(value, other=2)
    assert same(value, run(task))


@pytest.mark.parametrize("value", [OwnInt(1), OwnDict(a=1), [OwnInt(1)]], ids=lambda value: type(value).__name__)
def test_a_subclass_is_no_guess(value: Any) -> None:
    """A subclass is refused with the remedy, because nobody knows what it adds to its base."""
    with pytest.raises(UnnamableValue, match=r"argument 'value.*' of Echo .* a subclass of (int|dict)\); convert"):
        Echo(value)


def test_a_future_dict_may_have_any_keys() -> None:
    """A FutureDict may have any keys, also some that are equal in JSON."""
    keys = [1, "1", None, "null", (1, "1"), "a/b", "../../x", "/abs", "x" * 300, "\0", "\ud800"]

    assert {key: key for key in keys} == run(Echo(FutureDict({key: Const(key) for key in keys})))
