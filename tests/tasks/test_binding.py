"""Arguments: bound by parameter, and held apart from what the caller does to his own."""
from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from taskproc.tasks.binding import bind, own, signature
from taskproc.tasks.future import FutureDict, FutureList
from taskproc.tasks.task import Task

pytestmark = pytest.mark.usefixtures("cache")


class Echo(Task):
    def __init__(self, value: Any = 1, other: Any = None):
        self.value = value

    def run_task(self) -> Any:
        return self.value


def test_arguments_are_bound_by_parameter() -> None:
    """Defaults applied, in the order of the parameters."""
    assert bind(Echo, (), {"other": 2}).arguments == {"value": 1, "other": 2}
    assert bind(Echo, (1,), {"other": 2}).arguments == {"value": 1, "other": 2}
    assert list(signature(Echo).parameters) == ["value", "other"]


def test_a_default_factory_is_called() -> None:
    """Each time: its value is the argument."""
    numbers = iter(range(9))
    kind = dataclasses.make_dataclass("kind", [("x", int, dataclasses.field(default_factory=lambda: next(numbers)))])

    assert [bind(kind, (), {}).arguments["x"] for _ in range(2)] == [0, 1]
    assert bind(kind, (7,), {}).arguments["x"] == 7


@pytest.mark.parametrize(
    "value",
    [1, "x", None, [1, [2]], (1, [2]), {"a": [1]}, {(1,): {2}}, frozenset({1}), bytearray(b"x"), [{"a": ([1],)}]],
)
def test_own_gives_an_equal_value(value: Any) -> None:
    """Of the same types, at every level."""
    assert (own(value), repr(own(value))) == (value, repr(value))


def test_own_shares_nothing_that_can_be_filled() -> None:
    """Containers are new at every level, other objects are the same."""
    inner: list[Any] = []
    thing, task = object(), Echo()
    value = {"list": inner, "tuple": (inner,), "future": FutureList(), "dict": FutureDict(), "rest": [thing, task]}

    copy = own(value)

    assert copy["list"] is not inner
    assert copy["tuple"][0] is not inner
    assert (copy["future"] is not value["future"], type(copy["future"])) == (True, FutureList)
    assert type(copy["dict"]) is FutureDict
    assert copy["rest"][0] is thing
    assert copy["rest"][1] is task
