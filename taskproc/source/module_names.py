"""Names at the top level of loaded modules: where each one leads, and what its statements and its value say.

A name that is imported from another module of the user is a name of that module. If it is bound to a function or class
of the user, this is followed. Any other name is an item: all statements that bind or change it, and its value.
"""
from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any, NamedTuple

from taskproc.modules import BEHIND
from taskproc.source.expressions import Imported, absolute_module, package_of
from taskproc.source.findings import Findings
from taskproc.source.functions import MISSING
from taskproc.source.project import is_extension, is_users_file, is_users_module
from taskproc.source.source_files import SourceFile, loaded_file, locate_module, module_file, was_edited
from taskproc.source.statements import Group, statements_of
from taskproc.source.syntax import Chain, digest
from taskproc.source.value_look import OPAQUE, PLAIN, is_code

# Names that Python sets in each module
_SET_BY_PYTHON = frozenset(
    "__name__ __file__ __path__ __spec__ __loader__ __package__ __cached__ __builtins__ __dict__ __annotations__ "
    "__debug__ __class__ __annotate__ __conditional_annotations__ __warningregistry__".split()
)
# Values of these modules are not listed if statements show them
_UNNAMED = frozenset({"typing", "types", "typing_extensions", "contextvars", "_contextvars"})
_BUILTINS = frozenset(vars(builtins))
_LONGEST = 500  # characters of a value that are shown


class Spot(NamedTuple):
    """Where a chain leads.

    Attributes:
        value: the object there; MISSING if there is none.
        names, attr: the globals of its module, and its name there.
        length: the number of names of the chain that lead there.
        imported: its full name in a library, if it was imported from there.
    """

    value: Any
    names: Mapping[str, Any]
    attr: str
    length: int
    imported: str | None


class _NameItem(NamedTuple):
    """The item of a name: its statements, and what the names in them stand for."""

    group: Group | None
    notes: dict[str, str]


class ModuleNames:
    """The names that one walk met."""

    def __init__(self, walk: Findings):
        self._walk = walk
        self._origins: dict[tuple[int, str], tuple[Mapping[str, Any], str, str | None]] = {}
        self._files: dict[int, SourceFile | None] = {}
        self._read: dict[tuple[int, Chain], dict[str, str]] = {}  # chain that was read → notes for its readers
        self._entries: dict[str, _NameItem] = {}
        self._texts: dict[str, str] = {}
        self._later: dict[str, list[tuple[Group, dict[str, str]]]] = {}
        self._crossing: dict[str, list[tuple[Group, Mapping[str, Any], SourceFile]]] = {}

    def file(self, names: Mapping[str, Any]) -> SourceFile | None:
        """The file of a loaded module."""
        if id(names) not in self._files:
            self._files[id(names)] = self._file(names)
        return self._files[id(names)]

    def _file(self, names: Mapping[str, Any]) -> SourceFile | None:
        module = sys.modules.get(str(names.get("__name__")))
        if module is None or vars(module) is not names:
            return module_file(names)
        if is_extension(module):
            return None
        file = loaded_file(module)
        if file is None and was_edited(module):
            self._walk.edited(module)
        return file

    def note_file(self, names: Mapping[str, Any], file: SourceFile) -> None:
        """Note the version of its file from which a module was loaded."""
        if names.get("__file__") == file.path:
            self._files.setdefault(id(names), file)

    # ------------------------------------------------------------ where a chain leads

    def resolve(self, names: Mapping[str, Any], chain: Chain) -> Spot | None:
        """Where a chain leads, through modules of the user and no further; None: into a compiled module."""
        attr, count = chain[0], 1
        value = names.get(attr, MISSING)
        while count < len(chain) and issubclass(type(value), ModuleType) and is_users_module(value):
            names, attr, count = vars(value), chain[count], count + 1
            if is_extension(value):
                self._walk.untrack(f"{self._walk.module_name(names)} is compiled")
                return None
            value = names.get(attr, sys.modules.get(f"{names.get('__name__')}.{attr}", MISSING))
        if value is MISSING:
            return Spot(value, names, attr, count, None)
        names, attr, imported = self._origin(names, attr)
        return Spot(value, names, attr, count, imported)

    def _origin(self, names: Mapping[str, Any], attr: str) -> tuple[Mapping[str, Any], str, str | None]:
        """The module and name from which a name was imported, or its full name in a library."""
        key = (id(names), attr)
        if key not in self._origins:
            self._origins[key] = (names, attr, None)  # for imports that form a cycle
            self._origins[key] = self._found_origin(names, attr)
        return self._origins[key]

    def _found_origin(self, names: Mapping[str, Any], attr: str) -> tuple[Mapping[str, Any], str, str | None]:
        file = self.file(names)
        for imported in self._imports(file, attr) if file is not None else ():
            module = absolute_module(imported, package_of(names))
            loaded = sys.modules.get(module)
            if loaded is None or not is_users_module(loaded):
                if loaded is not None or imported.name != attr or file is None or statements_of(file).is_bound(attr):
                    return names, attr, imported.written()
            elif imported.name is not None and vars(loaded).get(imported.name, MISSING) is names.get(attr):
                return self._origin(vars(loaded), imported.name)
        return names, attr, None

    def _imports(self, file: SourceFile, attr: str) -> Iterator[Imported]:
        """The import that binds a name, or each `import *` that may bind it."""
        imported = statements_of(file).imported(attr)
        if imported is not None:
            yield imported
        elif not statements_of(file).is_bound(attr):
            yield from (star._replace(name=attr) for star in reversed(file.module.stars))

    # ------------------------------------------------------------ what is read

    def read(
        self, names: Mapping[str, Any], chain: Chain, reader: str, file: SourceFile | None, notes: dict[str, str]
    ) -> None:
        """Follow a chain that the code called `reader`, in this file, reads."""
        if chain[0] not in names and chain[0] in _BUILTINS and not self._is_late(names, chain, reader):
            return  # most of what is read
        known = self._read.get((id(names), chain))
        if known is None:
            known = {}
            if self._follow(names, chain, reader, file, known):
                self._read[id(names), chain] = known
        if known:
            notes.update(known)

    def _follow(
        self, names: Mapping[str, Any], chain: Chain, reader: str, file: SourceFile | None, notes: dict[str, str]
    ) -> bool:
        """Return False if the notes depend on the reader."""
        walk = self._walk
        root = names.get(chain[0], MISSING)
        if issubclass(type(root), ModuleType) and is_users_module(root):
            called = walk.module_name(vars(root))
            if called != chain[0]:
                notes[chain[0]] = f"is {called}"
        if self._is_late(names, chain, reader):
            return True
        spot = self.resolve(names, chain)
        if spot is None:
            return True
        place = f"{walk.module_name(spot.names)}:{spot.attr}"
        if spot.value is MISSING and self._was_left_behind(spot, chain, reader, file, notes):
            return True
        if spot.value is MISSING:
            self._missing(spot, place, reader, file)
        elif spot.attr in _SET_BY_PYTHON and not self._is_written(spot):
            return True
        elif issubclass(type(spot.value), ModuleType):
            self._module(spot, place, chain, notes)
        else:
            self._bound(spot, place, chain, notes)
            self._beyond(spot.value, chain[spot.length :])
        return spot.value is not MISSING

    def _is_late(self, names: Mapping[str, Any], chain: Chain, reader: str) -> bool:
        """Whether only imports inside functions bind a name. They are followed by the file, loaded or not."""
        file = self.file(names)
        late = file.module.late.get(chain[0], ()) if file is not None else ()
        for imported in late:
            self._walk.follow_late(imported, chain[1:], names, reader)
        return bool(late) and file is not None and not statements_of(file).is_bound(chain[0])

    def _beyond(self, value: Any, rest: Chain) -> None:
        """What is read of a value: of a class that is not followed what is named, of all others anything."""
        if rest and issubclass(type(value), type):
            self._walk.part(value, rest[0])
            for subclass in type.__subclasses__(value) if rest[0] == "__subclasses__" else ():
                self._walk.meet(subclass, "")
            rest = rest[1:]
        self._walk.loose.update(rest)

    def _module(self, spot: Spot, place: str, chain: Chain, notes: dict[str, str]) -> None:
        module = spot.value
        if is_users_module(module):
            target = self._walk.meet(module, "")
            if target and target != chain[spot.length - 1]:
                notes[".".join(chain[: spot.length])] = f"is {target}"
            return
        name = str(vars(module).get("__name__"))
        self._walk.package(name)
        if spot.imported is not None:
            _note_import(notes, chain, spot)
        else:  # one of several imports, or an assignment
            notes[".".join(chain[: spot.length])] = f"is {name}"
            self._item(spot, place)

    def _bound(self, spot: Spot, place: str, chain: Chain, notes: dict[str, str]) -> None:
        walk, value = self._walk, spot.value
        if place in walk.unsteady:
            walk.untrack(f"{place} is changed by the code itself")
        target = walk.meet(value, place) if is_code(value) else ""
        if target:
            if target != place:
                notes[".".join(chain[: spot.length])] = f"is {target}"
            self.code(value, place, spot.names)
        elif spot.imported is None:
            self._item(spot, place)
        else:
            walk.package(spot.imported)
            _note_import(notes, chain, spot)
            if type(value) in PLAIN or place in walk.unsteady:
                walk.keep(place, value)

    def _was_left_behind(
        self, spot: Spot, chain: Chain, reader: str, file: SourceFile | None, notes: dict[str, str]
    ) -> bool:
        """Follow an import that a script sent by value left behind: only class statements or decorators read it."""
        own = self.file(spot.names) or file
        if spot.length > 1 or own is None or spot.names.get("__name__") != "__main__":
            return False
        sent = vars(sys.modules["__main__"]).get(BEHIND, {}).get(spot.attr, "")
        imported = _import_of(sent) if sent else statements_of(own).imported(spot.attr)
        if imported is None:
            return False
        module = absolute_module(imported, package_of(spot.names))
        path, loaded = locate_module(module)
        if loaded is not None and is_users_module(loaded):
            rest = chain[1:] if imported.name is None else (imported.name, *chain[1:])
            if rest:
                self.read(vars(loaded), rest, reader, file, notes)
            else:
                self._walk.meet(loaded, "")
        elif loaded is None and path is not None and is_users_file(path):
            self._walk.follow_late(imported, chain[1:], spot.names, reader)
        else:
            written = imported.written()
            self._walk.package(written)
            if ":" in sent:  # in a notebook the statement is unknown, so the name counts
                place = f"{self._walk.module_name(spot.names)}:{spot.attr}"
                self._entries[place], self._texts[place] = _NameItem(None, {}), f'{{"__code__":"{sent}"}}'
            elif sent:
                notes[chain[0]] = f"is {sent}"
            else:
                _note_import(notes, chain, spot._replace(imported=written))
        return True

    def _missing(self, spot: Spot, place: str, reader: str, file: SourceFile | None) -> None:
        """Record a name without a value: a builtin, a name that is made later, or one that the module computes."""
        walk, own = self._walk, self.file(spot.names)
        if spot.length == 1 and (spot.attr in _BUILTINS or file is None):
            return  # bytecode also reads names of class bodies
        if spot.attr in _SET_BY_PYTHON:
            return
        if own is not None and any(change.chain == (spot.attr,) for change in own.module.changed):
            walk.untrack(f"{place} is changed by the code itself")
            self._item(spot, place)
            return
        if "__getattr__" in spot.names:
            walk.meet(spot.names["__getattr__"], "")
        self._item(spot, place)
        by = f"{reader} reads {spot.attr}, which" if spot.length == 1 else place
        walk.untrack(f"{by} is not there, or is computed by its module")

    def _is_written(self, spot: Spot) -> bool:
        file = self.file(spot.names)
        return file is not None and statements_of(file).is_bound(spot.attr)

    # ------------------------------------------------------------ items

    def _item(self, spot: Spot, place: str) -> None:
        """Count a name by its statements and by its value."""
        if place in self._entries:
            return
        if type(spot.value).__module__ == "logging":  # a logger counts by its name only
            self._entries[place], self._texts[place] = _NameItem(None, {}), str(getattr(spot.value, "name", ""))
            return
        walk, file = self._walk, self.file(spot.names)
        group = statements_of(file).group(spot.attr) if file is not None else None
        entry = self._entries[place] = _NameItem(group, {})
        if group is not None:
            walk.reach(spot.names)
            walk.later(walk.follow, group.reads, place, spot.names, file, entry.notes)
        if spot.value is not MISSING and not issubclass(type(spot.value), ModuleType):
            walk.keep(place, spot.value)

    def value(self, place: str, value: Any) -> bool:
        """Count the value of a place. False: the place is not a module-level name with an item."""
        entry = self._entries.get(place)
        if entry is None:
            return False
        if entry.group is not None and type(value) in OPAQUE:
            self._walk.meet(value, place)
        else:
            found = self._walk.canonical(value, place)
            if not found.is_empty:
                self._texts[place] = found.text
            elif entry.group is None and type(value).__module__ in _UNNAMED:
                self._walk.untrack(f"{place} has neither a canonical form nor a statement ({type(value).__name__})")
        return True

    def code(self, thing: Any, place: str, names: Mapping[str, Any]) -> None:
        """Follow the statements that change a function or class at the top level after its definition."""
        attr = place.partition(":")[2]
        if place not in self._later and names.get(attr) is thing:
            self._later[place] = []
            self._walk.later(self._code, place, attr, names)  # later: then the loaded version of the file is known

    def _code(self, place: str, attr: str, names: Mapping[str, Any]) -> None:
        file = self.file(names)
        group = statements_of(file).later(attr, self._walk.settings) if file is not None else None
        if group is not None and file is not None:
            self._add_later(place, group, names, file)

    def _add_later(self, name: str, group: Group, names: Mapping[str, Any], file: SourceFile) -> None:
        notes: dict[str, str] = {}
        self._later[name].append((group, notes))
        self._walk.later(self._walk.follow, group.reads, name, names, file, notes)

    def cross(self, place: str, group: Group, names: Mapping[str, Any], file: SourceFile) -> None:
        """Note statements of another module that change the object at a place."""
        self._crossing.setdefault(place, []).append((group, names, file))

    def spread(self) -> bool:
        """Follow the changes that other modules make to names that were met. False: there are none."""
        found = False
        for place in [place for place in self._crossing if place in self._entries or place in self._later]:
            self._later.setdefault(place, [])
            for group, names, file in self._crossing.pop(place):
                self._add_later(place, group, names, file)
                found = True
        return found

    def has(self, place: str) -> bool:
        """Whether a place is a name with an item."""
        return place in self._entries

    def put(self) -> None:
        """Record all items, without the values of names that functions of the project change."""
        for place, entry in self._entries.items():
            text = None if place in self._walk.unsteady else self._texts.get(place)
            if entry.group is not None:
                self._put(place, entry.group, entry.notes, text)
            elif text is not None:
                self._walk.put(place, digest(text), text)
        for name, groups in self._later.items():
            for index, (group, notes) in enumerate(groups):
                self._put(f"{name} (statements{f' {index + 1}' if index else ''})", group, notes, None)

    def _put(self, place: str, group: Group, notes: dict[str, str], value: str | None) -> None:
        number, text = group.digest, group.text
        if value is not None:
            number = digest(f"{number}= {value}")
            if not group.is_plain:
                text += f"# = {value[:_LONGEST]}{'…' if len(value) > _LONGEST else ''}\n"
        self._walk.put(place, number, text, notes)


def _import_of(name: str) -> Imported:
    """The import of a module, or of `module:qualname`."""
    module, _, symbol = name.partition(":")
    return Imported(module, symbol.partition(".")[0] or None, 0)


def _note_import(notes: dict[str, str], chain: Chain, spot: Spot) -> None:
    # The full name as imported: the module in which a library defines it depends on its version
    written = chain[spot.length - 1]
    if spot.imported is not None and spot.imported != written and not spot.imported.startswith("taskproc."):
        notes[".".join(chain[: spot.length])] = f"is {spot.imported}"
