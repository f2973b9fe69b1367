"""Results that somebody's code may return and that a store would rather not have."""
from __future__ import annotations

import ctypes
import decimal
import io
import math
import operator
import os
import socket
import sys
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any

from taskproc import Task


class Refuses:
    """Raises when it is pickled."""

    def __reduce__(self) -> Any:
        raise ValueError("not today")


class Breaks:
    """Raises when it is unpickled."""

    def __getstate__(self) -> object:
        return {"a": 1}

    def __setstate__(self, state: object) -> None:
        raise ValueError("not any more")


class Lies:
    """Says that it is made by something that is none."""

    def __reduce__(self) -> Any:
        return "no.such.name"


class Model:
    """An attribute of an attribute cannot be pickled."""

    def __init__(self) -> None:
        self.layers = [{"weights": 1}, {"weights": 2, "lock": threading.Lock()}]


class Picky:
    """Cannot be compared, shown, or asked for its truth."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("not comparable")

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise ValueError("no truth")

    def __repr__(self) -> str:
        raise ValueError("nothing to show")


class NoEntry(Exception):
    """Needs what its base does not have."""

    def __init__(self, code: int, *, where: str):
        super().__init__(code)
        self.where = where

    def __reduce__(self) -> Any:
        return _no_entry, (self.args[0], self.where)


def _no_entry(code: int, where: str) -> NoEntry:
    return NoEntry(code, where=where)


def _nested() -> list[Any]:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


def _itself() -> list[Any]:
    value: list[Any] = [1]
    value.append(value)
    return value


Check = Callable[[Any], object]

# What comes back, by a check of it
KEPT: dict[str, tuple[Callable[[], Any], Check]] = {
    "None": (lambda: None, lambda value: value is None),
    "NotImplemented": (lambda: NotImplemented, lambda value: value is NotImplemented),
    "an ellipsis": (lambda: ..., lambda value: value is ...),
    "NaN": (lambda: math.nan, math.isnan),
    "a signalling NaN": (lambda: decimal.Decimal("sNaN"), lambda value: value.is_snan()),
    "a lambda": (lambda: lambda x: x + 1, lambda value: value(1) == 2),
    "a module": (lambda: math, lambda value: value is math),
    "a class": (lambda: Model, lambda value: value is Model),
    "a class of its own": (lambda: type("Own", (), {"x": 5}), lambda value: value.x == 5),
    "an exception": (lambda: NoEntry(5, where="here"), lambda value: (value.args, value.where) == ((5,), "here")),
    "an exception class": (lambda: KeyError, lambda value: value is KeyError),
    "a function of C": (lambda: operator.add, lambda value: value is operator.add),
    "what contains itself": (_itself, lambda value: value[1] is value),
    "what cannot be compared": (lambda: Picky(), lambda value: type(value) is Picky),
    "surrogates": (lambda: "\ud800\0", lambda value: value == "\ud800\0"),
    "a big number": (lambda: 1 << 100_000, lambda value: value == 1 << 100_000),
    "an empty tuple": (lambda: (), lambda value: value == ()),
    "a memory view": (lambda: memoryview(b"a"), lambda value: bytes(value) == b"a"),
    "a module of its own": (lambda: types.ModuleType("own_module"), lambda value: value.__name__ == "own_module"),
    "the value False": (lambda: False, lambda value: value is False),
}

# What cannot be stored, and what the failure says
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a lock": (threading.Lock, "its result (a _thread.lock) cannot be pickled"),
    "a lock inside": (Model, "its result.layers[1]['lock'] (a _thread.lock) cannot be pickled"),
    "a lock in a tuple": (lambda: {1: (0, threading.Lock())}, "its result[1][1] (a _thread.lock) cannot be pickled"),
    "a generator": (lambda: (each for each in "ab"), "its result (a generator) cannot be pickled"),
    "an open file": (lambda: io.FileIO(os.devnull), "its result (a _io.FileIO) cannot be pickled"),
    "a socket": (socket.socket, "its result (a socket.socket) cannot be pickled"),
    "a thread": (lambda: threading.Thread(), "cannot be pickled"),
    "a frame": (sys._getframe, "its result (a frame) cannot be pickled"),
    "a weak reference": (lambda: weakref.ref(Model), "(a weakref.ReferenceType) cannot be pickled"),
    "a pointer": (lambda: ctypes.pointer(ctypes.c_int(1)), "cannot be pickled"),
    "what refuses": (lambda: [0, Refuses()], "its result[1] (a tests.fault.awkward.Refuses) cannot be pickled"),
    "what lies about itself": (Lies, "its result (a tests.fault.awkward.Lies) cannot be pickled"),
    "what is nested too deeply": (_nested, "its result (a list) cannot be pickled: "),
}


class Awkward(Task):
    """Gives what it is told."""

    def __init__(self, kind: str):
        self.kind = kind

    def run_task(self) -> Any:
        return breaking() if self.kind == "what breaks" else {**KEPT, **REFUSED}[self.kind][0]()


class Reader(Task):
    """Reads it."""

    def __init__(self, kind: str):
        self.awkward = Awkward(kind)

    def run_task(self) -> str:
        return type(self.awkward.get_result()).__name__


def breaking() -> Any:
    """It can be stored, and not be loaded."""
    return [Breaks()]
