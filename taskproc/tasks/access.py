"""Answers of a task about its result, directory and logs, inside and outside a job.

Inside a job, they are those of this run: inputs give the results of the judged versions, and the directory is that of
the attempt.
"""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NoReturn

from taskproc.errors import NoCacheError
from taskproc.run.capture import expose
from taskproc.store import layout
from taskproc.store.disk import DiskStore, InUse
from taskproc.tasks.naming import Identity
from taskproc.tasks.running_job import running_job


def store_of(identity: Identity) -> DiskStore:
    """The store in which the task was built."""
    if identity.cache is not None:
        return identity.cache.store
    if (job := running_job()) is not None:
        return job.store
    raise NoCacheError("an input of a task was used outside its run")


def directory(identity: Identity, in_use: InUse) -> Path:
    """The data directory; see Task.task_directory and, for `in_use`, DiskStore.directory."""
    job = running_job()
    if job is not None and job.key == identity.place.key:
        return job.attempt.directory
    if job is not None and (version := job.read_version(identity)) is not None:
        return Path(os.path.dirname(version.path), layout.data_folder(version.record.number))
    return store_of(identity).directory(identity.place, in_use)


def log(identity: Identity, stream: str, in_use: InUse) -> Path:
    """The log of the attempt that made the version `in_use`, or of the running one; see Task.task_stdout."""
    job = running_job()
    if job is not None and job.key == identity.place.key:
        expose()
        return job.attempt.log(stream)
    if job is not None and (version := job.read_version(identity)) is not None:
        number = version.record.number
        return store_of(identity).log(identity.place, stream, lambda versions: number)
    return store_of(identity).log(identity.place, stream, in_use)


def slots(identity: Identity) -> dict[str, str]:
    """Label → name of the slot that the task has while it runs; see Task.task_slots."""
    job = running_job()
    return dict(job.slots) if job is not None and job.key == identity.place.key else {}


def refuse_missing(task: Any, name: str) -> NoReturn:
    """Raise AttributeError; for an input of a job, it says why the attribute may be missing."""
    identity = vars(task).get("_taskproc")
    text = f"{type(task).__qualname__!r} object has no attribute {name!r}"
    if identity is not None and identity.version is not None:
        text += " here: inputs are sent to a worker with their plain attributes only. Make the value an attribute of "
        text += "the task that reads it"
    raise AttributeError(text, name=name, obj=task)
