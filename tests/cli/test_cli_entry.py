"""Laws of finding the entry task: a script is a module of its own name and never replaces another one."""
from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from taskproc.cli.entry_class import entry_of, load_entry, load_script, module_name
from taskproc.cli.usage import UsageError, UserError
from taskproc.run.far_end import Setup

Write = Callable[..., str]
MAIN = "from taskproc import Task\nclass Main(Task):\n    def run_task(self):\n        return __name__\n"


def test_a_script_goes_by_its_stem(script: Write, tmp_path: Path) -> None:
    """The tasks of a script have the names that an import would give them, and workers get its path."""
    module = load_script(script(MAIN, "folder/job.py"))

    assert "job.Main" == entry_of(module, "job.py").task_name
    assert sys.modules["job"] is module
    assert str(tmp_path / "folder" / "job.py") == Setup.here().scripts["job"] == module.__file__


def test_a_script_is_not_main(script: Write) -> None:
    """Code below the `__main__` guard is not run."""
    load_script(script(f"{MAIN}\nif __name__ == '__main__':\n    raise SystemExit(5)\n"))


def test_neighbours_can_be_imported(script: Write, tmp_path: Path) -> None:
    """The folder of the script is first on the import path, as in Python; for a link it is that of its target."""
    script("VALUE = 1\n", "folder/neighbour_of_job.py")
    script("from neighbour_of_job import VALUE\n" + MAIN, "folder/job.py")
    (tmp_path / "linked.py").symlink_to(tmp_path / "folder" / "job.py")

    assert 1 == load_script("linked.py").VALUE
    assert os.path.realpath(tmp_path / "folder") == sys.path[0]


def test_a_script_named_like_a_library_module(script: Write) -> None:
    """A script named like a library module is loaded under another name; its tasks keep the name."""
    module = load_script(script("import random\n" + MAIN, "folder/random.py"))

    assert "random_" == module.__name__
    assert "random.Main" == entry_of(module, "random.py").task_name
    assert module.random is random is sys.modules["random"]
    assert not sys.path[0].endswith("folder")
    assert sys.path[-1].endswith("folder")


def test_names_are_free_or_made_so(script: Write) -> None:
    """Names of the standard library, of loaded modules, and with dots are avoided; an earlier load is not."""
    load_script(script(MAIN, "job.py"))

    assert ["job", "json_", "pytest_", "a_b"] == [
        module_name(path) for path in ("x/job.py", "json.py", "pytest.py", "a.b.py")
    ]


def test_a_script_may_be_loaded_again(script: Write) -> None:
    """Each load runs the present content of the file."""
    first = load_script(script(MAIN, "one/job.py"))
    second = load_script(script(MAIN, "two/job.py"))

    assert first.__name__ == second.__name__ == "job"
    assert sys.modules["job"] is second


def test_a_script_need_not_end_in_py(script: Write) -> None:
    """A file of any name is loaded as a script."""
    assert "job.Main" == entry_of(load_script(script(MAIN, "job")), "job").task_name


@pytest.mark.parametrize("source", ["1 / 0", "def f(:", "import no_such_module_of_this_name"])
def test_a_script_that_raises(script: Write, source: str) -> None:
    """The exception of a script is passed on, and no partial module stays."""
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
        ("class Main: pass", "Main in 'job.py' is not a subclass of Task: <class"),
        ("def Main(): pass", "Main in 'job.py' is not a subclass of Task: <function"),
        ("from taskproc import Task as Main", "Main in 'job.py' is not a subclass of Task"),
    ],
)
def test_a_script_without_an_entry(script: Write, source: str, message: str) -> None:
    """The message names the tasks that the script has instead."""
    module = load_script(script(source))

    with pytest.raises(UsageError, match=message):
        entry_of(module, "job.py")


def test_no_script(tmp_path: Path) -> None:
    """The messages for a missing file and for a folder differ."""
    with pytest.raises(UsageError, match=r"no such file: 'nowhere\.py'"):
        load_script("nowhere.py")
    with pytest.raises(UsageError, match="is a folder"):
        load_script(str(tmp_path))


def in_package(script: Write, source: str = MAIN, name: str = "pkg/mod.py") -> str:
    script("", os.path.join(os.path.dirname(name), "__init__.py"))
    return script(source, name)


def test_a_script_in_a_package_is_loaded_as_a_part_of_it(script: Write, tmp_path: Path) -> None:
    """A script in a package has its package, relative imports work, and workers get the path."""
    script("VALUE = 1\n", "pkg/other.py")

    entry = load_entry(in_package(script, "from .other import VALUE\n" + MAIN))

    assert "pkg.mod.Main" == entry.task_name
    assert {"pkg", "pkg.mod", "pkg.other"} <= sys.modules.keys()
    files = {"pkg": "__init__.py", "pkg.mod": "mod.py"}
    assert {name: str(tmp_path / "pkg" / file) for name, file in files.items()} == dict(Setup.here().scripts)
    assert str(tmp_path) in sys.path


def test_the_folder_of_a_script_in_a_package_hides_nothing(script: Write, tmp_path: Path) -> None:
    """Files beside such a script can be imported, after everything else."""
    script("raise RuntimeError('hidden')\n", "pkg/random.py")
    script("VALUE = 1\n", "pkg/neighbour_of_mod.py")

    load_entry(in_package(script, "import random\nfrom neighbour_of_mod import VALUE\nrandom.random()\n" + MAIN))

    assert str(tmp_path / "pkg") == sys.path[-1]


def test_a_package_whose_name_is_taken(script: Write) -> None:
    """If the name of the package is taken, the file is loaded alone; its tasks have the package in their names."""
    entry = load_entry(in_package(script, name="email/mod.py"))

    assert ("mod_", "email.mod.Main") == (entry.__module__, entry.task_name)
    assert "email.mod" not in sys.modules


def test_a_package_may_be_loaded_again(script: Write) -> None:
    """Each load of a package runs the present files, at whatever path."""
    first = load_entry(in_package(script, name="one/pkg/mod.py"))
    second = load_entry(in_package(script, name="two/pkg/mod.py"))

    assert first.task_name == second.task_name == "pkg.mod.Main"
    assert sys.modules["pkg.mod"].Main is second is not first


TWO = MAIN + "class Train(Main):\n    class Inner(Main):\n        pass\n"


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("job.py:Train", "job.Train"),
        ("job.py:Train.Inner", "job.Train.Inner"),
        ("pkg/mod.py:Train", "pkg.mod.Train"),
        ("pkg.mod", "pkg.mod.Main"),
        ("pkg.mod:Train", "pkg.mod.Train"),
        ("job", "job.Main"),
        ("pkg", "pkg.__main__.Main"),
        ("pkg:Train", "pkg.Train"),
        ("pkg.mod.Train", "pkg.mod.Train"),
        ("pkg.mod.Main", "pkg.mod.Main"),
        ("pkg.Train", "pkg.Train"),
        ("job.Main", "job.Main"),
    ],
)
def test_a_module_and_a_class_may_be_named(script: Write, target: str, name: str) -> None:
    """The entry may be a file or a module, with another task than Main behind a colon."""
    script(TWO)
    in_package(script, TWO)
    script("from pkg.mod import Train as Base\nclass Train(Base):\n    pass\n", "pkg/__init__.py")
    script(MAIN, "pkg/__main__.py")

    assert name == load_entry(target).task_name


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("job.py:Trian", r"'job\.py' has no task called Trian; its tasks are Main, Train\. Did you mean 'Train'\?"),
        ("job.py:Train.Outer", r"'job\.py' has no task called Train\.Outer"),
        ("job.py:os", "os in 'job.py' is not a subclass of Task"),
        ("jbo.py", r"no such file: 'jbo\.py'\. Did you mean 'job\.py'\?"),
        ("pkg/mdo.py", r"no such file: 'pkg/mdo\.py'\. Did you mean 'pkg/mod\.py'\?"),
        ("pkg.mdo", r"no such file or module: 'pkg\.mdo'\. Did you mean 'pkg\.mod'\?"),
        ("pgk.mod", r"no such file or module: 'pgk\.mod'"),
        ("job.Inner", "'job' has no task called Inner; its tasks are Main, Train"),
        ("job.inner", "no such file or module: 'job.inner'"),
        ("pkg:Nope", r"'pkg' has no task called Nope; its modules are pkg\.mod"),
        ("pkg:Main", r"'pkg' has no task called Main; its modules are pkg\.mod"),
        ("pkg..mod", "no such file or module"),
        ("__main__", "no such file or module"),
        ("folder", "'folder' is a folder"),
    ],
)
def test_a_target_that_is_not_there(script: Write, tmp_path: Path, target: str, message: str) -> None:
    """The message suggests a name that is close, if there is one."""
    script("import os\n" + TWO)
    in_package(script)
    (tmp_path / "folder").mkdir()

    with pytest.raises(UsageError, match=message):
        load_entry(target)


def test_a_package_names_the_tasks_that_it_passes_on(script: Write) -> None:
    """Tasks that a package imports from its own modules belong to it."""
    in_package(script, TWO)
    script("from pkg.mod import Train\nfrom taskproc import Command\n", "pkg/__init__.py")

    with pytest.raises(UsageError, match=r"has no task called Trian; its tasks are Train\. Did you mean 'Train'\?"):
        load_entry("pkg:Trian")


def test_what_a_module_raises_is_the_users(script: Write) -> None:
    """An exception of a module is the user's, also ImportError for another module than the one named."""
    in_package(script, "import no_such_module_of_this_name\n")

    with pytest.raises(UserError) as caught:
        load_entry("pkg.mod")

    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
