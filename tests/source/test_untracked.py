"""Names that cannot be followed are listed with place and reason, and do not count."""
from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import ModuleType

import pytest

from taskproc.source.fingerprint import fingerprint_of

Load = Callable[[Mapping[str, str]], ModuleType]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def run(x, n): return getattr(x, n)", "m:run calls getattr with a computed name"),
        ("def run(self, n): return getattr(self.x, n)", "m:run calls getattr with a computed name"),
        ("import importlib\ndef run(n): return importlib.import_module(n)",
         "m:run imports a module by a computed name"),
        ("from importlib import import_module as i, import_module\ndef run(n): return import_module(n)",
         "m:run imports a module by a computed name"),
        ("def run(n): return __import__(n)", "m:run imports a module by a computed name"),
        ("def run(n): return eval(n)", "m:run calls eval"),
        ("def run(n): exec(n)", "m:run calls exec"),
        ("def run(n): return [globals()[k] for k in n]", "m:run reads globals() by a computed name"),
        ("def run():\n    def inner(n): return eval(n)\n    return inner", "m:run calls eval"),
        ("X = object()\ndef run(): return X", None),
        ("import io\nX = io.StringIO()\ndef run(): return X", "m:X has no canonical form (_io.StringIO)"),
        ("def run():\n    import nowhere_at_all\n    nowhere_at_all.f()",
         "m:run imports nowhere_at_all, which was not found"),
        ("import sys\ndef __getattr__(name): return 1\ndef run(): return sys.modules[__name__]", None),
        ("N = 0\ndef run():\n    global N\n    N += 1", "m:N is changed by the code itself"),
        ("X = {}\ndef run(k): X[k] = 1", "m:X is changed by the code itself"),
        ("X = []\ndef add(k): X.append(k)\ndef run(): return X", "m:X is changed by the code itself"),
        ("X = {}\ndef run(k): del X[k]", "m:X is changed by the code itself"),
        ("X = {'a': []}\ndef run(k): X['a'] += [k]", "m:X is changed by the code itself"),
        ("X = []\ndef late():\n    X.sort()\ndef run(y=X): return X", "m:X is changed by the code itself"),
        ("def run(k, seen={}): seen[k] = 1", "m:run changes its own seen"),
        ("def make():\n    memo = {}\n    def f(k): memo[k] = 1\n    return f\nrun = make()",
         "m:make.<locals>.f changes its own memo"),
        ("def make():\n    n = 0\n    def f():\n        nonlocal n\n        n += 1\n    return f\nrun = make()",
         "m:make.<locals>.f changes its own n"),
        ("class A:\n    n = 0\n    @classmethod\n    def f(cls): cls.n += 1\ndef run(): return A.f()",
         "m:A.n is changed by the code itself"),
        ("class A:\n    n = []\n    def f(self): self.n.append(1)\ndef run(): return A().f()",
         "m:A.n is changed by the code itself"),
        ("class A:\n    n = 0\ndef f(): A.n = 1\ndef run(): return A.n", "m:A.n is changed by the code itself"),
        ("def f(): f.n += 1\nf.n = 0\ndef run(): f()", "m:f.n is changed by the code itself"),
    ],
)  # fmt: skip
def test_what_cannot_be_followed_is_listed(load: Load, text: str, words: str | None) -> None:
    """By name and reason; objects that hold nothing are not listed."""
    found = fingerprint_of([load({"m": text}).run]).untracked

    assert found == (() if words is None else (words,))


@pytest.mark.parametrize(
    "text",
    [
        "import logging\nX = logging.getLogger(__name__)\ndef run(): return X",
        "import threading\nX = threading.Lock()\ndef run(): return X",
        "from typing import TypeVar, Optional\nX = TypeVar('X')\nY = Optional[int]\ndef run(): return X, Y",
        "import numpy as np\nfrom numpy import sqrt\nX = np.int32(1)\ndef run(): return sqrt(X), np.random.rand()",
        "class A:\n    def f(self, n): return getattr(self, n)\ndef run(): return A",
        "import math, os.path\nfrom os import path\ndef run(): return math.sin(1), os.path.join, path.join, len",
        "class A:\n    x: int\n    def __init__(self): self.x = 1\ndef run(): return A()",
        "def run():\n    x = []\n    x.append(1)\n    y = {}\n    y[1] = 2\n    return x, y",
        "def make():\n    t = {}\n    t['a'] = 1\n    def f(): return t['a']\n    return f\nrun = make()",
        "def run(): return __name__, __file__",
    ],
)
def test_what_is_no_part_of_the_result_is_not_listed(load: Load, text: str) -> None:
    """Otherwise the list would be too long to be read."""
    assert fingerprint_of([load({"m": text}).run]).untracked == ()


def test_what_the_code_changes_does_not_count(load: Load) -> None:
    """A registry or memo depends on what has run before."""
    module = load({"m": "X = {}\ndef add(k): X[k] = 1\ndef run(): return X\ndef other(): return m.X\nimport m\n"})
    before = [fingerprint_of([thing]) for thing in (module.run, module.other)]

    module.add(1)

    assert [fingerprint_of([thing]) for thing in (module.run, module.other)] == before


def test_what_another_module_changes_does_not_count(load: Load) -> None:
    """Through the module's attribute, or under a name that is imported from it."""
    files = {
        "m": "import a\ndef run(): return a.add, a.put, reg.X, reg.Y, reg.N\nimport reg",
        "reg": "X = []\nY = []\nN = 0",
        "a": "import reg\nfrom reg import X as Z\ndef add(): Z.append(1)\n"
        "def put():\n    reg.Y.append(2)\n    reg.N = 5\n",
    }

    found = fingerprint_of([load(files).run]).untracked

    assert found == tuple(f"{place} is changed by the code itself" for place in ("reg:N", "reg:X", "reg:Y"))


def test_what_is_changed_by_code_that_is_met_later_does_not_count(load: Load) -> None:
    """Its value does not count any more; its statements still do."""
    files = {
        "m": "import a, reg\nT = {'a': a.put}\ndef run(): return reg.N, T",
        "reg": "N = 0",
        "a": "import reg\ndef put(): reg.N = 5",
    }
    found = fingerprint_of([load(files).run])

    assert list(found.items) == ["a:put", "m:T", "m:run", "reg:N"]
    assert found.untracked == ("reg:N is changed by the code itself",)


def test_nothing_of_the_users_is_run(load: Load) -> None:
    """No property, no __getattr__, __getattribute__, __hash__, __eq__ or __class__, and no import."""
    text = """
import sys
def fail(*a): raise AssertionError(a)
class Meta(type):
    __getattr__ = fail
class Strict:
    __getattr__ = __getattribute__ = __eq__ = __hash__ = __repr__ = __bool__ = __len__ = __iter__ = __call__ = fail
    __class__ = property(fail)
class Late(metaclass=Meta):
    p = property(fail)
    x = Strict()
class Descriptor:
    def __get__(self, *a): fail()
class D:
    d = Descriptor()
X, Y, Z = Strict(), [Strict()], {'a': (Strict(),)}
def __getattr__(name): fail()
def run(x=X):
    import never
    return X.y, Y, Z, Late, D, m.nothing
import m
run.x = X
"""
    module = load({"m": text, "never": "raise AssertionError\ndef f(): pass"})

    found = fingerprint_of([module.run])

    assert "never" not in __import__("sys").modules
    assert "m:nothing is not there, or is computed by its module" in found.untracked


@pytest.mark.parametrize("name", ["runpy", "ntpath", "__hello__", "importlib.util", "zipimport"])
def test_a_module_of_the_interpreter_is_not_missed(load: Load, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is frozen (since Python 3.11) or built in: it exists without a file."""
    monkeypatch.delitem(sys.modules, name, raising=False)

    found = fingerprint_of([load({"m": f"def run():\n    import {name} as a\n    return a.f"}).run])

    assert found.untracked == ()


@pytest.mark.parametrize(
    "text",
    [
        "from collections import namedtuple\nP = namedtuple('P', 'x y')",
        "from typing import NamedTuple\nclass P(NamedTuple):\n    x: int\n    y: int = 2",
        "from collections import namedtuple\nclass P(namedtuple('Q', 'x y')):\n    def f(self): return self.x",
        "from dataclasses import dataclass, field\n@dataclass(frozen=True)\nclass P:\n    x: int = field(repr=False)",
        "from dataclasses import dataclass\n@dataclass(order=True)\nclass P:\n    __slots__ = ('x',)\n    x: int",
    ],
)
def test_a_field_is_not_missed(load: Load, text: str) -> None:
    """This holds for named tuples and dataclasses on any Python."""
    assert fingerprint_of([load({"m": f"{text}\ndef run(): return P, P.x"}).run]).untracked == ()
