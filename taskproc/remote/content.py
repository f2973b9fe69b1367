"""Parameters, results and exceptions as bytes. The task manager passes them on and never unpickles them."""
from __future__ import annotations

import pickle

from taskproc.attributes import SCALARS
from taskproc.errors import RemoteError, UnsendableItem
from taskproc.pickling import dumps, load, pack_error, unpack_error
from taskproc.run.problem import sentence


def pack(value: object, name: str) -> bytes:
    """`value` as bytes. Functions and classes of `__main__` are sent with their code.

    Args:
        name: the words for the value in messages.

    Raises:
        UnsendableItem: it cannot be pickled.
    """
    if type(value) in SCALARS:
        return pickle.dumps(value, 5)
    try:
        return dumps(value)
    except Exception as error:
        raise UnsendableItem(f"{name} cannot be pickled: {sentence(error)}. Send plain data") from error


def unpack(content: bytes, name: str) -> object:
    """The value that was packed. Raises UnsendableItem if it cannot be unpickled here."""
    try:
        return load(content)
    except Exception as error:
        text = f"{name} cannot be unpickled here: {sentence(error)}. Its modules must be importable on both sides"
        raise UnsendableItem(text) from error


def pack_raised(exception: object) -> bytes:
    """The exception of a task as bytes. Raises nothing."""
    return pack_error(exception if isinstance(exception, BaseException) else RemoteError(str(exception)))


def unpack_raised(content: bytes, traceback: str) -> BaseException:
    """The exception of a task, or a RemoteError in its place, with the traceback as its last cause."""
    return unpack_error(content, traceback) or RemoteError("an exception that cannot be rebuilt here")
