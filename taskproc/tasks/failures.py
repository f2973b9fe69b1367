"""Failures as the user gets them: what failed, with what error, and where to read on."""
from __future__ import annotations

import copyreg
from collections.abc import Callable
from pathlib import Path
from typing import Any

from taskproc.errors import MissingResult, RemoteError, TaskFailure
from taskproc.kernel.model import Event, Problem
from taskproc.pickling import pack_error, unpack_error
from taskproc.run.problem import end_of_log, rebuild
from taskproc.store.disk import DiskStore
from taskproc.tasks.graph import Graph


def failure_of(graph: Graph, store: DiskStore, key: str, event: Event[str]) -> TaskFailure:
    """The failure that an event of kind `failed` tells of."""
    task = graph.tasks[key]
    problem = event.detail.get("problem")
    if isinstance(problem, Problem):
        error, traceback = rebuild(problem), problem.traceback
    else:
        names = ", ".join(graph.name_of(str(lost)) for lost in _list(event.detail.get("keys")))
        error, traceback = MissingResult(f"results that it reads were lost again and again: {names}"), ""
    place = task._taskproc.place
    stdout, stderr = (_existing(store.log_path(place, stream)) for stream in ("stdout", "stderr"))
    return TaskFailure(
        task=graph.name_of(key),
        task_name=place.name,
        task_id=place.id,
        error=error,
        traceback=traceback,
        stdout=stdout,
        stderr=stderr,
        log=next(filter(None, map(end_of_log, filter(None, (stderr, stdout)))), ""),
    )


def _reduced(failure: TaskFailure) -> tuple[Callable[..., TaskFailure], tuple[object, ...]]:
    """How a failure is pickled: its error may be anything, and travels as errors do."""
    values = {name: value for name, value in vars(failure).items() if name != "error"}
    return _restored, (values, pack_error(failure.error))


def _restored(values: dict[str, Any], error: bytes) -> TaskFailure:
    return TaskFailure(**values, error=unpack_error(error, values["traceback"]) or RemoteError(values["task"]))


copyreg.pickle(TaskFailure, _reduced)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None
