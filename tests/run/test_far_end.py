"""A far end takes over the setup of the process that sends jobs."""
from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from jobs import run_python

from taskproc import pickling
from taskproc.frozen import replace
from taskproc.pickling import load
from taskproc.run import far_end as module
from taskproc.run.far_end import Setup, interpreter, register_script, set_environ, start_environ


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    """Undo the changes that `apply` makes in this process."""
    kept, folder, main = (list(sys.path), list(sys.argv), list(sys.meta_path)), os.getcwd(), pickling._sender_main
    scripts = dict(module._scripts)
    with patch.dict(os.environ):
        yield
    sys.path[:], sys.argv[:], sys.meta_path[:] = kept
    os.chdir(folder)
    pickling.set_sender(main)
    module._scripts.clear()
    module._scripts.update(scripts)
    sys.modules.pop("odd_script", None)


def test_a_far_end_becomes_like_the_one_that_sends(tmp_path: Path) -> None:
    """A pickled setup carries import path, arguments, folder and environment."""
    os.environ["TASKPROC_TEST"] = "here"
    there = pickle.loads(pickle.dumps(Setup.here(environ=os.environ.copy())))
    path, argv, folder = list(sys.path), list(sys.argv), os.getcwd()
    sys.path[:], sys.argv[:] = [], ["other"]
    os.chdir(tmp_path)
    os.environ["TASKPROC_TEST"] = "there"
    os.environ["TASKPROC_OTHER"] = "there"

    there.apply()

    assert ([os.path.join(folder, each) for each in path], argv, folder) == (sys.path, sys.argv, os.getcwd())
    assert ("here", None) == (os.environ["TASKPROC_TEST"], os.environ.get("TASKPROC_OTHER"))


def test_relative_import_paths_become_absolute(tmp_path: Path) -> None:
    """Import paths become absolute, since the far end may be in another folder."""
    os.chdir(tmp_path)
    sys.path[:] = ["", "lib"]

    assert (f"{tmp_path}/", f"{tmp_path}/lib") == Setup.here().path


def test_without_environment_the_far_end_keeps_its_own() -> None:
    """Without an environment, only the variables that were set to start the far end are undone."""
    os.environ["PYTHONPATH"] = "mine"
    setup = Setup.here()
    os.environ.update(start_environ(os.environ))
    os.environ["SLURM_JOB_ID"] = "7"
    assert "1" == os.environ["PYTHONSAFEPATH"]

    setup.apply()

    assert ("mine", "7", None) == (
        os.environ["PYTHONPATH"], os.environ["SLURM_JOB_ID"], os.environ.get("PYTHONSAFEPATH")
    )


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    """A missing folder is an error: relative paths of a task would be wrong."""
    with pytest.raises(FileNotFoundError):
        replace(Setup.here(), folder=str(tmp_path / "gone")).apply()


def test_a_folder_that_was_removed_here_is_no_error(tmp_path: Path) -> None:
    """If the folder was removed here, the far end stays where it is."""
    (tmp_path / "gone").mkdir()
    os.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()

    assert "" == Setup.here().folder


def test_a_registered_script_is_imported_from_its_file(tmp_path: Path) -> None:
    """A script is imported from its file, whatever its name, and only when it is needed."""
    (tmp_path / "odd name").write_text("VALUE = 5\n")
    register_script("odd_script", str(tmp_path / "odd name"))
    setup = pickle.loads(pickle.dumps(Setup.here()))
    module._scripts.clear()

    setup.apply()
    setup.apply()

    assert "odd_script" not in sys.modules
    assert 5 == __import__("odd_script").VALUE
    assert 1 == sum(isinstance(each, module._ScriptFinder) for each in sys.meta_path)


MAIN = """
import pickle, sys
from pathlib import Path
from taskproc.run.far_end import Setup
from taskproc.pickling import load
class Mine: pass
if __name__ == '__main__':
    Path('setup').write_bytes(pickle.dumps(Setup.here()))
    Path('thing').write_bytes(pickle.dumps(Mine))
    print(load(Path('thing').read_bytes()) is Mine)
"""
OTHER = """
from pathlib import Path
from taskproc.pickling import load
import pickle
pickle.loads(Path('setup').read_bytes()).apply()
print(load(Path('thing').read_bytes()))
"""


@pytest.mark.parametrize(("name", "module_name"), [("script.py", "script"), ("no-suffix", "no-suffix")])
def test_the_main_module_is_found_at_the_far_end(tmp_path: Path, name: str, module_name: str) -> None:
    """`__main__` is found under its real name, whether import could find it or not."""
    (tmp_path / name).write_text(MAIN)
    (tmp_path / "other.py").write_text(OTHER)

    here = run_python(name, cwd=tmp_path)
    there = run_python("other.py", cwd=tmp_path)

    assert ("True\n", f"<class '{module_name}.Mine'>\n") == (here.stdout, there.stdout), here.stderr + there.stderr


def test_the_package_is_found_from_any_folder(tmp_path: Path) -> None:
    """The folder of the package is on the path of the far end, before the entries of the user."""
    environ = start_environ({"PYTHONPATH": "mine"})

    assert [os.path.dirname(module.PACKAGE_FOLDER), "mine"] == environ["PYTHONPATH"].split(os.pathsep)


def test_environment_is_set_as_said() -> None:
    """New variables appear, others vanish, changed ones change."""
    os.environ.update(A="1", B="2")
    target = {**os.environ, "A": "3", "C": "4"}
    del target["B"]

    set_environ(target)

    assert target == dict(os.environ)


def test_the_interpreter_has_the_same_options(tmp_path: Path) -> None:
    """-O, -B, -W and -X are passed on."""
    (tmp_path / "show.py").write_text("from taskproc.run.far_end import interpreter\nprint(interpreter()[1:])\n")

    shown = run_python("-O", "-B", "-Werror::FutureWarning", "-Xutf8", "-Xfoo=bar", "show.py", cwd=tmp_path).stdout

    assert "['-O', '-B', '-Werror::FutureWarning', '-Xutf8', '-Xfoo=bar']\n" == shown
    assert sys.executable == interpreter()[0]


def test_plain_pickles_load(tmp_path: Path) -> None:
    """A pickle without `__main__` loads as usual."""
    assert [1, Path("x")] == load(pickle.dumps([1, Path("x")]))


def test_a_class_that_comes_back_is_left_as_it_was() -> None:
    """A class of ours that travelled by value keeps its methods; one from elsewhere is filled each time."""
    import cloudpickle

    class Ours:
        def method(self) -> int:
            return 1

    method = Ours.method
    there = "import sys, cloudpickle as c; sys.stdout.buffer.write(c.dumps(c.loads(sys.stdin.buffer.read())))"

    back = subprocess.run([sys.executable, "-c", there], input=cloudpickle.dumps(Ours), capture_output=True, check=True)

    assert load(back.stdout) is Ours
    assert Ours.method is method
    twice = ("import io, sys, cloudpickle as c\nclass Theirs: x = 1\n"
             "first = c.dumps(Theirs); Theirs.x = 2; print(first.hex(), c.dumps(Theirs).hex())")
    first, second = subprocess.run([sys.executable, "-c", twice], capture_output=True, check=True).stdout.split()
    theirs: Any = load(bytes.fromhex(first.decode()))
    assert 1 == theirs.x
    assert load(bytes.fromhex(second.decode())) is theirs
    assert 2 == theirs.x
