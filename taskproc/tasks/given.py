"""Code that comes as an argument: functions and classes, and the classes of what has methods of its own."""
from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from types import FunctionType
from typing import Any

from taskproc.source.project import is_users_class, is_users_code
from taskproc.tasks.binding import FLAT
from taskproc.tasks.evolving import rules_of
from taskproc.tasks.future import Const, Item, Upstream


def given_to(task: Any) -> tuple[Any, ...]:
    """Functions and classes of the user's that `task` got as arguments, at any depth, each once and in order.

    An instance brings its class: the key has its content, and its methods are called without being named. Task
    classes have code of their own.
    """
    identity = task._taskproc
    if identity.given is None:
        ignored = rules_of(type(task)).ignored
        identity.given = _given(some for name, some in identity.arguments.items() if name not in ignored)
    found: tuple[Any, ...] = identity.given
    return found


def _given(values: Iterable[object]) -> tuple[Any, ...]:
    found: dict[int, Any] = {}
    seen: set[int] = set()
    todo = [some for some in values if type(some) not in FLAT]
    while todo:
        some = todo.pop()
        if id(some) in seen:
            continue
        seen.add(id(some))
        code = some if isinstance(some, (type, FunctionType)) else type(some)
        if _counts(code):
            found.setdefault(id(code), code)
        todo += [inner for inner in _inside(some) if type(inner) not in FLAT]
    return tuple(sorted(found.values(), key=lambda code: (str(code.__module__), code.__qualname__)))


def _counts(code: Any) -> bool:
    if isinstance(code, FunctionType):
        return is_users_code(code.__code__, code.__globals__)
    return is_users_class(code) and not issubclass(code, Upstream)


def _inside(value: Any) -> Iterable[object]:
    if isinstance(value, type):
        return ()
    if isinstance(value, Mapping):
        return (*value.keys(), *value.values())
    if isinstance(value, (list, tuple, set, frozenset)):
        return value
    if isinstance(value, functools.partial):
        return (value.func, value.args, value.keywords)
    if isinstance(value, Const):
        return (value._value,)
    if isinstance(value, Item):
        return (value.parent,)
    if isinstance(value, Upstream):
        return ()
    fields = getattr(type(value), "__attrs_attrs__", ())
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
    return [getattr(value, field.name, None) for field in fields]
