"""Values, code and exceptions on their way between processes and into caches: one pickler, one unpickler, one rule.

The rule is about definitions: classes, functions and their wrappers.

- A definition that the receiver can import is pickled by its name, as pickle does.
- A definition of the script or notebook that runs as `__main__` cannot be imported without running the script. By
  default it is pickled by value (see by_value.py). If the receiver has it under another name, the caller gives the rule
  that names it: `portable_name` for results and exceptions, which outlive the process; `name_for` for values that go
  back to the process that sent the definition.
- A definition without a name that leads to it, such as a lambda, is pickled by value.

An exception is sent as itself if a round trip gives the same class, text and attributes, and otherwise as a
description; the exceptions that caused it are sent too. Pickle would rebuild an exception by calling its class with
`args`, which are not always the parameters of `__init__`, and would lose what is in slots. So if the user's class does
not say how it is pickled, it is rebuilt without calling its `__init__`.
"""
from __future__ import annotations

import functools
import io
import itertools
import pickle
import weakref
from collections.abc import Callable, Iterator, Mapping
from types import CodeType
from typing import Any, Protocol

from taskproc.attributes import filled_slots
from taskproc.by_value import DEFINITIONS, keep_qualname, reduced_code, reduced_wrapper
from taskproc.errors import RemoteError, RemoteTraceback
from taskproc.modules import MAIN_NAMES, find_object, is_findable, is_renamed, main_name, object_name
from taskproc.text import exception_text, printable_lines, shortened

LARGEST_ERROR = 1_000_000  # bytes of a pickle
MOST_LINKS = 8             # of a chain of causes

Reduce = Callable[[Any], Any]
NameOf = Callable[[Any], "str | None"]

_PACKAGE = f"{__name__.partition('.')[0]}."
_sender_main = "__main__"
_filled: weakref.WeakSet[type] = weakref.WeakSet()  # classes that were received by value


class Target(Protocol):
    """A pickle is written to it in pieces; large buffers as they lie in memory, valid only during the call."""

    def write(self, piece: Any, /) -> object:
        """Take a bytes-like piece."""
        ...


def dumps(value: object, *, reduce: Reduce | None = None, name_of: NameOf | None = None) -> bytes:
    """A pickle of `value`. Raises whatever the classes in it raise.

    The first call imports cloudpickle, 28 ms.

    Args:
        reduce: may answer for an object before all others, as `__reduce__` would; NotImplemented leaves it to them.
        name_of: `module:qualname` of a definition, or None if it is to be pickled in the usual way.
    """
    target = io.BytesIO()
    dump(value, target, reduce=reduce, name_of=name_of)
    return target.getvalue()


def dump(
    value: object,
    target: Target,
    *,
    reduce: Reduce | None = None,
    name_of: NameOf | None = None,
    with_cells: bool = True,
) -> None:
    """Write a pickle of `value` to `target`; else as `dumps`. `with_cells`: as for `by_value.reduced_code`."""
    _pickler_class()(target, reduce, name_of, with_cells).dump(value)


def plain_dumps(value: object, reduce: Reduce) -> bytes:
    """A pickle of a value whose parts plain pickle knows, at half of the time that `dumps` takes.

    Args:
        reduce: is asked about each class, function and instance of a class. It raises if plain pickle would not do.
    """
    target = io.BytesIO()
    pickler: Any = _PlainPickler(target, 5)
    pickler.reducer_override = reduce
    pickler.dump(value)
    return target.getvalue()


def load(content: bytes | memoryview) -> object:
    """The value of a pickle from another process. Definitions of its `__main__` and of ours are found by real name."""
    return _Unpickler(io.BytesIO(content)).load()


def set_sender(main: str) -> None:
    """Say how the `__main__` of the process that sends us pickles is really called."""
    global _sender_main  # a process gets jobs from one other process
    _sender_main = main


def portable_name(definition: Any) -> str | None:
    """The name by which other processes find a definition of `__main__`; None if its own name does, or none does."""
    return object_name(definition) if is_renamed(definition) and is_findable(definition) else None


def name_for(main: str) -> NameOf:
    """The rule for values that go back to a process whose `__main__` is called `main`, and sent us its definitions."""

    def name_of(definition: Any) -> str | None:
        # No name leads to a definition in <locals>, to a <lambda>, or to a wrapper without a name
        qualname = getattr(definition, "__qualname__", "<")
        return f"{main}:{qualname}" if definition.__module__ in MAIN_NAMES and "<" not in qualname else None

    return name_of


def pack_error(error: BaseException) -> bytes:
    """`error` and the chain of its causes as bytes. Never raises."""
    links = [(name, _pickled_error(link), error_text(link)) for name, link in _chain(error)]
    return pickle.dumps(links, protocol=5)


def unpack_error(content: bytes, traceback: str = "") -> BaseException | None:
    """The exception that was packed, with `traceback` as its last cause; None if these are other bytes."""
    try:
        links: Any = load(content)
        errors = [(name, _loaded_error(inner) or RemoteError(text)) for name, inner, text in links]
    except Exception:  # noqa: BLE001  # pickle may raise anything on foreign bytes
        return None
    for (_, error), (name, cause) in itertools.pairwise(errors):
        object.__setattr__(error, name, cause)  # not setattr: a frozen dataclass refuses it
    append_traceback(errors[-1][1], traceback)
    return errors[0][1]


def append_traceback(error: BaseException, traceback: str) -> None:
    """Make the text of a traceback from another process the cause of `error`."""
    if traceback and not isinstance(error, RemoteTraceback):
        object.__setattr__(error, "__cause__", RemoteTraceback(traceback))


def error_text(error: BaseException) -> str:
    """`ValueError: its text` with all its lines, without control characters; shortened if it is very long."""
    text = f"{type(error).__name__}: {exception_text(error)}".removesuffix(": ")
    return printable_lines(shortened(text))


@functools.cache
def _pickler_class() -> Any:
    import cloudpickle  # here: 28 ms, and not needed for plain data

    class Pickler(cloudpickle.CloudPickler):  # type: ignore[misc]  # cloudpickle is untyped
        """cloudpickle with the rule of this module."""

        def __init__(self, target: Target, reduce: Reduce | None, name_of: NameOf | None, with_cells: bool):
            super().__init__(target, protocol=5)
            self._reduce, self._name_of, self._with_cells = reduce, name_of, with_cells

        def reducer_override(self, obj: Any) -> Any:
            if self._reduce is not None and (answer := self._reduce(obj)) is not NotImplemented:
                return answer
            if type(obj) is CodeType:
                return reduced_code(obj, self.dispatch_table[CodeType](obj), with_cells=self._with_cells)
            if isinstance(obj, DEFINITIONS):
                if self._name_of is not None and (name := self._name_of(obj)) is not None:
                    return find_object, (name,)
                if (reduced := reduced_wrapper(obj)) is not NotImplemented:
                    return reduced
            reduced = super().reducer_override(obj)
            if isinstance(obj, type):
                keep_qualname(obj, reduced)
            return reduced

    return Pickler


class _PlainPickler(pickle.Pickler):
    """A pickler that can have attributes."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if module.startswith(_PACKAGE):  # most of what is sent, and never run as a script
            ours: object = super().find_class(module, name)
            return ours
        if name == "_class_setstate":
            return _fill_class
        if module in MAIN_NAMES:
            module = _sender_main
        if module == main_name():
            module = "__main__"
        definition: object = super().find_class(module, name)
        return definition


def _fill_class(cls: type, state: tuple[Mapping[str, object], object]) -> type:
    """Fill a class that was sent by value, but not one of this process that came back.

    cloudpickle recognizes that one, and would replace its methods by copies that do not see the variables here.
    """
    import cloudpickle.cloudpickle as pickler

    is_whole = state[0].keys() - {"__qualname__"} <= vars(cls).keys() and cls.__doc__ == state[0].get("__doc__")
    if is_whole and cls not in _filled:
        return cls
    _filled.add(cls)
    filled: type = pickler._class_setstate(cls, state)
    return filled


def _chain(error: BaseException) -> Iterator[tuple[str, BaseException]]:
    """`error`, its cause or context, the cause of that, and so on, each with the attribute that led to it."""
    name, seen = "", set[int]()
    while id(error) not in seen and len(seen) < MOST_LINKS:
        yield name, error
        seen.add(id(error))
        name = "__context__" if error.__cause__ is None else "__cause__"
        cause = getattr(error, name)
        if cause is None or (name == "__context__" and error.__suppress_context__):
            return
        error = cause


def _pickled_error(error: BaseException) -> bytes | None:
    """`error` as bytes, if an exception with the same class, text and attributes can be made of them."""
    try:
        content = dumps(error, reduce=_reduced_error, name_of=portable_name)
        is_faithful = len(content) <= LARGEST_ERROR and _features(load(content)) == _features(error)
    except Exception:  # noqa: BLE001  # code of the user's classes runs; the text is sent in any case
        return None
    return content if is_faithful else None


def _features(error: Any) -> tuple[object, ...]:
    return type(error), exception_text(error), len(error.args), sorted(vars(error)), sorted(dict(filled_slots(error)))


def _loaded_error(content: bytes | None) -> BaseException | None:
    if content is None:
        return None
    try:
        error = load(content)
    except Exception:  # noqa: BLE001  # its module may not be importable here; the text was sent in any case
        return None
    return error if isinstance(error, BaseException) else None


def _reduced_error(error: Any) -> Any:
    """How to pickle an exception of a class of the user's that does not say so itself; else NotImplemented."""
    if not isinstance(error, BaseException):
        return NotImplemented
    cls = type(error)
    owner = next(base for base in cls.__mro__ if "__reduce__" in vars(base) or "__reduce_ex__" in vars(base))
    if cls.__module__ == "builtins" or owner.__module__ != "builtins":
        return NotImplemented
    reduced: Any = error.__reduce__()
    return _rebuilt_error, (cls, reduced[1], {**vars(error), **dict(filled_slots(error))})


def _rebuilt_error(cls: type[BaseException], args: tuple[object, ...], state: Mapping[str, object]) -> BaseException:
    """An exception as it was, without calling its own `__init__`."""
    error = cls.__new__(cls, *args)
    builtin = next(base for base in cls.__mro__ if base.__module__ == "builtins")
    builtin.__init__(error, *args)  # type: ignore[misc]  # Python's own exceptions keep some arguments elsewhere
    for name, value in state.items():
        object.__setattr__(error, name, value)
    return error
