"""The events of a run for programs: one line with a JSON object for each."""
from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from taskproc.kernel.model import Event, Problem
from taskproc.watch.progress import pause
from taskproc.watch.standing import Standing
from taskproc.watch.stream import Outline, Remaining, left_unknown

VERSION = 1  # of the fields: fields may be added, and none is changed or removed


class JsonLines:
    """A watcher that writes JSON; docs/watching.md has the fields.

    Args:
        file: default: standard error as it is now.
        events: write a line for each event; if not, only the last line.
        clock, wall: seconds, from a clock that does not go back and from the clock of the day.
    """

    def __init__(
        self,
        file: TextIO | None = None,
        *,
        events: bool = True,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ):
        self._file: TextIO | None = sys.stderr if file is None else file
        self._events, self._clock, self._wall = events, clock, wall
        self._started = self._written = clock()
        self._standing = Standing({})
        self._waits: Callable[[], Mapping[str, int]] = dict
        self._left: Callable[[], Remaining | None] = left_unknown
        self._closed = False

    def begin(self, outline: Outline) -> None:
        """Write the number of tasks of each class."""
        self._standing, self._waits, self._left = Standing(outline.totals), outline.waits, outline.left
        if self._events:
            self.write("begin", {"total": sum(outline.totals.values()), "classes": dict(outline.totals)})

    def tell(self, event: Event[Any], name: str, text: Callable[[], str]) -> None:
        """Write the event, and at intervals the progress of the run."""
        now = self._clock()
        self._standing.note(event, name, text, now)
        if not self._events:
            return
        self.write(event.kind, {"task": text(), "class": name, "key": str(event.key), **_details(event.detail)})
        if now - self._written >= pause(now - self._started):
            self._written = now
            self._write_progress()

    def _write_progress(self) -> None:
        standing = self._standing
        running: dict[str, int] = {}
        for task in standing.running.values():
            running[task.name] = running.get(task.name, 0) + 1
        self.write("progress", {**_counts(standing.all), "running": running, "waits": dict(self._waits()),
                                "left": None if (left := self._left()) is None else left._asdict()})  # fmt: skip

    def close(self) -> None:
        """Write how many tasks of each class ended in which way, and why they ran. Idempotent."""
        if self._closed:
            return
        self._closed = True
        classes = {
            name: {**_counts(tally), "seconds": round(tally.seconds, 6)}
            for name, tally in self._standing.classes.items()
        }
        reasons = {name: dict(counts) for name, counts in self._standing.reasons.items()}
        self.write("end", {**_counts(self._standing.all), "classes": classes, "reasons": reasons})

    def write(self, kind: str, fields: Mapping[str, object]) -> None:
        """Write one line, without buffering. An error in writing is ignored: perhaps nobody reads any more."""
        if self._file is None:
            return  # standard error was closed before the process began
        head = {
            "version": VERSION,
            "time": round(self._wall(), 6),
            "elapsed": round(self._clock() - self._started, 6),
            "event": kind,
        }
        # Values without a JSON form are written as text, since a missing line is worse. ASCII fits any encoding
        line = json.dumps({**head, **fields}, default=str)
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except (OSError, ValueError):
            pass


def _counts(tally: Any) -> dict[str, int]:
    return {word: getattr(tally, word) for word in ("total", "done", "fresh", "failed", "skipped")}


def _details(detail: Mapping[str, object]) -> dict[str, object]:
    """The details of an event for JSON: the parts of a reason, and of a problem, as one object each."""
    fields = dict(detail)
    if "reason" in fields:
        parts = {"kind": fields.pop("reason"), "text": fields.pop("text", ""), "needs": fields.pop("needs", [])}
        fields["reason"] = {**parts, "summary": fields.pop("summary", parts["text"])}
    problem = fields.get("problem")
    if isinstance(problem, Problem):
        names = ("kind", "text", "traceback", "exit_code", "memory")
        fields["problem"] = {name: getattr(problem, name) for name in names}
    return fields
