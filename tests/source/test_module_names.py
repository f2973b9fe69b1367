"""A name counts by all statements that bind or change it, and by its value; what is done at the top of a module, too.

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
    does_not: list[tuple[str, str, str]] = []


def project(m: str, **files: str) -> dict[str, str]:
    return {"m": m, **{name.replace("__", "/"): text for name, text in files.items()}}


PLAIN = "class Config:\n    def __init__(self, lr): self.lr = lr\n"
TWO = "def f(x): return x + 1\ndef g(x): return x * 5\n"
F = [("u", "x + 1", "x + 2")]

NAMES: dict[str, Case] = {
    "a library's class": Case(
        project("import numpy as np\nDTYPE = np.float64\ndef run(): return DTYPE"),
        [("m", "np.float64", "np.float32")], [("m", "= np", "= (np)")],
    ),
    "a builtin": Case(project("AGG = max\ndef run(x): return AGG(x)"), [("m", "max", "min")], [("m", "max", "(max)")]),
    "a library's class under another name": Case(
        project("from decimal import Decimal as OPT\ndef run(): return OPT(1)"),
        [("m", "from decimal import Decimal as", "from fractions import Fraction as")],
    ),
    "an import that may fail": Case(
        project("try:\n    import nowhere as j\nexcept ImportError:\n    import json as j\n"
                "def run(): return j.dumps(1)"),
        [("m", "json as", "pickle as")], [("m", "import json as j", "import os, json as j")],
    ),
    "defaults": Case(
        project("N = 1\ndef run(x, kind=float, n=N, key=lambda v: v): return kind(x)"),
        [("m", "=float", "=int"), ("m", "n=N", "n=1"), ("m", "lambda v: v", "lambda v: -v")],
    ),
    "what a default reads": Case(
        project("import u\ndef run(x, key=u.make(1)): return key", u="def make(n): return object()"),
        [("u", "object()", "[]"), ("m", "make(1)", "make(2)")],
    ),
    "the order of a dict": Case(
        project("def a(): return 1\ndef b(): return 2\nSTEPS = {'a': a, 'b': b}\ndef run(): return list(STEPS)"),
        [("m", "'a': a, 'b': b", "'b': b, 'a': a")], [("m", "'a': a, 'b'", "'a': a,  'b'")],
    ),
    "an instance of a plain class": Case(
        project(PLAIN + "CONFIG = Config(lr=1)\ndef run(): return CONFIG"), [("m", "lr=1", "lr=2")],
    ),
    "types that have no form": Case(
        project(
            "from typing import Literal, NewType, Annotated\nfrom types import SimpleNamespace as S\n"
            "from contextvars import ContextVar\nfrom struct import Struct\nfrom operator import itemgetter\n"
            "from string import Template\n"
            "A = Literal['a']\nB = NewType('B', int)\nC = Annotated[int, 1]\nD = S(x=1)\n"
            "E = ContextVar('E', default=1)\n"
            "F = Struct('i')\nG = itemgetter(1)\nH = Template('$a')\nclass Word(str): pass\nI = Word('x')\n"
            "def run(): return A, B, C, D, E, F, G, H, I"
        ),
        [("m", "'a'", "'b'"), ("m", "'B', int", "'B', str"), ("m", "int, 1", "int, 2"), ("m", "x=1", "x=2"),
         ("m", "default=1", "default=2"), ("m", "('i')", "('d')"), ("m", "itemgetter(1)", "itemgetter(2)"),
         ("m", "$a", "$b"), ("m", "'x'", "'y'")],
    ),
    "what is large": Case(
        project("X = 'x' * 70000\nY = list(range(70000))\ndef run(): return X, Y"),
        [("m", "'x' * 7", "'y' * 7"), ("m", "range(7", "range(8")],
    ),
    "names with two underscores": Case(
        project("import u\n__version__ = '1'\ndef run(): return __version__, u.__level__", u="__level__ = 1\n"),
        [("m", "= '1'", "= '2'"), ("u", "= 1", "= 2")],
    ),
    "all statements": Case(
        project(
            "import u\nT = dict\nT = u.new()\nT['a'] = 1\nT.x = 2\nT.update(b=3)\n"
            "for k in 'cd':\n    T[k] = 4\n    Z = 0\n"
            "if T:\n    T['e'] = 5\nelse:\n    T['e'] = 50\ntry:\n    T['f'] = 6\nexcept KeyError:\n    del T['f']\n"
            "with u.lock:\n    T['g'] = 7\nT['h'] += 8\nsetattr(T, 'i', 9)\n_ = T.pop('j', 10)\n"
            "def run(): return T",
            u="class Any(dict):\n    def __getitem__(self, k): return 0\ndef new(): return Any(z=object())\n"
            "import threading\nlock = threading.Lock()\n",
        ),
        [("m", "['a'] = 1", "['a'] = 0"), ("m", "T.x = 2", "T.x = 0"), ("m", "b=3", "b=0"), ("m", "'cd'", "'ce'"),
         ("m", "= 4", "= 0"), ("m", "if T", "if not T"), ("m", "= 5\n", "= 0\n"), ("m", "= 50", "= 51"),
         ("m", "= 6", "= 0"), ("m", "KeyError", "ValueError"), ("m", "u.lock:", "u.lock as _x:"), ("m", "= 7", "= 0"),
         ("m", "+= 8", "-= 8"), ("m", "'i', 9", "'i', 0"), ("m", "10)", "11)"), ("m", "T = dict", "T = list"),
         ("u", "z=object()", "y=object()")],
        [("m", "Z = 0", "Z = 1"), ("m", "T['a'] = 1", "T['a'] = (1)")],
    ),
    "a module that is imported inside a function": Case(
        project(
            "def run():\n    import u\n    return u.T, u.__version__",
            u="import mimetypes\nT = {}\nT['a'] = 1\nfor k in 'bc':\n    T[k] = 2\n    Z = 0\n"
            "T.update(d=3)\n__version__ = '4'\nmimetypes.add_type('a/b', '.m5')\n",
        ),
        [("u", "= 1", "= 0"), ("u", "'bc'", "'bd'"), ("u", "d=3", "d=0"), ("u", "'4'", "'5'"), ("u", ".m5", ".m6")],
        [("u", "Z = 0", "Z = 1")],
    ),
    "what another module changes": Case(
        project(
            "import settings, boot\ndef run(): return settings.RATE, settings.T, settings.M, settings.C().x",
            settings="class C: pass\nRATE = 1\nT = {}\nM = object()\n",
            boot="import settings\nfrom settings import C as D\nimport u\nsettings.RATE = 2\nsettings.T['x'] = u.f\n"
            "settings.M = [object(), 3]\nD.x = object(), 4\nUNUSED = 5\n",
            u=TWO,
        ),
        [("boot", "RATE = 2", "RATE = 3"), ("boot", "u.f", "u.g"), ("u", "x + 1", "x + 2"), ("boot", "), 3]", "), 4]"),
         ("boot", "), 4\n", "), 5\n"), ("settings", "M = object()", "M = (object(),)")],
        [("boot", "UNUSED = 5", "UNUSED = 6"), ("u", "x * 5", "x * 6")],
    ),
    "a value through the modules that import it": Case(
        project("from a import X as Y\ndef run(): return Y", a="from b import X", b="X = object(), 1\n"),
        [("b", "), 1", "), 2")],
        [("a", "import X", "import X  # again")],
    ),
    "a registry": Case(
        project(
            "R = {}\ndef register(f):\n    R[f.__name__] = f\n    return f\n@register\ndef a(): return 1\n"
            "def run(n): return R[n]()"
        ),
        [("m", "return 1", "return 2"), ("m", "R = {}", "R = dict()")],
    ),
    "a registry that is an object": Case(
        project(
            "from u import APP\n@APP.command('x')\ndef a(): return 1\ndef run(n): return APP.all[n]()",
            u="class App:\n    def __init__(self): self.all = {}\n    def command(self, name):\n"
            "        return lambda f: self.all.setdefault(name, f)\nAPP = App()\n",
        ),
        [("m", "return 1", "return 2"), ("m", "'x'", "'y'"), ("u", "setdefault", "get")],
    ),
    "methods that are called like changes": Case(
        project(
            "class Maths:\n    @staticmethod\n    def add(a, b): return a + b\n    def update(self, x): return x + 3\n"
            "MATHS = Maths()\nimport u\ndef run(): return Maths.add(1, 2), MATHS.update(1), u.pop(1)",
            u="def pop(x): return x - 1\n",
        ),
        [("m", "a + b", "a - b"), ("m", "x + 3", "x - 3"), ("u", "x - 1", "x - 2")],
    ),
    "what the code changes keeps its statements and its code": Case(
        project(
            "import u\nN = u.f(1)\nMODEL = None\ndef step(x): return x + 1\nCACHE = {'a': u.f}\n"
            "def use():\n    global N, step\n    N = 2\n    CACHE[1] = 2\n    step = u.g\n"
            "def run(): return N, step(1), CACHE",
            u=TWO,
        ),
        [("m", "N = u.f(1)", "N = u.f(2)"), ("m", "x + 1", "x + 3"), ("u", "x + 1", "x + 2"), ("m", "'a'", "'b'")],
    ),
    "later statements about a class or function": Case(
        project(
            "import u\nclass A: pass\nA.x = object(), 1\ndef f(): return f.y\nf.y = object(), 2\n"
            "h = u.keep(object(), 3)\ndef run(): return A().x, f(), h()",
            u="def keep(*a):\n    def inner(): return a\n    return inner\n",
        ),
        [("m", "), 1", "), 7"), ("m", "), 2", "), 7"), ("m", "), 3", "), 7")],
    ),
    "a comprehension, a lambda and a call in a constant": Case(
        project("from u import f\nX = [f(i) for i in range(3)]\nY = {'k': lambda v: f(v)}\nZ = str(f(1))\n"
                "def run(): return X, Y, Z", u=TWO),
        [*F, ("m", "range(3)", "range(4)")], [("u", "x * 5", "x * 6")],
    ),
}  # fmt: skip

EFFECTS: dict[str, Case] = {
    "libraries": Case(
        project(
            "import decimal, os, mimetypes, u\nfrom decimal import getcontext\n"
            "decimal.getcontext().rounding = 'ROUND_UP'\n"
            "getcontext().prec = 10\nos.environ['M_X'] = 'a'\nmimetypes.add_type('a/b', '.m1')\n"
            "for k in 'bc':\n    os.environ[f'M_{k}'] = 'd'\n"
            "def run(): return decimal.Decimal(1) / 3 + u.f(1)",
            u="import a\n" + TWO, a="import mimetypes\nmimetypes.add_type('a/b', '.a1')\n",
        ),
        [("m", "ROUND_UP", "ROUND_DOWN"), ("m", "10", "11"), ("m", "= 'a'", "= 'b'"), ("m", "'.m1'", "'.m2'"),
         ("m", "'bc'", "'bd'"), ("a", ".a1", ".a2"), ("m", "mimetypes.add_type('a/b', '.m1')\n", "")],
    ),
    "functions of the project": Case(
        project("import u, a\na.setup(u.f)\ndef run(): return a.X",
                a="X = []\ndef setup(f): X.append(f)\n", u=TWO),
        [*F, ("m", "setup(u.f)", "setup(u.g)"), ("a", "X.append(f)", "X.insert(0, f)")],
    ),
    "patches": Case(
        project("import colorsys, u\ncolorsys.dumps = u.f\nsetattr(colorsys, 'loads', u.g)\n"
                "def run(): return colorsys.dumps(1)", u=TWO),
        [*F, ("u", "x * 5", "x * 6"), ("m", "dumps = u.f", "dumps = u.g")],
    ),
    "what is no part of a result": Case(
        project(
            "import logging, warnings, sys, argparse, u\nlogging.captureWarnings(False)\n"
            "warnings.filterwarnings('ignore', 'nowhere to be seen')\n"
            "sys.path.append('nowhere')\nprint('x', file=sys.stderr)\nparser = argparse.ArgumentParser()\n"
            "parser.add_argument('--n')\nlog = logging.getLogger('m')\nlog.setLevel(1)\n"
            "if __name__ == '__main__':\n    sys.setrecursionlimit(5)\n"
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import nowhere\n    u.f(7)\n"
            "def run():\n    log.info('x')\n    return u.f(1)",
            u=TWO,
        ),
        [],
        [("m", "(False)", "(0)"), ("m", "to be seen", "to be found"), ("m", "nowhere')", "elsewhere')"),
         ("m", "'x', file", "'y', file"), ("m", "'--n'", "'--k'"), ("m", "setLevel(1)", "setLevel(2)"),
         ("m", "limit(5)", "limit(6)"), ("m", "u.f(7)", "u.f(8)")],
    ),
    "an object that is named": Case(
        project("import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--n')\n"
                "def run(): return parser.parse_args([])"),
        [("m", "'--n'", "'--k'")],
    ),
}  # fmt: skip

LOOKUPS: dict[str, Case] = {
    "import_module under another name": Case(
        project("from importlib import import_module as im\ndef run(): return im('u').f(1)", u=TWO), F,
        [("u", "x * 5", "x * 6")],
    ),
    "import_module by keyword": Case(
        project("import importlib\ndef run(): return importlib.import_module(name='u').f(1)", u=TWO), F
    ),
    "import_module relative": Case(
        project(
            "from pkg.t import run", pkg____init__="", pkg__u=TWO,
            pkg__t="from importlib import import_module\n"
            "def run(): return import_module('.u', package=__package__).f(1)\n",
        ),
        [("pkg/u", "x + 1", "x + 2")], [("pkg/u", "x * 5", "x * 6")],
    ),
    "import_module relative to another package": Case(
        project(
            "from importlib import import_module\ndef run(): return import_module('.u', 'pkg').f(1)\n",
            pkg____init__="", pkg__u=TWO,
        ),
        [("pkg/u", "x + 1", "x + 2")], [("pkg/u", "x * 5", "x * 6")],
    ),
    "import_module at the top": Case(
        project("import importlib\nu = importlib.import_module('u')\ndef run(): return u.f(1)", u=TWO), F
    ),
    "sys.modules": Case(
        project("import sys\nimport u\ndef h(): return 1\n"
                "def run(): return sys.modules[__name__].h(), sys.modules['u'].f(1)", u=TWO),
        [*F, ("m", "return 1", "return 2")], [("u", "x * 5", "x * 6")],
    ),
    "vars, __dict__, globals and getattr": Case(
        project(
            "import u\ndef a(): return 1\ndef b(): return 2\n"
            "def run(): return vars(u)['f'](1), u.__dict__['g'](1), globals()['a'](), globals().get('b')(), "
            "getattr(u, 'k', None)()",
            u=TWO + "def k(): return 3\ndef other(): return 4\n",
        ),
        [*F, ("u", "x * 5", "x * 6"), ("m", "return 1", "return 7"), ("m", "return 2", "return 7"),
         ("u", "return 3", "return 7")],
        [("u", "return 4", "return 7")],
    ),
    "attrgetter": Case(
        project("import operator, u\nfrom operator import attrgetter as get, methodcaller\n"
                "def run(): return operator.attrgetter('f')(u)(1), get('g')(u)(1)", u=TWO),
        [*F, ("u", "x * 5", "x * 6")],
    ),
    "a module in a list, dict, default or closure": Case(
        project(
            "import a, b, c, d\nL = [a]\nD = {'x': b}\ndef make(m):\n    def inner(): return m.f(1)\n    return inner\n"
            "inner = make(d)\ndef run(m=c): return L[0].f(1), D['x'].f(1), m.f(1), inner()",
            a=TWO, b=TWO, c=TWO, d=TWO,
        ),
        [("a", "x + 1", "x + 2"), ("b", "x + 1", "x + 2"), ("c", "x + 1", "x + 2"), ("d", "x + 1", "x + 2")],
    ),
}  # fmt: skip

CASES = {**NAMES, **EFFECTS, **LOOKUPS}
EDITS = [
    pytest.param(case.files, edit, counts, id=f"{name}: {edit[0]}: {edit[1]!r} -> {edit[2]!r}")
    for name, case in CASES.items()
    for counts, edits in ((True, case.counts), (False, case.does_not))
    for edit in edits
]


def of(module: ModuleType) -> Fingerprint:
    return fingerprint_of([module.run])


@pytest.mark.parametrize(("files", "edit", "counts"), EDITS)
def test_an_edit_counts_when_it_changes_what_a_name_stands_for(
    load: Load, files: dict[str, str], edit: tuple[str, str, str], counts: bool
) -> None:
    """A name counts by its statements and by its value, and nothing else counts."""
    name, old, new = edit
    assert old in files[name]
    edited = {**files, name: files[name].replace(old, new)}

    before, after = of(load(files)), of(load(edited))

    assert counts == (before.digest != after.digest), (before.texts, before.untracked)


@pytest.mark.parametrize("files", [pytest.param(case.files, id=name) for name, case in CASES.items()])
def test_the_same_code_has_the_same_fingerprint(load: Load, files: dict[str, str]) -> None:
    """It depends on the code only; also when it is taken again, and when the code is loaded again."""
    first = of(load(files))
    module = load(files)

    assert of(module) == of(module) == first
