"""An exception across a border: as itself where a round trip shows the same, else as a description; its causes, too.

Pickle rebuilds an exception by calling its class with `args`, which are not always what `__init__` takes, and forgets
what stands in slots. So one of the user's classes, if it does not say itself how, is rebuilt past its own `__init__`.
"""
from __future__ import annotations

import functools
import io
import itertools
import pickle
from collections.abc import Iterator
from typing import Any

from taskproc.attributes import filled_slots
from taskproc.by_value import DEFINITIONS, pickler_class
from taskproc.modules import MAIN_NAMES, find_object, main_name
from taskproc.run.setup import load
from taskproc.text import printable_lines, shortened, text_of

LARGEST = 1_000_000  # bytes of a pickle
MOST_LINKS = 8       # of a chain of causes


class RemoteError(RuntimeError):
    """Stands for an exception that could not be brought over from another process; says its class and its text."""


class RemoteTraceback(Exception):
    """The last cause of what was raised in another process: the traceback as it was there, in words."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


def pack(error: BaseException) -> bytes:
    """`error` and the chain of its causes as bytes. Never raises."""
    links = [(name, _pickled(each), describe(each)) for name, each in _chain(error)]
    return pickle.dumps(links, protocol=5)


def unpack(content: bytes, traceback: str = "") -> BaseException | None:
    """What was packed, with `traceback` as its last cause; None if these are no such bytes."""
    try:
        links: Any = load(content)
        errors = [(name, _loaded(inner) or RemoteError(text)) for name, inner, text in links]
    except Exception:  # noqa: BLE001  # whatever foreign bytes make of pickle
        return None
    for (_, error), (name, other) in itertools.pairwise(errors):
        object.__setattr__(error, name, other)  # not setattr: a frozen dataclass refuses it
    return hang(errors, traceback)


def hang(errors: list[tuple[str, BaseException]], traceback: str) -> BaseException:
    """The first of a chain, after the traceback was made the cause of the last."""
    last = errors[-1][1]
    if traceback and not isinstance(last, RemoteTraceback):
        object.__setattr__(last, "__cause__", RemoteTraceback(traceback))
    return errors[0][1]


def describe(error: BaseException) -> str:
    """`ValueError: its text`, all lines of it, harmless; cut if it is very long."""
    text = f"{type(error).__name__}: {text_of(error)}".removesuffix(": ")
    return printable_lines(shortened(text))


def _chain(error: BaseException) -> Iterator[tuple[str, BaseException]]:
    """`error`, its cause or context, the cause of that …, each with the attribute that led to it."""
    name, seen = "", set[int]()
    while id(error) not in seen and len(seen) < MOST_LINKS:
        yield name, error
        seen.add(id(error))
        name = "__context__" if error.__cause__ is None else "__cause__"
        other = getattr(error, name)
        if other is None or (name == "__context__" and error.__suppress_context__):
            return
        error = other


def _pickled(error: BaseException) -> bytes | None:
    """`error` as bytes, if what they give back is the same by class, text and attributes."""
    try:
        target = io.BytesIO()
        _pickler()(target, protocol=5).dump(error)
        content = target.getvalue()
        faithful = len(content) <= LARGEST and _looks(load(content)) == _looks(error)
    except Exception:  # noqa: BLE001  # the user's classes take part; the text is told in any case
        return None
    return content if faithful else None


def _looks(error: Any) -> tuple[object, ...]:
    return type(error), text_of(error), len(error.args), sorted(vars(error)), sorted(dict(filled_slots(error)))


def _loaded(content: bytes | None) -> BaseException | None:
    if content is None:
        return None
    try:
        error = load(content)
    except Exception:  # noqa: BLE001  # its module may not import here; the text is told in any case
        return None
    return error if isinstance(error, BaseException) else None


def _made(cls: type[BaseException], args: tuple[object, ...], state: dict[str, object]) -> BaseException:
    """An exception as it was, without its own `__init__`; those of Python keep some of their arguments elsewhere."""
    error = cls.__new__(cls, *args)
    own = next(base for base in cls.__mro__ if base.__module__ == "builtins")
    own.__init__(error, *args)  # type: ignore[misc]  # that of the base is meant
    for name, value in state.items():
        object.__setattr__(error, name, value)
    return error


def _past_init(error: BaseException) -> object:
    """How to pickle an instance of a class of the user's that does not say itself how."""
    cls = type(error)
    owner = next(base for base in cls.__mro__ if "__reduce__" in vars(base) or "__reduce_ex__" in vars(base))
    if cls.__module__ == "builtins" or owner.__module__ != "builtins":
        return NotImplemented
    reduced: Any = error.__reduce__()
    return _made, (cls, reduced[1], {**vars(error), **dict(filled_slots(error))})


@functools.cache
def _pickler() -> Any:
    """Pickles by value, but classes of `__main__` go by their real name, so that `except` knows them again."""
    by_value: Any = pickler_class()

    class Pickler(by_value):  # type: ignore[misc]  # made when it is asked for
        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, DEFINITIONS) and obj.__module__ in MAIN_NAMES:
                name = f"{main_name()}:{obj.__qualname__}"
                if main_name() not in MAIN_NAMES and _leads_to(name, obj):
                    return find_object, (name,)
            reduced = _past_init(obj) if isinstance(obj, BaseException) else NotImplemented
            return super().reducer_override(obj) if reduced is NotImplemented else reduced

    return Pickler


def _leads_to(name: str, obj: object) -> bool:
    try:
        return find_object(name) is obj
    except (ImportError, AttributeError):
        return False
