"""An import inside a function counts the same before and after its module is loaded, above all if it is a task."""
from __future__ import annotations

import importlib
from collections.abc import Mapping

import pytest

from taskproc.tasks.task_code import fingerprint
from tests.source.conftest import Load

TASK = "from taskproc import Task\n"
RUN = "    def run_task(self): return helper()\n"
HELPER = "def helper(): return 1\n"

# name: the files, and what run_task does with them
FORMS: Mapping[str, tuple[Mapping[str, str], str]] = {
    "task": ({"lib": f"{TASK}{HELPER}class Sub(Task):\n{RUN}"}, "from lib import Sub; return Sub()"),
    "task of the package": ({"lib": f"import taskproc as tp\n{HELPER}class Sub(tp.Task):\n{RUN}"},
                            "import lib; return lib.Sub()"),
    "task of its module": ({"lib": f"from taskproc.tasks.task import Task\n{HELPER}class Sub(Task):\n{RUN}"},
                           "import lib; return lib.Sub()"),
    "base task": ({"lib": f"{TASK}{HELPER}class Base(Task):\n{RUN}class Sub(Base): pass\nUSED = Sub\n"},
                  "import lib; return lib.Sub(), lib.USED"),
    "base elsewhere": ({"lib": "import base\nclass Sub(base.Base): pass\ndef make(): return Sub()\n",
                        "base": f"{TASK}{HELPER}class Base(Task):\n{RUN}"}, "import lib; return lib.make()"),
    "base by a star": ({"lib": "from base import *\nclass Sub(Base): pass\n",
                        "base": f"{TASK}{HELPER}class Base(Task):\n{RUN}"}, "import lib; return lib.Sub()"),
    "base in a package": ({"pkg/__init__": "from .base import Base\n", "pkg/base": f"{TASK}class Base(Task):\n{RUN}",
                           "pkg/sub": "from . import Base\nclass Sub(Base): pass\n"},
                          "import pkg.sub; return pkg.sub.Sub()"),
    "base under its own name": ({"lib": "from m import Main\nclass Sub(Main): pass\n"}, "import lib; return lib.Sub()"),
    "optional import": ({"lib": f"try:\n    {TASK}except ImportError: Task = object\nclass Sub(Task):\n{RUN}"},
                        "import lib; return lib.Sub()"),
    "generic": ({"lib": f"from typing import Generic, TypeVar\n{TASK}T = TypeVar('T')\n"
                        f"class Sub(Task, Generic[T]):\n{RUN}"}, "import lib; return lib.Sub()"),
    "bases in a circle": ({"lib": "import other\nclass Sub(other.A if 0 else object): pass\n",
                           "other": "class A: pass\nclass A(A): pass\n"}, "import lib, other; return lib.Sub, other.A"),
    "named of a task": ({"lib": f"{TASK}{HELPER}class Base(Task):\n    COLUMNS = [1]\n    @staticmethod\n"
                                f"    def split(): return 1, helper()\n{RUN}class Sub(Base): pass\n"},
                        "import lib; return lib.Sub.COLUMNS, lib.Sub.split()"),
    "function": ({"lib": "N = 3\ndef f(x=N): return x\n"}, "import lib; return lib.f()"),
    "class": ({"lib": "class A:\n    x = 1\n    def f(self): return self.x\n"}, "from lib import A; return A().f()"),
    "enum": ({"lib": "import enum\nclass E(enum.Enum):\n    A = 1\n    B = 2\n"}, "import lib; return lib.E.A"),
    "star": ({"lib": "from other import *\ndef f(): return g()\n", "other": "K = 1\ndef g(): return K\n"},
             "import lib; return lib.f() + lib.K"),
    "computed": ({"lib": "def __getattr__(name): return 3\n"}, "import lib; return lib.x"),
    "missing": ({"lib": "x = 1\n"}, "import lib; return lib.y"),
    "package": ({"pkg/__init__": "from . import sub\n", "pkg/sub": "from .other import h\ndef f(): return h()\n",
                 "pkg/other": "def h(): return 1\n"}, "import pkg.sub; return pkg.sub.f()"),
    "namespace": ({"pkg/sub": "def f(): return 1\n"}, "import pkg.sub; return pkg.sub.f()"),
    "shadowed": ({"pkg/__init__": "from pkg.sub import sub\nimport pkg.other\n", "pkg/sub": "def sub(): return 1\n",
                  "pkg/other": "def f(): return 1\n"}, "import pkg.other; return pkg.sub(), pkg.other.f()"),
    "whole": ({"lib": "x = 1\ny = [2]\ndef f(): return x\nclass A:\n    z = 1\n"}, "import lib; return lib"),
    "changed": ({"lib": "C = {}\ndef f(x): C[x] = 1; return C\n"}, "import lib; return lib.f(1), lib.C"),
    "conditional": ({"lib": "import sys\nif sys.platform == 'linux':\n    def f(): return 1\nelse:\n    f = len\n"},
                    "import lib; return lib.f()"),
}


def main(body: str) -> str:
    return f"{TASK}class Main(Task):\n    def run_task(self):\n        " + body.replace("; ", "\n        ") + "\n"


@pytest.mark.parametrize("form", FORMS)
def test_loading_changes_nothing(load: Load, form: str) -> None:
    """Items, texts and untracked entries are the same before and after a module is loaded."""
    files, body = FORMS[form]
    module = load({"m": main(body), **files})
    before = fingerprint(module.Main)

    for name in files:
        importlib.import_module(name.replace("/", ".").removesuffix(".__init__"))

    assert fingerprint(module.Main) == before


def items(load: Load, files: Mapping[str, str], body: str) -> Mapping[str, str]:
    return fingerprint(load({"m": main(body), **files}).Main).items


def test_another_task_does_not_count_though_it_is_imported_late(load: Load) -> None:
    """It has its own code, as if it were imported at the top."""
    files, body = FORMS["task"]

    assert items(load, files, body).keys() == {"m:Main", "m:Main.run_task"}


def test_what_is_named_of_another_task_counts(load: Load) -> None:
    """A constant or function of its class or of a base, with what this reads."""
    files, body = FORMS["named of a task"]
    text, old = files["lib"], items(load, files, body)

    for words in ("[1]", "split(): return 1", "helper(): return 1"):
        assert items(load, {"lib": text.replace(words, words.replace("1", "2"))}, body) != old
    assert items(load, {"lib": text.replace("run_task(self): return", "run_task(self): return 1 +")}, body) == old


def test_what_is_named_of_another_task_reads_its_neighbours(load: Load) -> None:
    """It may read names of the same class body."""
    text = f"{TASK}class Sub(Task):\n    FIRST = object()\n    SECOND = [FIRST]\n"

    texts = (text, text.replace("()", ""))

    old, new = (items(load, {"lib": some}, "import lib; return lib.Sub.SECOND") for some in texts)

    assert old["lib:Sub.SECOND"] == new["lib:Sub.SECOND"]
    assert old["lib:Sub.FIRST"] != new["lib:Sub.FIRST"]
