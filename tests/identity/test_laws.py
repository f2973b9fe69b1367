"""One key if and only if equal with types, and the same value back: over random nested values."""
from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import json
import pathlib
import random
import struct
import typing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskproc.values.decode import decode
from taskproc.values.encode import canonical_text, digest, json_form, key_form

numpy: typing.Any = pytest.importorskip("numpy")


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Number(enum.IntEnum):
    ONE = 1
    TWO = 2


class Pair(typing.NamedTuple):
    left: object
    right: object


@dataclasses.dataclass(frozen=True)
class Point:
    x: object
    y: object


@dataclasses.dataclass(frozen=True)
class Spot:
    x: object
    y: object


def key(value: object) -> str:
    return digest(key_form(value, "argument 'x' of Train"))


# ---------------------------------------------------------------- what equal with types means, said another way


def same(left: typing.Any, right: typing.Any) -> bool:
    """Equal with types, found by comparing, without any form."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return struct.pack("d", left) == struct.pack("d", right) or (left != left and right != right)
    if isinstance(left, complex):
        return same(left.real, right.real) and same(left.imag, right.imag)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, collections.OrderedDict):
        return same(list(left.items()), list(right.items()))
    if isinstance(left, dict):
        return matching([*left.items()], [*right.items()])
    if isinstance(left, (set, frozenset)):
        return matching([*left], [*right])
    return same_value(left, right)


def same_value(left: typing.Any, right: typing.Any) -> bool:
    if isinstance(left, (Point, Spot)):
        return same((left.x, left.y), (right.x, right.y))
    if isinstance(left, numpy.ndarray):
        return (left.dtype, left.shape) == (right.dtype, right.shape) and same(left.tolist(), right.tolist())
    if isinstance(left, numpy.generic):
        return same(left.item(), right.item())
    if isinstance(left, decimal.Decimal):
        return left.as_tuple() == right.as_tuple()
    if isinstance(left, dt.datetime):
        return left == right and left.fold == right.fold and left.tzinfo is right.tzinfo
    return bool(left == right)


def matching(left: list[object], right: list[object]) -> bool:
    """Whether each finds a partner of its own, in any order."""
    rest = list(right)
    for item in left:
        partner = next((at for at, other in enumerate(rest) if same(item, other)), None)
        if partner is None:
            return False
        del rest[partner]
    return not rest


def test_oracle_tells_types_apart() -> None:
    """The oracle is not plain equality."""
    assert same({1: [0.0, (1,)]}, {1: [0.0, (1,)]})
    numbers = [(1, True), (1, 1.0), (0.0, -0.0), (Number.ONE, 1)]
    for left, right in (*numbers, ((1,), [1]), ({1}, {1.0}), ({1: 2}, {True: 2})):
        assert not same(left, right)
        assert not same({"a": [left]}, {"a": [right]})


# ---------------------------------------------------------------- random values, few enough to meet

NUMBERS = [0, 1, -1, 2, 1 << 63, 1 << 64, 0.0, -0.0, 1.0, 1.5, float("nan"), float("inf"), 1j, 0j, True, False]
TEXTS = ["", "a", "1", "1.0", "true", "null", "__tuple__", "é", "\ud800", "\ud800\udc00", "\U00010000", b"", b"a", b"1"]
OTHERS = [
    None, ..., Color.RED, Color.BLUE, Number.ONE, Number.TWO, range(1), range(2), decimal.Decimal("1"), int, Point,
    decimal.Decimal("1.0"), dt.date(2020, 1, 1), dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 1, fold=1), float,
    dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc), dt.timedelta(1), pathlib.PurePosixPath("a"), bytes(65), bytes(66),
    numpy.float64(1), numpy.float32(1), numpy.int64(1), numpy.bool_(True), numpy.str_("a"),
]  # fmt: skip
ARRAYS = [numpy.array([1, 2]), numpy.array([1.0, 2.0]), numpy.array([[1, 2]]), numpy.zeros(99)]
ARRAYS += [numpy.array([1, "a"], object)]

scalars = st.one_of(
    st.sampled_from([*NUMBERS, *TEXTS, *OTHERS]),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(st.characters(), max_size=5),
    st.binary(max_size=80),
    st.decimals(allow_nan=False),
    st.datetimes(timezones=st.sampled_from([None, dt.timezone.utc])),
)


def containers(inner: st.SearchStrategy[typing.Any]) -> st.SearchStrategy[typing.Any]:
    few = st.lists(inner, max_size=3)
    return st.one_of(
        few.map(tuple),
        few.map(frozenset),
        st.builds(Point, inner, inner),
        st.builds(Spot, inner, inner),
        st.builds(Pair, inner, inner),
    )


hashables = st.recursive(scalars, containers, max_leaves=3)


def mutables(inner: st.SearchStrategy[typing.Any]) -> st.SearchStrategy[typing.Any]:
    return st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(hashables, inner, max_size=3),
        st.dictionaries(st.text(max_size=3) | st.just("__dict__"), inner, max_size=3),
        st.dictionaries(hashables, inner, max_size=3).map(collections.OrderedDict),
        st.sets(hashables, max_size=3),
        st.builds(Point, inner, inner),
        st.builds(Pair, inner, inner),
    )


values = st.recursive(hashables | st.sampled_from(ARRAYS), mutables, max_leaves=6)


def rebuilt(value: typing.Any) -> typing.Any:
    """The same value made anew, in another order where order is no part of it."""
    if type(value) in (list, tuple):
        return type(value)(map(rebuilt, value))
    if type(value) in (set, frozenset):
        return type(value)(sorted(map(rebuilt, value), key=lambda item: random.Random(repr(item)).random()))
    if type(value) is dict:
        return {rebuilt(name): rebuilt(item) for name, item in reversed(value.items())}
    if type(value) in (Point, Spot):
        return type(value)(rebuilt(value.x), rebuilt(value.y))
    return numpy.asfortranarray(value) if isinstance(value, numpy.ndarray) else value


def near(value: typing.Any, draw: random.Random) -> typing.Any:
    """A value that differs in one place, and often only in a type."""
    if type(value) in (list, tuple) and value and draw.random() < 0.8:
        at = draw.randrange(len(value))
        return type(value)([*value[:at], near(value[at], draw), *value[at + 1 :]])
    if type(value) is dict and value and draw.random() < 0.8:
        name = draw.choice(list(value))
        return {**value, name: near(value[name], draw)}
    swaps: dict[type, typing.Callable[[typing.Any], object]] = {
        list: tuple, tuple: list, set: frozenset, frozenset: set, dict: collections.OrderedDict, Pair: tuple,
        collections.OrderedDict: dict, str: lambda it: it.encode("utf-8", "surrogatepass"), bytes: bytearray,
        Point: lambda it: Spot(it.x, it.y), bool: int, int: str, float: str, type(None): str,
        numpy.ndarray: lambda it: it.tolist(), numpy.float64: float,
    }  # fmt: skip
    return swaps.get(type(value), lambda it: [it])(value)


# Making a nested value costs hypothesis some 10 ms; the ten thousand below cost less.
few = settings(max_examples=60, derandomize=True, database=None, deadline=None)


@pytest.mark.slow
@few
@given(values, values)
def test_one_key_if_and_only_if_equal(left: object, right: object) -> None:
    """Two values have one key exactly if they are equal with types."""
    assert same(left, right) == (key(left) == key(right))


@pytest.mark.slow
@few
@given(values, st.integers())
def test_neighbours_have_other_keys(value: object, seed: int) -> None:
    """A value that differs in one place, if only in a type, has another key."""
    other = near(value, random.Random(seed))

    assert same(value, other) == (key(value) == key(other))


@pytest.mark.slow
@few
@given(values)
def test_order_of_making_does_not_count(value: object) -> None:
    """A value made anew in another order has the same key, and the same JSON."""
    again = rebuilt(value)

    assert key(value) == key(again)
    assert canonical_text(json_form(value, "x")) == canonical_text(json_form(again, "x"))


@pytest.mark.slow
@few
@given(values)
def test_there_and_back(value: object) -> None:
    """Through JSON text and back is the same value, of the same types, with the same key."""
    back = decode(json.loads(canonical_text(json_form(value, "x"))))

    assert same(value, back)
    assert key(value) == key(back)


@pytest.mark.slow
@few
@given(values)
def test_a_form_is_not_what_it_stands_for(value: object) -> None:
    """A form passed as a value has the key of that value only if it is that value, plain JSON."""
    form = json_form(value, "x")

    assert same(value, form) == (key(value) == key(form))


@pytest.mark.slow
def test_no_collision_among_ten_thousand() -> None:
    """Of 10,000 random values any two with one key are equal with types, and any two equal have one key."""
    draw = random.Random(20)
    found: dict[str, object] = {}
    made = [grown(draw, 3) for _ in range(10_000)]

    for value in made:
        assert same(value, found.setdefault(key(value), value))
    for value in draw.sample(made, 40):
        assert all(key(value) == name for name, other in found.items() if same(value, other))
    assert len(found) > 5000


def grown(draw: random.Random, depth: int) -> typing.Any:
    if depth == 0 or draw.random() < 0.2:
        return draw.choice([*NUMBERS, *TEXTS, *OTHERS, *ARRAYS])
    items = [grown(draw, depth - 1) for _ in range(draw.randrange(4))]
    kind = draw.choice([list, tuple, dict, set, Point, Pair])
    if kind in (list, tuple):
        return kind(items)
    if kind is dict:
        return dict(zip(draw.sample(TEXTS, len(items)), items, strict=True))
    if kind is set:
        return set(draw.sample(NUMBERS + TEXTS, len(items)))
    return kind(items[:2], items[2:])
