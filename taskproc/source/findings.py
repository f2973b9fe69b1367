"""What one walk has found so far, and what its helpers ask of it.

The files that follow classes, names, imports and readers of annotations know the walk by this class only, so none of
them imports it.
"""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Mapping
from types import CellType, ModuleType
from typing import Any

from taskproc.modules import real_name
from taskproc.source.canonical import Canonical
from taskproc.source.expressions import Imported
from taskproc.source.functions import Reads
from taskproc.source.project import package_of_library
from taskproc.source.scopes import Scope
from taskproc.source.source_files import EDITED, SourceFile, unique_digest
from taskproc.source.syntax import Chain, digest


class Findings(ABC):
    """The items, texts, packages and untracked entries of one walk, and the steps that are still to be done.

    Args:
        ends: whether a class is not followed.
        settings: names of class attributes that do not count as code.
    """

    def __init__(self, ends: Callable[[object], bool], settings: frozenset[str]):
        self.ends, self.settings = ends, settings
        self.named: frozenset[str] = frozenset()  # names of classes that are followed although `ends` is true of them
        self.items: dict[str, str] = {}
        self.texts: dict[str, str] = {}
        self.untracked: dict[str, None] = {}
        self.packages: set[str] = set()           # top-level packages of libraries
        self.loose: set[str] = set()              # attributes that are read of expressions without a name
        self.seen: set[int] = set()               # scopes of the functions and classes that have an item
        self.unsteady: set[str] = set()           # places that functions of the project change
        self.last: list[Callable[[], None]] = []  # steps that need to know all that was reached
        self._todo: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._values: dict[str, object] = {}      # place → value that is still to be looked at
        self._places: set[str] = set()            # places of all values, also of those that are done
        self._names: dict[int, str] = {}          # id of a class, function or module → name; empty: not followed
        self._counts: dict[str, int] = {}
        self._kept: list[object] = []             # keeps objects alive, so that no id is used twice
        self._modules: dict[str, str] = {}

    # ------------------------------------------------------------ recording

    def put(
        self, name: str, number: str, text: str, notes: Mapping[str, str] | None = None, silent: Collection[str] = ()
    ) -> None:
        """Record an item.

        Args:
            number: the digest of what it says by itself.
            notes: what the names in it stand for; they change its digest, and are shown below its text.
            silent: names in `notes` that are not shown.
        """
        if notes:
            lines = {written: f"# {written} {target}\n" for written, target in sorted(notes.items())}
            number = digest(number + "".join(lines.values()))
            text += "".join(line for written, line in lines.items() if written not in silent) if text else ""
        self.items[name], self.texts[name] = number, text

    def untrack(self, words: str) -> None:
        """List something that does not count: its place, and what it is or does."""
        self.untracked[words] = None

    def package(self, module: str) -> None:
        """Record that something in this module of a library was reached."""
        package = package_of_library(module)
        if package:
            self.packages.add(package)

    def edited(self, module: ModuleType) -> None:
        """Record that the statements of a module are unknown; they count as different from all others."""
        called = self.module_name(vars(module))
        self.untrack(f"{called} {EDITED}")
        self.put(f"module {called} (as it was loaded)", unique_digest(module), "")

    # ------------------------------------------------------------ names

    def module_name(self, names: Mapping[str, Any]) -> str:
        """The real name of the module with these globals; `__main__` may stand for another one."""
        known = str(names.get("__name__") or "__main__")
        if known not in self._modules:
            self._modules[known] = real_name(known)
        return self._modules[known]

    def name(self, thing: object, name: str) -> str:
        """Name an object; with `#2` behind the name if another object has it already."""
        count = self._counts[name] = self._counts.get(name, 0) + 1
        name = name if count == 1 else f"{name}#{count}"
        self._names[id(thing)] = name
        self._kept.append(thing)
        return name

    def known(self, thing: object) -> str | None:
        """The name of an object that was met before; empty if it is not followed."""
        return self._names.get(id(thing))

    def pass_by(self, thing: object) -> str:
        """Remember that an object is not followed."""
        self._names[id(thing)] = ""
        self._kept.append(thing)
        return ""

    def shown(self, thing: Any) -> str:
        """Follow a class or function that stands inside a value; return its name in the text of that value."""
        return self.meet(thing, "") or f"{real_name(str(thing.__module__))}:{thing.__qualname__}"

    # ------------------------------------------------------------ steps to come

    def later(self, visit: Callable[..., None], *args: Any) -> None:
        """Call `visit` after the present step."""
        self._todo.append((visit, args))

    def keep(self, place: str, value: Any) -> None:
        """Look at a value when all code has been followed."""
        if place not in self._places:
            self._places.add(place)
            self._values[place] = value

    # ------------------------------------------------------------ what only the walk can do

    @abstractmethod
    def meet(self, value: Any, place: str) -> str:
        """Follow what `place` is bound to. Return the name of its item if it is the user's class or function."""

    @abstractmethod
    def follow(
        self,
        reads: Reads,
        name: str,
        names: Mapping[str, Any],
        file: SourceFile | None,
        notes: dict[str, str],
        cells: Mapping[str, CellType] | None = None,
    ) -> None:
        """Follow what the code called `name` reads from outside.

        Args:
            names: the globals of its module.
            file: where it stands; None if its source is unknown.
            notes: filled with what its names stand for.
            cells: the variables of the functions around it.
        """

    @abstractmethod
    def follow_late(self, imported: Imported, rest: Chain, names: Mapping[str, Any], reader: str) -> None:
        """Follow an import that is made when a function of the module with these globals runs."""

    @abstractmethod
    def follow_module(self, value: Any, place: str, chain: Chain) -> None:
        """Follow a chain of names that begins with a module, which is `value`."""

    @abstractmethod
    def scan(self, file: SourceFile, names: Mapping[str, Any]) -> None:
        """Note which names the functions of a module change, its own and those of others."""

    @abstractmethod
    def reach(self, names: Mapping[str, Any]) -> None:
        """Count what the module with these globals does when it is imported."""

    @abstractmethod
    def end(self, cls: type) -> None:
        """Note a class that is not followed: what is read of expressions without a name may be an attribute of it."""

    @abstractmethod
    def part(self, cls: type, attr: str) -> None:
        """Follow one attribute of a class that is not followed, and what this reads of the class in turn."""

    @abstractmethod
    def note_class(self, cls: type, name: str, file: SourceFile | None, scope: Scope | None) -> None:
        """Note a class for code that reads annotations or docstrings."""

    @abstractmethod
    def value_at(self, value: Any, place: str) -> bool:
        """Record what can be named of a value as the item `place`. Return whether that is all of it."""

    @abstractmethod
    def canonical(self, value: Any, place: str, part: str = "{}") -> Canonical:
        """A value as text. All code in it is followed, and parts without a form are listed.

        Args:
            part: what follows the place in the list, with `{}` for the way to the part.
        """
