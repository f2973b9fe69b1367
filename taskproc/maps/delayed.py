"""Objects that are made later, once in each worker: the class is marked, the arguments are remembered.

    @delayed_init
    class Model:
        def __init__(self, device): ...
        def __call__(self, item): ...

    Pool([Model("cuda:0"), Model("cuda:1")])
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, ParamSpec, TypeVar

from taskproc.modules import is_findable, runs_as_main

P = ParamSpec("P")
T = TypeVar("T")
_NOT_YET = object()


class Delayed(Generic[T]):
    """What an object is to be made of. Called, it makes its object, once, and calls that."""

    def __init__(self, marked: DelayedClass[Any, T], args: tuple[object, ...], kwargs: Mapping[str, object]):
        self.marked, self.args, self.kwargs = marked, args, dict(kwargs)
        self._made: Any = _NOT_YET

    def make(self) -> T:
        """A new object."""
        return self.marked.cls(*self.args, **self.kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._made is _NOT_YET:
            self._made = self.make()
        return self._made(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return Delayed, (self.marked, self.args, self.kwargs)

    def __repr__(self) -> str:
        arguments = [*map(repr, self.args), *(f"{name}={value!r}" for name, value in self.kwargs.items())]
        return f"{self.marked.__name__}({', '.join(arguments)})"


class DelayedClass(Generic[P, T]):
    """A class that was marked: called, it remembers the arguments. The class itself is `cls`."""

    def __init__(self, cls: Callable[P, T]):
        self.cls = cls
        self.__module__ = cls.__module__
        self.__name__ = cls.__name__
        self.__qualname__ = cls.__qualname__
        self.__doc__ = cls.__doc__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Delayed[T]:
        return Delayed(self, args, kwargs)

    def __reduce__(self) -> str | tuple[Any, ...]:
        # The name leads to the mark, not to the class, so by its own name the class could not be found again
        if is_findable(self) and not runs_as_main(self):
            return self.__qualname__
        return DelayedClass, (self.cls,)


def delayed_init(cls: Callable[P, T]) -> DelayedClass[P, T]:
    """Mark a class, so that its objects are made in the workers: `Pool(Model("cuda:0"), 1)`.

    Each worker makes its own, when it is given its first item, and keeps it as long as it lives.
    """
    if not callable(cls):
        raise TypeError(f"delayed_init marks a class, got {cls!r}")
    return DelayedClass(cls)


def made(worker: Callable[..., object]) -> Callable[..., object]:
    """The worker itself, or the object of a delayed one, created now. Raises what creating it raises."""
    created: Any = worker.make() if isinstance(worker, Delayed) else worker
    if not callable(created):
        raise TypeError(f"{worker!r} created a {type(created).__name__}, which has no __call__")
    return created  # type: ignore[no-any-return]  # just asked


def close_method(worker: object) -> Callable[[], object] | None:
    """The method `close` of a worker, if it has one."""
    # A class may be the function of a map, and has `close` only for its instances
    close = None if isinstance(worker, type) else getattr(worker, "close", None)
    return close if callable(close) else None


def may_close(worker: object) -> bool:
    """Whether a worker, or what a delayed one will create, may have a method `close`."""
    if not isinstance(worker, Delayed):
        return close_method(worker) is not None
    cls = worker.marked.cls
    return not isinstance(cls, type) or hasattr(cls, "close")  # an object of a class may get it later, but rarely does
