"""Checks of the numbers that a user gives, with one wording for each."""
from __future__ import annotations

from taskproc.errors import OptionError


def at_least(value: object, least: int, name: str) -> int:
    """`value` if it is an int that is large enough; else OptionError. `name`: what the value is, for the message."""
    # True is an int to Python, but where a number is expected it is a slip of the pen
    if isinstance(value, bool) or not isinstance(value, int):
        raise OptionError(f"{name} must be an int, got {value!r} ({type(value).__name__})")
    if value < least:
        raise OptionError(f"{name} must be at least {least}, got {value!r}")
    return value


def seconds(value: object, name: str) -> float | None:
    """`value` if it is None or a time above zero; else OptionError. `name`: as for `at_least`."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise OptionError(f"{name} must be a number of seconds above zero, got {value!r}")
    return float(value)
