"""Running a graph: the options of a run become a plan, a runner and watchers, and one loop executes the plan."""
from __future__ import annotations

import copyreg
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from taskproc.drive import drive, settle_some
from taskproc.errors import (
    BuildError,
    CacheError,
    CycleError,
    FailedTaskError,
    MissingResult,
    OptionError,
    RemoteError,
    TaskFailure,
)
from taskproc.kernel.limits import Limits
from taskproc.kernel.model import Event, Outcome, Problem
from taskproc.kernel.plan import Plan
from taskproc.ledger.journal_writer import FLUSH_EVERY, Journal, new_run_id
from taskproc.pickling import pack_error, unpack_error
from taskproc.run.combined_runners import Lanes
from taskproc.run.group import Grace
from taskproc.run.pool import LocalExecutor, PoolRunner, is_in_process
from taskproc.run.prefix_job import jobs_left
from taskproc.run.problem import end_of_log, rebuild
from taskproc.run.signals import Signals
from taskproc.run.system_limits import limits_raised
from taskproc.store.disk import DiskStore
from taskproc.streams import write_error
from taskproc.tasks.access import store_of
from taskproc.tasks.graph_work import GraphWork, Placement
from taskproc.tasks.inspection import other_versions, preview, summary
from taskproc.tasks.journaling import begin_journal, claimed_by, closed_at_end, described
from taskproc.tasks.known_versions import KnownVersions
from taskproc.tasks.labels import (
    Prefix,
    Prefixes,
    RateLimits,
    Slots,
    labels_of,
    prefix_of,
    read_prefixes,
    warn_of_unknown,
)
from taskproc.tasks.runner_choice import choose, runner_for
from taskproc.tasks.running_job import running_job, running_keys
from taskproc.tasks.stats import COUNTED, Counter, RunStats
from taskproc.tasks.task_graph import Graph, graph_of
from taskproc.watch.stream import COMMANDS, WORKERS, Outline, Stream, Watcher

if TYPE_CHECKING:
    from taskproc.tasks.remaining import RunRemaining

Task = Any  # tasks.task stands above this module
logger = logging.getLogger("taskproc")

# Places in the runner are slots like any other
_PLACES = frozenset({WORKERS, COMMANDS})
_RELOADS = 3  # how often the final result may prove unreadable


def run_graph(
    task: Task,
    *,
    executor: Executor | None = None,
    max_workers: int | None = None,
    rate_limits: RateLimits | None = None,
    prefixes: Prefixes | None = None,
    prefix: Prefixes | None = None,
    detect_source_change: bool = True,
    show_progress: bool = False,
    on_error: Literal["stop", "continue"] = "stop",
    force: bool = False,
    watchers: Sequence[Watcher] = (),
    dry_run: bool = False,
) -> tuple[Any, RunStats]:
    """The result of `task` and the statistics of the run; see Task.run_graph.

    A tuple of tasks is run as one graph; its result is None.
    """
    started = time.monotonic()
    if on_error not in ("stop", "continue"):
        raise OptionError(f"on_error must be 'stop' or 'continue', got {on_error!r}")
    executor = choose(executor, max_workers)
    given = read_prefixes(prefixes, prefix)
    slots = Slots(rate_limits)
    limits = Limits(slots.counts)
    known = plan_work(task, detect_source_change, force, is_run=not dry_run)
    graph = known.graph
    for what, labels in (("rate limit", limits.slots()), ("prefix", given)):
        if labels:
            warn_of_unknown(set(map(type, graph.tasks.values())), what, labels)
    placement = _placement(graph, executor, _behind(graph, given) if given else {}, slots)
    counter = Counter()
    if dry_run:
        _count_preview(known, counter)
        return None, counter.stats(time.monotonic() - started)
    totals = _totals(graph)
    node_labels, first_slots = _labels(graph, placement.commands), dict[str, int]()
    shown = [*watchers, *(_progress(totals, not placement.captures) if show_progress else ())]
    remaining = _remaining(known, node_labels, first_slots) if shown else None
    stream = Stream([remaining, *shown] if remaining else [])
    outer = running_job()
    run_id = outer.run if outer is not None else new_run_id()  # what a task runs itself belongs to the run of the task
    work = GraphWork(known, placement, node_labels, run_id)
    options = {
        "executor": executor and type(executor).__name__, "max_workers": max_workers, "rate_limits": limits.slots(),
        "prefixes": list(given), "on_error": on_error, "force": force, "detect_source_change": detect_source_change,
    }  # fmt: skip
    where = partial(described, in_process=placement.in_process, captures=placement.captures)
    alone = isinstance(executor, LocalExecutor)
    journal = None
    if outer is None:
        journal = begin_journal(
            task, known.store, run_id, totals, options, lambda key: where(node_labels[key]), alone=alone
        )
    grace = Grace()
    with closed_at_end(journal, lambda: counter.stats(time.monotonic() - started)), limits_raised(), runner_for(
        executor, max_workers, grace
    ) as runner:
        if journal is not None and not alone:
            runner.call_every(FLUSH_EVERY, journal.tick)
        run = _Run(work, runner, counter, stream, limits, on_error == "stop", grace, journal)
        first_slots.update(run.slots())
        stream.begin(Outline(totals, run.waits, remaining.left) if remaining else Outline(totals, run.waits))
        value = run.result()
    return value, counter.stats(time.monotonic() - started)


def _count_preview(known: KnownVersions, counter: Counter) -> None:
    """Count what would run, and why, as if it had run."""
    for key, reason in preview(known):
        name = known.graph.class_name(key)
        counter.count(Event("done", key), name)
        counter.reason(name, summary(known.graph, reason))


def plan_work(
    task: Task, detect_source_change: bool = True, force: bool = False, *, is_run: bool = False
) -> KnownVersions:
    """The graph of `task`, or of a tuple of tasks, gathered and ready to be judged, or run if it is for that."""
    roots = task if type(task) is tuple else (task,)
    graph = graph_of(*roots)
    for key in running_keys().intersection(graph.needs):  # it would wait for ever
        name, root = graph.name_of(key), graph.name_of(graph.root)
        raise CycleError(f"{name} needs itself: {root} is run inside its run_task, and waits for it")
    if force and roots[0]._taskproc.version is not None:
        raise BuildError(f"{graph.name_of(graph.root)} is an input of the task that runs here and cannot be run again")
    forced = frozenset([graph.root]) if force else frozenset()
    store = store_of(roots[0]._taskproc)
    return KnownVersions(graph, store, checks_code=detect_source_change, forced=forced, is_run=is_run)


def _placement(graph: Graph, executor: Executor | None, commands: Mapping[str, Prefix], slots: Slots) -> Placement:
    """Where the tasks run.

    OptionError, before anything starts, for what is not supported there: no thread can be ended or start fresh.
    """
    in_process, captures = is_in_process(executor), not isinstance(executor, LocalExecutor)
    for key, task in graph.tasks.items() if in_process else ():
        cls = type(task)
        what = "a task_timeout" if cls.task_timeout is not None else "task_own_process"
        needs = cls.task_timeout is not None or cls.task_own_process
        if needs and key not in commands and task._taskproc.version is None:
            raise OptionError(
                f"{cls.__qualname__} has {what}, which is not supported in threads and inline: run it in "
                "worker processes (no executor, `-t process`), or behind a prefix (an empty one is enough)"
            )
    foreign = executor is not None and not in_process
    return Placement(commands, in_process=in_process, foreign=foreign, captures=captures, slots=slots)


class _Run:
    """A run that is under way."""

    def __init__(
        self,
        work: GraphWork,
        runner: Lanes[str, Outcome[str]],
        counter: Counter,
        stream: Stream,
        limits: Limits,
        stops: bool,
        grace: Grace,
        journal: Journal | None = None,
    ):
        self._journal = journal
        self._places = runner.ordinary.capacity()
        places = {WORKERS: self._places, COMMANDS: runner.prefixed.capacity()}
        self._limits = Limits({**limits.slots(), **places})
        self._plan: Plan[str] = Plan(self._limits)
        self._work, self._known, self._graph = work, work.known, work.known.graph
        self._runner, self._counter, self._stream, self._stops = runner, counter, stream, stops
        self._failed: list[Event[str]] = []
        self._told: set[str] = set()
        self._interrupts = Interrupts(work, self._plan, runner, grace)

    def slots(self) -> dict[str, int]:
        """Label → how many tasks with it may run at once; places in the runner among them."""
        return self._limits.slots()

    def waits(self) -> dict[str, int]:
        """Label → how many ready tasks wait for a slot of it now; in any thread. A limit comes before a place here."""
        counts: dict[str, int] = {}
        for full, count in self._plan.held_up():
            label = next((label for label in full if label not in _PLACES), full[0] if full else "")
            counts[label] = counts.get(label, 0) + count
        return counts

    def result(self) -> Any:
        """Run the tasks that have to run, and load the result of the root."""
        value = None
        with self._interrupts.signals as signals:
            try:
                value = self._result()
            except BaseException:
                if not signals.first:
                    raise
                self._interrupts.wind_down(self._settle)
            finally:
                self._runner.stop()
                if not signals.first:
                    for line in other_versions(self._known):
                        logger.warning("%s", line)
                self._stream.close()
                if signals.first:
                    self._interrupts.tell()
                tell_of_jobs(self._runner.left)
                self._work.end(remembers=not signals.first)
        signals.check()
        return value

    def _result(self) -> Any:
        root = self._graph.root
        for attempt in range(_RELOADS + 1):
            check = self._interrupts.signals.check
            for event in drive(
                self._plan, self._work, self._runner, stop_on_failure=self._stops, check=check, resize=self._resize
            ):
                self._note(event)
            if self._failed:
                raise self._error()
            if not root:
                return None
            try:
                return self._known.value(root)
            except MissingResult as error:
                if attempt == _RELOADS or not self._known.forget(root) or not self._plan.lose(root):
                    raise
                logger.warning("%s; it is computed again", error)
                self._told.add(root)
        raise AssertionError("the last attempt neither returned nor raised [this is a bug]")

    def _resize(self) -> None:
        places = self._runner.ordinary.capacity()
        if places != self._places:
            self._places = self._limits.resize(WORKERS, places)

    def _settle(self) -> None:
        for event in settle_some(self._plan, self._work, self._runner, time.monotonic):
            self._note(event)

    def _note(self, event: Event[str]) -> None:
        key, kind = event.key, event.kind
        if key is None:
            return
        graph = self._graph
        name: str = graph.tasks[key]._taskproc.place.name
        if kind in COUNTED:
            self._counter.count(event, name)
        journal = self._journal
        if kind == "stale":
            event = self._note_reason(event, key, name)
        elif journal is not None:
            if kind == "elsewhere":
                place = graph.tasks[key]._taskproc.place
                journal.note_elsewhere(key, name, partial(claimed_by, self._known.store, place))
            else:
                journal.note(event, name)
        if self._stream.is_watched:
            self._stream.tell(event, name, partial(graph.name_of, key))
        if kind == "failed":
            self._failed.append(event)
        elif kind == "lost":
            self._warn(event.detail["keys"], "its result could not be read")

    def _note_reason(self, event: Event[str], key: str, name: str) -> Event[str]:
        """Count why a task runs; return the event with a summary in words that fit the whole class."""
        reason = self._known.reasons[key]
        words = summary(self._graph, reason)
        self._counter.reason(name, words)
        if self._journal is not None:
            self._journal.note_stale(key, name, reason.kind, words)
        if reason.kind == "unreadable":
            self._warn([key], reason.text)
        return Event("stale", key, {**event.detail, "summary": words}) if self._stream.is_watched else event

    def _warn(self, keys: object, text: str) -> None:
        """Warn once for each stored result that could not be used and is computed again."""
        assert isinstance(keys, list), f"lost {keys!r} [this is a bug]"
        for key in keys:
            if key not in self._told:
                self._told.add(key)
                logger.warning("%s: %s; it is computed again", self._graph.name_of(key), text)

    def _error(self) -> FailedTaskError:
        """The error with all failures; tasks that did not start because the run stopped count as skipped."""
        graph = self._graph
        for key in graph.needs:
            if self._plan.state(key) in ("waiting", "due", "ready"):
                event = Event("skipped", key)
                self._counter.count(event, graph.class_name(key))
                if self._journal is not None:
                    self._journal.note(event, graph.class_name(key))
                self._stream.tell(event, graph.class_name(key), partial(graph.name_of, key))
        return FailedTaskError([failure_of(graph, self._known.store, str(event.key), event) for event in self._failed])


def _labels(graph: Graph, commands: Mapping[str, Prefix]) -> dict[str, tuple[str, ...]]:
    """Key → the labels of the task, and its place in the runner; one tuple for all tasks of a class."""
    known: dict[tuple[type, bool], tuple[str, ...]] = {}
    labels: dict[str, tuple[str, ...]] = {}
    for key, task in graph.tasks.items():
        kind = type(task), key in commands
        if kind not in known:
            known[kind] = (*labels_of(kind[0]), COMMANDS if kind[1] else WORKERS)
        labels[key] = known[kind]
    return labels


def _behind(graph: Graph, given: Mapping[str, Prefix]) -> dict[str, Prefix]:
    """Key → command, for the tasks that run behind one."""
    classes = {type(task) for task in graph.tasks.values()}
    by_class = {cls: prefix_of(labels_of(cls), given) for cls in classes}
    found = {key: by_class[type(task)] for key, task in graph.tasks.items()}
    return {key: command for key, command in found.items() if command is not None}


def _totals(graph: Graph) -> dict[str, int]:
    """Task class → the number of its tasks."""
    totals: dict[str, int] = {}
    for key in graph.needs:
        name = graph.class_name(key)
        totals[name] = totals.get(name, 0) + 1
    return totals


def _remaining(
    known: KnownVersions, labels: Mapping[str, tuple[str, ...]], limits: Mapping[str, int]
) -> RunRemaining:
    from taskproc.tasks.remaining import RunRemaining  # here: for runs that are watched

    return RunRemaining(known, labels, limits)


def _progress(totals: Mapping[str, int], local: bool) -> Sequence[Watcher]:
    from taskproc.watch.progress import progress

    # Bars, and lines that appear by themselves, would be drawn over a debugger
    return (progress(totals, bars=False if local else None, beats=not local),)


def failure_of(graph: Graph, store: DiskStore, key: str, event: Event[str]) -> TaskFailure:
    """The failure that an event of kind `failed` reports."""
    task = graph.tasks[key]
    problem = event.detail.get("problem")
    if isinstance(problem, Problem):
        error, traceback = rebuild(problem), problem.traceback
    else:
        names = ", ".join(graph.name_of(str(lost)) for lost in _list(event.detail.get("keys")))
        error, traceback = MissingResult(f"results that it reads were lost again and again: {names}"), ""
    place = task._taskproc.place
    stdout, stderr = (_existing(store.log_path(place, stream)) for stream in ("stdout", "stderr"))
    return TaskFailure(
        task=graph.name_of(key),
        task_name=place.name,
        task_id=place.id,
        error=error,
        traceback=traceback,
        stdout=stdout,
        stderr=stderr,
        log=next(filter(None, map(end_of_log, filter(None, (stderr, stdout)))), ""),
    )


def _reduced(failure: TaskFailure) -> tuple[Callable[..., TaskFailure], tuple[object, ...]]:
    """How a failure is pickled: its error may be any object, and is pickled as errors are."""
    values = {name: value for name, value in vars(failure).items() if name != "error"}
    return _restored, (values, pack_error(failure.error))


def _restored(values: dict[str, Any], error: bytes) -> TaskFailure:
    return TaskFailure(**values, error=unpack_error(error, values["traceback"]) or RemoteError(values["task"]))


copyreg.pickle(TaskFailure, _reduced)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None


class Interrupts:
    """The signals of one run.

    Attributes:
        signals: to be entered for the duration of the run. A run inside a task has none: they belong to the outer run.
    """

    def __init__(self, work: GraphWork, plan: Plan[str], runner: Lanes[str, Outcome[str]], grace: Grace):
        self._work, self._plan, self._runner, self._grace = work, plan, runner, grace
        inside = running_job() is not None
        self.signals = Signals(
            runner.ring, self._press, lambda: running_job() is not None, enabled=not inside, wakeup=runner.button()
        )

    def wind_down(self, settle: Callable[[], None]) -> None:
        """After the first signal, end what can be ended. Threads cannot: call `settle` until they are through.

        Commands that they wait for can be ended.
        """
        if count := len(self._in_threads()):
            from taskproc.run.command_runner import all_ended  # here: 3 ms, and most runs are not interrupted

            tasks = "a running task" if count == 1 else f"{count} running tasks"
            why = f"waiting for {tasks}, which cannot be ended in threads"
            write_error(f"interrupted: {why}; a second signal leaves at once")
            self._runner.prefixed.stop()
            with all_ended():
                while self._in_threads():
                    settle()
        self._runner.stop()

    def tell(self) -> None:
        """Clean up what was left, and write the one line that says how far the run got."""
        running = [key for key in self._work.known.graph.needs if self._plan.state(key) == "running"]
        published = sum(map(self._was_published, running))
        done, stopped = self._plan.count("done") + published, len(running) - published
        part = f", {stopped:,} stopped" if stopped else ""
        write_error(f"interrupted: {done:,} of {len(self._work.known.graph.needs):,} done{part}; run again to resume")

    def _was_published(self, key: str) -> bool:
        try:
            return self._work.interrupted(key)
        except (OSError, CacheError):
            return False  # the cache was removed during the run

    def _in_threads(self) -> list[str]:
        work, pool = self._work, self._runner.ordinary
        if not isinstance(pool, PoolRunner) or pool.is_inline:
            return []
        keys = (key for key in work.known.graph.needs if self._plan.state(key) == "running")
        return [key for key in keys if key not in work.placement.commands]

    def _press(self) -> None:
        self._grace.hurry()
        # Tasks behind commands can be ended, and have their own time for it
        if self._in_threads() or (isinstance(self._runner.ordinary, PoolRunner) and running_job() is not None):
            self._work.end()  # from now on, claims that threads hold count as dead
            for stream in (sys.stdout, sys.stderr):
                _flush(stream)
            os._exit(128 + self.signals.first)


def tell_of_jobs(left: Sequence[str]) -> None:
    """Name the jobs that may be left on a cluster, if any. `left`: the commands that end them."""
    if left:
        write_error(f"\nhint: {jobs_left(left)}")


def _flush(stream: object) -> None:
    try:
        stream.flush()  # type: ignore[attr-defined]  # None, or any object that the user has put there
    except (OSError, ValueError, RuntimeError, AttributeError):
        pass  # as in write_error
