"""Syntax as text: equal for code that means the same, on every Python."""
from __future__ import annotations

import ast

import pytest

from taskproc.source.syntax import digest, syntax_text

EVERYTHING = '''
@decorate(1, *a, k=2, **b)
class C(Base, metaclass=M):
    "Doc."
    x: int
    y: "int" = 0x10
    z = 1_000
    @property
    def p(self, a, /, b: int = 1, *args: int, c, d=None, **kw: str) -> "x":
        """Doc."""
        n: int
        n: int = 3
        n = None
        return f"{a!r:>{b}}" "c" f"{d=} {kw:%Y}" f"{a}" + rb"\\x00" + "é\\U0001f600\\n" + b"\\xff"
async def g():
    async with a as b, c: pass
    async for x in y: await x
    return [x async for x in y if x], {**a, 1: 2}, {1, *b}, (yield), lambda x=1, *, y: (x := y)
def m(x):
    match x:
        case [1, *rest] | {"k": -1, **other} if rest: ...
        case C(a=1, b=None) as c: return c
        case "s" | 1.5 | 2j: pass
        case _: raise ValueError from None
    try: a[1:2, ::3, (*b,)] = ...
    except (A, B) as e: del x
    else: global q
    finally: assert x, "no"
    for i, (j, *k) in e: continue
    while not (a < b <= c is not d): break
    if a and b or c: x @= 1 if y else -0.0
    return 1e400, 10 ** 100, 0b1, True, u"u", (), 123456789012345678901234567890
'''
# Written down once, on Python 3.11
GOLDEN = "501a17c7489d4c86df2d0e0f1ec9fa60"


def of(text: str) -> str:
    return "".join(syntax_text(ast.parse(text)))


def test_the_text_is_the_same_on_every_python() -> None:
    """Another text would make each stored result stale."""
    assert digest(of(EVERYTHING)) == GOLDEN


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("f'{a}' 'b' f'{c}'", "f'{a}b{c}'"),
        ("f'a' 'b'", "f'ab'"),
        ("u'x'", "'x'"),
        ("0x10", "16"),
        ("x = (1)", "x = 1"),
        ("def f(): 'Doc.'", "def f(): pass"),
        ("def f():\n  x: int\n  return x", "def f():\n  return x"),
        ("def f():\n  x: int = 1", "def f():\n  x = 1"),
        ("x: int = 1", "x = 1"),
        ("class A:\n  def f(self):\n    x: int = 1", "class A:\n  def f(self):\n    x = 1"),
        ("class A:\n  x: int", "class A:\n  x: str"),
        ("class A:\n  if 1:\n    x: int", "class A:\n  if 1:\n    x: str"),
        ("def f(a: int, *b: int) -> int: return a", "def f(a, *b): return a"),
        ("with (a): pass", "with a: pass"),
    ],
)
def test_what_means_the_same_is_the_same(one: str, other: str) -> None:
    """Formatting, docstrings, annotations and the splitting of strings do not matter."""
    assert of(one) == of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "1.0"), ("1", "True"), ("'1'", "1"), ("'a'", "b'a'"), ("0.0", "-0.0"), ("None", "..."), ("x", "'x'"),
        ("class A:\n  x: int", "class A: pass"),
        ("class A:\n  x: int = 1", "class A:\n  x = 1"),
        ("f'{a}'", "f'{a!r}'"), ("f'{a}b'", "f'{a}c'"), ("f'{a:1}'", "f'{a:2}'"), ("f'{{a}}'", "f'{a}'"),
        ("return_", "return_()"), ("def f(): return", "def f(): return None"), ("f(*a)", "f(a)"), ("f(**a)", "f(*a)"),
        ("{**a}", "{a}"), ("a.b", "a.c"), ("a < b", "a > b"), ("not a", "-a"), ("a[1]", "a[1:]"), ("a[1:]", "a[:1]"),
        ("def f(a, b=1): 0", "def f(a=1, b=1): 0"), ("def f(a, *, b): 0", "def f(a, b): 0"),
        ("def f(): 0", "async def f(): 0"),
        ("f(a=1)", "f(b=1)"), ("import a", "import b"), ("from a import b", "from .a import b"), ("x += 1", "x -= 1"),
        ("if a:\n  b\nc", "if a:\n  b\n  c"), ("[x for x in y]", "(x for x in y)"), ("lambda: 1", "lambda: 2"),
        ("match a:\n  case 1: b", "match a:\n  case 2: b"), ("match a:\n  case x: b", "match a:\n  case _: b"),
    ],
)  # fmt: skip
def test_what_means_something_else_is_not(one: str, other: str) -> None:
    """Constants and their types, names, operators, order and nesting matter."""
    assert of(one) != of(other)


def test_what_is_omitted_leaves_no_trace() -> None:
    """This holds for statements of a list and for values of fields."""
    tree = ast.parse("a = 1\nb = 2")

    assert "".join(syntax_text(tree, frozenset({id(tree.body[1])}))) == of("a = 1")


def test_trees_may_be_deep() -> None:
    """Generated code may be nested deeply."""
    node: ast.expr = ast.Name("x", ast.Load())
    for _ in range(10_000):
        node = ast.UnaryOp(ast.USub(), node)

    assert len(list(syntax_text(node))) > 10_000
