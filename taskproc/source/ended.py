"""Which classes of a text are not followed, told by their bases as they are written.

A module that is imported inside a function may be loaded at the second look of a process and was not at the first. So
what is known of its classes must not depend on that.
"""
from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

from taskproc.source.files import SourceFile
from taskproc.source.lookups import Chain, absolute, chain_of
from taskproc.source.nodes import children
from taskproc.source.project import is_users_module
from taskproc.source.scopes import Scope

Locate = Callable[[str], "tuple[SourceFile | None, ModuleType | None]"]  # the text of a module, and it where loaded
Ends = Callable[[object], bool]


class Holder(NamedTuple):
    """A class statement and where it stands."""

    file: SourceFile
    module: str
    scope: Scope

    def binding(self, name: str) -> list[ast.stmt]:
        """The statements of its body that bind a name."""
        body: list[ast.stmt] = getattr(self.scope.node, "body", [])
        return [some for some in body if name in _bound_in(some)]


_DEEPEST = 30  # steps from a name to what it stands for: imports may go round


class Ended:
    """Classes as they are written, for one walk."""

    def __init__(self, ends: Ends, locate: Locate):
        self._ends, self._locate = ends, locate
        self._known: dict[tuple[str, str], bool] = {}

    def ends(self, file: SourceFile, module: str, name: str) -> bool:
        """Whether what a text binds to a name is a class that is not followed."""
        key = (file.path, name)
        if key not in self._known:
            self._known[key] = False  # bases may go round
            scopes = file.class_scopes(name)
            self._known[key] = any(self._base_ends(file, module, base) for some in scopes for base in _bases(some))
        return self._known[key]

    def holder(self, file: SourceFile, module: str, name: str, attr: str) -> Holder | None:
        """The class statement that binds an attribute: of a class itself, or of the first of its bases that has it."""
        todo, seen = [(file, module, name)], set[tuple[str, str]]()
        while todo:
            file, module, name = todo.pop(0)
            if (file.path, name) in seen:
                continue
            seen.add((file.path, name))
            for scope in file.class_scopes(name):
                if attr in scope.bound:
                    return Holder(file, module, scope)
                todo += [found for base in _bases(scope) for found in self._classes(file, module, base)]
        return None

    def _base_ends(self, file: SourceFile, module: str, base: ast.expr) -> bool:
        return any(
            self._ends(found) if isinstance(found, type) else isinstance(found, tuple) and self.ends(*found)
            for found in self._targets(file, module, _chain(base), 0)
        )

    def _classes(self, file: SourceFile, module: str, base: ast.expr) -> list[tuple[SourceFile, str, str]]:
        return [some for some in self._targets(file, module, _chain(base), 0) if isinstance(some, tuple)]

    def _targets(self, file: SourceFile, module: str, chain: Chain, steps: int) -> Iterator[Any]:
        """What a chain leads to: a class of a library, or text, module and name of one of the user's."""
        if not chain or steps > _DEEPEST:
            return
        top = file.module.top
        imports = top.imports.get(chain[0], [])
        if not imports and chain[0] in top.bound:
            if len(chain) == 1:
                yield file, module, chain[0]
            return
        stars = [] if imports else [star._replace(name=chain[0]) for star in file.module.stars]
        for imported in [*imports, *stars]:
            inner = absolute(imported, _package(file, module))
            rest = chain[1:] if imported.name is None else (imported.name, *chain[1:])
            yield from self._from(inner, rest, steps + 1)

    def _from(self, module: str, chain: Chain, steps: int) -> Iterator[Any]:
        file, loaded = self._locate(module)
        if loaded is not None and not is_users_module(loaded):
            yield from _library(loaded, chain)
        elif file is not None and chain and chain[0] in file.module.top.bound:
            yield from self._targets(file, module, chain, steps)
        elif len(chain) > 1:
            yield from self._from(f"{module}.{chain[0]}", chain[1:], steps + 1)
        elif file is not None:
            yield from self._targets(file, module, chain, steps)


def _package(file: SourceFile, module: str) -> str:
    return module if file.path.endswith("__init__.py") else module.rpartition(".")[0]


def _library(value: Any, chain: Chain) -> Iterator[object]:
    """What a loaded module of a library has under a name; its own code is run only where it is taskproc."""
    for name in chain:
        if not isinstance(value, ModuleType):
            return
        names, module = vars(value), str(vars(value).get("__name__"))
        ours = module == __name__.partition(".")[0]
        value = getattr(value, name, None) if ours else names.get(name, sys.modules.get(f"{module}.{name}"))
    yield value


def _bases(scope: Scope) -> list[ast.expr]:
    found: list[ast.expr] = getattr(scope.node, "bases", [])
    return found


def _bound_in(statement: ast.AST) -> Iterator[str]:
    """The names that a statement of a class binds, also in statements inside it."""
    todo = [statement]
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        else:
            todo += children(node)


def _chain(base: ast.expr) -> Chain:
    return chain_of(base.value if isinstance(base, ast.Subscript) else base) or ()
