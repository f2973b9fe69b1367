"""Looking at objects without asking them: cells, defaults, and what kind of thing a value is."""
from __future__ import annotations

from collections.abc import Mapping
from types import (
    BuiltinFunctionType,
    CellType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

from taskproc.source.constants import wrapped
from taskproc.source.lookups import Imported
from taskproc.source.pieces import Piece

MISSING = object()
FIELD: type = type(vars(Imported)["module"])  # what gives the field of a named tuple; it has no public name
OPAQUE = frozenset(
    {
        FIELD,
        BuiltinFunctionType,
        GetSetDescriptorType,
        MemberDescriptorType,
        MethodDescriptorType,
        MethodWrapperType,
        WrapperDescriptorType,
    }
)


def is_code(value: object) -> bool:
    """Whether a value is a class, a function, or a plain wrapper of one."""
    return issubclass(type(value), (FunctionType, type)) or wrapped(value) is not None


def is_of(value: Any, names: Mapping[str, Any]) -> bool:
    if type(value) is FunctionType:
        return value.__globals__ is names
    if issubclass(type(value), type):
        return bool(value.__module__ == names.get("__name__"))
    return not issubclass(type(value), ModuleType)


def content_of(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # the variable has no value yet
        return MISSING


def defaults_of(function: FunctionType) -> dict[str, object]:
    """Parameter → default."""
    code, values = function.__code__, function.__defaults__ or ()
    names = code.co_varnames[code.co_argcount - len(values) : code.co_argcount]
    return {**dict(zip(names, values)), **(function.__kwdefaults__ or {})}


def is_written(value: object, parameter: str, piece: Piece) -> bool:
    """Whether a default is the constant that is written there."""
    written = piece.written.get(parameter, MISSING)
    return type(value) is type(written) and value == written
