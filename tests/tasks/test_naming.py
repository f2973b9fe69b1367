"""Names, keys and the texts of tasks."""
from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskproc.store.cache import Cache
from taskproc.store.layout import FEWEST_DIGITS
from taskproc.tasks.binding import rules_of
from taskproc.tasks.future import Const, FutureDict, FutureList
from taskproc.tasks.naming import arguments_text, brief, place_of, task_name, texts_of
from taskproc.tasks.task import Task
from taskproc.tasks.task_graph import graph_of
from tests.plain import plain

pytestmark = pytest.mark.usefixtures("cache")


class Echo(Task):
    def __init__(self, value: Any = 1, other: Any = None):
        self.value = value

    def run_task(self) -> Any:
        return self.value


def test_a_class_is_called_by_module_and_qualified_name() -> None:
    """Also outside a cache, and inside functions."""

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
    """63 bits, so that it fits each integer type; the same everywhere."""
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
    """Another class, parameter name or value gives another key; the order of names does not."""
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
    """Name, key and arguments; values that JSON does not have carry a tag, and tasks appear by key."""
    task = Echo((1, Echo(2)))

    content = json.loads(arguments_text(task._taskproc))

    inner = {"__task__": [Echo.task_name, Echo(2)._taskproc.place.key]}
    assert content["args"] == {"value": {"__tuple__": [1, inner]}, "other": None}
    assert (content["task"], content["key"]) == (Echo.task_name, task._taskproc.place.key)


X80 = f"'{'x' * 52}…{'x' * 25}'"
NONE = "other=None)"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (lambda: Echo(1), "Echo(value=1, other=None)"),
        (lambda: Echo(Echo(1)), "Echo(value=Echo(value=1, other=None), other=None)"),
        (lambda: Echo([1, 2, 3, 4, 5]), "Echo(value=[1, 2, 3, 4, 5], other=None)"),
        (lambda: Echo(list(range(99))), "Echo(value=[0, 1, 2, 3, 4, … 92 more …, 97, 98], other=None)"),
        (lambda: Echo({"a": (1,)}), "Echo(value={'a': (1,)}, other=None)"),
        (lambda: Echo("x" * 99), f"Echo(value={X80}, other=None)"),
        (lambda: Echo("a\nb"), "Echo(value='a\\nb', other=None)"),
        (lambda: Echo(Const([1])), "Echo(value=Const([1]), other=None)"),
        (lambda: Echo(Echo()["a"][0]), "Echo(value=Echo(value=1, other=None)['a'][0], other=None)"),
        (lambda: Echo(Echo(Echo(Echo(), 1), 2)), f"Echo(value=Echo(value=Echo(value=Echo, other=1), other=2), {NONE}"),
        (lambda: Echo([Echo()]), "Echo(value=[Echo], other=None)"),
        (lambda: Echo(FutureList([Const(1)])), "Echo(value=FutureList([Const(1)]), other=None)"),
        (lambda: Echo(FutureDict({"a": Echo()["b"]})), "Echo(value=FutureDict({'a': Echo['b']}), other=None)"),
        (lambda: Echo(frozenset({1})), "Echo(value=frozenset([1]), other=None)"),
        (lambda: Echo({3, 1, 2}), "Echo(value={1, 2, 3}, other=None)"),
        (lambda: Echo(()), "Echo(value=(), other=None)"),
        (lambda: Echo(set()), "Echo(value=set(), other=None)"),
        (lambda: Echo([[[[1]]]]), "Echo(value=[[[list of 1]]], other=None)"),
    ],
)
def test_a_task_is_shown_as_one_would_write_it(value: Any, text: str) -> None:
    """In one line, however large its arguments are; the short id follows each name of a class."""
    assert brief(value()) == repr(value())
    assert plain(value()) == text


def test_a_task_is_shown_with_its_short_id() -> None:
    """The first hex digits of the key, of a task in an argument as well."""
    inner = Echo()
    task = Echo(inner["a"])

    mine, other = (each._taskproc.place.key[:FEWEST_DIGITS] for each in (task, inner))
    assert repr(task) == f"Echo#{mine}(value=Echo#{other}(value=1, other=None)['a'], other=None)"


class Load(Task):
    def __init__(self, path: str):
        pass

    def run_task(self) -> None: ...


class Features(Task):
    def __init__(self, raw: Load, columns: tuple[str, ...]):
        self.raw = raw

    def run_task(self) -> None: ...


class Fit(Task):
    def __init__(self, X: Any, seed: int):
        self.upstream = X

    def run_task(self) -> None: ...


def test_what_differs_stays() -> None:
    """An argument of any kind, also of an upstream task; the ends of long texts, and all short arguments."""
    mean, worst = (repr(Fit(Features(Load("d.csv"), (name,))["X"], 0)) for name in ("mean", "worst"))
    assert plain(mean) == "Fit(X=Features(raw=Load(path='d.csv'), columns=('mean',))['X'], seed=0)"
    assert plain(worst) == plain(mean).replace("mean", "worst")

    far = Fit(Load(f"/data/{'x' * 300}/d.csv"), 7)
    assert plain(far).endswith("/d.csv'), seed=7)")
    assert plain(Fit(Features(Load("d" * 99), tuple("columns")), 8)).endswith(", seed=8)")


def test_a_long_upstream_is_shown_by_its_id() -> None:
    """It is not cut in its middle."""
    upstream = Features(Load("d" * 99), ("a" * 30, "b" * 30))

    text = repr(Echo(upstream, upstream))

    assert f"value=Features#{upstream._taskproc.place.key[:FEWEST_DIGITS]}, other=Features#" in text


class Wide(Task):
    def __init__(self, **values: Any):
        pass

    def run_task(self) -> None: ...


def test_a_task_with_much_to_show_is_cut() -> None:
    """To two hundred characters, in one line."""
    assert len(brief(Echo("x" * 50, [["y" * 50] * 4] * 4))) < 200
    assert len(brief(Wide(**{f"name_{number}": number for number in range(100)}))) < 250
    assert "\n" not in brief(Echo(["a\n  b"] * 3))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=12) | st.tuples(inner) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=20,
)


@settings(max_examples=60, derandomize=True, database=None, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([Echo, Fit]), values, values, st.sampled_from("tlic")), max_size=12))
def test_different_tasks_have_different_texts(specs: list[Any]) -> None:
    """Whatever their arguments are and however they are cut: in a graph, and alone."""
    tasks: list[Any] = []
    for cls, one, other, form in specs:
        up = tasks[-1] if tasks else None
        wrapped = {"t": up, "l": [up], "i": Echo(up)[0], "c": Const(one)}[form]
        tasks.append(cls(wrapped, [one, other]))
    graph = graph_of(Echo(FutureList(tasks)))

    for texts in ([repr(task) for task in graph.tasks.values()], [graph.name_of(key) for key in graph.needs]):
        assert len(set(texts)) == len(graph.needs)


def twins() -> tuple[Echo, Echo]:
    """Two tasks whose keys have the same first digits, as many as a short id has; a birthday takes few."""
    seen: dict[str, Echo] = {}
    for number in range(100_000):
        task = Echo(number)
        if (other := seen.setdefault(task._taskproc.place.key[:FEWEST_DIGITS], task)) is not task:
            return other, task
    raise AssertionError("no two of 100,000 keys begin alike")


def short_ids(texts: Iterable[str]) -> list[str]:
    return [text.partition("#")[2].partition("(")[0] for text in texts]


def test_a_short_id_is_as_long_as_it_must_be() -> None:
    """So that none is a prefix of another key: among all tasks that were built, and within a graph."""
    one, other = twins()
    graph = graph_of(Echo([one, other]))

    for texts in ([repr(one), repr(other)], [graph.name_of(each._taskproc.place.key) for each in (one, other)]):
        first, second = short_ids(texts)
        assert not other._taskproc.place.key.startswith(first)
        assert one._taskproc.place.key.startswith(first)
        assert other._taskproc.place.key.startswith(second)


def test_a_graph_has_short_ids_of_its_own(cache: Cache) -> None:
    """Other tasks of the cache do not make them longer."""
    one, _ = twins()

    assert short_ids([graph_of(one).name_of(one._taskproc.place.key)]) == [one._taskproc.place.key[:FEWEST_DIGITS]]


def test_a_worker_knows_no_other_tasks() -> None:
    """So it uses more digits."""
    task = Echo(5)
    task._taskproc.cache = None

    assert repr(task).startswith(f"Echo#{task._taskproc.place.key[:8]}(")


def test_what_is_shown_of_a_task_is_harmless() -> None:
    """Whatever its class is called, and whatever the class of an argument returns."""

    class Loud:
        def __repr__(self) -> str:
            return "\x1b[31mloud\x07"

        def __task_key__(self) -> str:
            return "loud"

    odd = type(Task)("a\x1b[2J\nb", (Echo,), {"__module__": __name__})

    assert plain(brief(odd([Loud(), "\x1b"]))) == r"a\x1b[2J\nb(value=[\x1b[31mloud\x07, '\x1b'], other=None)"


def test_a_task_that_cannot_be_shown_is_built_all_the_same() -> None:
    """A broken repr of an argument is not a reason to fail."""

    @dataclasses.dataclass(repr=False)
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no repr")

        def __task_key__(self) -> str:
            return "broken"

    task = Echo(Broken())

    assert plain(brief(task)) == "Echo(value=<Broken>, other=None)"
