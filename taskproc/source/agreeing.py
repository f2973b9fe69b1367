"""Whether a class comes from a class statement, where no method of it tells: the file may have been edited since."""
from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Container, Iterator, Mapping
from typing import Any

from taskproc.source.acting import DEFINITIONS, annotated_in
from taskproc.source.class_pieces import assigned
from taskproc.source.lookups import chain_of
from taskproc.source.scopes import Scope


def agrees(scope: Scope, cls: type, names: Mapping[str, object], changed: Container[str] = ()) -> bool:
    """Whether what the statement says holds for the class: its names, its constants, its fields, its bases.

    Args:
        names: the globals of its module.
        changed: attributes that other statements of the module set.
    """
    attributes, node = vars(cls), scope.node
    functions = {some.name for some in scope.children if some.kind == "function" and some.name != "<lambda>"}
    if not functions <= attributes.keys() or not _has_bases(node, cls, names) or not _has_fields(node, cls, names):
        return False
    plain = type(cls) is type and not getattr(node, "decorator_list", ()) and "_fields" not in attributes
    values = {name: value for name, value in _written(scope) if name not in changed}
    if plain and not values.keys() <= attributes.keys():
        return False
    return all(
        _same(attributes.get(name), value.value, plain)
        for name, value in values.items()
        if isinstance(value, ast.Constant)
    )


def _written(scope: Scope) -> Iterator[tuple[str, Any]]:
    """Name and value of what the statement sets once, without private names, which Python changes."""
    body: Any = scope.node
    nodes = [node for statement in body.body if not isinstance(statement, DEFINITIONS) for node in ast.walk(statement)]
    bound = [node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)]
    for name, statement, _, _ in assigned(scope):
        if bound.count(name) == 1 and (not name.startswith("__") or name.endswith("__")):
            yield name, getattr(statement, "value", None)


def _same(value: object, constant: object, strict: bool) -> bool:
    return value == constant if type(value) is type(constant) else not strict


def _has_bases(node: Any, cls: type, names: Mapping[str, object]) -> bool:
    """Whether each base that is written as a name is one; made again, it has only the name of it."""
    found = {base.__qualname__ for base in cls.__bases__}
    for written in node.bases:
        base = _named(written, names)
        if isinstance(base, type) and base.__qualname__ not in found:
            return False
    plain = not node.bases and not node.keywords and not node.decorator_list
    return not plain or cls.__bases__ == (object,)


def _has_fields(node: Any, cls: type, names: Mapping[str, object]) -> bool:
    """Whether the annotations are those of the class. Since Python 3.14 they are computed when somebody asks."""
    if sys.version_info >= (3, 14):
        return True
    found = vars(cls).get("__annotations__", {})
    counted = annotated_in(node)
    fields = [some for some in ast.walk(node) if isinstance(some, ast.AnnAssign) and id(some) in counted]
    written = {some.target.id: some for some in fields if isinstance(some.target, ast.Name) and some.simple}
    always = [name for name, some in written.items() if some in node.body and not name.startswith("__")]
    if not found.keys() >= set(always) or any(name not in written for name in found if not name.startswith("_")):
        return False
    return all(_is_annotation(found[name], written[name].annotation, names) for name in always)


def _is_annotation(value: object, written: ast.expr, names: Mapping[str, object]) -> bool:
    if isinstance(value, str) and not isinstance(written, ast.Constant):
        try:
            return ast.dump(ast.parse(value, mode="eval").body) == ast.dump(written)
        except SyntaxError:
            return False
    named = _named(written, names)
    return not isinstance(named, type) or not isinstance(value, type) or named.__qualname__ == value.__qualname__


def _named(node: ast.AST, names: Mapping[str, object]) -> object:
    """What a name stands for in a module; None if that is not said by names of modules and classes alone."""
    chain = chain_of(node)
    if chain is None:
        return None
    value: Any = names.get(chain[0], vars(builtins).get(chain[0]))
    for name in chain[1:]:
        value = vars(value).get(name) if isinstance(value, (type, type(ast))) else None
    return value
