"""Pool: workers, which are functions or objects that keep their state, and the maps that they run."""
from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Sized
from concurrent.futures import Executor
from typing import Any, cast

from typing_extensions import Self

from taskproc.checks import at_least, positive_seconds
from taskproc.errors import OptionError
from taskproc.machine import available_cpus
from taskproc.maps.chunks import Crew
from taskproc.maps.delayed import Delayed, DelayedClass, may_close
from taskproc.maps.engine import Engine, Order
from taskproc.maps.map_options import ArgumentPassing, ExceptionBehaviour, member
from taskproc.maps.process_crew import ProcessCrew, worker_kinds
from taskproc.maps.thread_crew import ThreadCrew
from taskproc.run.pool import is_in_process, workers_of
from taskproc.run.problem import sentence

Worker = Callable[..., Any]
logger = logging.getLogger("taskproc")


def is_exception(value: object) -> bool:
    """Whether a value that a map yielded is an exception, which takes the place of a value."""
    return isinstance(value, BaseException)


class Pool:
    """Workers for maps. `pool(items)` is an iterator over the value of the worker for each item.

        with Pool([Model("cuda:0"), Model("cuda:1")])(files) as results:
            for result in results: ...

    Workers start when the first value is requested, and end with the iterator, however it ends. In a `with` block of
    the pool itself, the workers of a map that has ended stay for the next map, with their objects.

    An object may have a method `close()`, which its worker calls once when it ends. All values have been yielded then,
    so an exception in it is logged as a warning, not raised. In the processes of an executor, it is called when the
    process exits. An object that is passed to threads without `delayed_init` is the caller's, and is not closed.

    Args:
        worker_or_worker_arr: a function, an object made by `delayed_init`, or a list of these, one for each worker.
        n_jobs: how many workers, by default the number of available processors; ignored if a list is passed. A single
            worker is a process (or thread) as well.
        argument_type: how an item is passed, see ArgumentPassing.
        exception_behavior: what happens with exceptions, see ExceptionBehaviour; also as `exception_behaviour`.
        bounded: read the input only as far as needed. False reads all of it first, so it must end.
        chunk_size: how many items are sent to a worker together; by default as many as take some milliseconds.
        chunk_prefill_ratio: how many chunks a worker has at once, by default 2. Up to twice as many over all workers
            are read and not yet yielded.
        is_unordered: yield values as they complete, not in the order of the items.
        use_threads: workers are threads of this process.
        task_timeout: seconds that one item may take. Then its process is killed and the item is tried once more, alone;
            after the second time it fails with TaskTimeout. Not in threads, which cannot be killed.
        join_timeout: seconds to wait for running items when an exception ends a map or threads are left; by default
            until they end.
        executor: runs the chunks in other processes or on other machines (RemoteExecutor, RayExecutor, those of
            concurrent.futures, dask, mpi4py); it is not shut down. `n_jobs` is the number of chunks at once, by default
            the number of its workers. Only one function or object, which is created once in each process that takes a
            chunk.

    Raises:
        OptionError: an option is wrong.
        UnsendableItem: a worker cannot be sent to a process.
    """

    def __init__(
        self,
        worker_or_worker_arr: Worker | Sequence[Worker],
        n_jobs: int | None = None,
        argument_type: ArgumentPassing | str = ArgumentPassing.AS_SINGLE_ARG,
        exception_behavior: ExceptionBehaviour | str | None = None,
        bounded: bool = True,
        chunk_size: int | None = None,
        chunk_prefill_ratio: int | None = None,
        is_unordered: bool = False,
        use_threads: bool = False,
        task_timeout: float | None = None,
        join_timeout: float | None = None,
        *,
        executor: Executor | None = None,
        exception_behaviour: ExceptionBehaviour | str | None = None,
    ):
        self._workers = _worker_list(worker_or_worker_arr, workers_of(executor) if n_jobs is None else n_jobs)
        self._passing = member(ArgumentPassing, argument_type, "argument_type")
        self._timeout = positive_seconds(task_timeout, "task_timeout")
        self._use_threads, self._executor = use_threads, executor
        if executor is not None:
            _refuse_with_executor(executor, self._workers, use_threads, self._timeout)
        if use_threads and task_timeout is not None:
            raise OptionError("task_timeout needs worker processes, since a thread cannot be ended. Use processes")
        self._order = Order(
            behaviour(exception_behavior, exception_behaviour, ExceptionBehaviour.IMMEDIATE),
            not is_unordered,
            None if chunk_size is None else at_least(chunk_size, 1, "chunk_size"),
            2 if chunk_prefill_ratio is None else at_least(chunk_prefill_ratio, 1, "chunk_prefill_ratio"),
            bounded,
            positive_seconds(join_timeout, "join_timeout"),
        )
        self._new_crew = self._crew_maker()
        self._entered = False
        self._kept: Crew | None = None

    def __call__(self, input_iterable: Iterable[Any]) -> MapResults:
        """Map: an iterator over the values, which is a context manager, and has a length if the input has one.

        Args:
            input_iterable: the items, read in the thread that requests values. It may be endless.

        Returns:
            One value per item, in the order of the items unless `is_unordered`.
        """
        source = iter(input_iterable)
        if isinstance(input_iterable, Sized):
            return SizedMapResults(self._values(source, len(input_iterable)), len(input_iterable))
        return MapResults(self._values(source, None))

    def map(self, input_iterable: Iterable[Any], *, cache: bool = False) -> MapResults:
        """As a call of the pool. With `cache`, items whose values are in the active cache are not computed again.

        Each item is then a task, with the rules of tasks: the worker is one function that can be found by its name,
        items are possible arguments of a task, and changed code is run again. Values are yielded in order.

        Raises:
            OptionError: with `cache`, the worker is an object, there are several, or there is a `task_timeout`.
            NoCacheError: with `cache`, no cache is active; raised with the first value.
        """
        if not cache:
            return self(input_iterable)
        from taskproc.maps.cached_map import cached_values  # here: other maps need no tasks

        worker = self._workers[0]
        if isinstance(worker, Delayed) or any(other is not worker for other in self._workers):
            raise OptionError("cache=True needs a single function as the worker, not an object or several workers")
        if self._timeout is not None:
            raise OptionError("task_timeout is not supported with cache=True. Define a Task with task_timeout instead")
        values = cached_values(worker, iter(input_iterable), self._passing, self._order.behaviour, len(self._workers),
                               use_threads=self._use_threads, executor=self._executor)
        if isinstance(input_iterable, Sized):
            return SizedMapResults(values, len(input_iterable))
        return MapResults(values)

    def __enter__(self) -> Self:
        self._entered = True
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers that stayed after a map. Those of a map that still runs end with that map."""
        self._entered = False
        crew, self._kept = self._kept, None
        if crew is not None:
            self._end(crew)

    def _crew_maker(self) -> Callable[[], Crew]:
        if self._use_threads:
            return lambda: ThreadCrew(self._workers, self._passing)
        if self._executor is not None:
            return self._executor_crew_maker(self._executor)
        kinds = worker_kinds(self._workers, self._passing, self._timeout)
        closes = any(map(may_close, self._workers))
        return lambda: ProcessCrew(kinds, timeout=self._timeout, closes=closes)

    def _executor_crew_maker(self, executor: Executor) -> Callable[[], Crew]:
        from taskproc.maps.executor_crew import ExecutorCrew, executor_kind  # here: 5 ms, and most maps need none

        worker, passing = self._workers[0], self._passing
        kind = executor_kind(executor, worker, passing)
        return lambda: ExecutorCrew(executor, worker, passing, kind)

    def _values(self, source: Iterator[Any], length: int | None) -> Iterator[Any]:
        """One map, from its first value to its end, whatever ends it."""
        crew, self._kept = self._kept or self._new_crew(), None
        engine = Engine(crew, len(self._workers), source, length, self._order)
        try:
            yield from engine.values()
        finally:
            self._give_back(crew, engine.idle())

    def _give_back(self, crew: Crew, idle: bool) -> None:
        if self._entered and idle and self._kept is None:
            self._kept = crew
        elif idle:
            self._end(crew)
        else:
            crew.stop(self._order.patience)

    def _end(self, crew: Crew) -> None:
        """End idle workers. All values have been yielded, so an error of a `close` is logged, not raised."""
        try:
            for error in crew.retire():
                logger.warning("close of a worker of a map failed: %s", sentence(error))
        finally:
            crew.stop(self._order.patience)


class MapResults:
    """The values of a map, one by one.

    The map ends with the input, an exception, the `with` block, or this object itself: when nothing refers to it any
    more, nobody can request values, so the workers end.
    """

    def __init__(self, values: Iterator[Any]):
        self._values = values

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return next(self._values)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the map. Idempotent."""
        cast("Generator[Any, None, None]", self._values).close()


class SizedMapResults(MapResults):
    """The values of a map whose input has a length."""

    def __init__(self, values: Iterator[Any], length: int):
        super().__init__(values)
        self._length = length

    def __len__(self) -> int:
        """The number of all values, yielded or not."""
        return self._length

    def __bool__(self) -> bool:
        return True


def behaviour(american: object, british: object, default: ExceptionBehaviour) -> ExceptionBehaviour:
    """The exception behaviour that was passed, in either spelling."""
    members = {
        member(ExceptionBehaviour, value, name)
        for name, value in (("exception_behavior", american), ("exception_behaviour", british))
        if value is not None
    }
    if len(members) > 1:
        raise OptionError(f"exception_behavior={american!r}, exception_behaviour={british!r}: pass only one of them")
    return members.pop() if members else default


def _refuse_with_executor(
    executor: object, workers: Sequence[Worker], use_threads: bool, timeout: float | None
) -> None:
    if not isinstance(executor, Executor):
        raise OptionError(f"executor must be a concurrent.futures.Executor, got {executor!r}")
    if use_threads or is_in_process(executor):
        raise OptionError("a map needs an executor of other processes. For threads of this one, pass use_threads=True")
    if timeout is not None:
        raise OptionError("task_timeout is not supported with an executor; pass only one of them")
    if any(worker is not workers[0] for worker in workers):
        raise OptionError("any worker of an executor may take any item, so pass one function or object, not a list")


def _worker_list(workers: Worker | Sequence[Worker], n_jobs: int | None) -> list[Worker]:
    if isinstance(workers, (list, tuple)):
        listed = list(workers)
    else:
        count = available_cpus() if n_jobs is None else at_least(n_jobs, 1, "n_jobs")
        listed = [cast("Worker", workers)] * count
    if not listed:
        raise OptionError("a pool needs at least one worker, got an empty list")
    for number, worker in enumerate(listed):
        if isinstance(worker, DelayedClass):
            name = worker.__name__
            raise OptionError(f"worker {number} is the class {name} itself. Pass an object of it, {name}(...)")
        if not callable(worker):
            raise OptionError(f"worker {number} must be a function or an object that can be called, got {worker!r}")
    return listed
