"""Maps whose values are kept in a cache: each item is a task, so what is there already is not computed again."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import nullcontext
from itertools import islice
from typing import Any

from taskproc.errors import FailedTaskError, ItemErrors, MissingResult
from taskproc.maps.map_options import ArgumentPassing, ExceptionBehaviour, calls
from taskproc.maps.pack import Raised
from taskproc.tasks.future import FutureList
from taskproc.tasks.task import Task

FIRST, MOST, FASTER = 16, 1024, 4  # items of a batch: the first, the largest, and the growth from one to the next


class MapItem(Task):
    """What `function` makes of an item. Its name, its code and the item are what the value is known by."""

    # Caches have values under this name, which the class had first
    task_pinned_name = "taskproc.maps" + ".cached.Item"

    def __init__(self, function: Callable[..., Any], item: object, argument_type: str):
        self.function, self.item, self.argument_type = function, item, argument_type

    @classmethod
    def of(cls, function: Callable[..., Any], item: Any, passing: ArgumentPassing) -> MapItem:
        """The task of an item; keywords in the order of their names, for that of a call does not count."""
        if passing is ArgumentPassing.AS_KWARGS and type(item) is dict and all(type(name) is str for name in item):
            item = dict(sorted(item.items()))
        return cls(function, item, passing.value)

    def run_task(self) -> object:
        """Call it."""
        return calls(self.function, ArgumentPassing(self.argument_type))(self.item)


class MapItems(Task):
    """Items that are run together."""

    task_pinned_name = "taskproc.maps" + ".cached.Batch"

    def __init__(self, items: Sequence[MapItem]):
        self.items = FutureList(items)

    def run_task(self) -> None:
        """All is done when the items are."""


def cached_values(
    function: Callable[..., Any],
    source: Iterator[object],
    passing: ArgumentPassing,
    behaviour: ExceptionBehaviour,
    workers: int,
    *,
    use_threads: bool,
    executor: Executor | None = None,
) -> Iterator[object]:
    """The values in order. Batches are read and run one after the other, so little is read that is not given."""
    size, stops = FIRST, behaviour is ExceptionBehaviour.IMMEDIATE
    deferred: list[Exception] = []
    with ThreadPoolExecutor(workers) if use_threads else nullcontext(executor) as running:
        while items := [MapItem.of(function, item, passing) for item in islice(source, size)]:
            errors = _run(MapItems(items), running, workers, stops)
            for item in items:
                error = errors.get(item.task_id)
                if error is None:
                    yield _value(item, errors)
                elif stops:
                    raise error
                else:
                    deferred.append(error)
                    yield error
            size = min(MOST, FASTER * size)
    if deferred and behaviour is ExceptionBehaviour.DEFERRED:
        raise ItemErrors("items of the map raised", deferred)


def _run(batch: MapItems, executor: Executor | None, workers: int, stops: bool) -> dict[int, Exception]:
    """Run it; the errors of its items that failed, by their ids."""
    most = None if executor else workers
    try:
        batch.run_graph(executor=executor, max_workers=most, on_error="stop" if stops else "continue")
    except FailedTaskError as failed:
        return {failure.task_id: Raised(failure.error).error for failure in failed.failures}
    return {}


def _value(item: MapItem, errors: dict[int, Exception]) -> object:
    """Raises the exception that stopped the run, if that is why there is no value."""
    try:
        return item.get_result()
    except MissingResult:
        if errors:
            raise next(iter(errors.values())) from None
        raise
