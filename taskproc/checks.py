"""Checks of numbers that the user gives, with one wording for each."""
from __future__ import annotations

from taskproc.errors import OptionError


def at_least(value: object, least: int, name: str) -> int:
    """Return `value` if it is an int of at least `least`; else raise OptionError, which calls it `name`."""
    # True is an int in Python, but where a number is expected it is a mistake
    if isinstance(value, bool) or not isinstance(value, int):
        raise OptionError(f"{name} must be an int, got {value!r} ({type(value).__name__})")
    if value < least:
        raise OptionError(f"{name} must be at least {least}, got {value!r}")
    return value


def positive_seconds(value: object, name: str) -> float | None:
    """Return `value` if it is None or a time above zero; else raise OptionError, which calls it `name`."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise OptionError(f"{name} must be a number of seconds above zero, got {value!r}")
    return float(value)
