"""What happens here now: which job runs in this context, and whether a task is being built.

A thread that a task itself started in a worker process is taken for the job's, if there is only one.
"""
from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from taskproc.store.claims import DiskAttempt
from taskproc.store.disk import DiskStore
from taskproc.store.version import Version


@dataclass(slots=True)
class Running:
    """The job that runs here now.

    Attributes:
        inputs: key of each need → the version that this run reads.
        slots: label → name of the slot that the task has.
        lost: keys whose version could not be read after all; the task cannot be blamed for what it raised then.
        outer: the job within which it runs, if a task runs others.
        captured: whether what it prints goes to its log.
        task: the task that runs.
        digits: how many a short id has in what the run says; 0: not known.
        run: the id of the run, to which runs inside the job belong as well; empty: it has none.
    """

    key: str
    store: DiskStore
    attempt: DiskAttempt
    inputs: Mapping[str, Version]
    slots: Mapping[str, str] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    outer: Running | None = None
    captured: bool = False
    task: Any = None
    digits: int = 0
    run: str = ""


_running: ContextVar[Running | None] = ContextVar("taskproc_running", default=None)
of_process: list[Running] = []

# What build.py knows of the definition that is under construction here; None: none is
site: ContextVar[Any] = ContextVar("taskproc_site", default=None)

storing: ContextVar[bool] = ContextVar("taskproc_storing", default=False)  # whether a result is being pickled here


class active:
    """Answer for `job` inside the block; `away`: in a process that does nothing else but run jobs."""

    __slots__ = ("_away", "_job", "_token")

    def __init__(self, job: Running, away: bool):
        self._job, self._away = job, away

    def __enter__(self) -> None:
        self._job.outer = running_job()
        self._token = _running.set(self._job)
        if self._away:
            of_process.append(self._job)

    def __exit__(self, *exception: object) -> None:
        _running.reset(self._token)
        if self._away:
            of_process.remove(self._job)


def running_job() -> Running | None:
    """The job that asks, if a job asks."""
    return _running.get() or (of_process[0] if len(of_process) == 1 else None)


def running_keys() -> frozenset[str]:
    """Keys of the jobs within which is asked, from the innermost outwards."""
    keys, job = set(), running_job()
    while job is not None:
        keys.add(job.key)
        job = job.outer
    return frozenset(keys)


def is_building() -> bool:
    """Whether the `__init__` of a task runs here."""
    return site.get() is not None
