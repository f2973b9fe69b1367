"""Arguments: bound by parameter, and independent of what the caller does to its own objects."""
from __future__ import annotations

import collections
import dataclasses
import inspect
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskproc.run.pool import LocalExecutor
from taskproc.tasks import binding
from taskproc.tasks.binding import binder, copied, signature
from taskproc.tasks.future import Const, FutureDict, FutureList, Upstream
from taskproc.tasks.task import Task

pytestmark = pytest.mark.usefixtures("cache")


class Echo(Task):
    def __init__(self, value: Any = 1, other: Any = None):
        self.value = value

    def run_task(self) -> Any:
        return self.value.get_result() if isinstance(self.value, Upstream) else self.value


@dataclasses.dataclass
class Held:
    inside: Any


def bind(cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    return binder(cls).bind(cls, args, kwargs)


def test_arguments_are_bound_by_parameter() -> None:
    """With defaults, in the order of the parameters."""
    assert list(bind(Echo, (), {"other": 2}).items()) == [("value", 1), ("other", 2)]
    assert bind(Echo, (1,), {"other": 2}) == {"value": 1, "other": 2}
    assert list(signature(Echo).parameters) == ["value", "other"]


def test_a_default_factory_is_called() -> None:
    """Each time; its value is the argument."""
    numbers = iter(range(9))
    kind = dataclasses.make_dataclass("kind", [("x", int, dataclasses.field(default_factory=lambda: next(numbers)))])

    assert [bind(kind, (), {})["x"] for _ in range(2)] == [0, 1]
    assert bind(kind, (7,), {})["x"] == 7


def test_further_keywords_are_sorted() -> None:
    """However a call is written, it is one task, and the task cannot see how; the values keep their order."""

    class Loose(Task):
        def __init__(self, first: Any = 0, **others: Any):
            self.others = others

        def run_task(self) -> Any:
            return list(self.others), list(self.others["a"])

    task = Loose(b=1, a={"y": 1, "x": 2}, first=3)

    assert task is Loose(3, a={"y": 1, "x": 2}, b=1)
    assert task is not Loose(3, a={"x": 2, "y": 1}, b=1)
    assert task.run_graph(executor=LocalExecutor())[0] == (["a", "b"], ["y", "x"])


@pytest.mark.parametrize(
    "make",
    [
        dict,
        lambda pairs: [({"in": dict(pairs)},)],
        lambda pairs: {1: 0, "_": dict(pairs)},
        lambda pairs: {number: name for name, number in pairs},
        lambda pairs: collections.Counter(name for name, _ in pairs),
        lambda pairs: collections.defaultdict(int, pairs),
        collections.OrderedDict,
        lambda pairs: FutureDict({name: Const(number) for name, number in pairs}),
        lambda pairs: Const(dict(pairs)),
        lambda pairs: Held(dict(pairs)),
    ],
)
def test_the_order_of_a_dict_is_an_argument(make: Any) -> None:
    """The task can see it, so dicts with different orders have different results."""
    pairs = [("a", 1), ("b", 2)]
    tasks = [Echo(make(pairs)), Echo(make(pairs[::-1]))]

    assert tasks[0] is Echo(make(pairs))
    assert len({repr(task.run_graph(executor=LocalExecutor())[0]) for task in tasks}) == 2


def shapes() -> list[type]:
    """Classes with parameters of all kinds."""

    class Plain:
        def __init__(self, a: Any, b: Any = 2, c: Any = 3): ...

    class Named:
        def __init__(self, a: Any, b: Any = 2, *, c: Any, d: Any = 4): ...

    class Only:
        def __init__(self, *, a: Any = 1): ...

    class Before:
        def __init__(self, a: Any, /, b: Any = 2): ...

    class Many:
        def __init__(self, a: Any = 1, *b: Any, c: Any = 3, **d: Any): ...

    class Nothing: ...

    return [Plain, Named, Only, Before, Many, Nothing]


@settings(max_examples=80, derandomize=True, database=None, deadline=None)
@given(
    st.sampled_from(shapes()),
    st.lists(st.integers(), max_size=4),
    st.dictionaries(st.sampled_from("abcde"), st.integers(), max_size=4),
)
def test_the_short_way_to_bind_is_that_of_inspect(cls: Any, args: list[int], kwargs: dict[str, int]) -> None:
    """The same arguments in the same order, or the same error, and `__init__` gets the same."""
    try:
        expected = signature(cls).bind(*args, **kwargs)
    except TypeError as error:
        with pytest.raises(TypeError, match=re.escape(f"{cls.__qualname__}: {error}")):
            bind(cls, tuple(args), kwargs)
        return
    expected.apply_defaults()

    found = bind(cls, tuple(args), kwargs)

    assert list(expected.arguments.items()) == list(found.items())
    assert (expected.args, expected.kwargs) == binder(cls).call_arguments(found)


def test_a_class_is_inspected_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many of its tasks are built, and however they are called."""
    asked = []
    monkeypatch.setattr(binding, "inspected", lambda init: asked.append(init) or inspect.signature(init))
    monkeypatch.setattr(inspect.Signature, "bind", lambda self, *args, **kwargs: pytest.fail("the long way"))

    class Leaf(Echo):
        pass

    for number in range(20):
        Leaf(number)
        Leaf(value=-number, other=None)

    assert [Echo.__init__] == asked


@pytest.mark.parametrize(
    "value",
    [1, "x", None, [1, [2]], (1, [2]), {"a": [1]}, {(1,): {2}}, frozenset({1}), bytearray(b"x"), [{"a": ([1],)}]],
)
def test_own_gives_an_equal_value(value: Any) -> None:
    """Of the same types at each level."""
    assert (copied(value), repr(copied(value))) == (value, repr(value))


def test_own_shares_nothing_that_can_be_filled() -> None:
    """Containers are new at each level, other objects are the same."""
    inner: list[Any] = []
    thing, task = object(), Echo()
    value = {"list": inner, "tuple": (inner,), "future": FutureList(), "dict": FutureDict(), "rest": [thing, task]}

    copy = copied(value)

    assert copy["list"] is not inner
    assert copy["tuple"][0] is not inner
    assert (copy["future"] is not value["future"], type(copy["future"])) == (True, FutureList)
    assert type(copy["dict"]) is FutureDict
    assert copy["rest"][0] is thing
    assert copy["rest"][1] is task
