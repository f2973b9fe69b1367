"""Which statement made a class, and what it says: its text, and what it takes from outside.

What is found out about a statement is remembered in its file.
"""
from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Container, Iterable, Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any

from taskproc.frozen import frozen
from taskproc.source.annotations import annotated_nodes, annotation_uses, imported_as
from taskproc.source.functions import Reads, piece_of, reads_of
from taskproc.source.project import is_users_code
from taskproc.source.scopes import Scope, Use
from taskproc.source.source_files import SourceFile, loaded_file, loaded_files, may_be_older, was_edited
from taskproc.source.statements import statements_of
from taskproc.source.syntax import DEFINITIONS, chain_of, digest, syntax_text
from taskproc.source.value_look import wrapped

_UNTYPED = frozenset({"typing.overload", "typing_extensions.overload"})  # what they decorate is lost


@frozen
class ClassPiece:
    """A class statement, or the statements that make a class, without the parts that have items of their own.

    Attributes:
        omitted: ids of the nodes that are left out, in the other statements too.
        annotated: whether annotations of fields count.
        others: statements at the top of the module that make or change the class.
    """

    file: SourceFile
    scope: Scope | None
    omitted: frozenset[int]
    annotated: bool
    others: tuple[ast.stmt, ...]

    def text(self) -> tuple[str, str]:
        """Its digest and its source."""
        key = ("text", *self._key())
        if key not in self.file.memo:
            self.file.memo[key] = self._text()
        text: tuple[str, str] = self.file.memo[key]
        return text

    def reads(self) -> Reads:
        """What its decorators, bases, fields and other statements take from outside, with the code inside them."""
        key = ("reads", *self._key())
        if key not in self.file.memo:
            self.file.memo[key] = self._reads()
        reads: Reads = self.file.memo[key]
        return reads

    def _key(self) -> tuple[object, ...]:
        return self.scope, self.omitted, self.annotated, *map(id, self.others)

    def _text(self) -> tuple[str, str]:
        nodes: list[Any] = [self.scope.node] if self.scope is not None else []
        annotated = annotated_nodes(nodes[0]) if nodes and self.annotated else frozenset()
        inner = [node for statement in self.others for node in ast.walk(statement)]
        nodes += self.others
        omitted = self.omitted | {id(node) for node in inner if isinstance(node, DEFINITIONS)}
        syntax = "".join(text for node in nodes for text in syntax_text(node, omitted, annotated))
        return digest(syntax), "".join(self.file.segment(node, omitted) for node in nodes)

    def _reads(self) -> Reads:
        uses: list[Use] = []
        scopes: list[Scope] = []
        if self.scope is not None:
            scopes.append(self.scope)
            uses += [*self.scope.head, *(use for use in self.scope.uses if use.tag not in self.omitted)]
            inner = [child for child in self.scope.children if not {id(child.node), child.tag} & self.omitted]
            inner += [scope for scope in self.scope.children if scope.kind == "head" and scope not in inner]
            _add_inner(inner, scopes, uses)
            if self.annotated:
                annotations = annotation_uses(self.scope)
                scopes += annotations[0]
                uses += annotations[1]
        top = self.file.module.top
        tags = {id(node) for statement in self.others for node in ast.walk(statement) if isinstance(node, ast.stmt)}
        tags -= self.omitted
        uses += [use for use in top.uses if use.tag in tags]
        _add_inner((child for child in top.children if child.tag in tags and not _is_definition(child)), scopes, uses)
        return reads_of(scopes, uses)


def _add_inner(inner: Iterable[Scope], scopes: list[Scope], uses: list[Use]) -> None:
    for scope in inner:
        for child in scope.below():
            scopes.append(child)
            uses += child.all_uses()


def _is_definition(scope: Scope) -> bool:
    return isinstance(scope.node, DEFINITIONS)


def omitted_nodes(
    file: SourceFile, scope: Scope, reached: Container[str], seen: Container[int], options: Container[str] = ()
) -> frozenset[int]:
    """Ids of the nodes of a class statement that do not count in it.

    Args:
        reached: names of attributes that have items of their own, or do not count.
        seen: ids of scopes of functions and classes that have items of their own.
        options: names whose value does not say everything: that of a field does not show `compare=False`.
    """
    written = [assignment for assignment in assignments_in(scope) if assignment[0] in reached]
    omitted = {id(shown) for name, _, shown, plain in written if plain or name not in options}
    names = {child.name for child in scope.children if id(child) in seen}
    for inner in scope.children:
        if id(inner) in seen or (inner.name in reached and _is_definition(inner)):
            omitted.add(id(inner.node))
        elif inner.name in names and _is_definition(inner) and not _is_kept(file, inner.node):
            omitted.add(id(inner.node))  # a later one of this name has replaced it
    return frozenset(omitted)


def _is_kept(file: SourceFile, node: Any) -> bool:
    """Whether a decorator may keep a function whose name another function has taken."""
    return any(not _UNTYPED.intersection(imported_as(file, decorator)) for decorator in node.decorator_list)


def assignments_in(scope: Scope) -> Iterator[tuple[str, ast.stmt, ast.AST, bool]]:
    """Of each `name = value` of a class: name, statement, the node that the value replaces, whether a constant."""
    node: Any = scope.node
    for statement in node.body:
        targets: list[Any] = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
        value = getattr(statement, "value", None)
        if len(targets) != 1 or not isinstance(targets[0], ast.Name) or value is None:
            continue
        plain = isinstance(value, ast.Constant)
        if isinstance(statement, ast.Assign):
            yield targets[0].id, statement, statement, plain
        elif isinstance(statement, ast.AnnAssign):
            yield targets[0].id, statement, value, plain  # that it is a field stays


def making_statements(file: SourceFile, cls: type, names: Mapping[str, object]) -> tuple[ast.stmt, ...]:
    """The statements at the top of a module, except a class statement, that bind names to a class."""
    bound = [name for name, value in names.items() if value is cls and name in file.module.top.bound]
    leaves = [leaf for name in bound for leaf in statements_of(file).names.get(name, ()) if leaf.role == "binds"]
    return tuple({id(leaf.path[0]): leaf.path[0] for leaf in leaves}.values())


def matches_class(scope: Scope, cls: type, names: Mapping[str, object], changed: Container[str] = ()) -> bool:
    """Whether a class may come from a statement, judged by its names, constants, fields and bases.

    Needed for classes without methods of which the code would show it: the file may have been edited since.

    Args:
        names: the globals of its module.
        changed: attributes that other statements of the module set.
    """
    attributes, node = vars(cls), scope.node
    functions = {child.name for child in scope.children if child.kind == "function" and child.name != "<lambda>"}
    if not functions <= attributes.keys() or not _has_bases(node, cls, names) or not _has_fields(node, cls, names):
        return False
    plain = type(cls) is type and not getattr(node, "decorator_list", ()) and "_fields" not in attributes
    values = {name: value for name, value in _written_once(scope) if name not in changed}
    if plain and not values.keys() <= attributes.keys():
        return False
    return all(
        _same(attributes.get(name), value.value, plain)
        for name, value in values.items()
        if isinstance(value, ast.Constant)
    )


def _written_once(scope: Scope) -> Iterator[tuple[str, Any]]:
    """Name and value of each attribute that the statement sets once, without private names, which Python changes."""
    body: Any = scope.node
    nodes = [node for statement in body.body if not isinstance(statement, DEFINITIONS) for node in ast.walk(statement)]
    bound = [node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)]
    for name, statement, _, _ in assignments_in(scope):
        if bound.count(name) == 1 and (not name.startswith("__") or name.endswith("__")):
            yield name, getattr(statement, "value", None)


def _same(value: object, constant: object, strict: bool) -> bool:
    return value == constant if type(value) is type(constant) else not strict


def _has_bases(node: Any, cls: type, names: Mapping[str, object]) -> bool:
    """Whether each base that is written as a name is a base, by name: it may have been made again since."""
    found = {base.__qualname__ for base in cls.__bases__}
    for written in node.bases:
        base = _named_object(written, names)
        if isinstance(base, type) and base.__qualname__ not in found:
            return False
    plain = not node.bases and not node.keywords and not node.decorator_list
    return not plain or cls.__bases__ == (object,)


def _has_fields(node: Any, cls: type, names: Mapping[str, object]) -> bool:
    """Whether the annotations are those of the class; not checked since Python 3.14, which computes them on demand."""
    if sys.version_info >= (3, 14):
        return True
    found = vars(cls).get("__annotations__", {})
    counted = annotated_nodes(node)
    fields = [inner for inner in ast.walk(node) if isinstance(inner, ast.AnnAssign) and id(inner) in counted]
    simple = [field for field in fields if field.simple]
    written = {field.target.id: field for field in simple if isinstance(field.target, ast.Name)}
    always = [name for name, field in written.items() if field in node.body and not name.startswith("__")]
    if not found.keys() >= set(always) or any(name not in written for name in found if not name.startswith("_")):
        return False
    return all(_is_annotation(found[name], written[name].annotation, names) for name in always)


def _is_annotation(value: object, written: ast.expr, names: Mapping[str, object]) -> bool:
    if isinstance(value, str) and not isinstance(written, ast.Constant):
        try:
            return ast.dump(ast.parse(value, mode="eval").body) == ast.dump(written)
        except SyntaxError:
            return False
    named = _named_object(written, names)
    return not isinstance(named, type) or not isinstance(value, type) or named.__qualname__ == value.__qualname__


def _named_object(node: ast.AST, names: Mapping[str, object]) -> object:
    """The object that an expression leads to through modules and classes; None if it is not of this form."""
    chain = chain_of(node)
    if chain is None:
        return None
    value: Any = names.get(chain[0], vars(builtins).get(chain[0]))
    for name in chain[1:]:
        value = vars(value).get(name) if isinstance(value, (type, type(ast))) else None
    return value


def functions_in(value: Any) -> Iterator[FunctionType]:
    """The functions that an attribute is or wraps, through any number of wrappers."""
    todo = [value]
    while todo:
        wrapper = todo.pop()
        if type(wrapper) is FunctionType:
            yield wrapper
            todo += [inner] if (inner := vars(wrapper).get("__wrapped__")) is not None else []
        else:
            todo += reversed(wrapped(wrapper) or ())


def class_source(cls: type) -> tuple[SourceFile, Scope] | None:
    """The file and class statement that a class comes from.

    It is where its methods stand. A class without methods is found in the file of its module, see `matches_class`.
    """
    module = sys.modules.get(cls.__module__)
    if module is not None and was_edited(module):
        return None
    if module is not None and may_be_older(module, cls):
        return _older_source(cls, module)
    for value in vars(cls).values():
        for function in functions_in(value):
            if is_users_code(function.__code__, function.__globals__):
                piece = piece_of(function.__code__, function.__globals__)
                outer = piece.scope.parent if piece.scope is not None else None
                if piece.file is not None and outer is not None and outer.qualname == cls.__qualname__:
                    return piece.file, outer
    file = loaded_file(module) if module is not None else None
    names = vars(module) if module is not None else {}
    for scope in file.class_scopes(cls.__qualname__) if file is not None else ():
        if matches_class(scope, cls, names, _set_later(file, scope.name)):
            return file, scope  # type: ignore[return-value]  # there are no scopes without a file
    return None


def _older_source(cls: type, module: ModuleType) -> tuple[SourceFile, Scope] | None:
    """For a class whose module was loaded again: its source if only one of the texts has such a class."""
    methods = {function.__code__ for value in vars(cls).values() for function in functions_in(value)}
    found: dict[str, tuple[SourceFile, Scope]] = {}
    for file in loaded_files(module):
        own = [code for code in methods if code.co_filename == file.path]
        for scope in file.class_scopes(cls.__qualname__):
            written = [file.scope_of(code) for code in own]
            is_its = matches_class(scope, cls, vars(module), _set_later(file, scope.name))
            if is_its and all(inner is not None and inner.parent is scope for inner in written):
                found.setdefault("".join(syntax_text(scope.node)), (file, scope))
    return found.popitem()[1] if len(found) == 1 else None


def _set_later(file: SourceFile | None, name: str) -> frozenset[str]:
    """The attributes that statements and functions of a module may have set on a class."""
    if file is None:
        return frozenset()
    changed = [change.chain for change in file.module.changed if change.chain[0] == name]
    nodes = [node for statement in statements_of(file).changes(name) for node in ast.walk(statement)]
    found = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    found |= {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return frozenset(found | {chain[1] for chain in changed if len(chain) > 1})
