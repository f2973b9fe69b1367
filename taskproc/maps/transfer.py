"""Items and values on their way between processes: scalars as they are, everything else pickled one by one, at once.

At once, because a generator may use its buffer again, and a worker may return the same list each time: the receiver
gets an item as it was when it was sent, for chunks of any size. One by one, so that an item that cannot be sent fails
alone.

Definitions of the script or notebook that runs as `__main__` are sent to a worker by value, because the worker cannot
import the script without running it. They come back by name, so that results are instances of the script's own classes.
"""
from __future__ import annotations

import pickle
from typing import Any, NoReturn

from taskproc.attributes import SCALARS
from taskproc.errors import RemoteError, UnsendableItem
from taskproc.kernel.model import Problem
from taskproc.pickling import dumps, load, name_for, plain_dumps
from taskproc.run.problem import problem_of, rebuild, sentence

Sent = Any  # a scalar | (pickle,) | (pickle of a Problem, "raised")


class Raised:
    """Takes the place of the value of an item that raised."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException):
        self.error = error if isinstance(error, Exception) else _as_exception(error)


def send_item(item: object) -> Sent:
    """An item as it is sent to a worker. Raises UnsendableItem."""
    if type(item) in SCALARS:
        return item
    try:
        return (_plain(item) or dumps(item),)
    except Exception as error:  # the user's classes may raise anything
        kind = type(item).__qualname__
        text = f"item (a {kind}) cannot be sent to a worker process: {sentence(error)}. Send plain data, or use threads"
        raise UnsendableItem(text) from error


def send_value(value: object, main: str) -> Sent:
    """A value as it is sent back to a process whose `__main__` is called `main`. Raises nothing."""
    if type(value) in SCALARS:
        return value
    try:
        return (_plain(value) or dumps(value, name_of=name_for(main)),)
    except Exception as error:  # noqa: BLE001  # the user's classes may raise anything
        kind = type(value).__qualname__
        text = f"a value (a {kind}) cannot be sent back: {sentence(error)}. Return plain data, or use threads"
        return send_error(UnsendableItem(text))


def send_error(error: BaseException) -> Sent:
    """The exception of an item as it is sent back."""
    return pickle.dumps(problem_of(error), 5), "raised"


def receive_item(sent: Sent) -> object:
    """The item that was sent. Unpickling may raise anything."""
    return load(sent[0]) if type(sent) is tuple else sent


def receive_values(sent: list[Sent]) -> tuple[list[object], bool]:
    """The values that were sent back, with a Raised for each item that raised; and whether one did."""
    if tuple not in set(map(type, sent)):
        return sent, False
    values = [_received(part) if type(part) is tuple else part for part in sent]
    return values, Raised in set(map(type, values))


def _received(sent: Sent) -> object:
    try:
        value = load(sent[0])
    except Exception as error:  # noqa: BLE001  # the user's classes may raise anything
        text = f"a value cannot be unpickled here: {sentence(error)}. Return plain data, or use threads"
        failure = UnsendableItem(text)
        failure.__cause__ = error
        return Raised(failure)
    if len(sent) == 2:
        return Raised(rebuild(value)) if isinstance(value, Problem) else value
    return value


def _as_exception(error: BaseException) -> Exception:
    """An error in place of SystemExit and the like, which ended an item and must not end the program."""
    exception = RemoteError(sentence(error))
    exception.__cause__ = error
    return exception


class _NotPlain(Exception):
    """A part of the value is not of a built-in type."""


def _plain(value: object) -> bytes | None:
    """A pickle of a value of built-in types, at the speed of C; None for any other."""
    try:
        return plain_dumps(value, _refuse)
    except _NotPlain:
        return None


def _refuse(_: object) -> NoReturn:
    raise _NotPlain
