"""Items and results on their way between processes: scalars as they are, all else pickled one by one, at once.

At once, because a generator may use its buffer again, and a worker may give the same list each time: what is sent is
what it was then, whatever the size of a chunk. One by one, so that what cannot be brought over costs only itself.

What the script or notebook that runs as `__main__` defines goes to a worker by value, for a worker could not import it
without running it. It comes back by its name, so that results are instances of the script's own classes.
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
    """Stands for a value that there is not: what the item raised instead."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException):
        self.error = error if isinstance(error, Exception) else _tamed(error)


def send_item(item: object) -> Sent:
    """An item as it is sent to a worker. Raises UnsendableItem."""
    if type(item) in SCALARS:
        return item
    try:
        return (_plain(item) or dumps(item),)
    except Exception as error:  # the user's classes take part
        kind = type(item).__qualname__
        text = f"item (a {kind}) cannot be sent to a worker process: {sentence(error)}. Send plain data, or use threads"
        raise UnsendableItem(text) from error


def send_value(value: object, main: str) -> Sent:
    """A value as it is sent back to the process whose `__main__` is called that; never raises."""
    if type(value) in SCALARS:
        return value
    try:
        return (_plain(value) or dumps(value, name_of=name_for(main)),)
    except Exception as error:  # noqa: BLE001  # the user's classes take part
        kind = type(value).__qualname__
        text = f"a value (a {kind}) cannot be sent back: {sentence(error)}. Return plain data, or use threads"
        return send_error(UnsendableItem(text))


def send_error(error: BaseException) -> Sent:
    """What an item raised, as it is sent back."""
    return pickle.dumps(problem_of(error), 5), "raised"


def receive_item(sent: Sent) -> object:
    """The item that was sent. Raises what unpickling raises."""
    return load(sent[0]) if type(sent) is tuple else sent


def receive_values(sent: list[Sent]) -> tuple[list[object], bool]:
    """The values that were sent back, a Raised for each that there is not; and whether there is any such."""
    if tuple not in set(map(type, sent)):
        return sent, False
    values = [_received(each) if type(each) is tuple else each for each in sent]
    return values, Raised in set(map(type, values))


def _received(sent: Sent) -> object:
    try:
        found = load(sent[0])
    except Exception as error:  # noqa: BLE001  # the user's classes take part
        text = f"a value cannot be unpickled here: {sentence(error)}. Return plain data, or use threads"
        failure = UnsendableItem(text)
        failure.__cause__ = error
        return Raised(failure)
    if len(sent) == 2:
        return Raised(rebuild(found)) if isinstance(found, Problem) else found
    return found


def _tamed(error: BaseException) -> Exception:
    """SystemExit and the like are how an item ended, not the program: an error that says so."""
    tamed = RemoteError(sentence(error))
    tamed.__cause__ = error
    return tamed


class _NotPlain(Exception):
    """Something is not of a built-in type."""


def _plain(value: object) -> bytes | None:
    """A pickle of a value of built-in types, at the speed of C; None for any other."""
    try:
        return plain_dumps(value, _not_plain)
    except _NotPlain:
        return None


def _not_plain(_: object) -> NoReturn:
    raise _NotPlain
