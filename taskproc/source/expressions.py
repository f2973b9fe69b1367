"""Which names an expression leads to: a chain such as `a.b.c`, also if it is a look-up by a string.

`getattr(m, "h")`, `vars(m)["h"]`, `m.__dict__["h"]` are `m.h`; `globals()["h"]` and `sys.modules[__name__].h` are `h`
of the module; `import_module("a.b").h` is `h` of another one. If the string is computed, an alert says so.
"""
from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from taskproc.source.syntax import Chain, all_statements, bound_name, chain_of, string_in

# Methods that change a container
MUTATORS = frozenset(
    "append appendleft extend extendleft insert remove pop popleft popitem clear sort reverse rotate update setdefault "
    "add discard difference_update intersection_update symmetric_difference_update move_to_end subtract "
    "__setitem__ __delitem__ __setattr__".split()
)
# Modules whose functions are recognized even if they are imported under other names
_KNOWN = frozenset(
    "builtins cloudpickle dill importlib inspect marshal operator os pickle pkgutil pydoc runpy subprocess sys".split()
)
_GETTERS = frozenset({"getattr", "hasattr", "builtins.getattr", "builtins.hasattr", "inspect.getattr_static"})
_VARS = frozenset({"vars", "builtins.vars"})
_GLOBALS = frozenset({"globals", "builtins.globals"})
_IMPORTERS = frozenset({"importlib.import_module", "import_module", "__import__", "builtins.__import__"})
_MODULES = frozenset({"sys.modules"})
_FROM_NAMESPACE = frozenset({"get", "__getitem__"})
# Functions that run or find code to which no name in the text leads
_ALERTS = {
    "eval": "calls eval", "exec": "calls exec", "builtins.eval": "calls eval", "builtins.exec": "calls exec",
    "importlib.util.spec_from_file_location": "loads a module from a file", "runpy.run_path": "runs a file",
    "runpy.run_module": "runs a module by its name", "importlib.metadata.entry_points": "looks up entry points",
    "pkgutil.iter_modules": "looks for modules", "pkgutil.walk_packages": "looks for modules",
    "pkgutil.resolve_name": "looks up code by a name", "pydoc.locate": "looks up code by a name",
    "importlib.reload": "loads a module again", "inspect.getmodule": "looks up a module",
    **{f"inspect.{name}": "reads the source of code" for name in ("getsource", "getsourcelines", "findsource")},
    **{f"{name}.load{ending}": "loads a pickle" for name in ("pickle", "cloudpickle", "dill", "marshal")
       for ending in ("", "s")},
    **{f"subprocess.{name}": "starts another program" for name in
       ("run", "call", "check_call", "check_output", "Popen", "getoutput", "getstatusoutput")},
    **{f"os.{name}": "starts another program" for name in ("system", "popen", "posix_spawn", "posix_spawnp")},
}  # fmt: skip
# Attributes that lead into the parts of a function
INSIDE = frozenset({"__code__", "__globals__", "co_firstlineno", "f_globals"})


class Imported(NamedTuple):
    """The target of an import: a module, or `name` of a module. `level`: the number of leading dots."""

    module: str
    name: str | None
    level: int

    def written(self) -> str:
        """`module.name`, without leading dots."""
        return ".".join(filter(None, (self.module, self.name)))


THIS = Imported("", None, 0)  # the module in which the expression stands


class Lead(NamedTuple):
    """Where an expression leads.

    Attributes:
        chain: names; the first one is looked up in the scope, or in `imported`.
        imported: a module that the expression imports.
        is_global: whether the first name belongs to the module, whatever the scope.
        inner: other expressions in it that are read.
    """

    chain: Chain
    imported: Imported | None = None
    is_global: bool = False
    inner: tuple[ast.AST, ...] = ()


class Lookups:
    """The look-ups of one module, which may have imported `import_module` and similar functions under other names."""

    def __init__(self, tree: ast.Module):
        self._names: dict[str, str] = {}
        imports = [other for other in all_statements(tree.body) if isinstance(other, (ast.Import, ast.ImportFrom))]
        for statement in imports:
            for alias in statement.names:
                target = import_target(statement, alias)
                if target.module.partition(".")[0] in _KNOWN:
                    self._names[bound_name(alias)] = target.written()

    def called(self, node: ast.AST) -> str:
        """The full name of a function or object; empty if the expression is not a chain of names."""
        chain = chain_of(node)
        return ".".join([self._names.get(chain[0], chain[0]), *chain[1:]]) if chain else ""

    def is_imported(self, chain: Chain | None) -> bool:
        return bool(chain) and chain[0] in self._names  # type: ignore[index]

    def lead(self, node: ast.AST) -> Lead | None:
        """Where an expression leads; None if it leads to nothing with a name."""
        names: list[str] = []
        while isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        below = tuple(reversed(names))
        if isinstance(node, ast.Name):
            return Lead((node.id, *below))
        start = self._start(node)
        return start._replace(chain=(*start.chain, *below)) if start is not None else None

    def _start(self, node: ast.AST) -> Lead | None:
        if isinstance(node, ast.Subscript):
            name = string_in(node.slice)
            if self.called(node.value) in _MODULES:
                return _module_by(node.slice)
            return self._of_namespace(node.value, name) if name is not None else None
        return self._of_call(node) if isinstance(node, ast.Call) else None

    def _of_call(self, node: ast.Call) -> Lead | None:
        called = self.called(node.func)
        if called in _GETTERS and len(node.args) > 1 and (name := string_in(node.args[1])) is not None:
            owner = self.lead(node.args[0])
            return owner._replace(chain=(*owner.chain, name)) if owner is not None else None
        if called in _IMPORTERS:
            imported = imported_by_call(node)
            return Lead((), imported) if imported is not None else None
        func = node.func
        if isinstance(func, ast.Attribute) and func.attr in _FROM_NAMESPACE and node.args:
            if self.called(func.value) in _MODULES:
                return _module_by(node.args[0])
            name = string_in(node.args[0])
            return self._of_namespace(func.value, name) if name is not None else None
        if isinstance(func, ast.Call) and self.called(func.func) == "operator.attrgetter" and len(node.args) == 1:
            return self._by_getter(func, node.args[0])
        return None

    def _by_getter(self, getter: ast.Call, of: ast.AST) -> Lead | None:
        """`attrgetter("h")(m)`."""
        name, owner = string_in(getter.args[0]) if len(getter.args) == 1 else None, self.lead(of)
        if name is None or owner is None:
            return None
        return owner._replace(chain=(*owner.chain, *name.split(".")), inner=(*owner.inner, getter.func))

    def _of_namespace(self, node: ast.AST, name: str) -> Lead | None:
        """`name` in `vars(m)`, `m.__dict__` or `globals()`."""
        if isinstance(node, ast.Call) and self.called(node.func) in _GLOBALS and not node.args:
            return Lead((name,), is_global=True)
        owner: Lead | None = None
        if isinstance(node, ast.Call) and self.called(node.func) in _VARS and len(node.args) == 1:
            owner = self.lead(node.args[0])
        elif isinstance(node, ast.Attribute) and node.attr == "__dict__":
            owner = self.lead(node.value)
        return owner._replace(chain=(*owner.chain, name)) if owner is not None else None

    # ------------------------------------------------------------ what cannot be followed

    def call_alert(self, node: ast.Call) -> str:
        """What cannot be followed in a call that leads to no name; empty if there is nothing special about it."""
        called = self.called(node.func)
        if called in _GETTERS and len(node.args) > 1 and string_in(node.args[1]) is None:
            owner = chain_of(node.args[0])  # all methods of a class count
            return "" if owner in (("self",), ("cls",)) else "calls getattr with a computed name"
        if called in _IMPORTERS:
            return "imports a module by a computed name"
        if called in ("operator.attrgetter", "operator.methodcaller"):
            literal = all(string_in(argument) is not None for argument in node.args)
            return "" if literal else f"calls {called.partition('.')[2]} with a computed name"
        if called in _GLOBALS:
            return "reads globals() by a computed name"
        return _ALERTS.get(called, "")

    def subscript_alert(self, node: ast.Subscript) -> str:
        """The same for `sys.modules[name]`, `vars(m)[name]` and `m.__dict__[name]`."""
        if self.called(node.value) in _MODULES:
            return "reads sys.modules by a computed name"
        if string_in(node.slice) is None and self._of_namespace(node.value, "") is not None:
            inner = node.value
            if isinstance(inner, ast.Attribute) and (chain_of(inner) or ("",))[0] in ("self", "cls"):
                return ""
            if not (isinstance(inner, ast.Call) and self.called(inner.func) in _GLOBALS):
                return "reads a namespace by a computed name"
        return ""


def _module_by(name: ast.AST) -> Lead | None:
    """`sys.modules[name]`."""
    if isinstance(name, ast.Name) and name.id == "__name__":
        return Lead((), is_global=True)
    text = string_in(name)
    return Lead((), Imported(text, None, 0)) if text is not None else None


def import_target(statement: ast.Import | ast.ImportFrom, alias: ast.alias) -> Imported:
    """What one part of an import binds its name to."""
    if isinstance(statement, ast.ImportFrom):
        return Imported(statement.module or "", alias.name, statement.level)
    return Imported(alias.name if alias.asname else bound_name(alias), None, 0)


def imported_by_call(node: ast.Call) -> Imported | None:
    """The module that `import_module(…)` or `__import__(…)` imports; None if its name is computed."""
    words = {keyword.arg: keyword.value for keyword in node.keywords}
    first = node.args[0] if node.args else words.get("name")
    name = string_in(first)
    if name is None:
        return None
    if not name.startswith("."):
        return Imported(name, None, 0)
    package = node.args[1] if len(node.args) > 1 else words.get("package")
    level = len(name) - len(name.lstrip("."))
    given = string_in(package)
    if given is not None:
        return Imported(absolute_module(Imported(name[level:], None, level), given), None, 0)
    own = chain_of(package) if package is not None else None
    if own in (("__package__",), ("__name__",), ("__spec__", "parent")):
        return Imported(name[level:], None, level)
    return None


def absolute_module(imported: Imported, package: str) -> str:
    """The full name of the module that an import in a module of this package imports."""
    if not imported.level:
        return imported.module
    parts = package.split(".")
    parts = parts[: len(parts) - imported.level + 1]
    return ".".join([*parts, *filter(None, [imported.module])])


def module_prefixes(module: str) -> Iterator[str]:
    """The packages around a module, outermost first, and the module."""
    end = module.find(".")
    while end >= 0:
        yield module[:end]
        end = module.find(".", end + 1)
    yield module


def package_of(names: Mapping[str, Any]) -> str:
    """The package from which relative imports in the module with these globals start."""
    package = names.get("__package__")
    if package is None:
        package = str(names.get("__name__")).rpartition(".")[0] if "__path__" not in names else names["__name__"]
    return str(package)
