"""Which jobs have begun in the processes of an executor, and in which: a file of the run, with a place for each ticket.

Whoever begins a job looks at its place first. If the job has begun there before, and not ended, its process has died,
and the executor has it done again, which a job that kills its process must not have (Dask does so three times).
"""
from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import NamedTuple

from taskproc.machine import birth_of

_PLACE = struct.Struct("=QQQ")  # state, process, and when that was started
_RUNS, _ENDED = 1, 2


class Where(NamedTuple):
    """The process in which a job has begun: its id, and when it was started in the kernel's own count ("": unknown)."""

    pid: int
    birth: str


class Begun:
    """The file at `path`. Where that cannot be used nothing is known, and nothing is raised."""

    def __init__(self, path: Path):
        self._path = path

    def begin(self, number: int) -> None:
        """The job of that ticket begins in this process."""
        self._write(number, _RUNS)

    def end(self, number: int) -> None:
        """It has ended, and its process has not died of it."""
        self._write(number, _ENDED)

    def __contains__(self, number: int) -> bool:
        """Whether it has begun."""
        return self._read(number)[0] != 0

    def running(self, number: int) -> Where | None:
        """Where it has begun, if it has not ended."""
        state, where = self._read(number)
        return where if state == _RUNS else None

    def alone(self, number: int) -> bool:
        """Whether nothing else has begun, and not ended, in the process of that job: then it was the death of it."""
        where = self.running(number)
        others = (_parsed(place) for place in _PLACE.iter_unpack(self._content()))
        return sum(state == _RUNS and other == where for state, other in others) == 1

    def is_used(self) -> bool:
        """Whether any job was seen to begin: on a machine that does not have our folders none is."""
        return bool(self._content())

    def _write(self, number: int, state: int) -> None:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        except OSError:
            return  # not to be seen from here: if the pool breaks the job counts as not begun, and is run again
        try:
            os.lseek(descriptor, number * _PLACE.size, os.SEEK_SET)
            os.write(descriptor, _PLACE.pack(state, os.getpid(), int(birth_of(os.getpid()) or 0)))
        except OSError:
            pass  # see above
        finally:
            os.close(descriptor)

    def _read(self, number: int) -> tuple[int, Where]:
        try:
            with open(self._path, "rb") as file:
                file.seek(number * _PLACE.size)
                content = file.read(_PLACE.size)
        except OSError:
            content = b""
        return _parsed(_PLACE.unpack(content) if len(content) == _PLACE.size else (0, 0, 0))

    def _content(self) -> bytes:
        try:
            content = self._path.read_bytes()
        except OSError:
            return b""
        return content[: len(content) // _PLACE.size * _PLACE.size]


def _parsed(place: tuple[int, ...]) -> tuple[int, Where]:
    state, pid, birth = place
    return state, Where(pid, str(birth or ""))
