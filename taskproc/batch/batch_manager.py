"""TaskManager: sends items in chunks to workers with a task, and their results in order to a handler and a saver."""
from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import closing
from itertools import islice
from typing import Any, Literal

from taskproc.batch.batch_task import TaskWorker, add_note, check_task
from taskproc.batch.handlers import ListResultHandler, ResultHandler
from taskproc.batch.savers.file_saver import FileSaver, Saved
from taskproc.batch.saving import ChunkResults, begun_at, finish, pieces, save, skip_saved
from taskproc.checks import at_least
from taskproc.errors import OptionError, SaveError
from taskproc.machine import available_cpus
from taskproc.maps.delayed import Delayed, delayed_init
from taskproc.run.pool import LocalExecutor, workers_of
from taskproc.run.problem import sentence
from taskproc.run.ray import RayExecutor, known_cpus

logger = logging.getLogger("taskproc")
_BEGINNING = Saved()


class TaskManager:
    """Sends items to tasks, in this process or in parallel, and collects the results in the order of the items.

        manager = TaskManager(Square, executor="processes", n_cores=4)
        manager.submit_tasks(numbers, chunk_size=50, saver=NpySaver("squares.npy"), resume=True)
        squares = manager.get_results()

    The items may be any iterable, even an endless one. It is read in the thread of `submit_tasks`, and only as far as
    needed: at most four chunks per worker are read and not yet handed over, not counting results that wait for a saver.

    `task_class` is called once in this process, or once in each worker. In the processes of an executor, `teardown` of
    a task is called when the process exits, because nobody can choose which process takes a job; Ray kills its
    processes. Elsewhere it is called at the end of the batch.

    Args:
        task_class: creates a task: a class or a function. The task has `run`, `process_item` or `process_items`.
        result_handler: receives the results, by default a ListResultHandler. It receives saved results as well; one
            that does not store them saves memory.
        n_cores: processors for all workers together, on a cluster those of all nodes; 0 or less means all.
        use_ray: run on Ray, see RayExecutor; otherwise in this process, unless there is an executor.
        n_cores_worker: processors for each worker, so `n_cores // n_cores_worker` chunks run at once.
        executor: "processes" for worker processes of taskproc, or any executor of concurrent.futures, which is not shut
            down. LocalExecutor is the same as None: this process, this thread.

    Attributes:
        saver, save_interval: of the last batch.
        save_kwargs: passed to `save` of the saver; to be set before a batch.

    Raises:
        OptionError, TypeError: an argument is wrong.
    """

    def __init__(
        self,
        task_class: Callable[[], Any],
        result_handler: ResultHandler | None = None,
        n_cores: int = -1,
        use_ray: bool = False,
        n_cores_worker: int = 1,
        *,
        executor: Executor | Literal["processes"] | None = None,
    ):
        if not callable(task_class):
            raise TypeError(f"task_class must be a class or a function that creates a task, got {task_class!r}")
        if isinstance(n_cores, bool) or not isinstance(n_cores, int):
            raise OptionError(f"n_cores must be an int (0 or less for all), got {n_cores!r}")
        if not (executor is None or executor == "processes" or isinstance(executor, Executor)):
            raise OptionError(f"executor must be 'processes' or a concurrent.futures.Executor, got {executor!r}")
        if use_ray and executor is not None:
            raise OptionError(f"use_ray=True and executor={executor!r} exclude each other. Pass only one of them")
        if result_handler is not None and not hasattr(result_handler, "add_chunk"):
            raise TypeError(f"result_handler must have add_chunk and get_results, got {result_handler!r}")
        self.task_class = task_class
        self.result_handler = ListResultHandler() if result_handler is None else result_handler
        self.use_ray = use_ray
        self.n_cores_worker = at_least(n_cores_worker, 1, "n_cores_worker")
        self.executor = None if isinstance(executor, LocalExecutor) else executor
        self.saver: Any = None
        self.save_interval = 1
        self.save_kwargs: dict[str, Any] = {}
        self._n_cores = n_cores
        self._ray: RayExecutor | None = None

    @property
    def n_cores(self) -> int:
        """Processors for all workers together: as passed, or all. These are those of the cluster once Ray has started,
        the workers of an executor if it reports their number, else the processors that this process may use.
        """
        if self._n_cores > 0:
            return self._n_cores
        if self.use_ray:
            return known_cpus() or available_cpus()
        workers = workers_of(None if isinstance(self.executor, str) else self.executor)
        return available_cpus() if workers is None else workers * self.n_cores_worker

    @property
    def max_concurrent_tasks(self) -> int:
        """How many chunks run at once: `n_cores // n_cores_worker`, at least 1."""
        return max(1, self.n_cores // self.n_cores_worker)

    @property
    def futures(self) -> list[Any]:
        """The Ray references to the running chunks, at most `max_concurrent_tasks`; empty without Ray."""
        return [] if self._ray is None else self._ray.futures

    @property
    def results(self) -> Any:
        """The same as `get_results()`."""
        return self.get_results()

    def get_results(self) -> list[Any] | dict[str, Any]:
        """The outcome of the handler for all batches so far.

        Returns:
            By default a list with one entry per result, in the order of the items; for other handlers a dict. With a
            saver, it covers the results that have been saved, for a resumed batch from its beginning.
        """
        return self.result_handler.get_results()

    def task_generator(self, items: Iterable[Any], chunk_size: int) -> Generator[list[Any], None, None]:
        """Yield lists of `chunk_size` items, and a shorter one with the rest. Each is read when it is requested.

        Raises:
            OptionError: `chunk_size` is less than 1.
        """
        at_least(chunk_size, 1, "chunk_size")
        source = iter(items)
        while chunk := list(islice(source, chunk_size)):
            yield chunk

    def submit_tasks(
        self,
        items: Iterable[Any],
        chunk_size: int = 100,
        saver: Any = None,
        at_once: bool = False,
        save_interval: int = 100,
        kwargs_task: Mapping[str, Any] | None = None,
        kwargs_remote: Mapping[str, Any] | None = None,
        *,
        resume: bool = False,
    ) -> None:
        """Process all items, and return when all results are handed over, and saved.

        If a chunk fails, the results before it are saved and handed over, and then its exception is raised. Ctrl-C does
        the same and ends running chunks. `get_results` then has the results so far, and `resume` continues.

        Args:
            items: any iterable.
            chunk_size: how many items are sent to a worker together.
            saver: has a method `save(results, **save_kwargs)`; called with every `save_interval` results and the rest.
            at_once: call `process_items` with a whole chunk, instead of `process_item` with each item.
            save_interval: how many results are saved together.
            kwargs_task: keyword arguments for the methods of the task.
            kwargs_remote: options of Ray such as `num_gpus`; not `num_cpus`, which is `n_cores_worker`.
            resume: skip the items whose results are saved. The saver must be a FileSaver, the input and `chunk_size`
                the same, and a chunk must give the same results again. The handler receives the saved results first.

        Raises:
            SaveError: a ValueError; the saver failed. It has the number of results that were saved before.
            OptionError, TypeError: an argument is wrong; nothing has begun.
            ImportError: with `use_ray`, Ray is not installed.
            UnsendableItem: the task, an item or a result cannot be sent between processes.
            WorkerDied: a worker died twice with the same chunk.
        """
        at_least(chunk_size, 1, "chunk_size")
        kwargs_task = self._checked(saver, at_once, save_interval, kwargs_task, kwargs_remote)
        source = iter(items)
        if isinstance(self.task_class, type):
            check_task(self.task_class, at_once)
        self.saver, self.save_interval = saver, save_interval
        start = Saved(chunk_size=chunk_size)
        if saver is not None or resume:
            start = begun_at(saver, resume, bool(self.save_kwargs.get("append")), chunk_size)
        if resume:
            skip_saved(saver, source, start, self.result_handler)
        chunks = self.task_generator(source, chunk_size)
        if self.use_ray:
            self._submit_ray(chunks, at_once, kwargs_task, kwargs_remote, start=start)
        else:
            self._submit(chunks, at_once, kwargs_task, start=start)

    def _submit(
        self,
        task_gen: Iterable[list[Any]],
        at_once: bool = False,
        kwargs_task: Mapping[str, Any] | None = None,
        *,
        start: Saved = _BEGINNING,
    ) -> None:
        """Process chunks in this process, one after the other, or by the executor."""
        worker = delayed_init(TaskWorker)(self.task_class, at_once, kwargs_task or {})
        with closing(self._chunks(worker, iter(task_gen), start)) as chunks:
            self._collect(chunks, start)

    def _submit_ray(
        self,
        task_gen: Iterable[list[Any]],
        at_once: bool = False,
        kwargs_task: Mapping[str, Any] | None = None,
        kwargs_remote: Mapping[str, Any] | None = None,
        *,
        start: Saved = _BEGINNING,
    ) -> None:
        """Process chunks on Ray, each as a Ray task, which is tried once more if its worker dies (`max_retries`)."""
        options = {"max_retries": 1, **(kwargs_remote or {})}
        self._ray = RayExecutor(self._n_cores if self._n_cores > 0 else None, self.n_cores_worker, options)
        try:
            self._submit(task_gen, at_once, kwargs_task, start=start)
        finally:
            self._ray = None

    def _checked(
        self, saver: Any, at_once: bool, save_interval: int, kwargs_task: Any, kwargs_remote: Any
    ) -> Mapping[str, Any]:
        """The arguments of the task, after a check of all arguments of `submit_tasks`."""
        at_least(save_interval, 1, "save_interval")
        if saver is not None and not callable(getattr(saver, "save", None)):
            raise TypeError(f"saver must have a method save(data), got {saver!r}")
        for name, value in (("kwargs_task", kwargs_task), ("kwargs_remote", kwargs_remote)):
            if value is not None and not isinstance(value, Mapping):
                raise TypeError(f"{name} must be a dict, got {value!r}")
        if "num_cpus" in (kwargs_remote or {}):
            raise OptionError("num_cpus is not for kwargs_remote: give n_cores_worker to the manager")
        if "at_once" in (kwargs_task or {}):
            raise OptionError("at_once is not for kwargs_task: it is an argument of submit_tasks")
        return kwargs_task or {}

    def _collect(self, chunks: Generator[ChunkResults, None, None], start: Saved) -> None:
        """Save results as they come, and hand them over."""
        if self.saver is None:
            for _, results in chunks:
                self.result_handler.add_chunk(results)
            return
        saved = 0
        if isinstance(self.saver, FileSaver):
            self.saver.in_batch = True
        with closing(pieces(chunks, self.save_interval, start)) as all_pieces:
            try:
                for piece, far in all_pieces:
                    save(self.saver, piece, far, self.save_kwargs, saved)
                    saved += len(piece)
                    self.result_handler.add_chunk(piece)
            except BaseException:
                try:
                    finish(self.saver, saved)
                except SaveError as error:
                    logger.warning("%s", error)  # the first failure counts
                raise
        finish(self.saver, saved)

    def _chunks(
        self, worker: Delayed[TaskWorker], task_gen: Iterator[list[Any]], start: Saved
    ) -> Generator[ChunkResults, None, None]:
        """Yield the size and the results of each chunk, in order. An exception gets a note that names its items."""
        sizes: deque[int] = deque()
        done = start.items
        try:
            with closing(self._results(worker, _counted(task_gen, sizes))) as all_results:
                for results in all_results:
                    size = sizes.popleft()
                    done += size
                    yield size, results
        except Exception as error:
            if sizes:
                last = done + sizes[0] - 1
                where = f"at item {done}" if done == last else f"in the chunk of items {done} to {last}"
                add_note(error, f"{where} of the batch")
            raise

    def _results(
        self, worker: Delayed[TaskWorker], chunks: Iterator[list[Any]]
    ) -> Generator[list[Any], None, None]:
        executor = self._ray or self.executor
        if executor is None:
            yield from _in_this_process(worker.make(), chunks)
            return
        from taskproc.batch.parallel import parallel_results  # here: chunks in this process need no workers

        pool = executor if isinstance(executor, Executor) else None
        yield from parallel_results(pool, worker, self.max_concurrent_tasks, chunks)


def _in_this_process(worker: TaskWorker, chunks: Iterable[list[Any]]) -> Generator[list[Any], None, None]:
    """One after the other, in plain calls, so that debuggers and tracebacks show them."""
    try:
        for chunk in chunks:
            yield worker(chunk)
    except BaseException:
        try:
            worker.close()
        except Exception as error:  # noqa: BLE001  # the user's; the first failure counts
            logger.warning("the teardown of the task failed: %s", sentence(error))
        raise
    worker.close()


def _counted(chunks: Iterable[list[Any]], sizes: deque[int]) -> Iterator[list[Any]]:
    for chunk in chunks:
        sizes.append(len(chunk))
        yield chunk
