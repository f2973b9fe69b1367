"""Calling a class returns the one instance of its arguments, complete, however the class is defined."""
from __future__ import annotations

import sys
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest

from taskproc.errors import BuildError, NoCacheError
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.tasks.future import FutureDict, FutureList
from taskproc.tasks.task import Task
from taskproc.tasks.task_graph import needs
from tests.pace import limit

V = TypeVar("V")
pytestmark = pytest.mark.usefixtures("cache")


def run(task: Any) -> Any:
    return task.run_graph(executor=LocalExecutor())[0]


class Echo(Task):
    def __init__(self, value: Any = 1):
        self.value = value

    def run_task(self) -> Any:
        return self.value


class Sum(Task):
    def __init__(self, *parts: Any):
        self.parts = FutureList(parts)

    def run_task(self) -> int:
        return sum(self.parts.get_result())


# ---------------------------------------------------------------- one instance


def test_one_instance_however_its_arguments_are_written() -> None:
    """Positional, named and default arguments give one task, and one object."""
    assert Echo(1) is Echo(value=1) is Echo()
    assert Echo(1) is not Echo(2)
    assert Echo(1) is not Echo(True)


def test_each_cache_has_its_own_instances(cache: Cache) -> None:
    """A task belongs to the cache in which it was built."""
    with Cache(cache.path) as other:
        there = Echo(1)

    assert there is not Echo(1)
    assert (there._taskproc.cache, Echo(1)._taskproc.cache) == (other, cache)


def test_entering_a_cache_again_builds_anew(tmp_path: Path) -> None:
    """In a notebook, a class may be defined again between two cells, and old instances do not use it."""

    class Inner(Task):
        def run_task(self) -> None: ...

    class Other(Inner): ...

    class Outer(Task):
        def __init__(self) -> None:
            self.inner = classes[-1]()

        def run_task(self) -> None: ...

    classes: list[Any] = [Inner]
    cache = Cache(tmp_path / "cache")
    with cache:
        first = Outer()
        with cache:
            assert Outer() is first
    classes.append(Other)
    with cache:
        assert type(Outer().inner) is Other


def test_a_task_of_another_cache_is_refused_as_an_argument(tmp_path: Path) -> None:
    """At the call: the instance would be used for its twin in this cache."""
    with Cache(tmp_path / "other"):
        foreign = Echo(1)

    with pytest.raises(BuildError, match=r"argument 'parts' of Sum holds Echo#\w+\(value=1\) of cache '.*/other', but"):
        Sum([foreign["x"]])
    assert needs(Sum([Echo(1)["x"]])) == {Echo(1)._taskproc.place.key: Echo(1)}


def test_threads_get_one_instance(cache: Cache) -> None:
    """If several threads build it at once, one is first, and all get its object."""
    at_once = threading.Barrier(4)
    built: list[Task] = []

    class Slow(Task):
        def __init__(self) -> None:
            at_once.wait(limit(10))
            self.up = Echo(1)

        def run_task(self) -> None: ...

    def build_one() -> None:
        with cache:
            built.append(Slow())

    threads = [threading.Thread(target=build_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(built) == 4
    assert {id(task) for task in built} == {id(built[0])}
    assert hasattr(built[0], "up")


def test_outside_a_cache_it_is_refused() -> None:
    """The error names the class and says what to do."""
    refused: list[str] = []

    def build_one() -> None:  # a new thread begins outside all blocks
        try:
            Echo(1)
        except NoCacheError as error:
            refused.append(str(error))

    thread = threading.Thread(target=build_one)
    thread.start()
    thread.join()

    assert refused == ["Echo was built outside a cache: do it inside `with Cache('./cache'):`"]


# ---------------------------------------------------------------- kinds of classes


def outcome(self: Any) -> Any:
    return self.value, self.up and self.up.get_result(), self.items


@dataclass
class Plain(Task):
    value: int
    up: Any = None
    items: list[int] = field(default_factory=list)
    run_task = outcome


@dataclass(frozen=True)
class Frozen(Task):
    value: int
    up: Any = None
    items: list[int] = field(default_factory=list)
    run_task = outcome


@dataclass(slots=True, order=True)
class Slots(Task):
    value: int
    up: Any = None
    items: list[int] = field(default_factory=list)
    run_task = outcome


@dataclass(frozen=True, slots=True)
class FrozenSlots(Task):
    value: int
    up: Any = None
    items: list[int] = field(default_factory=list)
    run_task = outcome


@pytest.mark.parametrize("kind", [Plain, Frozen, Slots, FrozenSlots])
def test_a_dataclass_is_a_task_like_any_other(kind: Any) -> None:
    """Its fields are parameters and attributes, also with a `default_factory`; it is one instance, and hashable."""
    task = kind(1, Echo(2))

    assert task is kind(value=1, up=Echo(2), items=[])
    assert kind(1, items=[3]) not in {task, kind(2)}
    assert needs(task) == {Echo(2)._taskproc.place.key: Echo(2)}
    assert task.task_args["items"] == []
    assert run(task) == (1, 2, [])


def test_a_default_factory_is_asked_for_each_task() -> None:
    """No task sees what another one does to its list."""
    one, other = Plain(1), Plain(2)
    one.items.append(5)

    assert (one.items, other.items, Plain(3).items) == ([5], [], [])


def test_a_dataclass_does_not_show_all_that_lies_above_it() -> None:
    """In a graph that shares tasks, the repr of dataclasses would double with each level."""
    task = Plain(0)
    for level in range(40):
        task = Plain(level, [task, task])

    assert len(repr(task)) < 200


def test_a_dataclass_may_do_more_after_its_fields_are_set() -> None:
    """`__post_init__` builds its needs."""

    @dataclass
    class After(Task):
        value: int

        def __post_init__(self) -> None:
            self.up = Echo(self.value)

        def run_task(self) -> Any:
            return self.up.get_result()

    assert run(After(7)) == 7


def test_a_hierarchy_is_one_task() -> None:
    """`super().__init__` with other arguments sets attributes and registers no task."""

    class Base(Echo):
        def __init__(self, value: int):
            super().__init__(value * 2)
            self.up = Echo("base")

    class Derived(Base):
        def __init__(self, value: int):
            super().__init__(value + 1)
            self.more = Echo("derived")

    task = Derived(1)

    assert (task.value, task.task_args) == (4, {"value": 1})
    assert [need.value for need in needs(task).values()] == ["base", "derived"]
    assert type(task) is Derived


def test_an_abstract_class_is_refused_and_its_heirs_are_not() -> None:
    """Python's own error names the missing method."""

    class Base(Task, ABC):
        def __init__(self, value: int):
            self.value = value

        @abstractmethod
        def change(self) -> int: ...

        def run_task(self) -> int:
            return self.change()

    class Twice(Base):
        def change(self) -> int:
            return self.value * 2

    with pytest.raises(TypeError, match=r"Can't instantiate abstract class Base.*change"):
        Base(1)  # type: ignore[abstract]
    assert run(Twice(2)) == 4


def test_a_generic_class_is_one_task_whatever_its_parameter() -> None:
    """`Box[int](1)` is `Box(1)`: type arguments are for type checkers."""

    class Box(Task, Generic[V]):
        def __init__(self, value: V):
            self.value = value

        def run_task(self) -> V:
            return self.value

    assert Box[int](1) is Box(1)
    assert run(Box[int](1)) == 1


def test_a_class_without_init_has_no_arguments() -> None:
    """And refuses any."""

    class Bare(Task):
        def run_task(self) -> int:
            return 1

    assert Bare() is Bare()
    with pytest.raises(TypeError, match="Bare: too many positional arguments"):
        Bare(1)  # type: ignore[call-arg]


def test_all_kinds_of_parameters() -> None:
    """Positional-only, variable and keyword-only parameters are bound as Python binds them."""

    class Many(Task):
        def __init__(self, a: int, /, b: int = 2, *rest: int, c: int, d: int = 4, **more: Any):
            self.got = a, b, rest, c, d, more

        def run_task(self) -> Any:
            return self.got

    assert Many(1, c=3) is Many(1, 2, c=3, d=4)
    assert Many(1, c=3).got == (1, 2, (), 3, 4, {})
    assert Many(1, 2, 3, c=3, a=9).got == (1, 2, (3,), 3, 4, {"a": 9})
    assert len({Many(1, c=3), Many(1, 2, 3, c=3), Many(1, c=3, a=9), Many(1, c=3, e=(1,)), Many(1, c=3, e=[1])}) == 5
    with pytest.raises(TypeError, match=r"Many: missing a required (keyword-only )?argument: 'c'"):
        Many(1)  # type: ignore[call-arg]


def test_a_class_of_a_namespace_that_is_no_module() -> None:
    """As in notebooks and generated code: recursion and results work."""
    space: dict[str, Any] = {}
    exec(
        "from taskproc import Const, Task\n"
        "class Count(Task):\n"
        "    def __init__(self, n): self.up = Count(n - 1) if n else Const(0)\n"
        "    def run_task(self): return self.up.get_result() + 1\n",
        space,
    )

    assert run(space["Count"](2)) == 3


def test_new_may_answer_with_something_else() -> None:
    """As in Python: the object is not initialised, and not remembered."""

    class Even(Task):
        def __new__(cls, value: int) -> Any:
            return super().__new__(cls) if value % 2 == 0 else "odd"

        def __init__(self, value: int):
            self.value = value

        def run_task(self) -> int:
            return self.value

    assert Even(3) == "odd"
    assert Even(2) is Even(2)


# ---------------------------------------------------------------- arguments that change


def test_a_container_counts_as_it_was_when_the_task_was_built() -> None:
    """The caller may fill one list for task after task; also lists in tuples and dicts, and futures."""
    numbers: list[Any] = []
    tasks = []
    for number in range(3):
        numbers.append(number)
        tasks.append(Echo({"a": (numbers,), "b": {number}}))

    assert [run(task) for task in tasks] == [
        {"a": ([0],), "b": {0}}, {"a": ([0, 1],), "b": {1}}, {"a": ([0, 1, 2],), "b": {2}},
    ]
    assert tasks[0].task_args["value"]["a"] == {"__tuple__": [[0]]}


def test_futures_that_are_added_to_an_argument_later_do_not_count() -> None:
    """A FutureList keeps its type, and the task the futures that it was built with."""
    futures = FutureList([Echo(1)])
    named = FutureDict({"a": Echo(2)})
    task = Echo([futures, named])

    futures.append(Echo(3))
    named["b"] = Echo(4)

    assert [type(some) for some in task.value] == [FutureList, FutureDict]
    assert [need.value for need in needs(task).values()] == [1, 2]


def test_init_may_take_its_argument_apart() -> None:
    """Its changes affect neither the caller, nor the key, nor the arguments that are remembered."""

    class Takes(Task):
        def __init__(self, options: dict[str, int]):
            self.x = options.pop("x")

        def run_task(self) -> int:
            return self.x

    options = {"x": 1, "y": 2}
    task = Takes(options)

    assert (options, task.task_args) == ({"x": 1, "y": 2}, {"options": {"x": 1, "y": 2}})
    assert Takes({"x": 1, "y": 2}) is task


def test_a_definition_may_run_tasks() -> None:
    """The shape of a graph may depend on a result."""

    class Shape(Task):
        def __init__(self) -> None:
            self.parts = FutureList(Echo(part) for part in range(run(Echo(3))))

        def run_task(self) -> list[int]:
            return self.parts.get_result()

    assert run(Shape()) == [0, 1, 2]


def test_building_touches_no_file(cache: Cache) -> None:
    """Before a run, no file is read or created: a graph of a million tasks would take minutes."""
    asked: set[str] = set()

    def note(frame: object, event: str, function: Any) -> None:
        # Functions that begin with `_path` only split names
        if event == "c_call" and function.__module__ in ("posix", "_io") and not function.__name__.startswith("_path"):
            asked.add(function.__name__)

    sys.setprofile(note)
    try:
        built = [Sum(Echo(number), Echo([number, Path("a")])) for number in range(50)]
    finally:
        sys.setprofile(None)

    assert asked <= {"fspath"}
    assert 100 == sum(len(needs(task)) for task in built)


def test_many_arguments_are_many_needs() -> None:
    """A large fan-in."""
    assert run(Sum(*map(Echo, range(40)))) == 780
