"""How far a run is: a bar per task class on a terminal, a line every few seconds elsewhere, a closing line in any case.

All goes to standard error, for standard output belongs to the results.
"""
from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import TextIO

from taskproc.streams import is_terminal, nowhere
from taskproc.watch.lines import Lines
from taskproc.watch.stream import Watcher


def progress(
    totals: Mapping[str, int],
    file: TextIO | None = None,
    *,
    bars: bool | None = None,
    beats: bool = True,
    clock: Callable[[], float] = time.monotonic,
) -> Watcher:
    """A watcher that shows how far the run is.

    Args:
        totals: task class → how many tasks of it there are.
        file: where to show it; default: standard error as it is now.
        bars: bars or lines; default: bars on a terminal that can move its cursor. Lines are for runs whose tasks write
            to the terminal themselves, or stop there in a debugger.
        beats: let plain lines come when nothing happens, too; see Lines.
        clock: seconds, from any clock that does not go back.
    """
    shown = file or sys.stderr or nowhere()
    if has_cursor(shown) if bars is None else bars:
        from taskproc.watch.bars import Bars

        return Bars(totals, shown, clock=clock, guards=file is None)
    return Lines(totals, shown, clock=clock, beats=beats)


def has_cursor(file: TextIO) -> bool:
    """Whether `file` is a terminal on which what stands there can be overwritten."""
    return is_terminal(file) and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
