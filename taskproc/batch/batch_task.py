"""The task of a batch: what is done with its items. Each worker has one task object."""
from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from types import MethodType
from typing import Any, Generic, TypeVar

I = TypeVar("I")  # noqa: E741  # items
R = TypeVar("R")  # results


class Task(Generic[I, R]):
    """Define `process_item`, `process_items`, or both. Create what is needed once in `__init__` or in `setup`.

    Any other object with these methods is accepted as well.
    """

    def setup(self) -> None:
        """Called once in each worker, before its first chunk."""

    def teardown(self) -> None:
        """Called once in each worker whose `setup` succeeded, at the end of the batch, even if the batch has failed.

        In the processes of an executor, it is called when the process exits, and not at all if the process is killed.
        Ray kills its processes.
        """

    def run(self, items: Sequence[I], at_once: bool = False, **kwargs: Any) -> Any:
        """The results of a chunk. Calls neither `setup` nor `teardown`: the worker does that.

        Args:
            items: those of the chunk.
            at_once: call `process_items` once, not `process_item` with each item.
            kwargs: `kwargs_task`, passed on to these methods.

        Returns:
            A list with one result per item, in their order; with `at_once`, what `process_items` returns.

        Raises:
            Exception: any that these methods raise. From Python 3.11 on, a note names the item's place in the chunk.
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
        """To be overridden: the result of one item.

        Args:
            args: always empty. Only with `args` and `kwargs` do type checkers accept any override with named arguments.
            kwargs: `kwargs_task`.

        Raises:
            NotImplementedError: not overridden.
        """
        raise NotImplementedError(f"{type(self).__name__} has no process_item. Define it, or pass at_once=True")

    def process_items(self, items: Sequence[I], *args: Any, **kwargs: Any) -> Any:
        """To be overridden: the results of a chunk, for `at_once=True`.

        Returns:
            A list, a tuple or an iterator: one result per entry. An array of shape `(n_results, ...)`: one result per
            row. Any other value, also a dict, a text or a named tuple: a single result.

        Raises:
            NotImplementedError: not overridden.
        """
        raise NotImplementedError(f"{type(self).__name__} has no process_items. Define it, or pass at_once=False")


class TaskWorker:
    """A worker of a map whose items are chunks: creates its task with the first chunk, and runs all chunks by it."""

    def __init__(self, task_class: Any, at_once: bool, kwargs: Mapping[str, Any]):
        self._task_class, self._at_once, self._kwargs = task_class, at_once, dict(kwargs)
        self._task: Any = None
        self._failure: Exception | None = None

    def __call__(self, chunk: Sequence[Any]) -> list[Any]:
        """The results of a chunk. A task that could not be created or set up fails each chunk of its worker."""
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
        """Tear the task down, once, if it was set up."""
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
    """Raise TypeError if `task`, an object or its class, lacks the method that `at_once` needs."""
    needed = "process_items" if at_once else "process_item"
    if _has_own(task, "run") or _has_own(task, needed):
        return
    name = task.__name__ if isinstance(task, type) else type(task).__name__
    other = f"pass at_once={not at_once}"
    raise TypeError(f"{name} has no {needed}. Define it, or {other}")


def _has_own(task: object, name: str) -> bool:
    method = getattr(task, name, None)
    return callable(method) and getattr(method, "__func__", method) is not getattr(Task, name)


def results_of(value: Any) -> list[Any]:
    """What a task returned for a chunk, as a list of results; see `Task.process_items`."""
    if type(value) is list:
        return value
    if type(value) is tuple or isinstance(value, (list, Iterator)):
        return list(value)
    is_array = hasattr(value, "__array__") and getattr(value, "ndim", 0) > 0 and not hasattr(value, "columns")
    return list(value) if is_array else [value]


def add_note(error: BaseException, text: str) -> None:
    """Add a note to an exception, where Python supports that (3.11)."""
    if sys.version_info >= (3, 11):
        error.add_note(text)
