"""Code that runs without being named: it comes as an argument or as an input, or belongs to another task class."""
from __future__ import annotations

import importlib.util
import itertools
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pytest

from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.tasks.reached_code import code_of_values
from taskproc.tasks.task_code import fingerprint

Load = Callable[[str], ModuleType]

STUDY = """
import collections, contextlib, dataclasses, enum, functools
import attrs
import numpy as np
import pandas as pd
import pydantic
import taskproc
from taskproc import Const, Task

def function():
    return 1

class Plain:
    def __call__(self):
        return 1

@dataclasses.dataclass(frozen=True)
class Fields:
    number: int = 0
    inner: object = None

    def __call__(self):
        return 1

class Choice(enum.Enum):
    ONE = 1

    def __call__(self):
        return 1

class Named:
    def __task_key__(self):
        return "name"

    def __call__(self):
        return 1

@attrs.define
class Slots:
    inner: object = None

class Model(pydantic.BaseModel):
    inner: Fields

class Models(pydantic.BaseModel):
    inner: Model

class Bag:
    def __init__(self, inner):
        self.inner = inner

    def __task_key__(self):
        return "bag"

class Registered(Bag):
    __task_key__ = None

taskproc.register_key(Registered, lambda value: "registered")

class Memo:
    def __init__(self, inner):
        self.inner = inner
        self.__module__, self.__qualname__ = __name__, "memo"

    def __call__(self):
        return 1

memo = Memo(function)

@functools.lru_cache
def cached():
    return 1

@functools.singledispatch
def dispatched(x=0):
    return 1

@contextlib.contextmanager
def context():
    yield function()

class Upstream(Task):
    LIMITS = [1]

    @staticmethod
    def helper():
        return 1

    def run_task(self):
        return Plain()

class Call(Task):
    task_ignored_args = ["ignored"]

    def __init__(self, given, ignored=None):
        self.given = given

    def run_task(self):
        given = self.given.get_result() if hasattr(self.given, "get_result") else self.given
        while isinstance(given, (list, dict)):
            given = given["x"] if isinstance(given, dict) else given[0]
        given = getattr(given, "inner", None) or given
        return given()() if isinstance(given, type) else given()

class Borrow(Task):
    def run_task(self):
        return Upstream.LIMITS[0] * Upstream.helper()
"""


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Makes modules called `study` from texts; each is new, as if a new process had imported an edited file."""
    numbers = itertools.count()

    def make(text: str) -> ModuleType:
        path = tmp_path / f"{next(numbers)}.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location("study", path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules["study"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield make
    sys.modules.pop("study", None)


def run(module: ModuleType, task: str) -> tuple[object, int]:
    """The result of the task in this source, and how many tasks ran."""
    value, stats = eval(task, vars(module)).run_graph(executor=LocalExecutor())
    return value, sum(stats["stats"].values())


@pytest.mark.parametrize(
    "given",
    [
        "function", "[function]", "{'x': function}", "functools.partial(function)", "Plain", "[Plain]", "Fields()",
        "[Fields()]", "Fields(inner=Fields())", "Fields(inner=function)", "Choice.ONE", "Named()", "Const(Fields())",
    ],
)  # fmt: skip
def test_code_among_the_arguments_counts(cache: Cache, load: Load, given: str) -> None:
    """Functions, classes, and the classes of instances, at any depth: the key has only their names."""
    task = f"Call({given})"
    runs = [run(load(STUDY), task), run(load(STUDY.replace("return 1", "return 2")), task), run(load(STUDY), task)]

    assert runs == [(1, 1), (2, 1), (1, 0)]


def test_code_of_an_argument_that_is_ignored_does_not_count(cache: Cache, load: Load) -> None:
    """Nor that of a task, which has its own."""
    task = "Call(function, Fields())"
    edited = STUDY.replace("number: int = 0", "number: int = 1")

    assert [run(load(STUDY), task), run(load(edited), task)] == [(1, 1), (1, 0)]


def test_an_equal_instance_of_an_edited_class_is_another_value(cache: Cache, load: Load) -> None:
    """Its bytes are the same but its methods differ: tasks below call them without naming the class."""
    task, edited = "Call(Upstream())", STUDY.replace("return 1", "return 2")
    runs = [run(load(STUDY), task), run(load(edited), task), run(load(STUDY), task)]

    assert runs == [(1, 2), (2, 2), (1, 0)]


@pytest.mark.parametrize("result", ["Plain()", "[Fields(), Fields(inner=Plain())]", "{'x': Slots(Plain)}"])
def test_the_class_of_an_instance_counts_for_who_reads_it(cache: Cache, load: Load, result: str) -> None:
    """Also if a version keeps the task that made it fresh: other tasks call its methods."""
    text = STUDY + f"""
class Pinned(Task):
    task_version = "1"

    def run_task(self):
        return {result}

class Read(Task):
    def __init__(self):
        self.up = Pinned()

    def run_task(self):
        return repr(self.up.get_result())
"""
    edited = text.replace("        return 1", "        return 2", 1)
    counts = [run(load(some), "Read()")[1] for some in (text, text, edited, edited, text)]

    assert counts == [2, 0, 1, 0, 0]


def test_an_equal_instance_of_the_same_class_ends_it(cache: Cache, load: Load) -> None:
    """The task was edited, not the class of its result."""
    task, edited = "Call(Upstream())", STUDY.replace("LIMITS = [1]", "LIMITS = [2]")

    assert [run(load(STUDY), task), run(load(edited), task)] == [(1, 2), (1, 1)]


@pytest.mark.parametrize(
    "given",
    [
        "collections.deque([Fields()])", "collections.defaultdict(list, x=[Fields()])", "Slots(Fields())",
        "Slots([Slots(Plain)])", "Model(inner=Fields())", "Models(inner=Model(inner=Fields(inner=Choice.ONE)))",
        "np.array([Fields()], dtype=object)", "pd.Series([Fields()])", "pd.DataFrame({'x': [Fields()]})",
        "Bag(Plain())",
        "Registered([Plain()])", "cached", "[cached]", "dispatched", "functools.partial(cached)", "context", "memo",
        "collections.OrderedDict(x=Fields())", "{(Fields(),): 1}", "Const([Slots(Plain)])",
    ],
)  # fmt: skip
def test_code_in_any_argument_counts(cache: Cache, load: Load, given: str) -> None:
    """Whatever holds it, and however it is wrapped."""
    def code(text: str) -> tuple[Mapping[str, str], Collection[str]]:
        task = eval(f"Call({given})", vars(load(text)))
        return fingerprint(type(task), code_of_values(task)).items, fingerprint(type(task)).items.keys()

    (before, alone), (after, _) = code(STUDY), code(STUDY.replace("return 1", "return 2"))

    assert {name for name in before if before[name] != after[name]} - set(alone)


def test_code_that_init_left_counts(cache: Cache, load: Load) -> None:
    """No code names its class, which was found by a string."""
    text = STUDY + """
class Left(Task):
    def __init__(self, name):
        self.made = [Bag(globals()[name]())]

    def run_task(self):
        return self.made[0].inner()
"""
    codes = [code_of_values(load(some).Left("Plain")) for some in (text, text.replace("return 1", "return 2"))]

    assert [["Bag", "Plain"]] * 2 == [[kind.__name__ for kind in code] for code in codes]
    assert fingerprint(codes[0][1]).items != fingerprint(codes[1][1]).items


@pytest.mark.parametrize(("old", "new"), [("LIMITS = [1]", "LIMITS = [2]"), ("return 1", "return 2")])
def test_what_is_named_of_another_task_class_counts(cache: Cache, load: Load, old: str, new: str) -> None:
    """Its constants and functions are not inputs."""
    runs = [run(load(text), "Borrow()") for text in (STUDY, STUDY.replace(old, new), STUDY)]

    assert runs == [(1, 1), (2, 1), (1, 0)]


def test_what_is_not_named_of_another_task_class_does_not_count(cache: Cache, load: Load) -> None:
    """Its run_task makes an input."""
    runs = [run(load(text), "Borrow()") for text in (STUDY, STUDY.replace("return Plain()", "return 5"))]

    assert runs == [(1, 1), (1, 0)]


@pytest.mark.parametrize("holds", ["self.up = given", "self.up = [given][0]", "self.up = {'x': given}['x']"])
def test_what_is_read_of_a_task_that_came_as_an_argument_counts(cache: Cache, load: Load, holds: str) -> None:
    """The code that reads it does not name its class."""
    text = STUDY + f"""
class Ask(Task):
    def __init__(self, given):
        {holds}

    def run_task(self):
        return self.up.LIMITS[0] * self.up.helper()
"""
    edits = [text, text.replace("LIMITS = [1]", "LIMITS = [2]"), text.replace("    def helper():\n        return 1",
                                                                             "    def helper():\n        return 3")]

    assert [run(load(edited), "Ask(Upstream())")[0] for edited in edits] == [1, 2, 3]
