"""The entry task's own parameters as flags: what they are comes from its signature, jsonargparse reads their values.

It turns words into values of a type hint: numbers, lists, dicts, Optional, Literal, Enum, Path, dataclasses
(`--option '{"rate": 0.1}'`, or `--option.rate 0.1`) and more. It is imported only when such a flag is on the line, for
that takes a tenth of a second. What cannot be written in words (futures, arbitrary objects) is no flag.
"""
from __future__ import annotations

import datetime
import enum
import inspect
import os
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from taskproc.cli.typed_values import (
    CONTAINERS,
    UNIONS,
    UNREADABLE,
    is_record,
    takes_none,
    value_of_json,
    value_of_words,
)
from taskproc.cli.typed_values import REQUIRED as REQUIRED
from taskproc.cli.typed_values import hint_text as hint_text
from taskproc.cli.usage import UsageError
from taskproc.frozen import frozen
from taskproc.tasks.binding import signature
from taskproc.tasks.future import Upstream

_SCALARS = (bool, int, float, complex, str, type(None), datetime.timedelta, datetime.date)
_SCALARS_BY_NAME = frozenset({"decimal.Decimal", "uuid.UUID"})  # their modules take 3 ms, and few scripts have them
_BASES: tuple[type, ...] = (datetime.datetime, enum.Enum, os.PathLike)


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
            if each.default is None and hint is not UNREADABLE and not takes_none(hint):
                hint = typing.Union[hint, None]  # `n: int = None` says so
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
            hints[name] = UNREADABLE
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
    if origin in UNIONS or origin in CONTAINERS:
        return all(some is Ellipsis or is_plain(some, _seen) for some in inner)
    if origin is not None or not isinstance(hint, type) or issubclass(hint, Upstream):
        return False  # on Python 3.10 list[int] is a type too
    if is_record(hint):
        return _is_plain_inside(hint, (*_seen, hint))
    if hint in CONTAINERS or hint in _SCALARS or issubclass(hint, _BASES):
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
        given.setdefault(name, []).append(f"{tail}={value}")
    return {name: value_of_words(name, parameters[name].hint, parameters[name].default, some)
            for name, some in given.items()}


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
        wanted = hint_text(parameters[known].hint)
        raise UsageError(f"argument {flag}: {wanted} cannot be given as a flag, try --kwargs")
    return known, "+" * appends + dot + field, value if equals else None


def convert(parameter: Parameter, value: object) -> object:
    """What JSON gave for a parameter, read as its flag reads it; as it is where the type cannot be written in words."""
    if not is_plain(parameter.hint):
        return value
    return value_of_json(parameter.name, parameter.hint, parameter.default, value)


def _listed(flags: Sequence[str]) -> str:
    return ", ".join(f"--{flag}" for flag in flags) or "none"


def _takes_bool(hint: Any) -> bool:
    return hint is bool or (typing.get_origin(hint) in UNIONS and bool in typing.get_args(hint))
