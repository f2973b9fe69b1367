"""Settings and random generators that libraries share in a whole process: put back, or seeded again, after each job.

No library is imported for this. A library that a job was the first to import gets the settings that it had right after
its import, as far as they are known here.

Random generators are not put back, or two jobs that draw would draw the same numbers. Each worker is a fresh
interpreter, so no two begin alike. But a job that seeds `random`, NumPy or torch would let all later jobs draw the same
numbers, on whichever worker they run: so after such a job the generators are seeded from the system. A job that draws
without seeding changes nothing for others.
"""
from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


class Libraries:
    """Settings of libraries other than their variables, as they are now, or right after the import."""

    def __init__(self) -> None:
        loaded = sys.modules.get
        self._decimals = _decimals(loaded("decimal"))
        self._logging = _logging(loaded("logging"))
        self._start_method = _start_method(loaded("multiprocessing.context"))
        self._field_limit = _field_limit(loaded("_csv"))
        self._printing = dict(_printing())
        self._loop = dict(_loop())

    def restore(self) -> None:
        """Put the settings back."""
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
        for current, saved in ((_printing(), self._printing), (_loop(), self._loop)):
            if current != saved:
                current.clear()
                current.update(saved)


_DECIMALS = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp", "traps")


def _decimals(decimal: Any) -> tuple[Any, ...] | None:
    """Return the context that threads begin with, as a tuple."""
    if decimal is None:
        return None
    first = decimal.DefaultContext
    return first.prec, first.rounding, first.Emin, first.Emax, first.capitals, first.clamp, first.traps.copy()


def _decimals_at_first(decimal: Any) -> tuple[Any, ...]:
    on = (decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow)
    traps = {flag: flag in on for flag in decimal.DefaultContext.traps}
    return 28, decimal.ROUND_HALF_EVEN, -999999, 999999, 1, 0, traps


def _logging(logging: Any) -> tuple[int, int, list[Any], list[Any]]:
    """Return the state of the root logger: handlers that a job adds there would get messages of later jobs."""
    if logging is None:
        return 30, 0, [], []
    root = logging.root
    return root.level, root.manager.disable, root.handlers[:], root.filters[:]


def _start_method(context: Any) -> Any:
    return None if context is None else context._default_context._actual_context


def _field_limit(csv: Any) -> int:
    return 131072 if csv is None else csv.field_size_limit()


def _printing() -> dict[str, Any]:
    """Return how NumPy prints, if it stores that in a dict; later versions use the context."""
    module = sys.modules.get("numpy.core.arrayprint") or sys.modules.get("numpy._core.arrayprint")
    options: dict[str, Any] = getattr(module, "_format_options", {})
    return options


def _loop() -> dict[str, Any]:
    """Return the variables that hold the current event loop, if the policy stores it per thread."""
    policy = getattr(sys.modules.get("asyncio.events"), "_event_loop_policy", None)
    local = getattr(policy, "_local", None)
    return {} if local is None else vars(local)


# ---------------------------------------------------------------- random generators


class Randomness:
    """The shared generators of this process. A seed that an import set stays until a job seeds."""

    def __init__(self) -> None:
        self._watched: Any = _watched(sys.modules.get("random"))
        if self._watched is not None:
            self._watched.seeded = False
        self._numpy = _of_numpy()
        self._torch = _of_torch()

    def begin_afresh(self) -> None:
        """Seed the generators that a job has seeded, or whose library it has imported."""
        if (module := sys.modules.get("random")) is not None and (self._watched is None or self._watched.seeded):
            module.seed()
            self._watched = _watched(module)
            self._watched.seeded = False
        if _of_numpy() != self._numpy:
            sys.modules["numpy.random"].seed()
            self._numpy = _of_numpy()
        if _of_torch() != self._torch:
            sys.modules["torch"].seed()
            self._torch = _of_torch()


def _watched(module: Any) -> Any:
    """Return the shared generator of `random`, changed so that it notes when it is seeded.

    To compare its state would take 10 µs per job. All that seeds it, or sets its state, also sets `gauss_next`.
    """
    if module is None:
        return None
    generator = module._inst
    if not hasattr(type(generator), "seeded"):
        generator.__class__ = _noting(type(generator))
    return generator


def _noting(kind: type[Any]) -> type[Any]:
    def get(self: Any) -> Any:
        return vars(self)["gauss_next"]

    def put(self: Any, value: Any) -> None:
        vars(self)["gauss_next"] = value
        vars(self)["noted"] = True

    def seeded(self: Any) -> bool:
        return bool(vars(self).get("noted"))

    def forget(self: Any, value: bool) -> None:
        vars(self)["noted"] = value

    names = {"gauss_next": property(get, put), "seeded": property(seeded, forget), "__module__": kind.__module__}
    return type(kind.__name__, (kind,), {**names, "__reduce__": lambda self: (kind, (), self.getstate())})


def _of_numpy() -> Any:
    """Return the end of the state of NumPy's shared generator, which every seed and every draw changes."""
    module = sys.modules.get("numpy.random.mtrand")
    if module is None:
        return None
    generator = module._rand._bit_generator
    view = _views.get(id(generator))
    if view is None or view[0] is not generator:
        _views.clear()
        view = _views[id(generator)] = generator, _view(generator)
    return view[1].raw if view[1] is not None else repr(generator.state)


_views: dict[int, tuple[Any, Any]] = {}


def _view(generator: Any) -> Any:
    """Return its last two words and its position, in place: reading the state would copy all of it, in 30 µs."""
    if type(generator).__name__ != "MT19937":
        return None
    import ctypes  # NumPy has loaded it

    return (ctypes.c_char * 12).from_address(generator.ctypes.state_address + 622 * 4)


def _of_torch() -> Any:
    torch = sys.modules.get("torch")
    return None if torch is None or not hasattr(torch, "initial_seed") else torch.initial_seed()
