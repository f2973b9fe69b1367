"""Classes with fields as types of parameters: those of dataclasses, attrs and pydantic; their fields are flags as well.

None of the three libraries is imported here: whoever has such a class has imported its library.
"""
from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

REQUIRED = inspect.Parameter.empty
UNIONS = (typing.Union, types.UnionType)


def union_members(hint: Any) -> tuple[Any, ...]:
    """The types of a union, or the type itself; of an annotated type what it annotates, of a NewType what it is."""
    hint = getattr(hint, "__supertype__", hint)
    if typing.get_origin(hint) is typing.Annotated:
        return union_members(typing.get_args(hint)[0])
    if typing.get_origin(hint) in UNIONS:
        return tuple(kind for inner in typing.get_args(hint) for kind in union_members(inner))
    return (hint,)


def is_record(hint: Any) -> bool:
    """Whether it is a class made by dataclasses, attrs or pydantic."""
    marks = ("__dataclass_fields__", "__attrs_attrs__", "__pydantic_fields__")
    return isinstance(hint, type) and any(hasattr(hint, mark) for mark in marks)


def fields_of(record: Any, default: object) -> Iterator[tuple[str, Any, object]]:
    """Name, type and default of each field that can be given; the default is that of a whole value if there is one."""
    hints = typing.get_type_hints(record)
    for name, own in own_defaults(record).items():
        value = default.get(name, own) if isinstance(default, Mapping) else getattr(default, name, own)
        yield name, hints.get(name, Any), value


def own_defaults(record: Any) -> dict[str, object]:
    """Name → default of each field that can be given; REQUIRED where there is none."""
    if dataclasses.is_dataclass(record):
        given = [each for each in dataclasses.fields(record) if each.init]
        return {each.name: _made(each.default, each.default_factory) for each in given}
    if hasattr(record, "__attrs_attrs__"):
        given = [each for each in record.__attrs_attrs__ if each.init]
        return {getattr(each, "alias", each.name): _attrs_default(each.default) for each in given}
    fields = record.__pydantic_fields__
    return {
        name: REQUIRED if each.is_required() else each.get_default(call_default_factory=True)
        for name, each in fields.items()
    }


def _made(default: object, factory: Any) -> object:
    if default is not dataclasses.MISSING:
        return default
    return factory() if factory is not dataclasses.MISSING else REQUIRED


def _attrs_default(default: Any) -> object:
    factory = getattr(default, "factory", None)
    if factory is not None:
        return ... if default.takes_self else factory()
    return REQUIRED if type(default).__name__ == "_Nothing" else default
