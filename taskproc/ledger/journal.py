"""The journals of runs: where they lie, and what they say; docs/journal.md has their fields.

A journal may be read while its run is on its way, and after its process was killed. It decides nothing, so what cannot
be understood is skipped.
"""
from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from taskproc.machine import birth_of, host_name, is_unused, realm
from taskproc.store.files import Files
from taskproc.store.layout import JOURNALS, is_journal


@dataclass(frozen=True)
class TaskTrace:
    """What a journal says of one task that has lines of its own. None: it does not say so.

    Attributes:
        task: its class; key: its key.
        state: stale, running, done, failed, lost or elsewhere, by the last line.
        reason, text: why it ran: the kind of the reason, and words that hold for the class.
        started, ended: seconds since the run began.
        seconds, cpu, peak, bytes, worker: as in its record.
        message: why it failed; by: `host` and `pid` of the run that computes it.
    """

    key: str
    task: str = ""
    state: str = "stale"
    reason: str | None = None
    text: str | None = None
    started: float | None = None
    ended: float | None = None
    seconds: float | None = None
    cpu: float | None = None
    peak: int | None = None
    bytes: int | None = None
    worker: str | None = None
    message: str | None = None
    by: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Run:
    """What the journal of a run says.

    Attributes:
        run: its id.
        path: of the journal.
        head: the fields of the first line, empty if it is torn; `dirty` is as it was found out later.
        tasks: key → what is known of each task that has lines of its own.
        counts: class → stale, done, failed, fresh, skipped, running → how many.
        status: done, failed, interrupted; running, if its process lives; killed, if that has ended; else unknown.
        end: the fields of the last line; empty if the run has not ended.
        t: seconds since its beginning up to the last line.
    """

    run: str
    path: str
    head: Mapping[str, Any]
    tasks: Mapping[str, TaskTrace]
    counts: Mapping[str, Mapping[str, int]]
    status: str
    end: Mapping[str, Any]
    t: float


def runs(root: str) -> list[str]:
    """The paths of the journals in the cache `root`, newest first."""
    folder = os.path.join(root, JOURNALS)
    try:
        names = sorted(filter(is_journal, os.listdir(folder)), reverse=True)
    except OSError:
        return []
    return [os.path.join(folder, name) for name in names]


def read_run(path: str | os.PathLike[str]) -> Run:
    """What the journal at `path` says now; the run may be on its way. A torn line is skipped.

    Raises OSError if the file cannot be read, or is a link.
    """
    folder, name = os.path.split(os.fspath(path))
    handle = Files().read_only(folder, name)
    with open(handle, "rb") as file:
        reading = _Reading()
        for line in file:
            try:
                content = json.loads(line)
            except (ValueError, RecursionError):
                continue  # torn: its process, or its machine, died while it was written
            if isinstance(content, dict):
                reading.take(content)
    status = str(reading.end["status"]) if reading.end else _life(reading.head)
    counts = {name: dict(some) for name, some in reading.counts.items()}
    for trace in reading.tasks.values():
        if trace.state == "running":
            counts[trace.task]["running"] += 1
    run = name.removesuffix(".jsonl")
    return Run(run, os.fspath(path), reading.head, reading.tasks, counts, status, reading.end, reading.t)


_LIFE = {True: "running", False: "killed", None: "unknown"}


def _life(head: Mapping[str, Any]) -> str:
    """What has become of a run that has not ended: its process may be looked for only where its id is valid."""
    pid, birth = head.get("pid"), head.get("birth")
    if not isinstance(pid, int) or head.get("host") != host_name() or head.get("realm") != realm():
        return "unknown"
    now = birth_of(pid)
    if now is None:
        return "killed" if is_unused(pid) else "unknown"
    return "running" if now == birth else "killed"


class _Reading:
    """The lines of a journal, one after another."""

    def __init__(self) -> None:
        self.head: dict[str, Any] = {}
        self.end: dict[str, Any] = {}
        self.tasks: dict[str, TaskTrace] = {}
        self.counts: dict[str, dict[str, int]] = {}
        self.t = 0.0

    def take(self, line: dict[str, Any]) -> None:
        """Add a line. One that is not as it should be changes nothing."""
        kind = line.get("event")
        try:
            self.t = max(self.t, float(line.get("t", 0.0)))
            if kind == "run":
                self.head = line
            elif kind == "end":
                self.end = line
            elif kind == "git":
                self.head["dirty"] = line["dirty"]
            elif kind == "summed":
                self._count(line["task"], "done", line["done"])
            elif "count" in line:
                self._count(line["task"], str(kind), line["count"])
            elif kind == "stale":
                self._take_stale(line)
            elif isinstance(line.get("key"), str):
                self._take_task(str(kind), line)
        except (KeyError, TypeError, ValueError):
            pass  # by another version, or edited

    def _count(self, name: str, kind: str, count: int = 1) -> None:
        counts = self.counts.setdefault(name, dict.fromkeys(_COUNTED, 0))
        if kind in counts:
            counts[kind] += count

    def _take_stale(self, line: Mapping[str, Any]) -> None:
        self._count(line["task"], "stale", len(line["keys"]))
        for key in line["keys"]:
            self.tasks[key] = TaskTrace(key, line["task"], reason=line["reason"], text=line["text"])

    def _take_task(self, kind: str, line: Mapping[str, Any]) -> None:
        trace = self.tasks.get(line["key"]) or TaskTrace(line["key"])
        fields = {name: line[name] for name in _TRACED & line.keys()}
        moment = {"started": line["t"]} if kind == "started" else {"ended": line["t"]} if kind in _ENDS else {}
        state = _STATES.get(kind, trace.state)
        trace = self.tasks[line["key"]] = replace(trace, **fields, **moment, state=state)
        self._count(trace.task, kind)


_COUNTED = ("stale", "done", "failed", "fresh", "skipped", "running")
_TRACED = {field.name for field in fields(TaskTrace)} - {"key", "state", "started", "ended"}
_ENDS = ("done", "failed", "lost", "elsewhere")
_STATES = {"returned": "stale", "started": "running", **dict(zip(_ENDS, _ENDS))}
