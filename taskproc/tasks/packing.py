"""A job made ready to travel: what all tasks of a class have in common goes once to each process, see run/kinds.py.

The task goes with its attributes, its inputs as instances of their class with their plain attributes, one level deep,
so the size does not depend on the graph.
"""
from __future__ import annotations

import datetime as dt
import gc
import io
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from taskproc.by_value import DEFINITIONS
from taskproc.frozen import replace
from taskproc.kernel.model import Failed, Outcome
from taskproc.modules import is_findable, runs_as_main
from taskproc.run.kinds import Kind, KindJob
from taskproc.run.problem import problem_of
from taskproc.store.base import Place, Version
from taskproc.store.codec import dumps, loads
from taskproc.tasks.apart import own_of_class
from taskproc.tasks.binding import FLAT
from taskproc.tasks.future import Upstream
from taskproc.tasks.job import ClassPart, RunPart, TaskJob
from taskproc.tasks.naming import Identity
from taskproc.tasks.needs import attributes, upstreams
from taskproc.tasks.origin import Origin

# Plain pickle has these as they are; a time may bring a zone, which may be of any class
_PLAIN = FLAT - {dt.time, dt.datetime}

_MANY = 1 << 16  # bytes of a job that has hundreds of inputs

Reduce = Callable[[object], object]


@dataclass(frozen=True)
class _Unpacking:
    """What the parts of a job that is being unpacked refer to: the class of its task, its inputs by key."""

    cls: type
    inputs: Mapping[str, Version]


_unpacking: ContextVar[_Unpacking] = ContextVar("taskproc_unpacking")


@dataclass(frozen=True)
class TaskKind:
    """What the jobs of a class have in common, unpacked where they run, by the first of them. `pickled`: the class."""

    run: RunPart
    kind: ClassPart
    pickled: bytes
    origin: Origin

    @cached_property
    def cls(self) -> type:
        """The class of the tasks, as it is here."""
        self.origin.adopt()
        found: Any = loads(self.pickled)
        return found  # type: ignore[no-any-return]  # it was one when it was pickled

    def __call__(self, own: bytes) -> Outcome[str]:
        """Unpack a job and run it."""
        try:
            job = self.job(own)
        except Exception as error:  # noqa: BLE001  # whatever the user's classes raise when unpickled
            problem = problem_of(error)
            return Failed(replace(problem, text=f"the task cannot be set up in this process: {problem.text}"))
        return job()

    def job(self, own: bytes) -> TaskJob:
        """The job that was packed into these bytes."""
        cls = self.cls
        with _undisturbed(len(own)):
            state, content, attempt = pickle.loads(own)
            token = _unpacking.set(_Unpacking(cls, attempt.inputs))
            try:
                task: Any = loads(content) if state is None else _blank(cls)
                if state is not None:
                    _fill(task, state)
            finally:
                _unpacking.reset(token)
        return TaskJob(task, self.run, self.kind, attempt)


@contextmanager
def _collecting_later() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _undisturbed(size: int) -> AbstractContextManager[None]:
    """Without the garbage collector where many objects are made at once: it would go through them again and again."""
    return _collecting_later() if size > _MANY and gc.isenabled() else nullcontext()


class Packer:
    """Makes the jobs of one run ready to travel; keeps what those of a class have in common."""

    def __init__(self, origin: Origin):
        self._origin = origin
        self._kinds: dict[tuple[type, str], Kind] = {}
        self._by_name: dict[object, bool] = {}

    def pack(self, job: TaskJob) -> KindJob[Outcome[str]]:
        """`job` made ready to travel. Raises TypeError that names the attribute which cannot be pickled."""
        cls = type(job.task)
        kind = self._kinds.get((cls, job.kind.code))
        if kind is None:
            content = pickle.dumps(TaskKind(job.run, job.kind, dumps(cls), self._origin), 5)
            kind = self._kinds[cls, job.kind.code] = Kind(content)
        state = _flat_state(job.task)
        own = state, b"" if state is not None else self._pickled(job), job.attempt
        return KindJob(kind, pickle.dumps(own, 5), cls.task_timeout, alone=cls.task_own_process)

    def _pickled(self, job: TaskJob) -> bytes:
        try:
            return self._by_names(job)
        except Exception:  # noqa: BLE001  # whatever the user's classes raise when pickled
            pass  # something in it must go by value, or cannot go at all
        try:
            return dumps(job.task, reduce=_reducer(job, _is_free))
        except Exception as error:  # whatever the user's classes raise when pickled
            try:
                return dumps(job.task, reduce=_reducer(job, _travels))
            except Exception:  # noqa: BLE001  # whatever the user's classes raise when pickled
                pass  # it was not only an attribute of an input, which the task itself may do without
            raise TypeError(_culprit(job) or f"it cannot be sent to a worker: {error}") from error

    def _by_names(self, job: TaskJob) -> bytes:
        """The task, if all its classes and functions go by name. At half of what cloudpickle takes."""
        target = io.BytesIO()
        _Pickler(target, _reducer(job, _is_free), self._goes_by_name).dump(job.task)
        return target.getvalue()

    def _goes_by_name(self, thing: Any) -> bool:
        known = self._by_name.get(thing)
        if known is None:
            known = self._by_name[thing] = is_findable(thing) and not runs_as_main(thing)
        return known


class _Pickler(pickle.Pickler):
    """Plain pickle with tasks as `reduce` has them. Raises PicklingError for what has no name to go by."""

    def __init__(self, target: io.BytesIO, reduce: Reduce, goes_by_name: Callable[[Any], bool]):
        super().__init__(target, 5)
        self._reduce, self._goes_by_name = reduce, goes_by_name

    def reducer_override(self, obj: Any) -> Any:
        answer = self._reduce(obj)
        if answer is NotImplemented and isinstance(obj, DEFINITIONS) and not self._goes_by_name(obj):
            raise pickle.PicklingError(f"{obj!r} has no name by which it is found")
        return answer


def _flat_state(task: Any) -> tuple[Any, ...] | None:
    """Place, arguments and attributes of a task that holds nothing but plain values; None of any other."""
    identity, state = task._taskproc, dict(attributes(task))
    if _PLAIN.issuperset(map(type, state.values())) and _PLAIN.issuperset(map(type, identity.arguments.values())):
        return (*identity.place, dict(identity.arguments), state)
    return None


def _culprit(job: TaskJob) -> str | None:
    for name, value in attributes(job.task):
        try:
            dumps(value, reduce=_reducer(job, _travels))
        except Exception as error:  # noqa: BLE001  # whatever the user's classes raise when pickled
            kind = type(value).__name__
            return (
                f"attribute {name!r} ({kind}) cannot be sent to a worker: {type(error).__name__}: {error}. "
                "Make it inside run_task, or run in threads"
            )
    return None


def _is_free(value: object) -> bool:
    """Whether an attribute of an input holds no other task."""
    return type(value) in FLAT or (not isinstance(value, Upstream) and not upstreams(value))


def _travels(value: object) -> bool:
    if not _is_free(value):
        return False
    try:
        dumps(value)
    except Exception:  # noqa: BLE001  # whatever the user's classes raise when pickled
        return False
    return True


def _reducer(job: TaskJob, carries: Callable[[object], bool]) -> Reduce:
    """How tasks are pickled within `job`: itself as it is, others as inputs."""
    own = type(job.task)

    def reduce(thing: Any) -> object:
        if thing is own:
            return _own_class, ()
        identity = vars(thing).get("_taskproc") if isinstance(thing, Upstream) and hasattr(thing, "__dict__") else None
        if identity is None:
            return NotImplemented
        if thing is job.task:
            state = *identity.place, dict(identity.arguments), dict(attributes(thing))
            return _blank, (own,), state, None, None, _fill
        arguments = {name: value for name, value in identity.arguments.items() if type(value) in FLAT or carries(value)}
        free = {name: value for name, value in attributes(thing) if type(value) in FLAT or carries(value)}
        if identity.place.key in job.attempt.inputs:
            return _blank, (type(thing),), (identity.place.key, arguments, free), None, None, _fill_input
        return _blank, (type(thing),), (*identity.place, arguments, free), None, None, _fill

    return reduce


def _own_class() -> type:
    return _unpacking.get().cls


def _blank(cls: type) -> object:
    return object.__new__(cls)


def _fill(task: object, values: tuple[str, int, str, dict[str, object], dict[str, object]]) -> None:
    name, number, key, arguments, state = values
    _hang(task, Identity(None, Place(name, number, key), arguments), state)


def _fill_input(task: object, values: tuple[str, dict[str, object], dict[str, object]]) -> None:
    key, arguments, state = values
    version = _unpacking.get().inputs[key]  # by which its result is read here
    _hang(task, Identity(None, version.place, arguments, version), state)


def _hang(task: object, identity: Identity, state: Mapping[str, object]) -> None:
    vars(task)["_taskproc"] = identity
    for attribute, value in state.items():
        object.__setattr__(task, attribute, value)
    own_of_class(task)
