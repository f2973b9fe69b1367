"""What happens here now: which job runs in this context and what it reads, and whether a task is being built.

A thread that a task itself started in a worker process is taken for the job's, if there is only one.
"""
from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from taskproc.errors import MissingResult
from taskproc.store.claims import DiskAttempt
from taskproc.store.disk import DiskStore
from taskproc.store.version import Version

Identity = Any  # tasks.naming stands above this module


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

    def read_version(self, identity: Identity) -> Version | None:
        """What this job reads of a task; None if that is not an input."""
        return self.inputs.get(identity.place.key) or identity.version


_running: ContextVar[Running | None] = ContextVar("taskproc_running", default=None)
of_process: list[Running] = []

# What build.py stores of the definition under construction; None: there is none
site: ContextVar[Any] = ContextVar("taskproc_site", default=None)

storing: ContextVar[bool] = ContextVar("taskproc_storing", default=False)  # whether a result is being pickled here


class active:
    """Make `job` the running one inside the block; `away`: in a process that only runs jobs."""

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
    """The job that the caller belongs to, if any."""
    return _running.get() or (of_process[0] if len(of_process) == 1 else None)


def input_value(identity: Identity) -> tuple[bool, object]:
    """Whether a task is an input of the job that asks, and then its value."""
    job = running_job()
    version = None if job is None else job.read_version(identity)
    if job is None or version is None:
        return False, None
    try:
        return True, job.store.value(version)
    except MissingResult:
        job.lost.add(identity.place.key)
        raise


def running_keys() -> frozenset[str]:
    """Keys of the jobs that the caller runs in, from the innermost outwards."""
    keys, job = set(), running_job()
    while job is not None:
        keys.add(job.key)
        job = job.outer
    return frozenset(keys)


def is_building() -> bool:
    """Whether the caller runs in the `__init__` of a task."""
    return site.get() is not None
