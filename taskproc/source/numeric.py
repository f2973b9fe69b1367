"""Values of NumPy, pandas and polars: content by digest, and what they hold of Python objects as parts."""
from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

from taskproc.source.look import QUICK, Look, own_dict, quoted, raw
from taskproc.source.opaque import users_things_in
from taskproc.values.encode import key_form
from taskproc.values.forms import Json, Refused, numpy_form
from taskproc.values.frames import pandas_form, polars_form

FORMS: dict[str, Callable[[Any, Any], Json]] = {"numpy": numpy_form, "pandas": pandas_form, "polars": polars_form}


class _Holes:
    """The encoder's walk as the forms of libraries want it, which leaves a hole for each object within."""

    for_key = True

    def __init__(self) -> None:
        self.parts: list[object] = []
        self.steps: list[str] = []

    def form(self, value: object) -> Json:
        return self.item(value, "")

    def item(self, value: object, step: str) -> Json:
        if id(type(value)) in QUICK:
            return key_form(value, "it")
        self.parts.append(value)
        self.steps.append(step)
        return {"__part__": len(self.parts) - 1}

    def raw(self, data: bytes | memoryview) -> Json:
        found: Json = json.loads(raw(data))
        return found

    def bulk(self, values: Iterable[tuple[str, object]]) -> Json:
        return [self.item(value, step) for step, value in values]


def numeric_look(value: Any, kind: type, library: str) -> Look | None:
    """The look at a value of one of these libraries; None if it is of another kind than they name."""
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
        return Look("function", quoted(f"numpy:{value.__name__}"), hidden=users_things_in(value))
    if issubclass(kind, numpy.ndarray) and kind is not numpy.ndarray:
        return subclass_look(value, kind, numpy.ndarray.view(value, numpy.ndarray))
    return None


def subclass_look(value: Any, kind: type, content: object) -> Look:
    """An array of another class: its content, and its attributes, as the mask of a masked one."""
    held = {name: some for name, some in own_dict(value).items() if name[:2] != "__"}
    return Look("instance", code=kind, parts=[content, *held.values()], names=["", *held])


def objects_in(value: Any, library: str) -> list[object] | None:
    """The Python objects that an array or table holds; None if it is neither.

    Asked where only the code within is wanted: numbers are not read for it.
    """
    module: Any = sys.modules.get(library)
    kind = type(value)
    if library == "numpy" and issubclass(kind, module.ndarray):
        if value.dtype.names is not None:
            return [some for name in value.dtype.names for some in objects_in(value[name], library) or ()]
        return list(value.ravel().tolist()) if value.dtype.hasobject else []
    if library == "pandas" and issubclass(kind, (module.Series, module.Index)):
        values = [] if kind is module.RangeIndex else _objects(value)
        return [*values, *(_objects(value.index) if issubclass(kind, module.Series) else ())]
    if library == "pandas" and issubclass(kind, module.DataFrame):
        columns = [value.iloc[:, number] for number in range(value.shape[1])]
        return [some for column in columns for some in _objects(column)]
    if library == "polars" and issubclass(kind, (module.Series, module.DataFrame)):
        every = [value] if issubclass(kind, module.Series) else value.get_columns()
        return [some for series in every if series.dtype == module.Object for some in series.to_list()]
    return None


def _objects(column: Any) -> list[object]:
    return list(column.to_numpy().tolist()) if column.dtype == object else []
