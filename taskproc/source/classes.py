"""Classes: their methods as items of their own, their attributes by value, and what else the class statement says.

Each attribute ends in one of these ways: it is followed, as functions and classes are; it counts by what is written, in
the class statement or below it; it counts by value; Python or the library of a base has made it; it is listed.
"""
from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from enum import Enum
from types import FunctionType, GetSetDescriptorType, MappingProxyType, MemberDescriptorType, ModuleType
from typing import Any

from taskproc.source.acting import acts_on_fields
from taskproc.source.agreeing import agrees
from taskproc.source.changes import code_held
from taskproc.source.class_pieces import ClassPiece, left_out, makers_of
from taskproc.source.constants import wrapped
from taskproc.source.dump import digest, dump
from taskproc.source.files import SourceFile
from taskproc.source.loading import loaded_file, loaded_files, may_be_older, was_edited
from taskproc.source.made import fields_of, functions_of, shown
from taskproc.source.objects import FIELD, content_of
from taskproc.source.pieces import piece_of
from taskproc.source.project import is_extension, is_users_class, is_users_code
from taskproc.source.scopes import Scope
from taskproc.source.statements import statements_of
from taskproc.source.walking import Walking

_DESCRIPTORS = (GetSetDescriptorType, MemberDescriptorType, FIELD)
# What Python and the standard library write into a class; of libraries by how it begins
_WRITTEN = frozenset(
    "__module__ __qualname__ __doc__ __dict__ __weakref__ __annotations__ __annotate__ __annotate_func__ "
    "__annotations_cache__ __conditional_annotations__ __firstlineno__ __static_attributes__ __orig_bases__ "
    "__parameters__ __type_params__ __abstractmethods__ __match_args__ __hash__ __classdictcell__ __classcell__ "
    "__signature__ __final__ __total__ __required_keys__ __optional_keys__ __readonly_keys__ __mutable_keys__ "
    "__closed__ __extra_items__ __protocol_attrs__ __non_callable_proto_members__ __callable_proto_members_only__ "
    "__class_vars__ __private_attributes__ __slots__ __slotnames__".split()
)
_WRITERS = ("__dataclass_", "__pydantic_", "__attrs_", "__msgspec_", "__struct_", "_abc_")


def visit(walk: Walking, cls: type, name: str) -> None:
    """Put the class's items, except its own, which waits until it is known what else was reached."""
    module = sys.modules.get(cls.__module__)
    if module is not None and is_extension(module):
        walk.untrack(f"{name} is compiled")
        return
    for base in (type(cls), *cls.__bases__):
        walk.meet(base, "")
    found = class_place(cls)
    file, scope = found or (loaded_file(module) if module is not None else None, None)
    names = vars(module) if module is not None else {}
    if file is not None:
        walk.scan(file, names)
    notes: dict[str, str] = {}
    reached = set(_attributes(walk, cls, name, found, notes))
    for held in functions_of(cls):
        if scope is None or not _is_of_text(held):
            walk.meet(held, f"{name}.{vars(held).get('__name__')}")
    acts = acts_on_fields(cls)
    makers = _makers(cls, file, scope, names)
    if scope is None and module is not None and (was_edited(module) or may_be_older(module, cls)):
        walk.edited(module)
    elif scope is None and file is not None and file.class_scopes(cls.__qualname__):
        walk.untrack(f"{name} was edited after it was loaded, so what its statement says does not count")
    if file is None or (scope is None and not makers):
        walk.put(name, digest(text := "".join(fields_of(walk, cls, name))), text, notes)
        return
    if scope is not None:
        walk.seen.add(id(scope))
    walk.asked.of_class(cls, name, file, scope)
    options = reached - walk.settings if acts else frozenset[str]()
    soon = _coming(cls, file, scope) if scope is not None else set()
    omitted = left_out(file, scope, reached, soon, options) if scope is not None else frozenset[int]()
    piece = ClassPiece(file, scope, omitted, acts, makers)
    walk.follow(piece.reads(), name, names, file, notes)
    made = "".join(fields_of(walk, cls, name)) if scope is None else ""
    walk.last.append(lambda: _put(walk, name, piece, reached, notes, made))


def _put(walk: Walking, name: str, piece: ClassPiece, reached: set[str], notes: dict[str, str], made: str) -> None:
    scope = piece.scope
    # What was found later to be changed by the code has lost its value, so its statement counts
    reached = {attr for attr in reached if f"{name}.{attr}" not in walk.unsteady}
    options = reached - walk.settings if piece.annotated else frozenset[str]()
    if scope is not None:
        called = name.partition("#")[0]
        # By name as well: a method that a reload left as it was is found in the new text, its class in the old one
        again = {id(inner) for inner in scope.children if f"{called}.{inner.name}" in walk.items}
        omitted = left_out(piece.file, scope, reached, walk.seen | again, options)
        piece = ClassPiece(piece.file, scope, omitted, piece.annotated, piece.others)
    number, text = piece.text()
    walk.put(name, digest(number + made) if made else number, text + made, notes)


def _makers(
    cls: type, file: SourceFile | None, scope: Scope | None, names: Mapping[str, Any]
) -> tuple[Any, ...]:
    """The statements at the top of its module that make it by a call."""
    is_local = scope is None or "<locals>" in cls.__qualname__
    return makers_of(file, cls, names) if file is not None and is_local and not _is_said(cls) else ()


def _is_said(cls: type) -> bool:
    """Whether members or fields say all about a class that a call has made."""
    plain = cls.__bases__ == (tuple,) and "_fields" in vars(cls) and "__orig_bases__" not in vars(cls)
    return "<locals>" not in cls.__qualname__ and (issubclass(cls, Enum) or plain)


def _attributes(
    walk: Walking, cls: type, name: str, found: tuple[SourceFile, Scope] | None, notes: dict[str, str]
) -> Iterator[str]:
    """Follow what a class has; yields the names whose statement does not count any more."""
    if issubclass(cls, Enum):
        notes["members"] = f"are {' '.join(vars(cls).get('_member_map_', ()))}"
    for attr, value in _own(cls):
        place = f"{name}.{attr}"
        written = found is not None and attr in found[1].bound
        if attr in walk.settings:
            yield attr
        elif is_function_like(value) or issubclass(type(value), type):
            if not _is_generated(cls, attr, value, found[0].path if found else ""):
                _follow(walk, cls, attr, value, place, notes, written)
        elif issubclass(type(value), _DESCRIPTORS) or (not written and _is_made(cls, attr, value)):
            continue  # of slots and fields, which count themselves
        elif place in walk.unsteady or (found and attr in found[0].module.shared):
            walk.untrack(f"{place} is changed by the code itself")
            for thing in code_held(value):
                walk.meet(thing, "")
        elif (not written or not attr.startswith("__")) and walk.value_at(value, place):
            yield attr


def _follow(
    walk: Walking, cls: type, attr: str, value: Any, place: str, notes: dict[str, str], written: bool
) -> None:
    target = walk.meet(value, place)
    if target and target != place:
        notes[attr] = f"is {target}"
    elif not target and not written and not attr.startswith("_") and not _is_of_base(cls, value):
        walk.value_at(value, place)  # a library's, which was set later


def _own(cls: type) -> list[tuple[str, Any]]:
    """Attributes by name; of an enum its members by their values: where Python keeps them depends on its version."""
    own = list(vars(cls).items())
    if not issubclass(cls, Enum):
        return own
    map_ = vars(cls).get("_member_map_", {})
    members = [(member, value._value_) for member, value in map_.items()]
    return members + [(attr, value) for attr, value in own if attr not in map_ and not _is_of_enum(attr, value)]


def _is_of_enum(attr: str, value: object) -> bool:
    """What the enum module writes into an enum, which is something else in each version of Python."""
    return attr.startswith("_") and attr.endswith("_") and not is_function_like(value)


def is_function_like(value: Any) -> bool:
    """Whether an attribute of a class is a function, or wraps one: a property, a static or class method."""
    return type(value) is FunctionType or wrapped(value) is not None


def _is_made(cls: type, attr: str, value: object) -> bool:
    """Whether Python, the standard library or the library of a base has set an attribute."""
    return attr in _WRITTEN or attr.startswith(_WRITERS) or _is_of_base(cls, value)


def _is_of_base(cls: type, value: Any) -> bool:
    """Whether a value that nothing in the class statement has set is of the library of one of its bases."""
    module = value.__module__ if issubclass(type(value), (FunctionType, type)) else type(value).__module__
    top = str(module).partition(".")[0]
    metaclass: Any = type(cls)
    bases = [base for base in (*cls.__mro__, *metaclass.__mro__) if not is_users_class(base)]
    tops = {str(base.__module__).partition(".")[0] for base in bases}
    return top != "builtins" and top in tops | {"enum", "_collections", "_abc", "attr", "attrs"}


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


def _coming(cls: type, file: SourceFile, scope: Scope) -> set[int]:
    """Ids of scopes in a class statement whose functions and classes will have items, as far as it can be seen now."""
    held = [*(vars(cls).values()), *functions_of(cls)]
    codes = [function for value in held for function in functions_in(value)]
    for function in codes:
        cells = [content_of(cell) for cell in function.__closure__ or ()]
        codes += [some for some in cells if type(some) is FunctionType and some not in codes]
    users = [some for some in codes if some.__code__.co_filename == file.path]
    found = {id(piece_of(some.__code__, some.__globals__).scope) for some in users}
    inner = {attr for attr, value in vars(cls).items() if issubclass(type(value), type)}
    return found | {id(some) for some in scope.children if some.kind == "class" and some.name in inner}


def registered(walk: Walking, function: FunctionType) -> list[object]:
    """The functions that singledispatch has registered; for which types is an item of its own."""
    registry = vars(function).get("registry")
    if type(registry) is not MappingProxyType:
        return []
    lines = [f"{shown(walk, kind)} is {shown(walk, some)}\n" for kind, some in registry.items()]
    walk.put(f"{shown(walk, function)}.registry", digest(text := "".join(sorted(lines))), text)
    return list(registry.values())


def _is_of_text(function: object) -> bool:
    """Whether a lambda comes from an annotation that is kept as text, whose syntax counts."""
    return type(function) is FunctionType and function.__code__.co_filename == "<string>"


def _is_generated(cls: type, attr: str, value: Any, path: str) -> bool:
    """Whether dataclasses, namedtuple or attrs wrote a method from the class's fields, which count themselves.

    What `exec` made without any source is told from it by its globals: a namedtuple's are none of its module's.
    """
    for function in functions_in(value) if attr.startswith("__") else ():
        written = function.__code__.co_filename
        foreign = bool(path) or function.__globals__.get("__name__") != cls.__module__
        made = str(getattr(function.__code__, "co_qualname", "")).startswith("__create_fn__")  # by dataclasses
        if (foreign or made) and written.startswith("<") and written != path:
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
    names = vars(module) if module is not None else {}
    for scope in file.class_scopes(cls.__qualname__) if file is not None else ():
        if agrees(scope, cls, names, _set_later(file, scope.name)):
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
            is_its = agrees(scope, cls, vars(module), _set_later(file, scope.name))
            if is_its and all(some is not None and some.parent is scope for some in written):
                found.setdefault("".join(dump(scope.node)), (file, scope))
    return found.popitem()[1] if len(found) == 1 else None


def _set_later(file: SourceFile | None, name: str) -> frozenset[str]:
    """The attributes that statements and functions of a module may have set on a class."""
    if file is None:
        return frozenset()
    changed = [change.chain for change in file.module.changed if change.chain[0] == name]
    nodes = [node for statement in statements_of(file).changes(name) for node in ast.walk(statement)]
    found = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    found |= {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return frozenset(found | {chain[1] for chain in changed if len(chain) > 1})
