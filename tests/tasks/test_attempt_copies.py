"""Changes that a task makes to objects it can reach affect no other attempt and no other task, wherever it runs."""
from __future__ import annotations

import copy
import dataclasses
import subprocess
import sys
import threading
from collections import deque
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import nullcontext
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskproc.errors import FailedTaskError
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.tasks.future import Const, FutureDict, FutureList
from taskproc.tasks.task import Task

numpy: Any = pytest.importorskip("numpy")


@dataclasses.dataclass
class Box:
    content: list[int]


class Spoils(Task):
    """Returns the values it finds and changes all of them; the first attempts fail afterwards."""

    seen: ClassVar[list[int]] = [0]

    def __init__(self, number: int, fails: int, folder: str, ups: Any = (), values: Any = (0,), note: Any = None):
        self.number, self.fails, self.folder = number, fails, folder
        self.ups, self.values = list(ups), list(values)
        self.table = FutureDict({str(index): up for index, up in enumerate(ups)})
        self.const: Const[Any] = Const([number, {"a": [number]}])
        self.box, self.array = Box([number]), numpy.array([number])
        self.nested: dict[str, Any] = {"a": ({"b": [number]},)}
        self.note = note

    def run_task(self, known: Any = [], *, also: Any = {}) -> Any:  # noqa: B006  # the subject of the test
        found = [self._look(), self.const.get_result(), copy.deepcopy(known), dict(also)]
        for value in (self.const.get_result(), self.const.get_result()[1]["a"]):
            value.append(1)
        for up in self.ups:
            found += [up._look(), up.get_result()]
            up._spoil()
            up.get_result().append("spoilt")
        journal = Path(self.folder, str(self.number))
        self._spoil()
        known.append(1)
        also["a"] = 1
        done = len(journal.read_text()) if journal.exists() else 0
        journal.write_text("x" * (done + 1))
        if done < self.fails:
            raise ValueError(f"attempt {done}")
        return found

    def _look(self) -> Any:
        values = [self.seen, self.values, self.box.content, self.array.tolist(), self.nested, self.note]
        return copy.deepcopy([self.number, *values, sorted(vars(self).keys() & {"new"})])

    def _spoil(self) -> None:
        self.seen.append(1)
        self.values.append(1)
        self.box.content.append(1)
        self.array[0] = -1
        self.nested["a"][0]["b"].append(1)
        self.nested["c"] = ()
        if self.note is not None:
            self.note.append(1)
        self.number = -1
        self.new = 1
        del self.box

    def pure(self) -> Any:
        """The result if it ran once, in a process of its own."""
        found: list[Any] = [self._look(), self.const.get_result(), [], {}]
        for up in self.ups:
            found += [up._look(), up.pure()]
        return found


Shape = list[tuple[int, list[int]]]
SHAPES = st.lists(st.tuples(st.integers(0, 2), st.lists(st.integers(0, 9), max_size=3)), min_size=2, max_size=5)


def build(shape: Shape, folder: Path) -> Spoils:
    """The last task of a graph; for each node, how often it fails and which earlier nodes it needs."""
    nodes: list[Spoils] = []
    for number, (fails, ups) in enumerate(shape):
        chosen = [nodes[up] for up in sorted({up % number for up in ups})] if number else []
        if number == len(shape) - 1:
            chosen = list(nodes)
        nodes.append(Spoils(number, fails, str(folder), chosen, [number, 7], deque([number])))
    return nodes[-1]


def run(task: Spoils, kind: str) -> Any:
    """The result, after as many runs as its graph has failures."""
    options: dict[str, Any] = {"max_workers": 1} if kind == "worker" else {}
    if kind == "prefix":
        options = {"prefixes": {Spoils.task_name: ""}}
    made: Any = {
        "inline": LocalExecutor, "threads": lambda: ThreadPoolExecutor(3),
        "pool": lambda: ProcessPoolExecutor(1, get_context("fork")),
    }.get(kind, nullcontext)()  # fmt: skip
    with made as executor:
        if isinstance(executor, Executor):
            options["executor"] = executor
        for _ in range(20):
            try:
                return task.run_graph(on_error="continue", **options)[0]
            except FailedTaskError as error:
                if not all(isinstance(failure.error, ValueError) for failure in error.failures):
                    raise
    raise AssertionError("it fails for ever")


def check(shape: Shape, folder: Path, kind: str) -> None:
    (folder / "journal").mkdir(parents=True)
    with Cache(folder / "cache"):
        task = build(shape, folder / "journal")
        pure = task.pure()
        assert pure == run(task, kind)
        assert [0] == Spoils.seen
        assert pure == task.pure()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=SHAPES, kind=st.sampled_from(["inline", "threads"]))
def test_in_one_process_a_graph_that_spoils_all_gives_what_a_pure_one_gives(
    tmp_path_factory: pytest.TempPathFactory, shape: Shape, kind: str
) -> None:
    """Whatever its tasks change, however often they are tried: arguments, attributes, inputs, defaults, constants."""
    check(shape, tmp_path_factory.mktemp("graph"), kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["worker", "pool", "prefix"])
def test_in_processes_it_is_the_same(tmp_path: Path, kind: str) -> None:
    """One worker runs them all, so an object that is shared within a process would show."""
    check([(1, []), (0, [0]), (2, [0, 1]), (0, [])], tmp_path / "one", kind)


class Appends(Task):
    def __init__(self, values: list[int], lock: Any = None):
        self.values = values
        self.lock = threading.Lock()
        self.scratch: list[int] = []

    def run_task(self) -> list[int]:
        with self.lock:
            self.values.append(1)
        if not Path(self.task_directory.parent, "tried").exists():
            Path(self.task_directory.parent, "tried").touch()
            raise ValueError("the first time")
        return self.values


@pytest.mark.parametrize("make", [LocalExecutor, ThreadPoolExecutor])
def test_a_second_attempt_begins_as_the_first_did(cache: Cache, make: type[Executor]) -> None:
    """A result with the key of [0] was made from [0]; objects that cannot be copied are shared."""
    task = Appends([0])
    with make() as executor:
        with pytest.raises(FailedTaskError):
            task.run_graph(executor=executor)

        assert [0, 1] == task.run_graph(executor=executor)[0]
    assert [0] == task.values


class Deep(Task):
    def __init__(self, up: Any = None):
        self.up = up
        self.values = [0]

    def run_task(self) -> int:
        task: Any = self
        while task is not None:
            task.values.append(1)
            length = len(task.values)
            task = task.up
        return length


def test_tasks_far_above_are_reached_and_not_changed(cache: Cache) -> None:
    """At any depth; attributes that are not read are not copied."""
    tasks = [Deep()]
    for _ in range(300):
        tasks.append(Deep(tasks[-1]))

    assert 2 == tasks[-1].run_graph(executor=LocalExecutor())[0]
    assert {(0,)} == {tuple(task.values) for task in tasks}


class Picky(Task):
    """Computes its attributes itself."""

    limit = 5

    def __init__(self, limit: int):
        self.limit = limit
        self.known = {"extra": [limit]}

    def __getattr__(self, name: str) -> Any:
        try:
            return vars(self)["known"][name]
        except KeyError:
            raise AttributeError(name) from None

    def run_task(self) -> int:
        return self.limit


class Slotted(Task):
    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values = [3]

    def run_task(self) -> list[int]:
        return self.values


class Reads(Task):
    def __init__(self, *ups: Any):
        self.ups = FutureList(ups)
        self.first: Any = self.ups[0]

    def run_task(self) -> list[Any]:
        picky: Any = self.ups[0]
        slotted: Any = self.ups[1]
        assert picky is self.first
        picky.extra.append(1)
        slotted.values.append(1)
        return [picky.limit, picky.extra, slotted.values, hasattr(picky, "nothing"), hasattr(slotted, "nothing")]


def test_attributes_are_found_as_their_class_finds_them(cache: Cache) -> None:
    """Also if the class has an attribute of the same name, with `__getattr__`, and in slots."""
    ups = Picky(7), Slotted()

    assert [7, [7, 1], [3, 1], False, False] == Reads(*ups).run_graph(executor=LocalExecutor())[0]
    assert ([7], [3]) == (ups[0].extra, ups[1].values)


class Nests(Task):
    def __init__(self, up: Any):
        self.up = up

    def run_task(self) -> Any:
        self.up.values.append(9)
        return Wraps(self.up).run_graph()[0], self.up.run_graph()[0]


class Wraps(Nests):
    def run_task(self) -> Any:
        return self.up.values, self.up.get_result()


def test_what_an_attempt_was_given_may_be_built_upon_and_run(cache: Cache) -> None:
    """A copy is the same task as the one that was built."""
    up = Deep()

    assert (([0], 2), 2) == Nests(up).run_graph(executor=LocalExecutor())[0]
    assert (([0], 2), 2) == (Wraps(up).run_graph(executor=LocalExecutor())[0], up.get_result())


class Reads100000(Task):
    table: ClassVar[dict[int, int]] = dict.fromkeys(range(100_000), 1)
    short: ClassVar[list[int]] = [1]

    def run_task(self) -> list[bool]:
        return [self.table is type(self).table, self.short is type(self).short]


def test_a_large_table_of_the_class_is_not_copied(cache: Cache) -> None:
    """A copy for each task would take longer than most tasks."""
    assert [True, False] == Reads100000().run_graph(executor=LocalExecutor())[0]


MANY = """
import sys
from taskproc import Cache, FutureList, Task
from taskproc.tasks.attempt_copies import apart

class Part(Task):
    def __init__(self, x): self.x = x
    def run_task(self): return self.x

class Sum(Task):
    def __init__(self, count): self.parts = FutureList([Part(x) for x in range(count)])
    def run_task(self): return len(set(self.parts))

events = []
with Cache(sys.argv[1]):
    tasks = [Sum(1), Sum(100)]
    sys.addaudithook(lambda event, args: events.append(event))
    counts = []
    for task in tasks:
        events.clear()
        assert len(set(apart(task).parts)) == len(task.parts)
        counts.append(events.count("builtins.id"))
sys.stdout.write(f"{counts[0] == counts[1]}")
"""


def test_an_audit_hook_is_not_called_for_each_upstream_task(tmp_path: Path) -> None:
    """A process that observes has one, and a call takes longer than to copy a small task."""
    done = subprocess.run([sys.executable, "-c", MANY, tmp_path], capture_output=True, text=True)

    assert ("True", "") == (done.stdout, done.stderr)
