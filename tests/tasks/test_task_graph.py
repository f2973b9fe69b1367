"""The needs of a task are the tasks that its attributes hold, in any plain container."""
from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest

from taskproc.errors import BuildError, CycleError
from taskproc.tasks.future import Const, FutureDict, FutureList
from taskproc.tasks.task import Task
from taskproc.tasks.task_graph import attributes, needs, upstreams

pytestmark = pytest.mark.usefixtures("cache")


class Leaf(Task):
    def __init__(self, name: str):
        self.name = name

    def run_task(self) -> str:
        return self.name


class Holds(Task):
    """Has one attribute, which is set after it was built."""

    def __init__(self) -> None:
        self.held: Any = None

    def run_task(self) -> None: ...


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclass
class Box:
    content: Any
    more: list[Any] = field(default_factory=list)


def names(found: Iterable[Any]) -> list[str]:
    return [task.name for task in found]


def held(value: Any) -> list[str]:
    """Names of the needs of a task whose attribute is `value`."""
    task = Holds()
    task.held = value
    return names(needs(task).values())


def test_an_attribute_that_is_a_task() -> None:
    """By key, in the order of the attributes."""
    task = Holds()
    task.held, task.second, task.third = Leaf("b"), Leaf("a"), Leaf("b")  # type: ignore[attr-defined]

    found = needs(task)

    assert names(found.values()) == ["b", "a"]
    assert list(found) == [Leaf(name)._taskproc.place.key for name in "ba"]


@pytest.mark.parametrize(
    "make",
    [
        lambda a, b: [a, b],
        lambda a, b: (a, [b]),
        lambda a, b: {"x": a, "y": {"z": b}},
        lambda a, b: {a: 1, b: 2},
        lambda a, b: OrderedDict(x=a, y=b),
        lambda a, b: defaultdict(list, x=[a, b]),
        lambda a, b: Pair(a, b),
        lambda a, b: Box(a, [Box(b)]),
        lambda a, b: FutureList([a, b]),
        lambda a, b: FutureDict({"x": a, "y": b}),
        lambda a, b: [a["x"]["y"], b[0]],
        lambda a, b: FutureList([a["x"], FutureList([b])]),
        lambda a, b: Const([a, {"x": b}]),
        lambda a, b: Const(a)["x"] and [Const(a)["x"], Const(b)[0]],
        lambda a, b: [a, 1, None, "text", 2.5, b"bytes", Const(3), b],
    ],
)
def test_futures_are_found_at_any_depth(make: Any) -> None:
    """In plain containers, dataclasses, futures of futures, and elements; in order."""
    assert held(make(Leaf("a"), Leaf("b"))) == ["a", "b"]


def test_a_set_is_looked_into() -> None:
    """In any order."""
    assert sorted(held({Leaf("a"), frozenset({Leaf("b")})})) == ["a", "b"]


@dataclass
class Helper:
    owner: Any


@pytest.mark.parametrize(
    ("hold", "message"),
    [
        (lambda task: task, r"Holds#\w+\(\) needs itself: its attribute 'held' is the task. Leave it out"),
        (lambda task: [{"a": (task,)}], r"Holds#\w+\(\) needs itself: its attribute 'held' \(list\) holds the task. P"),
        (lambda task: Helper(task), r"attribute 'held' \(Helper\) holds the task"),
        (lambda task: task["a"], r"attribute 'held' \(Item\) holds the task"),
        (lambda task: FutureList([Leaf("a"), task]), r"attribute 'held' \(FutureList\) holds the task"),
    ],
)
def test_a_task_that_holds_itself_is_told_by_which_attribute(hold: Any, message: str) -> None:
    """It would have to wait for its own result."""
    task = Holds()
    task.held = hold(task)

    with pytest.raises(CycleError, match=message):
        task.run_graph()


def test_a_helper_may_hold_the_task() -> None:
    """Only plain containers and dataclasses are searched."""

    class Owned:
        def __init__(self, owner: Any):
            self.owner = owner

    task = Holds()
    task.held = Owned(task)

    assert {} == needs(task)


def test_what_contains_itself_is_looked_into_once() -> None:
    """The search ends."""
    ring: list[Any] = [Leaf("a")]
    ring.append({"again": ring})
    box = Box(Leaf("b"))
    box.more.append(box)

    assert held([ring, box]) == ["a", "b"]


def test_a_deep_nest_is_looked_into() -> None:
    """Deeper than the stack."""
    nest: Any = Leaf("a")
    for _ in range(5000):
        nest = [nest]

    assert held(nest) == ["a"]


def test_other_objects_are_not_looked_into() -> None:
    """The content of an object of another class is private; classes are not their instances."""

    held_by_class = Leaf("b")

    class Keeps:
        def __init__(self) -> None:
            self.task = Leaf("a")

    @dataclass
    class Template:
        default: Any = held_by_class

    assert held([Keeps(), Template, lambda: Leaf("c")]) == []


def test_a_task_is_not_looked_through() -> None:
    """The needs of a need are its own."""
    below = Holds()
    below.held = Leaf("a")

    assert list(upstreams([below]).values()) == [below]


def test_slots_are_attributes() -> None:
    """A single string, private ones under their real names, those of bases; empty ones are left out."""

    class Base(Task):
        __slots__ = ("__hidden", "empty")

        def __init__(self) -> None:
            self.__hidden = Leaf("hidden")

        def run_task(self) -> None: ...

    class _Single(Base):
        __slots__ = "left"

        def __init__(self) -> None:
            super().__init__()
            self.left = Leaf("left")
            self.other = Leaf("other")

    assert sorted(names(needs(_Single()).values())) == ["hidden", "left", "other"]
    assert sorted(name for name, _ in attributes(_Single())) == ["_Base__hidden", "left", "other"]


def made(number: int) -> type[Task]:
    class Made(Task):
        def run_task(self) -> int:
            return number

    return Made


def test_two_classes_of_one_name_are_refused() -> None:
    """Their tasks share a key, so one would be used for the other, whose variables may differ."""
    with pytest.raises(BuildError, match=r"two task classes of one graph are called '.*made.<locals>.Made'"):
        held([made(1)(), made(2)()])
    with pytest.raises(BuildError, match="give them different names"):
        held([[made(1)()], {"x": made(2)()}])


def test_a_class_that_was_defined_anew_is_another_class() -> None:
    """Instances of both in one graph are refused if the code changed; a module that was loaded twice is accepted."""

    def define(value: int) -> Task:
        space: dict[str, Any] = {"__name__": "notebook", "Task": Task}
        exec(f"class Cell(Task):\n    def run_task(self): return {value}", space)
        task: Task = space["Cell"]()
        return task

    one, same, other = define(1), define(1), define(2)

    assert list(upstreams([one, same]).values()) == [one]
    with pytest.raises(BuildError, match="build the whole graph again"):
        upstreams([one, other])
