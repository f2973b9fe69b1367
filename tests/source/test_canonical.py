"""Values count by their content. A part without a form is listed, and everything around it counts."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType

import numpy as np
import pytest

from taskproc.source.canonical import Unnamable, canonical_form, value_text
from taskproc.source.fingerprint import fingerprint_of

Load = Callable[[Mapping[str, str]], ModuleType]

CLASSES = """
class Config:
    def __init__(self, lr=0, inner=None):
        self.lr, self.inner = lr, inner
class Slots:
    __slots__ = ("a", "__b")
    def __init__(self, a, b=0):
        self.a, self.__b = a, b
class Text(str): pass
class Number(int): pass
class Table(dict): pass
class Row(list): pass
"""

# What a name is bound to, and to what it is changed
COUNTED = [
    ("Config(lr=1)", "Config(lr=2)"),
    ("Config(inner=Config(1))", "Config(inner=Config(2))"),
    ("Slots(1)", "Slots(2)"),
    ("Slots(1, 1)", "Slots(1, 2)"),
    ("Text('a')", "Text('b')"),
    ("Number(1)", "Number(2)"),
    ("Table(a=1)", "Table(a=2)"),
    ("Row([1])", "Row([2])"),
    ("types.SimpleNamespace(a=1)", "types.SimpleNamespace(a=2)"),
    ("types.MappingProxyType({'a': 1})", "types.MappingProxyType({'a': 2})"),
    ("typing.Literal['a']", "typing.Literal['b']"),
    ("int | float", "int | str"),
    ("typing.Optional[int]", "typing.Optional[str]"),
    ("typing.Annotated[int, Config(1)]", "typing.Annotated[int, Config(2)]"),
    ("list[int]", "list[str]"),
    ("typing.Callable[[int], str]", "typing.Callable[[str], str]"),
    ("typing.NewType('A', int)", "typing.NewType('A', str)"),
    ("typing.TypeVar('T', bound=int)", "typing.TypeVar('T', bound=str)"),
    ("contextvars.ContextVar('x', default=1)", "contextvars.ContextVar('x', default=2)"),
    ("struct.Struct('<i')", "struct.Struct('>i')"),
    ("operator.itemgetter(1)", "operator.itemgetter(2)"),
    ("operator.attrgetter('a')", "operator.attrgetter('b')"),
    ("operator.methodcaller('f', 1, k=1)", "operator.methodcaller('f', 1, k=2)"),
    ("string.Template('$a')", "string.Template('$b')"),
    ("collections.Counter('ab')", "collections.Counter('ba')"),
    ("{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}"),
    ("{1: 1, 2: 2}", "{2: 2, 1: 1}"),
    ("functools.partial(print, sep='', end='')", "functools.partial(print, end='', sep='')"),
    ("functools.partial(max, key=len)", "functools.partial(min, key=len)"),
    ("max", "min"),
    ("'x'.join", "'y'.join"),
    ("str.upper", "str.lower"),
    ("float", "int"),
    ("decimal.Decimal('1')", "decimal.Decimal('2')"),
    ("fractions.Fraction(1, 3)", "fractions.Fraction(2, 3)"),
    ("uuid.UUID(int=1)", "uuid.UUID(int=2)"),
    ("datetime.datetime(2020, 1, 1)", "datetime.datetime(2020, 1, 2)"),
    ("datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)", "datetime.datetime(2020, 1, 1)"),
    ("slice(1)", "slice(2)"),
    ("ValueError('a')", "ValueError('b')"),
    ("array.array('i', [1])", "array.array('i', [2])"),
    ("np.float64", "np.float32"),
    ("np.dtype('f4')", "np.dtype('f8')"),
    ("np.add", "np.subtract"),
    ("np.sum", "np.prod"),
    ("np.array([Config(1)], dtype=object)", "np.array([Config(2)], dtype=object)"),
    ("np.ma.array([1, 2], mask=[0, 1])", "np.ma.array([1, 2], mask=[1, 0])"),
    ("pd.Series([Config(1)])", "pd.Series([Config(2)])"),
    ("pd.DataFrame({'a': [1]})", "pd.DataFrame({'a': [2]})"),
    ("pd.Index(['a'])", "pd.Index(['b'])"),
    ("{'a': np}", "{'a': pd}"),
    ("'x' * 70000", "'x' * 69999 + 'y'"),
    ("list(range(70000))", "list(range(69999)) + [0]"),
    ("{'a': [b'x' * 70000]}", "{'a': [b'x' * 69999 + b'y']}"),
    ("np.zeros(70000)", "np.arange(70000.)"),
    ("[[io.StringIO(), 1]]", "[[io.StringIO(), 2]]"),
    ("Config(1, threading.Lock())", "Config(2, threading.Lock())"),
]
IMPORTS = """
import array, collections, contextvars, datetime, decimal, fractions, functools, io, operator, string, struct
import threading, types, typing, uuid
import numpy as np
import pandas as pd
"""
# How code comes to the value
READS = {
    "a name": "X = {}\ndef run(): return X",
    "a class attribute": "class A:\n    x = {}\ndef run(): return A.x",
    "a default": "def run(x={}): return x",
    "a closure": "def make(x):\n    return lambda: x\nrun = make({})",
    "a part": "X = [1, {{'a': ({},)}}]\ndef run(): return X",
}


def texts(load: Load, *parts: str) -> tuple[Mapping[str, str], tuple[str, ...]]:
    found = fingerprint_of([load({"m": "\n".join([IMPORTS, CLASSES, *parts])}).run])
    return found.items, found.untracked


@pytest.mark.parametrize(("old", "new"), COUNTED, ids=[old for old, _ in COUNTED])
def test_another_value_counts(load: Load, old: str, new: str) -> None:
    """Both as a module-level name and through another name, where only the value shows it."""
    read = "X = Y\ndef run(): return X"

    before, after = texts(load, f"Y = {old}", read), texts(load, f"Y = {new}", read)

    assert before[0] != after[0]
    assert before == texts(load, f"Y = {old}", read)


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize(
    ("old", "new"), [COUNTED[0], ("max", "min"), ("np.float64", "np.float32"), ("{2: 1}", "{2: 2}")]
)
def test_another_value_counts_wherever_it_is_read(load: Load, read: str, old: str, new: str) -> None:
    """As a name, on a class, in a default, in a closure, inside another value."""
    assert texts(load, f"V = {old}", read.format("V"))[0] != texts(load, f"V = {new}", read.format("V"))[0]


@pytest.mark.parametrize(
    "value",
    [
        "{{'a': A(), 'b': B()}}", "[A(), B()]", "collections.deque([A(), B()])", "types.SimpleNamespace(a=A(), b=B())",
        "collections.defaultdict(list, a=A(), b=B())", "Slots(A(), B())", "Config(A(), Config(B()))", "Table(x=B())",
        "np.array([A(), B()], dtype=object)", "pd.Series([A(), B()])", "functools.partial(print, A(), x=B())",
        "functools.lru_cache(B().f)", "B().f", "[B().f]", "functools.partial(B().f)", "[[1, [B()]]] * 2",
        "typing.Annotated[int, B()]", "contextvars.ContextVar('x', default=B())", "types.MappingProxyType({{1: B()}})",
        "dispatch", "[dispatch]", "context", "{{'a': context}}", "Memo(B)", "np.vectorize(B().f)", "map(B().f, [1])",
        "Attrs(B())", "Model(x=Inner(y=B()))", "Keyed(B())", "operator.methodcaller('f', B())", "(x for x in [B()])",
        "[io.StringIO(), B()]", "Config(threading.Lock(), B())", "[wraps]", "Deep(B())", "[B]", "slice(B())",
    ],
)  # fmt: skip
def test_all_that_stands_in_a_value_is_followed(load: Load, value: str) -> None:
    """Each function and class, at any depth, however it is wrapped."""
    text = """
import attrs, contextlib, pydantic
class A:
    def f(self, *_): return 0
class B:
    def f(self, *_): return 1
@attrs.define
class Attrs:
    x: object
class Inner(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    y: B
class Model(pydantic.BaseModel):
    x: Inner
class Keyed:
    def __init__(self, x): self.x = x
    def __task_key__(self): return 1
class Memo:
    def __init__(self, f): self.f = f
class Deep:
    def __init__(self, x):
        self.x = {}
        for _ in range(2000): x = [x]
        self.x["a"] = x
dispatch = functools.singledispatch(lambda x: 0)
dispatch.register(B)(lambda x: 0)
@contextlib.contextmanager
def context(): yield B()
def wrapped(): return B()
wraps = functools.wraps(wrapped)(lambda: 0)
"""
    read = f"X = {value.format()}\ndef run(): return X"

    before, after = texts(load, text, read), texts(load, text.replace("return 1", "return 2", 1), read)

    assert "m:B.f" in before[0]
    assert before[0] != after[0]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("Config(1, io.StringIO())", ["m:X.inner has no canonical form (_io.StringIO)"]),
        ("{'a': [io.StringIO()], 'b': iter([1])}",
         ["m:X['a'][0] has no canonical form (_io.StringIO)", "m:X['b'] has no canonical form (list_iterator)"]),
        ("io.StringIO()", ["m:X has no canonical form (_io.StringIO)"]),
        ("Config(1, threading.Lock())", []),
        ("[threading.local(), object()]", []),
    ],
)  # fmt: skip
def test_each_part_without_a_form_is_listed_with_its_place(load: Load, value: str, words: list[str]) -> None:
    """No other part is listed; objects that do not belong to a result, such as loggers, are left out."""
    _, untracked = texts(load, f"X = {value}\ndef run(): return X")

    assert untracked == tuple(words)


def test_many_parts_of_one_kind_are_listed_once(load: Load) -> None:
    """The first few are listed one by one, the others as a number."""
    _, untracked = texts(load, "X = [io.StringIO() for _ in range(1000)]\ndef run(): return X")

    assert len(untracked) == 9
    assert "m:X has no canonical form (_io.StringIO), 992 more like it" in untracked


def test_what_methods_change_of_an_instance_does_not_count(load: Load) -> None:
    """A memo depends on what has run before, so it is listed."""
    module = load({"m": """
class Memo:
    def __init__(self):
        self.rate, self.known, self.last = 1, {}, None
        self.known[0] = 0
    def get(self, x):
        self.known[x] = self.last = x
X = Memo()
def run(): return X
"""})
    before = fingerprint_of([module.run])
    module.X.get(5)
    after = fingerprint_of([module.run])
    module.X.rate = 2

    assert before == after
    assert before.untracked == ("m:X.known is changed by the code itself", "m:X.last is changed by the code itself")
    assert fingerprint_of([module.run]) != before


def name(thing: object) -> str:
    return ""


def test_what_holds_itself_is_written_once() -> None:
    """The second time, its place is written; values that hold themselves in another way differ."""
    one: list[object] = [1]
    one.append(one)
    two: list[object] = [1]
    two.append([1, two])

    assert value_text(one, name) == '[1,{"__again__":""}]'
    assert value_text(two, name) == '[1,[1,{"__again__":""}]]'


def test_what_is_shared_is_as_what_is_equal() -> None:
    """It is written once, so these 2 ** 200 lists take no time."""
    many: object = [1]
    for _ in range(200):
        many = [many, many]
    part = [1, "a"]

    assert value_text([part, part], name) == value_text([[1, "a"], [1, "a"]], name)
    assert len(value_text(many, name)) <= 1 << 16


def test_sets_have_no_order_and_dicts_do() -> None:
    """This holds at any depth."""
    assert value_text({"a", "b", (1, 2)}, name) == value_text({(1, 2), "b", "a"}, name)
    assert value_text({frozenset({"x", "y"}): 1}, name) == value_text({frozenset({"y", "x"}): 1}, name)
    assert value_text([{"a": 1, "b": 2}], name) != value_text([{"b": 2, "a": 1}], name)


def test_values_of_two_types_never_have_one_text() -> None:
    """A tag distinguishes them, also from a dict that looks like one."""
    values = [
        1, 1.0, True, "1", b"1", [1], (1,), {1}, frozenset({1}), {"a": 1}, {"__tuple__": [1]}, {"__tuple__": 1},
        [["a", 1]], np.int64(1), np.int32(1), np.float64(1), np.array(1), np.array([1]), bytearray(b"1"), range(1),
        -0.0, 0.0, None, float("nan"), ..., 1j, int, "builtins:int", 1 << 70, str(1 << 70),
        memoryview(b"1"), slice(1),
        "\ud83d\ude00", "😀",
    ]  # fmt: skip

    assert len({value_text(value, name) for value in values}) == len(values)


def test_a_value_that_has_no_form_is_refused_where_nobody_listens() -> None:
    """The error names the first such part. A value above the limit is refused before it is read."""
    with pytest.raises(Unnamable, match=r"^\[1\] has no canonical form \(generator\)$"):
        value_text([1, (x for x in ())], name)
    with pytest.raises(Unnamable, match="is larger than 64 kB"):
        canonical_form([np.zeros(1 << 16)], name, most=1 << 16)
