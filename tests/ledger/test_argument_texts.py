"""Laws of arguments in a listing: a stored task is shown as one would write it, and nothing is loaded."""
from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from taskproc.ledger.argument_texts import Arguments
from taskproc.store.cache import Cache
from taskproc.store.disk import DiskStore
from taskproc.tasks.future import Const, FutureDict, FutureList
from taskproc.tasks.naming import arguments_text
from taskproc.tasks.task import Task


class Echo(Task):
    def __init__(self, value: Any = 1):
        pass

    def run_task(self) -> None: ...


class Color(enum.Enum):
    """An argument without a literal."""

    RED = 1


@dataclasses.dataclass
class Point:
    """An argument with fields."""

    x: int
    y: object = None


class Pair(NamedTuple):
    """An argument that is a tuple."""

    a: int


def call(name: str, key: str, forms: Mapping[str, Any]) -> str:
    """A task by its id."""
    return f"{name.rpartition('.')[2]}#{key[:6]}"


def read(folder: Path) -> Arguments:
    """The arguments of the task in this folder."""
    return Arguments(DiskStore(str(folder)).arguments(str(folder)))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (lambda: None, "None"),
        (lambda: [1, "a", 2.5, True], "[1, 'a', 2.5, True]"),
        (lambda: {"a": 1, "__b": 2}, "{'a': 1, '__b': 2}"),
        (lambda: {"a": {"b": ()}}, "{'a': {'b': ()}}"),
        (lambda: (1,), "(1,)"),
        (lambda: {1}, "{1}"),
        (lambda: frozenset(), "frozenset()"),
        (lambda: Path("a/b"), "Path('a/b')"),
        (lambda: Color.RED, "Color.RED"),
        (lambda: Point(1, Pair(2)), "Point(x=1, y=Pair(a=2))"),
        (lambda: float("inf"), "inf"),
        (lambda: len, "len"),
        (lambda: b"a", "b'a'"),
        (lambda: b"ab" * 20, "b'" + "ab" * 12 + "'… <40 bytes>"),
        (lambda: bytearray(b"a"), "bytearray(b'a')"),
        (lambda: 10**30, "1" + "0" * 30),
        (lambda: -(2**70), "-1180591620717411303424"),
        (lambda: ..., "Ellipsis"),
        (lambda: dt.date(2024, 2, 29), "date('2024-02-29')"),
        (lambda: dt.datetime(2024, 2, 29, 1, 2), "datetime('2024-02-29T01:02:00')"),
        (lambda: dt.datetime(2024, 2, 29, tzinfo=dt.timezone.utc), "datetime('2024-02-29T00:00:00', UTC+0:00:00)"),
        (lambda: dt.time(1, 2), "time('01:02:00')"),
        (lambda: dt.timedelta(days=1, seconds=3), "timedelta('1 day, 0:00:03')"),
        (lambda: decimal.Decimal("1.50"), "Decimal('1.50')"),
        (lambda: fractions.Fraction(1, 3), "Fraction(1, 3)"),
        (lambda: complex(1, float("inf")), "(1+infj)"),
        (lambda: collections.OrderedDict(a=1), "OrderedDict({'a': 1})"),
        (lambda: re.compile("a"), "re.compile('a')"),
        (lambda: Echo(2)["X"][0], "Echo#2222['X'][0]"),
        (lambda: Const(Echo(2)), "Const(Echo#2222)"),
        (lambda: FutureList([Echo(2)]), "[Echo#2222]"),
        (lambda: FutureDict({"a": Echo(2)}), "{'a': Echo#2222}"),
        (lambda: "\x1b[2J\u202e", r"'\x1b[2J\u202e'"),
    ],
)
def test_an_argument_is_written_as_a_literal(cache: Cache, tmp_path: Path, value: Callable[[], Any], text: str) -> None:
    """An argument is shown as a literal, or by its kind if it has none."""
    (tmp_path / "args.json").write_text(arguments_text(Echo(value())._taskproc), "utf-8")
    key = Echo(2)._taskproc.place.key

    texts = read(tmp_path).texts(call)

    assert {"value": text.replace("2222", key[:6])} == texts


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (lambda np: np.zeros((3, 4)), "array(float64, shape=(3, 4))"),
        (lambda np: np.zeros(100_000, "i2"), "array(int16, shape=(100000,))"),
        (lambda np: np.array(["a", "bc"]), "array(str, shape=(2,))"),
        (lambda np: np.array([1, None]), "array(object, shape=(2,))"),
        (lambda np: np.array(["2024-02-29"], "M8[D]"), "array(datetime64[D], shape=(1,))"),
        (lambda np: np.zeros(2, [("a", "f4")]), "array(struct, shape=(2,))"),
        (lambda np: np.float64(1.5), "float64(1.5)"),
        (lambda np: np.datetime64("2024-02-29"), "datetime64('2024-02-29T00:00:00')"),
        (lambda np: np.datetime64("2024-02-29T01:02:03.000000004"), "datetime64('2024-02-29T01:02:03')"),
        (lambda np: np.timedelta64(3, "s"), "timedelta64[s](3)"),
        (lambda np: np.uint8(3), "uint8(3)"),
        (lambda np: np.bool_(True), "bool(True)"),
        (lambda np: np.dtype("f4"), "dtype(float32)"),
        (lambda np: [np.str_("a"), np.bytes_(b"a")], "[str_('a'), bytes_(b'a')]"),
    ],
)
def test_an_array_is_told_by_its_type_and_shape(
    cache: Cache, tmp_path: Path, value: Callable[[Any], Any], text: str
) -> None:
    """An array is shown by its type and shape, a scalar by its value, without importing NumPy."""
    value_of = value(pytest.importorskip("numpy"))
    (tmp_path / "args.json").write_text(arguments_text(Echo(value_of)._taskproc), "utf-8")

    assert {"value": text} == Arguments(DiskStore(str(tmp_path)).arguments(str(tmp_path))).texts(call)


def test_a_frame_is_told_by_its_kind(cache: Cache, tmp_path: Path) -> None:
    """A frame is shown by its kind, and a time of pandas as a time."""
    pandas = pytest.importorskip("pandas")
    values = [pandas.DataFrame({"a": [1]}), pandas.Series([1]), pandas.Timestamp("2024-02-29")]
    (tmp_path / "args.json").write_text(arguments_text(Echo(values)._taskproc), "utf-8")

    texts = Arguments(DiskStore(str(tmp_path)).arguments(str(tmp_path))).texts(call)

    assert {"value": "[DataFrame(…), Series(…), Timestamp('2024-02-29T00:00:00')]"} == texts


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"args": 1}', '{"args": {"a": {"__tuple__": 5, "b": 1}}}', '{"args": {"a": {"__task__": "x"}}}',
     '{"args": {"a": {"__path__": []}}}', '{"args": {"a": {"__enum__": {}}}}',
     '{"args": {"a": {"__unheard__": [[]]}}}', f'{{"args": {{"a": {"[" * 900}{"]" * 900}}}}}', "[" * 100_000],
    ids=range(11),
)  # fmt: skip
def test_a_file_of_anything_is_shown_somehow(tmp_path: Path, content: str) -> None:
    """Any content of the file is shown, also if it is damaged."""
    (tmp_path / "args.json").write_text(content, "utf-8")

    arguments = read(tmp_path)

    assert set(arguments.texts(call)) <= {"a"}


def test_plain_arguments_come_first(cache: Cache, tmp_path: Path) -> None:
    """Plain arguments come before tasks, at any depth."""
    forms = {"t": [{"a": Echo()._key_form()}], "z": 1, "a": "x"}
    (tmp_path / "args.json").write_text(json.dumps({"args": forms}), "utf-8")

    assert ["z", "a", "t"] == list(read(tmp_path).texts(call))
