"""What is imported when: nothing that takes time and is not needed there.

Times are on nobody's side here: what is looked at is which modules a fresh interpreter has loaded.
"""
from __future__ import annotations

import ast
import functools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import taskproc

# What takes more than a millisecond, of others and of ours (the first of those that it brings along)
HEAVY = frozenset(
    "argparse asyncio cloudpickle concurrent.futures ctypes dataclasses datetime decimal difflib email hashlib "
    "importlib.abc importlib.metadata inspect jsonargparse logging multiprocessing networkx numpy pathlib platform "
    "random re rich secrets shutil socket subprocess tempfile tqdm typing typing_extensions urllib.parse uuid "
    "taskproc.cli.entry_commands taskproc.cli.options taskproc.drive taskproc.errors taskproc.kernel.model "
    "taskproc.kernel.plan taskproc.run.foreign taskproc.run.prefix_runner taskproc.run.process taskproc.source.walk "
    "taskproc.store.check taskproc.store.claims taskproc.tasks.graph_work taskproc.tasks.explaining taskproc.tasks.job "
    "taskproc.tasks.naming taskproc.tasks.running taskproc.watch.bars".split()
)
# A class or an argument of a task cannot be without these
CLASSES = frozenset(
    "dataclasses datetime hashlib inspect pathlib re socket typing urllib.parse "
    "taskproc.errors taskproc.kernel.model taskproc.store.claims taskproc.tasks.naming".split()
)
WORKER = frozenset(
    "dataclasses inspect pathlib re socket typing urllib.parse taskproc.errors taskproc.kernel.model".split()
)
JOB = frozenset({"taskproc.source.walk", "taskproc.tasks.job"})
HELP = frozenset({"argparse", "logging", "shutil", "taskproc.cli.options"})

SCRIPT = """\
import sys

from taskproc import Task


class Main(Task):
    def run_task(self):
        return sorted(sys.modules)
"""


def loaded(*arguments: str | Path) -> frozenset[str]:
    """The heavy modules that a Python with these arguments has loaded at its end, besides those of any Python here."""
    return _imported(*arguments) & HEAVY - _bare()


@functools.cache
def _bare() -> frozenset[str]:
    return _imported("-c", "")


def _imported(*arguments: str | Path, folder: Path | None = None) -> frozenset[str]:
    environ = {name: text for name, text in os.environ.items() if not name.startswith("COV")}
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return frozenset(re.findall(r"^import time:.*\| +(\S+)$", done.stderr, re.MULTILINE))


def test_the_package_alone_is_almost_nothing() -> None:
    """`import taskproc` brings none of its parts: each name is imported when it is asked for."""
    assert frozenset({"re", "typing"}) >= loaded("-c", "import taskproc")


def test_batches_bring_what_is_asked_for() -> None:
    """`import taskproc.batch` is no dearer; a task for a batch needs nothing that runs one."""
    assert frozenset({"re", "typing"}) >= loaded("-c", "import taskproc.batch")
    assert frozenset({"re", "typing"}) >= loaded("-c", "from taskproc.batch import Task")


def test_the_front_door_of_commands_is_almost_nothing() -> None:
    """`import taskproc.commands` brings neither tasks nor what starts processes."""
    assert frozenset({"re", "typing"}) >= loaded("-c", "import taskproc.commands")


def test_a_manager_without_a_folder_brings_no_tasks() -> None:
    """What several share is asked for by those who share."""
    found = loaded("-c", "from taskproc.commands import TaskManager; TaskManager(1).run()")

    assert not found & {"cloudpickle", "taskproc.store.claims", "taskproc.tasks.job", "taskproc.tasks.naming"}


def test_a_script_of_task_classes_brings_nothing_that_runs_them() -> None:
    """`from taskproc import Cache, Task` brings what builds tasks, and no more."""
    assert loaded("-c", "from taskproc import Cache, Task") <= CLASSES


def test_a_worker_is_ready_with_little() -> None:
    """A worker imports what speaks with the other side; what a job needs comes with the job."""
    assert loaded("-c", "import taskproc.run.worker") <= WORKER


def test_help_brings_nothing_that_runs() -> None:
    """`--help` imports what reads the command line."""
    assert loaded("-m", "taskproc", "--help") <= CLASSES - {"taskproc.tasks.naming"} | {"logging"}


@pytest.mark.slow
def test_help_on_a_script_brings_nothing_that_runs(tmp_path: Path) -> None:
    """`--help` on a script imports the script, what reads the command line, and not what reads its values."""
    (tmp_path / "script.py").write_text(SCRIPT)

    assert loaded("-m", "taskproc", tmp_path / "script.py", "--help") <= CLASSES | HELP


@pytest.mark.slow
def test_a_task_begins_without_what_runs_graphs(tmp_path: Path) -> None:
    """When a worker calls its first task it has imported the job, the script and what compares its code."""
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "taskproc", "script.py", "-o", "cache"]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)

    there = frozenset(ast.literal_eval(done.stdout)) & HEAVY - _bare()
    assert there <= CLASSES | WORKER | JOB


@pytest.mark.slow
def test_a_run_that_finds_all_brings_no_workers(tmp_path: Path) -> None:
    """What starts processes is imported with the first job."""
    text = "from taskproc import Cache\nfrom script import Main\nwith Cache('cache'): Main().run_graph()\n"
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "run.py").write_text(text)

    cold, warm = (_imported(tmp_path / "run.py", folder=tmp_path) for _ in range(2))

    there = {"taskproc.run.prefix_runner", "taskproc.run.process", "taskproc.run.resident"}
    assert ({"taskproc.run.process", "taskproc.run.resident"}, set()) == (cold & there, warm & there)


def test_every_name_is_there_and_at_its_home() -> None:
    """Each public name is found, and leads to the object that type checkers are told of."""
    tree = ast.parse(Path(taskproc.__file__).read_text("utf-8"))
    told = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("taskproc.")
        for alias in node.names
    }

    assert sorted(told) == taskproc.__all__
    for name, (module, own) in told.items():
        assert getattr(taskproc, name) is getattr(sys.modules[str(module)], own)
    assert set(told) <= set(dir(taskproc))


def test_a_name_that_is_not_there() -> None:
    """Asking for another name fails as with any module."""
    with pytest.raises(AttributeError, match="module 'taskproc' has no attribute 'Taks'"):
        taskproc.Taks  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Taks' from 'taskproc'"):
        from taskproc import Taks  # type: ignore[attr-defined]  # noqa: F401
