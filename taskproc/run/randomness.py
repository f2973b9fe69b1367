"""The random generators that libraries share: after a job that seeded them they begin afresh, from the system.

Each worker is a fresh interpreter, so no two begin alike; a job that seeds `random`, NumPy or torch would let all jobs
after it draw the same numbers, on whichever worker they run. To put the old state back would be no better: two jobs
that draw would draw the same. A job that draws without seeding changes nothing for others.
"""
from __future__ import annotations

import sys
from typing import Any


class Randomness:
    """Those of this process. What was seeded by an import stays until a job seeds."""

    def __init__(self) -> None:
        self._watched: Any = _watched(sys.modules.get("random"))
        if self._watched is not None:
            self._watched.seeded = False
        self._numpy = _of_numpy()
        self._torch = _of_torch()

    def begin_afresh(self) -> None:
        """Seed again what a job has seeded; what was loaded by a job may have been."""
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
    """The shared generator of `random`, which from now on notes that it was seeded.

    To compare its state would take 10 µs a job. Whatever seeds it, or puts a state in, also sets `gauss_next`.
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
    """The end of the state of NumPy's shared generator, which no two seeds and no draw leave as it is."""
    module = sys.modules.get("numpy.random.mtrand")
    if module is None:
        return None
    generator = module._rand._bit_generator
    known = _views.get(id(generator))
    if known is None or known[0] is not generator:
        _views.clear()
        known = _views[id(generator)] = generator, _view(generator)
    return known[1].raw if known[1] is not None else repr(generator.state)


_views: dict[int, tuple[Any, Any]] = {}


def _view(generator: Any) -> Any:
    """Its last two words and its position, in place: to ask for the state would copy all of it, in 30 µs."""
    if type(generator).__name__ != "MT19937":
        return None
    import ctypes  # NumPy has loaded it

    return (ctypes.c_char * 12).from_address(generator.ctypes.state_address + 622 * 4)


def _of_torch() -> Any:
    torch = sys.modules.get("torch")
    return None if torch is None or not hasattr(torch, "initial_seed") else torch.initial_seed()
