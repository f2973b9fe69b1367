"""Whether code that seems to change a value does so; told from the value that is there."""
from __future__ import annotations

import collections
import itertools
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import PurePath
from types import FunctionType, ModuleType
from typing import Any

from taskproc.source.constants import CHANGEABLE
from taskproc.source.held import code_within
from taskproc.source.look import PLAIN
from taskproc.source.objects import MISSING, is_code
from taskproc.source.pieces import piece_of
from taskproc.source.project import is_users_class, is_users_code

_CONTAINERS = (*CHANGEABLE, collections.UserDict, collections.UserList)
_STEADY = (str, bytes, int, float, complex, tuple, frozenset, range, Enum, PurePath)
_MAKERS = frozenset("__init__ __new__ __post_init__ __attrs_post_init__ __setstate__ __init_subclass__".split())
_LISTS = frozenset({list, tuple, set, frozenset, collections.deque})
_PARAMETERS = "__dataclass_params__"
_MOST = 20_000  # elements of a container that are looked at


def may_change(value: Any, method: str) -> bool:
    """Whether `value.method()` changes the value; with an empty method, or `+=`, something is assigned to it."""
    if method in ("", "+="):
        return True
    kind: Any = type(value)
    if issubclass(kind, _CONTAINERS):
        return True
    if kind in PLAIN or is_code(value) or issubclass(kind, (ModuleType, *_STEADY)) or _is_frozen(kind):
        return False
    return not is_users_class(kind) or not _is_changeless(kind)


def attribute_of(value: Any, names: Iterable[str]) -> Any:
    """What attributes of an instance lead to, read past its class; MISSING where that is not seen."""
    for name in names:
        try:
            own = object.__getattribute__(value, "__dict__")
        except AttributeError:
            return MISSING
        value = own.get(name, MISSING) if type(own) is dict else MISSING
    return value


def _is_frozen(kind: type) -> bool:
    parameters = next((vars(base)[_PARAMETERS] for base in kind.__mro__ if _PARAMETERS in vars(base)), None)
    return bool(getattr(parameters, "frozen", False))


def _is_changeless(kind: type) -> bool:
    """Whether no method of a class of the user's, but for those that make an instance, changes the instance."""
    for base in kind.__mro__[:-1]:
        if not is_users_class(base):
            return False
        for name, value in vars(base).items():
            if name in _MAKERS or type(value) is not FunctionType:
                continue
            if not is_users_code(value.__code__, value.__globals__):
                continue  # dataclasses wrote it
            scope = piece_of(value.__code__, value.__globals__).scope
            if scope is None or not scope.touched.isdisjoint(scope.parameters[:1]):
                return False
    return True


def code_held(value: Any) -> Iterator[object]:
    """What a registry knows, for example: the code in a value that does not count itself.

    That is what `code_within` finds, and, one or two levels down, modules and the code of libraries.
    """
    items: list[Any] = [value]
    if type(value) in _LISTS:
        items = list(itertools.islice(value, _MOST))
    elif issubclass(type(value), dict):
        items = [*itertools.islice(dict.values(value), _MOST), *itertools.islice(dict.keys(value), _MOST)]
    for item in items:
        for part in item if type(item) in (list, tuple) and item is not value else (item,):
            is_met = is_code(part) or issubclass(type(part), ModuleType)
            yield from (part,) if is_met else code_within([part])
