"""Names, keys and how tasks are shown."""
from __future__ import annotations

import dataclasses
import json
import sys
from types import ModuleType
from typing import Any

import pytest

from taskproc.tasks.evolving import rules_of
from taskproc.tasks.future import Const, FutureList
from taskproc.tasks.naming import arguments_text, brief, place_of, task_name, texts_of
from taskproc.tasks.task import Task

pytestmark = pytest.mark.usefixtures("cache")


class Echo(Task):
    def __init__(self, value: Any = 1, other: Any = None):
        self.value = value

    def run_task(self) -> Any:
        return self.value


def test_a_class_is_called_by_module_and_qualified_name() -> None:
    """Also outside a cache, also inside functions."""

    class Local(Task):
        def run_task(self) -> None: ...

    assert Echo.task_name == task_name(Echo) == f"{__name__}.Echo"
    assert Local.task_name == f"{__name__}.test_a_class_is_called_by_module_and_qualified_name.<locals>.Local"


def test_a_class_of_a_script_is_called_as_if_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that script and module share one cache."""
    main = ModuleType("__main__")
    main.__file__ = "/some/where/pipeline.py"
    monkeypatch.setitem(sys.modules, "__main__", main)

    assert task_name(type("A", (), {"__module__": "__main__"})) == "pipeline.A"


def key_of(cls: type, arguments: dict[str, Any]) -> str:
    return place_of(cls, texts_of(cls, rules_of(cls), arguments)).key


def test_the_id_is_taken_from_the_key() -> None:
    """63 bits, so that it fits every integer type; the same everywhere."""
    place = place_of(Echo, texts_of(Echo, rules_of(Echo), {"value": 1, "other": None}))

    assert place.id == int(place.key, 16) >> 65
    assert 0 <= place.id < 1 << 63
    assert (place.name, len(place.key)) == (Echo.task_name, 32)
    assert Echo()._taskproc.place == place


def test_keys_are_fixed() -> None:
    """A change of the key format would lose every cache: this digest was written down once."""
    kind = type("Train", (), {"__module__": "project.models"})

    assert key_of(kind, {"rate": 0.1, "layers": (1, 2)}) == GOLDEN


GOLDEN = "2285f2fa10da4f95e13c25803a9371c3"


def test_a_key_depends_on_name_and_arguments_alone() -> None:
    """Another class, another name of a parameter or another value is another key; the order of names is not."""
    other = type("Other", (), {"__module__": __name__})
    keys = [
        key_of(Echo, {"a": 1, "b": 2}),
        key_of(Echo, {"a": 2, "b": 1}),
        key_of(Echo, {"a": 1, "c": 2}),
        key_of(Echo, {"a": 1}),
        key_of(other, {"a": 1, "b": 2}),
    ]

    assert len(set(keys)) == 5
    assert key_of(Echo, {"b": 2, "a": 1}) == keys[0]


def test_args_json_is_for_people() -> None:
    """Name, key and arguments; what JSON cannot say carries a tag, and tasks go by their keys."""
    task = Echo((1, Echo(2)))

    content = json.loads(arguments_text(task._taskproc))

    inner = {"__task__": [Echo.task_name, Echo(2)._taskproc.place.key]}
    assert content["args"] == {"value": {"__tuple__": [1, inner]}, "other": None}
    assert (content["task"], content["key"]) == (Echo.task_name, task._taskproc.place.key)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (lambda: Echo(1), "Echo(value=1, other=None)"),
        (lambda: Echo(Echo(1)), "Echo(value=Echo(value=1, …), other=None)"),
        (lambda: Echo([1, 2, 3, 4, 5]), "Echo(value=list of 5, other=None)"),
        (lambda: Echo({"a": (1,)}), "Echo(value={'a': (1,)}, other=None)"),
        (lambda: Echo("x" * 99), f"Echo(value='{'x' * 58}…, other=None)"),
        (lambda: Echo("a\nb"), "Echo(value='a\\nb', other=None)"),
        (lambda: Echo(Const([1])), "Echo(value=Const([1]), other=None)"),
        (lambda: Echo(Echo()["a"][0]), "Echo(value=Echo(value=1, …)['a'][0], other=None)"),
        (lambda: Echo(Echo([1])), "Echo(value=Echo(…), other=None)"),
        (lambda: Echo(Echo(Echo(Echo("a")))), "Echo(value=Echo(value=Echo(value=Echo(…), …), …), other=None)"),
        (lambda: Echo([Echo()]), "Echo(value=[Echo(…)], other=None)"),
        (lambda: Echo(Echo("x" * 99, "y" * 99)), f"Echo(value=Echo(value='{'x' * 58}…, other='yyyy…), other=None)"),
        (lambda: Echo(FutureList([Const(1)])), "Echo(value=FutureList([Const(1)]), other=None)"),
        (lambda: Echo(frozenset({1})), "Echo(value=frozenset([1]), other=None)"),
        (lambda: Echo(()), "Echo(value=(), other=None)"),
        (lambda: Echo(set()), "Echo(value=set(), other=None)"),
        (lambda: Echo([[[[1]]]]), "Echo(value=[[list of 1]], other=None)"),
    ],
)
def test_a_task_is_shown_as_one_would_write_it(value: Any, text: str) -> None:
    """In a line, however large its arguments are."""
    assert brief(value()) == repr(value()) == text


def test_a_task_with_much_to_show_is_cut() -> None:
    """Two hundred characters, and in one line."""

    class Wide(Task):
        def __init__(self, **values: Any):
            pass

        def run_task(self) -> None: ...

    assert len(brief(Echo("x" * 50, [["y" * 50] * 4] * 4))) < 250
    assert "\n" not in brief(Echo(["a\n  b"] * 3))


def test_what_is_shown_of_a_task_is_harmless() -> None:
    """Whatever its class is called, and whatever the class of an argument says."""

    class Loud:
        def __repr__(self) -> str:
            return "\x1b[31mloud\x07"

        def __task_key__(self) -> str:
            return "loud"

    odd = type(Task)("a\x1b[2J\nb", (Echo,), {"__module__": __name__})

    assert brief(odd([Loud(), "\x1b"])) == r"a\x1b[2J\nb(value=[\x1b[31mloud\x07, '\x1b'], other=None)"


def test_a_task_that_cannot_be_shown_is_built_all_the_same() -> None:
    """A broken repr of an argument is no reason to fail."""

    @dataclasses.dataclass(repr=False)
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no repr")

        def __task_key__(self) -> str:
            return "broken"

    task = Echo(Broken())

    assert brief(task) == "Echo(value=<Broken>, other=None)"
