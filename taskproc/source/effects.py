"""Statements that act when a module is imported, and bind nothing: `decimal.getcontext().prec = 10`.

They count for each module in which code was reached, and for the modules that it imports at its top: they have run
before that code. If such a statement changes a name of another module of the user, it counts with that name.
"""
from __future__ import annotations

import sys
from collections.abc import Mapping
from types import FunctionType, ModuleType
from typing import Any

from taskproc.modules import main_name
from taskproc.source.expressions import Imported, absolute_module, module_prefixes, package_of
from taskproc.source.findings import Findings
from taskproc.source.module_names import ModuleNames
from taskproc.source.project import is_users_module
from taskproc.source.source_files import SourceFile, notebook_cells
from taskproc.source.statements import Group, Leaf, Statements, is_deed, is_harmless, statements_of
from taskproc.source.syntax import Chain, digest

# How names of functions begin that set something. Other calls in a notebook cell only show something to its author
_SETTERS = ("set", "seed", "manual", "use", "enable", "disable", "register", "config")


class Effects:
    """The effects of the modules that one walk reached."""

    def __init__(self, walk: Findings, names: ModuleNames):
        self._walk, self._names = walk, names
        self._met: set[int] = set()
        self._todo: list[Mapping[str, Any]] = []
        self._groups: dict[str, tuple[Group, dict[str, str]]] = {}

    def reach(self, names: Mapping[str, Any]) -> None:
        """Code was reached in the module with these globals."""
        if id(names) not in self._met:
            self._met.add(id(names))
            self._todo.append(names)

    def spread(self) -> bool:
        """Visit the modules that were reached since the last call, and those they import. False: there were none."""
        found = bool(self._todo)
        while self._todo:
            names = self._todo.pop()
            file = self._names.file(names)
            if file is not None:
                self._visit(names, file)
            elif self._is_main(names):
                self._visit_cells(names)
        return found

    def put(self) -> None:
        """Record an item for each module with such statements."""
        for module, (group, notes) in self._groups.items():
            self._walk.put(f"module {module} (statements)", group.digest, group.text, notes)

    def _visit(self, names: Mapping[str, Any], file: SourceFile) -> None:
        package, statements = package_of(names), statements_of(file)
        self._reach_all(str(names.get("__name__")))
        for imported in statements.needs:
            module = absolute_module(imported, package)
            self._reach_all(module if imported.name is None else f"{module}.{imported.name}")
        module = self._walk.module_name(names)
        chosen = [leaf for leaf in statements.acts if self._acts(leaf, names, statements, file)]
        if chosen and module not in self._groups:
            group, notes = statements.deeds(chosen), dict[str, str]()
            self._groups[module] = group, notes
            self._walk.later(self._walk.follow, group.reads, module, names, file, notes)

    def _visit_cells(self, names: Mapping[str, Any]) -> None:
        """Visit the cells of a notebook: of statements that set the same thing of a library, the last one counts."""
        last: dict[Chain, tuple[Leaf, SourceFile]] = {}
        for file in notebook_cells():
            for leaf in statements_of(file).acts:
                if _sets(leaf) and self._is_of_library(leaf, names):
                    last.pop(leaf.chain, None)
                    last[leaf.chain] = leaf, file
        groups = [statements_of(file).deeds([leaf]) for leaf, file in last.values()]
        if groups:
            module = self._walk.module_name(names)
            text = "".join(group.text for group in groups)
            self._walk.put(f"module {module} (statements)", digest("".join(group.digest for group in groups)), text)

    def _is_of_library(self, leaf: Leaf, names: Mapping[str, Any]) -> bool:
        """Whether a statement of a cell acts on a library; the import may stand in another cell."""
        value = names.get(leaf.chain[0])
        module = str(vars(value).get("__name__") if isinstance(value, ModuleType) else getattr(value, "__module__", ""))
        users = is_users_module(value) if isinstance(value, ModuleType) else module == names.get("__name__")
        return bool(module) and not users and not is_harmless(module, leaf)

    def _reach_all(self, module: str) -> None:
        """Reach a module and the packages around it, as far as they are loaded and belong to the user."""
        for name in module_prefixes(module):
            loaded = sys.modules.get(name)
            if loaded is None or not is_users_module(loaded):
                return
            self.reach(vars(loaded))

    def _acts(self, leaf: Leaf, names: Mapping[str, Any], statements: Statements, file: SourceFile) -> bool:
        """Whether a statement counts for the module as a whole, and not for one name."""
        root = leaf.chain[0]
        imported = statements.source(root)
        if imported is None:
            if not statements.is_bound(root):
                return is_deed(leaf)
            return leaf.role == "calls" and statements.defines(root) and not self._is_main(names)
        if not self._is_users(imported, names):
            return not is_harmless(imported.written(), leaf)
        spot = self._names.resolve(names, leaf.chain)
        if spot is None:
            return False
        called = leaf.role in ("calls", "acts") and spot.length == len(leaf.chain)
        if called and issubclass(type(spot.value), (FunctionType, type)):
            return not self._is_main(names)
        place = f"{self._walk.module_name(spot.names)}:{spot.attr}"
        self._names.cross(place, statements.deeds([leaf]), names, file)
        return False

    def _is_users(self, imported: Imported, names: Mapping[str, Any]) -> bool:
        loaded = sys.modules.get(absolute_module(imported, package_of(names)))
        return loaded is not None and is_users_module(loaded)

    def _is_main(self, names: Mapping[str, Any]) -> bool:
        """Whether it is the script: there, calls of the project's functions only drive the run."""
        return self._walk.module_name(names) == main_name()


def _sets(leaf: Leaf) -> bool:
    return leaf.role == "changes" or (leaf.role in ("calls", "acts") and leaf.chain[-1].startswith(_SETTERS))
