"""Plain lines on a run, for logs and pipes: some for each class, then one for each tenth of the run.

Ten thousand tasks must not become twenty thousand lines, but fifteen may well be told one by one.
"""
from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from taskproc.kernel.model import Event
from taskproc.text import printable
from taskproc.watch.tally import Tally, closing_line, duration, failed_line, tallies

LINES = 20   # of one kind told of one class, before the run is told in tenths
TENTHS = 10


class Lines:
    """Plain lines, for logs and pipes."""

    def __init__(self, totals: Mapping[str, int], file: TextIO, *, clock: Callable[[], float] = time.monotonic):
        self._file = file
        self._clock = clock
        self._started = clock()
        self._all, self._by_class = tallies(totals)
        self._told: dict[tuple[str, str], int] = {}
        self._waiting: set[Any] = set()
        self._hidden = False
        self._tenth = 0
        self._closed = False

    def tell(self, event: Event[Any], name: str, text: Callable[[], str]) -> None:
        """Write a line, if the event deserves one and its class has not had too many."""
        if self._all.note(event.kind):
            self._by_class.setdefault(name, Tally()).note(event.kind)
        line = self._line(event, text) if self._may_tell(event, name) else None
        if line is not None:
            self._write(f"  {line}")
        self._tell_tenth()

    def close(self) -> None:
        """Write the closing line. Idempotent."""
        if not self._closed:
            self._closed = True
            self._write(closing_line(self._all, self._clock() - self._started))

    def _may_tell(self, event: Event[Any], name: str) -> bool:
        if event.kind not in ("stale", "done", "failed", "lost") and not self._begins_to_wait(event):
            return False
        which = (name, event.kind)
        self._told[which] = self._told.get(which, 0) + 1
        if self._told[which] > LINES:
            self._hidden = True
            return False
        return True

    def _begins_to_wait(self, event: Event[Any]) -> bool:
        if event.kind != "elsewhere" or event.key in self._waiting:
            return False  # it is looked at again and again
        self._waiting.add(event.key)
        return True

    def _line(self, event: Event[Any], text: Callable[[], str]) -> str:
        if event.kind == "stale":
            return f"ready   {text()}   because {event.detail.get('text', 'it must')}"
        if event.kind == "failed":
            return failed_line(event, text())
        if event.kind == "lost":
            return f"lost    {text()}   a result that it reads is gone and is made again"
        if event.kind == "elsewhere":
            return f"waits   {text()}   another run computes it"
        seconds = event.detail.get("seconds")
        return f"done    {text()}   {duration(seconds if isinstance(seconds, float) else 0.0)}"

    def _tell_tenth(self) -> None:
        """Once lines are being kept back, tell each tenth of the run instead; the last is the closing line's."""
        tally = self._all
        tenth = TENTHS * tally.ended() // tally.total if tally.total else 0
        if tenth == self._tenth:
            return
        self._tenth = tenth
        if self._hidden and tenth < TENTHS:
            extra = "".join(
                f", {count:,} {word}" for count, word in ((tally.fresh, "fresh"), (tally.failed, "failed")) if count
            )
            ran = duration(self._clock() - self._started)
            self._write(f"  {tally.ended():,} of {tally.total:,} ended{extra} after {ran}")

    def _write(self, line: str) -> None:
        self._file.write(printable(line) + "\n")
        self._file.flush()
