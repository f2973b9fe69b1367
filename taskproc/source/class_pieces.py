"""What one class says by itself: its statement, what was set on it later, and what these take from outside.

It belongs to the text of a file, so what was found out about it is remembered there.
"""
from __future__ import annotations

import ast
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

from taskproc.frozen import frozen
from taskproc.source.acting import DEFINITIONS, annotated_in, imported_as
from taskproc.source.dump import digest, dump
from taskproc.source.files import SourceFile
from taskproc.source.pieces import Reads, reads_of
from taskproc.source.scopes import Scope, Use
from taskproc.source.statements import statements_of

_UNTYPED = frozenset({"typing.overload", "typing_extensions.overload"})  # nobody keeps what they decorate


@frozen
class ClassPiece:
    """A class statement, or the statements that make a class, without what has items of its own.

    Attributes:
        omitted: ids of the nodes that are left out, also of the other statements.
        annotated: whether annotations of fields count.
        others: statements at the top of the module that make or change the class.
    """

    file: SourceFile
    scope: Scope | None
    omitted: frozenset[int]
    annotated: bool
    others: tuple[ast.stmt, ...]

    def text(self) -> tuple[str, str]:
        """Its digest, and how it is written."""
        key = ("text", *self._key())
        if key not in self.file.memo:
            self.file.memo[key] = self._text()
        text: tuple[str, str] = self.file.memo[key]
        return text

    def reads(self) -> Reads:
        """What its decorators, bases, fields and other statements take from outside, with all that is inside them."""
        key = ("reads", *self._key())
        if key not in self.file.memo:
            self.file.memo[key] = self._reads()
        reads: Reads = self.file.memo[key]
        return reads

    def _key(self) -> tuple[object, ...]:
        return self.scope, self.omitted, self.annotated, *map(id, self.others)

    def _text(self) -> tuple[str, str]:
        nodes: list[Any] = [self.scope.node] if self.scope is not None else []
        annotated = annotated_in(nodes[0]) if nodes and self.annotated else frozenset()
        inner = frozenset(id(node) for some in self.others for node in ast.walk(some) if isinstance(node, DEFINITIONS))
        nodes += self.others
        omitted = self.omitted | inner
        syntax = "".join(text for node in nodes for text in dump(node, omitted, annotated))
        return digest(syntax), "".join(self.file.segment(node, omitted) for node in nodes)

    def _reads(self) -> Reads:
        uses: list[Use] = []
        scopes: list[Scope] = []
        if self.scope is not None:
            scopes.append(self.scope)
            uses += [*self.scope.head, *(use for use in self.scope.uses if use.tag not in self.omitted)]
            inner = [some for some in self.scope.children if not {id(some.node), some.tag} & self.omitted]
            inner += [some for some in self.scope.children if some.kind == "head" and some not in inner]
            _add(inner, scopes, uses)
            if self.annotated:
                uses += self.scope.annotations
                _add((some for head in self.scope.noted for some in head.children), scopes, uses)
        top = self.file.module.top
        tags = {id(node) for some in self.others for node in ast.walk(some) if isinstance(node, ast.stmt)}
        tags -= self.omitted
        uses += [use for use in top.uses if use.tag in tags]
        _add((some for some in top.children if some.tag in tags and not _is_definition(some)), scopes, uses)
        return reads_of(scopes, uses)


def _add(inner: Iterable[Scope], scopes: list[Scope], uses: list[Use]) -> None:
    for scope in inner:
        for some in scope.below():
            scopes.append(some)
            uses += [*some.head, *some.defaults, *some.uses]


def _is_definition(scope: Scope) -> bool:
    return isinstance(scope.node, DEFINITIONS)


def left_out(
    file: SourceFile, scope: Scope, reached: Container[str], seen: Container[int], options: Container[str] = ()
) -> frozenset[int]:
    """Ids of the nodes of a class statement that do not count in it.

    Args:
        reached: names of attributes that have items of their own, or do not count.
        seen: ids of scopes of functions and classes that have.
        options: names of which the value does not say all, as that of a field does not say `compare=False`.
    """
    written = [some for some in assigned(scope) if some[0] in reached]
    omitted = {id(shown) for name, _, shown, plain in written if plain or name not in options}
    names = {some.name for some in scope.children if id(some) in seen}
    for some in scope.children:
        if id(some) in seen or (some.name in reached and _is_definition(some)):
            omitted.add(id(some.node))
        elif some.name in names and _is_definition(some) and not _is_kept(file, some.node):
            omitted.add(id(some.node))  # another one of this name is in its place
    return frozenset(omitted)


def _is_kept(file: SourceFile, node: Any) -> bool:
    """Whether a decorator may keep a function that has lost its name to another one."""
    return any(not _UNTYPED.intersection(imported_as(file, some)) for some in node.decorator_list)


def assigned(scope: Scope) -> Iterator[tuple[str, ast.stmt, ast.AST, bool]]:
    """Name, statement, what of it the value stands for, and whether that is all, of each `name = value` of a class."""
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


def makers_of(file: SourceFile, cls: type, names: Mapping[str, object]) -> tuple[ast.stmt, ...]:
    """The statements at the top of a module, except a class statement, that bind names to a class."""
    bound = [name for name, value in names.items() if value is cls and name in file.module.top.bound]
    leaves = [leaf for name in bound for leaf in statements_of(file).names.get(name, ()) if leaf.role == "binds"]
    return tuple({id(leaf.path[0]): leaf.path[0] for leaf in leaves}.values())
