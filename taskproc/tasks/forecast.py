"""What a run would do, and what it would cost: `task.plan()`. Nothing runs, and no result is loaded."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from taskproc.checks import at_least
from taskproc.ledger.estimates import Cost, Estimate, Estimates
from taskproc.ledger.schedule import critical_path, wall_time
from taskproc.machine import available_cpus
from taskproc.tasks.causes import Edit, StaleTask, edits_of, stale_tasks
from taskproc.tasks.costs import task_costs
from taskproc.tasks.inspection import other_versions
from taskproc.tasks.labels import Slots, labels_of
from taskproc.tasks.running import plan_work
from taskproc.watch.stream import WORKERS

if TYPE_CHECKING:
    from taskproc.tasks.known_versions import KnownVersions
    from taskproc.tasks.labels import RateLimits

Task = Any  # tasks.task stands above this module


@dataclass(frozen=True)
class ClassForecast:
    """What a run would do with the tasks of one class.

    Attributes:
        task: name of the class.
        total, fresh, to_run: how many tasks there are, have a fresh result, would run.
        at_most: those of `to_run` that run only if an upstream task gives a new value.
        unknown: those of `to_run` whose time is unknown: their class has no record.
        reasons: why they would run → how many.
        seconds: sum over the tasks that would run and whose time is known; the low end is without `at_most`.
        peak_memory: bytes of the largest of them; None: unknown.
        bytes: of their results and data directories, summed up; None: unknown.
    """

    task: str
    total: int
    fresh: int
    to_run: int
    at_most: int
    unknown: int
    reasons: Mapping[str, int]
    seconds: Estimate | None
    peak_memory: Estimate | None
    bytes: Estimate | None


@dataclass(frozen=True)
class PathTask:
    """A task of the critical path; `seconds`: None if unknown."""

    task: str
    text: str
    key: str
    seconds: Estimate | None


@dataclass(frozen=True)
class Forecast:
    """What a run would do.

    Attributes:
        task: the task, as it is shown.
        workers: how many tasks run at once.
        total, to_run, at_most, unknown: as of a ClassForecast, for the whole graph.
        is_forced: whether the task itself would run only because it is forced, as the command line does with `Main`.
        seconds: sum over the tasks that would run.
        wall: time of the whole run on `workers`, without what passes between tasks.
        classes: name of a class → its part, upstream classes first.
        path: the chain of tasks that takes longest, first to last.
        edits: changes, first the one that explains most.
        notes: lines on packages that have another version than when fresh results were made.
    """

    task: str
    workers: int
    total: int
    to_run: int
    at_most: int
    unknown: int
    is_forced: bool
    seconds: Estimate
    wall: Estimate
    classes: Mapping[str, ClassForecast]
    path: tuple[PathTask, ...] = ()
    edits: tuple[Edit, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def runs_something(self) -> bool:
        """Whether a task would run, apart from the task itself if it only is forced."""
        return self.to_run > self.is_forced


def forecast(
    task: Task,
    workers: int | None = None,
    *,
    rate_limits: RateLimits | None = None,
    detect_source_change: bool = True,
    force: bool = False,
) -> Forecast:
    """See Task.plan."""
    workers = available_cpus() if workers is None else at_least(workers, 1, "workers")
    limits = {**Slots(rate_limits).counts, WORKERS: workers}
    known = plan_work(task, detect_source_change, force)
    stale = stale_tasks(known)
    graph = known.graph
    costs = task_costs(graph, stale, Estimates.of_store(known.store))
    needs = {key: [need for need in graph.needs[key] if need in stale] for key in stale}
    labels = {key: (*labels_of(type(graph.tasks[key])), WORKERS) for key in stale}
    seconds = {key: cost.seconds for key, cost in costs.items() if cost.seconds is not None}
    path = critical_path(needs, {key: each.likely for key, each in seconds.items()})
    lowest = {key: each.low for key, each in seconds.items() if stale[key].own}
    return Forecast(
        task=graph.name_of(graph.root),
        workers=workers,
        total=len(graph.needs),
        to_run=len(stale),
        at_most=sum(not each.own for each in stale.values()),
        unknown=len(stale) - len(seconds),
        is_forced=graph.root in stale and {cause.kind for cause in stale[graph.root].causes} == {"forced"},
        seconds=_sum_of(seconds, stale),
        wall=Estimate(
            wall_time(needs, {key: each.likely for key, each in seconds.items()}, limits, labels),
            wall_time(needs, lowest, limits, labels),
            wall_time(needs, {key: each.high for key, each in seconds.items()}, limits, labels),
        ),
        classes=_classes(known, stale, costs),
        path=tuple(PathTask(graph.class_name(key), graph.name_of(key), key, seconds.get(key)) for key in path),
        edits=tuple(edits_of(known, stale)),
        notes=tuple(other_versions(known)),
    )


def _sum_of(figures: Mapping[str, Estimate], stale: Mapping[str, StaleTask]) -> Estimate:
    """The sum; what may not run counts nothing at the low end."""
    likely = sum(each.likely for each in figures.values())
    low = sum(each.low for key, each in figures.items() if stale[key].own)
    return Estimate(likely, low, sum(each.high for each in figures.values()))


def _classes(
    known: KnownVersions, stale: Mapping[str, StaleTask], costs: Mapping[str, Cost]
) -> dict[str, ClassForecast]:
    totals: dict[str, int] = {}
    keys: dict[str, list[str]] = {}
    for key in known.graph.needs:
        name = known.graph.class_name(key)
        totals[name] = totals.get(name, 0) + 1
        keys.setdefault(name, [])
        if key in stale:
            keys[name].append(key)
    return {name: _class_forecast(name, total, {key: stale[key] for key in keys[name]}, costs)
            for name, total in totals.items()}  # fmt: skip


def _class_forecast(
    name: str, total: int, stale: Mapping[str, StaleTask], costs: Mapping[str, Cost]
) -> ClassForecast:
    reasons: dict[str, int] = {}
    for each in stale.values():
        text = "; ".join(sorted(cause.text for cause in each.own)) or "an upstream task would run"
        reasons[text] = reasons.get(text, 0) + 1
    seconds = {key: cost for key in stale if (cost := costs[key].seconds) is not None}
    peaks = [cost for key in stale if (cost := costs[key].peak) is not None]
    sizes = {key: cost for key in stale if (cost := costs[key].size) is not None}
    return ClassForecast(
        task=name,
        total=total,
        fresh=total - len(stale),
        to_run=len(stale),
        at_most=sum(not each.own for each in stale.values()),
        unknown=len(stale) - len(seconds),
        reasons=dict(sorted(reasons.items(), key=lambda item: -item[1])),
        seconds=_sum_of(seconds, stale) if seconds else None,
        peak_memory=_largest(peaks) if peaks else None,
        bytes=_sum_of(sizes, stale) if sizes else None,
    )


def _largest(figures: Iterable[Estimate]) -> Estimate:
    values = list(figures)
    return Estimate(*(max(getattr(each, name) for each in values) for name in ("likely", "low", "high")))
