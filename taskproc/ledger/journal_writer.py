"""Writes the journal of a run: what happens in it, one JSON object in a line for each event; see docs/journal.md.

It is written to `<cache>/runs/<run>.jsonl` by the process that drives the run, for people: nothing depends on it, and
it can be deleted. Lines are collected and written at most every half second, by one call, so a reader sees whole lines,
and a run that is killed leaves all but its last half second.

Of many short tasks little is written. A task that begins and ends between two flushes has one line; fresh and skipped
tasks are counted per class; and when MOST_LINES tasks have lines of their own, those that take less than SHORT seconds
are only added up, per class and second.
"""
from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

from taskproc.errors import CacheError
from taskproc.kernel.model import Event, Problem
from taskproc.store.disk import DiskStore
from taskproc.store.layout import JOURNALS, is_journal, journal_file

FORMAT_OF_LINES = 1  # new fields may come, existing ones stay
FLUSH_EVERY = 0.5  # seconds
MOST_LINES = 10_000
SHORT = 0.01  # seconds
_BETWEEN = '","'
_LONGEST = 2000  # characters of a message
_MOST_REASONS = 1000  # that are remembered from flush to flush

logger = logging.getLogger("taskproc")

Status = Literal["done", "failed", "interrupted"]
Describe = Callable[[str], Mapping[str, object]]
_Reason = tuple[str, str, str]  # class, kind of the reason, its text


def new_run_id() -> str:
    """An id for a run that begins now: `YYYYMMDDThhmmss-xxxxxx`, in UTC.

    Of the six hex digits the first three are the part of the second, so ids have the order of time; the others are
    random.
    """
    now = time.time()
    digits = f"{int(now % 1 * 4096):03x}{int.from_bytes(os.urandom(2), 'little') % 4096:03x}"
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(now))}-{digits}"


def open_journal(
    store: DiskStore,
    run: str,
    head: Mapping[str, object],
    *,
    alone: bool = False,
    describe: Describe = lambda key: {},
) -> Journal | None:
    """Create the journal of a run and write its first line; None if the cache is not to be written or has no journals.

    Removes the oldest journals. Never fails: it warns if the folder cannot be written although the cache can.

    Args:
        head: fields of the first line.
        alone: the thread that drives the run also runs the tasks, so another thread has to write meanwhile.
        describe: key of a task that was started → more fields of its line.
    """
    if not store.rules.keep_runs or store.rules.refusal:
        return None
    try:
        folder = store.made_folder(JOURNALS)
        try:
            handle = store.files.make(folder, journal_file(run))
            _remove_old(store, folder, journal_file(run))
        finally:
            store.files.close_folder(folder)
    except (OSError, CacheError) as error:
        if os.access(store.root, os.W_OK):
            logger.warning("%s", _complaint(store.root, error))
        return None
    return Journal(store, handle, {"run": run, **head}, alone=alone, describe=describe)


def _complaint(root: str, error: Exception) -> str:
    folder = os.path.join(root, JOURNALS)
    return f"the journal of this run in {folder!r} cannot be written, and the run goes on: {error}"


def _remove_old(store: DiskStore, folder: Any, own: str) -> None:
    """Remove all but the newest journals. Their names begin with a time; `own` stays, also if a clock is wrong."""
    names = sorted(name for name in store.files.listdir(folder) if is_journal(name) and name != own)
    for name in names[: len(names) + 1 - store.rules.keep_runs] if len(names) >= store.rules.keep_runs else ():
        try:
            store.files.unlink(folder, name)
        except OSError:
            pass  # another run has removed it


class Journal:
    """The journal of one run that is on its way. Its methods never raise.

    Args:
        handle: of its file, which is empty.
        head: fields of the first line.
        alone, describe: see open_journal.
        clock, wall: seconds, of a clock that does not go back and of the time of day.
    """

    def __init__(
        self,
        store: DiskStore,
        handle: int,
        head: Mapping[str, object],
        *,
        alone: bool = False,
        describe: Describe = lambda key: {},
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ):
        self._store, self._handle, self._clock, self._process = store, handle, clock, os.getpid()
        self._began = self._flushed = clock()
        self._lines: list[str] = []
        # Keys that are stale since the last flush, and reasons of those without a line. Both are only appended to where
        # tasks are noted, and emptied from the front where they are written, so no lock is needed
        self._stale: dict[_Reason, list[str]] = {}
        self._more: deque[_Reason] = deque()
        self._counts: dict[tuple[str, str], int] = {}  # kind and class
        self._sums: dict[tuple[str, int], list[float]] = {}  # class and second: count, seconds, processor time
        self._running: dict[str, tuple[float, str] | None] = {}  # time and class; None: it has a line
        self._reasons: dict[str, _Reason] = {}  # of tasks that are only counted so far
        self._elsewhere: set[str] = set()
        self._t_text, self._next_text = "0", 0.0
        self._left, self._stale_left = MOST_LINES, MOST_LINES
        self._lock = threading.Lock() if alone else None
        self._writer: threading.Thread | None = None
        self._ended = threading.Event()
        self._on_tick: Callable[[Journal, bool], object] = lambda journal, is_last: None
        self._take = {
            "done": self._done, "fresh": self._count, "skipped": self._count, "failed": self._failed,
            "lost": self._lost, "returned": self._returned,
        }  # fmt: skip
        self._describe = describe
        self._write_line("run", {"format": FORMAT_OF_LINES, **head, "began": round(wall(), 3)})
        self._flush(self._began)

    def on_tick(self, action: Callable[[Journal, bool], object]) -> None:
        """Call `action(journal, is_last)` at each `tick` from now on, and at the end."""
        self._on_tick = action

    def note(self, event: Event[Any], name: str) -> None:
        """Take note of an event of a task of the class `name`; see also `note_stale` and `note_elsewhere`."""
        kind, key, now = event.kind, event.key, self._clock()
        if kind == "started":
            assert key is not None, "an event without a task [this is a bug]"
            self._running[key] = now, name  # without the lock: one step, which the other thread sees done or not
            if self._lock is not None and self._writer is None:
                self._start_writer()
        elif (take := self._take.get(kind)) is not None:
            if self._lock is None:
                take(event, name, now)
            else:
                with self._lock:
                    take(event, name, now)
        if now - self._flushed >= FLUSH_EVERY:
            with self._guard():
                self._flush(now)

    def note_stale(self, key: str, name: str, kind: str, text: str) -> None:
        """Take note of why a task must run: the kind of the reason, and words that hold for the whole class."""
        if key in self._elsewhere:
            return  # it is judged again and again while another run computes it
        reason = name, kind, text
        if self._stale_left <= 0:
            self._reasons[key] = reason
            self._more.append(reason)
            return
        self._stale_left -= 1
        keys = self._stale.get(reason)
        if keys is None:
            keys = self._stale[reason] = []
        keys.append(key)

    def note_elsewhere(self, key: str, name: str, by: Callable[[], object]) -> None:
        """Take note that another run computes a task; `by` gives which. One line, and one more after each `started`."""
        with self._guard():
            has_started_line = self._running.pop(key, (0.0, "")) is None
            if has_started_line or key not in self._elsewhere:
                self._elsewhere.add(key)
                self._write_line("elsewhere", {"task": name, "key": key, "by": by()})

    def tick(self) -> None:
        """To be called every FLUSH_EVERY seconds, also while nothing happens: write what has been collected."""
        self._call_on_tick(is_last=False)
        with self._guard():
            self._flush(self._clock())

    def add(self, kind: str, fields: Mapping[str, object]) -> None:
        """Add a line that belongs to no task."""
        with self._guard():
            self._write_line(kind, fields)

    def close(self, status: Status, stats: Mapping[str, object]) -> None:
        """Write what is left, and the last line."""
        if self._handle < 0 or os.getpid() != self._process:
            return
        self._ended.set()
        self._call_on_tick(is_last=True)
        with self._guard():
            self._flush(self._clock(), is_last=True)
            self._write_line("end", {"status": status, **stats})
            self._flush(self._clock())
            handle, self._handle = self._handle, -1
        try:
            self._store.files.close(handle)
        except OSError:
            pass  # a network folder without room: the lines before are there

    def _call_on_tick(self, *, is_last: bool) -> None:
        try:
            self._on_tick(self, is_last)
        except Exception as error:  # noqa: BLE001  # what is for people must not decide how a run ends
            logger.warning("%s", _complaint(self._store.root, error))

    def _guard(self) -> AbstractContextManager[object]:
        return self._lock or nullcontext()

    def _write_line(self, kind: str, fields: Mapping[str, object]) -> None:
        line = {"event": kind, "t": round(self._clock() - self._began, 3), **fields}
        self._lines.append(json.dumps(line, default=str, separators=(",", ":")))

    # ------------------------------------------------------------ events

    def _done(self, event: Event[Any], name: str, now: float) -> None:
        key: Any = event.key
        detail: Any = event.detail
        started = self._running.pop(key, None)
        seconds = detail["seconds"]
        if self._left <= 0 and seconds < SHORT and started is not None:
            self._reasons.pop(key, None)
            self._add_up(name, now, seconds, detail.get("cpu"))
            return
        self._left -= 1
        if now >= self._next_text:
            # The same for tasks of 5 ms: to format it for each would be a tenth of the price of its line
            self._t_text, self._next_text = f"{now - self._began:.3f}", now + 0.005
        reason = self._reasons.pop(key, None) if self._reasons else None
        if seconds >= SHORT or reason is not None or "bytes" not in detail:
            self._lines.append(_done_line(self._t_text, key, detail, reason))
            return
        # By hand, without the processor time: a fifth of what the encoder takes. Keys and workers need no quoting
        peak = detail["peak"]
        self._lines.append(
            f'{{"event":"done","t":{self._t_text},"key":"{key}","seconds":{seconds:.6f},'
            f'"peak":{"null" if peak is None else peak},"bytes":{detail["bytes"]},"worker":"{detail["worker"]}"}}'
        )

    def _add_up(self, name: str, now: float, seconds: float, cpu: Any) -> None:
        key = name, int(now - self._began)
        total = self._sums.get(key)
        if total is None:
            total = self._sums[key] = [0, 0.0, 0.0]
        total[0] += 1
        total[1] += seconds
        total[2] += cpu or 0.0

    def _count(self, event: Event[Any], name: str, now: float) -> None:
        kind, key = event.kind, str(event.key)
        self._counts[kind, name] = self._counts.get((kind, name), 0) + 1
        self._running.pop(key, None)

    def _failed(self, event: Event[Any], name: str, now: float) -> None:
        key, detail = str(event.key), event.detail
        problem, seconds = detail.get("problem"), detail.get("seconds")
        took = seconds if isinstance(seconds, float) else 0.0
        if self._left <= 0 and took < SHORT and self._running.get(key) is not None:
            self._count(event, name, now)
            return
        self._left -= 1
        why = self._end_of(key)
        kind, text = (problem.kind, problem.text) if isinstance(problem, Problem) else ("lost", "its inputs were lost")
        fields = {"task": name, "key": key, "kind": kind, "message": text[:_LONGEST], "seconds": round(took, 6)}
        self._write_line("failed", {**fields, **why})

    def _lost(self, event: Event[Any], name: str, now: float) -> None:
        key, keys = str(event.key), event.detail.get("keys", [])
        self._write_line("lost", {"task": name, "key": key, "keys": keys, **self._end_of(key)})

    def _returned(self, event: Event[Any], name: str, now: float) -> None:
        key = str(event.key)
        if self._running.pop(key, (0.0, "")) is None:  # it has a line
            self._write_line("returned", {"task": name, "key": key})

    def _end_of(self, key: str) -> dict[str, object]:
        """It does not run any more. Fields of a line that say why it ran, if no line has said so."""
        self._running.pop(key, None)
        return _reason_fields(self._reasons.pop(key, None))

    # ------------------------------------------------------------ writing

    def _start_writer(self) -> None:
        """Start the thread that writes while this one runs a task."""
        self._writer = threading.Thread(target=self._write_beside, name="taskproc-journal", daemon=True)
        try:
            self._writer.start()
        except RuntimeError:
            pass  # no more threads: a task that was started is written when it has ended

    def _write_beside(self) -> None:
        while not self._ended.wait(FLUSH_EVERY):
            self.tick()

    def _flush(self, now: float, *, is_last: bool = False) -> None:
        self._flushed, t = now, round(now - self._began, 3)
        self._flush_groups(t)
        for key, start in list(self._running.items()):
            if start is not None:
                self._running[key] = None
                began, name = start
                reason = _reason_fields(self._reasons.pop(key, None))
                fields = {"task": name, "key": key, **self._describe(key), **reason}
                line = {"event": "started", "t": round(began - self._began, 3), **fields}
                self._lines.append(json.dumps(line, separators=(",", ":")))
        for name, second in [key for key in self._sums if is_last or key[1] < int(t)]:
            count, seconds, cpu = self._sums.pop((name, second))
            fields = {"task": name, "done": count, "seconds": round(seconds, 6), "cpu": round(cpu, 6)}
            self._lines.append(json.dumps({"event": "summed", "t": second, **fields}, separators=(",", ":")))
        self._write()

    def _flush_groups(self, t: float) -> None:
        stale = []
        for reason, keys in list(self._stale.items()):
            if count := len(keys):
                stale.append(_stale_line(t, reason, keys[:count]))
                del keys[:count]
        if len(self._stale) > _MOST_REASONS and self._lock is None:
            self._stale = {}
        # Before the lines of these tasks, which may have begun and ended since the last flush
        self._lines[:0] = stale
        more = Counter(self._more.popleft() for _ in range(len(self._more)))
        for (name, kind, text), count in more.items():
            self._write_line("stale", {"task": name, "reason": kind, "text": text[:_LONGEST], "count": count})
        counts, self._counts = self._counts, {}
        for (kind, name), count in counts.items():
            self._write_line(kind, {"task": name, "count": count})

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        if not lines or self._handle < 0 or os.getpid() != self._process:
            return
        lines.append("")
        try:
            self._store.files.append(self._handle, "\n".join(lines).encode("utf-8", "backslashreplace"))
        except OSError as error:
            handle, self._handle = self._handle, -1
            os.close(handle)
            logger.warning("%s", _complaint(self._store.root, error))


def _done_line(t: str, key: str, detail: Mapping[str, object], reason: _Reason | None) -> str:
    rounded = {name: round(value, 6) if isinstance(value, float) else value for name, value in detail.items()}
    line = {"event": "done", "t": float(t), "key": key, **rounded, **_reason_fields(reason)}
    return json.dumps(line, separators=(",", ":"))


def _stale_line(t: float, reason: _Reason, keys: Sequence[str]) -> str:
    head = json.dumps({"event": "stale", "t": round(t, 3), **_reason_fields(reason)}, separators=(",", ":"))
    return f'{head[:-1]},"keys":["{_BETWEEN.join(keys)}"]}}'


def _reason_fields(reason: _Reason | None) -> dict[str, object]:
    return {} if reason is None else {"task": reason[0], "reason": reason[1], "text": reason[2][:_LONGEST]}
