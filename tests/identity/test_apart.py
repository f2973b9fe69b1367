"""Laws of pairs: values that a task can distinguish have two keys, and values that it cannot have one."""
from __future__ import annotations

import collections
import copy
import dataclasses
import datetime as dt
import decimal
import functools
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any

import pytest

from taskproc.errors import UnnamableValue
from taskproc.values.encode import key_form
from tests.identity.samples import WHERE, Keyed, key, there_and_back

numpy: Any = pytest.importorskip("numpy")
pandas: Any = pytest.importorskip("pandas")
attrs: Any = pytest.importorskip("attrs")
pydantic: Any = pytest.importorskip("pydantic")


class _Base:
    __slots__ = ("__x",)

    def __init__(self, x: object = None) -> None:
        self.__x = x

    def hidden(self) -> object:
        return self.__x


@dataclasses.dataclass
class Hiding(_Base):
    name: str = "a"


@dataclasses.dataclass
class Computing:
    number: int
    computed: int = dataclasses.field(default=0, compare=False)
    times: list[int] = dataclasses.field(default_factory=list, init=False, repr=False)

    @functools.cached_property
    def double(self) -> list[int]:
        self.calls.append(self.number)
        return [2 * self.number]

    calls = []


@attrs.define
class Slotted:
    number: int

    @functools.cached_property
    def double(self) -> int:
        return 2 * self.number


class Modelled(pydantic.BaseModel):
    number: int = 1

    @functools.cached_property
    def double(self) -> int:
        return 2 * self.number


@dataclasses.dataclass
class Amount(decimal.Decimal):
    unit: str = "EUR"


def hiding(x: object, name: str = "a") -> Hiding:
    made = Hiding(name)
    _Base.__init__(made, x)
    return made


def with_attribute(value: Any, name: str, content: object) -> Any:
    made = copy.copy(value)
    object.__setattr__(made, name, content)
    return made


def frame(**flags: bool) -> Any:
    return pandas.DataFrame({"a": [1, 2]}).set_flags(**flags)


def with_attrs(value: Any, attributes: Any) -> Any:
    value.attrs = attributes
    return value


def levels(*names: str) -> Any:
    return pandas.MultiIndex([list(names), [1]], [[names.index("a"), names.index("b")], [0, 0]])


APART: list[tuple[Any, Any]] = [
    (hiding(1), hiding(2)),
    (hiding(1), Hiding()),
    (hiding([1]), hiding((1,))),
    (with_attribute(Computing(1), "double", [3]), Computing(1)),
    (with_attribute(Computing(1), "double", [3]), with_attribute(Computing(1), "double", [4])),
    (with_attribute(Computing(1), "double", (2,)), Computing(1)),
    (with_attribute(Modelled(), "double", 3), Modelled()),
    (with_attribute(Computing(1), "__meta__", 3), Computing(1)),
    (Computing(1, 2), Computing(1, 3)),
    (with_attribute(Computing(1), "times", [1]), Computing(1)),
    (frame(allows_duplicate_labels=False), frame()),
    (frame()["a"].set_flags(allows_duplicate_labels=False), frame()["a"]),
    (with_attrs(frame(), {"a": 1, "b": 2}), with_attrs(frame(), {"b": 2, "a": 1})),
    (pandas.DataFrame({"a": [1], "b": [2]}), pandas.DataFrame({"b": [2], "a": [1]})),
    (pandas.Series([1], name="a"), pandas.Series([1], name="b")),
    (pandas.Index([1], name="a"), pandas.Index([1], name=("a",))),
    (pandas.Series(["a"], dtype=pandas.CategoricalDtype(["a", "b"])), pandas.Series(["a"], dtype="category")),
    (pandas.Categorical(["a"], ["a", "b"]).as_ordered(), pandas.Categorical(["a"], ["a", "b"])),
    (pandas.CategoricalIndex(["a"], ["a", "b"]), pandas.CategoricalIndex(["a"], ["b", "a"])),
    (levels("a", "b"), levels("b", "a")),
    (levels("a", "b", "c"), levels("a", "b")),
    (pandas.date_range("2020", periods=3), pandas.DatetimeIndex(list(pandas.date_range("2020", periods=3)))),
    (numpy.dtype("i4", metadata={"a": 1}), numpy.dtype("i4")),
    (numpy.zeros(2, numpy.dtype("i4", metadata={"a": 1})), numpy.zeros(2, "i4")),
    (numpy.zeros(2, ">i4"), numpy.zeros(2, "<i4")),
    (numpy.array(1), numpy.int64(1)),
    (numpy.array(["a"]), numpy.array(["a"], object)),
    (dt.datetime(2020, 10, 25, 2, 30), dt.datetime(2020, 10, 25, 2, 30, fold=1)),
    (dt.time(1, tzinfo=dt.timezone.utc), dt.time(1)),
    (dt.timezone.utc, zoneinfo.ZoneInfo("UTC")),
    (decimal.Decimal("1.0"), decimal.Decimal("1.00")),
    (uuid.UUID(int=1, is_safe=uuid.SafeUUID.unsafe), uuid.UUID(int=1)),
    (collections.deque([1], 5), collections.deque([1], 6)),
    (collections.deque([1], 5), collections.deque([1])),
    (collections.defaultdict(None, {1: 2}), collections.defaultdict(int, {1: 2})),
    (collections.defaultdict(int, {1: 2}), {1: 2}),
    (collections.Counter(a=0), collections.Counter()),
    (functools.partial(len, a=1, b=2), functools.partial(len, b=2, a=1)),
    ({1: {"b": 1, "a": 2}}, {1: {"a": 2, "b": 1}}),
    ({True: 1, "a": 2}, {1: 1, "a": 2}),
    (Keyed({"b": 1, "a": 2}), Keyed({"a": 2, "b": 1})),
]


@pytest.mark.parametrize(("left", "right"), APART, ids=lambda value: type(value).__name__)
def test_what_a_task_can_tell_apart_has_two_keys(left: Any, right: Any) -> None:
    """Distinct values have two keys, alone and in a container, also when encoded again or copied."""
    numbers = [pandas.Series(value) if isinstance(value, pandas.Categorical) else value for value in (left, right)]
    keys = [key(value) for value in numbers]

    assert keys[0] != keys[1]
    assert key([numbers[0]]) != key([numbers[1]])
    assert keys == [key(copy.deepcopy(value)) for value in numbers]
    if not isinstance(left, Keyed):
        assert keys == [key(there_and_back(value)) for value in numbers]


def used(value: Any, use: Callable[[Any], object]) -> Any:
    use(value)
    return value


ALIKE: list[tuple[Any, Any]] = [
    (hiding(1), hiding(1)),
    (used(Computing(1), lambda value: value.double), Computing(1)),
    (used(Slotted(1), lambda value: value.double), Slotted(1)),
    (used(Modelled(), lambda value: value.double), Modelled()),
    ({3, 1, 2}, {2, 3, 1}),
    (frozenset({"a", "b"}), frozenset({"b", "a"})),
    (numpy.zeros((2, 3), order="F"), numpy.zeros((2, 3))),
    (numpy.arange(6)[::2], numpy.array([0, 2, 4])),
    (used(frame(), lambda value: value.index.is_unique), frame()),
    (pandas.concat([frame(), frame()], axis=1), pandas.concat([frame(), frame()], axis=1).copy()),
    (levels("a", "b"), pandas.MultiIndex.from_tuples([("a", 1), ("b", 1)])),
    (dict(zip("ab", (1, 2), strict=True)), {"a": 1, "b": 2}),
    (decimal.Decimal("1E2"), decimal.Decimal("1e2")),
    (dt.timezone.utc, dt.timezone(dt.timedelta(0))),
    ("ab" * int("2"), "abab"),
    (collections.OrderedDict([("b", 1), ("a", 2)]), collections.OrderedDict(b=1, a=2)),
]


@pytest.mark.parametrize(("left", "right"), ALIKE, ids=lambda value: type(value).__name__)
def test_what_nobody_can_tell_apart_has_one_key(left: Any, right: Any) -> None:
    """Equal values have one key, whatever happened to them before."""
    assert key(left) == key(right)


def test_a_property_is_asked_on_a_copy_and_once() -> None:
    """A property is read once and on a copy, because it may be slow or change its instance."""
    Computing.calls.clear()
    values = [used(Computing(7), lambda value: value.double) for _ in range(3)]

    keys = {key(value) for value in values for _ in range(3)}

    assert len(keys) == 1
    assert Computing.calls == [7] * 4


def test_what_was_computed_and_changed_since_counts() -> None:
    """A list that a cached property gave and that was changed since is part of the key."""
    value = used(Computing(8), lambda value: value.double)
    before = key(value)
    value.double.append(1)

    assert before != key(value)


def test_a_number_with_fields_is_refused() -> None:
    """A subclass with fields of a number is refused, because its value is in no field."""
    with pytest.raises(UnnamableValue, match=r"Amount, a subclass of decimal\.Decimal"):
        key_form(Amount(1), WHERE)  # type: ignore[arg-type]
