"""Settings that libraries keep for a whole process, where a job changes them: decimals, loggers, loops and the like.

No library is imported for this. One that a job was the first to import is put back to its state right after it was
imported, as far as that is known here.
"""
from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


class Libraries:
    """Settings of libraries that are not their variables, as they are now, or right after the import."""

    def __init__(self) -> None:
        loaded = sys.modules.get
        self._decimals = _decimals(loaded("decimal"))
        self._logging = _logging(loaded("logging"))
        self._start_method = _start_method(loaded("multiprocessing.context"))
        self._field_limit = _field_limit(loaded("_csv"))
        self._printing = dict(_printing())
        self._loop = dict(_loop())

    def restore(self) -> None:
        """Put them back."""
        loaded: Callable[[str], Any] = sys.modules.get
        if (decimal := loaded("decimal")) is not None and _decimals(decimal) != self._decimals:
            self._decimals = self._decimals or _decimals_at_first(decimal)
            for name, value in zip(_DECIMALS, self._decimals):
                setattr(decimal.DefaultContext, name, value)
        if (logging := loaded("logging")) is not None and _logging(logging) != self._logging:
            level, logging.root.manager.disable, logging.root.handlers[:], logging.root.filters[:] = self._logging
            logging.root.setLevel(level)
        if (context := loaded("multiprocessing.context")) is not None:
            context._default_context._actual_context = self._start_method
        if (csv := loaded("_csv")) is not None and csv.field_size_limit() != self._field_limit:
            csv.field_size_limit(self._field_limit)
        for now, kept in ((_printing(), self._printing), (_loop(), self._loop)):
            if now != kept:
                now.clear()
                now.update(kept)


_DECIMALS = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp", "traps")


def _decimals(decimal: Any) -> tuple[Any, ...] | None:
    """The context that threads begin with, a variable like any other."""
    if decimal is None:
        return None
    some = decimal.DefaultContext
    return some.prec, some.rounding, some.Emin, some.Emax, some.capitals, some.clamp, some.traps.copy()


def _decimals_at_first(decimal: Any) -> tuple[Any, ...]:
    on = (decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow)
    traps = {flag: flag in on for flag in decimal.DefaultContext.traps}
    return 28, decimal.ROUND_HALF_EVEN, -999999, 999999, 1, 0, traps


def _logging(logging: Any) -> tuple[int, int, list[Any], list[Any]]:
    """The root of all loggers: what a job hung there would get what later ones log."""
    if logging is None:
        return 30, 0, [], []
    root = logging.root
    return root.level, root.manager.disable, root.handlers[:], root.filters[:]


def _start_method(context: Any) -> Any:
    return None if context is None else context._default_context._actual_context


def _field_limit(csv: Any) -> int:
    return 131072 if csv is None else csv.field_size_limit()


def _printing() -> dict[str, Any]:
    """How NumPy prints, where it keeps that in a dict; later versions have it in the context."""
    module = sys.modules.get("numpy.core.arrayprint") or sys.modules.get("numpy._core.arrayprint")
    found: dict[str, Any] = getattr(module, "_format_options", {})
    return found


def _loop() -> dict[str, Any]:
    """The event loop that is set, closed perhaps, where the policy keeps it by thread."""
    policy = getattr(sys.modules.get("asyncio.events"), "_event_loop_policy", None)
    local = getattr(policy, "_local", None)
    return {} if local is None else vars(local)
