"""Batches: items go in chunks to tasks that workers keep, and their results in order to a handler and a saver."""
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
from taskproc.batch.saving import ChunkResults, begun_at, finish, go_on, pieces, save
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
    """Submits items to tasks, in this process or in parallel, and collects the results in the order of the items.

        manager = TaskManager(Square, executor="processes", n_cores=4)
        manager.submit_tasks(numbers, chunk_size=50, saver=NpySaver("squares.npy"), resume=True)
        squares = manager.get_results()

    Items may be any iterable, also one without a length. It is read in the thread of `submit_tasks`, as far as needed:
    at most four chunks of each worker are read and not given to the handler yet, besides what waits for a saver.

    Where the original contradicts itself: `task_class` is called once in this process, or once in each worker, not
    for each chunk. Results are in the order of the items, not of their ends. All CPUs are meant by each `n_cores` that
    is not above zero. Results are kept by the handler also when they are saved; one that keeps less saves the memory.

    Args:
        task_class: makes a task: its class, or a function. Anything with `run`, `process_item` or `process_items`.
        result_handler: what becomes of the results, by default a list.
        n_cores: processors for all workers together; on a cluster, of all nodes.
        use_ray: run by Ray, see RayExecutor; otherwise one after the other, unless there is an executor.
        n_cores_worker: processors for each worker, so `n_cores // n_cores_worker` of them work at once.
        executor: "processes" for worker processes of taskproc's own, or any executor of concurrent.futures, which is
            left open. LocalExecutor is as None: this process, this thread.

    Attributes:
        saver, save_interval: of the last batch.
        save_kwargs: passed to `save` of the saver; to be set before a batch.
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
            raise TypeError(f"task_class must be a class or a function that makes a task, got {task_class!r}")
        if isinstance(n_cores, bool) or not isinstance(n_cores, int):
            raise OptionError(f"n_cores must be a whole number (at most 0: all there are), got {n_cores!r}")
        if not (executor is None or executor == "processes" or isinstance(executor, Executor)):
            raise OptionError(f"executor must be 'processes' or a concurrent.futures.Executor, got {executor!r}")
        if use_ray and executor is not None:
            raise OptionError(f"use_ray=True and executor={executor!r} exclude each other. Give one of them")
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
        """Processors for all workers together: as given, or all there are: of the cluster as soon as Ray has begun, the
        workers of an executor where it tells them, else those that this process may use.
        """
        if self._n_cores > 0:
            return self._n_cores
        if self.use_ray:
            return known_cpus() or available_cpus()
        workers = workers_of(None if isinstance(self.executor, str) else self.executor)
        return available_cpus() if workers is None else workers * self.n_cores_worker

    @property
    def max_concurrent_tasks(self) -> int:
        """How many chunks are worked at once: `n_cores // n_cores_worker`, at least 1."""
        return max(1, self.n_cores // self.n_cores_worker)

    @property
    def futures(self) -> list[Any]:
        """The references of Ray to the chunks that are on, at most `max_concurrent_tasks`; empty without Ray."""
        return [] if self._ray is None else self._ray.futures

    @property
    def results(self) -> Any:
        """As `get_results()`."""
        return self.get_results()

    def get_results(self) -> list[Any] | dict[str, Any]:
        """What the handler has made of the results of all batches: by default a list, in the order of the items.

        With a saver, what was passed to it; and what it has had already, for a batch that goes on.
        """
        return self.result_handler.get_results()

    def task_generator(self, items: Iterable[Any], chunk_size: int) -> Generator[list[Any], None, None]:
        """Lists of `chunk_size` items, and a shorter one of the rest; read when they are asked for."""
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
        """Work all items, and return when all results are with the handler, and saved.

        When a chunk fails its exception is raised, after the results before it have been saved and handed over; so it
        is with Ctrl-C, which ends what runs. Ask `get_results` then for what there is, and go on with `resume`.

        Args:
            items: any iterable.
            chunk_size: how many items a worker is given together.
            saver: has a method `save(results, **save_kwargs)`; called with each `save_interval` results and the rest.
            at_once: `process_items` of a whole chunk, instead of `process_item` of each item.
            save_interval: no effect without a saver.
            kwargs_task: for `run`, which passes them on.
            kwargs_remote: options of Ray such as `num_gpus`; not `num_cpus`, which is `n_cores_worker`.
            resume: pass over the items whose results the saver has already. It must be a FileSaver, the input and
                `chunk_size` the same, and a chunk must give the same again. The handler is given what is saved, first.

        Raises:
            SaveError: a ValueError; the saver has failed. It says how many results were saved until then.
            OptionError, TypeError: an argument is wrong; nothing has begun.
            ImportError: `use_ray`, and Ray is not installed.
            WorkerDied: a worker died twice at the same chunk.
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
            go_on(saver, source, start, self.result_handler)
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
        """Work chunks in this process, one after the other, or by the executor."""
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
        """Work chunks by Ray, each as a task of its own. One whose worker dies is tried once more, unless told else."""
        options = {"max_retries": 1, **(kwargs_remote or {})}
        self._ray = RayExecutor(self._n_cores if self._n_cores > 0 else None, self.n_cores_worker, options)
        try:
            self._submit(task_gen, at_once, kwargs_task, start=start)
        finally:
            self._ray = None

    def _checked(
        self, saver: Any, at_once: bool, save_interval: int, kwargs_task: Any, kwargs_remote: Any
    ) -> Mapping[str, Any]:
        """The arguments of the task, after all arguments of `submit_tasks` were looked at."""
        at_least(save_interval, 1, "save_interval")
        if saver is not None and not callable(getattr(saver, "save", None)):
            raise TypeError(f"saver must have a method save(data), got {saver!r}")
        for name, given in (("kwargs_task", kwargs_task), ("kwargs_remote", kwargs_remote)):
            if given is not None and not isinstance(given, Mapping):
                raise TypeError(f"{name} must be a dict, got {given!r}")
        if "num_cpus" in (kwargs_remote or {}):
            raise OptionError("num_cpus is not for kwargs_remote: give n_cores_worker to the manager")
        if "at_once" in (kwargs_task or {}):
            raise OptionError("at_once is not for kwargs_task: it is an argument of submit_tasks")
        return kwargs_task or {}

    def _collect(self, chunks: Generator[ChunkResults, None, None], start: Saved) -> None:
        """Hand over what comes, and save it before."""
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
        """What each chunk had and gave, in order. To what a chunk raised is added which one it was."""
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
    """One after the other, in plain calls, so that debuggers and tracebacks show what there is."""
    try:
        for chunk in chunks:
            yield worker(chunk)
    except BaseException:
        try:
            worker.close()
        except Exception as error:  # noqa: BLE001  # the user's; the first failure counts
            logger.warning("the teardown of the task has failed: %s", sentence(error))
        raise
    worker.close()


def _counted(chunks: Iterable[list[Any]], sizes: deque[int]) -> Iterator[list[Any]]:
    for chunk in chunks:
        sizes.append(len(chunk))
        yield chunk
