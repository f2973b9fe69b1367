"""How far a run is: a bar per task class on a terminal, a line every few seconds elsewhere, a closing line in any case.

Everything is written to standard error, because standard output is for results.
"""
from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from taskproc.kernel.model import Event
from taskproc.streams import is_terminal, nowhere
from taskproc.text import cut_to, printable, terminal_width
from taskproc.watch.standing import Standing, closing_line, closing_table, failed_line, reason_lines, short_names
from taskproc.watch.stream import Outline, Remaining, Watcher, left_unknown

FIRST, SHARE, LONGEST = 5.0, 0.1, 60.0  # seconds between two lines: at least, as a share of those passed, at most
LOOK_EVERY = 1.0                        # seconds between checks without an event
FAILURES = 100                          # shown one by one; the end of the run lists all


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
        totals: task class → the number of its tasks.
        file: default: standard error as it is now.
        bars: bars or lines; default: bars on a terminal that can move its cursor. Lines are for runs whose tasks write
            to the terminal themselves, or stop there in a debugger.
        beats: write plain lines also when nothing happens; see Lines.
        clock: seconds, from any clock that does not go back.
    """
    shown = file or sys.stderr or nowhere()
    if has_cursor(shown) if bars is None else bars:
        from taskproc.watch.bars import Bars

        return Bars(totals, shown, clock=clock, guards=file is None)
    return Lines(totals, shown, clock=clock, beats=beats)


def has_cursor(file: TextIO) -> bool:
    """Whether `file` is a terminal that can move its cursor, so that text on it can be overwritten."""
    return is_terminal(file) and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


class Lines:
    """Plain lines for logs, pipes and notebooks: one every few seconds, one for each failure, a table at the end.

    Their number depends only on the time, not on the number of tasks: every five seconds at first, later every tenth of
    the time that has passed, and at least every minute. So a run of ten seconds writes two, a run of an hour about
    seventy, and no run is silent for long.

    Args:
        beats: write in a thread also when nothing happens. Not for runs whose tasks run in the driving thread: a
            debugger may have stopped the task, or the task writes lines itself.
    """

    def __init__(
        self,
        totals: Mapping[str, int],
        file: TextIO,
        *,
        clock: Callable[[], float] = time.monotonic,
        beats: bool = True,
    ):
        self._file = file
        self._clock = clock
        self._started = self._written = clock()
        self._lock = threading.Lock()
        self._standing = Standing(totals)
        self._names = short_names(totals)
        self._waits: Callable[[], Mapping[str, int]] = dict
        self._left: Callable[[], Remaining | None] = left_unknown
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="taskproc-lines", daemon=True) if beats else None
        self._closed = False

    def begin(self, outline: Outline) -> None:
        """Store the functions that report what tasks wait for, and how long the run will take."""
        self._waits, self._left = outline.waits, outline.left

    def tell(self, event: Event[Any], name: str, text: Callable[[], str]) -> None:
        """Count the event; write a line for a failure, and the progress if it is due."""
        now = self._clock()
        with self._lock:
            self._standing.note(event, name, text, now)
            if event.kind == "failed":
                self._write_failure(event, text)
            self._look(now)
        if self._thread is not None and self._thread.ident is None and event.kind == "started":
            self._thread.start()

    def look(self) -> None:
        """Write the progress of the run if a line is due. Any thread may call it."""
        with self._lock:
            self._look(self._clock())

    def _look(self, now: float) -> None:
        if now - self._written >= pause(now - self._started):
            self._written = now
            self._write(f"  {self._standing.line(now - self._started, now, self._waits(), self._left())}")

    def close(self) -> None:
        """Write the table, why tasks ran, and the closing line. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._over.set()
        if self._thread is not None and self._thread.ident is not None:
            self._thread.join()
        standing, table = self._standing, list[str]()
        if len(standing.classes) > 1 and standing.all.ended() > standing.all.fresh:
            tallies = {self._names.get(name, name): tally for name, tally in standing.classes.items()}
            table = closing_table(tallies, terminal_width(self._file))
        last = closing_line(standing.all, self._clock() - self._started)
        self._write(*table, *reason_lines(standing.reasons), last)

    def _beat(self) -> None:
        try:
            while not self._over.wait(LOOK_EVERY):
                self._left()  # so that the answer is there when a line is due
                self.look()
        except (OSError, ValueError):
            pass  # nobody reads any more; the run goes on

    def _write_failure(self, event: Event[Any], text: Callable[[], str]) -> None:
        failed = self._standing.all.failed
        if failed <= FAILURES:
            columns = terminal_width(self._file)
            self._write(f"  {failed_line(event, text(), None if columns is None else columns - 2)}")
        elif failed == FAILURES + 1:
            self._write("  failed  … more are only counted from here on")

    def _write(self, *lines: str) -> None:
        """In one piece: other processes may write to the same file, and a notebook shows each piece as an output."""
        columns = terminal_width(self._file)
        self._file.write("".join(f"{cut_to(printable(line), columns)}\n" for line in lines))
        self._file.flush()


def pause(elapsed: float) -> float:
    """Seconds between two lines of a run that began `elapsed` seconds ago."""
    return min(LONGEST, max(FIRST, SHARE * elapsed))
