"""Classes: their methods as items of their own, their attributes by value, and what else the class statement says."""
from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import Enum
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import Any

from taskproc.source.changes import code_held
from taskproc.source.constants import wrapped
from taskproc.source.dump import digest, dump
from taskproc.source.files import SourceFile
from taskproc.source.loading import loaded_file, loaded_files, may_be_older, was_edited
from taskproc.source.objects import FIELD
from taskproc.source.pieces import agrees, class_piece, class_reads, piece_of
from taskproc.source.project import is_extension, is_users_class, is_users_code
from taskproc.source.scopes import Scope
from taskproc.source.walking import Walking

_DESCRIPTORS = (GetSetDescriptorType, MemberDescriptorType, FIELD)


def visit(walk: Walking, cls: type, name: str) -> None:
    """Put the class's items, except its own, which waits until it is known what else was reached."""
    module = sys.modules.get(cls.__module__)
    if module is not None and is_extension(module):
        walk.untrack(f"{name} is compiled")
        return
    for base in (type(cls), *cls.__bases__):
        walk.meet(base, "")
    found = class_place(cls)
    file, scope = found or (None, None)
    names = vars(module) if module is not None else {}
    if file is not None:
        walk.scan(file, names)
    notes: dict[str, str] = {}
    reached = set(_attributes(walk, cls, name, found, notes))
    if file is None or scope is None:
        if module is not None and (was_edited(module) or may_be_older(module, cls)):
            walk.edited(module)
        bases = " ".join(f"{base.__module__}:{base.__qualname__}" for base in cls.__bases__ if is_users_class(base))
        walk.put(name, digest(bases), "", notes)
        return
    walk.seen.add(id(scope))
    walk.follow(class_reads(file, scope, frozenset(reached)), name, names, file, notes)
    walk.last.append(lambda: _put(walk, name, file, scope, reached, notes))


def _put(walk: Walking, name: str, file: SourceFile, scope: Scope, reached: set[str], notes: dict[str, str]) -> None:
    # What was found later to be changed by the code has lost its value, so its statement counts
    reached = {attr for attr in reached if f"{name}.{attr}" not in walk.unsteady}
    called = name.partition("#")[0]
    # By name as well: a method that a reload left as it was is found in the new text, its class in the old one
    followed = {some.name for some in scope.children if id(some) in walk.seen or f"{called}.{some.name}" in walk.items}
    number, text = class_piece(file, scope, frozenset(reached | followed))
    walk.put(name, number, text, notes)


def _attributes(
    walk: Walking, cls: type, name: str, found: tuple[SourceFile, Scope] | None, notes: dict[str, str]
) -> Iterator[str]:
    """Follow what a class has; yields the names whose statement does not count any more."""
    for attr, value in _own(cls):
        place = f"{name}.{attr}"
        if attr in walk.settings:
            yield attr
        elif is_function_like(value) or issubclass(type(value), type):
            if not _is_generated(cls, attr, value, found[0].path if found else ""):
                target = walk.meet(value, place)
                if target and target != place:
                    notes[attr] = f"is {target}"
        elif attr.startswith("__") or issubclass(type(value), _DESCRIPTORS):
            continue
        elif place in walk.unsteady or (found and attr in found[0].module.shared):
            walk.untrack(f"{place} is changed by the code itself")
            for thing in code_held(value):
                walk.meet(thing, "")
        elif (found is None or attr in found[1].bound or _is_plain(value)) and walk.value_at(value, place):
            yield attr


def _own(cls: type) -> list[tuple[str, Any]]:
    """Attributes by name; of an enum its members by their values: where Python keeps them depends on its version."""
    own = list(vars(cls).items())
    if not issubclass(cls, Enum):
        return own
    members = [(member, value._value_) for member, value in vars(cls).get("_member_map_", {}).items()]
    return members + [(attr, value) for attr, value in own if is_function_like(value)]


def is_function_like(value: Any) -> bool:
    """Whether an attribute of a class is a function, or wraps one: a property, a static or class method."""
    return type(value) is FunctionType or wrapped(value) is not None


def _is_plain(value: object) -> bool:
    """Whether an attribute that the class statement does not have was set later, and not by a metaclass."""
    return type(value) in (bool, int, float, str, bytes, tuple, list, dict, set, frozenset, type(None))


def functions_in(value: Any) -> Iterator[FunctionType]:
    """The function that an attribute is or wraps, through as many wrappers as there are."""
    todo = [value]
    while todo:
        some = todo.pop()
        if type(some) is FunctionType:
            yield some
            todo += [inner] if (inner := vars(some).get("__wrapped__")) is not None else []
        else:
            todo += reversed(wrapped(some) or ())


def _is_generated(cls: type, attr: str, value: Any, path: str) -> bool:
    """Whether dataclasses, namedtuple or attrs wrote a method from the class's fields, which count themselves.

    What `exec` made without any source is told from it by its globals: a namedtuple's are none of its module's.
    """
    for function in functions_in(value) if attr.startswith("__") else ():
        written = function.__code__.co_filename
        foreign = bool(path) or function.__globals__.get("__name__") != cls.__module__
        if foreign and written.startswith("<") and written != path:
            return True
    return False


def class_place(cls: type) -> tuple[SourceFile, Scope] | None:
    """The file and class statement that a class comes from.

    It is where its methods are. One without methods is known by its name and its constants, in the file of its module.
    """
    module = sys.modules.get(cls.__module__)
    if module is not None and was_edited(module):
        return None
    if module is not None and may_be_older(module, cls):
        return _older_place(cls, module)
    for value in vars(cls).values():
        for function in functions_in(value):
            if is_users_code(function.__code__, function.__globals__):
                piece = piece_of(function.__code__, function.__globals__)
                outer = piece.scope.parent if piece.scope is not None else None
                if piece.file is not None and outer is not None and outer.qualname == cls.__qualname__:
                    return piece.file, outer
    file = loaded_file(module) if module is not None else None
    for scope in file.class_scopes(cls.__qualname__) if file is not None else ():
        if agrees(scope, vars(cls)):
            return file, scope  # type: ignore[return-value]  # there are no scopes without a file
    return None


def _older_place(cls: type, module: ModuleType) -> tuple[SourceFile, Scope] | None:
    """Of a class whose module was loaded again: where it comes from if only one of the texts has such a class."""
    methods = {function.__code__ for value in vars(cls).values() for function in functions_in(value)}
    found: dict[str, tuple[SourceFile, Scope]] = {}
    for file in loaded_files(module):
        own = [code for code in methods if code.co_filename == file.path]
        for scope in file.class_scopes(cls.__qualname__):
            written = [file.scope_of(code) for code in own]
            if agrees(scope, vars(cls)) and all(some is not None and some.parent is scope for some in written):
                found.setdefault("".join(dump(scope.node)), (file, scope))
    return found.popitem()[1] if len(found) == 1 else None
