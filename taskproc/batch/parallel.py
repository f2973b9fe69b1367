"""Chunks of a batch as the items of a map, worked by processes of taskproc or by an executor."""
from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from concurrent.futures import Executor
from typing import Any, cast

from taskproc.batch.batch_task import TaskWorker
from taskproc.errors import UnsendableItem
from taskproc.maps.chunks import Crew
from taskproc.maps.delayed import Delayed
from taskproc.maps.engine import Engine, Order
from taskproc.maps.executor_crew import ExecutorCrew, executor_kind
from taskproc.maps.map_options import ArgumentPassing
from taskproc.maps.process_crew import ProcessCrew, worker_kinds
from taskproc.run.problem import sentence

AHEAD = 2  # chunks that a process of ours has at once, so that it need not wait for the next
logger = logging.getLogger("taskproc")


def parallel_results(
    executor: Executor | None, worker: Delayed[TaskWorker], workers: int, chunks: Iterator[list[Any]]
) -> Generator[list[Any], None, None]:
    """The results of each chunk, in order. However this ends, the workers end too.

    If a chunk fails, the results before it are yielded, and all workers are torn down as after the last chunk. If the
    caller stops early, running chunks are ended, and a teardown may take the grace.

    Args:
        executor: None for worker processes of taskproc.
    """
    # With an executor 1, so that `futures` has never more entries than there are workers
    order = Order(chunk_size=1, ahead=AHEAD if executor is None else 1)
    crew = _crew(executor, worker, workers)
    engine = Engine(crew, workers, chunks, None, order)
    try:
        try:
            yield from cast("Iterator[list[Any]]", engine.values())
        except Exception:
            for error in crew.retire():
                logger.warning("the teardown of a worker failed: %s", sentence(error))
            raise
        errors = crew.retire()
        if errors:
            raise errors[0]
    finally:
        crew.stop(0)


def _crew(executor: Executor | None, worker: Delayed[TaskWorker], workers: int) -> Crew:
    passing = ArgumentPassing.AS_SINGLE_ARG
    try:
        if executor is None:
            return ProcessCrew(worker_kinds([worker] * workers, passing, None), closes=True)
        kind = executor_kind(executor, worker, passing)
    except UnsendableItem as error:
        cause = error.__cause__ or error
        text = f"the task cannot be sent to a worker process: {sentence(cause)}. Make what it needs in `setup`"
        raise UnsendableItem(text) from cause
    return ExecutorCrew(executor, worker, passing, kind, breaks=False)
