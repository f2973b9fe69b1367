"""The progress of long work on standard error: one line on a terminal, a line now and then elsewhere."""
from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from taskproc.cli.usage import say
from taskproc.streams import nowhere
from taskproc.text import printable
from taskproc.watch.progress import has_cursor

DRAW_EVERY = 0.2  # seconds, on a terminal
TELL_EVERY = 5.0  # seconds, elsewhere


class Meter:
    """The progress of long work: on a terminal one line that is rewritten, elsewhere a line every few seconds.

    Args:
        file: default: the present standard error.
    """

    def __init__(self, file: TextIO | None = None, clock: Callable[[], float] = time.monotonic):
        shown = file or sys.stderr or nowhere()
        self.moves = has_cursor(shown)
        self._file, self._clock = shown, clock
        self._every = DRAW_EVERY if self.moves else TELL_EVERY
        self._next = clock() + self._every
        self._width = 0

    def show(self, text: Callable[[], str]) -> None:
        """Show the progress if the last time is long enough ago."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + self._every
        if not self.moves:
            say(text())
            return
        line = printable(text())
        self._write("\r" + line.ljust(self._width))
        self._width = len(line)

    def wipe(self) -> None:
        """Remove the line, before other text is written to the terminal."""
        if self._width:
            self._write("\r" + " " * self._width + "\r")
            self._width = 0

    def _write(self, text: str) -> None:
        try:
            self._file.write(text)
            self._file.flush()
        except OSError:
            pass  # nobody reads it any more
