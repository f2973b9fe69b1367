"""How a pool is told what to do: how items become arguments, and what becomes of exceptions."""
from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

from taskproc.errors import OptionError

Call = Callable[[Any], object]


class ArgumentPassing(str, Enum):
    """How an item is passed on: as it is, as positional arguments (a sequence), or by name (a dict).

    The values may be given themselves: `argument_type='kwargs'`.
    """

    AS_SINGLE_ARG = "single_arg"
    AS_ARGS = "args"
    AS_KWARGS = "kwargs"


class ExceptionBehaviour(str, Enum):
    """What becomes of an item whose worker raised: see docs/maps.md.

    IGNORE gives the exception in place of the value. IMMEDIATE reads no more, lets what runs end, and raises it in its
    place. DEFERRED gives it in place of the value and raises all together at the end (ItemErrors).
    """

    IGNORE = "ignore"
    IMMEDIATE = "immediate"
    DEFERRED = "deferred"


_E = TypeVar("_E", bound=Enum)


def member(kind: type[_E], value: object, name: str) -> _E:
    """The member of an option's enum by itself or its value. Raises OptionError, which has the values."""
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(repr(each.value) for each in kind)
        raise OptionError(f"{name} must be one of {known}, got {value!r}") from None


def calls(worker: Callable[..., object], passing: ArgumentPassing) -> Call:
    """`worker` as a function of one item."""
    if passing is ArgumentPassing.AS_ARGS:
        return lambda item: worker(*item)
    if passing is ArgumentPassing.AS_KWARGS:
        return lambda item: worker(**item)
    return worker
