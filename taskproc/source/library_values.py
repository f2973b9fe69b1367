"""Values of libraries: arrays and tables, types that are written as values, and objects that hide what they hold.

Arrays and tables of NumPy, pandas and polars count by a digest, and the Python objects in them as parts. Types such as
`Literal["a"]`, `int | None` and `list[int]` count by what they say of themselves. For any other object, the garbage
collector knows what it refers to, even if it is written in C, and no code runs to find out.
"""
from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Iterable
from types import (
    BuiltinFunctionType,
    CellType,
    FunctionType,
    GenericAlias,
    GetSetDescriptorType,
    MemberDescriptorType,
    ModuleType,
)
from typing import Any

from taskproc.attributes import identity
from taskproc.source.project import is_users_class, is_users_code
from taskproc.source.value_look import QUICK, Look, all_plain, bytes_text, class_attribute, instance_dict, json_word
from taskproc.values.encode import key_form
from taskproc.values.forms import Json, Refused, numpy_form
from taskproc.values.frames import pandas_form, polars_form

FORMS: dict[str, Callable[[Any, Any], Json]] = {"numpy": numpy_form, "pandas": pandas_form, "polars": polars_form}


class _Holes:
    """The encoder as the forms of libraries call it; it leaves a hole for each Python object."""

    for_key = True

    def __init__(self) -> None:
        self.parts: list[object] = []
        self.steps: list[str] = []

    def form(self, value: object) -> Json:
        return self.item(value, "")

    def item(self, value: object, step: str) -> Json:
        if identity(type(value)) in QUICK:
            return key_form(value, "it")
        self.parts.append(value)
        self.steps.append(step)
        return {"__part__": len(self.parts) - 1}

    def raw(self, data: bytes | memoryview) -> Json:
        found: Json = json.loads(bytes_text(data))
        return found

    def bulk(self, values: Iterable[tuple[str, object]]) -> Json:
        return [self.item(value, step) for step, value in values]


def numeric_look(value: Any, kind: type, library: str) -> Look | None:
    """The look at a value of one of these libraries; None if they have no form for its class."""
    special = _special(value, kind)
    if special is not None:
        return special
    holes = _Holes()
    try:
        form = FORMS[library](value, holes)
    except Refused:
        return None
    head = json.dumps(form, separators=(",", ":"))
    return Look(library, head, parts=holes.parts, steps=holes.steps)


def _special(value: Any, kind: type) -> Look | None:
    numpy: Any = sys.modules.get("numpy")
    if numpy is None:
        return None
    if kind is numpy.ufunc:
        return Look("function", json_word(f"numpy:{value.__name__}"), hidden=users_objects_in(value))
    if issubclass(kind, numpy.ndarray) and kind is not numpy.ndarray:
        return subclass_look(value, kind, numpy.ndarray.view(value, numpy.ndarray))
    return None


def subclass_look(value: Any, kind: type, content: object) -> Look:
    """An array of a subclass: its content and its attributes, such as the mask of a masked array."""
    held = {name: attribute for name, attribute in instance_dict(value).items() if name[:2] != "__"}
    return Look("instance", code=kind, parts=[content, *held.values()], names=["", *held])


def objects_in(value: Any, library: str) -> list[object] | None:
    """The Python objects in an array or table, without reading its numbers; None if it is neither."""
    module: Any = sys.modules.get(library)
    kind = type(value)
    if library == "numpy" and issubclass(kind, module.ndarray):
        if value.dtype.names is not None:
            return [item for name in value.dtype.names for item in objects_in(value[name], library) or ()]
        return list(value.ravel().tolist()) if value.dtype.hasobject else []
    if library == "pandas" and issubclass(kind, (module.Series, module.Index)):
        values = [] if kind is module.RangeIndex else _column_objects(value)
        return [*values, *(_column_objects(value.index) if issubclass(kind, module.Series) else ())]
    if library == "pandas" and issubclass(kind, module.DataFrame):
        columns = [value.iloc[:, number] for number in range(value.shape[1])]
        return [item for column in columns for item in _column_objects(column)]
    if library == "polars" and issubclass(kind, (module.Series, module.DataFrame)):
        every = [value] if issubclass(kind, module.Series) else value.get_columns()
        return [element for series in every if series.dtype == module.Object for element in series.to_list()]
    return None


def _column_objects(column: Any) -> list[object]:
    return list(column.to_numpy().tolist()) if column.dtype == object else []

_TYPING = frozenset({"typing", "typing_extensions"})
_DESCRIPTORS = (MemberDescriptorType, GetSetDescriptorType)
_READ = (
    "__name__", "_name", "__forward_arg__", "__origin__", "__args__", "__metadata__", "__supertype__",
    "__constraints__", "__bound__", "__covariant__", "__contravariant__",
)  # fmt: skip
_UNIONS = frozenset({"UnionType", "Union", "_UnionGenericAlias"})


def is_type_form(kind: type) -> bool:
    """Whether the values of a class are types that are written as values."""
    return kind.__module__ in _TYPING or issubclass(kind, GenericAlias) or kind.__name__ == "UnionType"


def type_form_look(value: Any, kind: type) -> Look:
    """The look at such a type, by its own attributes: it passes others on to the type inside it."""
    found = {name: held for name in _READ if (held := _slot(value, kind, name)) is not None}
    if _slot(value, kind, "__infer_variance__"):  # `def f[T: Bound]`: reading the bound runs its code
        found = {"__name__": found.get("__name__")}
    if kind.__name__ in _UNIONS:
        inner: Any = found.get("__args__", ())
        return Look("union", parts=list(inner), steps=[""] * len(inner))
    name = found.pop("__name__", None) or found.get("_name")
    found.pop("_name", None)
    if "__metadata__" in found:
        name = "Annotated"  # which has no name on older Pythons
    if not found:
        return Look("typing", json_word(str(name if name is not None else kind.__name__)))
    head = json_word(kind.__name__.strip("_") if name is None else f"{name}")
    words = list(found)
    return Look("typing", head, parts=list(found.values()), names=words, steps=[f".{word}" for word in words])


def _slot(value: Any, kind: type, name: str) -> object:
    own = instance_dict(value)
    if name in own:
        return own[name]
    descriptor = class_attribute(kind, name)
    if type(descriptor) not in _DESCRIPTORS:
        return None
    if name in ("__bound__", "__constraints__") and _slot(value, kind, "__infer_variance__"):
        return None
    try:
        found: object = descriptor.__get__(value)
    except (AttributeError, TypeError):
        return None
    return found

MOST_OBJECTS = 20_000  # objects that are looked at: a library may refer to half of the process


def users_objects_in(value: Any) -> list[object]:
    """The user's functions, classes and instances that `value` holds at any depth, each once; none inside these."""
    found: list[object] = []
    known = _Kinds()
    seen = {id(value)}
    todo = list(reversed(_referents(value)))
    while todo and len(seen) < MOST_OBJECTS:
        current = todo.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        kind = type(current)
        if kind is FunctionType and is_users_code(current.__code__, current.__globals__):
            found.append(current)
        elif issubclass(kind, type):
            found += [current] if known.is_users(current) else []
        elif known.is_users(kind):
            found.append(current)
        elif not issubclass(kind, ModuleType):
            todo += reversed(_referents(current))
    return found


class _Kinds:
    """Whose a class is, remembered by identity: a metaclass may define its own hash."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[type, bool]] = {}

    def is_users(self, kind: type) -> bool:
        if id(kind) not in self._known:
            self._known[id(kind)] = kind, is_users_class(kind)
        return self._known[id(kind)][1]


def function_contents(function: FunctionType) -> list[object]:
    """What a function that is not followed holds: variables of outer functions, defaults, attributes."""
    found: list[object] = []
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # the variable has no value yet
            continue
    found += [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    return found + list(vars(function).values())


def _referents(holder: Any) -> list[Any]:
    kind = type(holder)
    if kind is FunctionType:
        return function_contents(holder)
    if issubclass(kind, (BuiltinFunctionType, CellType)):
        return [inner for inner in gc.get_referents(holder) if not issubclass(type(inner), ModuleType)]
    if kind is dict:
        # The names of a module are not part of a value
        return [] if "__builtins__" in holder or len(holder) > MOST_OBJECTS else _of_dict(holder)
    if kind in (list, tuple) and (len(holder) > MOST_OBJECTS or all_plain(holder)):
        return []
    if kind.__module__ == "numpy" and kind.__name__ == "ndarray":
        return holder.ravel().tolist() if holder.dtype.hasobject and holder.dtype.names is None else []
    return [inner for inner in gc.get_referents(holder) if inner is not kind]


def _of_dict(holder: dict[Any, Any]) -> list[Any]:
    if type(holder).__len__(holder) and "__name__" in holder and holder is module_globals(holder.get("__name__")):
        return []
    return [*holder.keys(), *holder.values()]


def module_globals(name: object) -> object:
    """The globals of the module that is loaded under this name; None if there is none."""
    module = sys.modules.get(name) if type(name) is str else None
    return vars(module) if issubclass(type(module), ModuleType) else None
