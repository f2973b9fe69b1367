"""Workers of a batch for the engine of maps, to which a chunk is one item: processes of ours, or an executor's."""
from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator
from concurrent.futures import Executor
from functools import partial
from itertools import count
from typing import Any, Protocol, cast

from taskproc.batch.far import ForeignWorker, Leave, LeaveSoon, ResidentWorker, ThreadWorkers
from taskproc.batch.task import Worker
from taskproc.by_value import dumps
from taskproc.errors import UnsendableItem
from taskproc.kernel.model import Failed, Returned, Ticket
from taskproc.maps.chunks import Chunk
from taskproc.maps.crew import Crew, Told
from taskproc.maps.engine import Engine, Order
from taskproc.maps.executors import Foreign
from taskproc.maps.options import ArgumentPassing
from taskproc.maps.pack import Raised, receive_values, send_item
from taskproc.maps.processes import ProcessCrew, kinds_of
from taskproc.modules import main_name
from taskproc.run.base import Ending
from taskproc.run.inbox import Inbox
from taskproc.run.kinds import Kind
from taskproc.run.pool import PoolRunner, is_in_process
from taskproc.run.problem import rebuild, sentence
from taskproc.run.setup import load

LEAVING = -1     # the number of the chunk that is none
FRUITLESS = 4    # rounds in which no process has left, after which the rest is left to their ends
SLEEP = 0.01     # seconds for which a process that has left keeps busy; twice as many after each such round

logger = logging.getLogger("taskproc")


class BatchCrew(Crew, Protocol):
    """A crew whose workers are torn down."""

    def leave(self) -> list[Exception]:
        """Tear down all workers that have begun; none has a chunk. What went wrong there."""
        ...


def results(crew: BatchCrew, workers: int, chunks: Iterator[object], ahead: int) -> Iterator[list[Any]]:
    """What the chunks give, in their order. Whatever ends this, the workers end, too.

    If a chunk fails those before it are done and given, and all workers are torn down. Who leaves this early, or
    interrupts it, ends what runs; then a teardown has as long as the grace.
    """
    engine = Engine(crew, workers, chunks, None, Order(chunk_size=1, ahead=ahead))
    try:
        try:
            yield from cast("Iterator[list[Any]]", engine.values())
        except Exception:
            for error in crew.leave():
                logger.warning("the teardown of a worker has failed: %s", sentence(error))
            raise
        errors = crew.leave()
        if errors:
            raise errors[0]
    finally:
        crew.stop(0)


class ResidentCrew(ProcessCrew):
    """Of processes of our own, each with its task."""

    def __init__(self, worker: Worker, workers: int):
        super().__init__(kinds_of([ResidentWorker(worker)] * workers, ArgumentPassing.AS_SINGLE_ARG, None))
        self._met: set[int] = set()

    def start(self, worker: int, chunk: Chunk) -> None:
        """See Crew."""
        self._met.add(worker)
        super().start(worker, chunk)

    def leave(self) -> list[Exception]:
        """See BatchCrew."""
        met, self._met = self._met, set()
        for worker in met:
            super().start(worker, Chunk(LEAVING, [self.send(Leave())]))
        errors: list[Exception] = []
        left = len(met)
        while left:
            for told in self.wait(None):
                if told.chunk.first == LEAVING and told.ended:
                    left -= 1
                    errors += [value.error for value in told.values if isinstance(value, Raised)]
                    errors += [error for error in (told.death, told.broken) if error is not None]
        return errors


class ExecutorCrew:
    """Of an executor's workers, whichever take the chunks; it has at most `workers` of them at once.

    An executor in another process that breaks is followed by processes of our own (run/foreign.py): a chunk that was
    on is tried once more there, alone.
    """

    def __init__(self, executor: Executor, worker: Worker):
        self._numbers = count(1)
        self._chunks: dict[int, tuple[int, Chunk]] = {}
        self._processes: set[str] = set()  # those that have done chunks
        self._threads = ThreadWorkers(worker) if is_in_process(executor) else None
        if self._threads is not None:
            answers: Inbox[Ending[int, object]] = Inbox()
            self._inbox: Inbox[Ending[int, object]] | Inbox[Ending[int, bytes]] = answers
            self._runner: PoolRunner[int, object] = PoolRunner(executor, answers)
        else:
            self._foreign = Foreign(executor, _kind(worker))
            self._inbox = self._foreign.inbox

    def send(self, item: object) -> object:
        """See Crew."""
        return item if self._threads is not None else send_item(item)

    def start(self, worker: int, chunk: Chunk) -> None:
        """See Crew."""
        number = next(self._numbers)
        self._chunks[number] = worker, chunk
        (item,) = chunk.items
        ticket = Ticket(chunk.first, number)
        if self._threads is not None:
            self._runner.start(ticket, partial(_direct, self._threads, item))
        else:
            self._foreign.start(ticket, pickle.dumps(item, 5))

    def wait(self, timeout: float | None) -> list[Told]:
        """See Crew."""
        return [self._told(ticket.number, outcome) for ticket, outcome in self._inbox.wait(timeout)]

    def _told(self, number: int, outcome: object) -> Told:
        worker, chunk = self._chunks.pop(number)
        if isinstance(outcome, Returned):
            return Told(worker, chunk, [])  # its pool has broken
        value = self._value(outcome)
        return Told(worker, chunk, [value], isinstance(value, Raised))

    def _value(self, outcome: object) -> object:
        if isinstance(outcome, Failed):
            return Raised(rebuild(outcome.problem))
        if self._threads is not None:
            return outcome
        assert isinstance(outcome, bytes), "an answer of a process is pickled [this is a bug]"
        sent, process, leaves = cast("tuple[Any, str, bool]", load(outcome))
        (value,), _ = receive_values([sent])
        if leaves:
            self._processes.discard(process)
        else:
            self._processes.add(process)
        return value

    def halt(self) -> None:
        """See Crew: a chunk that was given to an executor is done."""

    def leave(self) -> list[Exception]:
        """See BatchCrew.

        Nobody can say which process of an executor takes a job. So they are asked together, and those that have not
        been met again, until there are none, or no more come: these tear down when they end.
        """
        if self._threads is not None:
            return self._threads.leave()
        errors: list[Exception] = []
        fruitless = 0
        while self._processes and fruitless < FRUITLESS:
            before = len(self._processes)
            item = self.send(LeaveSoon(SLEEP * 2**fruitless))
            for _ in range(before):
                self.start(0, Chunk(LEAVING, [item]))
            while self._chunks:
                errors += [value.error for told in self.wait(None) for value in told.values
                           if isinstance(value, Raised)]
            fruitless = fruitless + 1 if len(self._processes) == before else 0
        return errors

    def stop(self, patience: float | None) -> None:
        """Call off what has not begun. What runs in another process is ended; in a thread that cannot be."""
        if self._threads is None:
            self._foreign.stop()
            return
        try:
            self._threads.leave()
            self._runner.stop()
        finally:
            self._inbox.close()


def _kind(worker: Worker) -> Kind:
    try:
        return Kind(dumps(ForeignWorker(worker, main_name())))
    except Exception as error:
        text = f"the task cannot be sent to a worker process: {sentence(error)}. Make what it needs in `setup`"
        raise UnsendableItem(text) from error


def _direct(threads: ThreadWorkers, item: Any) -> object:
    try:
        return threads(item)
    except BaseException as error:  # noqa: BLE001  # SystemExit is how this chunk ended, not the thread
        return Raised(error)
