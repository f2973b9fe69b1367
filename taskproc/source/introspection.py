"""Annotations and docstrings, which count if code reads them.

Annotations of fields belong to the class statement if dataclasses or a library acts on them, and those of a function
count if a decorator acts on them. If other code reads annotations or docstrings, those of everything that is reached
count, unless the code names the objects that it reads. They are items of their own, because the code that reads them
may be met before or after them.
"""
from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any

from taskproc.source.annotations import (
    READERS,
    acts_on_annotations,
    annotated_nodes,
    annotation_uses,
    may_read_annotations,
)
from taskproc.source.bytecode import nested_codes
from taskproc.source.findings import Findings
from taskproc.source.functions import piece_of, reads_of
from taskproc.source.project import is_users_code
from taskproc.source.scopes import Scope
from taskproc.source.source_files import SourceFile
from taskproc.source.syntax import DEFINITIONS, chain_of, digest, syntax_text

# What reads annotations or docstrings: attributes, also as strings, and functions by the name of their import
_HINTS = frozenset({"__annotations__", "__annotate__", "__annotate_func__"})
_DOCS = frozenset({"__doc__"})
_LISTS = frozenset({"dir", "vars"})
_HINTERS = frozenset(
    "get_type_hints get_annotations call_annotate_function get_annotate_from_class_namespace signature getfullargspec "
    "TypeAdapter validate_call resolve_types parse_obj_as".split()
)
_READ_BY = {"__doc__": "docstrings", "getdoc": "docstrings", "order": "order"}
_WORDS = re.compile("|".join(sorted({*_HINTS, *_DOCS, *_HINTERS, *_LISTS, "__dict__", "getdoc", "getmembers"})))


class Introspection:
    """For one walk: which kinds are read, and whose annotations and docstrings wait until their kind is read."""

    def __init__(self, walk: Findings):
        self._walk = walk
        self._counted: set[str] = set()
        self._waiting: dict[str, list[Callable[[], None]]] = {}
        self._put: set[tuple[int, str]] = set()

    # ------------------------------------------------------------ code that reads them

    def note_reader(self, file: SourceFile | None, scope: Scope | None, names: Mapping[str, Any]) -> None:
        """Note which annotations and docstrings a function or class of a file reads."""
        if file is None or scope is None:
            return
        for whose in readings_in(file, scope):
            what = _READ_BY.get(whose[-1], "annotations")
            if what != "docstrings" or not self._is_named(whose[:-1], names):
                self._count(what)
        if "readers" not in file.memo:
            file.memo["readers"] = frozenset(
                name for name, targets in file.module.top.imports.items()
                if any(target.module.partition(".")[0] in READERS for target in targets)
            )  # fmt: skip
        readers = file.memo["readers"]
        if readers and any(
            use.kind == "name" and not readers.isdisjoint(use.chain[:1])
            for inner in scope.below() for use in inner.all_uses()
        ):
            self._count("annotations")

    def note_bytecode(self, code: CodeType) -> None:
        """Note the same for a function without source."""
        names = {name for inner in (code, *nested_codes(code)) for name in inner.co_names}
        for what, words in (("annotations", _HINTS | _HINTERS), ("docstrings", _DOCS | {"getdoc"})):
            if words & names:
                self._count(what)

    def _count(self, what: str) -> None:
        if what not in self._counted:
            self._counted.add(what)
            for put in self._waiting.pop(what, ()):
                put()

    def _put_if_read(self, what: str, put: Callable[[], None]) -> None:
        if what in self._counted:
            put()
        else:
            self._waiting.setdefault(what, []).append(put)

    def _is_named(self, chain: tuple[str, ...], names: Mapping[str, Any]) -> bool:
        """Whether a chain names the object whose docstring is read; it counts then. An empty name: its own module."""
        if chain == ("",):
            self._docstring(sys.modules.get(str(names.get("__name__"))), self._walk.module_name(names))
            return True
        value = names.get(chain[0]) if chain else None
        for name in chain[1:]:
            value = vars(value).get(name) if issubclass(type(value), (type, ModuleType)) else None
        if issubclass(type(value), ModuleType):
            self._docstring(value, self._walk.module_name(vars(value)))
            return True
        if not issubclass(type(value), (type, FunctionType)):
            return False
        known = self._walk.meet(value, "")
        if known:
            self._docstring(value, known)
        return True

    # ------------------------------------------------------------ whose they are

    def of_function(self, function: FunctionType, name: str, file: SourceFile | None, scope: Scope | None) -> None:
        """Note a function that was met."""
        self._put_if_read("docstrings", lambda: self._docstring(function, name))
        if file is None or scope is None:
            self.note_bytecode(function.__code__)
            if function.__annotations__ if sys.version_info < (3, 14) else False:
                words = f"annotations of {name}, which has no source"
                self._put_if_read("annotations", lambda: self._walk.untrack(words))
            return
        self.note_reader(file, scope, function.__globals__)
        put = self._annotations(function, name, file, scope)
        if any(acts_on_annotations(file, decorator) for decorator in getattr(scope.node, "decorator_list", ())):
            put()
        else:
            self._put_if_read("annotations", put)

    def of_wrapped(self, function: object, wrapper: FunctionType) -> None:
        """Note a function that is held by a function of a library, which may act on its annotations."""
        if type(function) is not FunctionType or not may_read_annotations(str(wrapper.__globals__.get("__name__"))):
            return  # not its __module__, which functools.wraps sets
        if is_users_code(function.__code__, function.__globals__):
            piece, name = piece_of(function.__code__, function.__globals__), self._walk.meet(function, "")
            if piece.file is not None and piece.scope is not None:
                self._annotations(function, name, piece.file, piece.scope)()

    def of_class(self, cls: type, name: str, file: SourceFile | None, scope: Scope | None) -> None:
        """Note a class that was met."""
        self._put_if_read("docstrings", lambda: self._docstring(cls, name))
        self._put_if_read("order", lambda: self._order(cls, name))
        if file is not None and scope is not None:
            self.note_reader(file, scope, vars(sys.modules[cls.__module__]) if cls.__module__ in sys.modules else {})
            self._put_if_read("annotations", self._annotations(cls, name, file, scope))

    def of_module(self, names: Mapping[str, Any], file: SourceFile) -> None:
        """Note a module in which code was reached."""
        self._put_if_read("annotations", lambda: self._fields_of_module(self._walk.module_name(names), file))

    def _fields_of_module(self, module: str, file: SourceFile) -> None:
        fields = [statement for statement in file.tree.body if isinstance(statement, ast.AnnAssign)]
        if fields:
            nodes = [node for field in fields for node in (field.target, field.annotation)]
            syntax = "".join(text for node in nodes for text in syntax_text(node))
            text = "".join(f"{ast.unparse(field.target)}: {ast.unparse(field.annotation)}\n" for field in fields)
            self._walk.put(f"{module}:__annotations__", digest(syntax), text)

    def _order(self, cls: type, name: str) -> None:
        """Record the attributes of a class in their order, for code that lists them."""
        text = "".join(f"{attr}\n" for attr in vars(cls) if not attr.startswith("__"))
        self._walk.put(f"{name} (order)", digest(text), text)

    def _annotations(self, thing: Any, name: str, file: SourceFile, scope: Scope) -> Callable[[], None]:
        def put() -> None:
            if (id(thing), "annotations") in self._put or (not scope.annotations and not scope.noted):
                return
            self._put.add((id(thing), "annotations"))
            names = thing.__globals__ if type(thing) is FunctionType else vars(sys.modules.get(thing.__module__, ast))
            notes: dict[str, str] = {}
            self._walk.follow(reads_of(*annotation_uses(scope)), name, names, file, notes)
            written = list(_annotated(scope.node))
            syntax = "".join(f"{called}:{''.join(syntax_text(node))}" for called, node in written)
            text = "".join(f"{called}: {ast.unparse(node)}\n" for called, node in written)
            self._walk.put(f"{name}.__annotations__", digest(syntax), text, notes)

        return put

    def _docstring(self, thing: Any, name: str) -> None:
        text = thing.__doc__ if type(thing) is FunctionType else vars(thing).get("__doc__") if thing else None
        if type(text) is not str or (issubclass(type(thing), type) and text.startswith(f"{thing.__name__}(")):
            return  # or dataclasses wrote it
        separator = ":" if issubclass(type(thing), ModuleType) else "."
        self._walk.value_at(inspect.cleandoc(text), f"{name}{separator}__doc__")


def _annotated(node: Any) -> Iterator[tuple[str, ast.expr]]:
    """Name and annotation of each parameter, or of each field."""
    if isinstance(node, ast.ClassDef):
        counted = annotated_nodes(node)
        for inner in ast.walk(node):
            if isinstance(inner, ast.AnnAssign) and id(inner) in counted:
                yield ast.unparse(inner.target), inner.annotation
        return
    args = node.args
    for arg in [*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg]:
        if arg is not None and arg.annotation is not None:
            yield arg.arg, arg.annotation
    if getattr(node, "returns", None) is not None:
        yield "return", node.returns


def readings_in(file: SourceFile, scope: Scope) -> list[tuple[str, ...]]:
    """The annotations and docstrings that a function or class reads: chains that end with the attribute or function.

    A chain begins with the object that it reads, if the code names it. Methods of a class are left out: they are met
    themselves.
    """
    key = ("asks", scope)
    if key not in file.memo:
        if "words" not in file.memo:
            file.memo["words"] = _WORDS.search(file.text) is not None
        file.memo[key] = list(_readings(file, scope)) if file.memo["words"] else []
    found: list[tuple[str, ...]] = file.memo[key]
    return found


def _readings(file: SourceFile, scope: Scope) -> Iterator[tuple[str, ...]]:
    imported: dict[str, list[Any]] = {}
    for child in (*scope.below(), file.module.top):
        for name, targets in child.imports.items():
            imported.setdefault(name, []).extend(targets)
    todo: list[Any] = [scope.node]
    while todo:
        node = todo.pop()
        yield from _reading(node, scope, imported)
        inner = list(ast.iter_child_nodes(node))
        if node is scope.node and isinstance(node, ast.ClassDef):
            inner = [child for child in inner if not isinstance(child, DEFINITIONS)]
        todo += inner


def _lists(node: Any) -> bool:
    """Whether it lists attributes: `vars(A)`, `dir(A)`, `A.__dict__`, `getmembers(A)`; not those of `self`."""
    if isinstance(node, ast.Call) and node.args:
        chain, of = chain_of(node.func) or ("",), node.args[0]
        return (chain in (("vars",), ("dir",)) or chain[-1] == "getmembers") and chain_of(of) != ("self",)
    return isinstance(node, ast.Attribute) and node.attr == "__dict__" and chain_of(node.value) != ("self",)


def _reading(node: Any, scope: Scope, imported: Mapping[str, list[Any]]) -> Iterator[tuple[str, ...]]:
    if _lists(node):
        yield ("order",)
    if isinstance(node, ast.Constant):
        yield from [(node.value,)] if isinstance(node.value, str) and node.value in _HINTS | _DOCS else ()
    elif isinstance(node, ast.Attribute) and node.attr in _HINTS | _DOCS:
        chain = chain_of(node)
        yield chain if chain and scope.home(chain[0]) is None else (node.attr,)
    elif isinstance(node, ast.Name) and node.id in _HINTS | _DOCS:
        yield "", node.id
    elif (chain := chain_of(node) or ()) and chain[0] in imported:
        last = {chain[-1] if len(chain) > 1 else target.name for target in imported[chain[0]]}
        yield from ((word,) for word in sorted(last & (_HINTERS | {"getdoc"})))
