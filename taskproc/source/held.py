"""The code that values hold: functions and classes, and the classes of instances, at any depth and however wrapped."""
from __future__ import annotations

from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any

from taskproc.source.insight import Insight
from taskproc.source.look import LEAVES, is_flat
from taskproc.source.project import is_users_class, is_users_code


def code_within(
    values: Iterable[object], instead: Callable[[object], Iterable[object] | type | None] = lambda value: None
) -> list[Any]:
    """Functions and classes of the user's in `values`, each once, in the order in which they are met.

    An instance brings its class: its methods are called without being named. No hook of the user's is asked.

    Args:
        instead: what to look at in the place of a value; its class: that stands for all instances; None: the value
            itself.
    """
    found: dict[int, Any] = {}
    seen: dict[int, object] = {}
    passed = set(LEAVES)  # of classes, by id, whose instances need no look
    insight = Insight(names=False, changes=False)
    todo = [iter(values)]
    while todo:
        value = next(todo[-1], _END)
        if value is _END:
            todo.pop()
        elif id(type(value)) not in passed and id(value) not in seen:
            seen[id(value)] = value
            others = instead(value)
            if isinstance(others, type):
                passed.add(id(others))
                todo.append(iter((others,)))
                continue
            if others is not None:
                todo.append(iter(others))
                continue
            if type(value) in (list, tuple) and is_flat(value):  # type: ignore[arg-type]
                continue
            look = insight.look(value)
            if look.code is not None and _is_users(look.code):
                found.setdefault(id(look.code), look.code)
            todo.append(iter([*look.parts, *look.hidden]))
    return list(found.values())


_END = object()


def _is_users(code: Any) -> bool:
    if type(code) is FunctionType:
        return is_users_code(code.__code__, code.__globals__)
    return issubclass(type(code), type) and is_users_class(code)
