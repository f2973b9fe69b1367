"""What a class says counts: annotations that act, fields, functions in its body, and how it was made.

A case is a project, and edits of it, `old -> new` in one of its modules. Asked for is `run` of module `m`.
"""
from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import NamedTuple

import pytest

from taskproc.source.fingerprint import Fingerprint, fingerprint_of

Load = Callable[[Mapping[str, str]], ModuleType]


class Case(NamedTuple):
    """A project; edits (old, new) of module `m` that count; edits that do not."""

    text: str
    counts: list[tuple[str, str]]
    does_not: list[tuple[str, str]]
    needs: str = ""


LATER = "from __future__ import annotations\n"
CHECK = "def check(v): return v + 1\ndef tidy(v): return v + 5\n"

CASES: dict[str, Case] = {
    # ------------------------------------------------------------ annotations that act
    "a dataclass": Case(
        "from dataclasses import dataclass\nclass Inner:\n    def f(self): return 1\n"
        "@dataclass\nclass D:\n    a: int\n    b: float = 1.0\n    c: 'Inner' = None\ndef run(): return D(1)",
        [("a: int", "a: str"), ("b: float", "b: int"), ("return 1\n", "return 2\n")],
        [("a: int", "a:  int"), ("def run():", "def run() -> D:"), ("def f(self):", "def f(self) -> int:")],
    ),
    "a dataclass with annotations as text": Case(
        LATER + "from dataclasses import dataclass, field\nclass Inner:\n    def f(self): return 1\n"
        "@dataclass\nclass D:\n    a: int\n    b: Inner = None\ndef run(): return D(1)",
        [("a: int", "a: str"), ("return 1\n", "return 2\n")], [("a: int", "a : int")],
    ),
    "ClassVar, InitVar and KW_ONLY": Case(
        "from dataclasses import dataclass, InitVar, KW_ONLY\nfrom typing import ClassVar\n"
        "@dataclass\nclass D:\n    a: ClassVar[int] = 1\n    _: KW_ONLY\n    b: InitVar[int] = 2\n    c: int = 3\n"
        "    def __post_init__(self, b): self.d = b\ndef run(): return D(1)",
        [("ClassVar[int]", "int"), ("_: KW_ONLY", "_: int"), ("InitVar[int]", "int"), ("    _: KW_ONLY\n", "")],
        [],
    ),
    "a dataclass by a decorator of the user's": Case(
        "import dataclasses\ndef data(cls): return dataclasses.dataclass(cls, frozen=True)\n"
        "@data\nclass D:\n    a: int\ndef run(): return D(1)",
        [("a: int", "a: str"), ("frozen=True", "frozen=False")], [],
    ),
    "options of a dataclass and its fields": Case(
        "from dataclasses import dataclass, field\n@dataclass(order=True)\nclass D:\n"
        "    a: int = field(default=1, compare=False)\n    b: list = field(default_factory=list, repr=False)\n"
        "def run(): return D(1)",
        [("order=True", "order=False"), ("compare=False", "compare=True"), ("repr=False", "repr=True"),
         ("default=1", "default=2"), ("=list", "=dict"), ("(order=True)", "(order=True, slots=True)")],
        [("compare=False", "compare = False")],
    ),
    "attrs": Case(
        CHECK + "import attr, attrs\nfrom attrs import define, field\nclass Inner:\n    def f(self): return 1\n"
        "@define\nclass D:\n    a: int\n    b: Inner = None\n    c: int = field(default=1, converter=check)\n"
        "@attr.s\nclass E:\n    d: int = attr.ib(default=2)\ndef run(): return D(1), E()",
        [("a: int", "a: str"), ("return 1\n", "return 2\n"), ("v + 1", "v + 2"), ("default=1", "default=7"),
         ("d: int", "d: str"), ("default=2", "default=7")],
        [("v + 5", "v + 6")], "attrs",
    ),
    "functions in the fields of attrs": Case(
        CHECK + "def other(i, a, v): return 9\nfrom attrs import define, field\n@define\nclass D:\n"
        "    a: int = field(converter=lambda v: check(v))\n"
        "    b: int = field(default=1, validator=lambda i, a, v: other(i, a, v))\n"
        "    c: list = field(factory=lambda: [tidy(1)])\n"
        "    d: int = field(default=2)\n"
        "    @d.validator\n    def _far(self, attribute, value): return 11\n"
        "def run(): return D(1)",
        [("v + 1", "v + 2"), ("v + 5", "v + 6"), ("return 9", "return 8"), ("return 11", "return 12"),
         ("[tidy(1)]", "[tidy(2)]")],
        [("v + 1", "(v + 1)")], "attrs",
    ),
    "pydantic": Case(
        CHECK + "from typing import Annotated\nfrom pydantic import BaseModel, BeforeValidator, Field\n"
        "from pydantic import field_validator\n"
        "class Inner(BaseModel):\n    z: int\n    def f(self): return 7\n"
        "class D(BaseModel):\n    a: int\n    b: Annotated[int, Field(gt=0)] = 3\n"
        "    c: Annotated[int, BeforeValidator(check)] = 1\n"
        "    d: Annotated[int, BeforeValidator(lambda v: tidy(v))] = 1\n    e: list[Inner] = []\n"
        "    f: 'list[Inner]' = []\n"
        "    @field_validator('a')\n    def _a(cls, v): return v * 3\ndef run(): return D(a=1)",
        [("a: int", "a: str"), ("gt=0", "gt=1"), ("v + 1", "v + 2"), ("v + 5", "v + 6"), ("z: int", "z: str"),
         ("return 7", "return 8"), ("v * 3", "v * 4"), ("_validator('a')", "_validator('a', mode='before')"),
         ("] = 3", "] = 4")],
        [("v + 1", "(v + 1)"), ("def f(self):", "def f(self) -> int:")], "pydantic",
    ),
    "pydantic with annotations as text": Case(
        LATER + CHECK + "from typing import Annotated\nfrom pydantic import BaseModel, AfterValidator\n"
        "class Inner(BaseModel):\n    z: int\n"
        "class D(BaseModel):\n    a: int\n    c: Annotated[int, AfterValidator(check)] = 1\n    e: list[Inner] = []\n"
        "    d: Annotated[int, AfterValidator(lambda v: tidy(v))] = 1\n"
        "def run(): return D(a=1)",
        [("a: int", "a: str"), ("v + 1", "v + 2"), ("z: int", "z: str"), ("v + 5", "v + 6")], [], "pydantic",
    ),
    "the configuration of a model": Case(
        "from pydantic import BaseModel, ConfigDict, PrivateAttr, computed_field\nclass D(BaseModel):\n"
        "    model_config = ConfigDict(frozen=True)\n    a: int\n"
        "    _p: int = PrivateAttr(default_factory=lambda: make())\n"
        "    @computed_field\n    @property\n    def area(self) -> int: return 2\n"
        "def make(): return 3\ndef run(): return D(a=1)",
        [("frozen=True", "frozen=False"), ("return 3", "return 4"), ("return 2", "return 5"), ("-> int", "-> float")],
        [], "pydantic",
    ),
    "a model inherited": Case(
        "from pydantic import BaseModel\nclass A(BaseModel):\n    a: int\nclass B(A):\n    b: int\n"
        "def run(): return B(a=1, b=2)",
        [("a: int", "a: str"), ("b: int", "b: str")], [], "pydantic",
    ),
    "NamedTuple": Case(
        "from typing import NamedTuple\nclass P(NamedTuple):\n    x: int\n    y: int = 1\ndef run(): return P(5)",
        [("x: int", "x: str"), ("y: int = 1", "y: int = 2"), ("x: int", "z: int")], [],
    ),
    "TypedDict": Case(
        "from typing import TypedDict\nclass P(TypedDict, total=False):\n    x: int\n    y: int\n"
        "def run(): return P(x=5)",
        [("x: int", "x: str"), ("total=False", "total=True")], [],
    ),
    "a plain class": Case(
        "from enum import Enum\nfrom abc import ABC\nclass A(ABC):\n    x: int\n    y: int = 2\n"
        "    def f(self, k: int = 1) -> int:\n        z: int = 3\n        return z\n"
        "class E(Enum):\n    A: int = 1\ndef run(): return A().f(), E.A",
        [("    x: int\n", ""), ("y: int = 2", "y: int = 3")],
        [("x: int", "x: str"), ("y: int", "y: float"), ("k: int", "k"), (" -> int", ""), ("z: int", "z"),
         ("A: int", "A: str")],
    ),
    "singledispatch by annotation": Case(
        "from functools import singledispatch\nclass K:\n    def f(self): return 8\n"
        "@singledispatch\ndef f(x): return 1\n@f.register\ndef _(x: int): return 2\n"
        "@f.register\ndef _(x: K): return 3\ndef run(): return f(1)",
        [("x: int", "x: str"), ("return 2", "return 4"), ("return 8", "return 9")], [("f(x):", "f(x: int):")],
    ),
    "singledispatchmethod by annotation": Case(
        "from functools import singledispatchmethod\nclass A:\n    @singledispatchmethod\n"
        "    def f(self, x): return 1\n"
        "    @f.register\n    def _(self, x: int): return 2\n    @f.register(float)\n    def _(self, x): return 3\n"
        "def run(): return A().f(1)",
        [("x: int", "x: str"), ("return 2", "return 4"), ("return 3", "return 4"), ("(float)", "(str)")], [],
    ),
    "types registered by a call": Case(
        "from functools import singledispatch\n@singledispatch\ndef f(x): return 1\nclass K:\n"
        "    def h(self): return 4\ndef g(x): return 2\nf.register(int, g)\nf.register(K, g)\ndef run(): return f(1)",
        [("int,", "str,"), ("return 4", "return 5"), ("return 2", "return 3")], [],
    ),
    "a class inside a function": Case(
        CHECK + "def run():\n    from dataclasses import dataclass\n    @dataclass\n    class D:\n        a: int = 1\n"
        "        b: 'list[Inner]' = None\n    class P:\n        c: int = 1\n"
        "    def inner(d: int): return d\n    return D(), inner\nclass Inner:\n    def f(self): return 1\n",
        [("a: int", "a: str"), ("return 1", "return 2")], [("c: int", "c: str"), ("d: int", "d: str")],
    ),
    "validate_call": Case(
        CHECK + "from typing import Annotated\nfrom pydantic import validate_call, AfterValidator\n"
        "@validate_call\ndef g(x: int, y: Annotated[int, AfterValidator(check)] = 1) -> int: return x\n"
        "def h(x: int): return x\nh2 = validate_call(h)\n"
        "def run(): return g(1), h2(3)",
        [("g(x: int", "g(x: str"), ("v + 1", "v + 2"), ("h(x: int)", "h(x: str)")], [("v + 5", "v + 6")], "pydantic",
    ),
    "get_type_hints": Case(
        "from typing import get_type_hints\nclass T: pass\nclass A:\n    x: int\n    def f(self, y: int): return 1\n"
        "def g(x: int) -> 'T': return 1\ndef run(): return get_type_hints(g), A",
        [("g(x: int)", "g(x: str)"), ("    x: int", "    x: str"), ("y: int", "y: str"), ("'T'", "int"),
         ("class T: pass", "class T: k = 1")],
        [],
    ),
    "__annotations__": Case(
        "class A:\n    x: int\ndef run(): return A.__annotations__", [("x: int", "x: str")], [],
    ),
    "signature": Case(
        "import inspect\ndef g(x: int) -> int: return 1\n"
        "def run(): return [p.annotation for p in inspect.signature(g).parameters.values()]",
        [("x: int", "x: str"), ("-> int", "-> str")], [],
    ),
    "annotations that a metaclass reads": Case(
        "class Meta(type):\n    def __new__(m, n, b, d):\n        c = super().__new__(m, n, b, d)\n"
        "        c.fields = list(d.get('__annotations__', {}).items())\n        return c\n"
        "class A(metaclass=Meta):\n    x: int\ndef run(): return A", [("x: int", "x: str")], [],
    ),
    "annotations that nobody reads": Case(
        "def g(x: int, *a: int, k: int = 1, **w: int) -> int: return 1\ndef run(): return g(1)", [],
        [("-> int", "-> str"), ("x: int", "x"), ("*a: int", "*a"), ("k: int", "k"), ("**w: int", "**w")],
    ),
    # ------------------------------------------------------------ docstrings
    "a docstring that is read": Case(
        "class A:\n    'One.'\n    def f(self):\n        'Two.'\ndef g():\n    'Three.'\n"
        "def run(): return A.__doc__, g",
        [("'One.'", "'1'")], [("'Three.'", "'3'"), ("'Two.'", "'2'")],
    ),
    "a docstring of its own": Case(
        "class A:\n    'One.'\n    def f(self): return self.__doc__\ndef g():\n    'Three.'\n"
        "def run(): return A().f(), g",
        [("'One.'", "'1'"), ("'Three.'", "'3'")], [],
    ),
    "the docstring of a module": Case("'Head.'\ndef run(): return __doc__", [("Head", "Foot")], []),
    "the docstring of another module": Case(
        "import m as other\n'''Not a docstring.'''\ndef g():\n    'Three.'\n"
        "def run(): return g.__doc__",
        [("Three", "3")], [("Not", "No")],
    ),
    "getdoc": Case(
        "import inspect\nclass A:\n    'One.'\n    def f(self):\n        'Two.'\ndef run(): return inspect.getdoc(A)",
        [("'One.'", "'1'")], [],
    ),
    "docstrings that nobody reads": Case(
        "class A:\n    'One.'\ndef g():\n    'Three.'\ndef run(): return A, g()", [],
        [("'One.'", "'1'"), ("'Three.'", "'3'"), ("    'One.'\n", "    pass\n")],
    ),
    # ------------------------------------------------------------ bodies of classes
    "a lambda in a field": Case(
        "from dataclasses import dataclass, field\nDEFAULTS = {'a': 1}\n@dataclass\nclass D:\n"
        "    a: dict = field(default_factory=lambda: dict(DEFAULTS))\ndef run(): return D()",
        [("'a': 1", "'a': 2"), ("dict(DEFAULTS)", "list(DEFAULTS)")], [("'a': 1", "'a':  1")],
    ),
    "two lambdas in a body": Case(
        "from dataclasses import dataclass, field\n@dataclass\nclass D:\n"
        "    a: dict = field(default_factory=lambda: [1])\n    b = lambda self: 5\n    c = staticmethod(lambda: 6)\n"
        "def run(): return D()",
        [("[1]", "[2]"), ("5", "7"), ("6", "7")], [],
    ),
    "a comprehension in a body": Case(
        "def f(x): return object()\nN = 3\nclass A:\n    t = [f(x) for x in range(N)]\n"
        "    u = {k: object() for k in range(N)}\ndef run(): return A.t",
        [("object()\nN", "[]\nN"), ("N = 3", "N = 4")], [],
    ),
    "attributes set later": Case(
        "def f(n): return object()\nclass A: pass\nA.k = f(3)\nA.t = {}\nA.t['x'] = 1\nA.t.update(y=2)\n"
        "setattr(A, 'z', f(4))\nfor n in 'ab': setattr(A, n, f(5))\nif A.t:\n    A.w = object\n"
        "def run(): return A",
        [("f(3)", "f(7)"), ("object()\n", "[]\n"), ("= 1", "= 7"), ("y=2", "y=7"), ("f(4)", "f(7)"), ("f(5)", "f(7)"),
         ("'z'", "'v'"), ("'ab'", "'ac'"), ("A.w = object", "A.w = int")],
        [("f(3)", "f( 3)")],
    ),
    "what stands beside what is set later": Case(
        "from contextlib import nullcontext\ndef f(n): return object()\ndef note(x): return 9\n"
        "class A:\n    @classmethod\n    def fill(cls, n): cls.t = n\n    def go(self): return 2\n"
        "with nullcontext():\n    found = note(1)\n    A.k = f(3)\n    note(found)\nA.fill(object())\nA().go()\n"
        "A.mro()\ndef run(): return A",
        [("f(3)", "f(4)"), ("A.fill(object())", "A.fill([])"), ("return 2", "return 3"), ("note(1)", "note(2)"),
         ("return 9", "return 8"), ("A().go()", "A().go")],
        [],
    ),
    "a wrapper set later": Case(
        "def f(*a): return 1\nclass A: pass\nA.k = property(f)\ndef run(): return A",
        [("property", "staticmethod"), ("return 1", "return 2")], [],
    ),
    "what a statement in a body changes": Case(
        "N = 1\nclass A:\n    t = {}\n    t['a'] = N\n    for k in 'xy': t[k] = object()\ndef run(): return A",
        [("N = 1", "N = 2"), ("'xy'", "'xz'")], [],
    ),
    "attributes set by a class decorator": Case(
        "def f(n): return object()\ndef mark(c):\n    c.k = f(3)\n    return c\n@mark\nclass A: pass\n"
        "def run(): return A",
        [("f(3)", "f(4)"), ("object()", "[]")], [],
    ),
    "attributes set by __init_subclass__": Case(
        "def f(n): return object()\nclass B:\n    def __init_subclass__(cls, n=0): cls.k = f(n)\n"
        "class A(B, n=1): pass\n"
        "def run(): return A",
        [("n=1", "n=2"), ("object()", "[]")], [],
    ),
    "attributes set by a metaclass": Case(
        "class M(type):\n    def __init__(c, n, b, d): c.k = object()\nclass A(metaclass=M): pass\ndef run(): return A",
        [("object()", "[]")], [],
    ),
    "methods of one name that a registry keeps": Case(
        "T = {}\ndef on(k):\n    def wrap(f):\n        T.setdefault(k, f)\n        return f\n    return wrap\n"
        "def g(): return 5\n"
        "class A:\n    @on('a')\n    def _(self): return 1\n    @on('b')\n    def _(self): return g()\n"
        "    @on('c')\n    def _(self): return 3\ndef run(): return A",
        [("return 1", "return 7"), ("return 5", "return 7"), ("return 3", "return 7")], [],
    ),
    "properties and descriptors": Case(
        "from functools import cached_property, partialmethod, lru_cache\nfrom operator import attrgetter\n"
        "def h(self, n): return 6\n"
        "class Field:\n    def __init__(self, f): self.f = f\n    def __set_name__(self, o, n): self.n = n\n"
        "    def __get__(self, o, t): return 4\n"
        "class A:\n    __slots__ = ('x', 'y')\n    __match_args__ = ('x',)\n    p = property(lambda self: 1)\n"
        "    d = Field(lambda: 5)\n    m = partialmethod(h, 7)\n    @lru_cache\n    def c(self): return 8\n"
        "    get = attrgetter('x')\ndef run(): return A",
        [(": 1)", ": 2)"), ("return 4", "return 9"), (": 5)", ": 9)"), ("return 6", "return 9"), ("h, 7", "h, 9"),
         ("return 8", "return 9"), ("'x', 'y'", "'x', 'z'"), ("('x',)", "('y',)"),
         ("attrgetter('x')", "attrgetter('y')"),
         ("self.n = n", "self.n = 0")],
        [],
    ),
    "a private slot of a base": Case(
        "class B:\n    __slots__ = ('__k',)\nclass A(B):\n    __slots__ = ()\ndef run(): return A",
        [("'__k'", "'__j'")], [],
    ),
    "slots by name": Case(
        "NAMES = ('a', 'b')\nclass A:\n    __slots__ = NAMES\ndef run(): return A", [("'a', 'b'", "'a', 'c'")], [],
    ),
    "libraries' classes and functions as attributes": Case(
        "import math\nfrom collections import OrderedDict as D, Counter\nclass A:\n    kind = float\n    f = math.sin\n"
        "    d = D\ndef run(): return A",
        [("float", "int"), ("math.sin", "math.cos"), ("OrderedDict as D", "defaultdict as D")], [],
    ),
    "nested classes": Case(
        "from dataclasses import dataclass\nclass A:\n    class Meta:\n        order = 1\n    @dataclass\n"
        "    class D:\n"
        "        x: int\ndef run(): return A",
        [("order = 1", "order = 2"), ("x: int", "x: str")], [],
    ),
    # ------------------------------------------------------------ enums
    "enums in another order": Case(
        "from enum import Enum\nclass E(Enum):\n    A = 1\n    B = 2\n    C = 3\ndef run(): return list(E)",
        [("A = 1\n    B = 2", "B = 2\n    A = 1"), ("A = 1\n    B = 2", "A = 2\n    B = 1")], [("A = 1", "A = (1)")],
    ),
    "enums of auto, objects and functions": Case(
        "from enum import Enum, auto, member\nclass V:\n    def __init__(self, n): self.n = n\n"
        "    def f(self): return 4\n"
        "class E(Enum):\n    A = auto()\n    B = auto()\n    C = V(3)\n    def go(self): return 5\ndef run(): return E",
        [("A = auto()\n    B = auto()", "B = auto()\n    A = auto()"), ("V(3)", "V(5)"), ("return 4", "return 7"),
         ("return 5", "return 7")], [], "enum:member",
    ),
    "flags": Case(
        "from enum import Flag, IntFlag, auto\nclass F(Flag):\n    A = 1\n    B = 2\n    AB = A | B\n"
        "class G(IntFlag):\n    X = auto()\n    Y = auto()\ndef run(): return F, G",
        [("A | B", "B"), ("A = 1\n    B = 2", "A = 2\n    B = 1"), ("X = auto()\n    Y", "Y = auto()\n    X"),
         ("(IntFlag)", "(Flag)")], [],
    ),
    "hooks of an enum": Case(
        "from enum import Enum, auto\nclass E(Enum):\n    _ignore_ = ['z']\n    z = 1\n"
        "    def _generate_next_value_(name, *a): return name.upper()\n"
        "    A = auto()\n    @classmethod\n    def _missing_(cls, v): return cls.A\ndef run(): return E",
        [("return cls.A", "return None"), ("name.upper()", "name.lower()")], [],
    ),
    # ------------------------------------------------------------ classes made by calls
    "make_dataclass": Case(
        "from dataclasses import make_dataclass, field\ndef area(self): return 1\n"
        "D = make_dataclass('D', [('a', int), ('b', float, field(default=2, compare=False))],\n"
        "    namespace={'area': area}, order=True)\ndef run(): return D(1)",
        [("('a', int)", "('a', str)"), ("'a'", "'z'"), ("default=2", "default=3"), ("compare=False", "compare=True"),
         ("return 1\n", "return 2\n"), ("order=True", "order=False")], [("int)", "int )")],
    ),
    "new_class": Case(
        "import types\nclass B:\n    def f(self): return 1\nclass C: pass\n"
        "D = types.new_class('D', (B,), {}, lambda d: d.update(k=2))\ndef run(): return D",
        [("return 1", "return 2"), ("k=2", "k=3"), ("(B,)", "(B, C)")], [],
    ),
    "type": Case(
        "import collections\nclass B:\n    def f(self): return 1\nclass C: pass\ndef g(self): return 4\n"
        "D = type('D', (B,), {'k': 2, 'o': object(), 'g': g, 'h': lambda self: 6})\n"
        "L = type('L', (dict,), {})\ndef run(): return D, L",
        [("return 1", "return 2"), ("'k': 2", "'k': 3"), ("(B,)", "(B, C)"), ("object()", "[]"),
         ("return 4", "return 5"),
         (": 6", ": 7"), ("(dict,)", "(list,)"), ("(dict,)", "(collections.OrderedDict,)")], [],
    ),
    "a class that a function makes": Case(
        "def make(n):\n    class D:\n        k = object()\n        def f(self): return 1\n"
        "        g = staticmethod(lambda: n)\n    D.late = [n, object()]\n    return D\nX = make(3)\n"
        "def run(): return X",
        [("make(3)", "make(4)"), ("return 1", "return 2"), ("k = object()", "k = []"),
         ("[n, object()]", "[n, []]")], [],
    ),
    "create_model": Case(
        CHECK + "from typing import Annotated\nfrom pydantic import create_model, BeforeValidator, BaseModel\n"
        "class B(BaseModel):\n    z: int = 9\n"
        "D = create_model('D', __base__=B, a=(int, 2), b=(Annotated[int, BeforeValidator(check)], 3))\n"
        "def run(): return D()",
        [("(int, 2)", "(str, 2)"), ("(int, 2)", "(int, 4)"), ("v + 1", "v + 2"), ("z: int", "z: str")],
        [("v + 5", "v + 6")], "pydantic",
    ),
    "a generic model": Case(
        "from typing import Generic, TypeVar\nfrom pydantic import BaseModel\nT = TypeVar('T')\n"
        "class R(BaseModel, Generic[T]):\n    x: T\nX = R[int]\ndef run(): return X(x=1)",
        [("R[int]", "R[str]"), ("x: T", "x: list[T]")], [], "pydantic",
    ),
    "namedtuple": Case(
        "from collections import namedtuple\nP = namedtuple('P', 'x y', defaults=[1])\ndef run(): return P(1, 2)",
        [("'x y'", "'x z'"), ("'x y'", "'y x'"), ("[1]", "[2]")], [],
    ),
    "NamedTuple by a call": Case(
        "from typing import NamedTuple\nP = NamedTuple('P', [('x', int)])\ndef run(): return P(1)",
        [("int", "str"), ("'x'", "'y'")], [],
    ),
    "Enum by a call": Case(
        "from enum import Enum\nE = Enum('E', 'A B')\ndef run(): return list(E)",
        [("'A B'", "'B A'"), ("'A B'", "'A C'"), ("'A B'", "{'A': 2, 'B': 1}")], [],
    ),
    "TypedDict by a call": Case(
        "from typing import TypedDict\nT = TypedDict('T', {'a': int}, total=False)\ndef run(): return T(a=1)",
        [("int", "str"), ("'a': int", "'b': int"), ("total=False", "total=True")], [],
    ),
    "attrs by a call": Case(
        "import attr\nC = attr.make_class('C', {'a': attr.ib(default=1), 'b': attr.ib(default=2)})\n"
        "def run(): return C()",
        [("default=1", "default=3"), ("'a'", "'z'")], [], "attrs",
    ),
    "a made class in a value": Case(
        "from dataclasses import make_dataclass\nT = {'d': make_dataclass('D', [('a', int)])}\n"
        "def run(): return T['d'](1)",
        [("int", "str"), ("'a'", "'b'")], [],
    ),
}  # fmt: skip

LAZY = "def run():\n    from lib import D, g\n    return D(a=1), g\n"
LAZY_CASES = [
    ("dataclass",
     ("from dataclasses import dataclass, field\nK = {'a': 1}\n@dataclass\nclass D:\n    a: int\n"
     "    b: dict = field(default_factory=lambda: dict(K))\ndef g(x: int) -> int: return 1\n"),
     [("a: int\n", "a: str\n", True), ("'a': 1", "'a': 2", True), ("x: int", "x: str", False), ("-> int", "", False)]),
    ("pydantic",
     CHECK + "from pydantic import BaseModel, BeforeValidator, validate_call\nfrom typing import Annotated\n"
     "class Inner(BaseModel):\n    z: int\nclass D(BaseModel):\n    a: Annotated[int, BeforeValidator(check)]\n"
     "    i: 'Inner' = None\n@validate_call\ndef g(x: int) -> int: return 1\n",
     [("v + 1", "v + 2", True), ("z: int", "z: str", True), ("[int", "[str", True), ("x: int", "x: str", True),
      ("v + 5", "v + 6", False)]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("needs", "text", "old", "new", "counts"),
    [(name, text, *edit) for name, text, edits in LAZY_CASES for edit in edits],
)
def test_annotations_act_in_a_module_that_a_function_imports(
    load: Load, needs: str, text: str, old: str, new: str, counts: bool
) -> None:
    """Which annotations do something is read from the text, because the module may not be loaded."""
    need("" if needs == "dataclass" else needs)
    assert old in text

    before, after = of(load({"m": LAZY, "lib": text})), of(load({"m": LAZY, "lib": text.replace(old, new)}))

    assert counts == (before.digest != after.digest), (before.items, after.items)


EDITS = [
    pytest.param(case, edit, counts, id=f"{name}: {edit[0]!r} -> {edit[1]!r}")
    for name, case in CASES.items()
    for counts, edits in ((True, case.counts), (False, case.does_not))
    for edit in edits
]


def of(module: ModuleType) -> Fingerprint:
    return fingerprint_of([module.run])


def need(words: str) -> None:
    """Skip what this Python, or this environment, does not have."""
    name, _, attribute = words.partition(":")
    if name and (attribute and not hasattr(pytest.importorskip(name), attribute)):
        pytest.skip(f"there is no {attribute} in {name} of this Python")
    if name:
        pytest.importorskip(name)


@pytest.mark.parametrize(("case", "edit", "counts"), EDITS)
def test_an_edit_counts_when_it_changes_what_runs(
    load: Load, case: Case, edit: tuple[str, str], counts: bool
) -> None:
    """Annotations that do something count, and no others."""
    need(case.needs)
    old, new = edit
    assert old in case.text

    before, after = of(load({"m": case.text})), of(load({"m": case.text.replace(old, new)}))

    assert counts == (before.digest != after.digest), (before.items, after.items, after.texts, after.untracked)


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_the_same_text_gives_the_same_fingerprint(load: Load, case: Case) -> None:
    """The position in the file does not matter; names are sorted, and each item has a text."""
    need(case.needs)
    first = of(load({"m": case.text}))
    module = load({"m": f"{case.text}\n"})

    assert of(module) == of(module) == first
    assert sorted(first.items) == list(first.items) == list(first.texts)
    assert not [words for words in first.untracked if "bytecode" in words]


EDITED = [
    ("class A:\n    x: int\n", "x: int", "x: str"),
    ("class A:\n    x: int\n", "x: int", "y: int"),
    ("from __future__ import annotations\nclass A:\n    x: int\n", "x: int", "x: str"),
    ("class A:\n    n = 1\n", "n = 1", "n = 'a'"),
    ("class A:\n    n = 1\n", "n = 1", "n = 2"),
    ("class A:\n    n = object()\n", "n = object()", "n, k = object(), 1\n    j = object()"),
    ("class B: pass\nclass C: pass\nclass A(B):\n    n = object()\n", "A(B)", "A(C)"),
    ("class B: pass\nclass A(B):\n    n = object()\n", "A(B)", "A"),
    ("class A:\n    n = object()\n", "n = object()", "n = object()\n    def f(self): return 1"),
]


@pytest.mark.parametrize(("text", "old", "new"), EDITED)
def test_a_class_that_was_edited_is_not_taken_for_what_the_file_says_now(
    load: Load, text: str, old: str, new: str
) -> None:
    """Its text is the loaded one, even if the edit came before the first fingerprint."""
    first = of(load({"m": f"{text}def run(): return A\n"}))
    module = load({"m": f"{text}def run(): return A\n"})
    path = str(module.__file__)
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{text.replace(old, new)}def run(): return A\n")

    assert of(module) == first


@pytest.mark.parametrize(
    "text",
    [
        "class A:\n    n = 1\nA.n = 'later'\n",
        "class B: pass\nclass A(B):\n    __k = 1\n    x: int\n",
        "from typing import NamedTuple\nclass A(NamedTuple):\n    x: int\n    y: int = 1\n",
        "from typing import Generic, TypeVar\nT = TypeVar('T')\nclass A(Generic[T]):\n    x: 'list[int]'\n",
        "import enum\nclass A(enum.Enum):\n    x: int = 1\n",
        "from dataclasses import dataclass, field\n@dataclass(slots=True)\nclass A:\n    x: int = field(default=1)\n",
        "class A:\n    n = 1\n    n = n + 1\n",
        "class A:\n    n = 1\n    for n in 'ab': k = n\n    j = 1\n    del j\n",
        "from typing import TypedDict\nclass A(TypedDict):\n    x: int\n",
        "class A:\n    n = 1\ndef f(): A.n = 'late'\nf()\n",
    ],
)
def test_a_class_that_was_not_edited_is_found(load: Load, text: str) -> None:
    """Python or the module may make something else of what is written."""
    found = of(load({"m": f"{text}def run(): return A, f\n" if "def f" in text else f"{text}def run(): return A\n"}))

    assert "class A" in found.texts["m:A"]


@pytest.mark.parametrize("call", ["'a'", "str('a')"])
def test_settings_do_not_count_in_a_dataclass_either(load: Load, call: str) -> None:
    """They say where and how a task runs, not what it computes."""
    text = f"from dataclasses import dataclass\n@dataclass\nclass A:\n    task_label: str = {call}\n    n: int = 1\n"
    settings = frozenset({"task_label"})

    first, label, value = (
        fingerprint_of([load({"m": written}).A], settings=settings).digest
        for written in (text, text.replace("'a'", "'b'"), text.replace("= 1", "= 2"))
    )

    assert first == label != value


def test_a_class_is_the_same_when_instances_were_pickled(load: Load) -> None:
    """Pickling stores the names of its slots in the class."""
    text = "class A:\n    __slots__ = ('x',)\n    def f(self): return 1\nclass B: pass\ndef run(): return A, B"
    module = load({"m": text})
    first = of(module)

    pickle.dumps([module.A(), module.B()], protocol=2)

    assert of(module) == first
