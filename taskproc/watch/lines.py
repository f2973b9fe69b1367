"""Plain lines on a run, for logs, pipes and notebooks: one every few seconds, one for a failure, a table at the end.

However many tasks there are, the lines depend on the time alone: every five seconds at first, later every tenth of what
has passed, at most a minute. So a run of ten seconds makes two, one of an hour about seventy, and none is silent long.
"""
from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from taskproc.kernel.model import Event
from taskproc.text import cut_to, printable, terminal_width
from taskproc.watch.standing import Standing, reason_lines, short_names
from taskproc.watch.stream import Outline, Remaining, left_unknown
from taskproc.watch.tally import closing_line, closing_table, failed_line

FIRST, SHARE, LONGEST = 5.0, 0.1, 60.0  # seconds between two lines: at least, as a share of those passed, at most
LOOK_EVERY = 1.0                        # seconds; an event is shown at once if a line is due
FAILURES = 100                          # shown one by one; the end of the run has them all


class Lines:
    """Plain lines.

    Args:
        beats: have a thread write when nothing happens. Not where tasks run in this thread: a debugger may have stopped
            one, or it writes lines of its own.
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
        self._started = self._told = clock()
        self._lock = threading.Lock()
        self._standing = Standing(totals)
        self._names = short_names(totals)
        self._waits: Callable[[], Mapping[str, int]] = dict
        self._left: Callable[[], Remaining | None] = left_unknown
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="taskproc-lines", daemon=True) if beats else None
        self._closed = False

    def begin(self, outline: Outline) -> None:
        """Know what tasks wait for, and how long it takes."""
        self._waits, self._left = outline.waits, outline.left

    def tell(self, event: Event[Any], name: str, text: Callable[[], str]) -> None:
        """Count it; write a line for a failure, and if one is due."""
        now = self._clock()
        with self._lock:
            self._standing.note(event, name, text, now)
            if event.kind == "failed":
                self._write_failure(event, text)
            self._look(now)
        if self._thread is not None and self._thread.ident is None and event.kind == "started":
            self._thread.start()

    def look(self) -> None:
        """Write how far the run is, if a line is due. In any thread."""
        with self._lock:
            self._look(self._clock())

    def _look(self, now: float) -> None:
        if now - self._told >= pause(now - self._started):
            self._told = now
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
            tallies = {self._names.get(name, name): each for name, each in standing.classes.items()}
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
        """At once: other processes may write to the same file, and a notebook makes an output of each piece."""
        columns = terminal_width(self._file)
        self._file.write("".join(f"{cut_to(printable(line), columns)}\n" for line in lines))
        self._file.flush()


def pause(elapsed: float) -> float:
    """Seconds between two lines of a run that has been going on for so long."""
    return min(LONGEST, max(FIRST, SHARE * elapsed))
