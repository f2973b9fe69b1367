"""The first worker of a run, started before what runs a graph is imported and its code is read: both take as long."""
from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from taskproc.run.setup import is_far_end
from taskproc.tasks.now import running_job
from taskproc.tasks.reading import store_of

Task = Any  # tasks.task stands above this module


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
