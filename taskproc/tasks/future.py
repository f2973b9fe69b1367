"""Futures: what a task may need. A value that is known already, one that a task computes, or a container of these.

`Future[T]` is the type for annotations. At run time, a future is recognized by the hidden base class `Upstream`,
because each check of a Protocol costs microseconds. Code of the library never tests `if future`: an empty FutureList is
falsy.
"""
from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, NoReturn, Protocol, TypeVar, overload

from taskproc.attributes import SCALARS
from taskproc.tasks.misuse import Operators, refuse_comparison
from taskproc.tasks.running_job import storing
from taskproc.values.encode import json_form, key_form
from taskproc.values.forms import REGISTRY

if TYPE_CHECKING:
    from typing_extensions import Never, Unpack

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
K = TypeVar("K")
V = TypeVar("V")

if TYPE_CHECKING:
    # Tuples in which one element has the type V
    First = tuple[V, Unpack[tuple[Any, ...]]]
    Second = tuple[Any, V, Unpack[tuple[Any, ...]]]
    Third = tuple[Any, Any, V, Unpack[tuple[Any, ...]]]
    Fourth = tuple[Any, Any, Any, V, Unpack[tuple[Any, ...]]]
    Fifth = tuple[Any, Any, Any, Any, V, Unpack[tuple[Any, ...]]]
    Last = tuple[Unpack[tuple[Any, ...]], V]


class HasResult(Protocol[T_co]):
    """An object that has a result."""

    def get_result(self) -> T_co: ...


class TypedDictLike(Protocol):
    """A TypedDict. Python has no type that maps its keys to their value types, so an element of it is Any."""

    __required_keys__: ClassVar[frozenset[str]]

    def keys(self) -> Any: ...


class Future(Protocol[T_co]):
    """A value of type T that is available once the tasks behind it are done. Index it to get a future of an element."""

    def get_result(self) -> T_co:
        """The value. Raises MissingResult if it is not computed yet."""
        ...

    def to_json(self) -> dict[str, Any]:
        """The future as a JSON dictionary."""
        ...

    # The first elements of a tuple, and the last one, have their own types. Sequences come before mappings, because in
    # the other order mypy does not accept a plain `Task` as a future
    @overload
    def __getitem__(self: HasResult[First[V]], key: Literal[0], /) -> Future[V]: ...
    @overload
    def __getitem__(self: HasResult[Second[V]], key: Literal[1], /) -> Future[V]: ...
    @overload
    def __getitem__(self: HasResult[Third[V]], key: Literal[2], /) -> Future[V]: ...
    @overload
    def __getitem__(self: HasResult[Fourth[V]], key: Literal[3], /) -> Future[V]: ...
    @overload
    def __getitem__(self: HasResult[Fifth[V]], key: Literal[4], /) -> Future[V]: ...
    @overload
    def __getitem__(self: HasResult[Last[V]], key: Literal[-1], /) -> Future[V]: ...
    @overload
    def __getitem__(self: HasResult[Sequence[V]], key: int, /) -> Future[V]: ...
    @overload
    def __getitem__(self: HasResult[TypedDictLike], key: str, /) -> Future[Any]: ...
    @overload
    def __getitem__(self: HasResult[Mapping[K, V]], key: K, /) -> Future[V]: ...
    # Without this overload, type checkers refuse each future whose result cannot be indexed
    @overload
    def __getitem__(self, key: Never, /) -> Any: ...


class Upstream:
    """The run-time base class of all futures. Not public: subclass Task, or use the classes below."""

    __slots__ = ()

    def _key_form(self) -> object:
        raise NotImplementedError

    def _json_form(self) -> object:
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """The future as a JSON dictionary."""
        form = self._json_form()
        assert isinstance(form, dict), "a future's form has a tag [this is a bug]"
        return form

    if not TYPE_CHECKING:

        def __reduce_ex__(self, protocol: int) -> Any:
            # Only while storing: futures are sent to workers, also as defaults of parameters of classes that are sent
            if storing.get():
                raise TypeError(f"{self!r} is a future: return its result (get_result()) rather than the future itself")
            return super().__reduce_ex__(protocol)


class Indexable(Operators, Upstream):
    """A future whose elements are futures too."""

    __slots__ = ()

    @overload
    def __getitem__(self: HasResult[First[V]], key: Literal[0], /) -> Future[V]: ...
    @overload
    def __getitem__(self: HasResult[Second[V]], key: Literal[1], /) -> Future[V]: ...
    @overload
    def __getitem__(self: HasResult[Third[V]], key: Literal[2], /) -> Future[V]: ...
    @overload
    def __getitem__(self: HasResult[Fourth[V]], key: Literal[3], /) -> Future[V]: ...
    @overload
    def __getitem__(self: HasResult[Fifth[V]], key: Literal[4], /) -> Future[V]: ...
    @overload
    def __getitem__(self: HasResult[Last[V]], key: Literal[-1], /) -> Future[V]: ...
    @overload
    def __getitem__(self: HasResult[Sequence[V]], key: int, /) -> Future[V]: ...
    @overload
    def __getitem__(self: HasResult[TypedDictLike], key: str, /) -> Future[Any]: ...
    @overload
    def __getitem__(self: HasResult[Mapping[K, V]], key: K, /) -> Future[V]: ...
    @overload
    def __getitem__(self, key: Never, /) -> Any: ...
    def __getitem__(self, key: Any, /) -> Any:
        return Item(self, key)

    if not TYPE_CHECKING:
        # With __getitem__ alone, Python would ask for elements 0, 1, 2 … without end
        def __iter__(self) -> NoReturn:
            raise TypeError(
                f"{self!r} is a future and cannot be iterated: it has no length before it is computed. "
                "In run_task, iterate over its .get_result()"
            )


class Const(Indexable, Generic[T_co]):
    """A future whose value is known already: `Const(0)`. Its value is part of the key of each task it is passed to.

    Raises UnnamableValue if the value has no canonical form (an open file, a model): make it the output of a task.
    """

    __slots__ = ("__weakref__", "_form", "_value")

    def __init__(self, value: T_co):
        self._form = key_form(value, "the value of Const")
        self._value = _own_copy(value)

    def get_result(self) -> T_co:
        """A copy of the value, so that no task sees what another one does to it."""
        return _own_copy(self._value)

    def _key_form(self) -> object:
        return {"__const__": self._form}

    def _json_form(self) -> object:
        return {"__const__": json_form(self._value, "the value of Const")}

    def __repr__(self) -> str:
        return f"Const({self._value!r})"


class Item(Indexable):
    """An element of a future: `future['key']`, `future[0]`."""

    __slots__ = ("__weakref__", "_form", "_key", "parent")

    def __init__(self, parent: Upstream, key: object):
        self.parent = parent
        self._form = key_form(key, "the index into a future")
        self._key = _own_copy(key)

    def get_result(self) -> Any:
        """The element. If there is none, raises what indexing raises: KeyError or IndexError."""
        container: Any = self.parent.get_result()  # type: ignore[attr-defined]  # every subclass has it
        return container[self._key]

    def __deepcopy__(self, memo: dict[Any, Any]) -> Item:
        parent = copy.deepcopy(self.parent, memo)
        if parent is self.parent:
            return self
        copied = object.__new__(Item)
        copied.parent, copied._form, copied._key = parent, self._form, self._key
        return copied

    def _key_form(self) -> object:
        return {"__item__": [self.parent._key_form(), self._form]}

    def _json_form(self) -> object:
        return {"__item__": [self.parent._json_form(), json_form(self._key, "an index")]}

    def __repr__(self) -> str:
        return f"{self.parent!r}[{self._key!r}]"


class FutureList(Upstream, list[Future[T]]):
    """A list of futures that is one future: a list in every way, whose result is the list of their results."""

    if not TYPE_CHECKING:

        def __init__(self, futures: Iterable[Future[T]] = ()):
            list.__init__(self, futures)

        # Where a list refuses an operand, Python's own message does not say that the list holds futures. As with a
        # list, the other operand is asked first

        def __add__(self, other: object) -> Any:
            return list.__add__(self, other) if isinstance(other, list) else NotImplemented

        def __mul__(self, count: object) -> Any:
            kind = type(count)
            is_count = issubclass(kind, int) or (hasattr(kind, "__index__") and not hasattr(kind, "__rmul__"))
            return list.__mul__(self, count) if is_count else NotImplemented

        __rmul__ = __mul__

        def __iadd__(self, other: object) -> Any:
            is_iterable = hasattr(type(other), "__iter__") or hasattr(type(other), "__getitem__")
            return list.__iadd__(self, other) if is_iterable else NotImplemented

        def __eq__(self, other: object) -> Any:
            _refuse_values(self, other, other if isinstance(other, list) else None)
            return list.__eq__(self, other)

        def __ne__(self, other: object) -> Any:
            _refuse_values(self, other, other if isinstance(other, list) else None)
            return list.__ne__(self, other)

    def get_result(self) -> list[T]:
        """The results, in order."""
        return [_result(future, f"element {index} of a FutureList") for index, future in enumerate(self)]

    def _key_form(self) -> object:
        return {"__futurelist__": [_element_form(future, index) for index, future in enumerate(self)]}

    def _json_form(self) -> object:
        return {"__futurelist__": [json_form(future, f"element {i} of a FutureList") for i, future in enumerate(self)]}

    def __repr__(self) -> str:
        return f"FutureList({list.__repr__(self)})"


class FutureDict(Upstream, dict[K, Future[T]]):
    """A dict of futures that is one future: a dict in every way, whose result is the dict of their results."""

    if not TYPE_CHECKING:

        def __eq__(self, other: object) -> Any:
            _refuse_values(self, other, other.values() if isinstance(other, dict) else None)
            return dict.__eq__(self, other)

        def __ne__(self, other: object) -> Any:
            _refuse_values(self, other, other.values() if isinstance(other, dict) else None)
            return dict.__ne__(self, other)

    def get_result(self) -> dict[K, T]:
        """The results by key, in the order of the dict."""
        return {key: _result(future, f"value of {key!r} in a FutureDict") for key, future in self.items()}

    def _key_form(self) -> object:
        return {"__futuredict__": key_form(dict(self), "a FutureDict")}

    def _json_form(self) -> object:
        return {"__futuredict__": json_form(dict(self), "a FutureDict")}

    def __repr__(self) -> str:
        return f"FutureDict({dict.__repr__(self)})"


def _refuse_values(container: Any, other: object, inside: Iterable[object] | None) -> None:
    """Raise TypeError if a running task compares futures with values: with `other`, or with those inside it."""
    if isinstance(other, Upstream):
        return
    for each in (other,) if inside is None else inside:
        refuse_comparison(container, each)


def _element_form(future: Any, index: int) -> object:
    if isinstance(future, Upstream) and type(future) not in REGISTRY:
        return future._key_form()  # the same as key_form, in half the time: there may be a million
    return key_form(future, f"element {index} of a FutureList")


def _result(future: Any, where: str) -> Any:
    if not isinstance(future, Upstream):
        raise TypeError(f"{where} is not a future (got {type(future).__name__}): wrap it in Const(...)")
    return future.get_result()  # type: ignore[attr-defined]  # every subclass has it


def _own_copy(value: T) -> T:
    return value if type(value) in SCALARS else copy.deepcopy(value)
