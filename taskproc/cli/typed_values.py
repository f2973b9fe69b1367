"""Values of type hints from words and from JSON; a value that does not fit is refused in plain words.

jsonargparse parses the words. In some places it is lax, and what it drops or fills in would make a different task: an
unknown field with an empty value, null for a number or for a class with fields, a file that contains the fields, an
abbreviated field. `_misfit` finds these first.

Classes with fields are those of dataclasses, attrs and pydantic; their fields are flags as well. None of these three
libraries is imported here: a program that has such a class has imported its library.
"""
from __future__ import annotations

import argparse
import collections.abc
import dataclasses
import datetime
import enum
import inspect
import json
import math
import os
import re
import types
import typing
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from taskproc.cli.usage import UsageError
from taskproc.text import did_you_mean

REQUIRED = inspect.Parameter.empty
UNIONS = (typing.Union, types.UnionType)
UNREADABLE = object()  # the hint of a parameter whose annotation cannot be evaluated
CONTAINERS = frozenset({
    list, tuple, set, frozenset, dict,
    collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection, collections.abc.Set,
    collections.abc.Mapping, collections.abc.MutableMapping, collections.abc.MutableSequence,
})  # fmt: skip
_ANYTHING = (Any, object)
_ERRORS = (argparse.ArgumentError, TypeError, ValueError, KeyError)  # of jsonargparse, and of the classes it calls
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def union_members(hint: Any) -> tuple[Any, ...]:
    """The types of a union, or the type itself; annotations are dropped, and a NewType is replaced by its type."""
    hint = getattr(hint, "__supertype__", hint)
    if typing.get_origin(hint) is typing.Annotated:
        return union_members(typing.get_args(hint)[0])
    if typing.get_origin(hint) in UNIONS:
        return tuple(kind for inner in typing.get_args(hint) for kind in union_members(inner))
    return (hint,)


def is_record(hint: Any) -> bool:
    """Whether the hint is a class made by dataclasses, attrs or pydantic."""
    marks = ("__dataclass_fields__", "__attrs_attrs__", "__pydantic_fields__")
    return isinstance(hint, type) and any(hasattr(hint, mark) for mark in marks)


def record_fields(record: Any, default: object) -> Iterator[tuple[str, Any, object]]:
    """Name, type and default of each field that can be given; the default comes from a default of the whole value."""
    hints = typing.get_type_hints(record)
    for name, own in record_defaults(record).items():
        value = default.get(name, own) if isinstance(default, Mapping) else getattr(default, name, own)
        yield name, hints.get(name, Any), value


def record_defaults(record: Any) -> dict[str, object]:
    """Name → default of each field that can be given; REQUIRED if it has none."""
    if dataclasses.is_dataclass(record):
        fields = [field for field in dataclasses.fields(record) if field.init]
        return {field.name: _default_of(field.default, field.default_factory) for field in fields}
    if hasattr(record, "__attrs_attrs__"):
        fields = [field for field in record.__attrs_attrs__ if field.init]
        return {getattr(field, "alias", field.name): _attrs_default(field.default) for field in fields}
    return {
        name: REQUIRED if field.is_required() else field.get_default(call_default_factory=True)
        for name, field in record.__pydantic_fields__.items()
    }


def _default_of(default: object, factory: Any) -> object:
    if default is not dataclasses.MISSING:
        return default
    return factory() if factory is not dataclasses.MISSING else REQUIRED


def _attrs_default(default: Any) -> object:
    factory = getattr(default, "factory", None)
    if factory is not None:
        return ... if default.takes_self else factory()
    return REQUIRED if type(default).__name__ == "_Nothing" else default


def value_of_words(name: str, hint: Any, default: object, words: Sequence[str]) -> Any:
    """The value of the parameter `name` from words, each `=VALUE`, `+=VALUE` or `.field=VALUE`.

    Raises UsageError if they do not fit the hint.
    """
    said = ", ".join(word.removeprefix("=") for word in words)
    is_deep = not all(map(_is_scalar, union_members(hint)))
    fitting = _fitting(name, hint, [_as_json(word) for word in words], said) if is_deep else hint
    try:
        return _parsed(fitting, default, lambda parser: parser.parse_args([f"--value{word}" for word in words]))
    except _ERRORS as error:
        raise _refusal(name, hint, said, _reason(str(error), name)) from error


def value_of_json(name: str, hint: Any, default: object, value: object) -> Any:
    """The value of a parameter from JSON: as its flag would parse it; unchanged if it is not a JSON value.

    A text remains a text if the hint accepts texts, although the flag might parse the same word as a number.
    Raises UsageError if it does not fit the hint.
    """
    kinds = union_members(hint)
    if not _is_json(value) or any(kind in _ANYTHING for kind in kinds) or kinds == (type(value),):
        return value  # also for a list or a dict without the types of its elements
    if isinstance(value, str):
        is_text = str in kinds or any(typing.get_origin(kind) is typing.Literal and value in typing.get_args(kind)
                                      for kind in kinds)
        return value if is_text else value_of_words(name, hint, default, [f"={value}"])
    said = json.dumps(value, ensure_ascii=False)
    if (isinstance(value, (list, dict)) and value) or (isinstance(value, float) and not math.isfinite(value)):
        fitting = _fitting(name, hint, [value], said)
        try:
            return _parsed(fitting, default, lambda parser: parser.parse_object({"value": value}))
        except _ERRORS as error:
            raise _refusal(name, hint, said, _reason(str(error), name)) from error
    read = value_of_words(name, hint, default, [f"={said}"])
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(read, (str, os.PathLike)) and not is_number:
        raise _refusal(name, hint, said)  # `--name null` is a text, but JSON's null is not
    return read


def _is_json(value: object) -> bool:
    if isinstance(value, dict):
        return all(type(key) is str and _is_json(inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(map(_is_json, value))
    return type(value) in (str, int, float, bool, type(None))


def _parsed(hint: Any, default: object, parse: collections.abc.Callable[[Any], Any]) -> Any:
    """Parse with one option of a fixed name, so that parameters may have any name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's announcements are not for the user
        import jsonargparse
        from jsonargparse.typing import register_type

        for kind in (datetime.date, datetime.datetime):
            register_type(kind, str, kind.fromisoformat, fail_already_registered=False)
        parser = jsonargparse.ArgumentParser(exit_on_error=False, allow_abbrev=False)
        start: dict[str, Any] = {"default": default} if is_record(hint) and default not in (REQUIRED, None) else {}
        parser.add_argument("--value", type=hint, **start)
        instantiate = getattr(parser, "instantiate", None) or parser.instantiate_classes
        return instantiate(parse(parser))["value"]


def _refusal(name: str, hint: Any, said: str, why: str = "") -> UsageError:
    wanted = hint_text(hint) + " in JSON" * takes_json(hint)
    text = f"argument --{name}: expected {wanted}, got {said!r}"
    return UsageError(f"{text} ({why})" if why else text)


def _reason(said: str, name: str) -> str:
    """The library's message in our words, if it says more than that the value does not fit."""
    field = re.search(r'Parser key "value\.([\w.]+)"', said)
    last = re.sub(r'^\W*Parser key "[^"]*":?\s*', "", said.splitlines()[-1].strip())
    misfit = re.match(r"Expected an? (?:<class '(?:\w+\.)*(\w+)'>|(.+?))\. Got value: (.*)", last)
    if misfit:
        last = f"expected {misfit[1] or misfit[2]}, got {misfit[3]}" * (field is not None)
    elif "Unable to load config" in last:
        last = ""
    text = re.sub(r"\bvalue(?=\.)", name, last.removeprefix("- "))
    return f"{name}.{field[1]}: {text}" if field and text else text


def _as_json(word: str) -> object:
    """The content of a word, as far as it can be parsed; `.a.b=1` is `{"a": {"b": 1}}`, `+=1` is `[1]`."""
    path, _, text = word.partition("=")
    loaded = _loaded(text)
    value: object = loaded if isinstance(loaded, (list, dict)) else text  # the meaning of `null` depends on the type
    if path.endswith("+"):
        value = value if isinstance(value, list) else [value]
    for name in reversed(path.rstrip("+").split(".")[1:]):
        value = {name: value}
    return value


def _loaded(text: str) -> object:
    """Load JSON or YAML, as the library does."""
    try:
        return json.loads(text)
    except ValueError:
        from yaml import YAMLError, safe_load  # type: ignore[import-untyped]  # jsonargparse requires it

        try:
            return safe_load(text)
        except YAMLError:
            return text




def takes_none(hint: Any) -> bool:
    """Whether None is a value of this type."""
    return any(
        kind in (*_ANYTHING, None, type(None))
        or (typing.get_origin(kind) is typing.Literal and None in typing.get_args(kind))
        for kind in union_members(hint)
    )


def _is_scalar(kind: Any) -> bool:
    """Whether JSON values of this type have no parts."""
    if typing.get_origin(kind) is typing.Literal or kind is None:
        return True
    return isinstance(kind, type) and kind not in (*_ANYTHING, *CONTAINERS) and not (
        is_record(kind) or typing.get_origin(kind) or hasattr(kind, "__required_keys__")
    )


def _fitting(name: str, hint: Any, values: Collection[object], said: str) -> Any:
    """The hint; for a union, those of its types that fit an object or a list. Raises UsageError if none does."""
    kinds = union_members(hint)
    misfits = [next(filter(None, (_misfit_of(kind, value, name) for value in values)), "") for kind in kinds]
    fitting = [kind for kind, misfit in zip(kinds, misfits, strict=True) if not misfit]
    if not fitting:
        raise _refusal(name, hint, said, next((misfit for misfit in misfits if not misfit.startswith(f"{name}: ")), ""))
    is_whole = len(fitting) == len(kinds) or not all(isinstance(value, (list, Mapping)) for value in values)
    return hint if is_whole else typing.Union[tuple(fitting)]


def _misfit(hint: Any, value: object, where: str) -> str:
    """Why a value from JSON or from flags with dots does not fit a hint; empty if no reason is found."""
    misfits = [_misfit_of(kind, value, where) for kind in union_members(hint)]
    if "" in misfits:
        return ""
    # An unknown field says more than a wrong type
    return next((misfit for misfit in misfits if not misfit.startswith(f"{where}: ")), _unlike(hint, value, where))


def _misfit_of(kind: Any, value: object, where: str) -> str:
    """The same for one type of a union."""
    is_deep = isinstance(value, (list, Mapping)) and _is_scalar(kind)
    if is_deep or (is_record(kind) and not isinstance(value, Mapping)) or (value is None and not takes_none(kind)):
        return _unlike(kind, value, where)
    if is_record(kind):
        assert isinstance(value, Mapping)
        return _misfit_of_fields(kind, value, where)
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    pairs: list[tuple[str, Any, object]] = []
    if isinstance(value, Mapping) and hasattr(kind, "__required_keys__"):  # a TypedDict
        hints = typing.get_type_hints(kind)
        pairs = [(f"{where}.{key}", hints.get(key, Any), inner) for key, inner in value.items()]
    elif isinstance(value, Mapping) and origin in _MAPPINGS:
        pairs = [(f"{where}.{key}", inside[-1], inner) for key, inner in value.items()]
    elif isinstance(value, list) and origin is tuple and ... not in inside:
        pairs = [(f"{where}[{place}]", *pair) for place, pair in enumerate(zip(inside, value, strict=False))]
    elif isinstance(value, list) and origin in CONTAINERS and origin not in _MAPPINGS:
        pairs = [(f"{where}[{place}]", inside[0], inner) for place, inner in enumerate(value)]
    return next((misfit for place, hint, inner in pairs if (misfit := _misfit(hint, inner, place))), "")


def _unlike(hint: Any, value: object, where: str) -> str:
    return f"{where}: expected {hint_text(hint)}, got {json.dumps(value, ensure_ascii=False, default=repr)}"


def _misfit_of_fields(kind: Any, value: Mapping[str, object], where: str) -> str:
    names = _fields(kind)
    if unknown := [name for name in value if name not in names]:
        near = did_you_mean(unknown[0], names) or f". It has {', '.join(names) or 'none'}"
        return f"{kind.__name__} has no field {unknown[0]!r}{near}"
    hints, defaults = typing.get_type_hints(kind), record_defaults(kind)
    for name, inner in value.items():
        if inner is None and defaults.get(name, REQUIRED) is None:
            continue  # a field whose default is None may be None
        if misfit := _misfit(hints.get(name, Any), inner, f"{where}.{name}"):
            return misfit
    return ""


def _fields(kind: Any) -> list[str]:
    """The names that a class with fields accepts: its fields, and other parameters, such as an InitVar."""
    try:
        parameters = list(inspect.signature(kind).parameters.values())
    except (TypeError, ValueError):
        parameters = []  # a class written in C, or with a signature of its own kind
    named = (entry.name for entry in parameters if entry.kind in (entry.POSITIONAL_OR_KEYWORD, entry.KEYWORD_ONLY))
    return list(dict.fromkeys([*record_defaults(kind), *named]))




def takes_json(hint: Any) -> bool:
    """Whether a value of this type may be a list, a tuple, a set or a dict."""
    if typing.get_origin(hint) in (*UNIONS, typing.Annotated):
        return any(map(takes_json, typing.get_args(hint)))
    return (typing.get_origin(hint) or hint) in CONTAINERS


def hint_text(hint: Any) -> str:
    """A type hint as text: `list[int]`, `int | None`, `red|blue` for an Enum or a Literal."""
    if hint is UNREADABLE:
        return "a type that is not known here"
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return "|".join(hint.__members__)
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return "|".join(map(str, inner))
    if origin is typing.Annotated:
        return hint_text(inner[0])
    if origin in UNIONS:
        return " | ".join(map(hint_text, inner))
    if origin is not None and inner:
        shown = ", ".join("..." if part is Ellipsis else hint_text(part) for part in inner)
        return f"{getattr(origin, '__name__', origin)}[{shown}]"
    if hint is type(None):
        return "None"
    return str(getattr(hint, "__name__", hint)).replace("typing.", "")
