"""A task and all that it needs, gathered through its attributes; no file is touched."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from taskproc.errors import BuildError
from taskproc.kernel.graph import closure
from taskproc.store.layout import ShortIds
from taskproc.tasks.naming import brief
from taskproc.tasks.needs import meet, needs, refuse_namesakes
from taskproc.tasks.reading import store_of

Task = Any  # tasks.task stands above this module; what is asked of one here is `_taskproc`


class Graph:
    """A task and all that it needs; or several of these, where it grows.

    Attributes:
        root: key of the task that was asked for; empty where it grows.
        tasks: by key.
        needs: key → keys, in an order in which needs come first.
        ids: what short ids were given; all of the graph are told apart from the first on.
    """

    def __init__(self, root: str, tasks: dict[str, Task], needs: dict[str, tuple[str, ...]]):
        self.root, self.tasks, self.needs = root, tasks, needs
        self.ids = ShortIds()

    def grow(self, other: Graph) -> list[str]:
        """Take in what is in `other` only: its keys, needs first."""
        added = [key for key in other.needs if key not in self.needs]
        for key in added:
            self.tasks[key], self.needs[key] = other.tasks[key], other.needs[key]
        return added

    def name_of(self, key: str) -> str:
        """What people call the task, or a part of the key of one that is not in the graph any more."""
        if not self.ids:
            self.ids.meet(self.needs)  # only now: many a run names no task
        return brief(self.tasks[key], self.ids) if key in self.tasks else f"a task that was there before (#{key[:8]})"

    def class_name(self, key: str) -> str:
        """Name of the class of a task."""
        name: str = self.tasks[key]._taskproc.place.name
        return name


def graph_of(task: Task) -> Graph:
    """Gather what `task` needs. CycleError with the path; BuildError if two caches are mixed. No file is touched.

    An input of the job that asks, in a worker, is an end of it: what lies above is not there, and its result is known.
    """
    cache, root = task._taskproc.cache, store_of(task._taskproc).root
    tasks = {task._taskproc.place.key: task}

    def needs_of(key: str) -> Iterable[str]:
        found = {} if tasks[key]._taskproc.version is not None else needs(tasks[key])
        if not found:
            return ()
        for some in found.values():
            if some._taskproc.cache is not cache and (other := store_of(some._taskproc).root) != root:
                raise BuildError(
                    f"{brief(tasks[key])} is built in cache {root!r}, but needs {brief(some)} of cache "
                    f"{other!r}: build both in one"
                )
            meet(tasks, some)
        return found

    key = task._taskproc.place.key
    order = closure([key], needs_of, lambda some: brief(tasks[some]))
    refuse_namesakes({type(some) for some in tasks.values()})
    return Graph(key, tasks, order)
