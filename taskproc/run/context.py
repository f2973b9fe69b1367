"""What is put back around a single call, in any process: the context of the thread, umask and working directory."""
from __future__ import annotations

import contextvars
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from taskproc.folders import working_folder

R = TypeVar("R")


def in_own_context(function: Callable[[], R]) -> R:
    """What `function` gives; decimals, NumPy's errors and variables of the context that it sets are as before."""
    return contextvars.copy_context().run(_with_own_settings, function)


def _with_own_settings(function: Callable[[], R]) -> R:
    if (decimal := sys.modules.get("decimal")) is not None:
        # The variable is our own, but what it holds would be changed in its place
        decimal.setcontext(decimal.getcontext().copy())
    numpy: Any = sys.modules.get("numpy")
    if numpy is None or not hasattr(numpy, "geterrobj"):
        return function()
    # NumPy 1 keeps it by thread, not in the context
    before = numpy.geterrobj()
    try:
        return function()
    finally:
        numpy.seterrobj(before)


def own_umask() -> int:
    """That of this process, asked where no other thread makes files."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


class umask_put_back:
    """Set the umask after the block."""

    # Not a generator: that costs two microseconds more, and each task pays for it
    __slots__ = ("_umask",)

    def __init__(self, umask: int):
        self._umask = umask

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        os.umask(self._umask)


@contextmanager
def folder_put_back() -> Iterator[None]:
    """Be after the block in the working directory of before, if that is still there."""
    folder = working_folder()
    try:
        yield
    finally:
        if folder is not None and working_folder() != folder:
            with suppress(FileNotFoundError):
                os.chdir(folder)
