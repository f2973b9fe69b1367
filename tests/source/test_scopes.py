"""Which names a piece of code takes from outside."""
from __future__ import annotations

import ast

import pytest

from taskproc.source.functions import reads_of
from taskproc.source.scopes import Module


@pytest.mark.parametrize(
    ("text", "chains"),
    [
        ("def f(a, *b, c=D, **e): return a, b, c, e, x", "x"),
        ("def f(): return a.b.c, a.b(), d[e]", "a.b.c a.b d e"),
        ("def f():\n  g = 1\n  return g, h", "h"),
        ("def f():\n  use(x)\n  x = 1", "use"),
        ("def f():\n  for a, (b, *c) in d: a, b, c", "d"),
        ("def f():\n  with a as b, c() as (d, e): b, d, e", "a c"),
        ("def f():\n  try: a\n  except B as c: c\n  return c", "a B"),
        ("def f(): return [a for a in b if c(a)], a", "b c a"),
        ("def f(): return [a for b in c for a in b], {k: v for k, v in d}, {e for e in g}, (h for h in i)", "c d g i"),
        ("def f(a): return [a for a in a]", ""),
        ("def f(): return [x := a for a in b], x", "b"),
        ("def f(): return lambda a, b=c: a + b + d", "c d"),
        ("def f():\n  @deco\n  def g(x=y): return g, z\n  return g", "deco y z"),
        ("def f():\n  class A(B, k=C):\n    x = y\n    def g(self): return x, A\n  return A", "B C y x"),
        ("def f():\n  global g\n  g = 1\n  return g", "g"),
        ("def f():\n  def g():\n    nonlocal h\n    h = 1\n  h = 2", ""),
        ("def f(x):\n  match x:\n    case A(b=c, d=[e, *g]) if e: c", "A"),
        ("def f(x):\n  match x:\n    case {'k': k, **rest}: return k, rest\n    case str() as s: return s", "str"),
        ("def f(a: B, *c: D) -> E:\n  x: F = g\n  y: H", "g"),
        ("def f():\n  import a.b, c as d\n  from e import g as h\n  return a, d, h", ""),
        ("def f(): f'{a!r:{b}}'", "a b"),
        ("def f():\n  a.b = c\n  del d[e]\n  g.h += 1", "a c d e g.h g"),
        ("@deco(lambda x: x + y)\ndef f(): pass", "deco y"),
        ("async def f():\n  async for a in b: await c(a)\n  return [d async for d in e]", "b c e"),
        ("def f(): return getattr(a, 'b')", "a.b getattr"),
    ],
)
def test_names_from_outside(text: str, chains: str) -> None:
    """They are listed as written, without names that the code binds itself."""
    (scope, *_) = Module(ast.parse(text)).functions
    below = list(scope.below())
    uses = [*scope.head, *scope.uses, *(use for some in below[1:] for use in [*some.head, *some.defaults, *some.uses])]

    assert {".".join(chain) for chain in reads_of(below, uses).chains} == set(chains.split())


def test_imports_inside_lead_somewhere() -> None:
    """They lead to a module or a name of it, with the names that are read of this."""
    text = "def f():\n  import a.b\n  import a.c as d\n  from ..e import g as h\n  return a.b.x, d.y, h.z"
    (scope,) = Module(ast.parse(text)).functions
    found = {(tuple(imported), rest) for imported, rest in reads_of([scope], scope.uses).imports}

    assert found == {(("a", None, 0), ("b", "x")), (("a.c", None, 0), ("y",)), (("e", "g", 2), ("z",))}


def test_qualified_names() -> None:
    """They are those that Python gives."""
    text = "class A:\n  def f(self):\n    return [lambda: 1 for _ in ()]\n"
    text += "  class B:\n    @d(lambda: 2)\n    def g(self): pass"

    module = Module(ast.parse(text))

    assert {scope.qualname for scope in [*module.functions, *module.classes]} == {
        "A", "A.f", "A.f.<locals>.<lambda>", "A.B", "A.B.g", "A.B.<lambda>",
    }  # fmt: skip
