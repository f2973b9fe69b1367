"""The runs of a cache as they are now: what is on its way, seen from another process, and what earlier runs did.

All of it comes from the journals (docs/journal.md), the registrations of runs, and records. So it is known on every
host that shares the folder, at most half a second late. A registration tells whether a run of another host lives. The
memory of a task that runs is known only on its host, and only of worker processes.
"""
from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from taskproc.errors import LinkInCache
from taskproc.frozen import frozen, replace
from taskproc.ledger.estimates import Estimate, PastTask, past_tasks, spread
from taskproc.ledger.identifiers import Catalogue, Located
from taskproc.ledger.journal import Run, TaskTrace, read_run, runs
from taskproc.ledger.logs import Log
from taskproc.ledger.task_calls import TaskCalls
from taskproc.machine import host_name
from taskproc.store import layout
from taskproc.store.disk import DiskStore

_END = 4096       # bytes at the end of a journal in which its last line is looked for
_TAIL = 4096      # bytes of a log in which its last line is looked for
_ENDED = ("done", "fresh", "failed", "skipped")


@frozen
class RunningTask:
    """A task that a run computes now.

    Attributes:
        task: its class; key: its key; call: the task as one would write it.
        age: seconds since it was started; usual: seconds that tasks of its class take.
        memory: bytes that its process uses; usual_memory: the peak that tasks of its class have.
        line: the last line that it printed; empty if there is none.
    """

    task: str
    key: str
    call: str
    age: float
    usual: Estimate | None
    memory: int | None
    usual_memory: Estimate | None
    line: str


@frozen
class RunState:
    """A run, as it is now or as it ended.

    Attributes:
        counts: done, fresh, failed, skipped, running, total → how many tasks; `total` is 0 if it is not known.
        age: seconds since it began, or that it took.
        left: seconds that it will still take; None: not known, or it has ended.
        unknown: tasks that are left, and of whose class no duration is known; they are not counted in `left`.
        running: tasks that it computes now, the oldest first.
        elsewhere: task → the run that computes it, as `host` and `pid`, for tasks that this one waits for.
    """

    run: Run
    counts: Mapping[str, int]
    age: float
    left: Estimate | None = None
    unknown: int = 0
    running: Sequence[RunningTask] = ()
    elsewhere: Sequence[tuple[str, str]] = ()


class RunStates:
    """Reads the states of runs. Durations of a class are read once.

    Args:
        clock: wall-clock seconds.
        history: gives the past tasks of a class; default: those of the store.
    """

    def __init__(
        self,
        store: DiskStore,
        clock: Callable[[], float] = time.time,
        history: Callable[[str], Sequence[PastTask]] | None = None,
    ):
        self._store, self._clock = store, clock
        self._history = history or (lambda name: past_tasks(store, name))
        self._past: dict[str, Sequence[PastTask]] = {}

    def live(self) -> list[RunState]:
        """The runs that are on their way now, newest first."""
        living = _living(self._store)
        states = []
        for path in runs(self._store.root):
            if not _has_ended(path) and (run := _run_at(path)) is not None:
                here = (run.head.get("host"), run.head.get("pid"))
                if run.status == "running" or (run.status == "unknown" and here in living):
                    states.append(self.state(replace(run, status="running")))
        return states

    def newest(self) -> RunState | None:
        """The run that began last; None if there is no journal."""
        for path in runs(self._store.root):
            if (run := _run_at(path)) is not None:
                return self.state(run)
        return None

    def state(self, run: Run) -> RunState:
        """The state of a run."""
        counts = {kind: sum(some.get(kind, 0) for some in run.counts.values()) for kind in (*_ENDED, "running")}
        totals = run.head.get("tasks")
        counts["total"] = sum(totals.values()) if isinstance(totals, Mapping) else 0
        if run.status != "running":
            elapsed = run.end.get("elapsed", run.t)
            return RunState(run, counts, float(elapsed))
        age = max(0.0, self._clock() - float(run.head.get("began", self._clock())))
        left, unknown = self._left(run, counts["running"])
        traces = sorted(run.tasks.values(), key=lambda trace: trace.started or 0.0)
        catalogue = Catalogue(self._store)
        calls, memories = TaskCalls(catalogue), _memories(self._store, run)
        running = [self._running(run, trace, age, calls, memories) for trace in traces if trace.state == "running"]
        elsewhere = [(calls.text(trace.task, trace.key, {}), _by(trace)) for trace in traces
                     if trace.state == "elsewhere"]  # fmt: skip
        return RunState(run, counts, age, left, unknown, running, elsewhere)

    def _running(
        self, run: Run, trace: TaskTrace, age: float, calls: TaskCalls, memories: Mapping[int, int]
    ) -> RunningTask:
        number = int(trace.key[:16], 16) >> 1
        past = self.past(trace.task)
        return RunningTask(
            trace.task, trace.key, calls.text(trace.task, trace.key, {}), age - (trace.started or 0.0),
            spread(one.seconds for one in past), memories.get(number), spread(one.peak for one in past),
            self._last_line(Located(layout.folder_name(trace.task), number)),
        )  # fmt: skip

    def past(self, name: str) -> Sequence[PastTask]:
        """The tasks of a class with a result, newest first."""
        if name not in self._past:
            self._past[name] = self._history(name)
        return self._past[name]

    def _left(self, run: Run, running: int) -> tuple[Estimate | None, int]:
        """What is left of each class at its usual duration, shared by as many workers as are busy."""
        totals, unknown, whole = run.head.get("tasks"), 0, Estimate(0.0, 0.0, 0.0)
        if not isinstance(totals, Mapping):
            return None, 0
        for name, total in totals.items():
            counts = run.counts.get(name, {})
            open_tasks = int(total) - sum(counts.get(kind, 0) for kind in _ENDED)
            usual = spread(one.seconds for one in self.past(name))
            if usual is None:
                unknown += max(0, open_tasks)
                continue
            # A task that was not judged yet may turn out to be fresh
            surely = max(0, counts.get("stale", 0) - counts.get("done", 0) - counts.get("failed", 0))
            whole = whole.plus(Estimate(usual.likely * open_tasks, usual.low * min(surely, open_tasks),
                                        usual.high * open_tasks))  # fmt: skip
        ages = sum(self._clock() - float(run.head.get("began", 0.0)) - (trace.started or 0.0)
                   for trace in run.tasks.values() if trace.state == "running")  # fmt: skip
        share = max(1, running)
        likely, low, high = (max(0.0, (seconds - ages) / share) for seconds in (whole.likely, whole.low, whole.high))
        return Estimate(likely, low, high), unknown

    def _last_line(self, task: Located) -> str:
        try:
            with self._store.held(task.class_folder, "results", str(task.id)) as folder:
                number = self._store.newest_attempt(folder, self._store.files.listdir(folder))
        except (OSError, LinkInCache):
            return ""
        lines = Log(self._store, task, "stdout", number).end(_TAIL).decode("utf-8", "replace").split("\n")
        return next((line.rpartition("\r")[2].strip() for line in reversed(lines) if line.strip()), "")


def past_runs(store: DiskStore) -> Iterator[RunState]:
    """All runs that have a journal, newest first."""
    states = RunStates(store)
    for path in runs(store.root):
        if (run := _run_at(path)) is not None:
            yield states.state(run)


def saved_seconds(states: RunStates, run: Run) -> float:
    """About how long the tasks that were fresh in a run took when they were computed."""
    saved = 0.0
    for name, counts in run.counts.items():
        if fresh := counts.get("fresh", 0):
            usual = spread(one.seconds for one in states.past(name))
            saved += fresh * (usual.likely if usual is not None else 0.0)
    return saved


def reasons_of(run: Run) -> dict[tuple[str, str], Counter[str]]:
    """Kind and words of each reason → class → how many tasks of a run ran for it."""
    reasons: dict[tuple[str, str], Counter[str]] = {}
    for trace in run.tasks.values():
        if trace.reason is not None:
            reasons.setdefault((trace.reason, trace.text or ""), Counter())[trace.task] += 1
    return reasons


def _run_at(path: str) -> Run | None:
    try:
        return read_run(path)
    except OSError:
        return None  # its turn to be removed has come


def _has_ended(path: str) -> bool:
    """Whether a journal has its last line; looked for before all of it is read."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _END))
            return b'{"event":"end"' in file.read()
    except OSError:
        return True


def _living(store: DiskStore) -> set[tuple[object, object]]:
    """Host and process id of each run that is registered and lives."""
    found: set[tuple[object, object]] = set()
    for token in store.witness.others():
        about = store.witness.about(token)
        found.add((about.get("host"), about.get("pid")))
    return found


def _by(trace: TaskTrace) -> str:
    return "another run" if trace.by is None else f"{trace.by.get('host')}, process {trace.by.get('pid')}"


def _memories(store: DiskStore, run: Run) -> dict[int, int]:
    """Id of a task → bytes that the worker process which runs it uses now. Only on the host of the run."""
    found: dict[int, int] = {}
    if run.head.get("host") != host_name():
        return found
    for token in store.witness.others():
        if store.witness.about(token).get("pid") != run.head.get("pid"):
            continue
        folder = os.path.join(store.root, "run", f"{token}.d")
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            process, _, end = name.partition("-")
            if end.endswith(".job") and process.isdigit():
                found.update(_memory_of(os.path.join(folder, name), int(process)))
    return found


def _memory_of(path: str, process: int) -> Iterator[tuple[int, int]]:
    try:
        with open(path, "rb") as file:
            log = file.read(4096).split(b"\0")[0].decode("utf-8", "replace")
        with open(f"/proc/{process}/statm", "rb") as statm:
            memory = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        yield int(os.path.basename(os.path.dirname(log))), memory
    except (OSError, ValueError, IndexError):
        return  # no worker writes there any more, or not on this system
