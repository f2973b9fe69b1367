"""The entry task's own parameters as flags: what they are comes from its signature, jsonargparse reads their values.

It turns words into values of a type hint: numbers, lists, dicts, Optional, Literal, Enum, Path, dataclasses
(`--option '{"rate": 0.1}'`, or `--option.rate 0.1`) and more. It is imported only when such a flag is on the line, for
that takes a tenth of a second. What cannot be written in words (futures, arbitrary objects) is no flag.
"""
from __future__ import annotations

import argparse
import collections.abc
import datetime
import enum
import inspect
import json
import os
import re
import types
import typing
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from taskproc.cli.records import REQUIRED as REQUIRED
from taskproc.cli.records import UNIONS, is_record, misfit, union_members
from taskproc.cli.usage import UsageError
from taskproc.frozen import frozen
from taskproc.tasks.binding import signature
from taskproc.tasks.future import Upstream

_UNREADABLE = object()  # the hint of a parameter whose annotation cannot be evaluated here

_SCALARS = (bool, int, float, complex, str, type(None), datetime.timedelta, datetime.date)
_SCALARS_BY_NAME = frozenset({"decimal.Decimal", "uuid.UUID"})  # their modules take 3 ms, and few scripts have them
_BASES: tuple[type, ...] = (datetime.datetime, enum.Enum, os.PathLike)
_CONTAINERS = frozenset({
    list, tuple, set, frozenset, dict,
    collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection, collections.abc.Set,
    collections.abc.Mapping, collections.abc.MutableMapping, collections.abc.MutableSequence,
})  # fmt: skip


@frozen
class Parameter:
    """A parameter of the entry task; `default` is REQUIRED where there is none."""

    name: str
    hint: Any
    default: Any
    is_flag: bool


def parameters_of(cls: type, taken: frozenset[str] = frozenset()) -> dict[str, Parameter]:
    """Those that can be given by name, in their order; one that is called like an option in `taken` is no flag."""
    hints = _hints(cls)
    found = {}
    for name, each in signature(cls).parameters.items():
        if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY):
            hint = hints.get(name, str if isinstance(each.default, str) else Any)
            found[name] = Parameter(name, hint, each.default, name not in taken and is_plain(hint))
    return found


def takes_more(cls: type) -> bool:
    """Whether it has a `**` parameter."""
    return any(each.kind is each.VAR_KEYWORD for each in signature(cls).parameters.values())


def _hints(cls: type) -> dict[str, Any]:
    init: Any = inspect.unwrap(getattr(cls, "__init__"))
    namespace, hints = getattr(init, "__globals__", {}), {}
    for name, annotation in getattr(init, "__annotations__", {}).items():
        holder = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            hints[name] = typing.get_type_hints(holder, namespace)[name]
        except Exception:  # noqa: BLE001  # a name for type checkers only, or whatever else stands there
            hints[name] = _UNREADABLE
    return hints


def is_plain(hint: Any, _seen: tuple[Any, ...] = ()) -> bool:
    """Whether a value of this type can be written in words, wholly; futures and arbitrary objects cannot."""
    hint = getattr(hint, "__supertype__", hint)  # a NewType
    if hint in (Any, object) or hint in _seen:
        return True
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return True
    if origin is typing.Annotated:
        return is_plain(inner[0], _seen)
    if origin in UNIONS or origin in _CONTAINERS:
        return all(some is Ellipsis or is_plain(some, _seen) for some in inner)
    if origin is not None or not isinstance(hint, type) or issubclass(hint, Upstream):
        return False  # on Python 3.10 list[int] is a type too
    if is_record(hint):
        return _is_plain_inside(hint, (*_seen, hint))
    if hint in _CONTAINERS or hint in _SCALARS or issubclass(hint, _BASES):
        return True
    from typing_extensions import is_typeddict  # here: 2 ms, and it knows those of `typing`, too

    if is_typeddict(hint):
        return _is_plain_inside(hint, (*_seen, hint))
    return f"{hint.__module__}.{hint.__qualname__}" in _SCALARS_BY_NAME


def _is_plain_inside(hint: type, seen: tuple[Any, ...]) -> bool:
    try:
        return all(is_plain(some, seen) for some in typing.get_type_hints(hint).values())
    except Exception:  # noqa: BLE001  # see _hints
        return False


def read_flags(
    cls: type, parameters: Mapping[str, Parameter], words: Sequence[str], others: Collection[str] = ()
) -> dict[str, Any]:
    """The values that `words` give to parameters, each `--name VALUE` or `--name=VALUE`; `_` may be `-` in a name.

    `--name` alone is true where a bool is asked for, and `--no-name` is false. UsageError names the flag.

    Args:
        others: flags that somebody else reads, and that may have been meant by one which is not known.
    """
    given: dict[str, list[str]] = {}
    rest = list(words)
    while rest:
        name, tail, value = _split(cls, parameters, rest.pop(0), others)
        parameter = parameters[name]
        if value is None and not tail and _takes_bool(parameter.hint) and (not rest or rest[0].startswith("-")):
            value = "true"
        if value is None:
            if not rest or rest[0].startswith("--"):
                raise UsageError(f"argument --{name}: expected a value")
            value = rest.pop(0)
        given.setdefault(name, []).append(f"--value{tail}={value}")
    return {name: _value(parameters[name], some) for name, some in given.items()}


def _split(
    cls: type, parameters: Mapping[str, Parameter], word: str, others: Collection[str]
) -> tuple[str, str, str | None]:
    """Parameter, what follows its name (`.field`, `+`), and the value if it stands in the same word."""
    flag, equals, value = word.partition("=")
    if not flag.startswith("--") or flag == "--":
        raise UsageError(f"unrecognized argument: {word}")
    name, dot, field = flag[2:].partition(".")
    appends = name.endswith("+")
    known = name.removesuffix("+").replace("-", "_")
    negated = known.removeprefix("no_")
    if known not in parameters and negated in parameters and _takes_bool(parameters[negated].hint) and not equals:
        known, equals, value = negated, "=", "false"
    if known not in parameters:
        flags = [some for some, each in parameters.items() if each.is_flag]
        from difflib import get_close_matches

        near = get_close_matches(known.replace("_", "-"), [*(each.replace("_", "-") for each in flags), *others], n=1)
        there = f"did you mean --{near[0]}?" if near else f"flags of {cls.__qualname__}: {_listed(flags)}"
        raise UsageError(f"unrecognized argument: {flag} ({there})")
    if not parameters[known].is_flag:
        wanted = shown_hint(parameters[known].hint)
        raise UsageError(f"argument {flag}: {wanted} cannot be given as a flag, try --kwargs")
    return known, "+" * appends + dot + field, value if equals else None


def convert(parameter: Parameter, value: object) -> object:
    """What JSON gave for a parameter; an object that stands for a class with fields becomes one, as behind a flag."""
    if isinstance(value, Mapping) and parameter.is_flag and any(map(is_record, union_members(parameter.hint))):
        return _value(parameter, [f"--value={json.dumps(value)}"])
    return value


def _listed(flags: Sequence[str]) -> str:
    return ", ".join(f"--{flag}" for flag in flags) or "none"


def _takes_bool(hint: Any) -> bool:
    return hint is bool or (typing.get_origin(hint) in UNIONS and bool in typing.get_args(hint))


def takes_json(hint: Any) -> bool:
    """Whether a value of this type may be a list, a tuple, a set or a dict."""
    if typing.get_origin(hint) in (*UNIONS, typing.Annotated):
        return any(map(takes_json, typing.get_args(hint)))
    return (typing.get_origin(hint) or hint) in _CONTAINERS


def _value(parameter: Parameter, words: Sequence[str]) -> Any:
    """One parser for each parameter, with one option of a fixed name: parameters may be called whatever they like."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the library announces is for us, not for the user
        import jsonargparse
        from jsonargparse.typing import register_type

        for kind in (datetime.date, datetime.datetime):
            register_type(kind, str, kind.fromisoformat, fail_already_registered=False)
        parser = jsonargparse.ArgumentParser(exit_on_error=False)
        start = {} if parameter.default in (REQUIRED, None) else {"default": parameter.default}
        try:
            parser.add_argument("--value", type=parameter.hint, **(start if is_record(parameter.hint) else {}))
            parsed = parser.parse_args(list(words))
            instantiate = getattr(parser, "instantiate", None) or parser.instantiate_classes
            return instantiate(parsed)["value"]
        except (argparse.ArgumentError, TypeError, ValueError, KeyError) as error:
            said = ", ".join(word.removeprefix("--value").removeprefix("=") for word in words)
            why = next(filter(None, (misfit(parameter.hint, _as_json(word)) for word in words)), "")
            why = why or _reason(str(error), parameter.name)
            wanted = shown_hint(parameter.hint) + " in JSON" * takes_json(parameter.hint)
            text = f"argument --{parameter.name}: expected {wanted}, got {said!r}"
            raise UsageError(f"{text} ({why})" if why else text) from error


def _reason(said: str, name: str) -> str:
    """What the library says, where that is more than that the value does not fit."""
    field = re.search(r'Parser key "value\.([\w.]+)"', said)
    if "Expected a" in said and field is None:
        return ""
    last = said.splitlines()[-1].strip()
    return f"{name}.{field[1]}: {last}" if field else re.sub(r"\bvalue(?=\.)", name, last)


def _as_json(word: str) -> object:
    """What stands in a word of `_value`, as far as it is JSON; `--value.a.b=1` is `{"a": {"b": 1}}`."""
    path, _, text = word.partition("=")
    try:
        value: object = json.loads(text)
    except ValueError:
        value = text
    for name in reversed(path.rstrip("+").split(".")[1:]):
        value = {name: value}
    return value


def shown_hint(hint: Any) -> str:
    """A type hint as one writes it: `list[int]`, `int | None`, `red|blue` for an Enum or a Literal."""
    if hint is _UNREADABLE:
        return "a type that is not known here"
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return "|".join(hint.__members__)
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return "|".join(map(str, inner))
    if origin is typing.Annotated:
        return shown_hint(inner[0])
    if origin in UNIONS:
        return " | ".join(map(shown_hint, inner))
    if origin is not None and inner:
        shown = ", ".join("..." if some is Ellipsis else shown_hint(some) for some in inner)
        return f"{getattr(origin, '__name__', origin)}[{shown}]"
    if hint is type(None):
        return "None"
    return str(getattr(hint, "__name__", hint)).replace("typing.", "")
