"""Syntax as a text that is the same for all ways to write the same code, and on every Python.

Comments, formatting, docstrings, `pass` and most annotations are not in it. `x: int` in a class declares a field, so
the name stays; in a function, `x: int = 3` is `x = 3`.
"""
from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from typing import Any

Chain = tuple[str, ...]   # `a.b.c` as it is written

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_ANNOTATIONS = frozenset({"annotation", "returns", "type_params"})
# Not part of what code does, or not there on every Python
_IGNORED = frozenset({"ctx", "kind", "type_comment", "type_ignores", "simple", *_ANNOTATIONS})
_LEAVES = frozenset({"ctx", "op", "ops"})  # which operation or context it is: no node stands inside


class _Raw(str):
    """Text that is written as it is; any other str is a name or a constant."""

    __slots__ = ()


_END = _Raw(")")
_labels: dict[type, tuple[tuple[str, _Raw], ...]] = {}
_child_fields: dict[type, tuple[str, ...]] = {}


def digest(text: str) -> str:
    """32 hex digits for a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def syntax_text(
    node: ast.AST, omitted: frozenset[int] = frozenset(), annotated: frozenset[int] = frozenset()
) -> Iterator[str]:
    """The text of a tree, in pieces, without recursion: generated code may be nested deeply.

    Args:
        omitted: ids of nodes to leave out.
        annotated: ids of nodes whose annotations count: of fields, parameters, functions, and classes with parameters.
    """
    todo: list[tuple[object, bool]] = [(node, False)]  # what is to be written, and whether a class owns it
    while todo:
        current, owned = todo.pop()
        kind = type(current)
        if kind is _Raw:
            yield current  # type: ignore[misc]  # checkers do not know that kind is its type
        elif kind is ast.Name and id(current) not in omitted:  # every third node
            yield f"(Name id={_constant(current.id)})"  # type: ignore[attr-defined]
        elif isinstance(current, list):
            yield "["
            todo.append((_Raw("]"), owned))
            todo.extend((item, owned) for item in reversed(current))
        elif isinstance(current, ast.AST):
            shown = None if id(current) in omitted else _normal_form(current, owned)
            if shown is not None:
                yield f"({type(shown).__name__}"
                todo += _fields(shown, owned, id(current) in annotated)
        else:
            yield _constant(current)


def _fields(node: ast.AST, owned: bool, annotated: bool) -> list[tuple[object, bool]]:
    fields: list[tuple[object, bool]] = [(_END, owned)]
    for name, label in _labels.get(type(node)) or _labelled(type(node)):
        value = getattr(node, name, None)
        if (name in _IGNORED and not (annotated and name in _ANNOTATIONS)) or value is None or value == []:
            continue  # fields that newer versions added are empty in older code
        inner = owned
        if name == "body" and isinstance(node, DEFINITIONS):
            value = [item for item in value if not is_empty_statement(item)]
            inner = isinstance(node, ast.ClassDef)
        if isinstance(value, (ast.AST, list)):
            fields.append((value, inner))
            fields.append((label, inner))
        else:
            fields.append((_Raw(label + _constant(value)), inner))
    return fields


def _labelled(kind: type[ast.AST]) -> tuple[tuple[str, _Raw], ...]:
    """The fields of a kind of nodes, the last one first, with the text before each; computed once."""
    found = _labels[kind] = tuple((name, _Raw(f" {name}=")) for name in sorted(kind._fields, reverse=True))
    return found


def _normal_form(node: ast.AST, owned: bool) -> ast.AST | None:
    """The node in the form that is written; None if it is left out."""
    if isinstance(node, ast.AnnAssign) and not owned:
        if node.value is None:
            return None
        return ast.Assign(targets=[node.target], value=node.value)
    if isinstance(node, ast.JoinedStr):
        return ast.JoinedStr(values=list(_joined(node.values)))
    if isinstance(node, ast.Set) and all(isinstance(element, ast.Constant) for element in node.elts):
        return ast.Set(elts=sorted(node.elts, key=lambda element: _constant(element.value)))  # type: ignore[attr-defined]
    return node


def _joined(values: list[Any]) -> Iterator[ast.expr]:
    """The parts of an f-string, with adjacent texts joined: how Python splits them depends on its version."""
    text = ""
    for value in values:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            text += value.value
            continue
        if text:
            yield ast.Constant(text)
        text = ""
        yield value
    if text:
        yield ast.Constant(text)


def is_empty_statement(statement: ast.AST) -> bool:
    """Whether it is `pass`, or a docstring or another constant that stands alone."""
    if isinstance(statement, ast.Pass):
        return True
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _constant(value: object) -> str:
    # Not repr of a str: which characters it escapes depends on the version. Hex: Python refuses long decimal numbers
    return f"{type(value).__name__}:{hex(value) if type(value) is int else ascii(value)}"


def child_nodes(node: ast.AST) -> list[ast.AST]:
    """The nodes directly inside a node, in the order of its fields, without operators and contexts."""
    found: list[ast.AST] = []
    for name in _child_fields.get(type(node)) or _child_fields_of(type(node)):
        value = getattr(node, name, None)
        if type(value) is list:
            found += [item for item in value if isinstance(item, ast.AST)]
        elif isinstance(value, ast.AST):
            found.append(value)
    return found


def _child_fields_of(kind: type[ast.AST]) -> tuple[str, ...]:
    found = _child_fields[kind] = tuple(name for name in kind._fields if name not in _LEAVES)
    return found


def chain_of(node: ast.AST | None) -> Chain | None:
    """The names of `a.b.c`; None if the expression does not begin with a name."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return (node.id, *reversed(names))


def string_in(node: ast.AST | None) -> str | None:
    """The value of a string constant; None for any other node."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def all_statements(body: list[Any]) -> Iterator[ast.stmt]:
    """These statements and all inside them, also those in functions and classes."""
    todo = list(body)
    while todo:
        statement = todo.pop()
        yield statement
        todo += inner_statements(statement)


def inner_statements(statement: Any) -> list[ast.stmt]:
    """The statements directly below a compound statement."""
    parts = [statement, *getattr(statement, "handlers", ()), *getattr(statement, "cases", ())]
    return [inner for part in parts for name in ("body", "orelse", "finalbody") for inner in getattr(part, name, ())]


def bound_name(alias: ast.alias) -> str:
    """The name that one part of an import binds."""
    return alias.asname or alias.name.partition(".")[0]


def first_line(node: Any) -> int:
    """The line in which a statement begins, with its decorators."""
    decorators = getattr(node, "decorator_list", ())
    line: int = decorators[0].lineno if decorators else node.lineno
    return line
