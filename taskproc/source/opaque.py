"""What an object that says nothing of itself holds of the user's: functions, classes, instances, at any depth.

The garbage collector knows what an object refers to, also where it is written in C, and no code runs to find out.
"""
from __future__ import annotations

import gc
import sys
from types import BuiltinFunctionType, CellType, FunctionType, ModuleType
from typing import Any

from taskproc.source.look import is_flat
from taskproc.source.project import is_users_class, is_users_code

MOST = 20_000  # objects that are looked at: a library may hold half of the process


def users_things_in(value: Any) -> list[object]:
    """Functions, classes and instances of the user's that `value` holds, each once, in order; none inside these."""
    found: list[object] = []
    known = _Kinds()
    seen = {id(value)}
    todo = list(reversed(_referents(value)))
    while todo and len(seen) < MOST:
        some = todo.pop()
        if id(some) in seen:
            continue
        seen.add(id(some))
        kind = type(some)
        if kind is FunctionType and is_users_code(some.__code__, some.__globals__):
            found.append(some)
        elif issubclass(kind, type):
            found += [some] if known.is_users(some) else []
        elif known.is_users(kind):
            found.append(some)
        elif not issubclass(kind, ModuleType):
            todo += reversed(_referents(some))
    return found


class _Kinds:
    """Remembers by identity whose a class is: a metaclass may have a hash of its own."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[type, bool]] = {}

    def is_users(self, kind: type) -> bool:
        if id(kind) not in self._known:
            self._known[id(kind)] = kind, is_users_class(kind)
        return self._known[id(kind)][1]


def held_by_function(function: FunctionType) -> list[object]:
    """What a function that is not followed holds: variables, defaults, attributes."""
    found: list[object] = []
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # the variable has no value yet
            continue
    found += [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    return found + list(vars(function).values())


def _referents(some: Any) -> list[Any]:
    kind = type(some)
    if kind is FunctionType:
        return held_by_function(some)
    if issubclass(kind, (BuiltinFunctionType, CellType)):
        return [inner for inner in gc.get_referents(some) if not issubclass(type(inner), ModuleType)]
    if kind is dict:
        # The names of a module belong to nobody's value
        return [] if "__builtins__" in some or len(some) > MOST else _of_dict(some)
    if kind in (list, tuple) and (len(some) > MOST or is_flat(some)):
        return []
    if kind.__module__ == "numpy" and kind.__name__ == "ndarray":
        return some.ravel().tolist() if some.dtype.hasobject and some.dtype.names is None else []
    return [inner for inner in gc.get_referents(some) if inner is not kind]


def _of_dict(some: dict[Any, Any]) -> list[Any]:
    if type(some).__len__(some) and "__name__" in some and some is vars_of(some.get("__name__")):
        return []
    return [*some.keys(), *some.values()]


def vars_of(name: object) -> object:
    """The names of the module that is loaded under this name."""
    module = sys.modules.get(name) if type(name) is str else None
    return vars(module) if issubclass(type(module), ModuleType) else None
