"""The state of values: the attributes of an instance, and which parts of a value the code changes.

An attribute that a method changes after `__init__` depends on what has run before, as a memo does, so it does not
count. The same holds for a module-level name whose value a function changes.
"""
from __future__ import annotations

import ast
import collections
import struct
from collections.abc import Iterable
from enum import Enum, Flag
from pathlib import PurePath
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from taskproc.source.bytecode import ByCode
from taskproc.source.functions import MISSING, piece_of
from taskproc.source.project import is_users_class, is_users_code
from taskproc.source.value_look import (
    CHANGEABLE,
    PLAIN,
    Look,
    class_attribute,
    instance_dict,
    is_code,
    json_word,
    slot_members,
    slot_values,
)

_WORD = struct.calcsize("P")
_BUILDERS = frozenset(
    "__init__ __new__ __post_init__ __attrs_init__ __attrs_pre_init__ __attrs_post_init__ __init_subclass__ "
    "__setstate__ __set_name__ model_post_init".split()
)
_CHANGERS = frozenset(
    "add append appendleft clear discard extend extendleft insert move_to_end pop popitem popleft remove reverse "
    "rotate setdefault sort subtract update __setitem__ __delitem__".split()
)
# The attributes of pydantic that count: whether a field was given or has its default is not part of the value
_PYDANTIC_STATE = frozenset({"__pydantic_extra__", "__pydantic_private__"})
_FIELDS = ("__dataclass_fields__", "__attrs_attrs__", "__pydantic_private__")
_CONTAINER_BASES = (list, dict, set, bytearray)  # and subclasses; `deque` is recognized by its name


class Changes(NamedTuple):
    """Attributes that the methods of a class bind again, and those whose content they change in place."""

    bound: frozenset[str]
    filled: frozenset[str]


NO_CHANGES = Changes(frozenset(), frozenset())


class Shape:
    """What is known of a class, for all its instances."""

    def __init__(self, kind: type, changes: Changes):
        self.kind, self.changes = kind, changes
        self._members = slot_members(kind)
        self._skipped: dict[str, bool] = {}

    def state(self, value: object) -> dict[str, object]:
        """Attribute → value, in order, without those that Python, attrs and `cached_property` store there."""
        attributes = instance_dict(value).items()
        found = {name: held for name, held in attributes if type(name) is str and not self._skips(name)}
        if self._members:
            found |= {n: held for n, held in slot_values(value, self._members).items() if not self._skips(n)}
        for name in self.changes.bound & found.keys():
            found[name] = _changed()
        for name in self.changes.filled & found.keys():
            if _is_container(found[name]):
                found[name] = _changed()
        return found

    def _skips(self, name: str) -> bool:
        known = self._skipped.get(name)
        if known is None:
            private = name[:2] == "__" == name[-2:] and name not in _PYDANTIC_STATE
            remembered = type(class_attribute(self.kind, name)).__name__ == "cached_property"
            known = self._skipped[name] = private or remembered or name == "_attrs_cached_hash"
        return known


def _changed() -> Look:
    """A new look for each place: a look that occurs twice would be listed once."""
    return Look("changed", cause="is changed by the code itself")


def is_all_seen(kind: type) -> bool:
    """Whether instances have all their state in their dict and slots, and none that only C code can read."""
    slots = len(slot_members(kind))
    counted = [offset for offset in (kind.__dictoffset__, kind.__weakrefoffset__) if offset > 0]
    size = object.__basicsize__ + _WORD * (slots + len(counted))
    return kind.__itemsize__ == 0 and kind.__basicsize__ == size


def enum_look(member: Any) -> Look:
    """The look at a member of an enum: by its name; of a flag by its bits, whose names depend on the Python."""
    held = instance_dict(member)
    if issubclass(type(member), Flag):
        return Look("flag", code=type(member), parts=[held.get("_value_")])
    return Look("enum", json_word(str(held.get("_name_"))), type(member))


def has_fields(kind: type) -> bool:
    """Whether a class declares the attributes of its instances, as dataclasses, attrs and pydantic do."""
    return any(class_attribute(kind, name) is not None for name in _FIELDS)


# ---------------------------------------------------------------- what methods change


def changes_by_methods(kind: type) -> Changes:
    """The attributes of an instance that methods of the user change after it was built."""
    bound, filled = set[str](), set[str]()
    for base in kind.__mro__:
        if is_users_class(base):
            for name, method in list(vars(base).items()):
                if type(method) is FunctionType and name not in _BUILDERS:
                    found = _changes_by(method)
                    bound |= found.bound
                    filled |= found.filled
    return Changes(frozenset(bound), frozenset(filled))


_known_changes: ByCode[Changes] = ByCode()


def _changes_by(method: FunctionType) -> Changes:
    code, names = method.__code__, method.__globals__
    known = _known_changes.get(code)
    if known is not None:
        return known
    if not code.co_argcount or not is_users_code(code, names) or code.co_filename.startswith("<attrs"):
        return _known_changes.put(code, NO_CHANGES)
    scope = piece_of(code, names).scope
    if scope is None:
        return _known_changes.put(code, NO_CHANGES)
    bound, filled = set[str](), set[str]()
    for node in ast.walk(scope.node):
        _note(node, code.co_varnames[0], bound, filled)
    return _known_changes.put(code, Changes(frozenset(bound), frozenset(filled)))


def _note(node: ast.AST, owner: str, bound: set[str], filled: set[str]) -> None:
    if isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load):
        name, is_itself = _attribute_in(node, owner)
        if name is not None:
            (bound if is_itself else filled).add(name)
            if not is_itself and isinstance(node, ast.Attribute):
                bound.add(name)  # `self.part.x = 1` changes what the part holds
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGERS:
        name, _ = _attribute_in(node.func.value, owner)
        if name is not None:
            filled.add(name)


def _attribute_in(node: ast.AST, owner: str) -> tuple[str | None, bool]:
    """X of `self.X`, `self.X.y` and `self.X[0]`, and whether it is the first."""
    is_itself = True
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        if isinstance(node.value, ast.Name):
            own = node.value.id == owner and isinstance(node, ast.Attribute)
            return (node.attr if own else None), is_itself  # type: ignore[union-attr]
        node, is_itself = node.value, False
    return None, False


def _is_container(held: object) -> bool:
    kind = type(held)
    return issubclass(kind, _CONTAINER_BASES) or kind.__name__ == "deque"

_CONTAINERS = (*CHANGEABLE, collections.UserDict, collections.UserList)
_STEADY = (str, bytes, int, float, complex, tuple, frozenset, range, Enum, PurePath)
_MAKERS = frozenset("__init__ __new__ __post_init__ __attrs_post_init__ __setstate__ __init_subclass__".split())
_PARAMETERS = "__dataclass_params__"


def may_change(value: Any, method: str) -> bool:
    """Whether `value.method()` changes the value, judged by the value. An empty method and `+=` are assignments."""
    if method in ("", "+="):
        return True
    kind: Any = type(value)
    if issubclass(kind, _CONTAINERS):
        return True
    if kind in PLAIN or is_code(value) or issubclass(kind, (ModuleType, *_STEADY)) or _is_frozen(kind):
        return False
    return not is_users_class(kind) or not _is_changeless(kind)


def attribute_value(value: Any, names: Iterable[str]) -> Any:
    """The value at a chain of attributes, read past the classes; MISSING if it is not in the dict of an instance."""
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
    """Whether no method of a class changes its instances, except those that build one."""
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
