"""A result belongs to the code that made it, also if a worker has loaded other code than the main process."""
from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pace import limit

SCRIPT = """
import sys
from collections.abc import Callable
from pathlib import Path
import helper
from taskproc import Cache, Task

class Scale(Task):
    def run_task(self):
        return helper.scale(10)

with Cache(Path(__file__).parent / "cache"):
    exec(sys.argv[1])
    value, stats = Scale().run_graph(max_workers=1)
    print(value, sum(stats["stats"].values()))
"""
HELPER = """
RATE = 1

def scale(number):
    return number * RATE
"""
EDIT = "Path(helper.__file__).write_text({!r})"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "helper.py").write_text(HELPER)
    return tmp_path


def run(folder: Path, first: str = "") -> tuple[str, str]:
    """What the script prints, result and number of tasks that ran, and its logs; `first` runs after its imports.

    Without the line on what cannot be watched, which a script that calls `exec` at its top level gets as well.
    """
    command = [sys.executable, "-B", str(folder / "script.py"), first]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=limit(60))
    return done.stdout.strip(), "".join(line for line in done.stderr.splitlines(True) if "be watched" not in line)


@pytest.mark.slow
def test_an_edit_after_the_import_makes_no_result_of_the_old_code(folder: Path) -> None:
    """The worker imports the new file: its result is fresh for that, and stale when the edit is reverted."""
    edited = HELPER.replace("RATE = 1", "RATE = 2")
    first, log = run(folder, EDIT.format(edited))
    again = run(folder)
    (folder / "helper.py").write_text(HELPER)

    assert ("helper:RATE" in log, first, again, run(folder)) == (True, "20 1", ("20 0", ""), ("10 1", ""))


@pytest.mark.slow
def test_a_value_that_was_set_in_the_main_process_is_not_that_of_the_worker(folder: Path) -> None:
    """The result of the worker does not count as one with this value."""
    first, log = run(folder, "helper.RATE = 3")
    (folder / "helper.py").write_text(HELPER.replace("RATE = 1", "RATE = 3"))

    assert ("helper:RATE" in log, first, run(folder)) == (True, "10 1", ("30 1", ""))


LAZY = """
import os, sys
from pathlib import Path
from taskproc import Cache, Task

FOLDER = Path(__file__).parent

def write(text):
    (FOLDER / "helper.py").write_text(text)

class Edit(Task):
    def run_task(self):
        if "NEW" in os.environ:
            write(os.environ["NEW"])

class Scale(Task):
    def __init__(self):
        self.edit = Edit()

    def run_task(self):
        import helper
        return helper.scale(10)

def run(**options):
    value, stats = Scale().run_graph(**options)
    print(value, sum(count for name, count in stats["stats"].items() if name.endswith("Scale")))

with Cache(FOLDER / "cache"):
    exec(sys.argv[1])
"""
INLINE = "from taskproc import LocalExecutor\nrun(executor=LocalExecutor())"
THREADS = "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(1) as pool: run(executor=pool)"
WORKER = "run(max_workers=1)"
OTHER = "def scale(number):\n    return twice(number)\n\ndef twice(number):\n    return number * 2\n"


@pytest.fixture
def lazy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Runs a script whose task imports `helper`, which has `old` when the run begins, and `new` once it is imported."""
    (tmp_path / "script.py").write_text(LAZY)

    def ran(steps: str, old: str = HELPER, new: str | None = None) -> list[str]:
        (tmp_path / "helper.py").write_text(old)
        monkeypatch.delenv("NEW", raising=False)
        if new is not None:
            monkeypatch.setenv("NEW", new)
        return run(tmp_path, steps)[0].splitlines()

    return ran


@pytest.mark.slow
@pytest.mark.parametrize("how", [INLINE, THREADS, WORKER])
@pytest.mark.parametrize("new", [HELPER.replace("RATE = 1", "RATE = 2"), OTHER])
def test_an_edit_before_a_late_import_is_what_ran(lazy: Callable[..., list[str]], how: str, new: str) -> None:
    """The result belongs to the new text: fresh for it, in this process and the next, and stale for the old one."""
    assert lazy(f"{how}\n{how}", new=new) == ["20 1", "20 0"]
    assert lazy(how, old=new) == ["20 0"]
    assert lazy(how) == ["10 1"]


@pytest.mark.slow
def test_an_edit_that_is_not_loaded_runs_nothing(lazy: Callable[..., list[str]]) -> None:
    """The process still has the old code, and its result is fresh; the next process has the new code."""
    edited = HELPER.replace("RATE = 1", "RATE = 2")
    steps = f"{INLINE}\nwrite({edited!r})\n{INLINE}\n{INLINE}"

    assert lazy(steps) == ["10 1", "10 0", "10 0"]
    assert lazy(INLINE, old=edited) == ["20 1"]


@pytest.mark.slow
def test_a_task_class_that_is_imported_late_runs_once(lazy: Callable[..., list[str]]) -> None:
    """Its own code does not count for the task that imports it, at the first look and at the second."""
    task = "from taskproc import Task\nclass Inner(Task):\n    def run_task(self): return 1\n"

    assert lazy(f"{INLINE}\n{INLINE}", old=f"{task}def scale(number): return Inner() and number\n") == ["10 1", "10 0"]


@pytest.mark.slow
def test_one_of_several_lambdas_is_other_code_as_well(folder: Path) -> None:
    """They share a name and have no fixed order, but a new one among them is detected."""
    old = "TABLE = [lambda some: 0, lambda some: some * 1]\ndef scale(number): return sum(f(number) for f in TABLE)\n"
    (folder / "helper.py").write_text(old)

    first, log = run(folder, EDIT.format(old.replace("some * 1", "some * 2")))
    (folder / "helper.py").write_text(old)

    assert ("helper:<lambda>" in log, first, run(folder)) == (True, "20 1", ("10 1", ""))
