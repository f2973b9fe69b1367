"""What imports inside functions lead to, read from the files, whether the modules are loaded by now or not.

A module that is imported while a task runs is not there when the fingerprint is asked for, and is there the next time.
Read from its file it gives the same items at any time, in any process. Nothing is imported for it. What such a module
gets from its own imports is read in the same way.
"""
from __future__ import annotations

import ast
import sys
from collections import deque
from collections.abc import Callable, Mapping
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from types import ModuleType
from typing import Any

from taskproc.modules import main_name, real_name
from taskproc.source.dump import digest, dump
from taskproc.source.ended import Ended
from taskproc.source.files import SourceFile
from taskproc.source.loading import loaded_file, read_ahead, was_edited
from taskproc.source.pieces import Reads, reads_of
from taskproc.source.project import is_users_file, is_users_module
from taskproc.source.scopes import Chain, Imported, Scope, Use
from taskproc.source.walking import Walking

_IMPORTS = (ast.Import, ast.ImportFrom)  # other names of one statement do not count

_searched: dict[tuple[str, tuple[str, ...]], str] = {}
_NO_FILE = frozenset({"frozen", "built-in"})  # where modules come from that are part of the interpreter


class Unloaded:
    """The imports that one walk met inside functions."""

    def __init__(self, walk: Walking):
        self._walk = walk
        self._ended = Ended(walk.ends, _text_and_module)
        self._found: dict[str, tuple[str, str]] = {}  # name → digest and text
        self._met: set[tuple[str, Chain]] = set()
        self._named_of: set[tuple[ast.AST, str]] = set()
        self._todo: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()

    def follow(self, imported: Imported, rest: Chain, names: Mapping[str, Any], reader: str) -> None:
        """Follow an import in a function with these globals, and the names that are read from what it gives."""
        package = names.get("__package__")
        if package is None:
            package = str(names.get("__name__")).rpartition(".")[0] if "__path__" not in names else names["__name__"]
        self._import(imported, rest, str(package), reader)
        while self._todo:
            visit, args = self._todo.popleft()
            visit(*args)

    def put(self) -> None:
        """Put the items; what the walk met as a live object is there already, and true."""
        for name, (number, text) in self._found.items():
            if name not in self._walk.items:
                self._walk.put(name, number, text)

    def _import(self, imported: Imported, rest: Chain, package: str, reader: str) -> None:
        module = imported.module
        if imported.level:
            parts = package.split(".")
            parts = parts[: len(parts) - imported.level + 1]
            module = ".".join([*parts, *filter(None, [module])])
        chain = rest if imported.name is None else (imported.name, *rest)
        if (module, chain) not in self._met:
            self._met.add((module, chain))
            self._todo.append((self._module, (module, chain, reader)))

    def _module(self, module: str, chain: Chain, reader: str) -> None:
        """Follow `chain` from a module on: into its submodules, to a name that it defines, or to all of them."""
        file, path, loaded = _text_of(module)
        if file is None:
            self._without_source(module, path, loaded, chain, reader)
            return
        if not chain:
            for name in sorted(file.module.top.bound):
                self._symbol(file, module, name, ())
        elif chain[0] in file.module.top.bound:
            self._symbol(file, module, chain[0], chain[1:])
        elif not self._submodule(module, chain, reader):
            self._elsewhere(file, module, chain)

    def _without_source(
        self, module: str, path: str | None, loaded: ModuleType | None, chain: Chain, reader: str
    ) -> None:
        if loaded is not None and not is_users_module(loaded):
            return
        if path and (path in _NO_FILE or not is_users_file(path)):
            return
        if loaded is not None and was_edited(loaded):
            self._walk.edited(loaded)
        elif path and path.endswith(tuple(EXTENSION_SUFFIXES)):
            self._walk.untrack(f"{module} is compiled")
        elif loaded is not None and not path:
            if not chain or not self._submodule(module, chain, reader):
                self._walk.live(loaded, module, (module, *chain))
        elif not chain or not self._submodule(module, chain, reader):
            self._walk.untrack(f"{module}, which {reader} imports, was not found")

    def _submodule(self, module: str, chain: Chain, reader: str) -> bool:
        inner = f"{module}.{chain[0]}"
        path, loaded = locate(inner)
        if path is None and loaded is None:
            return chain[0].startswith("__")  # `module.__file__` and the like
        self._todo.append((self._module, (inner, chain[1:], reader)))
        return True

    def _elsewhere(self, file: SourceFile, module: str, chain: Chain) -> None:
        """The name comes from an import of all names, or is not there."""
        for star in file.module.stars:
            self._import(star._replace(name=chain[0]), chain[1:], _package(file, module), f"{real_name(module)}:*")

    def _symbol(self, file: SourceFile, module: str, symbol: str, rest: Chain) -> None:
        if (file.path, (":", symbol, *rest)) in self._met:
            return
        self._met.add((file.path, (":", symbol, *rest)))
        name = f"{real_name(module)}:{symbol}"
        if self._ended.ends(file, module, symbol):
            self._named(file, module, symbol, rest)
            return
        top = file.module.top
        if (symbol,) in file.module.changed:
            self._walk.untrack(f"{name} is changed by the code itself")
            return
        for imported in top.imports.get(symbol, ()):
            self._import(imported, rest, _package(file, module), name)
        statements = file.statements(symbol)
        code = [text for some in statements if not isinstance(some, _IMPORTS) for text in dump(some)]
        imports = [repr(tuple(imported)) for imported in top.imports.get(symbol, ())]
        self._found[name] = digest("".join([*code, *imports])), "".join(map(file.segment, statements))
        for statement in statements:
            self._reads(file, module, name, _reads(top, statement))

    def _reads(self, file: SourceFile, module: str, name: str, reads: Reads) -> None:
        for chain in reads.chains:
            if chain[0] in file.module.top.bound:
                self._todo.append((self._symbol, (file, module, chain[0], chain[1:])))
            else:
                self._elsewhere(file, module, chain)
        for imported, rest in reads.imports:
            self._import(imported, rest, _package(file, module), name)
        for words in reads.alerts:
            self._walk.untrack(f"{words} in {name}")

    def _named(self, file: SourceFile, module: str, symbol: str, rest: Chain) -> None:
        """Of a class that is not followed: the constant or function of it that is named."""
        if not rest or rest[0].startswith("__") or rest[0] in self._walk.settings:
            return
        holder = self._ended.holder(file, module, symbol, rest[0])
        if holder is None or (holder.scope.node, rest[0]) in self._named_of:
            return
        self._named_of.add((holder.scope.node, rest[0]))
        name = f"{real_name(holder.module)}:{holder.scope.qualname}.{rest[0]}"
        statements = holder.binding(rest[0])
        code = [text for some in statements for text in dump(some)]
        self._found[name] = digest("".join(code)), "".join(map(holder.file.segment, statements))
        for statement in statements:
            self._reads(holder.file, holder.module, name, _reads(holder.scope, statement))
            for use in holder.scope.uses:
                if use.tag == id(statement) and use.chain[0] in holder.scope.bound:
                    self._named(file, module, symbol, use.chain)


def _text_of(module: str) -> tuple[SourceFile | None, str | None, ModuleType | None]:
    """The text of a module of the user's, its file, and the module where it is loaded."""
    path, loaded = locate(module)
    if not path or not path.endswith(".py") or not is_users_file(path):
        return None, path, loaded
    return loaded_file(loaded) if loaded is not None else read_ahead(module, path), path, loaded


def _text_and_module(module: str) -> tuple[SourceFile | None, ModuleType | None]:
    file, _, loaded = _text_of(module)
    return file, loaded


def locate(module: str) -> tuple[str | None, ModuleType | None]:
    """File of a module, and the module where it is loaded; nothing is imported to find it."""
    loaded = _loaded(module)
    if loaded is not None:
        path = vars(loaded).get("__file__")
        return (path if type(path) is str else None), loaded
    key = (module, tuple(sys.path))
    if key not in _searched and (path := _search(module)) is not None:
        _searched[key] = path
    return _searched.get(key), None


def _loaded(module: str) -> ModuleType | None:
    return sys.modules.get("__main__" if module == main_name() else module)


def _search(module: str) -> str | None:
    """File of a module that is not loaded. Its packages are not imported either, as find_spec of importlib does."""
    places: Any = None
    spec: ModuleSpec | None = None
    name = ""
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        spec = next(filter(None, (_spec(finder, name, places) for finder in sys.meta_path)), None)
        if spec is None:
            return None
        places = spec.submodule_search_locations
    if spec is not None and spec.has_location:
        return spec.origin
    return str(spec.origin or next(iter(places or ()), "")) if spec is not None else None


def _spec(finder: Any, name: str, places: Any) -> ModuleSpec | None:
    try:
        found: ModuleSpec | None = finder.find_spec(name, places)
    except Exception:  # noqa: BLE001  # a finder of somebody else's, which knows nothing about it
        return None
    return found


def _package(file: SourceFile, module: str) -> str:
    return module if file.path.endswith("__init__.py") else module.rpartition(".")[0]


def _reads(top: Scope, statement: Any) -> Reads:
    """What a statement of a module reads, with all that is inside it."""
    scopes = [inner for some in top.children if some.tag == id(statement) for inner in some.below()]
    uses: list[Use] = [use for use in top.uses if use.tag == id(statement)]
    for some in scopes:
        uses += [*some.head, *some.defaults, *some.uses]
    return reads_of(scopes, uses)
