"""Every operation that changes a file, counted, so that a process can die before, in or after each, or see it fail.

The hooks sit on `os` and `open`, below all rooms: an operation that somebody adds tomorrow is a point without a word
here. One goes past them, and has a hook of its own: the rename that replaces nothing. What only reads is no point,
since to die after a look is to die before it.
"""
from __future__ import annotations

import builtins
import io
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from taskproc.store import files

_CHANGING = (
    "write pwrite writev close fsync fdatasync mkdir rmdir rename replace unlink remove link symlink truncate "
    "ftruncate utime chmod fchmod"
).split()
_MAKING = os.O_CREAT | os.O_TRUNC
_true = {name: getattr(os, name) for name in ["open", *_CHANGING] if hasattr(os, name)}
_true_open = builtins.open
_true_rename = files._renameat2

Call = Callable[[], Any]


class Points:
    """Lets all operations pass, and remembers their names in order. Point `n` is the n-th, from 1."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def meet(self, name: str, call: Call, arguments: tuple[Any, ...]) -> Any:
        """Do it."""
        self.names.append(name)
        return self.at_point(name, call, arguments)

    def at_point(self, name: str, call: Call, arguments: tuple[Any, ...]) -> Any:
        """What happens there."""
        return call()


class Death(Points):
    """SIGKILL `when` the point `at` comes: before it, after it, or half way, which is for writes."""

    def __init__(self, at: int, when: str):
        super().__init__()
        self.at, self.when = at, when

    def at_point(self, name: str, call: Call, arguments: tuple[Any, ...]) -> Any:
        """Die there."""
        if len(self.names) != self.at:
            return call()
        try:
            if self.when == "after":
                call()
            elif self.when == "half" and name == "write":
                _write_half(arguments)
        finally:  # it may have failed: what is to be made is there already
            os.kill(os.getpid(), signal.SIGKILL)


class Failure(Points):
    """The point `at` fails with `number`, and so do all later ones if `lasts`, but that files can be closed."""

    def __init__(self, at: int, number: int, lasts: bool = False):
        super().__init__()
        self.at, self.number, self.lasts = at, number, lasts

    def at_point(self, name: str, call: Call, arguments: tuple[Any, ...]) -> Any:
        """Fail there, as the system would."""
        count = len(self.names)
        if count < self.at or (count > self.at and (not self.lasts or name == "close")):
            return call()
        if name == "write":
            _write_half(arguments)  # what still found room
        if name == "close":
            call()  # the descriptor is gone, also if the last write failed
        paths = [each for each in arguments[:2] if isinstance(each, (str, bytes, os.PathLike))]
        first = [os.fspath(paths[0])] if paths else []
        raise OSError(self.number, os.strerror(self.number), *first)


def _write_half(arguments: tuple[Any, ...]) -> None:
    handle, content = arguments[0], memoryview(arguments[1])
    _true["write"](handle, content[: len(content) // 2])


@contextmanager
def hooked(points: Points) -> Iterator[Points]:
    """Inside the block every operation of this process meets `points`. For children that are forked for it."""
    for name in _CHANGING:
        if name in _true:
            setattr(os, name, _always(points, name))
    if (rename := _true_rename()) is not None:
        files._renameat2 = lambda: _rename(points, rename)  # type: ignore[assignment]
    os.open = _open(points)  # type: ignore[assignment]
    builtins.open = io.open = _file(points)  # type: ignore[assignment]
    try:
        yield points
    finally:
        builtins.open = io.open = _true_open
        files._renameat2 = _true_rename
        for name, function in _true.items():
            setattr(os, name, function)


def _always(points: Points, name: str) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        return points.meet(name, lambda: _true[name](*arguments, **options), arguments)

    return call


def _rename(points: Points, rename: Callable[[int, bytes, bytes], int]) -> Callable[[int, bytes, bytes], int]:
    def call(at: int, old: bytes, new: bytes) -> int:
        return int(points.meet("replace", lambda: rename(at, old, new), (old, new)))

    return call


def _open(points: Points) -> Callable[..., int]:
    def call(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        def do() -> int:
            return _true["open"](path, flags, *arguments, **options)

        return int(points.meet("open", do, (path,)) if flags & _MAKING else do())

    return call


def _file(points: Points) -> Callable[..., Any]:
    def call(path: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        def do() -> Any:
            return _true_open(path, mode, *arguments, **options)

        return points.meet("open", do, (path,)) if set(mode) & set("wax+") else do()

    return call
