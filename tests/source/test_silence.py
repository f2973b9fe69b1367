"""No name that code reaches is dropped in silence: it has an item, or a package, or is listed."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType

import pytest

from taskproc.source.fingerprint import fingerprint_of

Load = Callable[[Mapping[str, str]], ModuleType]

OTHERS = {
    "u": "X = 1\n__version__ = '1'\ndef f(): return missing\n",
    "e": "import mimetypes\nmimetypes.add_type('a/b', '.e')\n",
}
# How `run` comes to something, and what must tell of it: the beginning of an item, a package, or words of a confession
FORMS = [
    ("X = 1\ndef run(): return X", "m:X"),
    ("X = object()\ndef run(): return X", "m:X"),
    ("X = max\ndef run(): return X", "m:X"),
    ("import numpy\nX = numpy.float64\ndef run(): return X", "m:X"),
    ("import numpy\ndef run(): return numpy.zeros(1)", "numpy"),
    ("from numpy import zeros as z\ndef run(): return z(1)", "numpy"),
    ("from numpy.random import *\ndef run(): return rand()", "numpy"),
    ("import numpy\ndef f(): pass\nX = numpy.vectorize(f)\ndef run(): return X(1)", "m:f"),
    ("def run():\n    import numpy as n\n    return n.zeros(1)", "numpy"),
    ("def run():\n    import numpy", "numpy"),
    ("def run():\n    import e", "module e (statements)"),
    ("class A:\n    import e\ndef run(): return A", "module e (statements)"),
    ("def run():\n    from u import X\n    return X", "u:X"),
    ("def run():\n    from u import nothing\n    return nothing", "m:run reads u:nothing, which is not there"),
    ("def run():\n    from u import f\n    return f()", "u:missing, which is not there"),
    ("def run(): return nothing", "m:run reads nothing, which is not there"),
    ("X = 1\ndel X\ndef run(): return X", "m:X"),
    ("import u\ndef run(): return u.nothing", "u:nothing is not there"),
    ("import u\ndef run(): return u.__version__", "u:__version__"),
    ("def make():\n    global X\n    X = 1\ndef run(): return X", "m:X is changed by the code itself"),
    ("X = []\ndef add(): X.append(1)\ndef run(): return X", "m:X"),
    ("def __getattr__(name): return 1\nimport m\ndef run(): return m.late", "m:__getattr__"),
    ("for i in range(3):\n    X = i, object()\ndef run(): return X", "m:X"),
    ("with open(__file__) as X: pass\ndef run(): return X", "m:X"),
    ("try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    X = e\ndef run(): return X", "m:X"),
    ("(X := object())\ndef run(): return X", "m:X"),
    ("match [object()]:\n    case [X]: pass\ndef run(): return X", "m:X"),
    ("import io\nglobals()['X'] = io.StringIO()\ndef run(): return X", "m:X"),
    ("import io\nexec('X = io.StringIO()')\ndef run(): return X", "m:X"),
    ("exec('X = object()')\ndef run(): return X", "module m (statements)"),
    ("import u\nu.X = object()\ndef run(): return u.X", "u:X (statements)"),
    ("import decimal\ndecimal.getcontext().prec = 28\ndef run(): return 1", "module m (statements)"),
    ("import os\nenv = os.environ\nenv['M_M'] = '1'\ndef run(): return 1", "module m (statements)"),
    ("try: import nowhere as d\nexcept ImportError: import decimal as d\nd.getcontext().prec = 28\ndef run(): return 1",
     "module m (statements)"),
    ("from contextvars import Context\nexec('X = Context()')\ndef run(): return X", "m:X has neither"),
    ("class A:\n    K = object()\ndef run(): return A.K", "m:A"),
    ("class A: pass\nclass B(A): pass\ndef run(): return A.__subclasses__()", "m:run looks for subclasses"),
    ("class A: pass\nclass B(A): pass\ndef run(): return A.__subclasses__()", "m:B"),
    ("class A:\n    l = []\n    def __init_subclass__(cls): A.l.append(cls)\nclass B(A): pass\ndef run(): return A.l",
     "m:B"),
    ("def load():\n    global X\n    from u import X\ndef run(): return X", "u:X"),
    ("def load():\n    global u\n    import u\ndef run(): return u.X", "u:X"),
    ("A = type('A', (), {'k': object()})\ndef run(): return A", "m:A (statements)"),
    ("def run(n): return getattr(run, n)", "m:run calls getattr"),
    ("import u\ndef run(n): return vars(u)[n]", "m:run reads a namespace by a computed name"),
    ("import u\ndef run(n): return u.__dict__[n]", "m:run reads a namespace by a computed name"),
    ("def run(n): return globals().get(n)", "m:run reads globals() by a computed name"),
    ("import sys\ndef run(n): return sys.modules[n]", "m:run reads sys.modules by a computed name"),
    ("import operator\ndef run(n): return operator.attrgetter(n)", "m:run calls attrgetter"),
    ("from operator import methodcaller as mc\ndef run(n): return mc(n)", "m:run calls methodcaller"),
    ("from importlib import import_module as im\ndef run(n): return im(n)",
     "m:run imports a module by a computed name"),
    ("import importlib\ndef run(n): return importlib.import_module(f'u.{n}')", "m:run imports a module"),
    ("import importlib\nX = importlib.import_module('o' + 's')\ndef run(): return X", "m:X imports a module"),
    ("import importlib.util\ndef run(n): return importlib.util.spec_from_file_location('a', n)",
     "m:run loads a module"),
    ("import runpy\ndef run(n): return runpy.run_path(n)", "m:run runs a file"),
    ("from importlib.metadata import entry_points as ep\ndef run(): return ep()", "m:run looks up entry points"),
    ("import pkgutil\ndef run(): return list(pkgutil.iter_modules())", "m:run looks for modules"),
    ("import builtins\ndef run(n): return builtins.eval(n)", "m:run calls eval"),
    ("import u\ndef run(n): setattr(u, n, 1)", "m:run sets attributes of a global by a computed name"),
    ("def make():\n    x = object()\n    def f(): return x\n    return f\ng = make()\ndef run(): return g()",
     "m:g (statements)"),
    ("import io\ndef make(): return io.StringIO()\ndef run(x=make()): return x", "m:run has a variable x"),
    ("import io\ndef make(): return io.StringIO()\ndef run(x=make()): return x", "m:make"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "telling"), FORMS)
def test_nothing_is_dropped_in_silence(load: Load, text: str, telling: str) -> None:
    """One case for each way in which code reaches a name."""
    found = fingerprint_of([load({"m": text, **OTHERS}).run])

    told = [*found.items, *found.packages, *found.untracked]
    assert [words for words in told if telling in words], told


@pytest.mark.parametrize(("text", "telling"), FORMS)
def test_what_is_listed_begins_with_a_place(load: Load, text: str, telling: str) -> None:
    """The place is `module:qualname` or the module; a phrase follows."""
    found = fingerprint_of([load({"m": text, **OTHERS}).run])

    for words in found.untracked:
        place, _, cause = words.partition(" ")
        assert place.partition(":")[0] in ("m", "u")
        assert cause


def test_packages_are_those_that_are_reached(load: Load) -> None:
    """By their import name, with the installed version; packages that only the module imports are not among them."""
    files = {
        "m": "import numpy as np, json, pytest\nfrom pandas import Series\nimport u\n"
        "def unused(): return pytest.raises\ndef run(x=Series):\n    import hypothesis\n    return np.sum, u.A",
        "u": "import ray\nA = 1\n",
    }
    import hypothesis
    import numpy as np
    import pandas

    found = fingerprint_of([load(files).run]).packages

    assert found == {"hypothesis": hypothesis.__version__, "numpy": np.__version__, "pandas": pandas.__version__}



ENDED = {
    "m": "import ends\nfrom ends import Raw, get, ALG\nRAW = Raw()\n"
    "def run(x):\n    raw = Raw()\n    return ALG['r'].K, Raw().h(), get().x, raw.late(), RAW.again(), Raw.named()\n",
    "ends": "class Raw:\n    K = 1\n    x = [2]\n    other = 3\n    def h(self): return self.deep() + 4\n"
    "    def deep(self): return helper() + 5\n    def late(self): return 6\n    def again(self): return 7\n"
    "    @classmethod\n    def named(cls): return cls.last\n    last = 8\n    def run_task(self): return 9\n"
    "def helper(): return 10\ndef get(): return Raw()\nALG = {'r': Raw}\n",
}


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ("K = 1", "K = 0", True), ("x = [2]", "x = [0]", True), ("other = 3", "other = 0", False), ("+ 4", "+ 0", True),
        ("+ 5", "+ 0", True), ("return 6", "return 0", True), ("return 7", "return 0", True),
        ("last = 8", "last = 0", True), ("return 9", "return 0", False), ("return 10", "return 0", True),
    ],
)  # fmt: skip
def test_what_is_read_of_a_class_that_is_not_followed_counts(load: Load, old: str, new: str, counts: bool) -> None:
    """In each way of reading it, with the attributes that this one reads; nothing else of the class counts."""

    def digest(files: dict[str, str]) -> str:
        module = load(files)
        return fingerprint_of([module.run], ends=lambda thing: thing is module.Raw).digest

    assert counts == (digest(ENDED) != digest({**ENDED, "ends": ENDED["ends"].replace(old, new)}))
