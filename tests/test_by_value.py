"""Code that travels by value has its true file and line at the other end."""
from __future__ import annotations

import json
import linecache
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from taskproc.by_value import remember_text, remembered_text
from taskproc.pickling import dumps
from tests.pace import limit
from tests.store.pickles import dumps as stored

Script = Callable[..., str]

CELL = "/nowhere/cell-of-a-notebook.py"


@pytest.fixture
def cell() -> Iterator[Callable[[str], dict[str, Any]]]:
    """Run a text as a notebook does: `linecache` knows it, and there is no file."""

    def run(text: str) -> dict[str, Any]:
        linecache.cache[CELL] = (len(text), None, text.splitlines(keepends=True), CELL)
        names: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(text, CELL, "exec"), names)
        return names

    yield run
    linecache.cache.pop(CELL, None)


def test_a_function_keeps_its_file_and_line() -> None:
    """Those inside it, too."""
    def outer() -> Any:
        return lambda: 1

    back = pickle.loads(dumps(outer))

    assert back.__code__.co_filename == __file__ == back().__code__.co_filename
    assert back.__code__.co_firstlineno == outer.__code__.co_firstlineno


def test_the_text_of_a_cell_comes_along(cell: Callable[[str], dict[str, Any]]) -> None:
    """Once, however many functions the cell has; nobody else could read it."""
    text = "def f():\n    return 1\n\n\ndef g():\n    return 2  # " + "x" * 1000 + "\n"
    names = cell(text)
    content = dumps([names["f"], names["g"]])
    linecache.cache.pop(CELL)

    back = pickle.loads(content)

    assert [each() for each in back] == [1, 2]
    assert linecache.getlines(CELL) == text.splitlines(keepends=True)
    assert content.count(b"x" * 1000) == 1


def test_a_text_that_is_known_stays() -> None:
    """What comes from elsewhere does not replace what this process has."""
    linecache.cache.pop(CELL, None)
    try:
        remember_text(CELL, "first\n")
        remember_text(CELL, "second\n")
        assert remembered_text(CELL) == "first\n"
    finally:
        linecache.cache.pop(CELL)


def test_a_file_that_can_be_read_is_not_remembered() -> None:
    """`linecache` compares it with the file, and so may each process."""
    assert linecache.getlines(__file__)
    assert remembered_text(__file__) is None
    assert b"# unmistakable" not in dumps(lambda: 1)  # unmistakable


def test_results_do_not_bring_cells(cell: Callable[[str], dict[str, Any]]) -> None:
    """The name of a cell is another one in each session, so equal results would differ by it."""
    names = cell("f = lambda: 1\n")
    linecache.cache["/elsewhere"] = linecache.cache[CELL]
    twin = {"__name__": "__main__"}
    exec(compile("f = lambda: 1\n", "/elsewhere", "exec"), twin)

    first, second = stored(names["f"]), stored(twin["f"])
    linecache.cache.pop("/elsewhere")

    if b"<dynamic-code>" in first:  # cloudpickle before 3.1.3 writes the name of the cell
        assert first == second
    assert b"taskproc" not in first, "a result needs no taskproc to be read"


def test_a_function_called_like_the_placeholder_keeps_its_name() -> None:
    """Only the file is put back."""
    def f() -> int:
        return 1

    f.__code__ = f.__code__.replace(co_name="<dynamic-code>")

    back = pickle.loads(dumps(f))

    assert (back.__code__.co_name, back.__code__.co_filename) == ("<dynamic-code>", __file__)


def test_a_pickle_of_what_came_back_is_the_same() -> None:
    """So a stored result of an unpickled function is equal to the first one."""
    def f() -> int:
        return 1

    once = stored(pickle.loads(stored(f)))

    assert once == stored(pickle.loads(once))


SCRIPT = '''
import inspect, json, multiprocessing, sys, traceback
from concurrent.futures import ProcessPoolExecutor
from taskproc import Cache, Command, FailedTaskError, Task
from taskproc.maps.map_pool import Pool

def helper():
    raise ValueError("of helper")  # marked

class Inner(Task):
    def __init__(self, n):
        self.n = n
    def run_task(self):
        return self.n

class Outer(Task):
    task_label = "far"
    def __init__(self):
        self.inner = Inner(3)
    def run_task(self):
        _, stats = Inner(3).run_graph()
        try:
            helper()
        except ValueError:
            shown = traceback.format_exc()
        # EDIT
        return [inspect.getsource(helper), inspect.getsource(Outer.run_task).splitlines()[0], shown, stats["stats"]]

def mapped(item):
    try:
        helper()
    except ValueError:
        return [inspect.getsource(helper), traceback.format_exc()]

if __name__ == "__main__":
    with Cache("cache"):
        if sys.argv[1] == "map":
            print(json.dumps(list(Pool(mapped, 1).map([1]))[0]))
        else:
            spawn = multiprocessing.get_context("spawn")
            Inner(3).run_graph()
            if sys.argv[1] == "edited":
                text = open(__file__).read()
                open(__file__, "w").write("# A line\\n" + text.replace("raise ValueError", "raise KeyError"))
            options = {
                "worker": {}, "edited": {}, "prefix": {"prefixes": {"far": "env"}}, "own": {"prefixes": {"far": ""}},
                "pool": {"executor": ProcessPoolExecutor(1, mp_context=spawn)},
            }[sys.argv[1]]
            Outer.clear_all_tasks()
            print(json.dumps(Outer().run_graph(**options)[0]))
'''
LINE = 1 + SCRIPT.splitlines().index('    raise ValueError("of helper")  # marked')
HELPER = 'def helper():\n    raise ValueError("of helper")  # marked\n'


@pytest.mark.slow
@pytest.mark.parametrize("where", ["worker", "prefix", "own", "pool"])
def test_tasks_of_a_script_have_their_source(script: Script, tmp_path: Path, where: str) -> None:
    """In tracebacks and for `inspect`; and what the main process stored is fresh for a graph inside a task."""
    source, first_line, shown, ran = json.loads(script(SCRIPT, where))

    assert source == HELPER
    assert first_line == "    def run_task(self):"
    assert f'{tmp_path / "script.py"}", line {LINE}, in helper\n    raise ValueError("of helper")  # marked' in shown
    assert ran == {}


@pytest.mark.slow
def test_a_script_that_was_edited_while_it_runs(script: Script) -> None:
    """Tasks have the text of what runs, and a graph inside a task has the code of the main process."""
    source, first_line, shown, ran = json.loads(script(SCRIPT, "edited"))

    assert source == HELPER
    assert first_line == "    def run_task(self):"
    assert f'line {LINE}, in helper\n    raise ValueError("of helper")  # marked' in shown
    assert ran == {}


@pytest.mark.slow
def test_items_of_a_map_have_their_source(script: Script, tmp_path: Path) -> None:
    """Functions of the script, in the workers of a map."""
    source, shown = json.loads(script(SCRIPT, "map"))

    assert source == HELPER
    assert f'{tmp_path / "script.py"}", line {LINE}, in helper\n    raise ValueError("of helper")' in shown


CELLS = [
    "import inspect, traceback\nfrom taskproc import Cache, Task\ncache = Cache('cache')\n_ = cache.__enter__()",
    "import math\ndef helper():\n    return math.sqrt(-1)  # marked",
    "class Inner(Task):\n    def run_task(self): return 1",
    """class Outer(Task):
    def __init__(self): self.inner = Inner()
    def run_task(self):
        try:
            helper()
        except ValueError:
            return [inspect.getsource(helper), traceback.format_exc(), Inner().run_graph()[1]['stats']]
""",
    "answer = Outer().run_graph()[0]",
]
KERNEL = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
for cell in json.loads(sys.stdin.read()):
    shell.run_cell(cell).raise_error()
print(json.dumps(shell.user_ns["answer"]))
"""


@pytest.mark.slow
def test_tasks_of_a_notebook_have_their_source(tmp_path: Path, environ: dict[str, str]) -> None:
    """There is no file; the text of the cells comes with the code."""
    pytest.importorskip("IPython")
    command = [sys.executable, "-c", KERNEL]
    done = subprocess.run(
        command, input=json.dumps(CELLS), cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=limit(100)
    )
    assert done.returncode == 0, done.stderr
    source, shown, ran = json.loads(done.stdout.splitlines()[-1])

    assert source == "def helper():\n    return math.sqrt(-1)  # marked\n"
    assert "return math.sqrt(-1)  # marked" in shown
    assert ran == {}


FORMS = '''
import dataclasses, enum, functools, json, operator, sys, typing
from taskproc import Cache, Task

class Color(enum.Enum):
    RED = 1

class Flag(enum.IntFlag):
    A = 1
    B = 2

def decorator(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)
    return wrapper

def with_option(option):
    return lambda function: decorator(function)

@decorator
def decorated(x):
    return x

@with_option(operator.add)
def optioned(x):
    return x

@functools.lru_cache
def remembered(x):
    return x

@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Point:
    x: int = 3
    def double(self):
        return 2 * self.x

class Row(typing.NamedTuple):
    a: int = 1

class Table(typing.TypedDict):
    a: int

class Named:
    def __set_name__(self, owner, name):
        self.name = name
    def __get__(self, instance, owner):
        return self.name

class Holds:
    named = Named()
    class Inner:
        KIND = 1
        def f(self):
            return self.KIND
    class Shade(enum.Enum):
        DARK = 1
    def f(self):
        return self.Inner().f(), self.Shade.DARK.value, self.named

PARTIAL = functools.partial(decorated, 1)
BY_NAME = {"a": decorated, "b": optioned}

class UsesEnum(Task):
    def run_task(self): return Color.RED.value, int(Flag.A)
class UsesDecorated(Task):
    def run_task(self): return decorated(1), optioned(1), remembered(1)
class UsesData(Task):
    def run_task(self): return Point(1).double(), Row().a, Table(a=1)["a"]
class UsesNested(Task):
    def run_task(self): return Holds().f()
class UsesValues(Task):
    def run_task(self): return PARTIAL(), BY_NAME["b"](1)
class Given(Task):
    def __init__(self, thing=decorated, other=Color.RED): self.thing = thing
    def run_task(self): return 1
class Gives(Task):
    def run_task(self): return Holds.Inner(), Holds.Shade.DARK

ALL = lambda: [UsesEnum(), UsesDecorated(), UsesData(), UsesNested(), UsesValues(), Gives(), Given(), Given(Color.RED),
               Given(optioned), Given(Point(3)), Given(Row), Given(remembered)]

class Outer(Task):
    def run_task(self):
        return [str(task) for task in ALL() if task.run_graph()[1]["stats"]]

with Cache("cache"):
    if sys.argv[1] == "nested first":
        Outer().run_graph()
        ran = [str(task) for task in ALL() if task.run_graph()[1]["stats"]]
    else:
        for task in ALL():
            task.run_graph()
        ran = Outer().run_graph(prefixes={"Outer": ""} if sys.argv[1] == "prefix" else None)[0]
    inner, dark = Gives().get_result()
    print(json.dumps([ran, type(inner) is Holds.Inner, dark is Holds.Shade.DARK]))
'''


@pytest.mark.slow
@pytest.mark.parametrize("where", ["worker", "prefix", "nested first"])
def test_code_of_a_script_is_the_same_at_both_ends(script: Script, where: str) -> None:
    """What one end stored is fresh at the other, and results are of the script's own classes."""
    assert json.loads(script(FORMS, where)) == [[], True, True]
