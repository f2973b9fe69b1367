"""The identity of a result: equal if no code that loads it can see a difference, and only then."""
from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import functools
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from taskproc import Cache, Future, Task
from taskproc.run.pool import LocalExecutor
from taskproc.store.payload import write_value
from taskproc.tasks import value_digest as module
from taskproc.tasks.value_digest import value_digest

numpy: Any = pytest.importorskip("numpy")
pandas: Any = pytest.importorskip("pandas")
pydantic: Any = pytest.importorskip("pydantic")

ROOT, HOME = "/cache", "/cache/Task/results/1/data.2"


@dataclasses.dataclass
class Row:
    x: object
    y: object = 0


class Plain:
    def __init__(self, **attributes: object) -> None:
        vars(self).update(attributes)


class Keyed(Plain):
    def __task_key__(self) -> str:
        return "one"


class Packed:
    __slots__ = ("__x", "y")

    def __init__(self, x: object) -> None:
        self.__x = x

    def given(self) -> object:
        return self.__x


class Stateful(Plain):
    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "more": 1}


class Model(pydantic.BaseModel):
    x: int = 1


class Words(list[Any]):
    pass


def text() -> str:
    return "".join(["wo", "rd" * int("1")])


def code(source: str) -> Any:
    space: dict[str, Any] = {"__name__": "nowhere", "numpy": numpy}
    exec(compile(source, f"<{len(source)}>", "exec"), space)
    return space["f"]


WORD = text()
ALIKE: list[tuple[Any, Any]] = [
    ({"a", "b", "c"}, {"c", "b", "a"}),
    ([{(1, "a"), (2, "b")}], [{(2, "b"), (1, "a")}]),
    ({8, 0}, {0, 8}),
    ([WORD, WORD], [text(), text()]),
    ({"a": [WORD, {WORD: 1}]}, {"a": [text(), {text(): 1}]}),
    (numpy.zeros((3, 2), order="F"), numpy.zeros((3, 2))),
    (numpy.arange(10)[::2], numpy.arange(0, 10, 2)),
    (pandas.DataFrame(numpy.zeros((3, 2), order="F")), pandas.DataFrame(numpy.zeros((3, 2)))),
    (code("f = lambda x: x + 1"), code("\n\nf = lambda x: x + 1")),
    (code("def make(n):\n    def f(x): return x + n\n    return f\nf = make(1)"),
     code("#\n\ndef make(n):\n    def f(x):\n        return x + n\n    return f\nf = make(1)")),
    (functools.partial(code("f = lambda x: numpy.exp(x)"), 1),
     functools.partial(code("\nf = lambda x: numpy.exp(x)"), 1)),
    (Path(HOME, "a"), Path(HOME.replace("data.2", "data.3"), "a")),
    (HOME + "/a", HOME.replace("data.2", "data.3") + "/a"),
    ([HOME], [HOME.replace("data.2", "data.3")]),
    (Plain(a={"x", "y"}), Plain(a={"y", "x"})),
    (Row({"x", "y"}), Row({"y", "x"})),
    (Stateful(a={1, 2}), Stateful(a={2, 1})),
    (collections.defaultdict(set, a={"x", "y"}), collections.defaultdict(set, a={"y", "x"})),
]  # fmt: skip

shared: list[int] = [1]
looped: list[Any] = [1]
looped.append(looped)
straight: list[Any] = [1]
straight.append([1, straight])
Read = numpy.zeros(2)
Read.flags.writeable = False

APART: list[tuple[Any, Any]] = [
    ([shared, shared], [[1], [1]]),
    ({"a": shared, "b": shared}, {"a": shared, "b": [1]}),
    (looped, straight),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ([1, 2] * 40, [2, 1] * 40),
    ([1.0] * 40, [1] * 40),
    ([True] * 40, [1] * 40),
    ((1,), [1]),
    ({1}, frozenset({1})),
    ({1: "a"}, {True: "a"}),
    ([b"a"], [bytearray(b"a")]),
    ([b"a" * 99], [numpy.frombuffer(b"a" * 99, "u1")]),
    (numpy.zeros(2), Read),
    (numpy.zeros(2, ">i4"), numpy.zeros(2, "<i4")),
    (numpy.float64(1), 1.0),
    (Keyed(a=1), Keyed(a=2)),
    (Packed(1), Packed(2)),
    (Plain(a=1), Row(1)),
    (Plain(a=1, b=2), Plain(b=2, a=1)),
    (Stateful(a=1), Plain(a=1)),
    (Model(), Model(x=1)),
    (Words("ab"), Words("ba")),
    (Words("ab"), ["a", "b"]),
    (code("f = lambda x: x + 1"), code("f = lambda x: x + 2")),
    (code("f = lambda x: x + 1"), code("f = lambda x: x - 1")),
    (code("f = lambda x=1: x"), code("f = lambda x=2: x")),
    (code("N = 1\nf = lambda: N"), code("N = 2\nf = lambda: N")),
    (code("g = lambda: 1\nf = lambda: g()"), code("g = lambda: 2\nf = lambda: g()")),
    (code("def make(n): return lambda: n\nf = make(1)"), code("def make(n): return lambda: n\nf = make(2)")),
    (functools.lru_cache(code("f = lambda: 1")), functools.lru_cache(code("f = lambda: 2"))),
    (Path(HOME, "a"), Path(HOME, "b")),
    (Path(HOME, "a"), HOME + "/a"),
    (HOME + "/a", HOME + "1/a"),
    (Path(HOME, "a"), Path(ROOT, "a")),
    (pandas.Series(["a"], dtype=object), pandas.Series(["a"], dtype="string")),
    (pandas.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False), pandas.DataFrame({"a": [1]})),
    (ValueError("a"), ValueError("b")),
    (dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 1, fold=1)),
    ([Row(1), Row(1)], [Row(1)] * 2),
    ({"__again__": 0}, {"__again__": 1}),
]


def known_by(value: Any, home: str) -> str:
    """As in the stamp."""
    named = value_digest(value, ROOT, home)
    return f"={named}" if named else write_value(value, lambda part: None, root=ROOT).value


@pytest.mark.parametrize(("left", "right"), ALIKE, ids=lambda value: type(value).__name__)
def test_what_nobody_can_tell_apart_is_one_value(left: Any, right: Any) -> None:
    """Although the pickles differ; each attempt has its own directory."""
    digests = {value_digest(left, ROOT, HOME), value_digest(right, ROOT, HOME.replace("data.2", "data.3"))}

    assert len(digests) == 1
    assert None not in digests


@pytest.mark.parametrize(("left", "right"), APART, ids=lambda value: type(value).__name__)
def test_what_can_be_told_apart_is_two_values(left: Any, right: Any) -> None:
    """Whether it counts by its form or by its pickle, alone and inside another value."""
    assert known_by(left, HOME) != known_by(right, HOME)
    assert known_by([left, {1, 2}], HOME) != known_by([right, {2, 1}], HOME)


@pytest.mark.parametrize("value", [1, 1.5, None, True, "a", b"a", 1j])
def test_a_plain_value_is_known_by_its_pickle(value: object) -> None:
    """The pickle depends on nothing else, and older results have no other digest."""
    assert value_digest(value) is None


@pytest.mark.parametrize(
    "value",
    [threading.Lock(), [Row(number) for number in range(module.MOST)], dataclasses.make_dataclass("Local", ["x"])(1)],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_named_has_no_digest(value: object) -> None:
    """Nor values that would take long; then the pickle counts, as in older releases."""
    assert value_digest(value) is None


def test_what_can_be_changed_and_lies_in_a_set_has_no_digest() -> None:
    """Its number would depend on the order of the set, and mean another object elsewhere."""

    class Member(Plain):
        __hash__ = object.__hash__

    Member.__qualname__, globals()["Member"] = "Member", Member
    members = [Member(a=[1]), Member(a=[2])]

    assert value_digest(members) is not None
    assert value_digest([set(members), members[0]]) is None


SEEDED = """
import dataclasses, sys
sys.path.insert(0, {folder!r})
from taskproc.tasks.value_digest import value_digest
from tests.tasks.test_value_digest import Plain, Row
words = [chr(97 + n) * 3 for n in range(26)]
print(value_digest([set(words), Row(frozenset(words)), Plain(a=set(words[:3])), {{"k": {{(w, 1) for w in words}}}}]))
"""


@pytest.mark.slow
def test_the_hash_seed_does_not_count(environ: dict[str, str]) -> None:
    """The order of sets differs between processes."""
    text = SEEDED.format(folder=os.getcwd())
    found = {
        subprocess.run(
            [sys.executable, "-c", text], env={**environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip

    assert len(found) == 1
    assert len(found.pop()) == 65


# ---------------------------------------------------------------- in a graph


class Above(Task):
    task_version = "1"
    made: Any = staticmethod(lambda task: None)

    def run_task(self) -> Any:
        return type(self).made(self)


class Below(Task):
    ran: list[object] = []

    def __init__(self, above: Future[Any]):
        self.above = above

    def run_task(self) -> Any:
        Below.ran.append(1)
        return str(self.above.get_result())


def runs_below(monkeypatch: pytest.MonkeyPatch, *makers: Any) -> list[int]:
    """How often the task below ran, after each new version of the task above."""
    Below.ran.clear()
    counts = []
    for number, maker in enumerate(makers):
        monkeypatch.setattr(Above, "task_version", str(number))
        monkeypatch.setattr(Above, "made", staticmethod(maker))
        Below(Above()).run_graph(executor=LocalExecutor())
        counts.append(len(Below.ran))
    return counts


def write(task: Any, text: str, *, result: Any = None) -> Any:
    (task.task_directory / "deep").mkdir()
    (task.task_directory / "deep" / "file").write_text(text)
    return task.task_directory / "deep" / "file" if result is None else result


def test_an_equal_value_is_the_end_of_it(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if it was made in another way; a different one is not."""
    makers = [lambda task: {8, 0}, lambda task: {0, 8}, lambda task: {0, 9}]  # 8 and 0 have the same place in the table

    assert [1, 1, 2] == runs_below(monkeypatch, *makers)


def test_equal_files_are_the_end_of_it(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a path into the directory, as text or path, or without one; but not with different or additional files."""
    for result in (None, "x"):
        Above.clear_all_tasks()
        Below.clear_all_tasks()
        makers = [lambda task, text=text, result=result: write(task, text, result=result) for text in "aab"]
        assert [1, 1, 2] == runs_below(monkeypatch, *makers)
    Above.clear_all_tasks()
    Below.clear_all_tasks()
    assert [1, 1] == runs_below(monkeypatch, *[lambda task: str(write(task, "a"))] * 2)


def test_paths_that_were_passed_on_lead_somewhere(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """The task below was not made again, so its input directory stays, however often the task above ran again."""
    runs_below(monkeypatch, *[lambda task: write(task, "a")] * 5)
    path = Path(Below(Above()).run_graph(executor=LocalExecutor())[0])

    assert "a" == path.read_text()
    assert len(Below.ran) == 1


def test_other_files_are_let_go(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """As all older versions: only those whose value is in use stay."""
    runs_below(monkeypatch, *[lambda task, text=text: write(task, text) for text in "aabcd"])

    folders = sorted(path.name for path in Above().task_directory.parent.glob("data.*"))

    assert ["data.4", "data.5"] == folders


def test_a_result_of_before_stays_what_it_was(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts by its pickle; made again with the same pickle, it is the same value."""
    with monkeypatch.context() as patch:
        patch.setattr(module, "value_digest", lambda value, root, home: None)
        assert [1] == runs_below(monkeypatch, lambda task: {"a": [1]})
    before = Below.ran.copy()
    monkeypatch.setattr(Above, "task_version", "new")

    Below(Above()).run_graph(executor=LocalExecutor())

    assert before == Below.ran
