"""Definitions of a script are the same on both sides: in the script and in the processes that run its tasks."""
from __future__ import annotations

import json
import os
import pickle
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from taskproc.tasks.packing import Origin, record_origin

Script = Callable[..., str]


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A script that runs as `__main__`."""
    module = ModuleType("__main__")
    module.__file__ = "/some/where/pipeline.py"
    monkeypatch.setitem(sys.modules, "__main__", module)
    return module


def recorded(folder: Path) -> dict[str, Any]:
    """The recorded definitions, without adopting them."""
    content = pickle.loads((folder / "main.pkl").read_bytes())
    return {"missing": content["missing"], "found": sorted(pickle.loads(content["found"]))}


def test_what_a_script_defines_is_recorded_by_value(main: ModuleType, tmp_path: Path) -> None:
    """Its own classes and functions; modules that it imported are imported there, too."""
    exec("from json import JSONDecoder\nfrom os.path import join\nclass A: pass\ndef f(): pass\nx = 1", vars(main))

    origin = record_origin(tmp_path)

    assert origin == Origin("pipeline", str(tmp_path / "main.pkl"), os.getpid(), origin.scripts)
    assert recorded(tmp_path) == {"missing": {}, "found": ["A", "f"]}
    assert stat.S_IMODE((tmp_path / "main.pkl").stat().st_mode) & 0o077 == 0, "it is ours, and is unpickled"


def test_nothing_is_written_where_nothing_is_defined(main: ModuleType, tmp_path: Path) -> None:
    """For a script that only imports."""
    exec("import json", vars(main))

    assert record_origin(tmp_path).path == ""
    assert list(tmp_path.iterdir()) == []


def test_one_definition_that_cannot_travel_does_not_hold_up_the_others(main: ModuleType, tmp_path: Path) -> None:
    """Its name and the reason are sent instead."""
    vars(main)["lock"] = threading.Lock()
    exec("class A: pass\ndef f(): return A\ndef g():\n    with lock: return 1", vars(main))

    record_origin(tmp_path)

    assert recorded(tmp_path)["found"] == ["A", "f"]
    assert recorded(tmp_path)["missing"] == {"g": "TypeError: cannot pickle '_thread.lock' object"}


def test_the_sender_adopts_nothing(main: ModuleType) -> None:
    """It has all definitions already; so does a child that was forked from it or runs its script."""
    Origin("other", "/no/such/file", os.getpid(), {}).adopt()
    Origin("pipeline", "/no/such/file", os.getpid() + 1, {}).adopt()

    assert sys.modules["__main__"] is main


def test_a_stranger_adopts_the_definitions_once(main: ModuleType, tmp_path: Path) -> None:
    """They become its `__main__`, under the sender's name; another job of that run changes nothing."""
    exec("class A: pass\ndef f(): return A", vars(main))
    origin = record_origin(tmp_path)
    main.__file__ = "/taskproc/run/worker.py"  # from here on, this process plays the worker
    there = Origin(origin.main, origin.path, origin.process + 1, {})

    there.adopt()
    adopted: Any = sys.modules["__main__"]
    there.adopt()

    assert sys.modules["__main__"] is adopted is not main
    assert adopted.f() is adopted.A
    with pytest.raises(AttributeError, match="module 'pipeline' has no attribute 'nothing'"):
        _ = adopted.nothing


def test_an_edited_script_is_adopted_anew(main: ModuleType, tmp_path: Path) -> None:
    """A process that outlives the script must not run its old code."""
    origins = []
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        exec(f"def f(): return {number}", vars(main))
        origins.append(record_origin(tmp_path / str(number)))
    main.__file__ = "/taskproc/run/worker.py"
    answers = []
    for origin in origins:
        Origin(origin.main, origin.path, origin.process + 1, {}).adopt()
        answers.append(vars(sys.modules["__main__"])["f"]())

    assert answers == [1, 2]


def test_a_missing_definition_says_why(main: ModuleType, tmp_path: Path) -> None:
    """And what to do."""
    vars(main)["lock"] = threading.Lock()
    exec("def g():\n    with lock: return 1", vars(main))
    origin = record_origin(tmp_path)
    main.__file__ = "/taskproc/run/worker.py"
    Origin(origin.main, origin.path, origin.process + 1, {}).adopt()

    with pytest.raises(AttributeError, match=r"g of pipeline uses what cannot be sent.*_thread.lock.*threads"):
        _ = sys.modules["__main__"].g


UNGUARDED = '''
import enum, json, threading
from dataclasses import dataclass, field
from typing import Any
from taskproc import Cache, FailedTaskError, FutureDict, Task

FACTOR = 3
LOCK = threading.Lock()

class Color(enum.Enum):
    RED = 1

@dataclass
class Point:
    x: int
    y: int

def scale(point):
    return Point(point.x * FACTOR, point.y * FACTOR)

class Make(Task):
    def __init__(self, point: Any):
        self.point = point
    def run_task(self):
        return scale(self.point), Color.RED, lambda: Point(0, 0)  # EDIT

class Check(Task):
    def __init__(self):
        self.up = Make(Point(1, 2))
        self.point = Point(7, 7)
    def run_task(self):
        point, color, make = self.up.get_result()
        same = type(point) is Point, point == Point(3, 6), color is Color.RED, make() == Point(0, 0)
        return [*same, type(self.point) is Point, self.up.point == Point(1, 2)]

class Alone(Check):
    task_label = "alone"

@dataclass(frozen=True, slots=True)
class Fields(Task):
    up: Any
    more: list = field(default_factory=list)
    def run_task(self):
        return [self.up.get_result()[0] == Point(3, 6), self.more == []]

class Threads(Task):
    def __init__(self):
        self.up = Make(Point(1, 2))
    def run_task(self):
        got = []
        threads = [threading.Thread(target=lambda: got.append(self.up.get_result()[0].x)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [got == [3, 3, 3]]

class Inner(Task):
    def __init__(self):
        self.up = Make(Point(1, 2))
    def run_task(self):
        return [Make(Point(n, 2)).run_graph()[0][0].x == 3 * n for n in (1, 5)] + Fields(self.up).run_graph()[0]

class Locks(Task):
    def run_task(self):
        with LOCK:
            return 1

def local_class():
    class Local(Task):
        def run_task(self):
            return [Point(1, 1) == scale(Point(1, 1)) or FACTOR == 3]
    return Local()

class All(Task):
    def __init__(self):
        fields = Fields(Make(Point(1, 2)))
        self.ups = FutureDict(a=Check(), b=Alone(), c=fields, d=Threads(), e=Inner(), f=local_class())
        self.made = Make(Point(1, 2))
    def run_task(self):
        return {**self.ups.get_result(), "point": self.made.get_result()[0]}

with Cache("cache"):
    result, stats = All().run_graph(prefixes={"alone": ""}, max_workers=2)
    point = result.pop("point")
    result["main"] = [type(point) is Point, point == Point(3, 6)]
    try:
        Locks().run_graph(max_workers=1)
    except FailedTaskError as error:
        locks = str(error.failures[0].error)
print(json.dumps([result, stats["stats"], locks]))
'''


@pytest.mark.slow
def test_a_script_without_a_guard(script: Script) -> None:
    """Its classes are the same in the script, in workers and behind a prefix, cold and warm; comments do not count."""
    result, ran, locks = json.loads(script(UNGUARDED))

    assert set(result) == {*"abcdef", "main"}
    assert {key for key, answers in result.items() if not all(answers)} == set()
    assert ran["script.Make"] == 1
    assert "Locks of script uses what cannot be sent to a worker (TypeError: cannot pickle" in locks

    assert json.loads(script(UNGUARDED.replace("# EDIT", "# another comment")))[:2] == [result, {}]


GUARDED = '''
import json, multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from taskproc import Cache, LocalExecutor, Task

@dataclass
class Point:
    x: int

class Make(Task):
    def run_task(self):
        inner = Named().run_graph()[0]
        return Point(1), Point, inner

class Named(Task):
    def run_task(self):
        return type(self).task_name

class Check(Task):
    def __init__(self):
        self.up = Make()
    def run_task(self):
        point, kind, name = self.up.get_result()
        return type(point) is Point, point == Point(1), kind is Point, name

if __name__ == "__main__":
    with Cache(sys.argv[1]):
        task = Check()
        if sys.argv[2] == "warm":
            assert task.task_is_done()
            executor = LocalExecutor()
        else:
            executor = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(sys.argv[2]))
        with executor:
            result, stats = task.run_graph(executor=executor)
        point = task.up.get_result()[0]
    print(json.dumps([*result, type(point) is Point, "__mp_main__" in repr(task.up.get_result())]))
'''


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_script_in_processes_of_multiprocessing(script: Script, method: str, tmp_path: Path) -> None:
    """A forked child has the script, a spawned one runs it under another name; results use the script's classes."""
    for how in (method, "warm"):
        assert json.loads(script(GUARDED, method, how)) == [True, True, True, "script.Named", True, False]
    assert not list((tmp_path / method).glob("*__m*"))


SPAWNED = GUARDED.split("if __name__", maxsplit=1)[0] + '''
def work(folder):
    with Cache(folder):
        print(json.dumps(Check().run_graph(max_workers=1)[0]))

if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=work, args=sys.argv[1:])
    process.start()
    process.join()
'''


@pytest.mark.slow
def test_a_run_in_a_child_that_was_spawned(script: Script) -> None:
    """Its workers get the definitions of the script, although it has another name in that child."""
    assert json.loads(script(SPAWNED, "cache")) == [True, True, True, "script.Named"]
