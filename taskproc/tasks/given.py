"""Code that comes without being named: functions and classes among the arguments, and on what `__init__` left."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from taskproc.attributes import slots_of
from taskproc.source.canonical import code_within
from taskproc.tasks.binding import FLAT
from taskproc.tasks.evolving import rules_of
from taskproc.tasks.future import Const, FutureDict, FutureList, Item, Upstream
from taskproc.tasks.needs import attributes, original
from taskproc.tasks.settings import NOTHING_LEFT

_MISSING = object()


def given_to(task: Any) -> tuple[Any, ...]:
    """Functions and classes of the user's that `task` holds, at any depth, each once and in order.

    An instance brings its class: the key has its content, and its methods are called without being named. So does a
    task: what is read of it besides its result counts. Asked once: what runs later may put aside what it likes.
    """
    identity = task._taskproc
    if identity.given is None and identity.left is None and _is_plain(original(task), identity.arguments):
        identity.given, identity.left = (), NOTHING_LEFT  # most tasks of a large graph
    if identity.given is None:
        ignored = rules_of(type(task)).ignored
        left_out = {id(some) for name, some in identity.arguments.items() if name in ignored and type(some) not in FLAT}
        values = [some for name, some in identity.arguments.items() if name not in ignored and type(some) not in FLAT]
        values += [
            some
            for name, some in attributes(task)
            if name not in ignored and type(some) not in FLAT and id(some) not in left_out
        ]
        identity.given = _given(values) if values else ()
    found: tuple[Any, ...] = identity.given
    return found


def _is_plain(task: Any, arguments: Mapping[str, object]) -> bool:
    """Whether a task holds its arguments under their names and nothing else, all of types that hold nothing."""
    held = vars(task)
    if len(held) != len(arguments) + 1 or slots_of(type(task)):  # one more: `_taskproc`
        return False
    for name, value in arguments.items():
        if type(value) not in FLAT or held.get(name, _MISSING) is not value:
            return False
    return True


def _given(values: Iterable[object]) -> tuple[Any, ...]:
    return tuple(sorted(code_within(values, _instead), key=lambda code: (str(code.__module__), code.__qualname__)))


def _instead(value: object) -> Iterable[object] | type | None:
    """Of a future what it holds itself, of a task its class; None of anything else."""
    kind = type(value)
    if not issubclass(kind, Upstream):
        return None
    if issubclass(kind, Const):
        return (value._value,)  # type: ignore[attr-defined]
    if issubclass(kind, Item):
        return (value.parent,)  # type: ignore[attr-defined]
    if issubclass(kind, FutureList):
        return list.__iter__(value)  # type: ignore[arg-type]
    if issubclass(kind, FutureDict):
        return [*dict.keys(value), *dict.values(value)]  # type: ignore[arg-type]
    return kind
