"""Values that code reads, by value: what has a canonical form and takes up to 64 kB.

Never runs the user's code, except the hooks that are there to name a value: a class with a `__getattr__` or a property
in the place of a field is not read.
"""
from __future__ import annotations

import collections
import functools
import sys
from collections.abc import Callable, Iterable
from enum import Enum
from types import BuiltinFunctionType, FunctionType, MappingProxyType, MethodType
from typing import Any

from taskproc.errors import UnnamableValue
from taskproc.modules import runs_as_main
from taskproc.source.project import is_users_class
from taskproc.values.encode import canonical_text, key_form

LARGEST = 1 << 16  # characters of canonical text
_DEEPEST = 50      # levels; the encoder has its own bound beyond it

CHANGEABLE = frozenset(
    {list, dict, set, bytearray}
    | {collections.deque, collections.OrderedDict, collections.defaultdict, collections.Counter}
)
PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes, range, type(...), type(NotImplemented)})
_LISTS = frozenset({list, tuple, set, frozenset, collections.deque})
_DICTS = frozenset({dict, collections.OrderedDict, collections.defaultdict, collections.Counter, MappingProxyType})

# Wrappers of functions → the attributes that hold what they wrap
_WRAPPERS: dict[type, tuple[str, ...]] = {
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    property: ("fget", "fset", "fdel"),
    MethodType: ("__func__",),
    functools.cached_property: ("func",),
    functools.singledispatchmethod: ("func", "dispatcher"),
    type(functools.lru_cache(len)): ("__wrapped__",),
}

# What the classes have whose instances the encoder can name
_NAMABLE = ("__task_key__", "__dataclass_fields__", "_fields", "__attrs_attrs__", "__pydantic_private__")

Meet = Callable[[object], str]  # follows a class or function, and gives the name of its item


class Unnamable(Exception):
    """A value does not count; the text says why."""


class _Named:
    """Stands in a value for code that has an item of its own."""

    def __init__(self, name: str):
        self.name = name

    def __task_key__(self) -> str:
        return self.name


def text_of(value: object, meet: Meet) -> str:
    """The canonical JSON of a value; classes and functions in it stand there by the names of their items.

    Args:
        meet: called for each class and function in it, and for the classes of what it holds.

    Raises:
        Unnamable: it has no canonical form, or too long a one.
    """
    if type(value) not in PLAIN:
        value = _Copy(meet).of(value, 0)
    elif isinstance(value, (str, bytes)) and len(value) > LARGEST:
        raise Unnamable("is larger than 64 kB")
    try:
        text = canonical_text(key_form(value, "it"))
    except UnnamableValue as error:
        raise Unnamable(str(error).removeprefix("it ").partition(";")[0]) from None
    except Exception as error:  # from a hook of the user's
        raise Unnamable(f"could not be named ({type(error).__name__})") from error
    if len(text) > LARGEST:
        raise Unnamable("is larger than 64 kB")
    return text


class _Copy:
    """Copies a value with names in the place of code, as far as it is small and safe to read."""

    def __init__(self, meet: Meet):
        self.meet = meet
        self.left = LARGEST

    def of(self, value: Any, level: int) -> object:
        """The copy of `value`, which stands `level` levels deep. Raises Unnamable."""
        kind = type(value)
        self.left -= len(value) if kind in (str, bytes, bytearray) else 1
        if self.left < 0:
            raise Unnamable("is larger than 64 kB")
        if kind in PLAIN:
            return value
        if level > _DEEPEST:
            raise Unnamable(f"is nested more than {_DEEPEST} levels deep")
        if kind in _LISTS:
            return self._list(value, level)
        if kind in _DICTS:
            return self._dict(value, level)
        if issubclass(kind, (FunctionType, type)):  # not isinstance: it asks the value's own __class__
            return _Named(self.meet(value))
        if (inner := wrapped(value)) is not None:
            return [kind.__name__, *self._all(inner, level)]
        if kind in (functools.partial, functools.partialmethod):
            return [self.of(some, level + 1) for some in (value.func, value.args, value.keywords)]
        return self._other(value, level)

    def _all(self, values: Iterable[object], level: int) -> list[object]:
        return [self.of(some, level + 1) for some in values]

    def _list(self, value: Any, level: int) -> object:
        if len(value) > self.left:
            raise Unnamable("is larger than 64 kB")
        items = self._all(value, level)
        if type(value) in (set, frozenset) and not PLAIN.issuperset(map(type, items)):
            return [type(value).__name__, _unordered(items)]  # not a set again: that would call the user's __hash__
        return collections.deque(items, value.maxlen) if type(value) is collections.deque else type(value)(items)

    def _dict(self, value: Any, level: int) -> object:
        if len(value) > self.left:
            raise Unnamable("is larger than 64 kB")
        keys, values = self._all(value.keys(), level), self._all(value.values(), level)
        ordered = type(value) is collections.OrderedDict
        if type(value) is dict and PLAIN.issuperset(map(type, keys)):
            return dict(zip(keys, values))
        pairs: list[object] = [list(pair) for pair in zip(keys, values)]
        factory = [self.of(value.default_factory, level + 1)] if type(value) is collections.defaultdict else []
        return [type(value).__name__, *factory, pairs if ordered else _unordered(pairs)]

    def _other(self, value: Any, level: int) -> object:
        kind = type(value)
        if issubclass(kind, (BuiltinFunctionType, MethodType)):
            raise Unnamable(f"is a {kind.__name__} without a name of its own")
        if is_users_class(kind):
            self.meet(kind)
            _refuse_unsafe(kind)
        for inner in _fields(value):
            self.of(inner, level + 1)  # for its size, and to follow what it holds
        size = getattr(value, "nbytes", 0) if kind.__module__.partition(".")[0] == "numpy" else 0
        if size > LARGEST or (kind.__module__.partition(".")[0] in ("pandas", "polars") and _is_long(value)):
            raise Unnamable("is larger than 64 kB")
        return value


def wrapped(value: Any) -> list[object] | None:
    """What a wrapper of functions from the standard library wraps; None for anything else."""
    names = _WRAPPERS.get(type(value))
    if names is None:
        return None
    return [some for name in names if (some := getattr(value, name, None)) is not None]


def _refuse_unsafe(kind: type) -> None:
    """Naming a value must not run its class's own code, nor import a module for it."""
    name = type.__getattribute__(kind, "__name__")
    if not issubclass(kind, Enum) and not any(_has(kind, attr) for attr in _NAMABLE):
        raise Unnamable(f"is an instance of {name}, which has no canonical form")
    if kind.__module__ not in sys.modules and not runs_as_main(kind):
        raise Unnamable(f"is an instance of {name}, whose module is not there")
    for base in kind.__mro__[:-1]:
        if base.__module__ != "builtins" and is_users_class(base):
            own = [attr for attr in ("__getattr__", "__getattribute__") if attr in vars(base)]
            own += [field for field in _field_names(kind) if isinstance(vars(base).get(field), property)]
            if own:
                raise Unnamable(f"is an instance of {name}, which computes {own[0]}")


def _has(kind: type, name: str) -> bool:
    return any(name in vars(base) for base in kind.__mro__)


def _field_names(kind: Any) -> list[str]:
    found = [vars(base)["__dataclass_fields__"] for base in kind.__mro__ if "__dataclass_fields__" in vars(base)]
    return list(found[0]) if found else []


def _fields(value: Any) -> list[object]:
    """What an instance of a class with fields holds, read past its class."""
    if issubclass(type(value), Enum):
        return []
    if issubclass(type(value), tuple):
        return list(value)
    found = _own_dict(value) if is_users_class(type(value)) else {}
    return list(found.values())


def _own_dict(value: object) -> dict[str, object]:
    """The attributes of an instance, read past its class; empty if it has none."""
    try:
        found = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return found if type(found) is dict else {}


def _unordered(items: Iterable[object]) -> list[str]:
    return sorted(canonical_text(key_form(some, "it")) for some in items)


def code_in(value: object) -> list[object]:
    """The classes and functions that an instance holds one level deep: what a decorator object wraps, for example."""
    found: list[Any] = []
    inner: Any
    for inner in list(_own_dict(value).values()):
        if type(inner) in _DICTS:
            found += inner.values()
        elif type(inner) in _LISTS:
            found += inner
        else:
            found.append(inner)
    return [some for some in found if issubclass(type(some), (FunctionType, type))]


def _is_long(frame: Any) -> bool:
    size = 1
    for length in frame.shape:
        size *= length
    return size > LARGEST // 8
