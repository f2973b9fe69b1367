"""Maps whose values are stored in a cache: each item is a task, so a stored value is not computed again."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import nullcontext
from itertools import islice
from typing import Any

from taskproc.errors import FailedTaskError, ItemErrors, MissingResult
from taskproc.maps.map_options import ArgumentPassing, ExceptionBehaviour, calls
from taskproc.maps.transfer import Raised
from taskproc.tasks.future import FutureList
from taskproc.tasks.task import Task

FIRST, MOST, GROWTH = 16, 1024, 4  # items that run together: at first, at most, and the growth each time


class MapItem(Task):
    """The value of `function` for an item, identified by the function's name and code and by the item."""

    # Caches have values under this name, which the class had first
    task_pinned_name = "taskproc.maps" + ".cached.Item"

    def __init__(self, function: Callable[..., Any], item: object, argument_type: str):
        self.function, self.item, self.argument_type = function, item, argument_type

    @classmethod
    def of(cls, function: Callable[..., Any], item: Any, passing: ArgumentPassing) -> MapItem:
        """The task of an item. Keywords are sorted, because their order in a call has no meaning."""
        if passing is ArgumentPassing.AS_KWARGS and type(item) is dict and all(type(name) is str for name in item):
            item = dict(sorted(item.items()))
        return cls(function, item, passing.value)

    def run_task(self) -> object:
        """Call the function with the item."""
        return calls(self.function, ArgumentPassing(self.argument_type))(self.item)


class MapItems(Task):
    """Items that run together."""

    task_pinned_name = "taskproc.maps" + ".cached.Batch"

    def __init__(self, items: Sequence[MapItem]):
        self.items = FutureList(items)

    def run_task(self) -> None:
        """Nothing to do: all items have run."""


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
    """The values in order. Few items run together, so few are read and not yet yielded."""
    size, stops = FIRST, behaviour is ExceptionBehaviour.IMMEDIATE
    deferred: list[Exception] = []
    with ThreadPoolExecutor(workers) if use_threads else nullcontext(executor) as running:
        while items := [MapItem.of(function, item, passing) for item in islice(source, size)]:
            errors = _run_items(MapItems(items), running, workers, stops)
            for item in items:
                error = errors.get(item.task_id)
                if error is None:
                    yield _item_value(item, errors)
                elif stops:
                    raise error
                else:
                    deferred.append(error)
                    yield error
            size = min(MOST, GROWTH * size)
    if deferred and behaviour is ExceptionBehaviour.DEFERRED:
        raise ItemErrors("items of the map raised", deferred)


def _run_items(batch: MapItems, executor: Executor | None, workers: int, stops: bool) -> dict[int, Exception]:
    """Run the items, and return the errors of those that failed, by their task ids."""
    most = None if executor else workers
    try:
        batch.run_graph(executor=executor, max_workers=most, on_error="stop" if stops else "continue")
    except FailedTaskError as failed:
        return {failure.task_id: Raised(failure.error).error for failure in failed.failures}
    return {}


def _item_value(item: MapItem, errors: dict[int, Exception]) -> object:
    """The value of an item. Raises the exception that stopped the run, if that is why there is none."""
    try:
        return item.get_result()
    except MissingResult:
        if errors:
            raise next(iter(errors.values())) from None
        raise
