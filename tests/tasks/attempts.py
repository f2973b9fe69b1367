"""Tasks for tests of jobs, and jobs of them."""
from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from taskproc.frozen import replace
from taskproc.run.pool import LocalExecutor
from taskproc.store.base import TINY, Version
from taskproc.tasks.conditions import Conditions
from taskproc.tasks.job import TaskJob
from taskproc.tasks.needs import needs
from taskproc.tasks.source import fingerprint
from taskproc.tasks.task import Task

LARGE = random.Random(0).randbytes(2 * TINY).hex()  # even compressed too large to go with its version

act: list[Callable[[Any], Any]] = []


class Acts(Task):
    """Does what stands in `act`."""

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
    """The newest version of a task that was run before."""
    return next(task._taskproc.cache.store.look(task._taskproc.place))


def job_of(task: Any, does: Callable[[Any], Any] | None = None, **changes: Any) -> TaskJob:
    """A job whose needs were run here."""
    act[:] = [does or (lambda self: None)]
    above = needs(task)
    for need in above.values():
        need.run_graph(executor=LocalExecutor())
    identity = task._taskproc
    job = TaskJob(
        task=task,
        place=identity.place,
        root=identity.cache.store.root,
        token="token",
        inputs={key: version_of(need) for key, need in above.items()},
        code=fingerprint(type(task)).digest,
        settings=Conditions().settings(task),
        checks_code=True,
        above=0,
        forced=False,
        number=0,
        captures=True,
    )
    return replace(job, **changes)
