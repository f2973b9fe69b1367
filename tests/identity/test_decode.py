"""Laws of decoding: every form gives back the value and type that it was made of, or an error that says why not."""
from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import fractions
import functools
import json
import math
import pathlib
import re
import typing
import uuid
import zoneinfo

import pytest

from taskproc.errors import UnnamableValue
from taskproc.values.decode import value_of_form
from taskproc.values.encode import json_form, key_form, register
from taskproc.values.forms import FUTURE_TAGS, Json
from tests.identity.samples import WHERE, Access, Color, Keyed, Mask, Pair, Word, full_text, there_and_back


@dataclasses.dataclass(frozen=True)
class Counted:
    x: object
    y: object = 0
    made: int = dataclasses.field(default=0, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "made", self.made + 1)


@dataclasses.dataclass
class Slotted:
    __slots__ = ("x",)
    x: int


class Handle:
    def __init__(self, name: str):
        self.name = name

    def __eq__(self, other: object) -> bool:
        return type(other) is Handle and other.name == self.name

    __hash__ = None  # type: ignore[assignment]


class Closed(Handle):
    pass


@pytest.mark.parametrize(
    "value",
    [
        None, True, 0, -1, 1 << 63, -(1 << 63), 10**5000, 1.5, 1e300, float("inf"), float("-inf"), "", "é\0", "\ud800",
        "\ud800\udc00", b"", b"\xff", bytearray(b"a"), bytes(1 << 16), 1 - 2j, (), (1, [2, (3,)]), [], {}, {"a": (1,)},
        {1: "a", None: "b", (1, 2): {"c": set()}}, {"__tuple__": [1]}, {"__int__": "1"}, {"\ud800": 1}, {1, "a", (2,)},
        frozenset({frozenset({1}), 2}), range(1, 9, 3), slice(None, (1,), 2), ..., NotImplemented,
        collections.OrderedDict([("b", 1), ("a", 2)]), collections.Counter("abca"), collections.deque([1, 2], maxlen=2),
        collections.deque(), collections.defaultdict(list, {1: [2]}), collections.defaultdict(None, a=1),
        re.compile("(?i)a.b", re.DOTALL), re.compile(b"a"), dt.date(1, 1, 1), dt.time(1, 2, 3, 4), dt.time(1, fold=1),
        dt.datetime(2020, 1, 2, 3, 4, 5, 6), dt.datetime(2020, 1, 2, tzinfo=dt.timezone.utc),
        dt.datetime(2020, 10, 25, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")), dt.timedelta(-3, 4, 5),
        dt.timezone(dt.timedelta(seconds=-1), "odd"), zoneinfo.ZoneInfo("Asia/Tokyo"), pathlib.PurePosixPath("/a/b"),
        pathlib.PureWindowsPath("c:/a"), pathlib.Path("a"), decimal.Decimal("-1.00"), decimal.Decimal("1E+9"),
        decimal.Decimal("-Infinity"), fractions.Fraction(-1, 3), uuid.UUID(int=7), Color.RED, Word.ONE, Access.READ,
        Access.READ | Access.WRITE, Access(0), Mask.LOW | Mask.HIGH, Mask(8), Mask(0), int, Counted, len, math.sin,
        json.dumps, Pair(1, (2,)), Counted(Pair([], {}), (1,)), [Counted(1)], {Counted(1): {Counted(2)}},
    ],
    ids=lambda value: f"{type(value).__name__}",
)  # fmt: skip
def test_round_trip(value: object) -> None:
    """A value through JSON text and back is equal, of the same type, and has the same form."""
    back = there_and_back(value)

    assert value == back
    assert type(value) is type(back)
    assert full_text(value) == full_text(back)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"), complex(-0.0, float("nan")), -0.0, decimal.Decimal("-sNaN12"), Slotted(1),
        functools.partial(int, "7", base=8),
    ],
    ids=lambda value: f"{type(value).__name__}",
)  # fmt: skip
def test_round_trip_of_what_is_not_equal_to_itself(value: object) -> None:
    """NaN, signed zeros and partial functions are decoded too."""
    back = there_and_back(value)

    assert type(value) is type(back)
    assert full_text(value) == full_text(back)


def test_instances_are_not_built_again() -> None:
    """Neither __init__ nor __post_init__ runs: the instance gets its attributes."""
    assert Counted(1) == there_and_back(Counted(1))


def test_futures_are_given_to_the_caller() -> None:
    """Each form with the tag of a future, at any place, is given to the function for futures."""
    seen: list[Json] = []
    form: Json = {"a": [{tag: 1} for tag in sorted(FUTURE_TAGS)]}

    value = value_of_form(form, lambda future: seen.append(future) or "future")

    assert {"a": ["future"] * len(FUTURE_TAGS)} == value
    assert [{tag: 1} for tag in sorted(FUTURE_TAGS)] == seen


@pytest.mark.parametrize("tag", sorted(FUTURE_TAGS))
def test_futures_are_refused_without_a_graph(tag: str) -> None:
    """Without that function the form of a future is refused."""
    with pytest.raises(UnnamableValue, match=f"'{tag}' stands for a task or another future"):
        value_of_form([{tag: []}])


def test_digests_are_refused() -> None:
    """A digest in place of long content is refused."""
    for form in (json_form(bytes(1 + (1 << 16)), WHERE), key_form(bytes(65), WHERE)):
        with pytest.raises(UnnamableValue, match=r"only a digest of this content was kept \(\d+ bytes\)"):
            value_of_form(form)


def test_own_keys_are_refused() -> None:
    """The form of a __task_key__ is refused."""
    with pytest.raises(UnnamableValue, match="Keyed' has only the form of its __task_key__"):
        there_and_back(Keyed())


def test_registered_types() -> None:
    """A registered type is decoded by its function; without one, or unregistered, it is refused."""
    register(Handle, lambda handle: (handle.name,), lambda form: Handle(*form))
    register(Closed, lambda handle: handle.name)

    assert [Handle("a")] == there_and_back([Handle("a")])
    with pytest.raises(UnnamableValue, match="Closed' was registered without `decode`"):
        there_and_back(Closed("a"))
    with pytest.raises(UnnamableValue, match="'no:Type' is not registered here"):
        value_of_form({"__registered__": ["no:Type", 1]})


@pytest.mark.parametrize(
    "form",
    [
        {"__unknown__": 1}, {"__tuple__": 1}, {"__int__": "zz"}, {"__int__": None}, {"__bytes__": "?"},
        {"__bytes__": 1}, (1,), {"a": {1}}, {"__set__": [[]]}, {"__function__": ""}, {"__decimal__": [0, "x", 0]},
        {"__enum__": [f"{Color.__module__}:Color", "GREEN"]}, {"__enum__": [f"{__name__}:Counted", "x"]},
        {"__enum__": []},
        {"__dataclass__": [f"{__name__}:Counted", {"x": 1}]},
        {"__dataclass__": [f"{__name__}:Slotted", {"x": 1, "y": 2}]},
        {"__dataclass__": ["no.such.module:Counted", {}]},
        {"__dataclass__": [f"{__name__}:Gone", {}]}, {"__dataclass__": ["builtins:int", {}]},
        {"__class__": "builtins:len"}, {"__zone__": "No/Where"}, {"__date__": "today"},
        {"__namedtuple__": [f"{Pair.__module__}:Pair", {"left": 1}]}, {"__path__": ["Path.home", "a"]},
        {"__numpy__": ["array", {}]}, {"__pandas__": ["Index", ["eval", [], []]]},
        {"__polars__": ["Series", ["a", "eval", []]]},
    ],
    ids=str,
)  # fmt: skip
def test_damaged_forms_are_refused(form: typing.Any) -> None:
    """A form that was edited, or whose class is gone, gives a message and no other exception."""
    with pytest.raises(UnnamableValue):
        value_of_form(form)


def test_deep_forms_are_refused() -> None:
    """A deep form is refused without a RecursionError."""
    form: Json = []
    for _ in range(100_000):
        form = [form]

    with pytest.raises(UnnamableValue, match="nested too deeply"):
        value_of_form(form)
