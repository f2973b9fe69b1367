"""What equal with types means, found by comparing and without any form; and random values to try it on.

Run as a module it prints the keys of values that another process can make alike: `python -m tests.identity.oracle
SEED COUNT`.
"""
from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import fractions
import functools
import json
import math
import pathlib
import random
import re
import struct
import sys
import typing
import uuid
import zoneinfo
from collections.abc import Callable, Iterator

import numpy

from tests.identity.samples import Access, Box, Color, Mask, Number, Pair, Point, Shade, Spot, Word, function, key

Any = typing.Any


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal and nothing in them differs in type, sign or order."""
    kind = type(left)
    if kind is not type(right):
        return False
    if isinstance(left, (enum.Enum, type)) or (callable(left) and kind is not functools.partial):
        return bool(left == right)
    for base, parts in PARTS:
        if issubclass(kind, base):
            return compare(parts(left), parts(right))
    return bool(left == right)


def compare(left: Any, right: Any) -> bool:
    """The parts of a value that are compared; a set of parts has no order."""
    if isinstance(left, Unordered):
        return matching(left, right)
    if isinstance(left, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


class Unordered(list[Any]):
    """Parts in any order."""


def matching(left: list[Any], right: list[Any]) -> bool:
    """Whether the parts can be matched one to one."""
    rest = list(right)
    for item in left:
        partner = next((at for at, other in enumerate(rest) if same(item, other)), None)
        if partner is None:
            return False
        del rest[partner]
    return not rest


def bits(number: float) -> bytes:
    """The bits of a float, so that zeros of both signs differ; all NaNs are equal."""
    return b"nan" if math.isnan(number) else struct.pack("d", number)


def moment(value: Any) -> tuple[Any, ...]:
    """Wall time, fold and zone, because equal moments may be written differently."""
    return value.replace(tzinfo=None, fold=0).isoformat(), value.fold, value.tzinfo


def array(value: Any) -> tuple[Any, ...]:
    """The array in a form without the bytes between its elements."""
    return str(value.dtype.descr), value.shape, value.tolist()


# Type → what its values are made of, subclasses first
PARTS: list[tuple[Any, Callable[[Any], Any]]] = [
    (float, bits),
    (complex, lambda value: (value.real, value.imag)),
    (numpy.ndarray, array),
    (numpy.generic, lambda value: (str(value.dtype), value.item())),
    (collections.defaultdict, lambda value: (value.default_factory, dict(value))),
    (dict, lambda value: tuple(value.items())),
    ((set, frozenset), Unordered),
    (collections.deque, lambda value: (value.maxlen, *value)),
    ((list, tuple), tuple),
    ((Point, Spot, Box), lambda value: (value.x, value.y)),
    ((range, slice), lambda value: (value.start, value.stop, value.step)),
    (decimal.Decimal, lambda value: (*value.as_tuple()[:2], str(value.as_tuple()[2]))),
    (pathlib.PurePath, str),
    ((dt.datetime, dt.time), moment),
    (dt.timezone, lambda value: value.__getinitargs__()),
    (zoneinfo.ZoneInfo, lambda value: value.key),
    (functools.partial, lambda value: (value.func, value.args, value.keywords)),
    (re.Pattern, lambda value: (value.pattern, value.flags)),
]

# ---------------------------------------------------------------- values, few enough to meet

NUMBERS: list[Any] = [
    0, 1, -1, 2, 1 << 63, (1 << 63) - 1, -(1 << 63), 1 << 64, 0.0, -0.0, 1.0, 1.5, float("nan"), float("inf"), 1e22,
    -float("inf"), 5e-324, 1j, 0j, complex(0, -0.0), complex(-0.0, 0), complex(0, float("nan")), True, False,
]  # fmt: skip
TEXTS: list[Any] = [
    "", "a", "1", "1.0", "true", "null", "nan", "__tuple__", "__str__", "é", "e\u0301", "\ud800", "\ud800\udc00",
    "\U00010000", "\0", "a\0", b"", b"a", b"1", b"a" * 64, b"a" * 65, b"b" * 65, "a" * 65, "'", '"', "\\", "\n",
]  # fmt: skip
OTHERS: list[Any] = [
    None, ..., NotImplemented, Color.RED, Color.BLUE, Shade.RED, Number.ONE, Number.TWO, Word.ONE, Access.READ,
    Access.BOTH, Access(0), Mask.LOW, Mask(0), Mask(8), ~Mask.LOW, range(0), range(1), range(1, 1), range(2),
    range(0, 3, 2), range(0, 4, 2), decimal.Decimal("1"), decimal.Decimal("1.0"), decimal.Decimal("1E+1"),
    decimal.Decimal(10), decimal.Decimal("-0"), decimal.Decimal("NaN"), decimal.Decimal("sNaN"), fractions.Fraction(1),
    fractions.Fraction(1, 2), uuid.UUID(int=1), dt.date(2020, 1, 1), dt.datetime(2020, 1, 1), dt.time(1),
    dt.datetime(2020, 1, 1, fold=1), dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc), dt.time(1, fold=1),
    dt.datetime(2020, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))), dt.timedelta(1), dt.timedelta(0, 1),
    dt.datetime(2020, 1, 1, tzinfo=zoneinfo.ZoneInfo("UTC")), dt.timezone.utc, dt.timezone(dt.timedelta(0)),
    dt.timezone(dt.timedelta(0), "UTC"), zoneinfo.ZoneInfo("UTC"), zoneinfo.ZoneInfo("Europe/Berlin"),
    pathlib.PurePosixPath("a"), pathlib.PurePosixPath("A"), pathlib.PureWindowsPath("a"), pathlib.PureWindowsPath("A"),
    pathlib.Path("a"), re.compile("a"), re.compile("a", re.IGNORECASE), re.compile(b"a"), int, float, Point, len,
    math.sin, function, functools.partial(len), functools.partial(len, "a"), functools.partial(function, a=1),
    numpy.float64(1), numpy.float32(1), numpy.float64("nan"), numpy.float64(-0.0), numpy.int64(1), numpy.int32(1),
    numpy.bool_(True), numpy.str_("a"), numpy.str_("a\0"), numpy.bytes_(b"a"), numpy.complex128(1),
    numpy.datetime64(1, "s"), numpy.datetime64(1, "ms"), numpy.timedelta64(1, "s"), numpy.dtype("f8"),
    numpy.dtype("f4"), numpy.dtype(">f8"),
]  # fmt: skip
ARRAYS: list[Any] = [
    numpy.array([1, 2]), numpy.array([1.0, 2.0]), numpy.array([[1, 2]]), numpy.array([[1], [2]]), numpy.zeros(99),
    numpy.array([1, 2], "i4"), numpy.array([1, 2], ">i8"), numpy.array([1, "a"], object),
    numpy.array([1.0, "a"], object), numpy.array(1), numpy.array([]), numpy.array([], "i4"), numpy.zeros((0, 2)),
    numpy.zeros((2, 0)),
    numpy.array(["a", "b"]), numpy.array(["a", "bc"]), numpy.array([b"a"]), numpy.array([True, False]),
    numpy.array([-0.0, 0.0]), numpy.array([0.0, 0.0]), numpy.array([(1, 2.0)], [("a", "i1"), ("b", "f8")]),
    numpy.array([(1, 2.0)], [("a", "i1"), ("c", "f8")]), numpy.array(["2020", "NaT"], "M8[s]"),
]  # fmt: skip
MUTABLE: list[Any] = [
    bytearray(b"a"), bytearray(), slice(1), slice(1, None), slice((1,), 2), [], {}, set(), collections.deque([1]),
    collections.deque([1], 2), collections.Counter("aab"), collections.OrderedDict(),
    collections.defaultdict(list, {1: 2}), collections.defaultdict(int, {1: 2}), Box(1), Box(1, 1),
]  # fmt: skip
ATOMS = [*NUMBERS, *TEXTS, *OTHERS]
TYPES = len({type(value) for value in [*ATOMS, *ARRAYS, *MUTABLE]})
# Some have no hash, and NumPy may raise when it is asked whether it is equal to a range
MEMBERS = [value for value in ATOMS if str(value) != "sNaN" and not isinstance(value, (numpy.generic, numpy.dtype))]
KINDS = [list, tuple, collections.deque, dict, collections.OrderedDict, set, frozenset, Pair, Point, Box]


def grown(draw: random.Random, depth: int) -> Any:
    """A random value, of few possible ones, so that two are equal at times."""
    if depth == 0 or draw.random() < 0.2:
        return draw.choice([*ATOMS, *ARRAYS, *MUTABLE])
    items = [grown(draw, depth - 1) for _ in range(draw.randrange(4))]
    kind: Any = draw.choice(KINDS)
    if kind in (list, tuple, collections.deque):
        return kind(items)
    if kind in (dict, collections.OrderedDict):
        return kind(zip(draw.sample(draw.choice([TEXTS, MEMBERS]), len(items)), items, strict=True))
    if kind in (set, frozenset):
        members = draw.sample(MEMBERS, len(items))
        return kind([*members, draw.choice([frozenset(members), tuple(members), 1])])
    return kind(items[:2], items[2:])


def rebuilt(value: Any) -> Any:
    """The same value made again, in another order where the order is not part of it."""
    kind = type(value)
    if kind in (list, tuple):
        return kind(map(rebuilt, value))
    if kind in (set, frozenset):
        return kind(sorted(map(rebuilt, value), key=lambda item: random.Random(repr(item)).random()))
    if kind is dict:
        return {rebuilt(name): rebuilt(item) for name, item in value.items()}
    if kind in (Point, Spot, Box):
        return kind(rebuilt(value.x), rebuilt(value.y))
    return numpy.asfortranarray(value) if isinstance(value, numpy.ndarray) and value.ndim else value


def near(value: Any, draw: random.Random) -> Any:
    """A value that differs in one place, often only in a type."""
    kind = type(value)
    if kind in (list, tuple) and value and draw.random() < 0.8:
        at = draw.randrange(len(value))
        return kind([*value[:at], near(value[at], draw), *value[at + 1 :]])
    if kind is dict and len(value) > 1 and draw.random() < 0.2:
        return dict(reversed(value.items()))
    if kind is dict and value and draw.random() < 0.8:
        name = draw.choice(list(value))
        return {**value, name: near(value[name], draw)}
    return SWAPS.get(kind, lambda it: [it])(value)


SWAPS: dict[type, Callable[[Any], Any]] = {
    list: tuple, tuple: list, set: frozenset, frozenset: set, dict: collections.OrderedDict, Pair: tuple,
    collections.OrderedDict: dict, str: lambda it: it.encode("utf-8", "surrogatepass"), bytes: bytearray,
    Point: lambda it: Spot(it.x, it.y), Box: lambda it: Point(it.x, it.y), bool: int, int: str, float: str,
    type(None): str, numpy.ndarray: lambda it: it.tolist(), numpy.float64: float, Number: int, Word: str, Mask: int,
    bytearray: bytes, collections.Counter: dict, collections.deque: list, pathlib.PurePosixPath: str,
}  # fmt: skip


def faults(seed: int, count: int) -> Iterator[str]:
    """The errors in the keys of `count` random values, their neighbours, and their rebuilt forms."""
    draw = random.Random(seed)
    found: dict[str, Any] = {}
    alike: dict[object, list[Any]] = collections.defaultdict(list)
    for _ in range(count):
        value = grown(draw, 3)
        name, other = key(value), near(value, draw)
        if name != key(rebuilt(value)):
            yield f"made anew, it has another key: {value!r}"
        if same(value, other) != (name == key(other)):
            yield f"of {value!r} and {other!r} the keys are wrong"
        if name in found:
            if not same(value, found[name]):
                yield f"one key for two: {value!r} and {found[name]!r}"
            continue
        found[name] = value
        group = alike[_shape(value)]
        yield from (f"two keys for one: {value!r} and {twin!r}" for twin in group if same(value, twin))
        group.append(value)


def _shape(value: Any) -> object:
    """A property that equal values share, so that fewer pairs are compared."""
    parts = value if isinstance(value, (list, tuple, set, frozenset, dict, collections.deque)) else ()
    return type(value), tuple(sorted(type(part).__name__ for part in parts))


def keys_of(seed: int, count: int) -> list[str]:
    """The keys of `count` random values of this seed."""
    draw = random.Random(seed)
    return [key(grown(draw, 3)) for _ in range(count)]


if __name__ == "__main__":
    print(json.dumps(keys_of(int(sys.argv[1]), int(sys.argv[2]))))
