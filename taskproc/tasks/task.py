"""Task: what a user subclasses. Its attributes say what it needs, `run_task` what it does."""
from __future__ import annotations

import math
import os
from abc import ABCMeta
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, Protocol, TypeVar, overload

from taskproc.errors import BuildError
from taskproc.run.setup import is_far_end
from taskproc.store.cache import current_cache
from taskproc.tasks import access, attempt_copies, inspection
from taskproc.tasks.access import store_of
from taskproc.tasks.binding import NAMES, check_class
from taskproc.tasks.build import build
from taskproc.tasks.future import Indexable
from taskproc.tasks.labels import labels_of
from taskproc.tasks.misuse import refuse_comparison
from taskproc.tasks.naming import Identity, arguments_forms, brief, task_name
from taskproc.tasks.running_job import running_job
from taskproc.tasks.settings import check_settings
from taskproc.tasks.task_code import check_includes, check_unwatched_ok
from taskproc.text import did_you_mean

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from taskproc.store.version import Version
    from taskproc.tasks.explaining import Explanation
    from taskproc.tasks.forecast import Forecast
    from taskproc.tasks.labels import Prefixes, RateLimits
    from taskproc.tasks.stats import RunStats
    from taskproc.watch.stream import Watcher

R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")

# What the document of the library says not to override
_FINAL = frozenset(
    "task_name task_labels task_id task_args task_directory task_stdout task_stderr task_stdout_caller "
    "task_stderr_caller task_slots task_is_done get_result run_graph explain clear_task clear_all_tasks cli "
    "to_json".split()
)


_TASKS = "taskproc.tasks."


class HasRun(Protocol[R_co]):
    """Whatever computes a value of this type."""

    def run_task(self) -> R_co: ...


class _TaskName:
    def __get__(self, instance: object, owner: type) -> str:
        return task_name(owner)


class _TaskLabels:
    def __get__(self, instance: object, owner: type) -> tuple[str, ...]:
        return labels_of(owner)


class TaskType(ABCMeta):
    """Metaclass of tasks: calling a class gives the one instance of its arguments; a wrong class is refused early."""

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any):
        super().__init__(name, bases, namespace, **options)
        if not str(namespace.get("__module__")).startswith(_TASKS) and (taken := sorted(_FINAL & namespace.keys())):
            raise BuildError(f"{cls.__qualname__} overrides {', '.join(taken)}: these names are taskproc's own")
        _warn_of_slips(cls, namespace)
        if "task_label" in namespace:
            labels_of(cls)
        if namespace.keys() & {"task_version", "task_packages", "task_environment"}:
            check_settings(cls)
        if namespace.keys() & NAMES:
            check_class(cls)
        if "task_includes" in namespace:
            check_includes(cls)
        check_unwatched_ok(cls)
        level = namespace.get("task_compress_level", 9)
        if type(level) is not int or not 0 <= level <= 9:
            raise BuildError(f"task_compress_level of {cls.__qualname__} must be an int from 0 to 9, got {level!r}")
        if type(observes := namespace.get("task_observes", True)) is not bool:
            raise BuildError(f"task_observes of {cls.__qualname__} must be True or False, got {observes!r}")
        if type(own := namespace.get("task_own_process", False)) is not bool:
            raise BuildError(f"task_own_process of {cls.__qualname__} must be True or False, got {own!r}")
        timeout = namespace.get("task_timeout")
        if timeout is not None and not (type(timeout) in (int, float) and 0 < timeout < math.inf):
            raise BuildError(
                f"task_timeout of {cls.__qualname__} must be a positive number of seconds or None, got {timeout!r}"
            )

    if not TYPE_CHECKING:  # type checkers are to see the signature of __init__

        # Not __init_subclass__ wrapping __init__: @dataclass writes __init__ after that
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            if not callable(getattr(cls, "run_task", None)):
                near = next((name for name in dir(cls) if callable(getattr(cls, name, None)) and name not in _FINAL
                             and did_you_mean(name, ["run_task"], closeness=0.75)), "")
                meant = f". Rename {near!r} if that is meant" if near else ""
                raise BuildError(f"{cls.__qualname__} has no run_task method: define what it computes{meant}")
            return build(cls, args, kwargs)

        def __setattr__(cls, name: str, value: object) -> None:
            # A dataclass would compare by fields, lose its hash, and show all tasks below it; a task is its key
            if name not in ("__eq__", "__hash__", "__repr__"):
                super().__setattr__(name, value)


def _warn_of_slips(cls: type, namespace: Mapping[str, object]) -> None:
    """Warn of each attribute that is nearly called like one that has a meaning: it has none."""
    own = [name for name in namespace if name.startswith("task_") and not callable(namespace[name])]
    known = {name for base in cls.__mro__[1:] for name in vars(base) if name.startswith("task_")} if own else set()
    known -= _FINAL  # may not be set
    for name in [name for name in own if known and name not in known | _FINAL]:
        near = did_you_mean(name, known, closeness=0.85)
        if near and not is_far_end():  # there it was said already
            import logging  # here: 3 ms, and seldom needed

            logging.getLogger("taskproc").warning("%s of %s has no meaning%s", name, cls.__qualname__, near)


class Task(Indexable, metaclass=TaskType):
    """A computation with a name, arguments and needs. Subclass it, and build instances inside `with Cache(...):`.

    In `__init__`, set as attributes what it needs: other tasks, `Const`, `FutureList`, `FutureDict`, elements of such
    (`task['key']`), or plain lists, tuples, dicts and dataclasses that hold them. In `run_task`, read them by
    `.get_result()` and return a value that cloudpickle can pickle. Two tasks of one class with equal arguments are one.

    Attributes to set on the class, all optional:
        task_label: a label or several, for rate limits and prefix commands.
        task_compress_level: gzip level of stored results, 0 (stored) to 9 (small, the default). Unless it is set, large
            results take level 6, and what does not shrink is stored.
        task_version: a string that stands for the source of the class, which is not looked at then.
        task_includes: functions, classes and modules whose source counts, where it cannot be seen that they are used.
        task_packages: names of packages whose version counts.
        task_environment: names of environment variables whose value counts.
        task_ignored_args: names of parameters that do not count: `A(n_jobs=1)` and `A(n_jobs=8)` are one task, and the
            instance that a Cache built first is the one that is run. Inherited, unless the subclass sets its own.
        task_default_since: {'dropout': 0.0}: a task without a `dropout` meant 0.0. At that value (and type) it is left
            out of the key, so old results stay. Inherited; what a subclass sets is added to it.
        task_pinned_name: what the class is to be called, 'old.module.Train', wherever it is now. Not inherited.
        task_unwatched_ok: patterns, as for file names, of what `explain()` lists as not watched and runs are not to
            mention: ('lib:CACHE', 'lib:f calls getattr*'), for its place or its text. Inherited as task_ignored_args.
        task_timeout: seconds after which `run_task` is ended, with the processes it started; in processes of our own
            and behind prefix commands. Default: None, no limit.
        task_own_process: True gives each task of the class a fresh worker process, for what it changes there cannot be
            put back; in processes of our own and behind prefix commands.
        task_observes: False: what `run_task` reads and runs, and its source does not tell, is not noted, and does not
            count. Default: True.
    """

    task_label: ClassVar[str | Sequence[str]] = ()
    task_compress_level: ClassVar[int] = 9
    task_version: ClassVar[str | None] = None
    task_includes: ClassVar[Sequence[object]] = ()
    task_packages: ClassVar[Sequence[str]] = ()
    task_environment: ClassVar[Sequence[str]] = ()
    task_ignored_args: ClassVar[str | Collection[str]] = ()
    task_default_since: ClassVar[Mapping[str, object]] = {}
    task_pinned_name: ClassVar[str | None] = None
    task_unwatched_ok: ClassVar[Sequence[str]] = ()
    task_timeout: ClassVar[float | None] = None
    task_own_process: ClassVar[bool] = False
    task_observes: ClassVar[bool] = True

    task_name: ClassVar = _TaskName()       #: module and qualified name, or the pinned one. There without a cache, too
    task_labels: ClassVar = _TaskLabels()   #: the name first, then the class's labels

    # What a class of ours may answer itself. Where its result lies outside the cache: the version that is there now, by
    # the root of the cache, or an OSError with a text for people. And its short text, of its class, its arguments and
    # the room in characters: where that is 0, only a text without which its short id would say too little
    _taskproc_version: ClassVar[Callable[..., Version] | None] = None
    _taskproc_brief: ClassVar[Callable[..., str] | None] = None

    if TYPE_CHECKING:
        _taskproc: Identity
    else:

        def __getattr__(self, name: str) -> Any:
            return attempt_copies.missing(self, name, access.refuse_missing)

    @property
    def task_id(self) -> int:
        """Integer id, unique within the class, the same on every machine: 63 bits of the key."""
        return self._taskproc.place.id

    @property
    def task_args(self) -> dict[str, Any]:
        """The arguments in JSON, by parameter name, defaults included; what JSON cannot say carries a tag."""
        return dict(arguments_forms(self._taskproc, type(self).__qualname__))

    @property
    def task_directory(self) -> Path:
        """A directory of its own for the files of this task: empty when an attempt begins, kept with its result.

        It is that of the newest fresh result, or of the newest, if none is fresh. Before the first result it is that of
        the attempt that runs, or is to come. On an input, the directory of the result that is read.
        """
        return inspection.stored_directory(self)

    @property
    def task_stdout(self) -> Path:
        """File with what was printed when the newest fresh result was made.

        While there is none: what the attempt prints that runs, or was the last to fail. On an input, what was printed
        for the result that is read. It is made by asking for it, except where nothing was captured (LocalExecutor).
        """
        return inspection.stored_log(self, "stdout")

    @property
    def task_stderr(self) -> Path:
        """The same of standard error."""
        return inspection.stored_log(self, "stderr")

    @property
    def task_stdout_caller(self) -> Path:
        """File with what the prefix command itself printed; of the same attempt as `task_stdout`."""
        return inspection.stored_log(self, "stdout_caller")

    @property
    def task_stderr_caller(self) -> Path:
        """File with what the prefix command itself printed to standard error."""
        return inspection.stored_log(self, "stderr_caller")

    @property
    def task_slots(self) -> dict[str, str]:
        """Label → the slot that this task has while it runs, of limits that name slots: `{'gpu': ['0', '3']}`."""
        return access.slots(self._taskproc)

    def task_is_done(self) -> bool:
        """Whether a result is stored that is fresh for the present code. Reads a record per task above it."""
        return inspection.is_done(self)

    def get_result(self: HasRun[R]) -> R:
        """The result. Inside `run_task` of another task: of this run. Outside: the newest that is fresh.

        Loaded at each call, never shared. Raises MissingResult, which says why there is none, or CorruptedResult.
        """
        value: R = inspection.stored_result(self)
        return value

    @overload
    def run_graph(
        self: HasRun[R],
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
        dry_run: Literal[False] = False,
    ) -> tuple[R, RunStats]: ...
    @overload
    def run_graph(
        self: HasRun[R],
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
        dry_run: Literal[True],
    ) -> tuple[None, RunStats]: ...
    def run_graph(
        self,
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
        """Run this task after all that it needs, as far as no fresh result is stored, and keep the results.

        Args:
            executor: any concurrent.futures executor; it is used, and left open. Default: worker processes of our own.
            max_workers: how many of these; default: as many as this process may use.
            rate_limits: label or task name → how many such tasks may run at once, at least 1; or the names of as many
                slots, of which each running task has one: `task_slots`, and for the label `gpu` in a process of its own
                also CUDA_VISIBLE_DEVICES.
            prefixes: label or task name → command that the task is run behind, in a fresh interpreter: a string, split
                as a shell splits words, or a list. The leftmost label of a task that is listed wins. Words may hold
                {task_name}, {task_id}, {task_directory}, {stdout}, {stderr}. Empty: a fresh interpreter, no command.
            prefix: the same under its other name.
            detect_source_change: run a task again when code has changed that it reaches.
            show_progress: show a bar per task class on standard error, or plain lines if it is not a terminal.
            on_error: 'stop': after a failure nothing new starts, what runs may finish. 'continue': whatever does not
                need a failed task is still run.
            force: run this task even if its result is fresh.
            watchers: receive the events, beside the progress display; see taskproc.watch.stream.
            dry_run: run nothing, and tell in the statistics what would be run (at most); the result is None.

        Returns:
            the result, and the statistics of the run.

        Raises:
            FailedTaskError: tasks failed; all else that was computed is stored. CycleError, OptionError, CacheError:
            nothing was started.
        """
        options: dict[str, Any] = {
            "executor": executor,
            "max_workers": max_workers,
            "rate_limits": rate_limits,
            "prefixes": prefixes,
            "prefix": prefix,
            "detect_source_change": detect_source_change,
            "show_progress": show_progress,
            "on_error": on_error,
            "force": force,
            "watchers": watchers,
        }
        with first_worker(self, dry_run, options):
            from taskproc.tasks import running

            return running.run_graph(self, dry_run=dry_run, **options)

    def explain(self) -> Explanation:
        """Why the stored result is fresh, or why the task would run, in words: `print(task.explain())`.

        Names what changed, with the difference of the source, and what cannot be watched. Runs nothing; of tasks whose
        needs would run it tells an upper bound, for these may give what they gave before.
        """
        from taskproc.tasks.explaining import explain  # here: as above

        return explain(self)

    def plan(
        self,
        workers: int | None = None,
        *,
        rate_limits: RateLimits | None = None,
        detect_source_change: bool = True,
        force: bool = False,
    ) -> Forecast:
        """What run_graph() would run, why, and what it would cost: time, memory, bytes. Runs nothing.

        Times and sizes are those of the newest records of a class with the nearest arguments; of a class that was never
        run they are unknown. What runs only if an upstream task gives a new value is counted as `at_most`.

        Args:
            workers: how many tasks would run at once; default: as many as this process may use.
            rate_limits, detect_source_change, force: as of run_graph.
        """
        from taskproc.tasks.forecast import forecast  # here: as above

        return forecast(
            self, workers, rate_limits=rate_limits, detect_source_change=detect_source_change, force=force
        )

    def clear_task(self) -> None:
        """Forget the result, files and logs of this task; what needs it will be computed again, all the way down."""
        identity = self._taskproc
        if access.store_of(identity).clear(identity.place):
            inspection.stored_directory(self)  # there again, and empty: the task may be built for its path alone

    @classmethod
    def clear_all_tasks(cls) -> None:
        """Forget all results of this class in the cache in force."""
        current_cache(f"{cls.__qualname__}.clear_all_tasks() was called").store.clear_all(task_name(cls))

    @classmethod
    def cli(cls, args: Sequence[str] | None = None, defaults: Any = None) -> None:
        """Run this class as a command: its parameters are flags, see `--help`. Ends the process with an exit code.

        Args:
            args: the words of the command line; default: those of the process.
            defaults: a DefaultArguments; default: the one that was populated, if any.
        """
        from taskproc.cli.main import run_class  # the one way up: this method is public

        raise SystemExit(run_class(cls, args, defaults))

    def _key_form(self) -> object:
        place = self._taskproc.place
        return {"__task__": [place.name, place.key]}

    def _json_form(self) -> object:
        # Nested tasks by key: their own arguments would double with each level of a graph that shares
        return self._key_form()

    def to_json(self) -> dict[str, Any]:
        """Itself as a JSON dictionary: class, id, key and arguments; tasks among these by name and key."""
        place = self._taskproc.place
        return {"__task__": [place.name, place.key], "id": place.id, "args": self.task_args}

    def __repr__(self) -> str:
        return brief(self) if "_taskproc" in vars(self) else f"<{type(self).__qualname__} under construction>"

    if not TYPE_CHECKING:

        def __reduce_ex__(self, protocol: int) -> NoReturn:
            raise TypeError(f"{self!r} is a task: return its result (get_result()) rather than the task itself")

        def __copy__(self) -> Task:
            return self

        def __deepcopy__(self, memo: dict[Any, Any]) -> Task:
            return attempt_copies.copied_within(memo, self)

    # One instance per key
    def __hash__(self) -> int:
        return id(self) >> 4

    def __eq__(self, other: object) -> bool:
        if self is not other:
            refuse_comparison(self, other)
        return self is other


def first_worker(task: Task, dry_run: bool, options: Mapping[str, object]) -> AbstractContextManager[None]:
    """A block in which a worker is there for a run with these options, if it will surely need one."""
    if dry_run or not _needs_one(options) or not _surely_runs(task, options):
        return nullcontext()
    from taskproc.run import ahead  # here: 10 ms, and not for a run that finds all it needs

    workers = options.get("max_workers")
    return ahead.started(workers if isinstance(workers, int) else None)


def _needs_one(options: Mapping[str, object]) -> bool:
    """Whether what runs, runs in worker processes of our own."""
    if os.name != "posix" or options.get("executor") is not None or options.get("prefixes") or options.get("prefix"):
        return False
    workers = options.get("max_workers")
    is_right = workers is None or (isinstance(workers, int) and workers > 0)
    return is_right and running_job() is None and not is_far_end()


def _surely_runs(task: Task, options: Mapping[str, object]) -> bool:
    """Whether the task has never been run, or is forced. One listing."""
    identity = task._taskproc
    if task._taskproc_version is not None or identity.version is not None:
        return False
    store = store_of(identity)
    return not store.rules.refusal and (bool(options.get("force")) or not store.highest(identity.place))
