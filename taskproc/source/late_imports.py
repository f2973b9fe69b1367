"""Following imports inside functions, by the text of the files, whether the modules are loaded or not.

A module that is imported while a task runs is not loaded when the first fingerprint is taken, but it is loaded at the
next one. Its file gives the same items at any time, in any process. Nothing is imported for it, and the imports of such
a module are read in the same way. Its classes too are judged as they are written: whether one is followed must not
depend on whether its module is loaded.
"""
from __future__ import annotations

import ast
import builtins
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from importlib.machinery import EXTENSION_SUFFIXES
from types import ModuleType
from typing import Any, NamedTuple

from taskproc.modules import real_name
from taskproc.source.expressions import MUTATORS, THIS, Imported, absolute_module, module_prefixes, package_of
from taskproc.source.findings import Findings
from taskproc.source.functions import Reads, reads_of
from taskproc.source.project import is_users_file, is_users_module
from taskproc.source.scopes import Scope, Use
from taskproc.source.source_files import SourceFile, loaded_file, locate_module, read_ahead, was_edited
from taskproc.source.statements import Group, Leaf, is_deed, is_harmless, statements_of
from taskproc.source.syntax import Chain, bound_name, chain_of, child_nodes, digest, syntax_text

_NO_FILE = frozenset({"frozen", "built-in"})  # origins of modules that are part of the interpreter


class LateImports:
    """The imports inside functions that one walk met."""

    def __init__(self, walk: Findings):
        self._walk = walk
        self._written = WrittenClasses(walk.ends, _text_and_module)
        self._found: dict[str, Group] = {}
        self._met: set[tuple[str, Chain]] = set()
        self._visited: set[str] = set()
        self._classes: dict[tuple[str, str], tuple[SourceFile, str, str]] = {}  # that are not followed
        self._parts: set[tuple[ast.AST, str]] = set()
        self._todo: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()

    def follow(self, imported: Imported, rest: Chain, names: Mapping[str, Any], reader: str) -> None:
        """Follow an import in a function with these globals, and the names `rest` that are read of its target."""
        self._import(imported, rest, package_of(names), reader)
        self._finish()

    def _finish(self) -> None:
        while self._todo:
            visit, args = self._todo.popleft()
            visit(*args)

    def run(self, imported: Imported, names: Mapping[str, Any], reader: str) -> None:
        """Visit the module that a function with these globals imports, whether its names are read or not."""
        self._run(imported, package_of(names), reader)
        self._finish()

    def put(self) -> None:
        """Record the items. The walk may have recorded some already from loaded objects, which is more exact."""
        for name, group in self._found.items():
            if name not in self._walk.items:
                self._walk.put(name, group.digest, group.text)

    def _import(self, imported: Imported, rest: Chain, package: str, reader: str) -> None:
        module = absolute_module(imported, package)
        chain = rest if imported.name is None else (imported.name, *rest)
        if (module, chain) not in self._met:
            self._met.add((module, chain))
            self._todo.append((self._module, (module, chain, reader)))

    def _module(self, module: str, chain: Chain, reader: str) -> None:
        """Follow a chain that begins in a module: into submodules, to a name that it defines, or to all its names."""
        file, path, loaded = _module_text(module)
        if file is None:
            self._without_source(module, path, loaded, chain, reader)
            return
        self._visit(file, module)
        if not chain:
            for name in sorted(file.module.top.bound):
                self._symbol(file, module, name, ())
        elif chain[0] in file.module.top.bound:
            self._symbol(file, module, chain[0], chain[1:])
        elif not self._submodule(module, chain, reader):
            self._elsewhere(file, module, chain, reader)

    def _without_source(
        self, module: str, path: str | None, loaded: ModuleType | None, chain: Chain, reader: str
    ) -> None:
        if (loaded is not None and not is_users_module(loaded)) or (
            path and (path in _NO_FILE or not is_users_file(path))
        ):
            self._walk.package(module)
            return
        if loaded is not None and was_edited(loaded):
            self._walk.edited(loaded)
        elif path and path.endswith(tuple(EXTENSION_SUFFIXES)):
            self._walk.untrack(f"{module} is compiled")
        elif loaded is not None and not path:
            if not chain or not self._submodule(module, chain, reader):
                self._walk.follow_module(loaded, module, (module, *chain))
        elif not chain or not self._submodule(module, chain, reader):
            self._walk.untrack(f"{reader} imports {module}, which was not found")

    def _submodule(self, module: str, chain: Chain, reader: str) -> bool:
        inner = f"{module}.{chain[0]}"
        path, loaded = locate_module(inner)
        if path is None and loaded is None:
            return chain[0].startswith("__")  # `module.__file__` and the like
        self._todo.append((self._module, (inner, chain[1:], reader)))
        return True

    def _elsewhere(self, file: SourceFile, module: str, chain: Chain, reader: str) -> None:
        """Follow a name that the module does not bind: it comes from `import *`, or does not exist."""
        if hasattr(builtins, chain[0]) and not file.module.stars:
            return
        package = _package_name(file, module)
        for star in reversed(file.module.stars):
            other, _, loaded = _module_text(absolute_module(star, package))
            if other is None or other.module.stars or chain[0] in other.module.top.bound or loaded is None:
                self._import(star._replace(name=chain[0]), chain[1:], package, reader)
                return
        if hasattr(builtins, chain[0]):
            return
        if "__getattr__" in file.module.top.bound:
            self._todo.append((self._symbol, (file, module, "__getattr__", ())))
        self._walk.untrack(f"{reader} reads {module}:{chain[0]}, which is not there, or is computed by its module")

    def _visit(self, file: SourceFile, module: str) -> None:
        """Count what a module does when it is imported, and visit those that it imports."""
        if file.path in self._visited:
            return
        self._visited.add(file.path)
        statements, package = statements_of(file), _package_name(file, module)
        chosen = [leaf for leaf in statements.acts if self._acts(leaf, file, package)]
        if chosen:
            group = self._found[f"module {real_name(module)} (statements)"] = statements.deeds(chosen)
            self._reads(file, module, real_name(module), group.reads)
        for imported in statements.needs:
            self._run(imported, package, "")

    def _run(self, imported: Imported, package: str, reader: str) -> None:
        """Visit an imported module and the packages around it. `reader`: the code that imports it; empty: a module."""
        name = absolute_module(imported, package)
        for inner in module_prefixes(name if imported.name is None else f"{name}.{imported.name}"):
            file, path, loaded = _module_text(inner)
            if file is not None and file.path not in self._visited:
                self._todo.append((self._visit, (file, inner)))
            elif inner == name and reader and file is None and not _is_folder(path, loaded):
                self._without_source(name, path, loaded, (), reader)
            if file is None and path is not None and not is_users_file(path):
                return

    def _acts(self, leaf: Leaf, file: SourceFile, package: str) -> bool:
        statements, root = statements_of(file), leaf.chain[0]
        imported = statements.source(root)
        if imported is not None:
            return not is_harmless(imported._replace(module=absolute_module(imported, package)).written(), leaf)
        if not statements.is_bound(root):
            return is_deed(leaf)
        return leaf.role == "calls" and statements.defines(root)

    def _symbol(self, file: SourceFile, module: str, symbol: str, rest: Chain) -> None:
        if (file.path, (":", symbol, *rest)) in self._met:
            return
        self._met.add((file.path, (":", symbol, *rest)))
        name = f"{real_name(module)}:{symbol}"
        if name not in self._walk.named and self._written.ends(file, module, symbol):
            self._classes[file.path, symbol] = file, module, symbol
            self._part(file, module, symbol, rest)
            return
        statements = statements_of(file)
        self._walk.loose.update(rest)
        if any(_is_change(change.method, statements.defines(symbol))
               for change in file.module.changed if change.chain == (symbol,)):
            self._walk.untrack(f"{name} is changed by the code itself")
        imported = {leaf.imported for leaf in statements.names.get(symbol, ()) if leaf.imported is not None}
        for target in sorted(imported):
            self._import(target, rest, _package_name(file, module), name)
        group = statements.group(symbol)
        if group is not None and name not in self._found:
            self._found[name] = group
            self._reads(file, module, name, group.reads)

    def _reads(self, file: SourceFile, module: str, name: str, reads: Reads) -> None:
        self._walk.loose |= reads.loose
        for chain in reads.chains:
            if chain[0] in file.module.top.bound:
                self._todo.append((self._symbol, (file, module, chain[0], chain[1:])))
            else:
                self._elsewhere(file, module, chain, name)
        for imported in reads.runs:
            self._run(imported, _package_name(file, module), name)
        for imported, rest in reads.imports:
            if imported == THIS:
                self._todo.append((self._module, (module, rest, name)))
            else:
                self._import(imported, rest, _package_name(file, module), name)
        for words in reads.alerts:
            self._walk.untrack(f"{name} {words}")

    def join(self) -> bool:
        """Follow attributes of classes that are not followed, if code reads attributes so named. False: none new."""
        before = len(self._parts)
        for file, module, symbol in list(self._classes.values()):
            for attr in sorted(self._walk.loose):
                self._part(file, module, symbol, (attr,))
        self._finish()
        return len(self._parts) > before

    def _part(self, file: SourceFile, module: str, symbol: str, rest: Chain) -> None:
        """Follow one attribute of a class that is not followed, and the attributes that this one reads."""
        self._walk.loose.update(rest[1:])
        if not rest or rest[0].startswith("__") or rest[0] in self._walk.settings:
            return
        holder = self._written.holder(file, module, symbol, rest[0])
        if holder is None or (holder.scope.node, rest[0]) in self._parts:
            return
        self._parts.add((holder.scope.node, rest[0]))
        name = f"{real_name(holder.module)}:{holder.scope.qualname}.{rest[0]}"
        statements = holder.binding(rest[0])
        reads = _reads_in(holder.scope, set(map(id, statements)))
        code = "".join(text for statement in statements for text in syntax_text(statement))
        self._found[name] = Group(digest(code), "".join(map(holder.file.segment, statements)), reads, False)
        self._reads(holder.file, holder.module, name, reads)
        tags = set(map(id, statements))
        own = {use.chain[0] for use in holder.scope.uses if use.tag in tags and use.chain and use.kind == "name"}
        for attr in sorted((own & holder.scope.bound) | reads.own):
            self._part(file, module, symbol, (attr,))


def _reads_in(scope: Scope, tags: set[int]) -> Reads:
    """What some statements of a class read, with the code inside them."""
    scopes = [inner for child in scope.children if child.tag in tags for inner in child.below()]
    uses: list[Use] = [use for use in scope.uses if use.tag in tags]
    return reads_of(scopes, [*uses, *(use for inner in scopes for use in inner.all_uses())])


def _module_text(module: str) -> tuple[SourceFile | None, str | None, ModuleType | None]:
    """The text of a module of the user, its path, and the module if it is loaded."""
    path, loaded = locate_module(module)
    if not path or not path.endswith(".py") or not is_users_file(path):
        return None, path, loaded
    return loaded_file(loaded) if loaded is not None else read_ahead(module, path), path, loaded


def _text_and_module(module: str) -> tuple[SourceFile | None, ModuleType | None]:
    file, _, loaded = _module_text(module)
    return file, loaded


def _is_folder(path: str | None, loaded: ModuleType | None) -> bool:
    """Whether a module is a package without `__init__.py`, or was made by a program."""
    return (loaded is not None and not path) or (path is not None and os.path.isdir(path))


def _is_change(method: str, is_code: bool) -> bool:
    """Whether a method may change a name, judged without its value: nothing that is called on code changes it."""
    return method not in MUTATORS or not is_code

Locate = Callable[[str], "tuple[SourceFile | None, ModuleType | None]"]  # the text of a module, and it where loaded
Ends = Callable[[object], bool]


class AttributeHolder(NamedTuple):
    """A class statement that binds an attribute, with its file and module."""

    file: SourceFile
    module: str
    scope: Scope

    def binding(self, name: str) -> list[ast.stmt]:
        """The statements of its body that bind a name."""
        body: list[ast.stmt] = getattr(self.scope.node, "body", [])
        return [statement for statement in body if name in _bound_in(statement)]


_DEEPEST = 30  # imports from a name to its definition: they may form a cycle


class WrittenClasses:
    """Classes as they are written: for one walk, which are not followed, and where their attributes are bound."""

    def __init__(self, ends: Ends, locate: Locate):
        self._ends, self._locate = ends, locate
        self._known: dict[tuple[str, str], bool] = {}

    def ends(self, file: SourceFile, module: str, name: str) -> bool:
        """Whether the name stands for a class that is not followed, judged by its bases."""
        key = (file.path, name)
        if key not in self._known:
            self._known[key] = False  # bases may form a cycle
            bases = [base for scope in file.class_scopes(name) for base in _written_bases(scope)]
            self._known[key] = any(self._base_ends(file, module, base) for base in bases)
        return self._known[key]

    def holder(self, file: SourceFile, module: str, name: str, attr: str) -> AttributeHolder | None:
        """The class statement that binds an attribute: of the class, or of the first of its bases that has it."""
        todo, seen = [(file, module, name)], set[tuple[str, str]]()
        while todo:
            file, module, name = todo.pop(0)
            if (file.path, name) in seen:
                continue
            seen.add((file.path, name))
            for scope in file.class_scopes(name):
                if attr in scope.bound:
                    return AttributeHolder(file, module, scope)
                todo += [found for base in _written_bases(scope) for found in self._classes(file, module, base)]
        return None

    def _base_ends(self, file: SourceFile, module: str, base: ast.expr) -> bool:
        return any(
            self._ends(found) if isinstance(found, type) else isinstance(found, tuple) and self.ends(*found)
            for found in self._targets(file, module, _base_chain(base), 0)
        )

    def _classes(self, file: SourceFile, module: str, base: ast.expr) -> list[tuple[SourceFile, str, str]]:
        return [target for target in self._targets(file, module, _base_chain(base), 0) if isinstance(target, tuple)]

    def _targets(self, file: SourceFile, module: str, chain: Chain, steps: int) -> Iterator[Any]:
        """The targets of a chain: objects of a library, or file, module and name of a class of the user."""
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
            inner = absolute_module(imported, _package_name(file, module))
            rest = chain[1:] if imported.name is None else (imported.name, *chain[1:])
            yield from self._from(inner, rest, steps + 1)

    def _from(self, module: str, chain: Chain, steps: int) -> Iterator[Any]:
        file, loaded = self._locate(module)
        if loaded is not None and not is_users_module(loaded):
            yield from _library_objects(loaded, chain)
        elif file is not None and chain and chain[0] in file.module.top.bound:
            yield from self._targets(file, module, chain, steps)
        elif len(chain) > 1:
            yield from self._from(f"{module}.{chain[0]}", chain[1:], steps + 1)
        elif file is not None:
            yield from self._targets(file, module, chain, steps)


def _package_name(file: SourceFile, module: str) -> str:
    return module if file.path.endswith("__init__.py") else module.rpartition(".")[0]


def _library_objects(value: Any, chain: Chain) -> Iterator[object]:
    """The object that a loaded module of a library has under a chain. Only code of taskproc may run for it."""
    for name in chain:
        if not isinstance(value, ModuleType):
            return
        names, module = vars(value), str(vars(value).get("__name__"))
        ours = module == __name__.partition(".")[0]
        value = getattr(value, name, None) if ours else names.get(name, sys.modules.get(f"{module}.{name}"))
    yield value


def _written_bases(scope: Scope) -> list[ast.expr]:
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
            yield from map(bound_name, node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        else:
            todo += child_nodes(node)


def _base_chain(base: ast.expr) -> Chain:
    return chain_of(base.value if isinstance(base, ast.Subscript) else base) or ()
