"""The standard streams of this process, which may be closed, missing, or replaced by objects with few methods.

The system uses the number of a closed descriptor (`<&-`, a daemon) again for the next file that is opened, which would
then be the standard output of every child process. `fill_gaps` opens such descriptors on the null device, once and for
all: files that are opened later get higher numbers.
"""
from __future__ import annotations

import functools
import os
import sys
from typing import Any, TextIO

from taskproc.text import printable_lines


def fill_gaps() -> None:
    """Open those of the descriptors 0 to 2 that are closed. Call it before any file is opened that stays open."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    try:
        os.close(descriptor)
    except OSError:
        pass  # nothing was written, so nothing is lost


def supply_streams() -> None:
    """Fill the gaps, and supply the streams that Python did not find. For programs of taskproc, not for a library."""
    fill_gaps()
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: SIM115  # open until the process ends
    sys.stdout = sys.stdout or nowhere()
    sys.stderr = sys.stderr or nowhere()


@functools.cache
def nowhere() -> TextIO:
    """A stream that discards what is written."""
    fill_gaps()
    return open(os.devnull, "w", encoding="utf-8", errors="backslashreplace")


def is_terminal(stream: Any) -> bool:
    """Whether `stream` is a terminal; False if it is closed or cannot tell."""
    try:
        return bool(stream.isatty())
    except (AttributeError, OSError, ValueError):
        return False


def write_error(text: str) -> None:
    """Write lines, made safe to print, to standard error; do nothing if it is missing, closed or no longer read."""
    try:
        stream = sys.stderr
        if stream is not None:  # for None, print() would use standard output
            print(printable_lines(text), file=stream, flush=True)
    except (OSError, ValueError, RuntimeError, AttributeError):
        pass  # closed, interrupted in the middle of a line, or not a file


def flush_or_drop(stream: TextIO | None) -> OSError | None:
    """Flush a stream; if that fails, discard its buffer and return the error.

    Python flushes it again when it exits, and would change the exit code if that fails.
    """
    try:
        if stream is not None:
            stream.flush()
    except OSError as error:
        _lead_nowhere(stream)
        return error
    except (ValueError, AttributeError):
        pass  # closed, or not a file
    return None


def _lead_nowhere(stream: Any) -> None:
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError, AttributeError):
        pass  # it has no descriptor
