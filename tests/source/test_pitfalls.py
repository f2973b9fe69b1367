"""Each pitfall by name: a change of what runs is noticed, and nothing else is.

A case is a project, and edits of it, `old -> new` in one of its modules. Asked for is `run` of module `m`.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import NamedTuple

import pytest

from taskproc.source.fingerprint import Fingerprint, fingerprint_of

Load = Callable[[Mapping[str, str]], ModuleType]


class Case(NamedTuple):
    """A project; edits (module, old, new) that count; edits that do not."""

    files: dict[str, str]
    counts: list[tuple[str, str, str]]
    does_not: list[tuple[str, str, str]]


UTILS = "def clean(x):\n    return x + 1  # one\n\ndef other(x):\n    return x * 5\n"
SEEN = [("utils", "x + 1", "x + 2")]
UNSEEN = [("utils", "# one", "# more"), ("utils", "x * 5", "x * 6")]


def project(m: str, **files: str) -> dict[str, str]:
    return {"m": m, **{name.replace("__", "/"): text for name, text in files.items()}}


CASES: dict[str, Case] = {
    "two lambdas on one line": Case(
        project("f, g = (lambda x: x + 1), (lambda x: x + 2)\ndef run(): return g(1)"),
        [("m", "x + 2", "x + 3"), ("m", "g(1)", "f(1)")],
        [("m", "x + 1)", "x + 7)"), ("m", "x + 2)", "(x + 2))")],
    ),
    "two equal lambdas on one line": Case(
        project("f, g = (lambda x: x + 1), (lambda x: x + 1)\ndef run(): return g(1)"),
        [("m", "x + 1)\ndef", "x + 3)\ndef")],
        [("m", "(lambda x: x + 1), ", "(lambda x: x + 7), ")],
    ),
    "lambdas in a table": Case(
        project("T = {'a': lambda x: x + 1, 'b': lambda x: x + 2}\ndef run(): return T['a'](1)"),
        [("m", "x + 1", "x + 3"),
         ("m", "'a': lambda x: x + 1, 'b': lambda x: x + 2", "'b': lambda x: x + 1, 'a': lambda x: x + 2")],
        [("m", "x + 1", "(x + 1)")],
    ),
    "a helper in the module": Case(
        project("def helper(): return 1\ndef unused(): return 5\ndef run(): return helper()"),
        [("m", "return 1", "return 2")],
        [("m", "return 5", "return 6"), ("m", "return 1", "'''Doc.'''; return 1"),
         ("m", "helper():", "helper() -> int:")],
    ),
    "from … import": Case(project("from utils import clean\ndef run(): return clean(1)", utils=UTILS), SEEN, UNSEEN),
    "from … import … as": Case(
        project("from utils import clean as c\ndef run(): return c(1)", utils=UTILS),
        [*SEEN, ("m", "clean as", "other as")], UNSEEN,
    ),
    "a module attribute": Case(project("import utils\ndef run(): return utils.clean(1)", utils=UTILS), SEEN, UNSEEN),
    "import … as": Case(project("import utils as u\ndef run(): return u.clean(1)", utils=UTILS), SEEN, UNSEEN),
    "a package's module": Case(
        project("import pkg.utils\ndef run(): return pkg.utils.clean(1)", pkg____init__="", pkg__utils=UTILS),
        [("pkg/utils", "x + 1", "x + 2")], [("pkg/utils", "x * 5", "x * 6")],
    ),
    "a module through an attribute of another": Case(
        project("import a\ndef run(): return a.utils.clean(1)", a="import utils", utils=UTILS), SEEN, UNSEEN
    ),
    "the same name from another module": Case(
        project("from a import f\nimport b\n"
                "def run(): return f() + b.f()", a="def f(): return 1", b="def f(): return 2"),
        [("m", "from a import f\nimport b", "from b import f\nimport b")], [("m", "import b", "import b  # again")],
    ),
    "what a library's name stands for": Case(
        project("from math import sin as f\ndef run(): return f(1)"),
        [("m", "sin as f", "cos as f")], [("m", "import sin", "import  sin")],
    ),
    "a module that another name stands for": Case(
        project("import a as u\nimport a, b\n"
                "def run(): return u.f() + a.f() + b.f()", a="def f(): return 1", b="def f(): return 2"),
        [("m", "import a as u", "import b as u")], [("a", "return 1", "return  1")],
    ),
    "a module as a value": Case(
        project("import utils\ndef run(): return vars(utils)", utils=UTILS),
        [*SEEN, ("utils", "x * 5", "x * 6")], [("utils", "# one", "")],
    ),
    "an import inside the function": Case(
        project("def run():\n    from utils import clean\n    return clean(1)", utils=UTILS), SEEN, UNSEEN
    ),
    "a module import inside the function": Case(
        project("def run():\n    import pkg.utils as u\n    return u.clean(1)", pkg____init__="", pkg__utils=UTILS),
        [("pkg/utils", "x + 1", "x + 2")], [("pkg/utils", "x * 5", "x * 6")],
    ),
    "what a module imported inside a function reaches": Case(
        project(
            "def run():\n    from a import f\n    return f()",
            a="import utils\nfrom b import *\nN = 1\ndef f(): return utils.clean(N) + g()",
            b="def g(): return 1",
            utils=UTILS,
        ),
        [*SEEN, ("a", "N = 1", "N = 2"), ("b", "return 1", "return 2")], UNSEEN,
    ),
    "a relative import inside the function": Case(
        project(
            "from pkg.task import run", pkg____init__="", pkg__utils=UTILS,
            pkg__task="def run():\n    from .utils import clean\n    from . import utils\n    return clean(1)",
        ),
        [("pkg/utils", "x + 1", "x + 2")], [("pkg/utils", "# one", "")],
    ),
    "import_module by a constant name": Case(
        project("import importlib\ndef run(): return importlib.import_module('utils').clean(1)", utils=UTILS), SEEN,
        [("utils", "# one", "")],
    ),
    "getattr by a constant name": Case(
        project("import utils\ndef run(): return getattr(utils, 'clean')(1)", utils=UTILS), SEEN, UNSEEN
    ),
    "a decorator with __wrapped__": Case(
        project(
            "import functools\ndef twice(f):\n    @functools.wraps(f)\n    def wrapper(*a):\n"
            "        return f(*a) * 2\n"
            "    return wrapper\n@twice\ndef helper(): return 1\ndef run(): return helper()"
        ),
        [("m", "* 2", "* 3"), ("m", "return 1", "return 7"), ("m", "@twice\n", "")], [("m", "* 2", "* 2  # twice")],
    ),
    "a decorator without __wrapped__": Case(
        project(
            "def twice(f):\n    def wrapper(*a):\n        return f(*a) * 2\n    return wrapper\n"
            "@twice\ndef helper(): return 1\ndef run(): return helper()"
        ),
        [("m", "* 2", "* 3"), ("m", "return 1", "return 7")], [("m", "* 2", "* (2)")],
    ),
    "a decorator with arguments": Case(
        project(
            "N = 2\ndef times(n):\n    def wrap(f):\n        return lambda: f() * n\n    return wrap\n"
            "@times(N)\ndef helper(): return 1\ndef run(): return helper()"
        ),
        [("m", "N = 2", "N = 3"), ("m", "f() * n", "f() ** n"), ("m", "return 1", "return 7")],
        [("m", "times(N)", "times( N )")],
    ),
    "a decorator that gives the function itself": Case(
        project("def note(f):\n    f.x = 1\n    return f\n@note\ndef run(): return 1"),
        [("m", "f.x = 1", "f.x = 2")], [("m", "return f\n", "return f  # itself\n")],
    ),
    "a decorator object": Case(
        project(
            "class Memo:\n    def __init__(self, f): self.f = f\n    def __call__(self): return self.f() + 1\n"
            "@Memo\ndef helper(): return 1\ndef run(): return helper()"
        ),
        [("m", "+ 1", "+ 2"), ("m", "return 1", "return 7")], [("m", "+ 1", "+ (1)")],
    ),
    "closures": Case(
        project(
            "def make(n, g):\n    def add(x): return g(x) + n\n    return add\ndef up(x): return x\n"
            "def down(x): return -x\n"
            "one, two = make(1, up), make(2, down)\ndef run(): return one(1) + two(1)"
        ),
        [("m", "make(1, up)", "make(3, up)"), ("m", "make(1, up)", "make(1, down)"), ("m", "+ n", "- n"),
         ("m", "make(1, up), make(2, down)", "make(2, down), make(1, up)"), ("m", "return -x", "return +x")],
        [("m", "def up(x): return x", "def up(x): return x\ndef aside(): return 0")],
    ),
    "defaults": Case(
        project("N = 1\ndef helper(): return 5\ndef f(a, x=N, y=2, *, z=helper): return x\ndef run(): return f(0)"),
        [("m", "N = 1", "N = 2"), ("m", "y=2", "y=3"), ("m", "x=N", "x=1"), ("m", "return 5", "return 6")],
        [("m", "N = 1", "N = (1)"), ("m", "y=2", "y: int=2")],
    ),
    "constants": Case(
        project(
            "import re\nfrom pathlib import Path\nN = 1\nT = {'a': [1, (2, None)]}\nP = re.compile('x')\n"
            "F = Path('a') / 'b'\n"
            "def run(): return N, T['a'], P, F"
        ),
        [("m", "N = 1", "N = 1.0"), ("m", "N = 1", "N = 2 - 1"), ("m", "None", "0"),
         ("m", "'x'", "'y'"), ("m", "'b'", "'c'")],
        [("m", "N = 1", "N: int = 1"), ("m", "Path('a') / 'b'", "(Path('a') / 'b')")],
    ),
    "constants of another module": Case(
        project("import conf\nfrom conf import B\ndef run(): return conf.A + B", conf="A = 1\nB = 2\nC = 3"),
        [("conf", "A = 1", "A = 2"), ("conf", "B = 2", "B = 3")], [("conf", "C = 3", "C = 4")],
    ),
    "partial": Case(
        project(
            "from functools import partial\ndef f(x, n): return x + n\ndef g(x, n): return x\n"
            "h = partial(f, n=1)\ndef run(): return h(1)"
        ),
        [("m", "n=1", "n=2"), ("m", "x + n", "x - n"), ("m", "partial(f", "partial(g")],
        [("m", "return x\n", "return -x\n")],
    ),
    "lru_cache": Case(
        project("from functools import lru_cache\n@lru_cache\ndef f(): return 1\ndef run(): return f()"),
        [("m", "return 1", "return 2"), ("m", "@lru_cache", "@lru_cache()")], [("m", "return 1", "return 1  # one")],
    ),
    "lru_cache by call": Case(
        project("from functools import lru_cache\ndef f(): return 1\ndef g(): return 3\nh = lru_cache(f)\n"
                "def run(): return h()"),
        [("m", "return 1", "return 2"), ("m", "cache(f)", "cache(g)")], [("m", "return 3", "return 4")],
    ),
    "singledispatch": Case(
        project(
            "from functools import singledispatch\n@singledispatch\ndef f(x): return 1\n"
            "@f.register(int)\ndef _(x): return 2\ndef run(): return f(1)"
        ),
        [("m", "return 1", "return 3"), ("m", "return 2", "return 3"), ("m", "(int)", "(str)")],
        [("m", "return 2", "return 2  # two")],
    ),
    "mutual recursion": Case(
        project("def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n != 0 and even(n - 1)\n"
                "def run(): return even(4)"),
        [("m", "n != 0 and", "n > 0 and"), ("m", "n == 0", "n < 1")], [("m", "n != 0 and", "(n != 0) and")],
    ),
    "conditional definitions": Case(
        project("import sys\nif sys.maxsize < 0:\n    def f(): return 1\nelse:\n    def f(): return 2\n"
                "def run(): return f()"),
        [("m", "return 2", "return 3")], [("m", "return 1", "return 4")],
    ),
    "conditional methods": Case(
        project(
            "class A:\n    if 1 > 2:\n        def f(self): return 1\n    else:\n        def f(self): return 2\n"
            "def run(): return A().f()"
        ),
        [("m", "return 2", "return 3")], [("m", "return 1", "return 4")],
    ),
    "a method of a class": Case(
        project("class A:\n    x: int\n    def f(self): return 1\n    def g(self): return 5\n"
                "def run(): return A().f()"),
        [("m", "return 1", "return 2"), ("m", "return 5", "return 6"), ("m", "x: int", "y: int"),
         ("m", "    x: int\n", "")],
        [("m", "x: int", "x: str"), ("m", "class A:\n", "class A:\n    'Doc.'\n"), ("m", "return 1", "return (1)")],
    ),
    "bases and super()": Case(
        project(
            "class Base:\n    def f(self): return 1\nclass B:\n    def f(self): return 9\n"
            "class A(Base):\n    def f(self): return super().f() + 5\ndef run(): return A().f()"
        ),
        [("m", "return 1", "return 2"), ("m", "+ 5", "+ 6"), ("m", "A(Base)", "A(Base, B)")],
        [("m", "return 9", "return 8")],
    ),
    "properties, static and class methods": Case(
        project(
            "from functools import cached_property\nclass A:\n    @property\n    def p(self): return 1\n"
            "    @p.setter\n"
            "    def p(self, x): self.x = 2\n    @staticmethod\n    def s(): return 3\n    @classmethod\n"
            "    def c(cls): return 4\n"
            "    @cached_property\n    def d(self): return 5\ndef run(): return A().p"
        ),
        [("m", "return 1", "return 7"), ("m", "= 2", "= 7"), ("m", "return 3", "return 7"),
         ("m", "return 4", "return 7"),
         ("m", "return 5", "return 7"), ("m", "staticmethod", "classmethod"), ("m", "    @cached_property\n", "")],
        [("m", "return 3", "return 3  # three"), ("m", "def d(self)", "def d(self) -> int")],
    ),
    "a decorated method": Case(
        project(
            "def loud(f):\n    def wrapper(self): return f(self) + 5\n    return wrapper\n"
            "class A:\n    @loud\n    def f(self): return 1\ndef run(): return A().f()"
        ),
        [("m", "return 1", "return 2"), ("m", "+ 5", "+ 6"), ("m", "    @loud\n", "")], [("m", "+ 5", "+ (5)")],
    ),
    "class attributes": Case(
        project("N = 1\nclass A:\n    n = N\n    m = {'a': 2}\n    def f(self): return self.n\nA.late = 3\n"
                "def run(): return A().f()"),
        [("m", "N = 1", "N = 7"), ("m", "'a': 2", "'a': 7"), ("m", "late = 3", "late = 7"),
         ("m", "late = 3", "other = 3")],
        [("m", "n = N", "n = 1"), ("m", "'a': 2", "'a': (2)")],
    ),
    "class attributes without a form": Case(
        project("def make(n):\n    return object()\nclass A:\n    n = make(1)\ndef run(): return A.n"),
        [("m", "make(1)", "make(2)"), ("m", "object()", "[]")], [("m", "make(1)", "make( 1)")],
    ),
    "a method that is set later": Case(
        project("class A: pass\ndef f(self): return 1\ndef g(self): return 2\nA.f = f\nA.g = g\n"
                "def run(): return A().f()"),
        [("m", "return 1", "return 7"), ("m", "A.f = f", "A.f = g")], [("m", "return 1", "return (1)")],
    ),
    "class decorators, keywords and metaclasses": Case(
        project(
            "def mark(c):\n    c.x = 1\n    return c\nclass Meta(type):\n    def f(cls): return 2\n"
            "@mark\nclass A(metaclass=Meta):\n    def g(self): return 3\ndef run(): return A().g()"
        ),
        [("m", "x = 1", "x = 7"), ("m", "return 2", "return 7"), ("m", "@mark\n", "")],
         [("m", "return 3", "return  3")],
    ),
    "nested functions and classes": Case(
        project(
            "def helper(): return 1\ndef run():\n    def inner():\n        class C:\n"
            "            def f(self): return helper() + 2\n"
            "        return C().f()\n    return inner()"
        ),
        [("m", "return 1", "return 7"), ("m", "+ 2", "+ 7")], [("m", "+ 2", "+ 2  # two")],
    ),
    "inner classes": Case(
        project("class A:\n    class B:\n        def f(self): return 1\n"
                "    def g(self): return self.B().f()\ndef run(): return A().g()"),
        [("m", "return 1", "return 7")], [("m", "return 1", "return (1)")],
    ),
    "generators and comprehensions": Case(
        project(
            "N = 3\ndef f(x): return x + 1\ndef g(x): return x > 2\n"
            "def run():\n    yield from (f(y) for y in range(N) if g(y))\n    return [x for x in ()]"
        ),
        [("m", "N = 3", "N = 4"), ("m", "x + 1", "x + 7"), ("m", "x > 2", "x > 7")], [("m", "x + 1", "(x + 1)")],
    ),
    "a local variable is not the global of that name": Case(
        project("x = 1\ny = 2\ndef run(x):\n    y = [x for x in x]\n    return y"),
        [("m", "return y", "return x")], [("m", "x = 1", "x = 7"), ("m", "y = 2", "y = 7")],
    ),
    "enums": Case(
        project("from enum import Enum\nclass E(Enum):\n    A = 1\n    B = 2\n    def f(self): return 3\n"
                "def run(): return E.A"),
        [("m", "A = 1", "A = 7"), ("m", "B = 2", "B = 7"), ("m", "return 3", "return 7"), ("m", "    B = 2\n", "")],
        [("m", "A = 1", "A = (1)")],
    ),
    "a member of an enum": Case(
        project("from enum import Enum\nclass E(Enum):\n    A = 1\n    B = 2\nX = E.A\ndef run(): return X"),
        [("m", "X = E.A", "X = E.B"), ("m", "A = 1", "A = 7")], [("m", "A = 1", "A = (1)")],
    ),
    "dataclasses": Case(
        project(
            "from dataclasses import dataclass, field\n@dataclass\nclass D:\n    a: int\n"
            "    b: list = field(default_factory=list)\n"
            "    c: int = 1\n    def f(self): return 2\nX = D(5)\ndef run(): return X.f()"
        ),
        [("m", "D(5)", "D(6)"), ("m", "c: int = 1", "c: int = 7"), ("m", "return 2", "return 7"),
         ("m", "=list)", "=dict)"),
         ("m", "@dataclass\n", "@dataclass(frozen=True)\n"), ("m", "c: int = 1", "c = 1"),
          ("m", "a: int", "a: str"), ("m", "c: int", "c: float")],
         [("m", "a: int", "a:  int"), ("m", "D(5)", "D((5))")],
    ),
    "named tuples": Case(
        project("from typing import NamedTuple\nclass P(NamedTuple):\n    x: int\n    y: int = 1\nX = P(5)\n"
                "def run(): return X"),
        [("m", "P(5)", "P(6)"), ("m", "y: int = 1", "y: int = 2"), ("m", "x: int", "x: str")],
        [("m", "x: int", "x:  int")],
    ),
    "a named tuple made by a call": Case(
        project("from collections import namedtuple\nP = namedtuple('P', 'x y')\nX = P(1, 2)\ndef run(): return X"),
        [("m", "P(1, 2)", "P(1, 3)"), ("m", "'x y'", "'x z'")], [("m", "'x y'", "('x y')")],
    ),
    "an enum made by a call": Case(
        project("from enum import Enum\nE = Enum('E', 'A B')\ndef run(): return E.A"),
        [("m", "'A B'", "'A C'"), ("m", "'A B'", "'B A'")], [("m", "'A B'", "('A B')")],
    ),
    "a default without a form": Case(
        project("def make(n): return object()\ndef run(x=make(1)): return x"),
        [("m", "make(1)", "make(2)")], [("m", "make(1)", "make( 1)")],
    ),
    "a class that its metaclass was called for": Case(
        project("class Meta(type):\n    def f(cls): return 1\nA = Meta('A', (), {})\ndef run(): return A.f()"),
        [("m", "return 1", "return 2")], [("m", "return 1", "return (1)")],
    ),
    "a function that a dataclass holds": Case(
        project(
            "from dataclasses import dataclass\n@dataclass\nclass D:\n    f: object\ndef g(): return 1\nX = D(g)\n"
            "def run(): return X.f()"
        ),
        [("m", "return 1", "return 2")], [("m", "return 1", "return (1)")],
    ),
    "a function that a name is bound to": Case(
        project("def f(): return 1\ndef g(): return 2\nh = f\ndef run(): return h() + f() + g()"),
        [("m", "h = f", "h = g")], [("m", "h = f", "h = (f)")],
    ),
    "attributes of functions": Case(
        project("def f(): return f.n\nf.n = 1\ndef run(): return f()"), [("m", "f.n = 1", "f.n = 2")],
            [("m", "f.n = 1", "f.n = (1)")]
    ),
    "bound methods": Case(
        project(
            "from dataclasses import dataclass\n@dataclass\nclass A:\n    n: int\n"
            "    def f(self): return self.n + 1\n"
            "f = A(5).f\ndef run(): return f()"
        ),
        [("m", "+ 1", "+ 2"), ("m", "A(5)", "A(6)")], [("m", "+ 1", "+ (1)")],
    ),
    "match statements": Case(
        project("N = 1\ndef run(x):\n    match x:\n        case [a, *b]: return a\n"
                "        case {'k': N}: return N\n        case _: return len"),
        [("m", "return a", "return b")], [("m", "N = 1", "N = 2")],
    ),
}  # fmt: skip

EDITS = [
    pytest.param(case.files, edit, counts, id=f"{name}: {edit[1]!r} -> {edit[2]!r}")
    for name, case in CASES.items()
    for counts, edits in ((True, case.counts), (False, case.does_not))
    for edit in edits
]


def of(module: ModuleType) -> Fingerprint:
    return fingerprint_of([module.run])


@pytest.mark.parametrize(("files", "edit", "counts"), EDITS)
def test_an_edit_counts_when_it_changes_what_runs(
    load: Load, files: dict[str, str], edit: tuple[str, str, str], counts: bool
) -> None:
    """Only code that is reached, and that now does something else, counts."""
    name, old, new = edit
    assert old in files[name]
    edited = {**files, name: files[name].replace(old, new)}

    before, after = of(load(files)), of(load(edited))

    assert counts == (before.digest != after.digest), (before.items, after.items, after.texts, after.untracked)


@pytest.mark.parametrize("files", [pytest.param(case.files, id=name) for name, case in CASES.items()])
def test_an_edit_that_is_taken_back_gives_the_fingerprint_back(load: Load, files: dict[str, str]) -> None:
    """It depends on the code only, also after earlier fingerprints; names are sorted, and each item has a text."""
    first = of(load(files))
    module = load({**files, "m": files["m"] + "\n"})

    assert of(module) == of(module) == first
    assert sorted(first.items) == list(first.items) == list(first.texts)
    assert not [words for words in first.untracked if "bytecode" in words]
