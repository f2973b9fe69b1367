"""What is done with the items of a batch: a `Task`, of which each worker has one."""
from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from types import MethodType
from typing import Any, Generic, TypeVar

I = TypeVar("I")  # noqa: E741  # items
R = TypeVar("R")  # results


class Task(Generic[I, R]):
    """Define `process_item`, or `process_items`, or both; what is to be made once, make in `__init__` or in `setup`.

    Any other object with such methods will do as well.
    """

    def setup(self) -> None:
        """Called once in each worker, before its first chunk."""

    def teardown(self) -> None:
        """Called once in each worker whose `setup` has succeeded, when the batch is over, also if it has failed."""

    def run(self, items: Sequence[I], at_once: bool = False, **kwargs: Any) -> Any:
        """The results of a chunk: those of `process_items`, or one for each item in their order.

        Calls neither `setup` nor `teardown`: that is done by the worker, which runs many chunks.
        """
        if at_once:
            return self.process_items(items, **kwargs)
        results: list[R] = []
        for place, item in enumerate(items):
            try:
                results.append(self.process_item(item, **kwargs))
            except Exception as error:
                if len(items) > 1:
                    add_note(error, f"at item {place} of its chunk")
                raise
        return results

    def process_item(self, item: I, *args: Any, **kwargs: Any) -> R:
        """The result of one item. `kwargs` are `kwargs_task`.

        There are no `args`; but only both together let type checkers accept a method that takes some of them by name.
        """
        raise NotImplementedError(f"{type(self).__name__} has no process_item. Define it, or submit with at_once=True")

    def process_items(self, items: Sequence[I], *args: Any, **kwargs: Any) -> Any:
        """The results of a chunk; see `results_of` for what may be returned."""
        raise NotImplementedError(f"{type(self).__name__} has no process_items. Define it, or leave at_once=False")


class TaskWorker:
    """A worker of a map whose items are chunks: creates its task with the first chunk, and runs all chunks by it."""

    def __init__(self, task_class: Any, at_once: bool, kwargs: Mapping[str, Any]):
        self._task_class, self._at_once, self._kwargs = task_class, at_once, dict(kwargs)
        self._task: Any = None
        self._failure: Exception | None = None

    def __call__(self, chunk: Sequence[Any]) -> list[Any]:
        """The results of a chunk. A task that could not be made or set up fails each chunk of its worker."""
        if self._failure is not None:
            raise self._failure
        if self._task is None:
            try:
                self._task = self._new_task()
            except Exception as error:
                self._failure = error
                raise
        run = getattr(self._task, "run", None) or MethodType(Task.run, self._task)
        return results_of(run(chunk, at_once=self._at_once, **self._kwargs))

    def close(self) -> None:
        """Tear down. Idempotent; what was not set up is not torn down."""
        task, self._task = self._task, None
        if hasattr(task, "teardown"):
            task.teardown()

    def _new_task(self) -> Any:
        task = self._task_class()
        check_task(task, self._at_once)
        if hasattr(task, "setup"):
            task.setup()
        return task


def check_task(task: object, at_once: bool) -> None:
    """Raise TypeError if `task`, an object or its class, has no method for what is wanted of it."""
    wanted = "process_items" if at_once else "process_item"
    if _has_own(task, "run") or _has_own(task, wanted):
        return
    name = task.__name__ if isinstance(task, type) else type(task).__name__
    other = "leave at_once=False" if at_once else "submit with at_once=True"
    raise TypeError(f"{name} has no {wanted}. Define it, or {other}")


def _has_own(task: object, name: str) -> bool:
    method = getattr(task, name, None)
    return callable(method) and getattr(method, "__func__", method) is not getattr(Task, name)


def results_of(value: Any) -> list[Any]:
    """What a chunk gave, as a list: a list, a tuple or an iterator has a result in each of its places, an array in each
    row. Anything else, also a dict, a text or a named tuple, is one result.
    """
    if type(value) is list:
        return value
    if type(value) is tuple or isinstance(value, (list, Iterator)):
        return list(value)
    is_array = hasattr(value, "__array__") and getattr(value, "ndim", 0) > 0 and not hasattr(value, "columns")
    return list(value) if is_array else [value]


def add_note(error: BaseException, text: str) -> None:
    """Add to what is shown with it, where Python can (3.11)."""
    if sys.version_info >= (3, 11):
        error.add_note(text)
