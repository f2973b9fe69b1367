"""Which annotations do something: fields for dataclasses, attrs and pydantic, functions for some decorators."""
from __future__ import annotations

import ast
import sys
from typing import Any, NamedTuple

from taskproc.source.project import is_users_class, is_users_module
from taskproc.source.scopes import Scope, Use
from taskproc.source.source_files import SourceFile
from taskproc.source.syntax import DEFINITIONS, chain_of

# Libraries that act on the annotations of the functions and classes that they receive
READERS = frozenset(
    "beartype cattr cattrs dacite fastapi injector jsonargparse marshmallow_dataclass msgspec omegaconf simple_parsing "
    "typeguard typer tyro".split()
)
# Their decorators leave annotations alone
_BLIND = frozenset(
    "cachetools click dask joblib numba numpy pytest ray taskproc tenacity toolz tqdm".split()
) | sys.stdlib_module_names


class ActiveAnnotations(NamedTuple):
    """Annotations that do something.

    Attributes:
        nodes: ids of the nodes that have them.
        uses: what they read.
        scopes: the scopes inside them.
    """

    nodes: frozenset[int]
    uses: list[Use]
    scopes: list[Scope]


def active_annotations(file: SourceFile, node: Any, *, itself: bool = True) -> ActiveAnnotations:
    """The annotations inside a function, or inside a statement of a module, that do something, judged by the text.

    All fields of a class with a decorator, a base or a keyword count. Those of a function count only if one of its
    decorators may act on them.

    Args:
        itself: whether the annotations of the node itself count.
    """
    if "acting" not in file.memo:
        every = [*file.module.classes, *file.module.functions]
        file.memo["acting"] = [inner for inner in every if inner.noted and _may_act(file, inner.node)]
    scopes: list[Any] = file.memo["acting"]
    near = {id(scope.node): scope for scope in scopes if node.lineno <= scope.node.lineno <= node.end_lineno}
    found = ActiveAnnotations(frozenset(), [], [])
    for part in ast.walk(node) if near else ():
        if id(part) in near and (itself or part is not node):
            found = _joined_with(found, near[id(part)])
    return found


def _may_act(file: SourceFile, node: Any) -> bool:
    if isinstance(node, ast.ClassDef):
        return bool(node.decorator_list or node.bases or node.keywords)
    return any(acts_on_annotations(file, decorator) for decorator in getattr(node, "decorator_list", ()))


def _joined_with(found: ActiveAnnotations, scope: Scope) -> ActiveAnnotations:
    inner, uses = annotation_uses(scope)
    nodes = annotated_nodes(scope.node)
    return ActiveAnnotations(found.nodes | nodes, [*found.uses, *uses], [*found.scopes, *inner])


def annotation_uses(scope: Scope) -> tuple[list[Scope], list[Use]]:
    """The scopes inside the annotations of a function or class, and what the annotations read."""
    inner = [below for head in scope.noted for child in head.children for below in child.below()]
    return inner, [*scope.annotations, *(use for scope in inner for use in scope.all_uses())]


def imported_as(file: SourceFile, node: ast.AST) -> list[str]:
    """The full names under which a module imports a name, an attribute or a called function: `pydantic.BaseModel`."""
    chain = chain_of(node.func if isinstance(node, ast.Call) else node)
    if chain is None:
        return []
    targets = file.module.top.imports.get(chain[0], ())
    return [".".join(filter(None, (target.module, target.name, *chain[1:]))) for target in targets if not target.level]


def annotated_nodes(node: Any) -> frozenset[int]:
    """Ids of the fields of a class or the parameters of a function, and of the node itself, for its result."""
    found = {id(node)}
    if not isinstance(node, ast.ClassDef):
        return frozenset(found | {id(part) for part in ast.walk(node.args) if isinstance(part, ast.arg)})
    todo: list[Any] = [node]
    while todo:
        current = todo.pop()
        if isinstance(current, ast.AnnAssign):
            found.add(id(current))
        todo += [inner for inner in ast.iter_child_nodes(current) if isinstance(inner, (ast.stmt, ast.ExceptHandler))
                 and not isinstance(inner, DEFINITIONS)]  # fmt: skip
    return frozenset(found)


def acts_on_annotations(file: SourceFile, decorator: ast.expr) -> bool:
    """Whether a decorator may act on the annotations of a function: `@f.register`, and those of most libraries."""
    if isinstance(decorator, ast.Attribute) and decorator.attr == "register":
        return True
    return any(map(may_read_annotations, imported_as(file, decorator)))


def may_read_annotations(name: str) -> bool:
    """Whether a full name, such as `typer.run`, belongs to a library that may read annotations."""
    top = name.partition(".")[0]
    module = sys.modules.get(top)
    return module is not None and top not in _BLIND and not is_users_module(module)


def acts_on_fields(cls: type) -> bool:
    """Whether dataclasses, attrs or the library of a base act on the annotations of a class's fields."""
    own = vars(cls)
    if "__dataclass_fields__" in own or "__attrs_attrs__" in own or "__total__" in own or "_fields" in own:
        return True
    metaclass: Any = type(cls)
    return any(_is_active(base) for base in (*cls.__mro__, *metaclass.__mro__))


def _is_active(base: Any) -> bool:
    top = str(base.__module__).partition(".")[0]
    return not is_users_class(base) and top not in _BLIND
