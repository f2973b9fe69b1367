"""The working directory is removed: what does not need it works, what needs it says so, and no task is blamed."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pace import limit
from tests.plain import plain

SCRIPT = """
import os, sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from taskproc import Cache, Command, FailedTaskError, InputFile, LocalExecutor, Pool, Task
from taskproc.batch import TaskManager
from tests.plain import plain

class Part(Task):
    def __init__(self, number):
        self.number = number

    def run_task(self):
        print("printed")
        return self.number

class Main(Task):
    def __init__(self, number=0):
        self.ups = [Part(number), Part(number + 1)]

    def run_task(self):
        return sum(up.get_result() for up in self.ups)

class Removes(Main):
    '''Removes the directory of all, while the run is on.'''

    def run_task(self):
        os.rmdir(os.getcwd())
        return super().run_task()

class After(Task):
    def __init__(self):
        self.up = Removes(5)

    def run_task(self):
        return self.up.get_result()

class Opens(Task):
    def run_task(self):
        open("data.csv")

def square(x):
    return x * x

OPTIONS = {
    "workers": {}, "one worker": {"max_workers": 1}, "inline": {"executor": LocalExecutor()},
    "threads": {"executor": ThreadPoolExecutor(2)}, "pool": {"executor": ProcessPoolExecutor(1)},
    "prefix": {"prefixes": {Part.task_name: "", Main.task_name: "nice"}},
}

def tells(function):
    try:
        return function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"

if __name__ == "__main__":
    when, kind, cache = sys.argv[1:]
    if when == "before":
        os.rmdir(os.getcwd())
    if kind == "map":
        print(list(Pool(square, 2)(range(3))))
    elif kind == "relative":
        print(tells(lambda: Cache("c")))
        with Cache(cache):
            print(tells(lambda: InputFile("data.csv")))
            print(tells(lambda: Opens().run_graph(max_workers=1)))
    else:
        with Cache(cache):
            if kind == "command":
                print(Command(["echo", "1"]).run_graph()[0].text.strip())
            elif when == "between":
                Main(0).run_graph(**OPTIONS[kind])
                os.rmdir(os.getcwd())
            elif when == "while":
                print(After().run_graph(**OPTIONS[kind])[0])
            if kind != "command" and when != "while":
                print(Main(5).run_graph(**OPTIONS[kind])[0])
"""


def run(tmp_path: Path, environ: dict[str, str], *words: str) -> tuple[str, str]:
    """What the script prints in a folder that it, or a shell before it, removes."""
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "here").mkdir()
    command = [sys.executable, *[word.replace("{}", str(tmp_path)) for word in words]]
    done = subprocess.run(
        command, cwd=tmp_path / "here", env=environ, capture_output=True, text=True, timeout=limit(100)
    )
    return done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "between", "while"])
@pytest.mark.parametrize("kind", ["workers", "one worker", "inline", "threads", "pool", "prefix"])
def test_tasks_run_without_it(tmp_path: Path, environ: dict[str, str], kind: str, when: str) -> None:
    """In any executor, whether it is removed before, between two runs, or by a task."""
    told, errors = run(tmp_path, environ, "{}/script.py", when, kind, "{}/cache")

    assert "11" == told.splitlines()[-1], errors
    if when != "while":
        assert f"the working directory '{tmp_path}/here' was removed: tasks still run" in errors
        assert 1 == errors.count("was removed")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "expected"), [("map", "[0, 1, 4]\n"), ("command", "1\n")])
def test_maps_and_commands_run_without_it(
    tmp_path: Path, environ: dict[str, str], kind: str, expected: str
) -> None:
    """Their workers, and the processes of commands, begin in it as well."""
    assert expected == run(tmp_path, environ, "{}/script.py", "before", kind, "{}/cache")[0]


def test_what_needs_it_names_it(tmp_path: Path, environ: dict[str, str]) -> None:
    """With the remedy, where the path is given; a task that opens a relative path fails by itself."""
    told, errors = run(tmp_path, environ, "{}/script.py", "before", "relative", "{}/cache")

    removed = f"the working directory '{tmp_path}/here' was removed"
    remedy = "leads nowhere: give an absolute path, or change to a folder that exists"
    first, second, third = told.splitlines()[:3]
    assert f"CacheError: {removed}, so 'c' {remedy}" == first
    assert f"BuildError: {removed}, so 'data.csv' {remedy}" == second
    assert "FailedTaskError: task Opens() failed: FileNotFoundError" in plain(third)
    assert f"{removed}: tasks still run, but cannot open files by relative paths" in errors


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["{}/script.py", "-o", "{}/cache"], 0, ""),
        (["list", "-o", "{}/cache"], 0, ""),
        (["{}/script.py", "-o", "c"], 2, "was removed, so 'c' leads nowhere: give an absolute path"),
        (["script.py", "-o", "{}/cache"], 2, "was removed, so 'script.py' leads nowhere: give an absolute path"),
        (["list", "-o", "c"], 2, "was removed, so 'c' leads nowhere: give an absolute path"),
        (["check", "-o", "c"], 2, "was removed, so 'c' leads nowhere: give an absolute path"),
    ],
)
def test_the_command_line_works_without_it(
    tmp_path: Path, environ: dict[str, str], words: list[str], code: int, expected: str
) -> None:
    """With absolute paths; a relative one is wrong use, and no traceback."""
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "here").mkdir()
    given = [word.replace("{}", str(tmp_path)) for word in words]
    if words[0] == "list" and code == 0:
        make = [sys.executable, "-m", "taskproc", str(tmp_path / "script.py"), "-o", str(tmp_path / "cache")]
        subprocess.run(make, env=environ, cwd=tmp_path, check=True, capture_output=True)
    shell = 'rmdir "$PWD"; exec "$@"'
    command = ["sh", "-c", shell, "sh", sys.executable, "-m", "taskproc", *given]
    done = subprocess.run(
        command, cwd=tmp_path / "here", env=environ, capture_output=True, text=True, timeout=limit(100)
    )

    assert code == done.returncode, done.stderr
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert not os.path.exists(tmp_path / "here")
