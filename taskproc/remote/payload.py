"""What travels through a task manager, which sees bytes and no more: parameters, results and what was raised."""
from __future__ import annotations

import pickle

from taskproc.attributes import SCALARS
from taskproc.errors import RemoteError, UnsendableItem
from taskproc.pickling import dumps, load
from taskproc.pickling import pack_error as pack_error
from taskproc.pickling import unpack_error as unpack_error
from taskproc.run.problem import sentence


def pack(value: object, what: str) -> bytes:
    """`value` as bytes; functions and classes of `__main__` travel with their code. UnsendableItem, which names it."""
    if type(value) in SCALARS:
        return pickle.dumps(value, 5)
    try:
        return dumps(value)
    except Exception as error:
        raise UnsendableItem(f"{what} cannot be pickled: {sentence(error)}. Send plain data") from error


def unpack(content: bytes, what: str) -> object:
    """What was packed. UnsendableItem if it cannot be unpickled here."""
    try:
        return load(content)
    except Exception as error:
        text = f"{what} cannot be unpickled here: {sentence(error)}. Its modules must be importable on both sides"
        raise UnsendableItem(text) from error


def pack_raised(exception: object) -> bytes:
    """What a task raised, as bytes; never raises."""
    return pack_error(exception if isinstance(exception, BaseException) else RemoteError(str(exception)))


def unpack_raised(content: bytes, traceback: str) -> BaseException:
    """What was raised, or what stands for it, with its traceback as the last cause."""
    return unpack_error(content, traceback) or RemoteError("an exception that cannot be rebuilt here")
