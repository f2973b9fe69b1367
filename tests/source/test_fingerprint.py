"""One fingerprint for the same code, in every process, as the code was loaded."""
from __future__ import annotations

import builtins
import gc
import importlib
import linecache
import logging
import os
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from taskproc.modules import main_name
from taskproc.source.fingerprint import fingerprint_of
from taskproc.source.project import is_users_file
from tests.pace import limit

Load = Callable[[Mapping[str, str]], ModuleType]

SCRIPT = """
import sys
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache, partial

NAMES = {"a", "b", "c", "d"}
class Color(Enum):
    RED = 1
    BLUE = "b"
@dataclass(frozen=True)
class Config:
    n: int
    colors: frozenset = frozenset({Color.RED, Color.BLUE})
CONFIG = Config(3)
@lru_cache
def helper(x, *, key=lambda y: -y):
    return x in {"p", "q", "r"} and CONFIG
step = partial(helper, key=None)
def run(): return step(NAMES), helper(1)
class Train:
    rates: dict = {"b": 1, "a": 2}
    def f(self): return run()

if __name__ == "__main__":
    from taskproc.source.fingerprint import fingerprint_of as fingerprint
    found = fingerprint([Train])
    assert not found.untracked, found.untracked
    print(found.digest, len(found.items), *found.items)
"""
# Written down once: another one would throw away every result that is stored
GOLDEN = "e70e80e65ac74ea16d3911a36c6d2750"


def printed(folder: Path, environ: dict[str, str], *words: str) -> str:
    command = [sys.executable, *words]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=limit(100))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_fingerprint_is_the_same_in_every_process_and_on_every_python(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    """It does not depend on how the script is run, nor on the hash seed; names are those of an import."""
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "other").mkdir()
    by_import = "import script; from taskproc.source.fingerprint import fingerprint_of as f; x = f([script.Train]); "

    found = {
        printed(tmp_path, {**environ, "PYTHONHASHSEED": "1"}, "script.py"),
        printed(tmp_path, {**environ, "PYTHONHASHSEED": "2"}, "-m", "script"),
        printed(tmp_path / "other", environ, "../script.py"),
        printed(tmp_path, environ, "-c", by_import + "print(x.digest, len(x.items), *x.items)"),
    }

    assert len(found) == 1
    assert found.pop().split()[0] == GOLDEN


def test_globals_count_as_they_are_now(load: Load) -> None:
    """Constants and functions that are bound again, attributes of classes, closures."""
    module = load({"m": "N = 1\ndef f(): return 1\ndef g(): return 2\nclass A: x = 1\ndef run(): return f(), N, A\n"})
    seen = [fingerprint_of([module.run]).digest]
    for owner, name, value in ((module, "N", 2), (module, "f", module.g), (module.A, "x", 3), (module.A, "y", 4)):
        setattr(owner, name, value)
        seen.append(fingerprint_of([module.run]).digest)

    assert len(set(seen)) == len(seen)


def test_a_bound_class_method_brings_its_class(load: Load) -> None:
    """The attributes that it reads of `cls` count."""
    text = "class A:\n    K = 1\n    @classmethod\n    def by(cls): return cls.K\nBY = A.by\ndef run(): return BY()\n"
    found = {fingerprint_of([load({"m": text.replace("K = 1", f"K = {number}")}).run]).digest for number in (1, 2)}

    assert len(found) == 2


def test_a_module_stands_for_what_it_defines(load: Load) -> None:
    """Its functions, classes and constants count; names that it imports and does not use do not."""
    module = load(
        {
            "m": "import os\nfrom a import f\nN = 1\ndef g(): return 1\nclass A: pass\nif N:\n    def h(): return 2\n",
            "a": "def f(): return 1",
        }
    )

    assert list(fingerprint_of([module]).items) == ["m:A", "m:N", "m:g", "m:h"]


def test_a_chain_of_helpers_may_be_long(load: Load) -> None:
    """It is walked without recursion."""
    lines = [f"def f{number}(): return f{number + 1}()" for number in range(1500)]
    module = load({"m": "\n".join([*lines, "def f1500(): return 1", "run = f0"])})

    assert len(fingerprint_of([module.run]).items) == 1501


@pytest.mark.slow
def test_a_chain_of_helpers_may_be_very_long(load: Load) -> None:
    """Through modules and imports inside functions, too."""
    lines = [f"def f{number}(): return f{number + 1}()" for number in range(5000)]
    text = "\n".join([*lines, "def f5000(): return 1", "run = f0"])
    module = load({"m": text + "\ndef lazy():\n    import a\n    return a.f0()", "a": text})

    assert len(fingerprint_of([module.run]).items) == 5001
    assert len(fingerprint_of([module.lazy]).items) == 5002


# ---------------------------------------------------------------- whose code it is


def test_installed_code_does_not_count(load: Load, tmp_path: Path) -> None:
    """Files below any site-packages folder are installed, even inside the project."""
    packages = tmp_path / "0" / ".venv" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "venv_lib.py").write_text("def g(): return 1")
    module = load(
        {
            "m": f"import sys\nsys.path.append({str(packages)!r})\nfrom venv_lib import g\nfrom other import f\n"
            "def run():\n    import venv_lib\n    return g() + f() + venv_lib.g()",
            "other": "def f(): return 1",
        }
    )
    found = fingerprint_of([module.run])
    del sys.modules["venv_lib"]

    assert list(found.items) == ["m:run", "other:f"]
    assert found.untracked == ()


def test_a_linked_folder_counts(load: Load, tmp_path: Path) -> None:
    """An editable install is code of the project."""
    project, installed = tmp_path / "project", tmp_path / "site-packages"
    project.mkdir()
    installed.mkdir()
    (project / "code.py").write_text("")
    (installed / "linked").symlink_to(project)
    (installed / "single.py").symlink_to(project / "code.py")

    places = [project / "code.py", installed / "linked" / "code.py", installed / "single.py", installed / "plain.py"]
    assert [is_users_file(str(place)) for place in places] == [True, True, False, False]


def test_the_standard_library_and_taskproc_do_not_count() -> None:
    """Frozen and built-in modules do not count either."""
    import json

    from taskproc.tasks.task import Task

    assert fingerprint_of([json, json.dumps, sys, len, Task, os.path, importlib.import_module]).items == {}


# ---------------------------------------------------------------- the code that was loaded


def test_the_text_is_that_of_the_code_that_runs(load: Load) -> None:
    """This holds even if the file was edited before the first fingerprint."""
    text = "def f(): return 1\ndef g(): return 2\ndef run(): return f() + g()"
    module = load({"m": text})
    Path(str(module.__file__)).write_text("# new\n\ndef f(): return 3\ndef g(): return 2\ndef run(): return f() + g()")

    assert fingerprint_of([module.run]) == fingerprint_of([load({"m": text}).run])


def test_code_whose_text_nobody_has_counts_by_its_bytecode(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    """It was compiled from another text than its file has; functions that are equal in both are found."""
    text = "def f(): return 1\ndef g(): return 2\ndef run(): return f() + g()"
    module = load({"m": "# new\n\ndef f(): return 3\ndef g(): return 2\ndef run(): return f() + g()"})
    exec(compile(text, str(module.__file__), "exec"), vars(module))

    with caplog.at_level(logging.WARNING, "taskproc"):
        found = [fingerprint_of([module.run]) for _ in range(2)]

    assert {name: bool(some) for name, some in found[0].texts.items()} == {"m:f": False, "m:g": True, "m:run": True}
    assert found[0].untracked == ("m:f has no source that does the same, so its bytecode counts",)
    assert [record.getMessage()[:5] for record in caplog.records] == ["m:f: "]
    assert found[0].items["m:g"] == fingerprint_of([load({"m": text}).run]).items["m:g"]


def test_what_was_found_stays(load: Load) -> None:
    """After the first fingerprint, an edit of the file changes nothing."""
    module = load({"m": "def run(): return 1"})
    before = fingerprint_of([module.run])

    Path(str(module.__file__)).write_text("def run(): return 2")

    assert fingerprint_of([module.run]) == before


def test_an_edit_is_seen_when_the_module_is_loaded_anew(load: Load) -> None:
    """This holds for the same path in the same process, and the edit may be undone."""
    module = load({"m": "class A:\n    x = object()\n    def f(self): return 1\ndef run(): return A"})
    path = Path(str(module.__file__))
    seen = []
    for text in (path.read_text(), path.read_text().replace("1", "2"), path.read_text()):
        path.write_text(text)
        os.utime(path, ns=(len(seen), len(seen)))
        seen.append(fingerprint_of([importlib.reload(module).run]).items)

    assert seen[0] == seen[2] != seen[1]


def notebook(number: int, text: str, names: dict[str, Any]) -> None:
    """Run a cell as a notebook does: its text is known to linecache, and there is no file."""
    path = f"<ipython-input-{number}-abc>"
    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)
    exec(compile(text, path, "exec"), names)


def test_cells_of_a_notebook_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """They count by their source, as code of the user; a cell that runs again replaces what it defined."""
    main = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    notebook(1, "N = 1\ndef helper():\n    'Help.'\n    return N  # one", vars(main))
    notebook(2, "class Train:\n    def f(self): return helper()", vars(main))
    first = fingerprint_of([vars(main)["Train"]])
    notebook(3, "def helper(): return N", vars(main))
    same = fingerprint_of([vars(main)["Train"]])
    notebook(4, "def helper(): return -N", vars(main))

    assert list(first.items) == ["__main__:N", "__main__:Train", "__main__:Train.f", "__main__:helper"]
    assert first.untracked == ()
    assert same.items == first.items != fingerprint_of([vars(main)["Train"]]).items


def made(body: str, name: str = "nowhere") -> Any:
    space: dict[str, Any] = {"__name__": name}
    exec(f"import logging\nN = 1\ndef helper(): return N\nclass Made:\n{body}", space)
    return space


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    def f(self): return 1", "    def f(self): return 2"),
        ("    def f(self): return 'a'", "    def f(self): return 'b'"),
        ("    def f(self): return ('a' for x in self)", "    def f(self): return ('b' for x in self)"),
        ("    def f(self): return lambda: (lambda: 'a')", "    def f(self): return lambda: (lambda: 'b')"),
        ("    def f(self, x=1): return x", "    def f(self, x=2): return x"),
        ("    def f(self): return self.a", "    def f(self): return self.b"),
        ("    x = 1", "    x = 2"),
        ("    p = property(lambda self: 1)", "    p = property(lambda self: 2)"),
        ("    def f(self): return helper()", "    def f(self): return helper(), 0"),
    ],
)
def test_classes_without_source_count_by_bytecode(old: str, new: str) -> None:
    """Equal classes have equal fingerprints, others do not."""
    assert fingerprint_of([made(old)["Made"]]).items == fingerprint_of([made(old)["Made"]]).items
    assert fingerprint_of([made(old)["Made"]]).items != fingerprint_of([made(new)["Made"]]).items


def test_what_bytecode_reaches_counts() -> None:
    """Helpers and constants count as with source; a docstring does not."""
    space = made("    def f(self): return helper()")
    before = fingerprint_of([space["Made"]])
    space["N"] = 2

    assert list(before.items) == [f"nowhere:{name}" for name in ("Made", "Made.f", "N", "helper")]
    assert fingerprint_of([space["Made"]]).items != before.items
    documented = made("    def f(self):\n        'Doc.'\n        return helper()")
    assert fingerprint_of([documented["Made"]]).items == before.items


def test_classes_without_source_are_named_once(caplog: pytest.LogCaptureFixture) -> None:
    """A warning says once that their digest holds for one Python only, and they are listed as untracked."""
    kind = made("    def f(self): return 1\n    def g(self): return 2", "warned")["Made"]

    with caplog.at_level(logging.WARNING, "taskproc"):
        found = [fingerprint_of([kind]) for _ in range(2)]

    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning.startswith("warned:Made: its source was not found")
    assert found[0].untracked == tuple(
        f"warned:Made.{name} has no source that does the same, so its bytecode counts" for name in "fg"
    )


def test_classes_of_a_factory_count(load: Load) -> None:
    """A class statement in a function has a source; variables of the function count by value."""
    text = "def make(n):\n    class A:\n        x = n\n        def f(self): return n\n    return A\n"
    text += "B = make(1)\ndef run(): return B"
    before = fingerprint_of([load({"m": text}).run])

    assert before.untracked == ()
    assert before != fingerprint_of([load({"m": text.replace("make(1)", "make(2)")}).run])
    assert before.items != fingerprint_of([load({"m": text.replace("return n", "return -n")}).run]).items


def test_classes_made_by_type_count(load: Load) -> None:
    """By their attributes and functions."""
    text = "def f(self): return 1\nA = type('A', (), {'f': f, 'x': 2, 'g': lambda self: 3})\ndef run(): return A"
    before = fingerprint_of([load({"m": text}).run])

    for old, new in (("return 1", "return 7"), ("'x': 2", "'x': 7"), ("self: 3", "self: 7")):
        assert fingerprint_of([load({"m": text.replace(old, new)}).run]).items != before.items


def test_a_function_without_a_module_counts() -> None:
    """It was made by exec in an empty dict."""
    space: dict[str, Any] = {}
    exec("def f(): return len(f.__name__)", space)
    function = types.FunctionType(space["f"].__code__, {"__builtins__": builtins})

    assert list(fingerprint_of([function]).items) == [f"{main_name()}:f"]


def test_imports_inside_functions_give_the_same_whether_loaded_or_not(load: Load) -> None:
    """Otherwise each result would be stale as soon as the function has run."""
    module = load(
        {
            "m": "def run():\n    from a import f\n    import b\n    return f() + b.C().g()",
            "a": "import math\nN = math.pi\n@staticmethod\ndef f(x=N): return x\nM = f",
            "b": "class C:\n    def g(self): return 1",
        }
    )
    before = fingerprint_of([module.run])
    importlib.import_module("b")
    importlib.import_module("a")

    assert fingerprint_of([module.run]) == before
    assert list(before.items) == ["a:N", "a:f", "a:math", "b:C", "m:run"]


def test_what_is_also_imported_at_the_top_counts_as_it_is_now(load: Load) -> None:
    """A loaded module is more exact than its file."""
    module = load({"m": "import a\ndef run():\n    from a import N\n    return N + a.N", "a": "N = 1"})
    before = fingerprint_of([module.run])
    module.a.N = 2

    assert fingerprint_of([module.run]).items.keys() == before.items.keys()
    assert fingerprint_of([module.run]).items != before.items


def test_ends_are_not_followed_unless_asked_for(load: Load) -> None:
    """A class that is passed in is always followed."""
    module = load({"m": "class A: pass\nclass B: pass\ndef run(): return A, B"})

    assert list(fingerprint_of([module.run, module.A], ends=lambda thing: True).items) == ["m:A", "m:run"]


def test_two_threads_that_come_to_a_file_first_find_the_same(load: Load) -> None:
    """Without a lock, each thread would parse the file for itself, and mix up its objects with the other's."""

    def ask(together: threading.Barrier, some: type) -> Mapping[str, str]:
        together.wait()
        return fingerprint_of([some]).texts

    text = "class C:\n    def a(self): return self.b()\n    def b(self): return 1\n"
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(20):
            some = load({"m": text}).C
            together = threading.Barrier(2)
            with ThreadPoolExecutor(2) as pool:
                found = list(pool.map(ask, [together] * 2, [some] * 2))
            assert found[0] == found[1] == fingerprint_of([some]).texts
    finally:
        sys.setswitchinterval(before)


@pytest.mark.parametrize("odd", ["\x0c", "# \x0b", "# \x1c\x1d\x1e", "# \x85", "# \u2028\u2029"])
def test_the_text_is_that_of_the_item_behind_any_separator(load: Load, odd: str) -> None:
    """Python counts lines by line feeds and carriage returns only."""
    above = f"X = 1\n{odd}\nY = '''{odd}\n'''\n"
    module = load({"m": f"{above}def run():\n    return 1\n{odd}\nclass A:\n    def f(self): pass\n"})

    texts = fingerprint_of([module.run, module.A]).texts

    assert texts == {"m:A": "class A:\n", "m:A.f": "def f(self): pass\n", "m:run": "def run():\n    return 1\n"}


def test_a_look_leaves_the_search_for_cycles_as_it_was(load: Load) -> None:
    """It stays on or off, and frozen objects stay frozen."""
    module = load({"m": "def run(): return 1"})
    frozen = gc.get_freeze_count()
    try:
        for switch in (gc.disable, gc.enable):
            switch()
            before = gc.isenabled()
            fingerprint_of([module.run])
            assert gc.isenabled() is before
        gc.freeze()
        held = gc.get_freeze_count()
        fingerprint_of([module.run])
        # Other threads of this process may have let go of a few
        assert frozen == 0 < 0.99 * held < gc.get_freeze_count()
    finally:
        gc.enable()
        gc.unfreeze()
