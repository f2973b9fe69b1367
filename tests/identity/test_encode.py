"""Laws of encoding: which values share a form, which differ, and which are refused with their place."""
from __future__ import annotations

import collections
import datetime as dt
import decimal
import fractions
import functools
import json
import pathlib
import re
import subprocess
import sys
import typing
import uuid
import zoneinfo

import pytest

from taskproc.errors import UnnamableValue
from taskproc.tasks.future import Const, FutureDict, FutureList
from taskproc.values.encode import canonical_text, form_digest, json_form, key_form, register
from tests.identity.samples import (
    WHERE,
    Access,
    Color,
    Keyed,
    Mask,
    Number,
    Pair,
    Point,
    Shade,
    Spot,
    Word,
    function,
    key,
)


class KeyedInt(int):
    def __task_key__(self) -> object:
        return int(self)


class KeyedToo(Keyed):
    pass


class Handle:
    def __init__(self, name: str):
        self.name = name


DIFFERENT = [
    ((1, 2), [1, 2]),
    ({1: "a"}, {"1": "a"}),
    ({None: 1}, {"null": 1}),
    ({True: 1}, {"true": 1}),
    (((1,),), ([1],)),
    (Number.ONE, 1),
    (Word.ONE, "one"),
    (Const(1), {"__const__": 1}),
    (Const(1), 1),
    (FutureList([Const(1)]), {"__futurelist__": [{"__const__": 1}]}),
    (FutureList([Const(1)]), [Const(1)]),
    (FutureDict({1: Const(1)}), FutureDict({"1": Const(1)})),
    (FutureDict({"a": Const(1)}), {"a": Const(1)}),
    (Pair(1, 2), (1, 2)),
    (1, True),
    (1, 1.0),
    (0, None),
    (0.0, -0.0),
    (float("inf"), float("-inf")),
    (float("nan"), "nan"),
    (1 << 63, hex(1 << 63)),
    (1 << 63, 1 << 64),
    (1, "1"),
    (1.0, 1 + 0j),
    (0j, complex(0, -0.0)),
    ("a", b"a"),
    (b"a", bytearray(b"a")),
    (b"a" * 1000, b"a" * 999 + b"b"),
    ("\ud800\udc00", "\U00010000"),
    ({"\ud800\udc00": 1}, {"\U00010000": 1}),
    ({1}, frozenset({1})),
    ({1}, {1.0}),
    (set(), {}),
    ({"a": 1}, [["a", 1]]),
    ({Word.ONE: 1}, {"one": 1}),
    ({"__tuple__": [1]}, (1,)),
    ({"__dict__": [[1, 2]]}, {1: 2}),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({"b": 2, "a": 1}, {"__dict__": [["b", 2], ["a", 1]]}),
    ({1: "a", (2,): "b"}, {(2,): "b", 1: "a"}),
    ({"__a": 1, "b": 2}, {"b": 2, "__a": 1}),
    (Point({"a": 1, "b": 2}), Point({"b": 2, "a": 1})),
    (FutureDict(a=Const(1), b=Const(2)), FutureDict(b=Const(2), a=Const(1))),
    (FutureDict({1: Const(1), 2: Const(2)}), FutureDict({2: Const(2), 1: Const(1)})),
    (collections.defaultdict(int, a=1, b=2), collections.defaultdict(int, b=2, a=1)),
    (collections.Counter("ab"), collections.Counter("ba")),
    (functools.partial(function, a=1, b=2), functools.partial(function, b=2, a=1)),
    (uuid.UUID(int=1), uuid.UUID(int=1, is_safe=uuid.SafeUUID.safe)),
    (collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1)),
    (collections.OrderedDict(a=1), {"a": 1}),
    (collections.defaultdict(int, a=1), collections.defaultdict(list, a=1)),
    (collections.Counter("a"), {"a": 1}),
    (collections.deque([1], 2), collections.deque([1])),
    (range(3), [0, 1, 2]),
    (range(0, 3, 2), range(0, 4, 2)),
    (slice(1), slice(1, None)),
    (..., "Ellipsis"),
    (..., NotImplemented),
    (Color.RED, Color.BLUE),
    (Color.RED, Shade.RED),
    (Access.READ, Access.BOTH),
    (Mask.LOW, 1),
    (Mask(0), Mask(8)),
    (Point(1), Spot(1)),
    (Point(1), {"x": 1, "y": 0}),
    (pathlib.PurePosixPath("a"), "a"),
    (pathlib.PurePosixPath("a"), pathlib.PureWindowsPath("a")),
    (dt.date(2020, 1, 1), dt.datetime(2020, 1, 1)),
    (dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc)),
    (dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 1, fold=1)),
    (dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc), dt.datetime(2020, 1, 1, tzinfo=zoneinfo.ZoneInfo("UTC"))),
    (dt.timezone(dt.timedelta(hours=1)), dt.timezone(dt.timedelta(hours=1), "CET")),
    (dt.time(1), "01:00:00"),
    (dt.timedelta(1), 1),
    (decimal.Decimal("1.0"), decimal.Decimal("1.00")),
    (decimal.Decimal("NaN"), decimal.Decimal("sNaN")),
    (decimal.Decimal("0"), decimal.Decimal("-0")),
    (fractions.Fraction(1), 1),
    (uuid.UUID(int=1), str(uuid.UUID(int=1))),
    (re.compile("a"), re.compile("a", re.IGNORECASE)),
    (functools.partial(len, "a"), functools.partial(len, "b")),
    (functools.partial(function, a=1), functools.partial(function, {"a": 1})),
    (len, "builtins:len"),
    (len, abs),
    (int, len),
    (int, float),
    (function, Point),
    (Keyed(1), 1),
    (Keyed(1), Keyed(2)),
    (Keyed(1), KeyedToo(1)),
]


@pytest.mark.parametrize(("left", "right"), DIFFERENT, ids=lambda value: f"{type(value).__name__}")
def test_different_values_have_different_keys(left: object, right: object) -> None:
    """Another type or another value gives another key, alone and in a container."""
    assert key(left) != key(right)
    assert key([left]) != key([right])
    assert key({"a": left}) != key({"a": right})
    assert json.dumps(json_form(left, WHERE)) != json.dumps(json_form(right, WHERE))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({8, 0, "a"}, {"a", 0, 8}),
        ({frozenset("ab"), frozenset("cd")}, {frozenset("dc"), frozenset("ba")}),
        (float("nan"), -float("nan")),
        (decimal.Decimal("1e5"), decimal.Decimal("1E+5")),
        (Access.READ | Access.WRITE, Access.BOTH),
        (~Mask.LOW, Mask.MIDDLE | Mask.HIGH),
        (zoneinfo.ZoneInfo("Europe/Berlin"), zoneinfo.ZoneInfo.no_cache("Europe/Berlin")),
        (pathlib.PurePosixPath("a//b/"), pathlib.PurePosixPath("a/b")),
    ],
    ids=lambda value: f"{type(value).__name__}",
)
def test_equal_values_have_one_key(left: object, right: object) -> None:
    """Spelling, identity and the order of a set are not part of a key."""
    assert key(left) == key(right)


def test_plain_json_is_its_own_form() -> None:
    """A value that JSON can express has no tag."""
    value = {"a": [1, 2.5, None, True, "text"], "b": {"c": []}}

    assert value == key_form(value, WHERE) == json_form(value, WHERE)


def test_futures_are_taken_as_they_say() -> None:
    """The form of a future is used as it is, without looking into it."""
    assert {"a": {"__const__": {"__tuple__": [1]}}} == key_form({"a": Const((1,))}, WHERE)


def test_text_is_canonical() -> None:
    """The text is sorted, compact ASCII; the digest has 128 bits."""
    assert '{"a":"\\u00e9","b":[1,2.0]}' == canonical_text({"b": [1, 2.0], "a": "é"})
    assert re.fullmatch("[0-9a-f]{32}", form_digest({}))


def test_decimal_context_does_not_count() -> None:
    """No setting of the process changes a key."""
    value = decimal.Decimal("1e50")
    with decimal.localcontext() as context:
        context.capitals = 0
        context.prec = 1
        inside = key(value)

    assert key(value) == inside


def test_integers_beyond_the_digit_limit() -> None:
    """Integers beyond the limit of Python for decimal digits have a form."""
    assert {"__int__": hex(-(10**5000))} == key_form(-(10**5000), WHERE)


def test_long_content_is_small_in_a_key() -> None:
    """In a key, bytes over 64 are a size and a digest; for people and `decode` the limit is 64 KiB."""
    value = bytes(1000)

    assert len(canonical_text(key_form(value, WHERE))) < 150
    assert {"__bytes__"} == set(typing.cast("dict[str, object]", json_form(value, WHERE)))
    assert len(canonical_text(json_form(value, WHERE))) > 1000
    assert len(canonical_text(json_form(bytes(1 << 17), WHERE))) < 150
    assert key(bytes(64)) != key(bytes(65))


# ---------------------------------------------------------------- hooks


def test_hook_stands_for_the_value() -> None:
    """The return value of __task_key__ replaces the value, under the name of its class."""
    assert {"__key__": [f"{Keyed.__module__}:Keyed", {"__tuple__": [1]}]} == key_form(Keyed((1,)), WHERE)
    assert {"__key__": [f"{__name__}:KeyedInt", 1]} == key_form(KeyedInt(1), WHERE)


def test_errors_of_a_hook_are_the_users_own() -> None:
    """An exception in __task_key__ is raised unchanged."""

    class Broken:
        def __task_key__(self) -> object:
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        key_form([Broken()], WHERE)


def test_registered_type_has_a_form() -> None:
    """Exactly the registered type is encoded by its function, under its name."""

    class Sub(Handle):
        pass

    register(Handle, lambda handle: handle.name)

    assert {"__registered__": [f"{__name__}:Handle", "a"]} == key_form(Handle("a"), WHERE)
    with pytest.raises(UnnamableValue, match="Sub"):
        key_form(Sub("a"), WHERE)


def test_second_registration_replaces_the_first() -> None:
    """A class defined again, as in a notebook, replaces the one with its name."""

    def made() -> type[Handle]:
        class Again(Handle):
            pass

        return Again

    old, new = made(), made()
    register(old, lambda handle: handle.name)
    register(new, lambda handle: [handle.name])

    assert ["a"] == typing.cast("typing.Any", key_form(new("a"), WHERE))["__registered__"][1]
    with pytest.raises(UnnamableValue, match="Again"):
        key_form(old("a"), WHERE)


def test_registration_is_checked() -> None:
    """A type that has a form already cannot be registered."""
    with pytest.raises(ValueError, match=r"builtins.int has a canonical form of its own"):
        register(int, str)
    with pytest.raises(ValueError, match=r"decimal.Decimal has"):
        register(decimal.Decimal, str)
    with pytest.raises(TypeError, match="needs a class, got int"):
        register(typing.cast("type[object]", 1), str)


# ---------------------------------------------------------------- libraries


def test_libraries_are_not_imported() -> None:
    """Encoding does not import NumPy, pandas or polars."""
    code = (
        "import sys, fractions; from taskproc.values.encode import key_form\n"
        "key_form([fractions.Fraction(1, 2)], 'x')\n"
        "print([name for name in ('numpy', 'pandas', 'polars') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]" == done.stdout.strip()
