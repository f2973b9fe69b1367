"""A task has the same result whether it runs first or later: no task changes what another finds in its process."""
from __future__ import annotations

import decimal
import os
import random
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.tasks.task import Task
from tests.pace import limit
from tests.plain import plain

numpy: Any = pytest.importorskip("numpy")
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

KINDS: dict[str, Callable[[], AbstractContextManager[Executor | None]]] = {
    "worker": nullcontext,
    "threads": lambda: ThreadPoolExecutor(1),
    "inline": LocalExecutor,
    "pool": lambda: ProcessPoolExecutor(1, get_context("fork")),
}


def run(task: Any, kind: str = "worker") -> Any:
    with KINDS[kind]() as executor:
        options = {"max_workers": 1} if executor is None else {"executor": executor}
        return task.run_graph(**options)[0]


class Leaves(Task):
    """Changes state of its thread and state of its process."""

    def __init__(self, number: int):
        self.number = number

    def run_task(self) -> tuple[str, Any, bool]:
        found = str(decimal.Decimal(1) / 3), numpy.geterr(), os.getcwd() == "/"
        decimal.getcontext().prec = 2
        numpy.seterr(all="raise")
        os.chdir("/")
        return found


class All(Task):
    def __init__(self, *ups: Any):
        self.ups = ups

    def run_task(self) -> list[Any]:
        return [up.get_result() for up in self.ups]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_each_finds_what_the_first_found(cache: Cache, kind: str) -> None:
    """Also for tasks so short that many are sent at once. In threads, the working directory is shared."""
    before = decimal.getcontext().prec, numpy.geterr(), os.getcwd()
    try:
        found = run(All(*map(Leaves, range(30))), kind)
        after = decimal.getcontext().prec, numpy.geterr(), os.getcwd()
    finally:
        os.chdir(before[2])

    alike = [each[:2] for each in found] if kind == "threads" else found
    assert [alike[0]] * 30 == alike
    assert before[:2] == after[:2]
    assert kind == "threads" or before == after


class Seeds(Task):
    def __init__(self, number: int):
        self.number = number

    def run_task(self) -> list[float]:
        drawn = [random.random(), float(numpy.random.random())]
        if self.number % 2:
            random.seed(0)
            numpy.random.seed(0)
        return drawn


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["worker", "pool"])
def test_no_task_draws_from_what_another_seeded(cache: Cache, kind: str) -> None:
    """And no two tasks draw the same numbers."""
    found = run(All(*map(Seeds, range(10))), kind)

    assert 20 == len({number for drawn in found for number in drawn})




def test_what_a_module_sets_when_it_is_imported_holds_for_all(
    script: Callable[..., str], tmp_path: Path
) -> None:
    """It is imported once per process, so nothing would set it again."""
    (tmp_path / "mine.py").write_text(
        "import decimal, sys\nfrom taskproc import Task\n"
        "decimal.getcontext().prec = 5\nsys.setrecursionlimit(1234)\nsys.path.append('/nowhere')\n"
        "class Third(Task):\n"
        "    def __init__(self, number): self.number = number\n"
        "    def run_task(self):\n"
        "        found = str(decimal.Decimal(1) / 3), sys.getrecursionlimit(), sys.path[-1]\n"
        "        decimal.getcontext().prec = 2; sys.setrecursionlimit(999); sys.path.pop()\n"
        "        return found\n"
        "class All(Task):\n"
        "    def __init__(self): self.ups = [Third(number) for number in range(5)]\n"
        "    def run_task(self): return {up.get_result() for up in self.ups}\n"
    )
    told = script(
        "from mine import All\nfrom taskproc import Cache\n"
        "if __name__ == '__main__':\n    with Cache('cache'): print(All().run_graph(max_workers=1)[0])\n"
    )

    assert "{('0.33333', 1234, '/nowhere')}\n" == told


class Imports(Task):
    """Imports a module of its own folder, under a name that others use too."""

    def __init__(self, folder: str):
        self.folder = folder

    def run_task(self) -> tuple[str, int]:
        sys.path.insert(0, self.folder)
        import helper_of_a_task  # type: ignore[import-not-found]

        return helper_of_a_task.NAME, os.getpid()


@pytest.mark.slow
def test_no_task_gets_the_module_of_another(cache: Cache, tmp_path: Path) -> None:
    """A module that came from a folder of one task ends the worker with that task."""
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "helper_of_a_task.py").write_text(f"NAME = {name!r}\n")

    (one, first), (two, second) = run(All(*(Imports(str(tmp_path / name)) for name in "ab")))

    assert (one, two) == ("a", "b")
    assert first != second


UMASK = """
import os
from taskproc import Cache, FailedTaskError, LocalExecutor, Task
from tests.plain import plain
from concurrent.futures import ThreadPoolExecutor

class Shuts(Task):
    def run_task(self):
        os.umask(0o777)
        return 1

class Writes(Task):
    def __init__(self):
        self.up = Shuts()

    def run_task(self):
        print("x")
        (self.task_directory / "f").write_text("x")
        return 2

class Locks(Task):
    '''Shuts what it makes itself, and cannot go on.'''

    def run_task(self):
        os.umask(0o777)
        print("printed")
        (self.task_directory / "f").write_text("x")

def modes(task):
    made = task.task_stdout, task.task_directory, task.task_stdout.parent / "result.1.pkl.gz"
    return [oct(path.stat().st_mode & 0o777) for path in made if path.exists()]

if __name__ == "__main__":
    os.umask(0o022)
    options = {OPTIONS}
    with Cache("c"):
        for _ in range(2):
            print(Writes().run_graph(**options)[0], modes(Shuts()), modes(Writes()))
            Writes().clear_task()
        for _ in range(2):
            try:
                Locks().run_graph(**options)
            except FailedTaskError as error:
                print(error.failures[0].task, type(error.failures[0].error).__name__)
        Locks.clear_all_tasks()
    print(oct(os.umask(0)))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", ["{'max_workers': 1}", "{'executor': LocalExecutor()}", "{'executor': ThreadPoolExecutor(1)}"]
)
def test_a_umask_is_no_danger_to_the_cache(tmp_path: Path, environ: dict[str, str], options: str) -> None:
    """It affects the files that the task makes; stored files can be read by others and by the next run."""
    (tmp_path / "script.py").write_text(UMASK.replace("{OPTIONS}", options))
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=limit(100),
        preexec_fn=without_rights,
    )

    assert "" == "".join(line for line in done.stderr.splitlines() if "Error" in line)
    told = [line for line in plain(done.stdout).splitlines() if line not in ("x", "printed")]  # of inline tasks
    modes = "['0o755', '0o644']" if "LocalExecutor" in options else "['0o644', '0o755', '0o644']"
    assert [f"2 {modes} {modes}"] * 2 + ["Locks() PermissionError"] * 2 + ["0o22"] == told


def without_rights() -> None:
    """Be refused what the mode of a file forbids, also as root."""
    if os.geteuid() == 0:
        import ctypes

        for right in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: left out of the bounding set (24)
            ctypes.CDLL(None).prctl(24, right)
