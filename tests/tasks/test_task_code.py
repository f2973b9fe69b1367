"""Code is the same while it means the same."""
from __future__ import annotations

import importlib.util
import inspect
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from taskproc.errors import BuildError
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.tasks.task import Task
from taskproc.tasks.task_code import fingerprint

Load = Callable[[str], ModuleType]

BEFORE = '''
class Train(Task):
    """Learns."""

    task_label = "gpu"
    rates: dict[str, float] = {"a": 0.1}

    def __init__(self, n: int, k: int = 2):
        self.n = n

    def run_task(self) -> int:
        """Sum up."""
        total = 0  # so far
        for i in range(self.n):
            total += helper(i, "x")
        return total
'''


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Makes modules called `study` from texts; each is new, as if a new process had imported an edited file."""
    numbers = itertools.count()

    def make(text: str) -> ModuleType:
        path = tmp_path / f"{next(numbers)}.py"
        path.write_text("from taskproc.tasks.task import Task\n" + text)
        spec = importlib.util.spec_from_file_location("study", path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules["study"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield make
    sys.modules.pop("study", None)


def of(module: ModuleType) -> dict[str, str]:
    return dict(fingerprint(module.Train).items)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  # so far", ""),
        ("  # so far", "  # until now"),
        ('"""Learns."""', '"""Learns more."""'),
        ('    """Learns."""\n', ""),
        ('        """Sum up."""\n', ""),
        ("n: int, k: int = 2", "n, k: float = 2"),
        (" -> int", ""),
        ("total = 0", "total = (0)"),
        ("total = 0", "total  =  0x0"),
        ('"x"', "'x'"),
        ("helper(i, ", "helper(\n                i,\n                "),
        ("class Train", "\n\nclass Train"),
        ("    ", "  "),
    ],
)
def test_what_does_not_change_the_meaning_does_not_count(load: Load, old: str, new: str) -> None:
    """Comments, docstrings, annotations, formatting, the place in the file."""
    assert BEFORE.count(old) >= 1

    assert of(load(BEFORE.replace(old, new))) == of(load(BEFORE))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("total = 0", "total = 1"),
        ("total = 0", "total = 0.0"),
        ("total = 0", "total = False"),
        ("total = 0", "total = None"),
        ('"x"', '"y"'),
        ('"x"', 'b"x"'),
        ("total +=", "total -="),
        ("helper(i,", "other(i,"),
        ("range(self.n)", "range(self.m)"),
        ("k: int = 2", "k: int = 3"),
        ("k: int", "j: int"),
        ('{"a": 0.1}', '{"a": 0.2}'),
        ("        return total", "            return total"),
        ("        return total", "        return total\n\n    def extra(self): pass"),
        ("    def run_task", "    @staticmethod\n    def run_task"),
        ("class Train(Task)", "class Train(Task, metaclass=type(Task))"),
    ],
)
def test_what_changes_the_meaning_counts(load: Load, old: str, new: str) -> None:
    """Constants and their types, names, operators, defaults, decorators, methods, indentation."""
    assert BEFORE.count(old) == 1

    assert of(load(BEFORE.replace(old, new))) != of(load(BEFORE))


def test_an_edit_that_is_taken_back_gives_the_fingerprint_back(load: Load) -> None:
    """It depends only on the code."""
    first = of(load(BEFORE))
    load(BEFORE.replace("total = 0", "total = 1"))

    assert of(load(BEFORE)) == first


def test_bases_that_are_the_users_belong_to_it(load: Load) -> None:
    """Each by its own name, also mixins that are not tasks; without taskproc's own."""
    module = load("class Mixin: pass\nclass Base(Task): pass\nclass Train(Mixin, Base): pass")

    assert list(of(module)) == ["study:Base", "study:Mixin", "study:Train"]


def test_other_tasks_are_ends(load: Load) -> None:
    """They have their own fingerprints; which one is used counts."""
    text = "class A(Task): x = 1\nclass B(Task): x = 2\nC = A\n"
    text += "class Train(Task):\n    def __init__(self): self.up = C()\n"
    first = of(load(text))

    assert list(first) == ["study:Train", "study:Train.__init__"]
    assert of(load(text.replace("x = 1", "x = 3"))) == first
    assert of(load(text.replace("C = A", "C = B"))) != first


def test_functions_that_are_arguments_count(load: Load) -> None:
    """By the code that they reach, like helpers."""
    module = load("def deep(): return 1\ndef f(): return deep()\nclass Train(Task): pass")

    assert list(fingerprint(module.Train, [module.f]).items) == ["study:Train", "study:deep", "study:f"]


def test_includes_are_followed(load: Load) -> None:
    """Functions, classes and modules; inherited like any attribute, and not part of the code themselves."""
    text = "def f(): return 1\nclass C: x = 2\nclass Base(Task): task_includes = [f, C]\nclass Train(Base): pass"
    first = of(load(text))

    assert list(first) == ["study:Base", "study:C", "study:C.x", "study:Train", "study:f"]
    assert of(load(text.replace("return 1", "return 2"))) != first
    module = load("class Train(Task): pass")
    module.Train.task_includes = [module]
    assert list(of(module)) == ["study:Train"]


@pytest.mark.parametrize("wrong", [["f"], [1], "study", None, [None], {print}])
def test_includes_that_cannot_be_followed_are_refused(load: Load, wrong: object) -> None:
    """Names would be looked up in another place than meant."""
    module = load("class Train(Task): pass")

    with pytest.raises(BuildError, match="task_includes of Train must be a list"):
        module.Train.task_includes = wrong


def test_a_version_stands_for_the_code(load: Load) -> None:
    """Nothing is followed; None in a subclass cancels it."""
    text = "class Base(Task): task_version = '2'\nclass Train(Base): pass\nclass Back(Base): task_version = None"
    module = load(text)

    assert fingerprint(module.Train).items == {}
    assert list(fingerprint(module.Back).items) == ["study:Back", "study:Base"]


def test_where_a_task_runs_is_no_code(load: Load) -> None:
    """Labels and compression."""
    text = BEFORE + "    task_compress_level = 1\n"

    assert of(load(text.replace('"gpu"', '"cpu"').replace("level = 1", "level = 2"))) == of(load(text))


def test_code_nested_deeper_than_the_stack_is_compared(load: Load) -> None:
    """Generated code may be so deep."""
    module = load("class Train(Task):\n    x = " + " + ".join(["1"] * 900))

    assert of(module) != of(load("class Train(Task):\n    x = " + " + ".join(["1"] * 899)))


def without_source(body: str) -> Any:
    """A class that was made by `exec`, as in generated code and some notebooks."""
    space: dict[str, Any] = {"__name__": "nowhere", "Task": Task}
    exec(f"class Train(Task):\n{body}", space)
    with pytest.raises((OSError, TypeError)):
        inspect.getsource(space["Train"])
    return space["Train"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("    def run_task(self): return 1", "    def run_task(self): return 2"),
        ("    def run_task(self): return 'a'", "    def run_task(self): return 'b'"),
        ("    def run_task(self): return self.a()", "    def run_task(self): return self.b()"),
        ("    x = 1", "    x = 2"),
        ("    @property\n    def p(self): return 1", "    @property\n    def p(self): return 2"),
        ("    @classmethod\n    def p(self): return 1", "    @classmethod\n    def p(self): return 2"),
        ("    def run_task(self): return lambda: 'a'", "    def run_task(self): return lambda: 'b'"),
        ("    def f(self): return lambda: (lambda: 'a')", "    def f(self): return lambda: (lambda: 'b')"),
    ],
)
def test_without_source_the_bytecode_is_compared(one: str, other: str) -> None:
    """Equal for equal texts, different for others; a docstring does not count."""
    assert fingerprint(without_source(one)).items == fingerprint(without_source(one)).items
    assert fingerprint(without_source(one)).items != fingerprint(without_source(other)).items


def test_sets_in_bytecode_have_no_order() -> None:
    """The order in which Python stores strings differs between processes."""
    kind = without_source("    def run_task(self): return 1 in {'a', 'b', 'c'}")
    code = kind.run_task.__code__
    backwards = type("Backwards", (frozenset,), {"__iter__": lambda self: iter(sorted(set(self), reverse=True))})
    consts = tuple(backwards(some) if isinstance(some, frozenset) else some for some in code.co_consts)
    before = fingerprint(kind)

    again = without_source("    def run_task(self): return 1 in {'a', 'b', 'c'}")
    again.run_task.__code__ = code.replace(co_consts=consts)
    assert fingerprint(again) == before


def test_the_code_counts_as_it_was_when_the_run_began(load: Load, cache: Cache) -> None:
    """A file edited during the run is not the code that runs: the next run sees the change."""
    text = (
        "class First(Task):\n"
        "    def run_task(self):\n"
        "        path = __import__('pathlib').Path(__file__)\n"
        "        path.write_text(path.read_text().replace('+ 1', '+ 2'))\n"
        "        return 0\n"
        "class Train(Task):\n"
        "    def __init__(self): self.up = First()\n"
        "    def run_task(self): return self.up.get_result() + 1\n"
    )
    module = load(text)
    assert module.Train().run_graph(executor=LocalExecutor())[0] == 1
    edited = Path(str(module.__file__)).read_text().partition("\n")[2]
    assert edited != text

    with Cache(cache.path):
        again, stats = load(edited).Train().run_graph(executor=LocalExecutor())

    assert (again, stats["stats"]) == (2, {"study.Train": 1, "study.First": 1})


PIPELINE = """
class First(Task):
    def run_task(self):
        return len("abc")  # three

class Train(Task):
    def __init__(self): self.up = First()
    def run_task(self):
        return self.up.get_result() + 1
"""


def test_a_run_follows_the_code(load: Load, cache: Cache) -> None:
    """After an edit, changed tasks run, and tasks below with a new value; reverted, or switched off, nothing runs."""

    def run(old: str, new: str, **options: Any) -> tuple[int, list[str]]:
        assert old in PIPELINE
        with Cache(cache.path):
            result, stats = load(PIPELINE.replace(old, new)).Train().run_graph(executor=LocalExecutor(), **options)
        return result, sorted(stats["stats"])

    both, first, last = ["study.First", "study.Train"], ["study.First"], ["study.Train"]
    assert run("abc", "abc") == (4, both)
    assert run("  # three", "") == (4, [])
    assert run("def run_task(self):", "def run_task(self) -> int:\n        'Count.'") == (4, [])
    assert run("abc", "xyz") == (4, first)  # an equal value: early cut-off
    assert run("abc", "abc") == (4, [])
    assert run("+ 1", "+ 2", detect_source_change=False) == (4, [])
    assert run("+ 1", "+ 2") == (5, last)
    assert run("abc", "abc") == (4, [])
    assert run("abc", "abcd") == (5, both)
