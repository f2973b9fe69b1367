"""The parameters of the entry task as flags: its signature defines them, jsonargparse parses their values.

jsonargparse turns words into values of a type hint: numbers, lists, dicts, Optional, Literal, Enum, Path, dataclasses
(`--option '{"rate": 0.1}'`, or `--option.rate 0.1`) and more. It is imported only if such a flag is given, because the
import takes a tenth of a second. Parameters whose values cannot be written (futures, arbitrary objects) have no flag.
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
_SCALARS_BY_NAME = frozenset({"decimal.Decimal", "uuid.UUID"})  # not imported here: 3 ms, and rarely needed
_BASES: tuple[type, ...] = (datetime.datetime, enum.Enum, os.PathLike)


@frozen
class Parameter:
    """A parameter of the entry task; `default` is REQUIRED if it has none."""

    name: str
    hint: Any
    default: Any
    is_flag: bool


def parameters_of(cls: type, taken: frozenset[str] = frozenset()) -> dict[str, Parameter]:
    """The parameters that can be given by name, in their order; one whose name is in `taken` has no flag."""
    hints = _hints(cls)
    parameters = {}
    for name, entry in signature(cls).parameters.items():
        if entry.kind in (entry.POSITIONAL_OR_KEYWORD, entry.KEYWORD_ONLY):
            hint = hints.get(name, str if isinstance(entry.default, str) else Any)
            if entry.default is None and hint is not UNREADABLE and not takes_none(hint):
                hint = typing.Union[hint, None]  # as `n: int = None` means
            parameters[name] = Parameter(name, hint, entry.default, name not in taken and is_plain(hint))
    return parameters


def takes_more(cls: type) -> bool:
    """Whether the signature has a `**` parameter."""
    return any(entry.kind is entry.VAR_KEYWORD for entry in signature(cls).parameters.values())


def _hints(cls: type) -> dict[str, Any]:
    init: Any = inspect.unwrap(getattr(cls, "__init__"))
    namespace, hints = getattr(init, "__globals__", {}), {}
    for name, annotation in getattr(init, "__annotations__", {}).items():
        holder = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            hints[name] = typing.get_type_hints(holder, namespace)[name]
        except Exception:  # noqa: BLE001  # a name for type checkers only, or any other expression
            hints[name] = UNREADABLE
    return hints


def is_plain(hint: Any, _seen: tuple[Any, ...] = ()) -> bool:
    """Whether every value of this type can be written as text; futures and arbitrary objects cannot."""
    hint = getattr(hint, "__supertype__", hint)  # a NewType
    if hint in (Any, object) or hint in _seen:
        return True
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return True
    if origin is typing.Annotated:
        return is_plain(inner[0], _seen)
    if origin in UNIONS or origin in CONTAINERS:
        return all(part is Ellipsis or is_plain(part, _seen) for part in inner)
    if origin is not None or not isinstance(hint, type) or issubclass(hint, Upstream):
        return False  # on Python 3.10 list[int] is a type too
    if is_record(hint):
        return _is_plain_inside(hint, (*_seen, hint))
    if hint in CONTAINERS or hint in _SCALARS or issubclass(hint, _BASES):
        return True
    from typing_extensions import is_typeddict  # here: 2 ms; it also knows those of `typing`

    if is_typeddict(hint):
        return _is_plain_inside(hint, (*_seen, hint))
    return f"{hint.__module__}.{hint.__qualname__}" in _SCALARS_BY_NAME


def _is_plain_inside(hint: type, seen: tuple[Any, ...]) -> bool:
    try:
        return all(is_plain(field, seen) for field in typing.get_type_hints(hint).values())
    except Exception:  # noqa: BLE001  # see _hints
        return False


def read_flags(
    cls: type, parameters: Mapping[str, Parameter], words: Sequence[str], others: Collection[str] = ()
) -> dict[str, Any]:
    """Name → value of the parameters in `words`: `--name VALUE` or `--name=VALUE`, where `-` may stand for `_`.

    For a bool, `--name` alone means true, and `--no-name` false. Raises UsageError, which names the flag.

    Args:
        others: other flags of the command, which an unknown one may be a misspelling of.
    """
    parts: dict[str, list[str]] = {}
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
        parts.setdefault(name, []).append(f"{tail}={value}")
    return {name: value_of_words(name, parameters[name].hint, parameters[name].default, values)
            for name, values in parts.items()}


def _split(
    cls: type, parameters: Mapping[str, Parameter], word: str, others: Collection[str]
) -> tuple[str, str, str | None]:
    """The parameter, the part after its name (`.field`, `+`), and the value if it is in the same word."""
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
        flags = [name for name, parameter in parameters.items() if parameter.is_flag]
        from difflib import get_close_matches

        near = get_close_matches(known.replace("_", "-"), [*(name.replace("_", "-") for name in flags), *others], n=1)
        hint = f"did you mean --{near[0]}?" if near else f"flags of {cls.__qualname__}: {_flag_list(flags)}"
        raise UsageError(f"unrecognized argument: {flag} ({hint})")
    if not parameters[known].is_flag:
        wanted = hint_text(parameters[known].hint)
        raise UsageError(f"argument {flag}: {wanted} cannot be given as a flag, try --kwargs")
    return known, "+" * appends + dot + field, value if equals else None


def convert(parameter: Parameter, value: object) -> object:
    """The value of a parameter for a JSON value, as its flag would parse it; unchanged if it has no flag."""
    if not is_plain(parameter.hint):
        return value
    return value_of_json(parameter.name, parameter.hint, parameter.default, value)


def _flag_list(flags: Sequence[str]) -> str:
    return ", ".join(f"--{flag}" for flag in flags) or "none"


def _takes_bool(hint: Any) -> bool:
    return hint is bool or (typing.get_origin(hint) in UNIONS and bool in typing.get_args(hint))
