"""Laws of finding the entry task: a script is a module of its own name, and never stands in for another."""
from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from taskproc.cli.entry import entry_of, load_script, module_name
from taskproc.cli.usage import UsageError, UserError
from taskproc.run.setup import Setup

Write = Callable[..., str]
MAIN = "from taskproc import Task\nclass Main(Task):\n    def run_task(self):\n        return __name__\n"


def test_a_script_goes_by_its_stem(script: Write, tmp_path: Path) -> None:
    """Its tasks have the names that an import would give them, and far ends are told where it lies."""
    module = load_script(script(MAIN, "folder/job.py"))

    assert "job.Main" == entry_of(module, "job.py").task_name
    assert sys.modules["job"] is module
    assert str(tmp_path / "folder" / "job.py") == Setup.here().scripts["job"] == module.__file__


def test_a_script_is_not_main(script: Write) -> None:
    """What stands below the guard is not run."""
    load_script(script(f"{MAIN}\nif __name__ == '__main__':\n    raise SystemExit(5)\n"))


def test_neighbours_can_be_imported(script: Write, tmp_path: Path) -> None:
    """The folder of a script comes first on the import path, as for Python; that of a link is where it leads."""
    script("VALUE = 1\n", "folder/neighbour_of_job.py")
    script("from neighbour_of_job import VALUE\n" + MAIN, "folder/job.py")
    (tmp_path / "linked.py").symlink_to(tmp_path / "folder" / "job.py")

    assert 1 == load_script("linked.py").VALUE
    assert os.path.realpath(tmp_path / "folder") == sys.path[0]


def test_a_script_named_like_a_library_module(script: Write) -> None:
    """It gets another name, and neither it nor its folder stands in for the library."""
    module = load_script(script("import random\n" + MAIN, "folder/random.py"))

    assert "random_.Main" == entry_of(module, "random.py").task_name
    assert module.random is random is sys.modules["random"]
    assert not sys.path[0].endswith("folder")
    assert sys.path[-1].endswith("folder")


def test_names_are_free_or_made_so(script: Write) -> None:
    """Standard library, loaded modules and dots are avoided; a script that was loaded before is none of these."""
    load_script(script(MAIN, "job.py"))

    assert ["job", "json_", "pytest_", "a_b"] == [
        module_name(path) for path in ("x/job.py", "json.py", "pytest.py", "a.b.py")
    ]


def test_a_script_may_be_loaded_again(script: Write) -> None:
    """Each load runs the file as it is now."""
    first = load_script(script(MAIN, "one/job.py"))
    second = load_script(script(MAIN, "two/job.py"))

    assert first.__name__ == second.__name__ == "job"
    assert sys.modules["job"] is second


def test_a_script_need_not_end_in_py(script: Write) -> None:
    """Whatever was named as a script is read as one."""
    assert "job.Main" == entry_of(load_script(script(MAIN, "job")), "job").task_name


@pytest.mark.parametrize("source", ["1 / 0", "def f(:", "import no_such_module_of_this_name"])
def test_a_script_that_raises(script: Write, source: str) -> None:
    """Its exception is kept, and no half of a module is left."""
    path = script(source)

    with pytest.raises(UserError) as caught:
        load_script(path)

    assert isinstance(caught.value.__cause__, (ZeroDivisionError, SyntaxError, ImportError))
    assert "job" not in sys.modules


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "'job.py' has no task called Main$"),
        (MAIN.replace("Main", "Train"), "'job.py' has no task called Main; its tasks are Train$"),
        ("class Main: pass", "Main in 'job.py' is no subclass of Task: <class"),
        ("def Main(): pass", "Main in 'job.py' is no subclass of Task: <function"),
        ("from taskproc import Task as Main", "Main in 'job.py' is no subclass of Task"),
    ],
)
def test_a_script_without_an_entry(script: Write, source: str, message: str) -> None:
    """The message says what is there instead."""
    module = load_script(script(source))

    with pytest.raises(UsageError, match=message):
        entry_of(module, "job.py")


def test_no_script(tmp_path: Path) -> None:
    """A file that is not there, and a folder, are told apart."""
    with pytest.raises(UsageError, match=r"no such file: 'nowhere\.py'"):
        load_script("nowhere.py")
    with pytest.raises(UsageError, match="is a folder"):
        load_script(str(tmp_path))
