"""The walk from classes and functions to all the code that they reach.

A queue, not recursion: chains of calls may have any length. The order is that of the text, so names are given in the
same order in every process.
"""
from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any

from taskproc.modules import real_name
from taskproc.source.canonical import Canonical, canonical_form, code_held, code_within
from taskproc.source.class_statements import functions_in
from taskproc.source.classes import registered_functions, visit_class
from taskproc.source.effects import Effects
from taskproc.source.expressions import THIS, Imported
from taskproc.source.findings import Findings
from taskproc.source.functions import (
    MISSING,
    Piece,
    Reads,
    cell_content,
    defaults_of,
    is_written_default,
    piece_of,
    warn_bytecode,
)
from taskproc.source.introspection import Introspection
from taskproc.source.late_imports import LateImports
from taskproc.source.module_names import ModuleNames
from taskproc.source.project import is_extension, is_users_class, is_users_code, is_users_module
from taskproc.source.scopes import Change, Scope
from taskproc.source.source_files import SourceFile
from taskproc.source.state import attribute_value, may_change
from taskproc.source.syntax import Chain, digest
from taskproc.source.value_look import CHANGEABLE, OPAQUE, is_code, wrapped


class Walk(Findings):
    """One walk, which follows functions itself."""

    def __init__(self, ends: Callable[[object], bool], settings: frozenset[str]):
        super().__init__(ends, settings)
        self._changing: set[int] = set()          # ids of values that functions of the project change
        self._scanned: set[int] = set()           # ids of the globals of modules that were scanned
        self._roots: set[int] = set()
        self._not_followed: dict[int, type] = {}         # classes that are not followed
        self._parts: set[tuple[int, str]] = set()  # attributes of these that are
        self._module_names = ModuleNames(self)
        self._effects = Effects(self, self._module_names)
        self._late_imports = LateImports(self)
        self._readers = Introspection(self)

    def run(self, things: Iterable[object]) -> None:
        """Reach all that these objects reach. To be called once."""
        things = list(things)
        self._roots = set(map(id, things))
        for thing in things:
            self.meet(thing, "a thing that was given")
        while self._step():
            pass
        for tell in self.last:
            tell()
        self._late_imports.put()
        self._module_names.put()
        self._effects.put()
        for place in self.unsteady & self._places & self.items.keys():
            self.untrack(f"{place} is changed by the code itself")
            if not self._module_names.has(place):
                del self.items[place]

    def _step(self) -> bool:
        """Make one step; False if everything is reached."""
        if self._todo:
            visit, args = self._todo.popleft()
            visit(*args)
        elif self._values:
            place = next(iter(self._values))
            self._value(place, self._values.pop(place))
        else:
            return (
                self._effects.spread() or self._module_names.spread() or self._join() or self._late_imports.join()
            )
        return True

    # ------------------------------------------------------------ what is reached

    def meet(self, value: Any, place: str) -> str:
        kind = type(value)
        if kind is FunctionType:
            return self._function_name(value)
        if issubclass(kind, type):
            return self._class_name(value)
        if issubclass(kind, ModuleType):
            return self._whole_name(value)
        if kind is MethodType and not issubclass(type(value.__self__), ModuleType):
            self.meet(value.__self__, f"{place}.__self__")
        if kind in OPAQUE:
            return self._opaque(value, place)
        if (inner := wrapped(value)) is not None:
            names = [self.meet(code, place) for code in inner]
            return names[0] if len(names) == 1 else ""
        self.keep(place, value)
        return ""

    # ------------------------------------------------------------ functions

    def _function_name(self, function: FunctionType) -> str:
        known = self._names.get(id(function))
        if known is not None:
            return known
        code, names = function.__code__, function.__globals__
        if not is_users_code(code, names):
            self.package(str(names.get("__name__")))
            self.later(self._foreign, function)
            return self.pass_by(function)
        piece = piece_of(code, names)
        name = self.name(function, f"{self.module_name(names)}:{piece.qualname or function.__qualname__}")
        self.later(self._function, function, name, piece)
        self._module_names.code(function, name, names)
        return name

    def _foreign(self, function: FunctionType) -> None:
        """Follow functions of the user that a library's function holds, such as a wrapper or a singledispatch."""
        for held in (*code_within([function]), *registered_functions(self, function)):
            self.meet(held, "")
            self._readers.of_wrapped(held, function)

    def _function(self, function: FunctionType, name: str, piece: Piece) -> None:
        names, notes = function.__globals__, dict[str, str]()
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or ()))
        self.seen.add(id(piece.scope))
        if piece.file is None:
            warn_bytecode(name)
        else:
            self.scan(piece.file, names)
        self.follow(piece.reads, name, names, piece.file, notes, cells)
        self._readers.of_function(function, name, piece.file, piece.scope)
        defaults = defaults_of(function)
        self._capture(defaults, name, piece, notes)
        silent = [parameter for parameter, value in defaults.items() if is_written_default(value, parameter, piece)]
        self._capture({var: cell_content(cell) for var, cell in cells.items()}, name, piece, notes)
        for attr, value in vars(function).items():
            if attr == "__wrapped__" or not attr.startswith("__"):
                self.meet(value, f"{name}.{attr}")
        self.put(name, piece.digest, piece.text, notes, silent)

    def _capture(self, captured: Mapping[str, Any], name: str, piece: Piece, notes: dict[str, str]) -> None:
        """Count the present values of defaults, or of variables of the functions around it."""
        for variable, value in captured.items():
            if value is MISSING or (issubclass(type(value), ModuleType) and variable not in piece.written):
                continue  # followed by the names that are read of it
            if any(may_change(value, method) for method in piece.unsteady.get(variable, ())):
                self.untrack(f"{name} changes its own {variable}")
                for thing in code_held(value):
                    self.meet(thing, "")
            elif variable == "__class__":
                self.meet(value, "")
            elif is_code(value) and (target := self.meet(value, "")):
                if target != name:
                    notes[variable] = f"is {target}"
            elif not (found := self.canonical(value, name, f" has a variable {variable}{{}} that")).is_empty:
                notes[variable] = f"= {found.text}"

    def value_at(self, value: Any, place: str) -> bool:
        found = self.canonical(value, place)
        if not found.is_empty:
            self.put(place, digest(found.text), found.text)
        return found.is_whole

    def canonical(self, value: Any, place: str, part: str = "{}") -> Canonical:
        found = canonical_form(value, self.shown, self._changing)
        for module in found.libraries:
            self.package(module)
        for where, cause in found.unknown:
            self.untrack(f"{place}{part.format(where)} {cause}")
        return found

    # ------------------------------------------------------------ names

    def follow(
        self,
        reads: Reads,
        name: str,
        names: Mapping[str, Any],
        file: SourceFile | None,
        notes: dict[str, str],
        cells: Mapping[str, CellType] | None = None,
    ) -> None:
        self.loose |= reads.loose
        for chain in (*reads.free, *reads.chains):
            if cells and chain[0] in cells:
                self._from_module(cell_content(cells[chain[0]]), name, chain[1:], file, notes)
            elif chain not in reads.free:
                self._module_names.read(names, chain, name, file, notes)
        for imported in reads.runs:
            self._late_imports.run(imported, names, name)
        for imported, rest in reads.imports:
            if imported != THIS:
                self._late_imports.follow(imported, rest, names, name)
            elif (module := sys.modules.get(str(names.get("__name__")))) is not None:
                self._from_module(module, name, rest, file, notes)
        for words in reads.alerts:
            self.untrack(f"{name} {words}")

    def _from_module(
        self, value: Any, reader: str, rest: Chain, file: SourceFile | None, notes: dict[str, str]
    ) -> None:
        """Follow the names that are read of a module in a variable; those of any other value are loose attributes."""
        if not issubclass(type(value), ModuleType):
            self.loose.update(rest)
        elif not rest or not is_users_module(value):
            self.meet(value, "")
        else:
            self._module_names.read(vars(value), rest, reader, file, notes)

    # ------------------------------------------------------------ classes that are not followed

    def part(self, cls: type, attr: str) -> None:
        todo = [attr]
        while todo:
            attr = todo.pop()
            if attr.startswith("__") or attr in self.settings or (id(cls), attr) in self._parts:
                continue
            self._parts.add((id(cls), attr))
            if id(cls) in self._roots or not self.ends(cls):
                return
            owner = next((base for base in cls.__mro__ if attr in vars(base)), None)
            if owner is not None and is_users_class(owner):
                todo += self._part(vars(owner)[attr], f"{real_name(str(owner.__module__))}:{owner.__qualname__}.{attr}")

    def _part(self, value: Any, place: str) -> Iterator[str]:
        if place in self.unsteady:
            self.untrack(f"{place} is changed by the code itself")
        self.meet(value, place)
        for function in functions_in(value):
            if is_users_code(function.__code__, function.__globals__):
                yield from piece_of(function.__code__, function.__globals__).reads.own

    def end(self, cls: type) -> None:
        self._not_followed[id(cls)] = cls

    def _join(self) -> bool:
        """Follow attributes of classes that are not followed, if code reads attributes so named. False: none new."""
        before = len(self._parts)
        for cls in list(self._not_followed.values()):
            for base in cls.__mro__[:-1] if is_users_class(cls) else ():
                for attr in sorted(vars(base).keys() & self.loose) if is_users_class(base) else ():
                    self.part(cls, attr)
        return len(self._parts) > before

    # ------------------------------------------------------------ what is changed

    def scan(self, file: SourceFile, names: Mapping[str, Any]) -> None:
        if id(names) in self._scanned:
            return
        self._scanned.add(id(names))
        self._kept.append(names)
        self._module_names.note_file(names, file)
        self._effects.reach(names)
        self._readers.of_module(names, file)
        for change in file.module.changed:
            if change.chain[0] in names:
                self._note_change(change, names)

    def _note_change(self, change: Change, names: Mapping[str, Any]) -> None:
        spot = self._module_names.resolve(names, change.chain)
        if spot is None or issubclass(type(spot.value), ModuleType):
            return
        value, rest = spot.value, change.chain[spot.length :]
        place = f"{self.module_name(spot.names)}:{spot.attr}"
        if rest and is_code(value):
            place = f"{real_name(str(value.__module__))}:{value.__qualname__}.{rest[0]}"
            value, rest = vars(value).get(rest[0], MISSING), rest[1:]
        if may_change(attribute_value(value, rest), change.method):
            self.unsteady.add(place)
            if type(value) in CHANGEABLE:
                self._changing.add(id(value))

    def reach(self, names: Mapping[str, Any]) -> None:
        self._effects.reach(names)

    def follow_late(self, imported: Imported, rest: Chain, names: Mapping[str, Any], reader: str) -> None:
        self._late_imports.follow(imported, rest, names, reader)

    def follow_module(self, value: Any, place: str, chain: Chain) -> None:
        self._from_module(value, place, chain[1:], None, {})

    def note_class(self, cls: type, name: str, file: SourceFile | None, scope: Scope | None) -> None:
        self._readers.of_class(cls, name, file, scope)

    # ------------------------------------------------------------ classes, modules, values

    def _class_name(self, cls: type) -> str:
        known = self._names.get(id(cls))
        if known is not None:
            return known
        if not is_users_class(cls):
            self.package(cls.__module__)
            return self.pass_by(cls)
        called = f"{real_name(str(cls.__module__))}:{cls.__qualname__}"
        if id(cls) not in self._roots and self.ends(cls):
            self._names[id(cls)] = called
            self._kept.append(cls)
            self.end(cls)
            return called
        name = self.name(cls, called)
        self.later(visit_class, self, cls, name)
        module = sys.modules.get(cls.__module__)
        if module is not None:
            self._module_names.code(cls, name, vars(module))
        return name

    def _whole_name(self, module: ModuleType) -> str:
        called = self.module_name(vars(module))
        if not is_users_module(module):
            self.package(str(vars(module).get("__name__")))
            return ""
        if id(module) not in self._names:
            self.name(module, f"module {called}")
            self.later(self._whole, module, called)
        return called

    def _whole(self, module: ModuleType, called: str) -> None:
        """Follow all names that a module defines itself."""
        names = vars(module)
        if is_extension(module):
            self.untrack(f"{called} is compiled")
            return
        file = self._module_names.file(names)
        top = file.module.top if file is not None else None
        if file is not None:
            self.scan(file, names)
        for name, value in list(names.items()):
            own = name in top.bound and name not in top.imports if top else is_of(value, names)
            if own and not name.startswith("__"):
                self._module_names.read(names, (name,), called, file, {})

    def _value(self, place: str, value: Any) -> None:
        if place in self.unsteady or id(value) in self._changing:
            self.untrack(f"{place} is changed by the code itself")
            for thing in code_held(value):
                self.meet(thing, "")
        elif not self._module_names.value(place, value):
            self.value_at(value, place)

    def _opaque(self, value: Any, place: str) -> str:
        name = getattr(value, "__module__", None)
        module = sys.modules.get(str(name))
        if module is not None and is_users_module(module):
            self.untrack(f"{place} is compiled")
        elif type(name) is str:
            self.package(name)
        return ""


def is_of(value: Any, names: Mapping[str, Any]) -> bool:
    if type(value) is FunctionType:
        return value.__globals__ is names
    if issubclass(type(value), type):
        return bool(value.__module__ == names.get("__name__"))
    return not issubclass(type(value), ModuleType)
