"""Warnings, once for the name of each class or function."""
from __future__ import annotations

_told: set[str] = set()


def warn_bytecode(name: str) -> None:
    """Say that the source of a function was not found; of those of a class only once."""
    owner = name.rpartition(".")[0] or name
    if owner in _told:
        return
    _told.add(owner)
    import logging  # here: 3 ms, and seldom needed

    logging.getLogger("taskproc").warning(
        "%s: its source was not found as it was loaded, so its bytecode counts, which is not the same on every Python",
        owner,
    )
