"""Following a class: its methods as items, its attributes by value, and what else its statement says.

Each attribute ends in one of these ways. It is followed, as functions and classes are. It counts by its statement, in
the class or below it. It counts by value. Python or the library of a base has made it. Or it is listed. A class without
a statement, such as one that `make_dataclass` made, is read from the fields of the class itself.
"""
from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from enum import Enum
from types import FunctionType, GetSetDescriptorType, MappingProxyType, MemberDescriptorType
from typing import Any

from taskproc.modules import real_name
from taskproc.source.annotations import acts_on_fields
from taskproc.source.canonical import code_held
from taskproc.source.class_statements import ClassPiece, class_source, functions_in, making_statements, omitted_nodes
from taskproc.source.findings import Findings
from taskproc.source.functions import cell_content, piece_of
from taskproc.source.project import is_extension, is_users_class
from taskproc.source.scopes import Scope
from taskproc.source.source_files import SourceFile, loaded_file, may_be_older, was_edited
from taskproc.source.syntax import digest
from taskproc.source.value_look import FIELD, wrapped

_DESCRIPTORS = (GetSetDescriptorType, MemberDescriptorType, FIELD)
# What Python and the standard library write into a class; for libraries the beginnings of names
_WRITTEN = frozenset(
    "__module__ __qualname__ __doc__ __dict__ __weakref__ __annotations__ __annotate__ __annotate_func__ "
    "__annotations_cache__ __conditional_annotations__ __firstlineno__ __static_attributes__ __orig_bases__ "
    "__parameters__ __type_params__ __abstractmethods__ __match_args__ __hash__ __classdictcell__ __classcell__ "
    "__signature__ __final__ __total__ __required_keys__ __optional_keys__ __readonly_keys__ __mutable_keys__ "
    "__closed__ __extra_items__ __protocol_attrs__ __non_callable_proto_members__ __callable_proto_members_only__ "
    "__class_vars__ __private_attributes__ __slots__ __slotnames__".split()
)
_WRITERS = ("__dataclass_", "__pydantic_", "__attrs_", "__msgspec_", "__struct_", "_abc_")


def visit_class(walk: Findings, cls: type, name: str) -> None:
    """Record the items of a class. The item of its statement comes last, when all else that was reached is known."""
    module = sys.modules.get(cls.__module__)
    if module is not None and is_extension(module):
        walk.untrack(f"{name} is compiled")
        return
    for base in (type(cls), *cls.__bases__):
        walk.meet(base, "")
    found = class_source(cls)
    file, scope = found or (loaded_file(module) if module is not None else None, None)
    names = vars(module) if module is not None else {}
    if file is not None:
        walk.scan(file, names)
    notes: dict[str, str] = {}
    reached = set(_attributes(walk, cls, name, found, notes))
    for held in field_functions(cls):
        if scope is None or not _is_of_text(held):
            walk.meet(held, f"{name}.{vars(held).get('__name__')}")
    acts = acts_on_fields(cls)
    makers = _makers(cls, file, scope, names)
    if scope is None and module is not None and (was_edited(module) or may_be_older(module, cls)):
        walk.edited(module)
    elif scope is None and file is not None and file.class_scopes(cls.__qualname__):
        walk.untrack(f"{name} was edited after it was loaded, so what its statement says does not count")
    if file is None or (scope is None and not makers):
        walk.put(name, digest(text := "".join(field_lines(walk, cls, name))), text, notes)
        return
    if scope is not None:
        walk.seen.add(id(scope))
    walk.note_class(cls, name, file, scope)
    options = reached - walk.settings if acts else frozenset[str]()
    soon = _scopes_to_come(cls, file, scope) if scope is not None else set()
    omitted = omitted_nodes(file, scope, reached, soon, options) if scope is not None else frozenset[int]()
    piece = ClassPiece(file, scope, omitted, acts, makers)
    walk.follow(piece.reads(), name, names, file, notes)
    made = "".join(field_lines(walk, cls, name)) if scope is None else ""
    walk.last.append(lambda: _put(walk, name, piece, reached, notes, made))


def _put(walk: Findings, name: str, piece: ClassPiece, reached: set[str], notes: dict[str, str], made: str) -> None:
    scope = piece.scope
    # What was found later to be changed by the code has lost its value, so its statement counts
    reached = {attr for attr in reached if f"{name}.{attr}" not in walk.unsteady}
    options = reached - walk.settings if piece.annotated else frozenset[str]()
    if scope is not None:
        called = name.partition("#")[0]
        # By name as well: a method that a reload left as it was is found in the new text, its class in the old one
        again = {id(inner) for inner in scope.children if f"{called}.{inner.name}" in walk.items}
        omitted = omitted_nodes(piece.file, scope, reached, walk.seen | again, options)
        piece = ClassPiece(piece.file, scope, omitted, piece.annotated, piece.others)
    number, text = piece.text()
    walk.put(name, digest(number + made) if made else number, text + made, notes)


def _makers(
    cls: type, file: SourceFile | None, scope: Scope | None, names: Mapping[str, Any]
) -> tuple[Any, ...]:
    """The statements at the top of its module that make a class by a call."""
    is_local = scope is None or "<locals>" in cls.__qualname__
    return making_statements(file, cls, names) if file is not None and is_local and not _is_known_by_fields(cls) else ()


def _is_known_by_fields(cls: type) -> bool:
    """Whether members or fields say everything about a class that a call has made."""
    plain = cls.__bases__ == (tuple,) and "_fields" in vars(cls) and "__orig_bases__" not in vars(cls)
    return "<locals>" not in cls.__qualname__ and (issubclass(cls, Enum) or plain)


def _attributes(
    walk: Findings, cls: type, name: str, found: tuple[SourceFile, Scope] | None, notes: dict[str, str]
) -> Iterator[str]:
    """Follow the attributes of a class; yield the names whose statements do not count, because their values do."""
    if issubclass(cls, Enum):
        notes["members"] = f"are {' '.join(vars(cls).get('_member_map_', ()))}"
    for attr, value in _attributes_of(cls):
        place = f"{name}.{attr}"
        written = found is not None and attr in found[1].bound
        if attr in walk.settings:
            yield attr
        elif is_function_like(value) or issubclass(type(value), type):
            if not _is_generated(cls, attr, value, found[0].path if found else ""):
                _follow(walk, cls, attr, value, place, notes, written)
        elif issubclass(type(value), _DESCRIPTORS) or (not written and _is_made(cls, attr, value)):
            continue  # made from slots and fields, which count by their statements
        elif place in walk.unsteady or (found and attr in found[0].module.shared):
            walk.untrack(f"{place} is changed by the code itself")
            for thing in code_held(value):
                walk.meet(thing, "")
        elif (not written or not attr.startswith("__")) and walk.value_at(value, place):
            yield attr


def _follow(
    walk: Findings, cls: type, attr: str, value: Any, place: str, notes: dict[str, str], written: bool
) -> None:
    target = walk.meet(value, place)
    if target and target != place:
        notes[attr] = f"is {target}"
    elif not target and not written and not attr.startswith("_") and not _is_of_base(cls, value):
        walk.value_at(value, place)  # a library's, which was set later


def _attributes_of(cls: type) -> list[tuple[str, Any]]:
    """Name and value of each attribute. Members of an enum come by their values: where Python stores them varies."""
    own = list(vars(cls).items())
    if not issubclass(cls, Enum):
        return own
    map_ = vars(cls).get("_member_map_", {})
    members = [(member, value._value_) for member, value in map_.items()]
    return members + [(attr, value) for attr, value in own if attr not in map_ and not _is_of_enum(attr, value)]


def _is_of_enum(attr: str, value: object) -> bool:
    """Whether the enum module has written an attribute; which ones differs between versions of Python."""
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


def _scopes_to_come(cls: type, file: SourceFile, scope: Scope) -> set[int]:
    """Ids of the scopes in a class statement whose functions and classes will have items, as far as known by now."""
    held = [*(vars(cls).values()), *field_functions(cls)]
    codes = [function for value in held for function in functions_in(value)]
    for function in codes:
        cells = [cell_content(cell) for cell in function.__closure__ or ()]
        codes += [content for content in cells if type(content) is FunctionType and content not in codes]
    users = [function for function in codes if function.__code__.co_filename == file.path]
    found = {id(piece_of(code.__code__, code.__globals__).scope) for code in users}
    inner = {attr for attr, value in vars(cls).items() if issubclass(type(value), type)}
    return found | {id(child) for child in scope.children if child.kind == "class" and child.name in inner}


def registered_functions(walk: Findings, function: FunctionType) -> list[object]:
    """The functions that singledispatch has registered. The types for which they are registered become an item."""
    registry = vars(function).get("registry")
    if type(registry) is not MappingProxyType:
        return []
    lines = [f"{walk.shown(kind)} is {walk.shown(chosen)}\n" for kind, chosen in registry.items()]
    walk.put(f"{walk.shown(function)}.registry", digest(text := "".join(sorted(lines))), text)
    return list(registry.values())


def _is_of_text(function: object) -> bool:
    """Whether a lambda comes from an annotation that is stored as text: its syntax counts there."""
    return type(function) is FunctionType and function.__code__.co_filename == "<string>"


def _is_generated(cls: type, attr: str, value: Any, path: str) -> bool:
    """Whether dataclasses, namedtuple or attrs wrote a method from the class's fields, which count by themselves.

    A method that the user made by `exec` differs from it by its globals: those of a namedtuple are not its module's.
    """
    for function in functions_in(value) if attr.startswith("__") else ():
        written = function.__code__.co_filename
        foreign = bool(path) or function.__globals__.get("__name__") != cls.__module__
        made = str(getattr(function.__code__, "co_qualname", "")).startswith("__create_fn__")  # by dataclasses
        if (foreign or made) and written.startswith("<") and written != path:
            return True
    return False

_HOLDERS = ("func", "factory", "converter", "_validators", "validator")  # of functions, in attrs and pydantic
_OPTIONS = ("init", "repr", "eq", "order", "hash", "compare", "kw_only", "frozen", "unsafe_hash", "exclude", "alias")


def field_lines(walk: Findings, cls: Any, name: str) -> Iterator[str]:
    """What a class says besides its attributes, one line each: bases, fields with their types, options."""
    yield f"bases {' '.join(map(_written_name, (type(cls), *cls.__bases__)))}\n"
    own = vars(cls)
    for attr in ("_fields", "__slots__", "__match_args__", "__required_keys__", "__optional_keys__", "__total__"):
        if attr in own and type(own[attr]) in (tuple, frozenset, list, bool, str):
            value = own[attr]
            yield f"{attr} {sorted(value) if type(value) is frozenset else value}\n"
    yield from (f"{attr} {_name_of(walk, annotation)}\n" for attr, annotation in _annotations(own).items())
    yield from _options("dataclass", own.get("__dataclass_params__"))
    for field, described in _descriptions(own).items():
        yield from _options(field, described)
        for what in ("type", "annotation", "default", "default_factory", "converter", "validator", "metadata"):
            value = getattr(described, what, None)
            if value is not None and value is not described:
                yield f"{field}.{what} {_default(walk, value, f'{name}.{field}.{what}')}\n"
    defaults = own.get("_field_defaults")
    if defaults:
        yield f"defaults {_default(walk, defaults, f'{name}._field_defaults')}\n"


def field_functions(cls: type) -> Iterator[object]:
    """The functions and classes in the fields of a class: factories, converters, validators."""
    for described in _descriptions(vars(cls)).values():
        for what in ("default", "default_factory", "converter", "validator", "metadata"):
            yield from _code_in(getattr(described, what, None))


def _code_in(value: object) -> Iterator[object]:
    todo = [value]
    while todo:
        current = todo.pop()
        if type(current) in (list, tuple):
            todo += reversed(current)  # type: ignore[call-overload]
        elif issubclass(type(current), (FunctionType, type)):
            yield current
        elif type(current).__module__.partition(".")[0] in ("attr", "attrs", "pydantic"):
            todo += [getattr(current, what, None) for what in _HOLDERS]


def _descriptions(own: Any) -> dict[str, Any]:
    """Field → its description, by dataclasses, attrs or pydantic."""
    found: dict[str, Any] = {}
    for attr in ("__dataclass_fields__", "__pydantic_fields__"):
        if type(own.get(attr)) is dict:
            found |= own[attr]
    return found | {field.name: field for field in own.get("__attrs_attrs__", ())}


def _options(name: str, described: object) -> Iterator[str]:
    values = {option: getattr(described, option, None) for option in _OPTIONS}
    shown = [f"{option}={value}" for option, value in values.items() if type(value) in (bool, str)]
    if shown:
        yield f"{name} {' '.join(shown)}\n"


def _annotations(own: Any) -> dict[str, Any]:
    if sys.version_info >= (3, 14):
        own = {"__annotations__": own.get("__annotations_cache__")}  # computed on demand
    found = own.get("__annotations__")
    return found if type(found) is dict else {}


def _written_name(thing: Any) -> str:
    return f"{real_name(str(thing.__module__))}:{thing.__qualname__}"


def _name_of(walk: Findings, annotation: Any) -> str:
    """An annotation as text; classes and functions in it are followed."""
    if issubclass(type(annotation), (FunctionType, type)) and not hasattr(annotation, "__origin__"):
        return walk.shown(annotation)
    inner = [*_tuple_in(annotation, "__args__"), *_tuple_in(annotation, "__metadata__")]
    if inner:
        origin = getattr(annotation, "__origin__", None)
        return f"{type(annotation).__name__}[{origin!r}]{[_name_of(walk, argument) for argument in inner]}"
    found = [walk.meet(code, "") for code in _code_in(annotation)]
    return f"{type(annotation).__name__} {found}" if found else _plain_repr(annotation)


def _plain_repr(value: object) -> str:
    text = repr(value) if type(value).__module__.partition(".")[0] in _PLAIN_REPR else type(value).__qualname__
    return type(value).__qualname__ if " at 0x" in text else text


_PLAIN_REPR = ("builtins", "typing", "types", "annotated_types", "pydantic", "pydantic_core", "typing_extensions")


def _tuple_in(value: object, name: str) -> tuple[Any, ...]:
    found = getattr(value, name, None)
    return found if type(found) is tuple else ()


def _default(walk: Findings, value: Any, place: str) -> str:
    """A default by value; parts of it without a form are listed."""
    if value.__class__.__name__ in ("_MISSING_TYPE", "PydanticUndefinedType", "_Nothing"):
        return "none"
    if place.endswith((".type", ".annotation", ".metadata")) or list(_code_in(value)):
        return _name_of(walk, value)
    found = walk.canonical(value, place)
    return found.text if found.is_whole else type(value).__qualname__
