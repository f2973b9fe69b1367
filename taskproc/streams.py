"""The standard streams of this process, which may be closed, missing, or replaced by objects that can do little.

A descriptor that was closed (`<&-`, a daemon) is given out again by the next call that opens something: a file of ours
would become the standard output of every child process. `fill_gaps` leads such descriptors nowhere, and does so for
good: whatever is opened later stays above them, too.
"""
from __future__ import annotations

import functools
import os
import sys
from typing import Any, TextIO

from taskproc.text import printable_lines


def fill_gaps() -> None:
    """Open what is closed of the descriptors 0 to 2. Before anything else is opened that stays open."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    try:
        os.close(descriptor)
    except OSError:
        pass  # nothing was written to it


def supply_streams() -> None:
    """Fill the gaps, and put a stream wherever Python found none: for a program of our own, not for a library."""
    fill_gaps()
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: SIM115  # it lives as long as the process
    sys.stdout = sys.stdout or nowhere()
    sys.stderr = sys.stderr or nowhere()


@functools.cache
def nowhere() -> TextIO:
    """A stream of which nothing comes."""
    fill_gaps()
    return open(os.devnull, "w", encoding="utf-8", errors="backslashreplace")


def is_terminal(stream: Any) -> bool:
    """Whether it is one; not if it cannot tell, is closed, or is none."""
    try:
        return bool(stream.isatty())
    except (AttributeError, OSError, ValueError):
        return False


def write_error(text: str) -> None:
    """Write lines to standard error, harmless. If there is none, or nobody reads it any more, that changes nothing."""
    try:
        stream = sys.stderr
        if stream is not None:  # print() would take standard output for it
            print(printable_lines(text), file=stream, flush=True)
    except (OSError, ValueError, RuntimeError, AttributeError):
        pass  # closed, interrupted in the middle of a line, or an object that is no file


def let_go(stream: TextIO | None) -> OSError | None:
    """Write what a stream still keeps; if it cannot be written, drop it and give the error.

    Python writes it once more at its end, and would change the exit code when that fails.
    """
    try:
        if stream is not None:
            stream.flush()
    except OSError as error:
        _lead_nowhere(stream)
        return error
    except (ValueError, AttributeError):
        pass  # it is closed, or no file at all
    return None


def _lead_nowhere(stream: Any) -> None:
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError, AttributeError):
        pass  # it has no descriptor
