"""The walk from things to all the code that they reach: functions here, classes, values and imports in helpers beside.

A queue, not recursion: chains of helpers may be as long as they like. The order is that of the text, so names are given
out alike in every process.
"""
from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any

from taskproc.modules import object_name, real_name
from taskproc.source import classes
from taskproc.source.constants import CHANGEABLE, Canonical, canonical, wrapped
from taskproc.source.dump import digest
from taskproc.source.files import SourceFile
from taskproc.source.held import code_within
from taskproc.source.loading import EDITED, loaded_file, unlike_any, was_edited
from taskproc.source.objects import (
    MISSING,
    OPAQUE,
    content_of,
    defaults_of,
    is_code,
    is_of,
    is_written,
)
from taskproc.source.pieces import Piece, Reads, piece_of
from taskproc.source.project import is_extension, is_users_class, is_users_code, is_users_module
from taskproc.source.scopes import Chain
from taskproc.source.unloaded import Unloaded
from taskproc.source.warn import warn_bytecode


class Walk:
    """One walk. Afterwards `items`, `texts` and `untracked` are filled.

    Args:
        ends: whether a class is not followed.
        settings: names of class attributes that do not count.
    """

    def __init__(self, ends: Callable[[object], bool], settings: frozenset[str]):
        self.ends, self.settings = ends, settings
        self.items: dict[str, str] = {}
        self.texts: dict[str, str] = {}
        self.untracked: dict[str, None] = {}
        self.libraries: dict[str, None] = {}      # modules of what was reached and is not the user's
        self.seen: set[int] = set()               # scopes of the functions and classes that have an item
        self.unsteady: set[str] = set()           # places that functions of the project change
        self.last: list[Callable[[], None]] = []  # what can be said only when all is reached
        self._todo: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._names: dict[int, str] = {}
        self._kept: list[object] = []             # so that no id is used twice
        self._counts: dict[str, int] = {}
        self._values: dict[str, object] = {}
        self._places: set[str] = set()            # all places of values, also of those done
        self._changing: set[int] = set()
        self._scanned: set[int] = set()
        self._modules: dict[str, str] = {}
        self._roots: set[int] = set()
        self._unloaded = Unloaded(self)

    def run(self, things: Iterable[object]) -> None:
        """Reach all that `things` reach; afterwards `items`, `texts` and `untracked` are complete. Once."""
        things = list(things)
        self._roots = set(map(id, things))
        for thing in things:
            self.meet(thing, "a thing that was given")
        while self._todo or self._values:
            if self._todo:
                visit, args = self._todo.popleft()
                visit(*args)
            else:
                place = next(iter(self._values))
                self._value(place, self._values.pop(place))
        for tell in self.last:
            tell()
        self._unloaded.put()
        for place in self.unsteady & self._places & self.items.keys():
            del self.items[place]
            self.untrack(f"{place} is changed by the code itself")

    # ------------------------------------------------------------ what is reached

    def meet(self, value: Any, place: str) -> str:
        """Follow what `place` is bound to. The name of its item, if it is a class or function of the user's."""
        kind = type(value)
        if kind is FunctionType:
            return self._function_name(value)
        if issubclass(kind, type):
            return self._class_name(value)
        if issubclass(kind, ModuleType):
            return self._whole_name(value)
        if kind is MethodType and not issubclass(type(value.__self__), (type, ModuleType)):
            self.meet(value.__self__, f"{place}.__self__")
        if kind in OPAQUE:
            return self._opaque(value, place)
        if (inner := wrapped(value)) is not None:
            names = [self.meet(some, place) for some in inner]
            return names[0] if len(names) == 1 else ""
        if place not in self._places:
            self._places.add(place)
            self._values[place] = value
        return ""

    def shown(self, thing: Any) -> str:
        """Follow a class or function that stands inside a value; its name in that value's text."""
        return self.meet(thing, "") or f"{real_name(str(thing.__module__))}:{thing.__qualname__}"

    def later(self, visit: Callable[..., None], *args: Any) -> None:
        """Go on there when the present step is done."""
        self._todo.append((visit, args))

    def untrack(self, words: str) -> None:
        """List what does not count."""
        self.untracked[words] = None

    def put(
        self, name: str, number: str, text: str, notes: Mapping[str, str] | None = None, silent: Collection[str] = ()
    ) -> None:
        """An item. `notes`: what names of it stand for; of these `silent` are not shown."""
        if notes:
            lines = {written: f"# {written} {target}\n" for written, target in sorted(notes.items())}
            number = digest(number + "".join(lines.values()))
            text += "".join(line for written, line in lines.items() if written not in silent) if text else ""
        self.items[name], self.texts[name] = number, text

    def edited(self, module: ModuleType) -> None:
        """Say that it is not known what the statements of a module were; they are taken for equal to no others."""
        called = self.module_name(vars(module))
        self.untrack(f"{called} {EDITED}")
        self.put(f"module {called} (as it was loaded)", unlike_any(module), "")

    def module_name(self, names: Mapping[str, Any]) -> str:
        """What the module with these globals is really called."""
        given = str(names.get("__name__") or "__main__")
        if given not in self._modules:
            self._modules[given] = real_name(given)
        return self._modules[given]

    def name(self, thing: object, name: str) -> str:
        """Give `thing` its name; `#2` behind it if another thing has it."""
        count = self._counts[name] = self._counts.get(name, 0) + 1
        name = name if count == 1 else f"{name}#{count}"
        self._names[id(thing)] = name
        self._kept.append(thing)
        return name

    def known(self, thing: object) -> str | None:
        """The name of a thing that was met; empty: it is not followed."""
        return self._names.get(id(thing))

    def pass_by(self, thing: object) -> str:
        """Remember not to look at a thing again."""
        self._names[id(thing)] = ""
        self._kept.append(thing)
        return ""

    # ------------------------------------------------------------ functions

    def _function_name(self, function: FunctionType) -> str:
        known = self._names.get(id(function))
        if known is not None:
            return known
        code, names = function.__code__, function.__globals__
        if not is_users_code(code, names):
            self.later(self._foreign, function)
            return self.pass_by(function)
        piece = piece_of(code, names)
        name = self.name(function, f"{self.module_name(names)}:{piece.qualname or function.__qualname__}")
        self.later(self._function, function, name, piece)
        return name

    def _foreign(self, function: FunctionType) -> None:
        """A library's function may hold the user's: wrappers of decorators, registries of singledispatch."""
        for some in code_within([function]):
            self.meet(some, "")

    def _function(self, function: FunctionType, name: str, piece: Piece) -> None:
        names, notes = function.__globals__, dict[str, str]()
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or ()))
        self.seen.add(id(piece.scope))
        if piece.file is None:
            warn_bytecode(name)
        else:
            self.scan(piece.file, names)
        self.follow(piece.reads, name, names, piece.file, notes, cells)
        defaults = defaults_of(function)
        self._capture(defaults, name, piece, notes)
        silent = [some for some, value in defaults.items() if is_written(value, some, piece)]
        self._capture({var: content_of(cell) for var, cell in cells.items()}, name, piece, notes)
        for attr, value in vars(function).items():
            if attr == "__wrapped__" or not attr.startswith("__"):
                self.meet(value, f"{name}.{attr}")
        self.put(name, piece.digest, piece.text, notes, silent)

    def _capture(self, found: Mapping[str, Any], name: str, piece: Piece, notes: dict[str, str]) -> None:
        """Variables of functions around it, and defaults: what they hold now."""
        for variable, value in found.items():
            if value is MISSING or issubclass(type(value), ModuleType):
                continue
            if variable in piece.unsteady:
                self.untrack(f"{variable} of {name} is changed by the code itself")
            elif variable == "__class__":
                self.meet(value, "")
            elif is_code(value) and (target := self.meet(value, "")):
                if target != name:
                    notes[variable] = f"is {target}"
            else:
                self._note_value(value, variable, name, piece, notes)

    def _note_value(self, value: Any, variable: str, name: str, piece: Piece, notes: dict[str, str]) -> None:
        found = self.canonical(value, f"{variable} of {name}")
        words = [] if found.is_empty else [f"= {found.text}"]
        if not found.is_whole and variable in piece.defaults:
            words.append(f"= {piece.defaults[variable][1]}")  # as it is written
        if words:
            notes[variable] = " ".join(words)

    def value_at(self, value: Any, place: str) -> bool:
        """Put what can be named of a value as an item called `place`. Whether that is all of it."""
        found = self.canonical(value, place)
        if not found.is_empty:
            self.put(place, digest(found.text), found.text)
        return found.is_whole

    def live(self, value: Any, place: str, chain: Chain) -> None:
        """Follow a chain from a value that is there."""
        self._chain(value, place, chain, None, {})

    def try_text(self, value: Any, place: str) -> str | None:
        """The canonical text of a value; None where a part of it has none, which is listed."""
        found = self.canonical(value, place)
        return found.text if found.is_whole else None

    def canonical(self, value: Any, place: str) -> Canonical:
        """A value as text. All code in it is followed, and what has no form is listed."""
        found = canonical(value, self.shown, self._changing)
        self.libraries.update(dict.fromkeys(found.libraries))
        for where, cause in found.unknown:
            self.untrack(f"{place}{where} {cause}")
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
        """Follow what a piece of code called `name` reads from outside; `names` are its globals."""
        module = self.module_name(names)
        for chain in reads.chains:
            root = chain[0]
            if cells and root in cells:
                value = content_of(cells[root])
                if issubclass(type(value), ModuleType):
                    self._chain(value, f"{name}[{root}]", chain, file, notes)
            elif root in names:
                self._chain(names[root], f"{module}:{root}", chain, file, notes)
        for imported, rest in reads.imports:
            self._unloaded.follow(imported, rest, names, name)
        for words in reads.alerts:
            self.untrack(f"{words} in {name}" if file is not None else f"{name}: {words}")

    def _chain(
        self, value: Any, place: str, chain: Chain, file: SourceFile | None, notes: dict[str, str]
    ) -> None:
        if issubclass(type(value), ModuleType) and is_users_module(value):
            called = self.module_name(vars(value))
            if called != chain[0]:
                notes[chain[0]] = f"is {called}"
        value, place, count = self.resolve(value, place, chain)
        if value is MISSING:
            self.untrack(f"{'.'.join(chain[:count])} ({place}) is not there, or computed by its module")
        elif place in self.unsteady:
            self.untrack(f"{place} is changed by the code itself")
        elif place and not place.endswith("__"):
            self._bound(value, place, chain[:count], file, notes)
            if count < len(chain) and issubclass(type(value), type):
                self._of_ended(value, chain[: count + 1], file, notes)

    def _of_ended(self, cls: type, chain: Chain, file: SourceFile | None, notes: dict[str, str]) -> None:
        """Of a class that is not followed: the constant or function of it that is named."""
        attr = chain[-1]
        if id(cls) in self._roots or attr.startswith("__") or attr in self.settings or not self.ends(cls):
            return
        owner = next((base for base in cls.__mro__ if attr in vars(base)), None)
        if owner is not None and is_users_class(owner):
            place = f"{real_name(str(owner.__module__))}:{owner.__qualname__}.{attr}"
            if place in self.unsteady:
                self.untrack(f"{place} is changed by the code itself")
            else:
                self._bound(vars(owner)[attr], place, chain, file, notes)

    def _bound(self, value: Any, place: str, chain: Chain, file: SourceFile | None, notes: dict[str, str]) -> None:
        foreign = issubclass(type(value), ModuleType) and not is_users_module(value)
        target = "" if foreign else self.meet(value, place)
        if target and target != place:
            notes[".".join(chain)] = f"is {target}"
        elif not target and place not in self._places and file is not None:
            # Of what is not the user's: as it is imported, for where a library defines it depends on its version
            written = file.imports.get(chain[0], chain[0])
            if written != chain[0] and not written.startswith("taskproc."):
                notes[chain[0]] = f"is {written}"
            elif written == chain[0] and not foreign and not _is_called(value, place):
                self._places.add(place)
                self._values[place] = value  # a library's class or function that is bound here: by its name

    def resolve(self, value: Any, place: str, chain: Chain) -> tuple[Any, str, int]:
        """The value, its place, and how many names of a chain lead there: through modules of the user's, not beyond."""
        count = 1
        while count < len(chain) and issubclass(type(value), ModuleType) and is_users_module(value):
            names, attr = vars(value), chain[count]
            if is_extension(value):
                self.untrack(f"{self.module_name(names)} is compiled")
                return None, "", count
            place = f"{self.module_name(names)}:{attr}"
            value = names.get(attr, sys.modules.get(f"{names.get('__name__')}.{attr}", MISSING))
            count += 1
            if value is MISSING and attr.startswith("__"):
                return None, "", count
        return value, place, count

    def scan(self, file: SourceFile, names: Mapping[str, Any]) -> None:
        """Note which names the functions of a module change, its own and others'."""
        if id(names) in self._scanned:
            return
        self._scanned.add(id(names))
        self._kept.append(names)
        module = self.module_name(names)
        for chain in file.module.changed:
            if chain[0] not in names:
                continue
            value, place, count = self.resolve(names[chain[0]], f"{module}:{chain[0]}", chain)
            if is_code(value):
                owner = f"{real_name(str(value.__module__))}:{value.__qualname__}"
                self.unsteady.add(f"{owner}.{chain[count]}" if count < len(chain) else place)
            elif not issubclass(type(value), ModuleType):
                self.unsteady.add(place)
                if type(value) in CHANGEABLE:
                    self._changing.add(id(value))

    # ------------------------------------------------------------ classes, modules, values

    def _class_name(self, cls: type) -> str:
        known = self._names.get(id(cls))
        if known is not None:
            return known
        if not is_users_class(cls):
            return self.pass_by(cls)
        called = f"{real_name(str(cls.__module__))}:{cls.__qualname__}"
        if id(cls) not in self._roots and self.ends(cls):
            self._names[id(cls)] = called
            self._kept.append(cls)
            return called
        name = self.name(cls, called)
        self.later(classes.visit, self, cls, name)
        return name

    def _whole_name(self, module: ModuleType) -> str:
        called = self.module_name(vars(module))
        if not is_users_module(module):
            return ""
        if id(module) not in self._names:
            self.name(module, f"module {called}")
            self.later(self._whole, module, called)
        return called

    def _whole(self, module: ModuleType, called: str) -> None:
        """All that a module defines itself."""
        names = vars(module)
        if is_extension(module):
            self.untrack(f"{called} is compiled")
            return
        file = loaded_file(module)
        if file is None and was_edited(module):
            self.edited(module)
        top = file.module.top if file is not None else None
        if file is not None:
            self.scan(file, names)
        for name, value in list(names.items()):
            own = name in top.bound and name not in top.imports if top else is_of(value, names)
            if own and not name.startswith("__"):
                self._chain(value, f"{called}:{name}", (name,), file, {})

    def _value(self, place: str, value: Any) -> None:
        if place in self.unsteady or id(value) in self._changing:
            self.untrack(f"{place} is changed by the code itself")
        else:
            self.value_at(value, place)

    def _opaque(self, value: Any, place: str) -> str:
        module = sys.modules.get(str(getattr(value, "__module__", None)))
        if module is not None and is_users_module(module):
            self.untrack(f"{place} is compiled")
        return ""


def _is_called(value: Any, place: str) -> bool:
    """Whether what a library made bears the name of what it wraps, which has an item."""
    if type(value) is not FunctionType:
        return False
    return place == object_name(value)
