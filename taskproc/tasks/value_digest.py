"""One digest for all values that are the same once they are loaded, however they were made.

A pickle also depends on the order of a set in memory, on whether two equal texts are one object, and on the line of a
lambda. Here a value is described by the forms that keys are made of, but from what a pickle stores of it, so that
values that differ after loading have different digests:

- an instance counts by what it is pickled by, not by a hook that names it for keys;
- a mutable object that occurs twice counts by its first place at the second one;
- a function without a name counts by its code, without file and lines, and by what it refers to;
- a path below the data directory of its attempt counts from there: the number of the attempt means nothing.

This code is Python, and pickle is C. So a value of numbers and texts alone is digested at once, and a value of more
than MOST other parts has no digest.
"""
from __future__ import annotations

import copyreg
import hashlib
import marshal
import os
import pathlib
import sys
from collections.abc import Iterable, Iterator
from enum import Enum
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from taskproc.attributes import SCALARS
from taskproc.by_value import DEFINITIONS
from taskproc.modules import find_object, is_findable, object_name, real_name
from taskproc.values.encode import Encoder, canonical_text, of_library
from taskproc.values.forms import Json, Refused, numpy_form
from taskproc.values.frames import pandas_form, polars_form
from taskproc.values.instances import class_name, enum_form

MOST = 4_000  # parts that are read one by one, 1 to 3 µs each
_SHARE = 8    # plain parts that take the time of one other part

_SORTABLE = frozenset({int, str, bytes})
_CONTAINERS = frozenset({list, tuple, dict, set, frozenset})
_PATHS = (pathlib.PosixPath, pathlib.WindowsPath)
_FIXED = frozenset({tuple, frozenset, range, type(...), type(NotImplemented), pathlib.PurePosixPath, *_PATHS, complex})
_FIXED_KINDS = (Enum, type, BuiltinFunctionType, int, float, str, bytes)


def value_digest(value: object, root: str = "", home: str = "") -> str | None:
    """64 hex digits; None if the pickle is enough, or if the value cannot be named or is too large.

    Args:
        root: the cache; a path below it counts from there, as in a pickle.
        home: the data directory of the attempt; empty if its content is not known.
    """
    if type(value) in SCALARS and not (home and type(value) is str):
        return None
    try:
        text = canonical_text(_Valued(root, home).form(value))
    except Exception:  # noqa: BLE001  # code of a class may raise anything; the pickle is enough
        return None
    return hashlib.sha256(text.encode("ascii")).hexdigest()


class _Valued(Encoder):
    """The form of a value that was pickled."""

    __slots__ = ("_alive", "_home", "_left", "_names", "_places", "_root")

    def __init__(self, root: str, home: str):
        super().__init__(True, exact=True)
        self._root, self._home = root, home
        self._left = MOST
        self._names: dict[type, str | None] = {}  # of classes whose instances are their attributes
        self._places: dict[int, int] = {}  # id → number of a mutable object
        self._alive: list[object] = []     # or an id might be reused

    def form(self, value: object) -> Json:
        kind = type(value)
        if kind in SCALARS:
            if kind is str and self._home and (below := _below(value, self._home)) is not None:
                return {"__path__": ["text", below]}
            return super().form(value)
        self._spend(1)
        if kind not in _FIXED and not isinstance(value, _FIXED_KINDS):
            number = self._places.setdefault(id(value), len(self._alive))
            if number < len(self._alive):
                return {"__again__": number}
            self._alive.append(value)
        if kind in _CONTAINERS and (flat := self._flat(value, kind)) is not None:
            return flat
        return super().form(value)

    def inner(self, value: Any, kind: type[Any]) -> Json:
        if kind in (set, frozenset):
            return self._members(value, kind)
        if kind in _PATHS:
            return self._path(value)
        if kind is FunctionType and not is_findable(value):
            return {"__function__": _function_parts(value, self)}
        if kind is CodeType:
            return {"__code__": _code_parts(value, self)}
        if isinstance(value, ModuleType) and sys.modules.get(value.__name__) is value:
            return {"__module__": value.__name__}
        if kind.__module__ in _BUILT_IN or isinstance(value, type):
            return super().inner(value, kind)
        return self._other(value, kind)

    def bulk(self, values: Iterable[tuple[str, object]]) -> Json:
        return super().bulk(self._counted(values))

    def refuse_more(self, size: int) -> None:
        """No single part is too large."""

    def _other(self, value: Any, kind: type) -> Json:
        if isinstance(value, Enum):
            return enum_form(value, self)
        if (known := of_library(kind)) is not None:
            return known(value, self)
        library = kind.__module__.partition(".")[0]
        if library == "numpy" and _is_of_numpy(value):
            read_only = not getattr(getattr(value, "flags", None), "writeable", True) and kind.__name__ == "ndarray"
            return {"__read_only__": numpy_form(value, self)} if read_only else numpy_form(value, self)
        if library in ("pandas", "polars"):
            return pandas_form(value, self) if library == "pandas" else polars_form(value, self)
        if kind not in self._names:
            self._names[kind] = class_name(kind) if _is_plain(kind) else None
        if (name := self._names[kind]) is not None:
            return {"__object__": [name, self.form(vars(value))]}
        return {"__reduced__": _reduced(value, self)}

    def _members(self, value: Any, kind: type) -> Json:
        """Sorted. Mutable objects are numbered, and the order of a set is arbitrary."""
        before = len(self._places)
        form = super().inner(value, kind)
        if len(self._places) != before:
            raise Refused("has members that can be changed")
        return form

    def _path(self, value: Any) -> Json:
        text = str(value)
        for kind, folder in (("data", self._home), ("cache", self._root)):
            if folder and (below := _below(text, folder)) is not None:
                return {"__path__": [kind, below]}
        return super().inner(value, type(value))

    def _flat(self, value: Any, kind: type) -> Json:
        """The form of a container of plain values only, at once; None if it has others."""
        kinds = {*map(type, value), *map(type, value.values())} if kind is dict else {*map(type, value)}
        if not kinds <= SCALARS or (self._home and str in kinds):
            self._spend(len(value) // _SHARE)
            return None
        if kind in (set, frozenset):
            if len(kinds) > 1 or not kinds <= _SORTABLE:
                self._spend(len(value))
                return None
            value = sorted(value)
        # Version 2 has no references, so the bytes depend only on the values
        return {"__plain__": [kind.__name__, self.raw(marshal.dumps(value, 2))]}

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise Refused("has too many parts")

    def _counted(self, values: Iterable[tuple[str, object]]) -> Iterator[tuple[str, object]]:
        for pair in values:
            self._spend(1)
            yield pair


_BUILT_IN = frozenset({"builtins", "collections", "datetime", "functools", "pathlib", "re", "pathlib._local"})


def _below(text: Any, folder: str) -> str | None:
    if text == folder:
        return ""
    return text[len(folder) + 1 :] if text.startswith(folder + os.sep) else None


def _is_of_numpy(value: Any) -> bool:
    numpy: Any = sys.modules["numpy"]
    return type(value) is numpy.ndarray or isinstance(value, (numpy.generic, numpy.dtype))


# ---------------------------------------------------------------- instances and functions, as in a pickle


def _is_plain(kind: type) -> bool:
    """Whether a Python class is pickled by name and attributes, as `object` does it."""
    own = {name for base in kind.__mro__[:-1] for name in vars(base)}
    in_c = any(not base.__flags__ & _HEAP_TYPE for base in kind.__mro__[:-1])
    return not in_c and own.isdisjoint(_OWN) and kind not in copyreg.dispatch_table and kind.__dictoffset__ != 0


_HEAP_TYPE = 1 << 9  # of a class made by a class statement or a C module
_OWN = frozenset("__reduce__ __reduce_ex__ __getstate__ __getnewargs__ __getnewargs_ex__ __slots__ __new__".split())


def _reduced(value: Any, walk: _Valued) -> list[Json]:
    """The parts from which an instance is made when it is loaded."""
    if isinstance(value, DEFINITIONS):
        if is_findable(value):
            return [object_name(value)]
        raise Refused("is pickled in a way of our own")
    reduce = copyreg.dispatch_table.get(type(value))
    reduced = reduce(value) if reduce is not None else value.__reduce_ex__(5)
    if isinstance(reduced, str):
        name = f"{real_name(value.__module__)}:{reduced}"
        if find_object(name) is not value:
            raise Refused("is not found by its name")
        return [name]
    parts: list[Any] = list(reduced)
    for place in (3, 4):  # items and pairs are iterators
        if len(parts) > place and parts[place] is not None:
            parts[place] = tuple(parts[place])
    return [walk.form(part) for part in parts]


def _function_parts(function: Any, walk: _Valued) -> list[Json]:
    """What a function does, and its names and documentation; not its position."""
    if getattr(function, "__type_params__", ()) or getattr(function, "__annotate__", None) is not None:
        raise Refused("has annotations that are evaluated when they are asked for")
    names = sorted(set(_globals_of(function.__code__)))
    used = {name: function.__globals__[name] for name in names if name in function.__globals__}
    code: Any = function.__code__
    parts = [
        function.__name__, function.__qualname__, real_name(function.__module__ or "__main__"), function.__doc__, code,
        function.__defaults__, function.__kwdefaults__, function.__dict__, function.__annotations__, used,
        tuple(map(_cell_content, function.__closure__ or ())),
    ]  # fmt: skip
    return [walk.form(part) for part in parts]


def _cell_content(cell: Any) -> object:
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()


def _globals_of(code: CodeType) -> Iterator[str]:
    import dis  # here: 20 ms, and few results have functions without a name

    for step in dis.get_instructions(code):
        if step.opname.endswith(("_GLOBAL", "_NAME")):
            yield step.argval
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _globals_of(inner)


def _code_parts(code: CodeType, walk: _Valued) -> list[Json]:
    counts = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags]
    names = [code.co_name, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars]
    does = [code.co_code, getattr(code, "co_exceptiontable", b""), code.co_consts]
    return [*counts, *(walk.form(part) for part in (*names, *does))]
