"""Workers of an executor that the user passed: whichever of them is free takes a chunk.

A chunk is one job there, and is done to its end. In other processes or on other machines the pool may break; then the
map continues in processes of taskproc (run/foreign.py). If a worker dies with a chunk, each of its items is tried once
more, alone, so that the death is reported for one item.
"""
from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from taskproc.errors import WorkerDied
from taskproc.kernel.model import Failed, Returned, Ticket
from taskproc.maps.chunk_work import ForeignChunkWork, work_off
from taskproc.maps.chunks import Chunk, Progress
from taskproc.maps.delayed import close_method, made
from taskproc.maps.map_options import ArgumentPassing, Call, calls
from taskproc.maps.process_crew import worker_kind
from taskproc.maps.transfer import Raised, Sent, receive_values, send_item
from taskproc.pickling import load
from taskproc.run.foreign import ForeignJob, ForeignRunner
from taskproc.run.group import Grace
from taskproc.run.inbox import Inbox
from taskproc.run.kinds import Kind, KindJob
from taskproc.run.lifeline import Main
from taskproc.run.pool import PoolRunner, is_in_process
from taskproc.run.problem import rebuild
from taskproc.run.resident import ResidentRunner
from taskproc.run.runner import Ending

Worked = tuple["list[object]", float]  # the values of a job, and the seconds that they took


def executor_kind(executor: Executor, worker: Callable[..., object], passing: ArgumentPassing) -> Kind | None:
    """The worker as it is sent to the executor's processes; None for its threads. Raises UnsendableItem."""
    return None if is_in_process(executor) else worker_kind(worker, passing, work=ForeignChunkWork)


class ExecutorCrew:
    """Has as many chunks at once as the map has workers, wherever the executor runs them.

    Args:
        worker: a function, or a Delayed, whose object is created once in each process or thread that takes a chunk.
        kind: see executor_kind.
        breaks: whether a job that fails as a whole ends the map; else the exception is that of its item.
    """

    def __init__(
        self,
        executor: Executor,
        worker: Callable[..., object],
        passing: ArgumentPassing,
        kind: Kind | None,
        *,
        breaks: bool = True,
    ):
        self._jobs = _ThreadJobs(executor, worker, passing) if kind is None else _ForeignJobs(executor, kind)
        self._breaks = breaks
        self._numbers = count(1)
        self._on: dict[int, tuple[int, Chunk, int | None]] = {}  # worker, chunk, and which of its items; None: all
        self._sizes: dict[int, int] = {}
        self._alone: dict[Chunk, dict[int, object]] = {}  # values of items that are tried alone, by their place
        self.send = self._jobs.send

    def start(self, worker: int, chunk: Chunk) -> None:
        """See Crew."""
        self._start(worker, chunk, None)

    def _start(self, worker: int, chunk: Chunk, place: int | None) -> None:
        number = next(self._numbers)
        self._on[number] = worker, chunk, place
        items = chunk.items if place is None else [chunk.items[place]]
        self._sizes[number] = self._jobs.start(Ticket(chunk.first + (place or 0), number), items)

    def wait(self, timeout: float | None) -> list[Progress]:
        """See Crew."""
        news = [self._progress(number, answer) for number, answer in self._jobs.wait(timeout)]
        return [progress for progress in news if progress is not None]

    def _progress(self, number: int, answer: Worked | Failed | Returned) -> Progress | None:
        worker, chunk, place = self._on.pop(number)
        size = self._sizes.pop(number)
        if isinstance(answer, Returned):  # its pool has broken
            if place is None:
                return Progress(worker, chunk, [])
            self._start(worker, chunk, place)
            return None
        if isinstance(answer, Failed):
            return self._failure(worker, chunk, place, Raised(rebuild(answer.problem)))
        values, seconds = answer
        if place is not None:
            return self._gathered(worker, chunk, place, values[0])
        return Progress(worker, chunk, values, Raised in set(map(type, values)), True, seconds, size)

    def _failure(self, worker: int, chunk: Chunk, place: int | None, failure: Raised) -> Progress | None:
        if place is not None:
            return self._gathered(worker, chunk, place, failure)
        if self._breaks and not isinstance(failure.error, WorkerDied):
            return Progress(worker, chunk, [], broken=failure.error)
        if len(chunk.items) == 1:
            return Progress(worker, chunk, [failure], True)
        self._alone[chunk] = {}
        for item in range(len(chunk.items)):
            self._start(worker, chunk, item)
        return None

    def _gathered(self, worker: int, chunk: Chunk, place: int, value: object) -> Progress | None:
        """The value of an item that was tried alone; all are reported when the last of their chunk has come."""
        values = self._alone[chunk]
        values[place] = value
        if len(values) < len(chunk.items):
            return None
        del self._alone[chunk]
        ordered = [values[item] for item in range(len(chunk.items))]
        return Progress(worker, chunk, ordered, Raised in set(map(type, ordered)))

    def halt(self) -> None:
        """See Crew: a chunk that was given to an executor is done to its end."""

    def retire(self) -> list[Exception]:
        """See Crew: objects in an executor's processes are closed when their process ends."""
        return self._jobs.retire()

    def stop(self, patience: float | None) -> None:
        """See Crew."""
        self._jobs.stop()


class _ForeignJobs:
    """Jobs in an executor's processes, and in our own when these break."""

    send = staticmethod(send_item)

    def __init__(self, executor: Executor, kind: Kind):
        self._inbox: Inbox[Ending[int, bytes]] = Inbox()
        self._kind, self._main, self._grace = kind, Main.here(), Grace()
        # A job that begins when the map ends may still write its mark there
        self._folder = TemporaryDirectory(prefix="taskproc-map-", ignore_cleanup_errors=True)
        own = partial(ResidentRunner[int, bytes], self._inbox, grace=self._grace)
        self._runner: ForeignRunner[int, bytes] = ForeignRunner(executor, self._inbox, own, grace=self._grace)

    def start(self, ticket: Ticket[int], items: list[object]) -> int:
        """Begin a job and return the bytes that were sent. Two tickets with one key are the same work, tried again."""
        own = pickle.dumps(items, 5)
        job: KindJob[bytes] = KindJob(self._kind, own)
        self._runner.start(ticket, ForeignJob(job, Path(self._folder.name, "begun"), ticket.number, self._main))
        return len(own)

    def wait(self, timeout: float | None) -> list[tuple[int, Worked | Failed | Returned]]:
        """The numbers of tickets whose jobs have ended, and how."""
        endings = self._inbox.wait(timeout)
        return [(ticket.number, _received(end) if isinstance(end, bytes) else end) for ticket, end in endings]

    def retire(self) -> list[Exception]:
        return []

    def stop(self) -> None:
        try:
            self._runner.stop()
        finally:
            self._inbox.close()
            self._folder.cleanup()


def _received(content: bytes) -> Worked:
    sent, seconds = cast("tuple[list[Sent], float]", load(content))
    return receive_values(sent)[0], seconds


class _ThreadJobs:
    """The same in an executor's threads, in this process. Each thread that takes a chunk has an object of its own."""

    def __init__(self, executor: Executor, worker: Callable[..., object], passing: ArgumentPassing):
        self._inbox: Inbox[Ending[int, Worked]] = Inbox()
        self._runner: PoolRunner[int, Worked] = PoolRunner(executor, self._inbox)
        self._worker, self._passing = worker, passing
        self._lock = threading.Lock()
        self._mine = threading.local()
        self._objects: dict[Any, bool] = {}  # the objects of all threads, and whether they are busy
        self._over = False

    def send(self, item: object) -> object:
        return item

    def start(self, ticket: Ticket[int], items: list[object]) -> int:
        self._runner.start(ticket, partial(self._work, items))
        return 0

    def wait(self, timeout: float | None) -> list[tuple[int, Worked | Failed | Returned]]:
        return [(ticket.number, end) for ticket, end in self._inbox.wait(timeout)]

    def _work(self, items: list[object]) -> Worked:
        if not hasattr(self._mine, "object"):
            self._mine.object = made(self._worker)
            self._mine.call = calls(self._mine.object, self._passing)
        worker: Any = self._mine.object
        with self._lock:
            self._objects[worker] = True
        try:
            return work_off(items, cast("Call", self._mine.call), Raised)
        finally:
            with self._lock:
                self._objects[worker] = False
                over = self._over
            if over:  # the map was left while this thread was busy
                _close_object(worker)

    def retire(self) -> list[Exception]:
        """Close the objects of idle threads, in this thread; busy threads close theirs themselves."""
        with self._lock:
            self._over = True
            idle = [worker for worker, busy in self._objects.items() if not busy]
            for worker in idle:
                del self._objects[worker]
        errors: list[Exception] = []
        for worker in idle:
            try:
                _close_object(worker)
            except Exception as error:  # noqa: BLE001  # the user's; reported when all are closed
                errors.append(error)
        return errors

    def stop(self) -> None:
        try:
            self.retire()
            self._runner.stop()
        finally:
            self._inbox.close()


def _close_object(worker: object) -> None:
    close = close_method(worker)
    if close is not None:
        close()
