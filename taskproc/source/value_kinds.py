"""The look at a value of any kind: Python's own types, the standard library, NumPy and others, the user's classes.

If a value has no form as a whole, its look shows its parts and says why. The state of an instance of a library's class
is known to that class alone, so only the user's objects in it are followed.
"""
from __future__ import annotations

import array
import collections
import contextvars
import datetime as dt
import functools
import gc
import operator
import pathlib
import re
import struct
import sys
from collections.abc import Callable, Collection
from enum import Enum
from types import (
    AsyncGeneratorType,
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    CoroutineType,
    FunctionType,
    GeneratorType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

from taskproc.errors import UnnamableValue
from taskproc.modules import real_name
from taskproc.source.library_values import (
    FORMS,
    function_contents,
    is_type_form,
    numeric_look,
    objects_in,
    type_form_look,
    users_objects_in,
)
from taskproc.source.project import is_users_class, is_users_code, is_users_module
from taskproc.source.state import NO_CHANGES, Shape, changes_by_methods, enum_look, has_fields, is_all_seen
from taskproc.source.value_look import (
    _WRAPPERS,
    Look,
    all_plain,
    bytes_text,
    class_attribute,
    hashes_by_itself,
    instance_dict,
    json_word,
    leaf_text,
    qualified_name,
    slot_members,
)
from taskproc.values.encode import canonical_text
from taskproc.values.forms import REGISTRY, path_step

# Values of these modules are tools of the code and not part of a result, so they are not listed if they have no form
SILENT = frozenset(
    "logging _thread threading typing types typing_extensions weakref _weakref _abc abc _contextvars contextvars "
    "__future__ _collections".split()
)
# Instances of these modules stand for something of this process: a file, a child process, a random name
_OF_PROCESS = frozenset(
    "asyncio concurrent http io mmap multiprocessing os queue random sched selectors shelve signal socket socketserver "
    "sqlite3 ssl subprocess tempfile urllib xmlrpc".split()
)


class Inspector:
    """Looks at values one by one, and remembers what it found out about their classes.

    Args:
        names: whether the text of a value is needed, and not only the code in it. Only then the hooks run that name a
            value: `__task_key__`, and functions that were registered.
        changes: whether attributes are left out that methods of the user change.
    """

    def __init__(self, names: bool = True, changes: bool = True):
        self._names, self._changes = names, changes
        self._kinds: dict[int, tuple[Shape, bool, bool, Any]] = {}

    def look(self, value: Any) -> Look:
        """The look at a value whose type is not in PLAIN."""
        kind = type(value)
        if kind is Look:
            return value  # type: ignore[no-any-return]
        if kind is FunctionType:
            return _function(value)
        if issubclass(kind, type):
            # A class only since Python 3.11
            return Look("typing", '"Any"') if value is Any else Look("code", code=value)
        if issubclass(kind, ModuleType):
            return Look("module", code=value)
        found = _exact(kind)
        if found is not None:
            return found(value)
        if issubclass(kind, Enum):
            return enum_look(value)
        return self._hook(value, kind) or self._other(value, kind)

    def _hook(self, value: Any, kind: type) -> Look | None:
        """The look at a value for which the user has defined a key."""
        future = class_attribute(kind, "_key_form")
        registered = REGISTRY.get(kind) if hashes_by_itself(kind) else None
        if future is not None:
            tag, held = "future", [] if is_users_class(kind) else [*Shape(kind, NO_CHANGES).state(value).values()]
        elif registered is not None or class_attribute(kind, "__task_key__") is not None:
            tag, held = "key", [self._instance(value, kind)]
        else:
            return None
        if not self._names:
            return Look(tag, code=kind, hidden=held)
        try:
            key = _key(value, kind, tag, registered)
        except UnnamableValue:
            return Look(tag, code=kind, hidden=held, cause=_no_form(kind))
        except Exception as error:  # noqa: BLE001  # raised by a hook of the user
            return Look(tag, code=kind, hidden=held, cause=f"could not be named ({type(error).__name__})")
        return Look(tag, code=kind, parts=[key], steps=[""], hidden=held)

    def _other(self, value: Any, kind: type) -> Look:
        library = kind.__module__.partition(".")[0] if type(kind.__module__) is str else ""
        if library in FORMS and not is_users_class(kind):
            if not self._names and (objects := objects_in(value, library)) is not None:
                return Look(library, parts=objects)
            found = numeric_look(value, kind, library)
            if found is not None:
                return found
        if is_type_form(kind):
            return type_form_look(value, kind)
        if (name := _library_name(value, kind)) is not None:
            return Look("function", json_word(name), hidden=users_objects_in(value))
        return self._instance(value, kind)

    def _instance(self, value: Any, kind: type) -> Look:
        known = self._kinds.get(id(kind))
        if known is None:
            users = is_users_class(kind)
            shape = Shape(kind, changes_by_methods(kind) if users and self._changes else NO_CHANGES)
            known = self._kinds[id(kind)] = shape, users, _is_known(kind, users), _content_reader(kind)
        shape, users, is_whole, content_of = known
        content, skipped = content_of(value) if content_of is not None else (None, ())
        if not users and not is_whole and content is None:
            return _opaque(value, kind)
        state = shape.state(value)
        for name in skipped:
            state.pop(name, None)
        parts, names = list(state.values()), list(state)
        steps = [f".{name}" for name in names]
        if content is not None:
            return Look("instance", code=kind, parts=[content, *parts], names=["", *names], steps=["", *steps])
        cause, hidden = ("", []) if is_whole else (_no_form(kind), users_objects_in(value))
        return Look("instance", code=kind, parts=parts, names=names, steps=steps, cause=cause, hidden=hidden)


def _key(value: Any, kind: Any, tag: str, registered: Any) -> object:
    if tag == "future":
        return Look("form", canonical_text(kind._key_form(value)))
    return registered[0](value) if registered is not None else kind.__task_key__(value)


def _content_reader(kind: type) -> Callable[[Any], tuple[object, Collection[str]]] | None:
    """Reads what an instance is besides its attributes, if it inherits from a list, a number, an array or the like.

    The second part of its result are the attributes that hold the same content again.
    """
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and issubclass(kind, numpy.ndarray):
        return lambda value: (numpy.ndarray.view(value, numpy.ndarray), ())
    if issubclass(kind, BaseException):
        return lambda value: (Look("", parts=vars(BaseException)["args"].__get__(value)), ())
    for base in kind.__mro__:
        found = _exact(base)
        if found is not None:
            return functools.partial(_read_as, found, slot_members(base))
    return None


def _read_as(read: Callable[[Any], Look], skipped: Collection[str], value: Any) -> tuple[object, Collection[str]]:
    return read(value), skipped


def _exact(kind: type) -> Callable[[Any], Look] | None:
    if not hashes_by_itself(kind):
        return None
    return _EXACT.get(kind) or _NAMED.get((kind.__module__, kind.__qualname__))


def _is_known(kind: type, users: bool) -> bool:
    """Whether instances are known by their attributes: all are visible, and none belongs to this process."""
    if kind is object or (kind.__module__ in SILENT and kind.__name__ != "SimpleNamespace"):
        return False
    if users or has_fields(kind):
        return is_all_seen(kind) or has_fields(kind)
    top = str(kind.__module__).partition(".")[0]
    return top in sys.stdlib_module_names and top not in _OF_PROCESS and is_all_seen(kind)


def _opaque(value: Any, kind: type) -> Look:
    inner = users_objects_in(value)
    silent = kind is object or kind.__module__ in SILENT
    if kind in (GeneratorType, CoroutineType, AsyncGeneratorType):  # only newer Pythons know its function
        return Look("unknown", code=kind, cause=_no_form(kind), hidden=inner)
    return Look(
        "unknown", code=kind, parts=inner, is_unordered=True, cause=_no_form(kind), is_silent=silent,
        steps=[""] * len(inner),
    )  # fmt: skip


def _no_form(kind: type) -> str:
    return f"has no canonical form ({qualified_name(kind)})"


# ---------------------------------------------------------------- functions


def _function(value: FunctionType) -> Look:
    if is_users_code(value.__code__, value.__globals__):
        return Look("code", code=value)
    inner = users_objects_in(function_contents(value))
    if type(registry := vars(value).get("registry")) is MappingProxyType:
        inner.append(registry)  # of singledispatch: also for which types
    return Look("code", code=value, parts=inner, is_unordered=True, steps=[""] * len(inner))


def _builtin(value: Any) -> Look:
    owner, name = value.__self__, value.__name__
    if owner is None or issubclass(type(owner), ModuleType):
        module = str(value.__module__ or (vars(owner).get("__name__") if owner is not None else ""))
        loaded = sys.modules.get(module)
        cause = "is compiled" if loaded is not None and is_users_module(loaded) else ""
        return Look("function", json_word(f"{module}:{name}"), cause=cause)
    return _bound(value)


def _bound(value: Any) -> Look:
    return Look("method", json_word(value.__name__), parts=[value.__self__], steps=[".__self__"])


def _wrapper(value: Any) -> Look:
    base = next(base for base in type(value).__mro__ if base in _WRAPPERS)
    inner = [part for name in _WRAPPERS[base] if (part := _within(value, base, name)) is not None]
    if base is MethodType:
        return Look("method", parts=[*inner, value.__self__], steps=["", ".__self__"])
    return Look(base.__name__.strip("_"), parts=inner, steps=[""] * len(inner))


def _within(value: object, base: type, name: str) -> object:
    descriptor = vars(base).get(name)
    return instance_dict(value).get(name) if descriptor is None else descriptor.__get__(value)


def _library_name(value: Any, kind: type) -> str | None:
    """`module:qualname` of an object that a module of a library holds under its own name: a function written in C."""
    if is_users_class(kind) or kind.__module__ in SILENT:
        return None
    if class_attribute(kind, "__qualname__") is None and "__qualname__" not in instance_dict(value):
        return None  # without getattr: an object that passes on attributes may run the user's code
    try:
        module, name = value.__module__, value.__qualname__
        found: Any = sys.modules[module]
        for part in name.split("."):
            found = getattr(found, part)
    except Exception:  # noqa: BLE001  # a library may raise anything, and most objects have no such names
        return None
    return f"{real_name(module)}:{name}" if found is value else None


# ---------------------------------------------------------------- containers


def _list(tag: str, kind: Any) -> Callable[[Any], Look]:
    return lambda value: Look(tag, parts=[*kind.__iter__(value)])


def _set(tag: str, kind: Any) -> Callable[[Any], Look]:
    return lambda value: Look(
        tag, parts=(inner := [*kind.__iter__(value)]), is_unordered=True, steps=["{...}"] * len(inner)
    )


def _deque(value: Any) -> Look:
    most = vars(collections.deque)["maxlen"].__get__(value)
    return Look("deque", leaf_text(most), parts=[*collections.deque.__iter__(value)])


def _dict(value: Any) -> Look:
    items = _items(value)
    if all(type(key) is str and key[:2] != "__" for key, _ in items):
        return Look("", parts=[held for _, held in items], names=[str(key) for key, _ in items])
    return _pairs("dict", items)


def _items(value: Any) -> list[tuple[object, object]]:
    ordered = issubclass(type(value), collections.OrderedDict) and all_plain(dict.keys(value))
    # Only with plain keys: iterating over an OrderedDict calls the hash of each key
    return [*(collections.OrderedDict if ordered else dict).items(value)]


def _pairs(tag: str, items: list[tuple[object, object]], *more: object) -> Look:
    steps = [f".keys()[{number}]" if key else "" for number in range(len(items)) for key in (True, False)]
    for number, (key, _) in enumerate(items):
        steps[2 * number + 1] = path_step(key)
    return Look(tag, parts=[*more, *(part for pair in items for part in pair)], steps=[*([""] * len(more)), *steps])


def _defaultdict(value: Any) -> Look:
    factory = vars(collections.defaultdict)["default_factory"].__get__(value)
    return _pairs("defaultdict", _items(value), factory)


def _partial(value: Any) -> Look:
    kind = functools.partial
    parts = [vars(kind)[name].__get__(value) for name in ("func", "args", "keywords")]
    more = instance_dict(value)
    parts += [more] if more else []
    return Look("partial", parts=parts, steps=["", ".args", ".keywords", ""])


# ---------------------------------------------------------------- other values of the standard library


def _date_or_time(kind: Any) -> Callable[[Any], Look]:
    def look(value: Any) -> Look:
        _, (state, *zone) = kind.__reduce_ex__(value, 4)  # not isoformat of the value: that calls its time zone
        return Look(kind.__name__, json_word(kind(state).isoformat()), parts=[getattr(kind(state), "fold", 0), *zone])

    return look


def _path(value: pathlib.PurePath) -> Look:
    kind = "path" if isinstance(value, pathlib.Path) else "pure_path"
    return Look(kind, leaf_text(str(value)))


_EXACT: dict[type, Callable[[Any], Look]] = {
    list: _list("", list),
    tuple: _list("tuple", tuple),
    set: _set("set", set),
    frozenset: _set("frozenset", frozenset),
    collections.deque: _deque,
    collections.OrderedDict: lambda value: _pairs("ordereddict", _items(value)),
    collections.defaultdict: _defaultdict,
    collections.Counter: lambda value: _pairs("counter", _items(value)),
    dict: _dict,
    MappingProxyType: lambda value: Look("mappingproxy", parts=gc.get_referents(value), steps=[""]),
    **dict.fromkeys(
        (type({}.keys()), type({}.values()), type({}.items())),
        lambda value: Look(type(value).__name__, parts=gc.get_referents(value)[:1], steps=[""]),
    ),
    str: lambda value: Look("text", leaf_text(str.__str__(value))),
    int: lambda value: Look("number", leaf_text(int.__int__(value))),
    float: lambda value: Look("number", leaf_text(float.__float__(value))),
    complex: lambda value: Look("number", leaf_text(complex.__pos__(value))),
    bytes: lambda value: Look("content", leaf_text(bytes.__getitem__(value, slice(None)))),
    bytearray: lambda value: Look("bytearray", bytes_text(memoryview(value))),
    memoryview: lambda value: Look("memoryview", bytes_text(value.tobytes())),
    array.array: lambda value: Look("array", bytes_text(memoryview(value).cast("B")), parts=[value.typecode]),
    slice: lambda value: Look("slice", parts=[value.start, value.stop, value.step]),
    functools.partial: _partial,
    functools.partialmethod: lambda value: Look(
        "partialmethod", parts=[value.func, value.args, value.keywords], steps=["", ".args", ".keywords"]
    ),
    **dict.fromkeys(_WRAPPERS, _wrapper),
    BuiltinFunctionType: _builtin,
    MethodWrapperType: _bound,
    **dict.fromkeys(
        (ClassMethodDescriptorType, GetSetDescriptorType, MemberDescriptorType, MethodDescriptorType,
         WrapperDescriptorType),
        lambda value: Look("method", json_word(value.__name__), value.__objclass__),
    ),
    **dict.fromkeys(
        (operator.itemgetter, operator.attrgetter, operator.methodcaller),
        lambda value: Look(type(value).__name__, parts=list(value.__reduce__())),
    ),
    struct.Struct: lambda value: Look("struct", leaf_text(value.format)),
    contextvars.ContextVar: lambda value: Look("contextvar", parts=gc.get_referents(value)),
    re.Pattern: lambda value: Look("pattern", str(value.flags), parts=[value.pattern]),
    dt.date: _date_or_time(dt.date),
    dt.time: _date_or_time(dt.time),
    dt.datetime: _date_or_time(dt.datetime),
    dt.timedelta: lambda value: Look("timedelta", f"[{value.days},{value.seconds},{value.microseconds}]"),
    dt.timezone: lambda value: Look("timezone", parts=list(value.__getinitargs__())),
    pathlib.PurePosixPath: _path,
    pathlib.PureWindowsPath: _path,
    pathlib.PosixPath: _path,
    pathlib.WindowsPath: _path,
}  # fmt: skip

# By name, so that these modules are not imported by programs that do not use them
_NAMED: dict[tuple[str, str], Callable[[Any], Look]] = {
    ("decimal", "Decimal"): lambda value: Look("decimal", parts=list(type(value).as_tuple(value))),
    ("zoneinfo", "ZoneInfo"): lambda value: Look("zone", parts=[value.key]),
}
