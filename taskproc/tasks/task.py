"""Task: the class that users subclass. Its attributes hold what it needs, and `run_task` computes its result."""
from __future__ import annotations

import os
from abc import ABCMeta
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, Protocol, TypeVar, overload

from taskproc.attributes import identity
from taskproc.errors import BuildError
from taskproc.run.far_end import is_far_end
from taskproc.store.cache import current_cache
from taskproc.tasks import access, attempt_copies, inspection
from taskproc.tasks.access import store_of
from taskproc.tasks.binding import NAMES, check_class
from taskproc.tasks.build import build
from taskproc.tasks.future import Indexable
from taskproc.tasks.labels import labels_of
from taskproc.tasks.misuse import refuse_comparison
from taskproc.tasks.naming import Identity, arguments_forms, brief, task_name
from taskproc.tasks.running_job import input_value, running_job
from taskproc.tasks.task_attributes import ATTRIBUTES, attribute_lines, check_attribute, check_attributes
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

# Names that users must not override
_FINAL = frozenset(
    "task_name task_labels task_id task_args task_directory task_stdout task_stderr task_stdout_caller "
    "task_stderr_caller task_slots task_is_done get_result run_graph explain clear_task clear_all_tasks cli "
    "to_json".split()
)


_TASKS = "taskproc.tasks."


class HasRun(Protocol[R_co]):
    """An object that computes a value of this type."""

    def run_task(self) -> R_co: ...


class _TaskName:
    def __get__(self, instance: object, owner: type) -> str:
        return task_name(owner)


class _TaskLabels:
    def __get__(self, instance: object, owner: type) -> tuple[str, ...]:
        return labels_of(owner)


class TaskType(ABCMeta):
    """Metaclass of tasks: calling a class returns the one instance of its arguments; a wrong class is refused early."""

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any):
        super().__init__(name, bases, namespace, **options)
        if not str(namespace.get("__module__")).startswith(_TASKS) and (taken := sorted(_FINAL & namespace.keys())):
            raise BuildError(f"{cls.__qualname__} overrides {', '.join(taken)}: these names are reserved for taskproc")
        _warn_of_slips(cls, namespace)
        check_attributes(cls, TaskType)
        if namespace.keys() & NAMES:
            check_class(cls)

    if not TYPE_CHECKING:  # type checkers must see the signature of __init__

        # __init_subclass__ cannot wrap __init__, because @dataclass writes __init__ later
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            if not callable(getattr(cls, "run_task", None)):
                near = next((name for name in dir(cls) if callable(getattr(cls, name, None)) and name not in _FINAL
                             and did_you_mean(name, ["run_task"], closeness=0.75)), "")
                meant = f". Rename {near!r} if that is meant" if near else ""
                raise BuildError(f"{cls.__qualname__} has no run_task method: define what it computes{meant}")
            return build(cls, args, kwargs)

        def __setattr__(cls, name: str, value: object) -> None:
            # A dataclass would compare by fields, lose its hash, and show all tasks below it; a task is its key
            if name in ATTRIBUTES:
                check_attribute(cls, name, value)
            if name not in ("__eq__", "__hash__", "__repr__"):
                super().__setattr__(name, value)


def _warn_of_slips(cls: type, namespace: Mapping[str, object]) -> None:
    """Warn of each attribute that has no meaning, but nearly the name of one that has."""
    own = [name for name in namespace if name.startswith("task_") and not callable(namespace[name])]
    known = {name for base in cls.__mro__[1:] for name in vars(base) if name.startswith("task_")} if own else set()
    known -= _FINAL  # must not be set
    for name in [name for name in own if known and name not in known | _FINAL]:
        near = did_you_mean(name, known, closeness=0.85)
        if near and not is_far_end():  # which would repeat it
            import logging  # here: 3 ms, and rarely needed

            logging.getLogger("taskproc").warning("%s of %s has no meaning%s", name, cls.__qualname__, near)


class Task(Indexable, metaclass=TaskType):
    """A computation with a name, arguments and needs. Subclass it, and build instances inside `with Cache(...):`.

    In `__init__`, set what it needs as attributes: other tasks, `Const`, `FutureList`, `FutureDict`, elements of these
    (`task['key']`), or plain lists, tuples, dicts and dataclasses that hold them. In `run_task`, read them with
    `.get_result()` and return a value that cloudpickle can pickle. Two tasks of one class with equal arguments are one.

    Attributes to set on the class, all optional:
    """

    # The defaults are in tasks/task_attributes.py
    task_label: ClassVar[str | Sequence[str]]
    task_compress_level: ClassVar[int]
    task_timeout: ClassVar[float | None]
    task_own_process: ClassVar[bool]
    task_observes: ClassVar[bool]
    task_version: ClassVar[str | None]
    task_includes: ClassVar[Sequence[object]]
    task_unwatched_ok: ClassVar[Sequence[str]]
    task_packages: ClassVar[Sequence[str]]
    task_environment: ClassVar[Sequence[str]]
    task_ignored_args: ClassVar[str | Collection[str]]
    task_default_since: ClassVar[Mapping[str, object]]
    task_pinned_name: ClassVar[str | None]

    task_name: ClassVar = _TaskName()       #: module and qualified name, or the pinned name. Needs no cache
    task_labels: ClassVar = _TaskLabels()   #: the name first, then the class's labels

    # Hooks of our own classes. The first is for results outside the cache: it gets the root of the cache and returns
    # the present version, or raises an OSError with a text for people. The second gives the short text, from class,
    # arguments and the room in characters; if the room is 0, only text without which the short id would say too little
    _taskproc_version: ClassVar[Callable[..., Version] | None] = None
    _taskproc_brief: ClassVar[Callable[..., str] | None] = None

    if TYPE_CHECKING:
        _taskproc: Identity
    else:

        def __getattr__(self, name: str) -> Any:
            return attempt_copies.missing(self, name, access.refuse_missing)

    @property
    def task_id(self) -> int:
        """An integer, unique within the class and the same on every machine: 63 bits of the key."""
        return self._taskproc.place.id

    @property
    def task_args(self) -> dict[str, Any]:
        """The arguments in JSON by parameter name, with defaults; values that JSON does not have carry a tag."""
        return dict(arguments_forms(self._taskproc, type(self).__qualname__))

    @property
    def task_directory(self) -> Path:
        """A directory for the files of this task: empty when an attempt begins, and stored with its result.

        It belongs to the newest fresh result, or to the newest if none is fresh. Before the first result it belongs to
        the running attempt, or to the next one. On an input, it belongs to the result that is read.
        """
        return inspection.stored_directory(self)

    @property
    def task_stdout(self) -> Path:
        """The file with what the task printed when the newest fresh result was made.

        Without a fresh result: the output of the running attempt, or of the last one that failed. On an input: the
        output that belongs to the result that is read. The file is created on access, except where nothing was captured
        (LocalExecutor).
        """
        return inspection.stored_log(self, "stdout")

    @property
    def task_stderr(self) -> Path:
        """The same for standard error."""
        return inspection.stored_log(self, "stderr")

    @property
    def task_stdout_caller(self) -> Path:
        """The file with what the prefix command itself printed, in the attempt of `task_stdout`."""
        return inspection.stored_log(self, "stdout_caller")

    @property
    def task_stderr_caller(self) -> Path:
        """The file with what the prefix command itself printed to standard error."""
        return inspection.stored_log(self, "stderr_caller")

    @property
    def task_slots(self) -> dict[str, str]:
        """Label → the slot that this task has while it runs, for limits with named slots: `{'gpu': ['0', '3']}`."""
        return access.slots(self._taskproc)

    def task_is_done(self) -> bool:
        """Whether a stored result is fresh for the present code. Reads one record for each task above it."""
        return inspection.is_done(self)

    def get_result(self: HasRun[R]) -> R:
        """The result. Inside `run_task` of another task, it is that of this run; elsewhere, the newest fresh one.

        It is loaded at each call and never shared. Raises MissingResult, which says why there is none, or
        CorruptedResult.
        """
        identity: Identity = self._taskproc  # type: ignore[attr-defined]  # HasRun is for the type of the value
        is_input, value = input_value(identity)
        result: R = value if is_input else inspection.stored_result(self)  # type: ignore[assignment]  # as was stored
        return result

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
        """Run this task and all tasks it needs, except those with a fresh stored result, and store the results.

        Args:
            executor: any concurrent.futures executor; it stays open. Default: our own worker processes.
            max_workers: the number of these; default: as many as this process may use.
            rate_limits: label or task name → how many such tasks may run at once, at least 1; or the names of as many
                slots, of which each running task has one: `task_slots`, and for the label `gpu` in a process of its own
                also CUDA_VISIBLE_DEVICES.
            prefixes: label or task name → command that runs the task in a fresh interpreter: a string, split as a shell
                splits words, or a list. The leftmost label of a task that is listed wins. Words may contain
                {task_name}, {task_id}, {task_directory}, {stdout}, {stderr}. Empty: a fresh interpreter without a
                command.
            prefix: another name of `prefixes`.
            detect_source_change: run a task again when code that it reaches has changed.
            show_progress: show a bar per task class on standard error, or plain lines if it is not a terminal.
            on_error: 'stop': after a failure nothing new starts, and running tasks may finish. 'continue': tasks that
                do not need a failed task still run.
            force: run this task even if its result is fresh.
            watchers: receive the events, in addition to the progress display; see taskproc.watch.stream.
            dry_run: run nothing, and count in the statistics the tasks that would run (at most); the result is None.

        Returns:
            the result, and the statistics of the run.

        Raises:
            FailedTaskError: tasks failed; all other computed results are stored.
            CycleError, OptionError, CacheError: nothing was started.
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

        It names what changed, with the difference of the source, and what cannot be watched. It runs nothing. Where
        needs of a task would run, it gives an upper bound, because their results may turn out equal to the old ones.
        """
        from taskproc.tasks.explaining import explain  # here: see run_graph

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
        """Remove the result, files and logs of this task; all tasks that need it, at any depth, are computed again."""
        identity = self._taskproc
        if access.store_of(identity).clear(identity.place):
            inspection.stored_directory(self)  # again, and empty: the task may have been built for its path alone

    @classmethod
    def clear_all_tasks(cls) -> None:
        """Remove all results of this class from the current cache."""
        current_cache(f"{cls.__qualname__}.clear_all_tasks() was called").store.clear_all(task_name(cls))

    @classmethod
    def cli(cls, args: Sequence[str] | None = None, defaults: Any = None) -> None:
        """Run this class as a command: its parameters are flags, see `--help`. Ends the process with an exit code.

        Args:
            args: the words of the command line; default: those of the process.
            defaults: a DefaultArguments; default: the populated one, if any.
        """
        from taskproc.cli.main import run_class  # the only import of a lower room: this method is public

        raise SystemExit(run_class(cls, args, defaults))

    def _key_form(self) -> object:
        place = self._taskproc.place
        return {"__task__": [place.name, place.key]}

    def _json_form(self) -> object:
        # Nested tasks by key: their own arguments would double with each level of a graph that shares. One whose result
        # is outside the cache has no record there that its key could lead to
        place = self._taskproc.place
        more = [] if type(self)._taskproc_version is None else [self.task_args]
        return {"__task__": [place.name, place.key, *more]}

    def to_json(self) -> dict[str, Any]:
        """The task as a JSON dictionary: class, id, key and arguments; tasks among the arguments by name and key."""
        place = self._taskproc.place
        return {"__task__": [place.name, place.key], "id": place.id, "args": self.task_args}

    def __repr__(self) -> str:
        return brief(self) if "_taskproc" in vars(self) else f"<{type(self).__qualname__} under construction>"

    if not TYPE_CHECKING:

        def __reduce_ex__(self, protocol: int) -> NoReturn:
            raise TypeError(f"{self!r} is a task: return its result (get_result()) rather than the task itself")

        def __copy__(self) -> Task:
            return self

        __deepcopy__ = attempt_copies.copied_within

    # One instance per key; without the audit event that `id` raises
    __hash__ = identity

    def __eq__(self, other: object) -> bool:
        if self is not other:
            refuse_comparison(self, other)
        return self is other


Task.__doc__ = f"{(Task.__doc__ or '').rstrip()}\n{attribute_lines()}\n    "
for _attribute in ATTRIBUTES.values():
    setattr(Task, _attribute.name, _attribute.default)


def first_worker(task: Task, dry_run: bool, options: Mapping[str, object]) -> AbstractContextManager[None]:
    """A block with a worker that is already started, if a run with these options will surely need one."""
    if dry_run or not _needs_one(options) or not _surely_runs(task, options):
        return nullcontext()
    from taskproc.run import process  # here: 10 ms, and not for a run that finds all it needs

    workers = options.get("max_workers")
    return process.early_worker(workers if isinstance(workers, int) else None)


def _needs_one(options: Mapping[str, object]) -> bool:
    """Whether tasks of this run are executed in our own worker processes."""
    if os.name != "posix" or options.get("executor") is not None or options.get("prefixes") or options.get("prefix"):
        return False
    workers = options.get("max_workers")
    is_right = workers is None or (isinstance(workers, int) and workers > 0)
    return is_right and running_job() is None and not is_far_end()


def _surely_runs(task: Task, options: Mapping[str, object]) -> bool:
    """Whether the task has never run, or is forced. One listing."""
    identity = task._taskproc
    if task._taskproc_version is not None or identity.version is not None:
        return False
    store = store_of(identity)
    return not store.rules.refusal and (bool(options.get("force")) or not store.highest(identity.place))
