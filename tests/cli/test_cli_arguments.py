"""Laws of arguments in a listing: a stored task is shown as one would write it, and nothing of it is loaded."""
from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from taskproc.cli.arguments import Arguments
from taskproc.store.cache import Cache
from taskproc.store.ids import ShortIds
from taskproc.tasks.future import Const, FutureDict, FutureList
from taskproc.tasks.naming import arguments_text
from taskproc.tasks.task import Task


class Echo(Task):
    def __init__(self, value: Any = 1):
        pass

    def run_task(self) -> None: ...


class Color(enum.Enum):
    """An argument that has no literal."""

    RED = 1


@dataclasses.dataclass
class Point:
    """One with fields."""

    x: int
    y: object = None


class Pair(NamedTuple):
    """One that is a tuple."""

    a: int


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (lambda: None, "None"),
        (lambda: [1, "a", 2.5, True], "[1, 'a', 2.5, True]"),
        (lambda: {"a": 1, "__b": 2}, "{'__b': 2, 'a': 1}"),
        (lambda: {"a": {"b": ()}}, "{'a': {'b': ()}}"),
        (lambda: (1,), "(1,)"),
        (lambda: {1}, "{1}"),
        (lambda: frozenset(), "frozenset()"),
        (lambda: Path("a/b"), "Path('a/b')"),
        (lambda: Color.RED, "Color.RED"),
        (lambda: Point(1, Pair(2)), "Point(x=1, y=Pair(a=2))"),
        (lambda: float("inf"), "inf"),
        (lambda: len, "len"),
        (lambda: b"a", "bytes('YQ==')"),
        (lambda: Echo(2)["X"][0], "Echo#2222['X'][0]"),
        (lambda: Const(Echo(2)), "Const(Echo#2222)"),
        (lambda: FutureList([Echo(2)]), "[Echo#2222]"),
        (lambda: FutureDict({"a": Echo(2)}), "{'a': Echo#2222}"),
        (lambda: "\x1b[2J\u202e", r"'\x1b[2J\u202e'"),
    ],
)
def test_an_argument_is_written_as_a_literal(cache: Cache, tmp_path: Path, value: Callable[[], Any], text: str) -> None:
    """What has none, by its kind."""
    (tmp_path / "args.json").write_text(arguments_text(Echo(value())._taskproc), "utf-8")
    key = Echo(2)._taskproc.place.key

    texts = Arguments(str(tmp_path)).texts(ShortIds())

    assert {"value": text.replace("2222", key[:4])} == texts


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"args": 1}', '{"args": {"a": {"__tuple__": 5, "b": 1}}}', '{"args": {"a": {"__task__": "x"}}}',
     '{"args": {"a": {"__path__": []}}}', '{"args": {"a": {"__enum__": {}}}}',
     '{"args": {"a": {"__unheard__": [[]]}}}', f'{{"args": {{"a": {"[" * 900}{"]" * 900}}}}}', "[" * 100_000],
    ids=range(11),
)  # fmt: skip
def test_a_file_of_anything_is_shown_somehow(tmp_path: Path, content: str) -> None:
    """A cache may come from anywhere, and be torn."""
    (tmp_path / "args.json").write_text(content, "utf-8")

    arguments = Arguments(str(tmp_path))

    assert set(arguments.texts(ShortIds(arguments.keys()))) <= {"a"}


def test_plain_arguments_come_first(cache: Cache, tmp_path: Path) -> None:
    """However deep a task lies in another one."""
    forms = {"t": [{"a": Echo()._key_form()}], "z": 1, "a": "x"}
    (tmp_path / "args.json").write_text(json.dumps({"args": forms}), "utf-8")

    assert ["z", "a", "t"] == list(Arguments(str(tmp_path)).texts(ShortIds()))
