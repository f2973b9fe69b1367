"""Inspection without a run: which tasks would run and why, whether a task is done, what its result is."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from taskproc.errors import MissingResult, TaskprocError
from taskproc.kernel.model import Reason, Record, Stale, Stamp
from taskproc.kernel.rebuild import FORCED, NEW, code_reason, edge_reason, setting_reason
from taskproc.store.version import package_versions
from taskproc.tasks import access
from taskproc.tasks.build import is_under_construction
from taskproc.tasks.naming import brief, nested
from taskproc.tasks.running_job import is_building
from taskproc.text import counted

if TYPE_CHECKING:
    from taskproc.tasks.known_versions import KnownVersions
    from taskproc.tasks.task_graph import Graph

Task = Any  # tasks.task stands above this module
_SHOWN = 3  # versions of a package that are named


class Foreseen(NamedTuple):
    """A task that would run.

    Attributes:
        reason: in words for people.
        own: why it would run whatever its needs give; None: only since they would run, and may give something new.
    """

    key: str
    reason: Reason
    own: Reason | None


def foreseen(known: KnownVersions) -> Iterator[Foreseen]:
    """Each task that would run, needs first: at most, for an equal value may end it earlier."""
    stale: set[str] = set()
    for key, needs in known.graph.needs.items():
        below = next((need for need in needs if need in stale), None)
        if below is None:
            verdict = known.judge(key)
            if not isinstance(verdict, Stale):
                continue
            yield Foreseen(key, verdict.reason, verdict.reason)
        else:
            # What has changed in the task itself comes first: it may be why there is an upstream task that is new
            own = own_reason(known, key)
            reason = _reason_above(known, below) if own is None or own is NEW else own
            yield Foreseen(key, reason, FORCED if own is None and key in known.forced else own)
        stale.add(key)


def _reason_above(known: KnownVersions, need: str) -> Reason:
    return Reason("need", f"upstream {known.graph.name_of(need)} would run", (need,))


def preview(known: KnownVersions) -> Iterator[tuple[str, Reason]]:
    """Key and reason of each task that would run, needs first: at most, for an equal value may end it earlier."""
    yield from ((each.key, each.reason) for each in foreseen(known))


def own_reason(known: KnownVersions, key: str) -> Reason | None:
    """Why `key` would run whatever its needs give: it has other code, settings or needs than each of its versions.

    NEW if it has no version.
    """
    task, conditions = known.graph.tasks[key], known.conditions
    needs = dict.fromkeys(known.graph.needs[key], Stamp("", ""))
    first: Reason | None = None
    for version in known.store.look(task._taskproc.place):
        record = version.record
        is_same = not known.checks_code or conditions.is_same(task, known.store, record)
        code = None if is_same else conditions.code(task).digest
        reason = (
            code_reason(record, code, partial(_change, known, task, record))
            or setting_reason(record, conditions.settings(task))
            or edge_reason(record, needs, known.graph.name_of)
        )
        if reason is None:
            return None
        first = first or reason
    return first or NEW


def _change(known: KnownVersions, task: Task, record: Record, code: str) -> str:
    return known.conditions.change(task, known.store, code, *sorted(record.accepted))


def summary(graph: Graph, reason: Reason) -> str:
    """A reason in words that fit all tasks of a class: of upstream tasks, it names only the classes."""
    if not reason.needs:
        return reason.text
    classes = dict.fromkeys(type(graph.tasks[key]).__qualname__ for key in reason.needs)
    return f"upstream {', '.join(classes)} changed"


def stored_result(task: Task) -> Any:
    """The newest fresh result of `task`, which is not an input of the job that asks; see Task.get_result."""
    if task._taskproc.cache is None:
        name = brief(task)
        raise MissingResult(f"{name} is not an input of the task that runs here: make it an attribute of that task")
    known, reason = _look(task)
    if reason is not None and is_building():
        raise MissingResult(
            f"{brief(task)} has no fresh result yet: get_result() is too early while a task is built. Store the "
            "task as an attribute in __init__, and call get_result() in run_task"
        )
    if reason is not None:
        # Named again, because the caller may hold an element of it, or a list, which cannot be run
        how = f"{nested(task)}(...).run_graph()"
        raise MissingResult(f"{brief(task)} has no fresh result: {reason}. Run it with {how}")
    return known.store.load(known.in_use[known.graph.root])


def is_done(task: Task) -> bool:
    """Whether a fresh result of `task` is stored."""
    return _look(task)[1] is None


def stored_directory(task: Task) -> Path:
    """The data directory of the result in use; see Task.task_directory."""
    return access.directory(task._taskproc, partial(_in_use, task))


def stored_log(task: Task, stream: str) -> Path:
    """The output that belongs to the result in use; see Task.task_stdout."""
    return access.log(task._taskproc, stream, partial(_in_use, task))


def _in_use(task: Task, versions: list[int]) -> int:
    """The newest fresh version of those given, newest first. 0: none is, or it cannot be known here."""
    identity = task._taskproc
    if identity.used == versions[0]:
        return versions[0]
    if identity.cache is None or is_under_construction(task):
        return 0
    try:
        known, reason = _look(task)
    except TaskprocError:
        return 0  # a run will report it; the caller only wants a path
    return known.in_use[known.graph.root].record.number if reason is None else 0


def _look(task: Task) -> tuple[KnownVersions, str | None]:
    """Judge `task` and all that it needs until one is stale: what is known then, and the reason if one is stale."""
    from taskproc.tasks.known_versions import KnownVersions
    from taskproc.tasks.task_graph import graph_of  # here: 10 ms, and a worker reads inputs without it

    graph = graph_of(task)
    known = KnownVersions(graph, access.store_of(task._taskproc))
    for key, reason in preview(known):
        return known, reason.text if key == graph.root else f"{graph.name_of(key)} must run first: {reason.text}"
    return known, None


def other_versions(known: KnownVersions) -> Iterator[str]:
    """A line for each package whose version differs from that with which fresh results of the graph were made.

    It uses what is known of judged tasks, and opens no file.
    """
    if not known.conditions.reaches_packages():
        return
    found: dict[tuple[str, str], Counter[str]] = {}
    for key, version in known.in_use.items():
        task = known.graph.tasks[key]
        now = {} if key in known.made or task._taskproc.version is not None else known.conditions.code(task).packages
        then = package_versions(version.about) if now else {}
        for name, installed in now.items():
            if then.get(name, installed) != installed:
                found.setdefault((name, installed), Counter())[then[name]] += 1
    for (name, installed), counts in sorted(found.items()):
        many = counts.total() > 1
        versions = [version for version, _ in counts.most_common()]
        more = [f"{len(versions) - _SHOWN} more versions"] if len(versions) > _SHOWN else []
        yield (
            f"{counted(counts.total(), 'fresh result')} {'were' if many else 'was'} made with {name} "
            f"{', '.join([*versions[:_SHOWN], *more])}; {name} {installed} is installed now: name it in task_packages "
            f"to rerun {'them' if many else 'it'}"
        )
