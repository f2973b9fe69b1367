"""A task built again from what its cache has recorded of it, and run alone: in this process, and nothing is stored.

The record of the arguments (`args.json`) names the tasks among them by their keys, and these have records of their own.
So what is built here needs no graph: it is all that the task was once called with, by the present code.

What runs reads its inputs from the cache, by a store that may not write. Its data directory, and whatever tasks it
runs itself, are in a cache of their own, which is removed with it.
"""
from __future__ import annotations

import functools
import inspect
import sys
import tempfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from taskproc.errors import BuildError, MissingResult, UnnamableValue
from taskproc.frozen import replace
from taskproc.kernel.graph import closure
from taskproc.modules import is_findable
from taskproc.run.baseline import in_own_context
from taskproc.store import layout
from taskproc.store.cache import ActiveCache, Cache
from taskproc.store.claims import DiskAttempt
from taskproc.store.disk import DiskStore
from taskproc.store.layout import Place
from taskproc.store.version import Version
from taskproc.tasks.attempt_copies import own_defaults
from taskproc.tasks.binding import rules_of, signature
from taskproc.tasks.future import Const, FutureDict, FutureList, Item
from taskproc.tasks.misuse import advise
from taskproc.tasks.naming import Identity, arguments_text, brief, place_of, texts_of
from taskproc.tasks.running_job import Running, active
from taskproc.tasks.task import Task
from taskproc.tasks.task_graph import needs
from taskproc.text import did_you_mean
from taskproc.values.decode import value_of_form

_MORE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_REFUSAL = "a task that is rerun alone writes nothing to the cache"


def reading_only(store: DiskStore) -> Cache:
    """The cache of a store, in which nothing can be written."""
    return Cache.under(DiskStore(store.root, rules=replace(store.rules, refusal=_REFUSAL)))


def recorded_task(cache: Cache, place: Place) -> Task:
    """The task at `place`, built in `cache` with its recorded arguments.

    Raises:
        MissingResult: its arguments are not recorded.
        UnnamableValue: a recorded argument cannot be decoded; the message names it.
        BuildError: its class, or that of a task among its arguments, is not loaded, or has other parameters now; or
            what is recorded was changed.
    """
    with ActiveCache(cache):
        builder = _Builder(cache, place)
        for one in closure([place], builder.above):
            builder.build(one)
    return builder.tasks[place]


class _Builder:
    """Builds tasks from their records, what they need first.

    Attributes:
        tasks: place → task.
    """

    def __init__(self, cache: Cache, wanted: Place):
        self.tasks: dict[Place, Task] = {}
        self._cache, self._wanted = cache, wanted
        self._forms: dict[Place, Mapping[str, Any] | None] = {}
        self._classes: dict[str, type[Task]] = {}

    def above(self, place: Place) -> list[Place]:
        """The tasks among the recorded arguments of one."""
        if place not in self._forms:
            self._forms[place] = recorded_arguments(self._cache.store, place)
        return [self._met(body) for body in _task_bodies(self._forms[place])]

    def _met(self, body: list[Any]) -> Place:
        name, key, *more = body
        place = place_of_key(name, key)
        if more:
            self._forms[place] = more[0]  # its result is outside the cache, and so it has no record of its own
        return place

    def build(self, place: Place) -> None:
        """Build one. Of one that is above, and cannot be built, there is what names it."""
        try:
            self.tasks[place] = self._built(place)
        except (MissingResult, UnnamableValue, BuildError):
            if place == self._wanted:
                raise
            self.tasks[place] = self._outline(place)

    def _built(self, place: Place) -> Task:
        forms, cls = self._forms[place], self._class_of(place)
        if forms is None:
            raise MissingResult(f"the arguments of {place.name}#{place.key[:8]} are not recorded")
        arguments = self._arguments(cls, forms)
        if place_of(cls, texts_of(cls, rules_of(cls), arguments)) != place:
            # Nobody signs this file, but the key is a digest of what it says
            raise BuildError(
                f"the recorded arguments of {place.name}#{place.key[:8]} are not those of its key: its args.json was "
                "changed, or which of its parameters count (task_ignored_args, task_default_since)"
            )
        bound = inspect.BoundArguments(signature(cls), arguments)
        task: Task = cls(*bound.args, **bound.kwargs)
        return task

    def _arguments(self, cls: type[Task], forms: Mapping[str, Any]) -> OrderedDict[str, Any]:
        """The recorded arguments, in the order of the parameters."""
        parameters = signature(cls).parameters
        if unknown := [name for name in forms if name not in parameters]:
            raise BuildError(f"{cls.task_name} was recorded with an argument {unknown[0]!r}, which it no longer has")
        for name, entry in parameters.items():
            if name not in forms and entry.default is entry.empty and entry.kind not in _MORE:
                where = f"argument {name!r} of {cls.__qualname__}"
                raise UnnamableValue(f"{where} is not recorded, as it has no JSON form")
        return OrderedDict((name, self._value(cls, name, forms[name])) for name in parameters if name in forms)

    def _class_of(self, place: Place) -> type[Task]:
        # Once for each name: it looks at all task classes that are loaded
        cls = self._classes[place.name] = self._classes.get(place.name) or task_class(place.name)
        return cls

    def _value(self, cls: type[Task], name: str, form: Any) -> object:
        try:
            return value_of_form(form, self._future)
        except UnnamableValue as error:
            raise UnnamableValue(f"argument {name!r} of {cls.__qualname__} cannot be decoded: {error}") from error

    def _future(self, form: Any) -> object:
        """The future of a form: a task that was built before, or what stands around one."""
        ((tag, body),) = form.items()
        if tag == "__task__":
            return self.tasks[self._met(body)]
        if tag == "__item__":
            parent, key = (value_of_form(part, self._future) for part in body)
            return Item(parent, key)  # type: ignore[arg-type]  # the form of an element has that of a future
        value: Any = value_of_form(body, self._future)
        return {"__const__": Const, "__futurelist__": FutureList, "__futuredict__": FutureDict}[tag](value)

    def _outline(self, place: Place) -> Task:
        """A task without arguments and attributes: its key, and so its stored result, is what is needed of it."""
        task: Task = object.__new__(self._class_of(place))
        object.__setattr__(task, "_taskproc", Identity(self._cache, place, {}))
        return task


def place_of_key(name: str, key: str) -> Place:
    """The place of a task, by its class and its whole key. ValueError if that is not a key."""
    return Place(name, int(key[:16], 16) >> 1, key)


def recorded_key(store: DiskStore, folder: str, number: int) -> tuple[str, str]:
    """The class name and the whole key that are recorded for an id in the folder of a class; empty if none are."""
    try:
        with store.held(folder, "results", str(number)) as place:
            content = store.arguments(place) or {}
    except (FileNotFoundError, NotADirectoryError):
        return "", ""
    return str(content.get("task", "")), str(content.get("key", ""))


def recorded_arguments(store: DiskStore, place: Place) -> Mapping[str, Any] | None:
    """Name → JSON form of the arguments of a task; None if they are not recorded."""
    try:
        with store.held(*layout.place_levels(place)) as folder:
            content = store.arguments(folder) or {}
    except (FileNotFoundError, NotADirectoryError):
        return None
    forms = content.get("args")
    return forms if content.get("key") == place.key and isinstance(forms, dict) else None


def _task_bodies(form: object) -> Iterator[list[Any]]:
    """Name, key, and more if there is, of each task in a form."""
    todo = [form]
    while todo:
        part = todo.pop()
        if isinstance(part, dict):
            body = part.get("__task__")
            if isinstance(body, list) and len(body) >= 2 and len(part) == 1:
                yield body
            else:
                todo.extend(part.values())
        elif isinstance(part, list):
            todo.extend(part)


def task_class(name: str) -> type[Task]:
    """The task class called `name`, in any module that is loaded. BuildError if there is none."""
    classes: dict[str, list[type[Task]]] = {}
    todo: list[type[Task]] = [Task]
    while todo:
        for cls in todo.pop().__subclasses__():
            # Classes that a module defined before it was loaded again may still be alive
            if "<locals>" in cls.__qualname__ or is_findable(cls):
                classes.setdefault(cls.task_name, []).append(cls)
            todo.append(cls)
    if name not in classes:
        near = did_you_mean(name, classes)
        raise BuildError(f"no task class {name!r} is loaded: define it in the script, or import its module there{near}")
    return classes[name][-1]


def stored_inputs(task: Task, store: DiskStore) -> dict[str, Version]:
    """Key → the newest stored version of each upstream task. MissingResult names those that have none."""
    inputs: dict[str, Version] = {}
    missing: list[str] = []
    for key, upstream in needs(task).items():
        if type(upstream)._taskproc_version is not None:
            continue  # its result is outside the cache, and is read there
        version = next(store.look(upstream._taskproc.place), None)
        if version is None:
            missing.append(brief(upstream))
        else:
            inputs[key] = version
    if missing:
        raise MissingResult(f"no result is stored of {', '.join(missing)}, which {brief(task)} needs")
    return inputs


@contextmanager
def alone(task: Task, inputs: Mapping[str, Version]) -> Iterator[None]:
    """A block in which the task runs, as far as it can see: with these inputs, and an empty data directory.

    Tasks that are built in the block are in a cache of their own, which is removed at the end.
    """
    identity = task._taskproc
    assert identity.cache is not None, "it was built by recorded_task [this is a bug]"
    with tempfile.TemporaryDirectory(prefix="taskproc-rerun-") as folder, Cache(folder) as cache:
        attempt = cache.store.claim(identity.place, lambda: arguments_text(identity), lambda versions: None)
        assert isinstance(attempt, DiskAttempt), "nobody else uses this cache [this is a bug]"
        job = Running(identity.place.key, identity.cache.store, attempt, inputs, task=task)
        try:
            with active(job, away=False):
                yield
        finally:
            attempt.not_needed()


def value_of_run(task: Task) -> object:
    """What `run_task` returns, called inside `alone`. Raises what it raises, with advice on futures."""
    run_task: Any = getattr(task, "run_task")
    try:
        return in_own_context(functools.partial(run_task, **own_defaults(run_task)))
    except Exception as error:
        advise(error, task, needs(task).values())
        raise
    finally:
        sys.stdout.flush()
