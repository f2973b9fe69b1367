"""What a task is called: the name of its class, its key and id, and how it is shown to people."""
from __future__ import annotations

import dataclasses
import inspect
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from taskproc.modules import real_name
from taskproc.store.base import Place, Version
from taskproc.store.cache import Cache
from taskproc.tasks.future import Const, FutureDict, FutureList, Item, Upstream
from taskproc.values.encode import digest, json_form, key_form

# What dataclasses puts into a signature in place of the value of a `default_factory`. Known by its type: a class that
# came to a worker by value has brought its own.
_FACTORY = type(inspect.signature(dataclasses.make_dataclass("_", [("x", int, dataclasses.field(default_factory=int))]))
                .parameters["x"].default)

KEY_FORMAT = 1
_ID_BITS = 63


@dataclass(slots=True)
class Identity:
    """Who a task instance is; hung on it when it is built.

    Attributes:
        arguments: by parameter name, defaults applied.
        version: set only on an input of a running job: what its result is, in a process that has no graph.
        left: what `__init__` left on the task; see tasks/settings.py, which asks once.
    """

    cache: Cache | None
    place: Place
    arguments: Mapping[str, object]
    version: Version | None = None
    left: Any = None


def task_name(cls: type) -> str:
    """`module.qualname`, with `__main__` resolved to the module or script that it is."""
    return f"{real_name(cls.__module__)}.{cls.__qualname__}"


def bind(cls: type, args: tuple[object, ...], kwargs: Mapping[str, object]) -> inspect.BoundArguments:
    """Arguments by parameter name with defaults applied, so that `A(1)`, `A(x=1)` and `A()` are one task."""
    try:
        bound = _signature(cls).bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{cls.__qualname__}: {error}") from None
    bound.apply_defaults()
    for name, value in bound.arguments.items():
        if isinstance(value, _FACTORY):
            bound.arguments[name] = cls.__dataclass_fields__[name].default_factory()  # type: ignore[attr-defined]
    return bound


def own(value: Any) -> Any:
    """`value` with plain containers copied at every level: the caller may go on to fill his own for the next task."""
    kind = type(value)
    if kind in (list, tuple, set, frozenset, FutureList):
        return kind(map(own, value))
    if kind in (dict, FutureDict):
        return kind((name, own(some)) for name, some in value.items())
    return bytearray(value) if kind is bytearray else value


def place_of(cls: type, arguments: Mapping[str, object]) -> Place:
    """Where the results of this task lie. Raises UnnamableValue for an argument without a canonical form."""
    name = task_name(cls)
    where = cls.__qualname__
    forms = {key: key_form(value, f"argument {key!r} of {where}") for key, value in arguments.items()}
    key = digest({"format": KEY_FORMAT, "task": name, "args": forms})
    # Taken from the key, not counted: the same on every machine, so caches can be merged by copying
    return Place(name, int(key[:16], 16) >> (64 - _ID_BITS), key)


def arguments_text(identity: Identity) -> str:
    """What `args.json` says, for people: name, key and arguments of a task."""
    arguments = {name: json_form(value, f"argument {name!r}") for name, value in identity.arguments.items()}
    content = {"task": identity.place.name, "key": identity.place.key, "args": arguments}
    return json.dumps(content) + "\n"


def signature(cls: type) -> inspect.Signature:
    """Parameters of `cls.__init__` without `self`."""
    return _signature(cls)


_signatures: WeakKeyDictionary[type, inspect.Signature] = WeakKeyDictionary()


def _signature(cls: type) -> inspect.Signature:
    found = _signatures.get(cls)
    if found is None:
        init: Any = vars(cls).get("__init__") or cls.__init__  # type: ignore[misc]  # each class has its own entry
        parameters = [] if init is object.__init__ else list(_inspected(init).parameters.values())[1:]
        found = _signatures[cls] = inspect.Signature(parameters)
    return found


def _inspected(init: Any) -> inspect.Signature:
    if sys.version_info >= (3, 14):
        import annotationlib

        # By default annotations would be evaluated, and names that are there for type checkers only be missed
        return inspect.signature(init, annotation_format=annotationlib.Format.FORWARDREF)
    return inspect.signature(init)


def brief(value: object, depth: int = 0) -> str:
    """`value` as one would write it, in a line; tasks inside other tasks are cut to their names."""
    identity = vars(value).get("_taskproc") if isinstance(value, Upstream) and hasattr(value, "__dict__") else None
    if identity is not None:
        if type(value)._is_outside:  # type: ignore[attr-defined]  # every task has it
            path = str(identity.arguments["path"])
            return f"{type(value).__qualname__}({path if len(path) <= 60 else '…' + path[-59:]!r})"
        if depth > 0:
            return f"{type(value).__qualname__}(…)"
        inner = ", ".join(f"{key}={brief(some, 1)}" for key, some in identity.arguments.items())
        return f"{type(value).__qualname__}({_cut(inner)})"
    if isinstance(value, (list, tuple, set, frozenset, dict)) and value:
        return _brief_container(value, depth)
    if isinstance(value, Const):
        return f"Const({brief(value._value, depth + 1)})"
    if isinstance(value, Item):
        return f"{brief(value.parent, depth)}[{brief(value._key, depth + 1)}]"
    try:
        return _cut(repr(value), 60)
    except Exception:  # noqa: BLE001  # whatever a class of the user raises: it is only for people
        return f"<{type(value).__name__}>"


def _brief_container(value: Any, depth: int) -> str:
    kind = "" if type(value) in (list, tuple, dict, set) else type(value).__name__
    if depth > 2 or len(value) > 4:
        return f"{kind or type(value).__name__} of {len(value)}"
    if isinstance(value, dict):
        inner = ", ".join(f"{brief(key, depth + 1)}: {brief(some, depth + 1)}" for key, some in value.items())
        return f"{kind}({{{inner}}})" if kind else f"{{{inner}}}"
    comma = "," if type(value) is tuple and len(value) == 1 else ""
    inner = ", ".join(brief(some, depth + 1) for some in value) + comma
    left, right = ("(", ")") if isinstance(value, tuple) else ("{", "}") if isinstance(value, set) else ("[", "]")
    return f"{kind}({left}{inner}{right})" if kind else f"{left}{inner}{right}"


def _cut(text: str, most: int = 200) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"
