"""What stands inside a node of syntax, without asking each time which fields its kind has."""
from __future__ import annotations

import ast

_LEAVES = frozenset({"ctx", "op", "ops"})  # what kind of an operation it is: nothing stands inside

_fields: dict[type, tuple[str, ...]] = {}


def children(node: ast.AST) -> list[ast.AST]:
    """The nodes right inside one, in the order of its fields, without operators and contexts."""
    found: list[ast.AST] = []
    for name in _fields.get(type(node)) or _fields_of(type(node)):
        value = getattr(node, name, None)
        if type(value) is list:
            found += [some for some in value if isinstance(some, ast.AST)]
        elif isinstance(value, ast.AST):
            found.append(value)
    return found


def _fields_of(kind: type[ast.AST]) -> tuple[str, ...]:
    found = _fields[kind] = tuple(name for name in kind._fields if name not in _LEAVES)
    return found
