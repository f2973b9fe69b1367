"""Tasks for tests of jobs, and their jobs."""
from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from taskproc.frozen import replace
from taskproc.run.pool import LocalExecutor
from taskproc.store.disk import DiskStore
from taskproc.store.version import TINY_PAYLOAD, Version
from taskproc.tasks.conditions import Conditions
from taskproc.tasks.job import AttemptPart, ClassPart, RunPart, TaskJob
from taskproc.tasks.settings import left_on
from taskproc.tasks.task import Task
from taskproc.tasks.task_code import fingerprint
from taskproc.tasks.task_graph import needs

LARGE = random.Random(0).randbytes(2 * TINY_PAYLOAD).hex()  # even compressed too large to be sent with its version

act: list[Callable[[Any], Any]] = []


class Acts(Task):
    """Calls the function in `act`."""

    def __init__(self, *ups: Any):
        self.ups = list(ups)

    def run_task(self) -> Any:
        return act[0](self)


class Leaf(Task):
    def __init__(self, value: Any = 1):
        self.value = value
        self.note = {"of": [value]}

    def run_task(self) -> Any:
        return self.value


class Tens(Task):
    def __init__(self, up: Any):
        self.up = up

    def run_task(self) -> int:
        value: int = self.up.get_result()
        return value * 10


def version_of(task: Any) -> Version:
    """The newest version of a task that has run."""
    return next(task._taskproc.cache.store.look(task._taskproc.place))


def job_of(task: Any, does: Callable[[Any], Any] | None = None, **changes: Any) -> TaskJob:
    """A job whose needs have run here, with some fields of its parts changed."""
    act[:] = [does or (lambda self: None)]
    above = needs(task)
    for need in above.values():
        need.run_graph(executor=LocalExecutor())
    store = task._taskproc.cache.store
    own = DiskStore(store.root, changes.pop("token", "token"), rules=changes.pop("rules", None))
    kind = ClassPart(fingerprint(type(task)).digest, settings=Conditions().of_class(type(task)))
    inputs = {key: version_of(need) for key, need in above.items()}
    return changed(TaskJob(task, RunPart(own), kind, AttemptPart(inputs, left=left_on(task))), **changes)


def changed(job: TaskJob, **changes: Any) -> TaskJob:
    """The job with some fields of its parts changed."""
    parts = {name: getattr(job, name) for name in ("run", "kind", "attempt")}
    for name, part in parts.items():
        own = {field: changes.pop(field) for field in part.__match_args__ if field in changes}
        parts[name] = replace(part, **own)
    assert not changes, f"no part has {list(changes)}"
    return replace(job, **parts)
