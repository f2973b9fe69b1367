"""Arguments of a task: bound to the parameters of its class, and held apart from what the caller does to his own."""
from __future__ import annotations

import dataclasses
import datetime as dt
import inspect
import pathlib
import sys
from collections.abc import Collection, Mapping
from enum import Enum
from types import BuiltinFunctionType, FunctionType
from typing import Any
from weakref import WeakKeyDictionary

from taskproc.tasks.future import FutureDict, FutureList, Indexable

# What dataclasses puts into a signature in place of the value of a `default_factory`. Known by its type: a class that
# came to a worker by value has brought its own.
_FACTORY = type(inspect.signature(dataclasses.make_dataclass("_", [("x", int, dataclasses.field(default_factory=int))]))
                .parameters["x"].default)


def bind(cls: type, args: tuple[object, ...], kwargs: Mapping[str, object]) -> inspect.BoundArguments:
    """Arguments by parameter name with defaults applied, so that `A(1)`, `A(x=1)` and `A()` are one task."""
    try:
        bound = signature(cls).bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{cls.__qualname__}: {error}") from None
    bound.apply_defaults()
    for name, value in bound.arguments.items():
        if isinstance(value, _FACTORY):
            bound.arguments[name] = cls.__dataclass_fields__[name].default_factory()  # type: ignore[attr-defined]
    return bound


def signature(cls: type) -> inspect.Signature:
    """Parameters of `cls.__init__` without `self`; what they were when this was asked first."""
    found = _signatures.get(cls)
    if found is None:
        init: Any = vars(cls).get("__init__") or cls.__init__  # type: ignore[misc]  # each class has its own entry
        parameters = [] if init is object.__init__ else list(inspected(init).parameters.values())[1:]
        found = _signatures[cls] = inspect.Signature(parameters)
    return found


_signatures: WeakKeyDictionary[type, inspect.Signature] = WeakKeyDictionary()


def inspected(init: Any) -> inspect.Signature:
    """The signature of a function, whose annotations are not evaluated."""
    if sys.version_info >= (3, 14):
        import annotationlib

        # By default annotations would be evaluated, and names that are there for type checkers only be missed
        return inspect.signature(init, annotation_format=annotationlib.Format.FORWARDREF)
    return inspect.signature(init)


# ---------------------------------------------------------------- what the caller may change


def copies(arguments: Mapping[str, Any], but: Collection[str] = ()) -> dict[str, Any]:
    """Each argument as `own` gives it, except those named in `but`."""
    return {name: value if name in but else own(value) for name, value in arguments.items()}


def own(value: Any) -> Any:
    """`value` with plain containers copied at every level: the caller may go on to fill his own for the next task."""
    kind = type(value)
    if kind in _ROWS:
        return kind(value) if _is_flat(value) else kind(map(own, value))
    if kind in _TABLES:
        return kind((name, own(some)) for name, some in value.items())
    return bytearray(value) if kind is bytearray else value


def is_loose(value: Any) -> bool:
    """Whether `value` holds what the caller may change under a task: an array, a frame, an instance of some class.

    That is not copied, for it may be large; see naming.loose_arguments.
    """
    kind = type(value)
    if kind in _FIXED:
        return False
    if kind in _ROWS:
        return not _is_flat(value) and any(map(is_loose, value))
    if kind in _TABLES:
        return any(map(is_loose, value)) or is_loose(list(value.values()))
    return not isinstance(value, (Indexable, type, Enum, FunctionType, BuiltinFunctionType))


def _is_flat(value: Collection[object]) -> bool:
    """Whether no element can be changed, quickly: it may be a list of a million numbers."""
    return FLAT.issuperset(map(type, value))


FLAT = frozenset({
    type(None), bool, int, float, complex, str, bytes, range, type(...), dt.date, dt.time, dt.datetime, dt.timedelta,
    pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.PosixPath, pathlib.WindowsPath,
})  # fmt: skip
_FIXED = FLAT | {bytearray}  # which `own` copies
_ROWS = frozenset({list, tuple, set, frozenset, FutureList})
_TABLES = frozenset({dict, FutureDict})
