"""Warnings, once for each class or function: of those that are made anew for each call, once for their name."""
from __future__ import annotations

import logging
import weakref
from types import FunctionType

logger = logging.getLogger("taskproc")

_told: set[str] = set()
_functions: weakref.WeakSet[FunctionType] = weakref.WeakSet()


def warn_bytecode(function: FunctionType, name: str) -> None:
    """Say that the source of a function was not found; of those of a class only once."""
    owner = name.rpartition(".")[0] or name
    if owner in _told or function in _functions:
        return
    _functions.add(function)
    _told.add(owner)
    logger.warning(
        "%s: its source was not found as it was loaded, so its bytecode counts, which is not the same on every Python",
        owner,
    )
