"""A task and all that it needs, found through its attributes. No file is read."""
from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from taskproc.attributes import filled_slots, identity, slots_of
from taskproc.errors import BuildError, CycleError
from taskproc.kernel.graph import closure
from taskproc.modules import object_name
from taskproc.store.layout import ShortIds, folder_name
from taskproc.tasks.access import store_of
from taskproc.tasks.binding import FLAT
from taskproc.tasks.future import Const, Item
from taskproc.tasks.naming import brief, identity_of, task_name
from taskproc.tasks.task_code import fingerprint

Task = Any  # tasks.task stands above this module, which uses only `_taskproc`


class Graph:
    """A task and all that it needs; or several of these, where it grows.

    Attributes:
        root: key of the task that was asked for; empty where it grows, and where several were asked for.
        tasks: by key.
        needs: key → keys, in an order in which needs come first.
        ids: the short ids that were given; they are unique within the whole graph from the first on.
    """

    def __init__(self, root: str, tasks: dict[str, Task], needs: dict[str, tuple[str, ...]]):
        self.root, self.tasks, self.needs = root, tasks, needs
        self.ids = ShortIds()

    def grow(self, other: Graph) -> list[str]:
        """Add what is only in `other`, and return its keys, needs first."""
        added = [key for key in other.needs if key not in self.needs]
        for key in added:
            self.tasks[key], self.needs[key] = other.tasks[key], other.needs[key]
        return added

    def name_of(self, key: str) -> str:
        """The name of the task for people, or a part of the key if the task has left the graph."""
        if not self.ids:
            self.ids.meet(self.needs)  # only now: many runs name no task
        return brief(self.tasks[key], self.ids) if key in self.tasks else f"a task that was there before (#{key[:8]})"

    def class_name(self, key: str) -> str:
        """Name of the class of a task."""
        name: str = self.tasks[key]._taskproc.place.name
        return name


def graph_of(*roots: Task) -> Graph:
    """Gather what tasks need. CycleError with the path; BuildError if two caches are mixed. No file is touched.

    An input of the job that asks, in a worker, is an end of it: what lies above is not there, and its result is known.
    """
    cache, root = roots[0]._taskproc.cache, store_of(roots[0]._taskproc).root
    tasks = {task._taskproc.place.key: task for task in roots}

    def needs_of(key: str) -> Iterable[str]:
        found = {} if tasks[key]._taskproc.version is not None else needs(tasks[key])
        if not found:
            return ()
        for some in found.values():
            if some._taskproc.cache is not cache and (other := store_of(some._taskproc).root) != root:
                raise BuildError(
                    f"{brief(tasks[key])} is built in cache {root!r}, but needs {brief(some)} of cache "
                    f"{other!r}: build both in one cache"
                )
            meet(tasks, some)
        return found

    keys = list(tasks)
    order = closure(keys, needs_of, lambda some: brief(tasks[some]))
    refuse_namesakes({type(some) for some in tasks.values()})
    return Graph(keys[0] if len(roots) == 1 else "", tasks, order)


def places_of(tasks: Iterable[Task]) -> set[tuple[str, int]]:
    """Where the results of some tasks, and of all that they need, lie: folders of classes and ids."""
    places = [task._taskproc.place for root in tasks for task in graph_of(root).tasks.values()]
    return {(folder_name(place.name), place.id) for place in places}


def attributes(task: object) -> list[tuple[str, object]]:
    """Name and value of the attributes that `__init__` left on the task, slots included."""
    task = original(task)
    found = [each for each in vars(task).items() if each[0] != "_taskproc"]
    if slots_of(type(task)):
        found += filled_slots(task)
    return found


def original(task: Any) -> Any:
    """The task that was built, also for a copy of an attempt (tasks/attempt_copies.py)."""
    identity = vars(task).get("_taskproc")
    return task if identity is None or identity.copied is None else identity.copied[0]


def upstreams(value: object) -> dict[str, Any]:
    """The tasks that `value` holds, at any depth of plain containers, by key and in order."""
    found: dict[str, Any] = {}
    seen: set[int] = set()
    todo: list[object] = [value]
    while todo:
        some = todo.pop()
        if type(some) in FLAT or (number := identity(some)) in seen:
            continue
        seen.add(number)
        if identity_of(some) is not None:
            meet(found, some)
        else:
            todo.extend(reversed(_inside(some)))
    return found


def needs(task: object) -> dict[str, Any]:
    """The tasks that `task` needs, by key, in the order of its attributes. CycleError if one holds the task itself."""
    found: dict[str, Any] = {}
    for name, value in attributes(task):
        if type(value) in FLAT:
            continue
        for some in upstreams(value).values():
            if some is task:
                raise CycleError(_itself(task, name, value))
            meet(found, some)
    return found


def _itself(task: object, name: str, value: object) -> str:
    what = f"{brief(task)} needs itself: its attribute {name!r}"
    if value is task:
        return f"{what} is the task. Leave it out: run_task has `self`"
    return f"{what} ({type(value).__qualname__}) holds the task. Put there only what is needed of it"


def meet(found: dict[str, Any], task: Any) -> None:
    """Add `task` to those that were `found`, by its key.

    Raises BuildError if they include a task of another class with the same name, because one result would be taken for
    the other: a class made by a function may depend on that function's variables, and a class that was defined again
    may compute something else.
    """
    place = task._taskproc.place
    kind, other = type(task), type(found.setdefault(place.key, task))
    if kind is not other:
        refuse_namesakes((other, kind))
        if "<locals>" in kind.__qualname__ or fingerprint(kind).digest != fingerprint(other).digest:
            raise BuildError(
                f"two task classes of one graph are called {place.name!r}: give them different names, "
                "or build the whole graph again after a class was defined again"
            )


def refuse_namesakes(classes: Iterable[type]) -> None:
    """Raise BuildError if two of these classes have one name because the name of one is pinned to that of the other.

    They would share a folder, and differ only by their code, if that counts.
    """
    found: dict[str, type] = {}
    for cls in classes:
        name = task_name(cls)
        other = found.setdefault(name, cls)
        if object_name(other) != object_name(cls):
            one, two = sorted((object_name(other), object_name(cls)))
            raise BuildError(
                f"the task classes {one} and {two} of one graph are both called {name!r}: pin the name of one of them"
            )


def _inside(value: Any) -> list[object]:
    if isinstance(value, Item):
        return [value.parent]
    if isinstance(value, Const):
        return [value._value]
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name, None) for field in dataclasses.fields(value)]
    return []
