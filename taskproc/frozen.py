"""Frozen data: like `@dataclass(frozen=True, slots=True)`, in a twentieth of the time.

dataclasses compiles six functions per class and creates the class twice, which takes 0.4 ms; forty such classes were a
third of the import, here and in each worker. Here all classes share their functions, and the one that makes instances
is compiled for the first instance: most processes never make an instance of most classes.
"""
from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if sys.version_info >= (3, 11):
    from typing import dataclass_transform
elif TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_):
        return lambda function: function


T = TypeVar("T")
_FIELDS = "__frozen_fields__"


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """Decorate a class whose annotations are its fields, those of its frozen bases first.

    Defaults are written as for dataclasses, also with `field(default_factory=...)`. Instances are compared, hashed,
    shown and pickled by their fields, have no other attributes, and cannot be changed: use `replace`. A subclass is
    decorated as well.
    """
    inherited: dict[str, object] = {}
    for base in reversed(cls.__mro__[1:]):
        inherited |= vars(base).get(_FIELDS, {})
    body = _SHARED | {name: value for name, value in vars(cls).items() if name not in ("__dict__", "__weakref__")}
    own = {name: body.pop(name, MISSING) for name in cls.__annotations__}
    names = (*inherited, *own)
    body |= {"__slots__": tuple(own), "__match_args__": names, _FIELDS: {**inherited, **own}}
    body["_frozen_values"] = attrgetter(*names) if names else staticmethod(lambda thing: ())
    metaclass: Any = type(cls)
    made: type[T] = metaclass(cls.__name__, cls.__bases__, body)
    return made


def replace(thing: T, **changes: Any) -> T:
    """A copy of a frozen instance with some of its fields changed."""
    values = {name: getattr(thing, name) for name in type(thing).__match_args__}  # type: ignore[attr-defined]
    return type(thing)(**{**values, **changes})


def _first_new(cls: Any, *args: object, **kwargs: object) -> Any:
    """The `__new__` of a class until its first instance is made: it creates the final one."""
    owner: Any = next(base for base in cls.__mro__ if _FIELDS in vars(base))
    owner.__new__ = staticmethod(_maker(owner))
    return cls(*args, **kwargs)


def _maker(cls: Any) -> Callable[..., Any]:
    """A `__new__` that takes the fields.

    It fills the slots by their descriptors, which no `__setattr__` stands in front of. Filling an instance of a class
    that is not frozen, and changing its `__class__`, is faster for many fields, but raises an audit event: 0.2 µs each
    where a hook is installed, and eleven for a task.
    """
    names: dict[str, Any] = {"_blank": object.__new__}
    parameters, body = ["_cls"], ["_self = _blank(_cls)"]
    for name, default in vars(cls)[_FIELDS].items():
        value = name
        if isinstance(default, Field) and default.default_factory is not MISSING:
            names[f"_make_{name}"] = default.default_factory
            default, value = None, f"_make_{name}() if {name} is _default_{name} else {name}"
            names[f"_default_{name}"] = object()
        elif default is not MISSING:
            names[f"_default_{name}"] = default
        names[f"_set_{name}"] = getattr(cls, name).__set__
        parameters.append(name if default is MISSING else f"{name}=_default_{name}")
        body.append(f"_set_{name}(_self, {value})")
    lines = [f"def __new__({', '.join(parameters)}):", *body, "return _self"]
    exec("\n    ".join(lines), names)  # noqa: S102  # it consists of names of fields
    made: Callable[..., Any] = names["__new__"]
    return made


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
    return f"{type(self).__qualname__}({shown})"


def _eq(self: Any, other: Any) -> Any:
    if type(other) is not type(self):
        return NotImplemented
    return self._frozen_values(self) == self._frozen_values(other)


def _hash(self: Any) -> int:
    return hash(self._frozen_values(self))


def _reduce(self: Any) -> tuple[object, ...]:
    return type(self), tuple(getattr(self, name) for name in self.__match_args__)


def _refuse(self: object, name: str, *_: object) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


_SHARED: dict[str, object] = {
    "__new__": _first_new,
    "__repr__": _repr,
    "__eq__": _eq,
    "__hash__": _hash,
    "__reduce__": _reduce,
    "__setattr__": _refuse,
    "__delattr__": _refuse,
}
