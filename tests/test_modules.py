"""One module has one name, however it is run."""
from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from taskproc import modules
from taskproc.modules import (
    find_object,
    is_findable,
    main_name,
    name_of_file,
    object_name,
    real_name,
    runs_as_main,
    site_of,
    stand_in,
)
from tests.pace import limit


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """An empty `__main__`, as of a shell."""
    module = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    return module


def define(module: ModuleType, text: str) -> Any:
    exec(text, vars(module))
    return module


def test_a_script_is_called_as_an_import_would_call_it(main: ModuleType) -> None:
    """By the stem of its file, in whatever folder."""
    main.__file__ = "/some/where/pipeline.py"

    assert (main_name(), real_name("__main__"), real_name("other")) == ("pipeline", "pipeline", "other")


def test_a_module_run_by_its_name_keeps_it(main: ModuleType) -> None:
    """`python -m a.b`; the file does not count."""
    main.__spec__ = ModuleSpec("a.b", None)
    main.__file__ = "/else/c.py"

    assert main_name() == "a.b"


def test_a_shell_has_no_other_name(main: ModuleType) -> None:
    """Nothing could import it."""
    assert main_name() == "__main__"


def test_what_was_adopted_is_called_as_at_its_origin(main: ModuleType) -> None:
    """A worker that has the definitions of a script calls them as the script does."""
    main.__file__ = "/lib/worker.py"
    vars(main)["__taskproc_name__"] = "pipeline"

    assert main_name() == "pipeline"


@pytest.mark.parametrize("alias", ["__main__", "__mp_main__"])
def test_what_runs_as_main_is_found_by_its_real_name(main: ModuleType, alias: str) -> None:
    """Also in a child of multiprocessing, which calls the script `__mp_main__`."""
    main.__file__ = "/some/where/pipeline.py"
    main.__name__ = alias
    define(main, "class Outer:\n    class Inner: pass\ndef function(): pass")

    for thing in (main.Outer, main.Outer.Inner, main.function):
        assert runs_as_main(thing)
        assert object_name(thing) == f"pipeline:{thing.__qualname__}"
        assert find_object(object_name(thing)) is thing
        assert is_findable(thing)


def test_a_running_script_is_not_imported_a_second_time(main: ModuleType) -> None:
    """Its name leads to the objects that run, though a module of that name could be imported."""
    main.__file__ = "/some/where/json.py"
    define(main, "class JSONDecoder: pass")

    assert find_object("json:JSONDecoder") is vars(main)["JSONDecoder"]


def test_what_was_replaced_or_is_local_is_not_findable(main: ModuleType) -> None:
    """An object that its name does not lead to is told from the one that it leads to."""
    main.__file__ = "pipeline.py"
    old = define(main, "class Thing: pass").Thing
    define(main, "class Thing: pass\ndef make():\n    class Local: pass\n    return Local")

    assert not is_findable(old)
    assert is_findable(vars(main)["Thing"])
    assert not is_findable(vars(main)["make"]())


def test_a_name_that_leads_nowhere_is_an_error() -> None:
    """An ImportError for the module, an AttributeError for the object."""
    with pytest.raises(ImportError):
        find_object("no_such_module_there:Thing")
    with pytest.raises(AttributeError):
        find_object("json:Thing")
    assert find_object("json:JSONDecoder.decode") is __import__("json").JSONDecoder.decode


# ---------------------------------------------------------------- files in packages


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    ("file", "packages", "name"),
    [
        ("mod.py", [], "mod"),
        ("pkg/mod.py", [], "mod"),
        ("pkg/mod.py", ["pkg"], "pkg.mod"),
        ("src/pkg/sub/mod.py", ["src/pkg", "src/pkg/sub"], "pkg.sub.mod"),
        ("pkg/sub/mod.py", ["pkg"], "mod"),
        ("ns/pkg/mod.py", ["ns/pkg"], "pkg.mod"),
        ("pkg/__main__.py", ["pkg"], "pkg.__main__"),
        ("pkg/__init__.py", ["pkg"], "pkg"),
        ("pkg/sub/__init__.py", ["pkg", "pkg/sub"], "pkg.sub"),
        ("pkg/random.py", ["pkg"], "pkg.random"),
        ("my-pkg/my-mod.py", ["my-pkg"], "my-pkg.my-mod"),
        ("pkg-1.2/mod.py", ["pkg-1.2"], "mod"),
        ("pkg/a.b.py", ["pkg"], "pkg.a_b"),
        ("a.b.py", [], "a_b"),
    ],
)
def test_a_file_in_packages_is_called_as_an_import_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, packages: list[str], name: str
) -> None:
    """Its name begins with the outermost folder that has an `__init__.py`, from whichever folder one looks."""
    for package in packages:
        write(tmp_path / package / "__init__.py")
    path = write(tmp_path / file)

    assert name_of_file(str(path)) == name
    monkeypatch.chdir(path.parent)
    assert name_of_file(os.path.join(".", path.name)) == name
    assert name_of_file(str(path)) == name


def test_a_link_is_followed_where_it_lies_in_no_package(tmp_path: Path) -> None:
    """A link to a file of a package is that file; a link to another script has its own name, and so has a package."""
    write(tmp_path / "pkg" / "__init__.py")
    write(tmp_path / "pkg" / "mod.py")
    write(tmp_path / "script.py")
    (tmp_path / "bin").mkdir()
    for link, there in [("bin/tool.py", "pkg/mod.py"), ("bin/other.py", "script.py"), ("linked", "pkg")]:
        (tmp_path / link).symlink_to(tmp_path / there)

    names = [name_of_file(str(tmp_path / link)) for link in ("bin/tool.py", "bin/other.py", "linked/mod.py")]

    assert names == ["pkg.mod", "other", "linked.mod"]
    assert site_of(str(tmp_path / "bin" / "tool.py")).folder == str(tmp_path)


def test_a_folder_that_runs_is_called_by_its_package(main: ModuleType, tmp_path: Path) -> None:
    """`python pkg` and `python -m pkg` are one; Python calls the first `__main__`."""
    write(tmp_path / "pkg" / "__init__.py")
    main.__spec__ = ModuleSpec("__main__", None)
    main.__file__ = str(write(tmp_path / "pkg" / "__main__.py"))

    assert main_name() == "pkg.__main__"


def test_what_was_loaded_under_another_name_keeps_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script may bear the name of a library's module: its objects are found by it, and so are the library's."""
    script = define(ModuleType("json_"), "class Main: pass")
    script.Main.__module__ = "json_"
    monkeypatch.setattr(modules, "_stand_ins", {})
    monkeypatch.setitem(sys.modules, "json_", script)

    stand_in("json_", "json")

    assert object_name(script.Main) == "json:Main"
    assert find_object("json:Main") is script.Main
    assert is_findable(script.Main)
    assert find_object("json:JSONDecoder") is __import__("json").JSONDecoder


PART = """\
from taskproc import Task

class Part(Task):
    def __init__(self, n: int):
        self.n = n

    def run_task(self) -> int:
        return self.n + 1
"""
MODULE = """\
import dataclasses
{imports}
from taskproc import Task

@dataclasses.dataclass
class Box:
    x: int

class Own(Task):
    def __init__(self, n: int):
        self.part = Part(n)

    def run_task(self) -> Box:
        return Box(self.part.get_result())

class Main(Task):
    def __init__(self, count: int = 2):
        self.owns = [Own(n) for n in range(count)]

    def run_task(self) -> int:
        return sum(own.get_result().x for own in self.owns)

if __name__ == "__main__":
    Main.cli()
"""
CONSOLE_SCRIPT = "from taskproc.cli.main import main\nraise SystemExit(main())\n"
IMPORTS = "from {module} import Main\nif __name__ == '__main__':\n    Main.cli()\n"


def start(folder: Path, words: Sequence[str], environ: dict[str, str], path: str = "") -> str:
    """What a run says last: how much it did. `path` is its PYTHONPATH."""
    command = [sys.executable, *words, "--dont-force-entrypoint", "--dont-show-progress", "-n", "1"]
    root = os.path.dirname(os.path.dirname(modules.__file__))
    environ = {**environ, "PYTHONPATH": os.pathsep.join(filter(None, [root, path]))}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=limit(120))
    assert done.returncode == 0, done.stderr
    return done.stderr.partition(" in ")[0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [[], ["-t", "thread"], ["--prefixes", '{"pkg.sub.mod.Own": "env"}']], ids=str)
def test_a_module_of_a_package_has_one_cache(tmp_path: Path, environ: dict[str, str], kind: list[str]) -> None:
    """By file, by name, by the console script, by an import: what the first computes the others find."""
    source = tmp_path / "src"
    for package in ("pkg", "pkg/sub"):
        write(source / package / "__init__.py")
    write(source / "pkg" / "part.py", PART)
    file = write(source / "pkg" / "sub" / "mod.py", MODULE.format(imports="from pkg.part import Part"))
    script = write(tmp_path / "by_import.py", IMPORTS.format(module="pkg.sub.mod"))
    console = write(tmp_path / "bin" / "taskproc", CONSOLE_SCRIPT)
    (tmp_path / "tool.py").symlink_to(file)
    ways: list[tuple[Path, list[str], str]] = [
        (tmp_path, ["-m", "taskproc", "src/pkg/sub/mod.py"], ""),
        (tmp_path, [str(console), "src/pkg/sub/mod.py"], ""),
        (tmp_path, [str(console), "tool.py"], ""),
        (source, [str(console), "run", "pkg.sub.mod:Main"], ""),
        (source, ["-m", "taskproc", "run", str(file)], ""),
        (source, ["-m", "pkg.sub.mod"], ""),
        (tmp_path, ["src/pkg/sub/mod.py"], "src"),
        (tmp_path / "bin", [str(file)], str(source)),
        (tmp_path, [str(script)], "src"),
    ]

    options = ["-o", str(tmp_path / "cache"), *kind]

    said = [start(folder, [*words, *options], environ, path) for folder, words, path in ways]

    assert said == ["5 done", *["0 done, 5 fresh"] * (len(ways) - 1)]
    tasks = sorted(path.name for path in (tmp_path / "cache").iterdir() if (path / "results").is_dir())
    assert tasks == ["pkg.part.Part", "pkg.sub.mod.Main", "pkg.sub.mod.Own"]


@pytest.mark.slow
def test_relative_imports_work_in_a_file_of_a_package(tmp_path: Path, environ: dict[str, str]) -> None:
    """Its packages are imported first, here and in the workers."""
    write(tmp_path / "pkg" / "__init__.py", "from .part import Part\n")
    write(tmp_path / "pkg" / "part.py", PART)
    write(tmp_path / "pkg" / "mod.py", MODULE.format(imports="from . import Part"))
    console = write(tmp_path / "bin" / "taskproc", CONSOLE_SCRIPT)
    ways = [[str(console), "pkg/mod.py"], ["-m", "taskproc", "pkg/mod.py"], ["-m", "pkg.mod"]]

    said = [start(tmp_path, [*words, "-o", "cache"], environ) for words in ways]

    assert said == ["5 done", *["0 done, 5 fresh"] * 2]


@pytest.mark.slow
def test_a_package_that_can_be_run_has_one_cache(tmp_path: Path, environ: dict[str, str]) -> None:
    """`python -m pkg`, `python pkg`, its `__main__.py`, and `run pkg`."""
    write(tmp_path / "pkg" / "__init__.py")
    write(tmp_path / "pkg" / "part.py", PART)
    write(tmp_path / "pkg" / "__main__.py", MODULE.format(imports="from pkg.part import Part"))
    ways = [["-m", "pkg"], ["pkg"], ["pkg/__main__.py"], ["-m", "taskproc", "pkg/__main__.py"],
            ["-m", "taskproc", "run", "pkg"], ["-m", "taskproc", "run", "pkg.__main__:Main"]]  # fmt: skip

    said = [start(tmp_path, [*words, "-o", "cache"], environ, ".") for words in ways]

    assert said == ["5 done", *["0 done, 5 fresh"] * (len(ways) - 1)]


@pytest.mark.slow
@pytest.mark.parametrize("file", ["wave.py", "a-script.py", "a.script.py"])
def test_an_odd_name_has_one_cache(tmp_path: Path, environ: dict[str, str], file: str) -> None:
    """That of a module of the standard library, one that is no identifier, one with a dot."""
    write(tmp_path / "job" / "part.py", PART)
    write(tmp_path / "job" / file, MODULE.format(imports="from part import Part"))
    ways = [["-m", "taskproc", f"job/{file}"], [f"job/{file}"], ["-m", "taskproc", "run", f"job/{file}:Main"]]

    said = [start(tmp_path, [*words, "-o", "cache"], environ) for words in ways]

    assert said == ["5 done", *["0 done, 5 fresh"] * 2]
