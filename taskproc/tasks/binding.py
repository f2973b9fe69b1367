"""Arguments of a task: bound to the parameters of its class, and separate from the objects of the caller."""
from __future__ import annotations

import dataclasses
import datetime as dt
import inspect
import pathlib
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import Enum
from types import BuiltinFunctionType, FunctionType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from taskproc.attributes import SCALARS
from taskproc.errors import BuildError
from taskproc.tasks.future import FutureDict, FutureList, Indexable
from taskproc.text import did_you_mean
from taskproc.values.encode import canonical_text, key_form

# The placeholder for a `default_factory` in the signature of a dataclass. It is recognized by its type, because a class
# that was sent to a worker by value has a placeholder of its own.
_FACTORY = type(inspect.signature(dataclasses.make_dataclass("_", [("x", int, dataclasses.field(default_factory=int))]))
                .parameters["x"].default)
NAMES = frozenset({"task_pinned_name", "task_ignored_args", "task_default_since"})


class Binder:
    """How the arguments of one class are bound to its parameters and passed to `__init__`.

    If each parameter takes one argument that may be named, as in nearly all classes, they are bound here, in a tenth of
    the time. Everything else goes to `inspect`, which also reports the errors.
    """

    __slots__ = ("_defaults", "_factories", "_further", "_names", "_positional", "signature")

    def __init__(self, signature: inspect.Signature):
        self.signature = signature
        parameters = signature.parameters.values()
        kinds = [each.kind for each in parameters]
        plain = _BY_BOTH.issuperset(kinds)
        self._names = tuple(signature.parameters) if plain else None
        self._positional = kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD)
        self._defaults = {each.name: each.default for each in parameters if each.default is not each.empty}
        self._further = next((each.name for each in parameters if each.kind is each.VAR_KEYWORD), "")
        self._factories = [name for name, default in self._defaults.items() if isinstance(default, _FACTORY)]

    def bind(self, cls: type, args: tuple[object, ...], kwargs: Mapping[str, object]) -> dict[str, Any]:
        """Arguments by parameter, in the order of parameters, with defaults: `A(1)`, `A(x=1)` and `A()` are one task.

        Arguments of `**kwargs` are sorted by name: the way a call is written does not count, so no task may see it.
        """
        found = self._matched(args, kwargs)
        if found is None:
            try:
                bound = self.signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{cls.__qualname__}: {self._slip(kwargs) or error}") from None
            bound.apply_defaults()
            found = bound.arguments
            if self._further:
                found[self._further] = dict(sorted(found[self._further].items()))
        for name in self._factories:
            if isinstance(found[name], _FACTORY):
                found[name] = cls.__dataclass_fields__[name].default_factory()  # type: ignore[attr-defined]
        return found

    def call_arguments(self, arguments: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and named arguments for `__init__`, from the result of `bind`."""
        if self._names is None:
            bound = inspect.BoundArguments(self.signature, arguments)
            return bound.args, bound.kwargs
        values = tuple(arguments.values())
        if self._positional == len(values):
            return values, {}
        return values[: self._positional], {name: arguments[name] for name in self._names[self._positional :]}

    def _slip(self, kwargs: Mapping[str, object]) -> str:
        """The message for a name close to that of a parameter. It comes first, because a typing error is likely."""
        known = self.signature.parameters
        unknown = next((name for name in kwargs if name not in known), "")
        near = did_you_mean(unknown, known)
        return f"got an unexpected keyword argument {unknown!r}{near}" if near else ""

    def _matched(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> dict[str, Any] | None:
        names = self._names
        if names is None or len(args) > self._positional:
            return None
        found = dict(zip(names, args))
        named = 0
        for name in names[len(args) :]:
            if name in kwargs:
                found[name] = kwargs[name]
                named += 1
            elif name in self._defaults:
                found[name] = self._defaults[name]
            else:
                return None
        return found if named == len(kwargs) else None


_BY_BOTH = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}


def binder(cls: type) -> Binder:
    """The Binder for the parameters of `cls.__init__` without `self`, as they were at the first call."""
    found = _binders.get(cls)
    if found is None:
        init: Any = vars(cls).get("__init__") or cls.__init__  # type: ignore[misc]  # each class has its own entry
        parameters = [] if init is object.__init__ else list(inspected(init).parameters.values())[1:]
        found = _binders[cls] = Binder(inspect.Signature(parameters))
    return found


def signature(cls: type) -> inspect.Signature:
    """Parameters of `cls.__init__` without `self`, see `binder`."""
    return binder(cls).signature


_binders: WeakKeyDictionary[type, Binder] = WeakKeyDictionary()


def inspected(init: Any) -> inspect.Signature:
    """The signature of a function; its annotations are not evaluated."""
    if sys.version_info >= (3, 14):
        import annotationlib

        # By default, annotations would be evaluated, and names that exist only for type checkers are missing
        return inspect.signature(init, annotation_format=annotationlib.Format.FORWARDREF)
    return inspect.signature(init)


# ---------------------------------------------------------------- what the caller may change


def copies(arguments: Mapping[str, Any], but: Collection[str] = ()) -> dict[str, Any]:
    """Each argument as `copied` returns it, except those named in `but`."""
    return {name: value if name in but else copied(value) for name, value in arguments.items()}


def copied(value: Any) -> Any:
    """`value` with plain containers copied at all levels, so that the caller may change its own for the next task."""
    kind = type(value)
    if kind in _ROWS:
        return kind(value) if is_flat(value) else kind(map(copied, value))
    if kind in _TABLES:
        return kind((name, copied(some)) for name, some in value.items())
    return bytearray(value) if kind is bytearray else value


def is_loose(value: Any) -> bool:
    """Whether `value` holds an object that the caller may change later: an array, a frame, an instance of some class.

    Such an object may be large and is not copied; see naming.loose_arguments.
    """
    kind = type(value)
    if kind in _FIXED:
        return False
    if kind in _ROWS:
        return not is_flat(value) and any(map(is_loose, value))
    if kind in _TABLES:
        return any(map(is_loose, value)) or is_loose(list(value.values()))
    return not isinstance(value, (Indexable, type, Enum, FunctionType, BuiltinFunctionType))


def is_flat(values: Iterable[object]) -> bool:
    """Whether all values are immutable and hold no others. This is quick: it may be a list of a million numbers."""
    return FLAT.issuperset(map(type, values))


FLAT = frozenset({
    *SCALARS, range, type(...), dt.date, dt.time, dt.datetime, dt.timedelta,
    pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.PosixPath, pathlib.WindowsPath,
})  # fmt: skip
_FIXED = FLAT | {bytearray}  # which `copied` copies
_ROWS = frozenset({list, tuple, set, frozenset, FutureList})
_TABLES = frozenset({dict, FutureDict})


class KeyRules(NamedTuple):
    """Which arguments of a class do not count in its keys.

    Attributes:
        ignored: parameters that never count.
        since: parameter → canonical text of the value at which it does not count, because its absence meant that value.
    """

    ignored: frozenset[str]
    since: Mapping[str, str]

    def leave_out(self, texts: dict[str, str]) -> None:
        """Remove from `texts`, by parameter, those with the value that their absence meant."""
        for name, text in self.since.items():
            if texts.get(name) == text:
                del texts[name]


_known: WeakKeyDictionary[type, KeyRules] = WeakKeyDictionary()


def rules_of(cls: type) -> KeyRules:
    """The rules of the class and its bases. BuildError if they name something that is not a parameter of `__init__`.

    Called first when the first instance is built: before that, `@dataclass` may not have written `__init__` yet.
    """
    found = _known.get(cls)
    if found is None:
        _check_names(cls, signature(cls).parameters)
        found = _known[cls] = KeyRules(frozenset(_ignored(cls)), _since(cls))
    return found


def check_class(cls: type) -> None:
    """Raise BuildError or UnnamableValue for errors in the three attributes that can be seen at this time."""
    pinned_name(cls)
    _ignored(cls)
    _since(cls)
    if "__init__" in vars(cls):
        _check_names(cls, list(inspected(vars(cls)["__init__"]).parameters)[1:])


def pinned_name(cls: type) -> str | None:
    """What the class is to be called. Its own only: an heir is another task, with results of its own."""
    name: str | None = vars(cls).get("task_pinned_name")
    return name


def _ignored(cls: type) -> Collection[str]:
    names: str | Collection[str] = getattr(cls, "task_ignored_args", ())
    return (names,) if isinstance(names, str) else names


def _since(cls: type) -> dict[str, str]:
    """An old meaning stays true in a subclass, so each class adds to those of its bases."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        given = vars(base).get("task_default_since", {})
        for name, value in given.items():
            found[name] = canonical_text(key_form(value, f"task_default_since {name!r} of {base.__qualname__}"))
    return found


def _check_names(cls: type, parameters: Collection[str]) -> None:
    for attribute, name in _own_names(cls):
        if name not in parameters:
            hint = did_you_mean(name, parameters) or f". It has {', '.join(parameters) or 'none'}"
            raise BuildError(f"{attribute} of {cls.__qualname__}: {name!r} is not a parameter of its __init__{hint}")


def _own_names(cls: type) -> Iterator[tuple[str, str]]:
    """Only those of the class itself: inherited ones may name parameters that its own `__init__` does not have."""
    if "task_ignored_args" in vars(cls):
        yield from (("task_ignored_args", name) for name in _ignored(cls))
    yield from (("task_default_since", name) for name in vars(cls).get("task_default_since", {}))
