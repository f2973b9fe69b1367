"""What a job prints goes to its own two files, while it runs, also beside other jobs in other threads.

Python code is told apart by its context: `sys.stdout` and `sys.stderr` are switches that write to the files of the job
that runs here. Not contextlib.redirect_stdout: it swaps sys.stdout for all threads. In a process of its own the
descriptors 1 and 2 are moved as well, so that C code and child processes are caught; there is one pair of these in a
process, so only one job at a time can have them, and in the main process none: they belong to the user.

In the main process a thread that the job itself starts is not known to be the job's, and prints where it always did.
"""
from __future__ import annotations

import functools
import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TextIO, cast

_streams: ContextVar[tuple[TextIO, TextIO] | None] = ContextVar("taskproc_streams", default=None)
_owner = 0  # the process whose descriptors are ours to move
_descriptors = threading.Lock()


def own_descriptors() -> None:
    """Say that descriptors 1 and 2 of this process belong to the job that runs in it. Its forks are not meant.

    The process's own streams write line by line from now on: to these print the threads that a job starts.
    """
    global _owner  # a fact of the process
    _owner = os.getpid()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)


@contextmanager
def captured(stdout: Path, stderr: Path, *, main_pid: int | None = None) -> Iterator[None]:
    """Within the block what is printed is appended to the two files, line by line, as UTF-8 with backslash escapes.

    A file is made when it is first needed: by the first line, or at once where the descriptors are moved.

    Args:
        main_pid: the process id of the user's main process, for a job that may run in a process of somebody else's
            executor: anywhere but in the main process the descriptors may be moved.
    """
    streams = _open(stdout), _open(stderr)
    token = _streams.set(streams)
    elsewhere = _owner == os.getpid() or main_pid not in {None, os.getpid()}
    moving = elsewhere and _descriptors.acquire(blocking=False)
    try:
        with _switches.active(), _moved(*streams) if moving else nullcontext():
            yield
    finally:
        if moving:
            _descriptors.release()
        _streams.reset(token)
        for stream in streams:
            _calmly(stream.close)


class _Late(io.RawIOBase):
    """A file to append to, opened by the first byte, or by who asks for its descriptor."""

    def __init__(self, path: Path):
        self._path = os.path.abspath(path)  # the job may change the folder before it prints
        self._descriptor: int | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        return self._descriptor

    def write(self, content: Any) -> int:
        return os.write(self.fileno(), content)

    def close(self) -> None:
        super().close()
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


class _Switch:
    """Stands for sys.stdout or sys.stderr: whatever is asked of it is asked of the file of the job that asks."""

    def __init__(self, index: int, otherwise: TextIO):
        self._index = index
        self.otherwise = otherwise

    def __getattr__(self, name: str) -> Any:
        streams = _streams.get()
        return getattr(self.otherwise if streams is None else streams[self._index], name)


class _Switches:
    """The two switches, in place as long as anything is captured."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._both: list[_Switch] = []

    @contextmanager
    def active(self) -> Iterator[None]:
        with self._lock:
            if not self._count:
                self._both = [_Switch(0, sys.stdout), _Switch(1, sys.stderr)]
            self._count += 1
            self._put()
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1
                self._put()

    def _put(self) -> None:
        """Whatever stands there now: a job that swapped sys.stdout and forgot it must not hurt the next."""
        streams = self._both if self._count else [switch.otherwise for switch in self._both]
        sys.stdout, sys.stderr = cast("list[TextIO]", streams)

    def forked(self) -> None:
        """In a child the lock may have been copied as taken, by a thread that is not there."""
        self._lock = threading.Lock()


_switches = _Switches()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_switches.forked)


@contextmanager
def _moved(stdout: TextIO, stderr: TextIO) -> Iterator[None]:
    """Descriptors 1 and 2 lead to these two files."""
    _fill_gaps()
    flush_all()
    kept = [os.dup(1), os.dup(2)]
    try:
        os.dup2(stdout.fileno(), 1)
        os.dup2(stderr.fileno(), 2)
        yield
    finally:
        for stream in (stdout, stderr):
            _calmly(stream.flush)
        flush_all()
        for number, copy in enumerate(kept, start=1):
            os.dup2(copy, number)
            os.close(copy)


def flush_all() -> None:
    """Bring what Python and, where it is known to be in use, C code keeps in buffers to the descriptors 1 and 2."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        if stream is not None:
            _calmly(stream.flush)
    # Loading ctypes takes milliseconds. What prints from C mostly came with NumPy, which has loaded it.
    if "ctypes" in sys.modules:
        _calmly(lambda: _c_library().fflush(None))


@functools.cache
def _c_library() -> Any:
    import ctypes

    return ctypes.CDLL(None)


def _open(path: Path) -> TextIO:
    buffered = io.BufferedWriter(_Late(path))
    return io.TextIOWrapper(buffered, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def _fill_gaps() -> None:
    """Open what is closed of the descriptors 0 to 2, or the next file to be opened would become the standard output."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def _calmly(action: Any) -> None:
    """Do what may fail when the job has closed the stream, or the disk is full: the job was told so when it printed."""
    try:
        action()
    except (OSError, ValueError, AttributeError):
        pass
