"""Jobs as bytes for other processes: the part that all tasks of a class share is sent once per process (run/kinds.py).

A task is sent with its attributes; its inputs are sent as instances of their class with their plain attributes, one
level deep, so the size of a job does not depend on the graph.
"""
from __future__ import annotations

import datetime as dt
import gc
import os
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from taskproc.by_value import DEFINITIONS, remember_text
from taskproc.frozen import frozen, replace
from taskproc.kernel.model import Failed, Outcome
from taskproc.modules import BEHIND, FILE, is_findable, main_name, object_name, runs_as_main
from taskproc.pickling import Reduce, dumps, plain_dumps, portable_name
from taskproc.run.far_end import Setup, add_scripts
from taskproc.run.kinds import Kind, KindJob
from taskproc.run.problem import problem_of
from taskproc.source.source_files import loaded_file, loaded_texts
from taskproc.store.layout import Place
from taskproc.store.version import Version
from taskproc.tasks.attempt_copies import own_of_class
from taskproc.tasks.binding import FLAT
from taskproc.tasks.future import Upstream
from taskproc.tasks.job import ClassPart, RunPart, TaskJob
from taskproc.tasks.naming import Identity
from taskproc.tasks.task_graph import attributes, upstreams

# Plain pickle knows these types; a time may have a zone, which may be of any class
_PLAIN = FLAT - {dt.time, dt.datetime}

_MANY = 1 << 16  # bytes of a job that has hundreds of inputs
_adopted: set[str] = set()


@dataclass(frozen=True)
class _Unpacking:
    """The job that is being unpacked, for the functions that its pickle calls: the class of its task, its inputs."""

    cls: type
    inputs: Mapping[str, Version]


_unpacking: ContextVar[_Unpacking] = ContextVar("taskproc_unpacking")


@dataclass(frozen=True)
class TaskKind:
    """The part that the jobs of a class share, unpacked by the first of them in each process. `pickled`: the class."""

    run: RunPart
    kind: ClassPart
    pickled: bytes
    origin: Origin

    @cached_property
    def cls(self) -> type:
        """The class of the tasks in this process."""
        self.origin.adopt()
        cls: type = pickle.loads(self.pickled)
        return cls

    def __call__(self, own: bytes) -> Outcome[str]:
        """Unpack a job and run it."""
        try:
            job = self.job(own)
        except Exception as error:  # noqa: BLE001  # the user's classes may raise anything
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
                task: Any = pickle.loads(content) if state is None else _blank(cls)
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
    """Without the garbage collector if many objects are made at once: it would walk over them again and again."""
    return _collecting_later() if size > _MANY and gc.isenabled() else nullcontext()


class Packer:
    """Packs the jobs of one run; caches the part that the jobs of a class share."""

    def __init__(self, origin: Origin):
        self._origin = origin
        self._kinds: dict[tuple[type, str], Kind] = {}
        self._by_name: dict[object, bool] = {}

    def pack(self, job: TaskJob) -> KindJob[Outcome[str]]:
        """`job` as bytes. Raises TypeError, which names the attribute that cannot be pickled."""
        cls = type(job.task)
        kind = self._kinds.get((cls, job.kind.code))
        if kind is None:
            content = pickle.dumps(TaskKind(job.run, job.kind, dumps(cls, name_of=portable_name), self._origin), 5)
            kind = self._kinds[cls, job.kind.code] = Kind(content)
        state = _flat_state(job.task)
        own = state, b"" if state is not None else self._pickled(job), job.attempt
        return KindJob(kind, pickle.dumps(own, 5), cls.task_timeout, alone=cls.task_own_process)

    def _pickled(self, job: TaskJob) -> bytes:
        try:
            return self._by_names(job)
        except Exception:  # noqa: BLE001  # the user's classes may raise anything
            pass  # a part of it must be pickled by value, or cannot be pickled
        try:
            return dumps(job.task, reduce=_reducer(job, _is_free), name_of=portable_name)
        except Exception as error:  # the user's classes may raise anything
            try:
                return dumps(job.task, reduce=_reducer(job, _travels), name_of=portable_name)
            except Exception:  # noqa: BLE001  # the user's classes may raise anything
                pass  # the fault is not only in attributes of inputs, which could be left out
            raise TypeError(_culprit(job) or f"it cannot be sent to a worker: {error}") from error

    def _by_names(self, job: TaskJob) -> bytes:
        """The task, if all its classes and functions are pickled by name; else PicklingError."""
        reduce = _reducer(job, _is_free)

        def reduce_by_name(thing: Any) -> object:
            answer = reduce(thing)
            if answer is NotImplemented and isinstance(thing, DEFINITIONS) and not self._goes_by_name(thing):
                raise pickle.PicklingError(f"{thing!r} has no name by which it can be found")
            return answer

        return plain_dumps(job.task, reduce_by_name)

    def _goes_by_name(self, thing: Any) -> bool:
        known = self._by_name.get(thing)
        if known is None:
            known = self._by_name[thing] = is_findable(thing) and not runs_as_main(thing)
        return known


def _flat_state(task: Any) -> tuple[Any, ...] | None:
    """Place, arguments and attributes of a task that holds only plain values; None for any other task."""
    identity, state = task._taskproc, dict(attributes(task))
    if _PLAIN.issuperset(map(type, state.values())) and _PLAIN.issuperset(map(type, identity.arguments.values())):
        return (*identity.place, dict(identity.arguments), state)
    return None


def _culprit(job: TaskJob) -> str | None:
    for name, value in attributes(job.task):
        try:
            dumps(value, reduce=_reducer(job, _travels), name_of=portable_name)
        except Exception as error:  # noqa: BLE001  # the user's classes may raise anything
            kind = type(value).__name__
            return (
                f"attribute {name!r} ({kind}) cannot be sent to a worker: {type(error).__name__}: {error}. "
                "Create it in run_task, or run in threads"
            )
    return None


def _is_free(value: object) -> bool:
    """Whether an attribute of an input holds no other task."""
    return type(value) in FLAT or (not isinstance(value, Upstream) and not upstreams(value))


def _travels(value: object) -> bool:
    if not _is_free(value):
        return False
    try:
        dumps(value, name_of=portable_name)
    except Exception:  # noqa: BLE001  # the user's classes may raise anything
        return False
    return True


def _reducer(job: TaskJob, carries: Callable[[object], bool]) -> Reduce:
    """How tasks are pickled in `job`: its own task as it is, other tasks as inputs."""
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
    version = _unpacking.get().inputs[key]  # its result is read from this version
    _hang(task, Identity(None, version.place, arguments, version), state)


def _hang(task: object, identity: Identity, state: Mapping[str, object]) -> None:
    vars(task)["_taskproc"] = identity
    for attribute, value in state.items():
        object.__setattr__(task, attribute, value)
    own_of_class(task)


@frozen
class Origin:
    """The process that sent the jobs.

    Attributes:
        main: the real name of its `__main__`.
        path: file with the definitions of `__main__`; empty if it has none.
        process: its id.
        scripts: module name → file, for modules that import does not find by their name.
    """

    main: str
    path: str
    process: int
    scripts: Mapping[str, str]

    def adopt(self) -> None:
        """Make the sender's definitions those of `__main__` here, unless they are here already."""
        if os.getpid() == self.process:
            return
        add_scripts(self.scripts)
        # A forked or spawned child has its parent's script. Of a notebook, it has the definitions at the time of the
        # fork; definitions from an earlier run may have been edited since
        adopted = isinstance(sys.modules["__main__"], _Definitions)
        inherited = main_name() == self.main != "__main__" and not adopted
        if not self.path or inherited or self.path in _adopted:
            return
        content = pickle.loads(Path(self.path).read_bytes())
        _adopted.add(self.path)
        for path, text in content["texts"].items():
            remember_text(path, text)
        main = sys.modules["__main__"] = _Definitions("__main__")
        main.__dict__.update(__taskproc_name__=self.main, _missing=content["missing"])
        found = pickle.loads(content["found"])
        main.__dict__.update({**found, FILE: content["file"], BEHIND: content["behind"]})
        _complete(found)


def _complete(found: Mapping[str, object]) -> None:
    """Give all functions that were sent access to all definitions that were sent.

    A function is sent with the names that its code uses. Its decorators and defaults use more, and count as code.
    """
    spaces = {id(some.__globals__): some.__globals__ for some in found.values() if isinstance(some, FunctionType)}
    for names in spaces.values():
        names.update({name: some for name, some in found.items() if name not in names})


def record_origin(folder: Path) -> Origin:
    """Write the definitions of this process's `__main__` into `folder`; costs one pickle of them per run."""
    main = vars(sys.modules["__main__"])
    code = {name: some for name, some in main.items() if isinstance(some, DEFINITIONS)}
    defined = {name: some for name, some in code.items() if runs_as_main(some)}
    scripts = {name: path for name, path in Setup.here().scripts.items() if name != main_name()}
    if not defined:
        return Origin(main_name(), "", os.getpid(), scripts)
    path = folder / "main.pkl"
    path.touch(0o600)
    file = loaded_file(sys.modules["__main__"])  # the file may be edited before a worker starts
    texts = {**loaded_texts(defined.values()), **({file.path: file.text} if file is not None else {})}
    behind = {} if file is not None else _left_behind(main, code)
    about = {"texts": texts, "file": main.get("__file__"), "behind": behind}
    path.write_bytes(pickle.dumps({**_by_value(defined), **about}))
    return Origin(main_name(), str(path), os.getpid(), scripts)


def _left_behind(main: Mapping[str, object], code: Mapping[str, object]) -> dict[str, str]:
    """Name → definition elsewhere, for the names of a notebook: its code is sent only with the names that it uses."""
    names = {name: object_name(some) for name, some in code.items() if not runs_as_main(some)}
    return names | {name: str(some.__name__) for name, some in main.items() if type(some) is ModuleType}


def _by_value(defined: Mapping[str, object]) -> dict[str, object]:
    spawned = sys.modules.get("__mp_main__")
    if spawned is None:
        return _packed(defined)
    import cloudpickle  # here: 28 ms, and not needed if nothing has to run

    # In a child that multiprocessing spawned, the script has a name which cloudpickle takes for an importable module
    cloudpickle.register_pickle_by_value(spawned)
    try:
        return _packed(defined)
    finally:
        cloudpickle.unregister_pickle_by_value(spawned)


def _packed(defined: Mapping[str, object]) -> dict[str, object]:
    try:
        return {"found": dumps(dict(defined)), "missing": {}}
    except Exception:  # noqa: BLE001  # the user's classes may raise anything
        pass  # one of them reaches what cannot be sent: find it, and send the others
    found: dict[str, object] = {}
    missing: dict[str, str] = {}
    for name, thing in defined.items():
        try:
            dumps(thing)
            found[name] = thing
        except Exception as error:  # noqa: BLE001  # as above
            missing[name] = f"{type(error).__name__}: {error}"
    return {"found": dumps(found), "missing": missing}


class _Definitions(ModuleType):
    """Stands for the sender's `__main__`."""

    _missing: Mapping[str, str]

    def __getattr__(self, name: str) -> object:
        if reason := self.__dict__.get("_missing", {}).get(name):
            raise AttributeError(
                f"{name} of {self.__dict__['__taskproc_name__']} uses what cannot be sent to a worker ({reason}). "
                "Make that inside run_task, put the code into a module, or run in threads"
            )
        raise AttributeError(f"module {self.__dict__.get('__taskproc_name__')!r} has no attribute {name!r}")
