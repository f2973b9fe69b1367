"""Options of a map: how items become arguments, and what happens with exceptions."""
from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

from taskproc.errors import OptionError

Call = Callable[[Any], object]


class ArgumentPassing(str, Enum):
    """How an item is passed: as one argument, as positional arguments (a sequence), or by name (a dict).

    The values may be passed instead of the members: `argument_type='kwargs'`.
    """

    AS_SINGLE_ARG = "single_arg"
    AS_ARGS = "args"
    AS_KWARGS = "kwargs"


class ExceptionBehaviour(str, Enum):
    """What happens with the exception of an item; see docs/maps.md.

    IGNORE yields the exception in place of the value. IMMEDIATE reads no further item, lets running items end, and
    raises the exception after the values before it. DEFERRED yields it in place of the value, and raises all of them
    together at the end (ItemErrors).
    """

    IGNORE = "ignore"
    IMMEDIATE = "immediate"
    DEFERRED = "deferred"


_E = TypeVar("_E", bound=Enum)


def member(kind: type[_E], value: object, name: str) -> _E:
    """The member of an option's enum, from the member itself or its value. Raises OptionError with all values."""
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(repr(option.value) for option in kind)
        raise OptionError(f"{name} must be one of {known}, got {value!r}") from None


def calls(worker: Callable[..., object], passing: ArgumentPassing) -> Call:
    """`worker` as a function of one item."""
    if passing is ArgumentPassing.AS_ARGS:
        return lambda item: worker(*item)
    if passing is ArgumentPassing.AS_KWARGS:
        return lambda item: worker(**item)
    return worker
