"""The work of a run over a graph, for tests that call its five answers directly."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from taskproc.tasks.graph_work import GraphWork, Placement
from taskproc.tasks.known_versions import KnownVersions
from taskproc.tasks.task_graph import graph_of


def known_of(task: Any, *, checks_code: bool = True, forced: Iterable[str] = (), is_run: bool = False) -> KnownVersions:
    """What is known of the versions of `task` and all that it needs."""
    store = task._taskproc.cache.store
    return KnownVersions(graph_of(task), store, checks_code=checks_code, forced=forced, is_run=is_run)


def work_of(
    task: Any,
    *,
    labels: Mapping[str, tuple[str, ...]] | None = None,
    checks_code: bool = True,
    forced: Iterable[str] = (),
    **placement: Any,
) -> GraphWork:
    """A run of `task`, with these fields of its Placement."""
    known = known_of(task, checks_code=checks_code, forced=forced, is_run=True)
    return GraphWork(known, Placement(**placement), labels)
