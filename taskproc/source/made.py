"""Classes without a class statement: what a call such as `make_dataclass` was given, read from what it has made."""
from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from taskproc.modules import real_name
from taskproc.source.walking import Walking

_OPTIONS = ("init", "repr", "eq", "order", "hash", "compare", "kw_only", "frozen", "unsafe_hash", "exclude", "alias")


def fields_of(walk: Walking, cls: Any, name: str) -> Iterator[str]:
    """What a class says that is no attribute of it, a line each: bases, fields and their types, options."""
    yield f"bases {' '.join(map(_name, (type(cls), *cls.__bases__)))}\n"
    own = vars(cls)
    for attr in ("_fields", "__slots__", "__match_args__", "__required_keys__", "__optional_keys__", "__total__"):
        if attr in own and type(own[attr]) in (tuple, frozenset, list, bool, str):
            value = own[attr]
            yield f"{attr} {sorted(value) if type(value) is frozenset else value}\n"
    yield from (f"{attr} {_name_of(walk, some)}\n" for attr, some in _annotations(own).items())
    yield from _options("dataclass", own.get("__dataclass_params__"))
    for field, described in _described(own).items():
        yield from _options(field, described)
        for what in ("type", "annotation", "default", "default_factory", "converter", "validator", "metadata"):
            value = _read(described, what)
            if value is not None and value is not described:
                yield f"{field}.{what} {_value(walk, value, f'{name}.{field}.{what}')}\n"
    defaults = own.get("_field_defaults")
    if defaults:
        yield f"defaults {_value(walk, defaults, f'{name}._field_defaults')}\n"


def functions_of(cls: type) -> Iterator[object]:
    """Functions and classes that the fields of a class hold: factories, converters, validators."""
    for described in _described(vars(cls)).values():
        for what in ("default", "default_factory", "converter", "validator", "metadata"):
            value = _read(described, what)
            yield from _code_in(value)


def _code_in(value: object) -> Iterator[object]:
    todo = [value]
    while todo:
        some = todo.pop()
        if type(some) in (list, tuple):
            todo += reversed(some)  # type: ignore[call-overload]
        elif issubclass(type(some), (FunctionType, type)):
            yield some
        elif type(some).__module__.partition(".")[0] in ("attr", "attrs", "pydantic"):
            todo += [_read(some, what) for what in ("func", "factory", "converter", "_validators", "validator")]


def _described(own: Any) -> dict[str, Any]:
    """Field → its description, by dataclasses, attrs or pydantic."""
    found: dict[str, Any] = {}
    for attr in ("__dataclass_fields__", "__pydantic_fields__"):
        if type(own.get(attr)) is dict:
            found |= own[attr]
    return found | {some.name: some for some in own.get("__attrs_attrs__", ())}


def _read(thing: object, name: str) -> Any:
    """A field of a description, read past its class where it is a slot of it."""
    return None if thing is None else getattr(thing, name, None)


def _options(name: str, described: object) -> Iterator[str]:
    found = [f"{option}={value}" for option in _OPTIONS if type(value := _read(described, option)) in (bool, str)]
    if found:
        yield f"{name} {' '.join(found)}\n"


def _annotations(own: Any) -> dict[str, Any]:
    if sys.version_info >= (3, 14):
        own = {"__annotations__": own.get("__annotations_cache__")}  # computed when somebody has asked
    found = own.get("__annotations__")
    return found if type(found) is dict else {}


def _name(thing: Any) -> str:
    return f"{real_name(str(thing.__module__))}:{thing.__qualname__}"


def shown(walk: Walking, thing: Any) -> str:
    """Follow a class or function; its name, also if it is a library's."""
    return walk.meet(thing, "") or _name(thing)


def _name_of(walk: Walking, annotation: Any) -> str:
    """An annotation in words; classes and functions in it are followed."""
    if issubclass(type(annotation), (FunctionType, type)) and not hasattr(annotation, "__origin__"):
        return shown(walk, annotation)
    inner = [*_tuple(annotation, "__args__"), *_tuple(annotation, "__metadata__")]
    if inner:
        origin = _read(annotation, "__origin__")
        return f"{type(annotation).__name__}[{origin!r}]{[_name_of(walk, some) for some in inner]}"
    found = [walk.meet(some, "") for some in _code_in(annotation)]
    return f"{type(annotation).__name__} {found}" if found else _shown(annotation)


def _shown(value: object) -> str:
    text = repr(value) if type(value).__module__.partition(".")[0] in _PLAIN_REPR else type(value).__qualname__
    return type(value).__qualname__ if " at 0x" in text else text


_PLAIN_REPR = ("builtins", "typing", "types", "annotated_types", "pydantic", "pydantic_core", "typing_extensions")


def _tuple(value: object, name: str) -> tuple[Any, ...]:
    found = _read(value, name)
    return found if type(found) is tuple else ()


def _value(walk: Walking, value: Any, place: str) -> str:
    """A default by value; what of it has no form is confessed."""
    if value.__class__.__name__ in ("_MISSING_TYPE", "PydanticUndefinedType", "_Nothing"):
        return "none"
    if place.endswith((".type", ".annotation", ".metadata")) or list(_code_in(value)):
        return _name_of(walk, value)
    text = walk.try_text(value, place)
    return text if text is not None else type(value).__qualname__
