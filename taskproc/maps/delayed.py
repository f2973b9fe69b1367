"""delayed_init: objects that each worker creates for itself, from the arguments that were passed to the class.

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
    """A class and the arguments for its object. When called, it creates the object once, and calls it."""

    def __init__(self, marked: DelayedClass[Any, T], args: tuple[object, ...], kwargs: Mapping[str, object]):
        self.marked, self.args, self.kwargs = marked, args, dict(kwargs)
        self._made: Any = _NOT_YET

    def make(self) -> T:
        """Create a new object."""
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
    """A decorated class: a call stores the arguments in a Delayed. The class itself is `cls`."""

    def __init__(self, cls: Callable[P, T]):
        self.cls = cls
        self.__module__ = cls.__module__
        self.__name__ = cls.__name__
        self.__qualname__ = cls.__qualname__
        self.__doc__ = cls.__doc__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Delayed[T]:
        return Delayed(self, args, kwargs)

    def __reduce__(self) -> str | tuple[Any, ...]:
        # The name of the class leads to this object, so pickle could not find the class by it
        if is_findable(self) and not runs_as_main(self):
            return self.__qualname__
        return DelayedClass, (self.cls,)


def delayed_init(cls: Callable[P, T]) -> DelayedClass[P, T]:
    """Decorate a class, so that its objects are created in the workers: `Pool(Model("cuda:0"), 1)`.

    Each worker creates its own object with its first item, and uses it for all items until the worker ends. If the
    object has a method `close()`, it is called then; see Pool.

    Raises:
        TypeError: `cls` cannot be called.
    """
    if not callable(cls):
        raise TypeError(f"delayed_init decorates a class, got {cls!r}")
    return DelayedClass(cls)


def made(worker: Callable[..., object]) -> Callable[..., object]:
    """The worker itself, or the object of a delayed one, created now. Raises what creating it raises."""
    created: Any = worker.make() if isinstance(worker, Delayed) else worker
    if not callable(created):
        raise TypeError(f"{worker!r} created a {type(created).__name__}, which has no __call__")
    return created  # type: ignore[no-any-return]  # see the test above


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
