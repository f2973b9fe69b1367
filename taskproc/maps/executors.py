"""Workers of somebody else's executor, in other processes or on other machines: whichever takes a chunk does it.

A chunk is one job there, and is done to its end. When the pool breaks the map goes on in processes of our own (see
run/foreign.py). Of a chunk whose worker has died each item is tried once more, alone, so the death is told of one item.
"""
from __future__ import annotations

import pickle
from concurrent.futures import Executor
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from taskproc.errors import WorkerDied
from taskproc.kernel.model import Failed, Returned, Ticket
from taskproc.maps.chunks import Chunk
from taskproc.maps.crew import Told
from taskproc.maps.pack import Raised, Sent, receive_values, send_item
from taskproc.run.base import Ending
from taskproc.run.foreign import ForeignJob, ForeignRunner
from taskproc.run.group import Grace
from taskproc.run.inbox import Inbox
from taskproc.run.kinds import Kind, KindJob
from taskproc.run.lifeline import Main
from taskproc.run.problem import rebuild
from taskproc.run.resident import ResidentRunner
from taskproc.run.setup import load


class Foreign:
    """Jobs of one kind in an executor's processes, and in our own when these break.

    Attributes:
        inbox: where their ends come in.
    """

    def __init__(self, executor: Executor, kind: Kind):
        self.inbox: Inbox[Ending[int, bytes]] = Inbox()
        self._kind, self._main, self._grace = kind, Main.here(), Grace()
        self._folder = TemporaryDirectory(prefix="taskproc-map-")
        own = partial(ResidentRunner[int, bytes], self.inbox, grace=self._grace)
        self._runner: ForeignRunner[int, bytes] = ForeignRunner(executor, self.inbox, own, grace=self._grace)

    def start(self, ticket: Ticket[int], own: bytes) -> None:
        """Begin the job of a ticket; two with one key are the same work, tried again."""
        job: KindJob[bytes] = KindJob(self._kind, own)
        self._runner.start(ticket, ForeignJob(job, Path(self._folder.name, "begun"), ticket.number, self._main))

    def stop(self) -> None:
        """Call off what has not begun, and end what runs."""
        try:
            self._runner.stop()
        finally:
            self.inbox.close()
            self._folder.cleanup()


class ExecutorCrew:
    """So many chunks at once as there are workers in the map, wherever the executor runs them. `kind`: see far.py."""

    def __init__(self, executor: Executor, kind: Kind):
        self._foreign = Foreign(executor, kind)
        self._numbers = count(1)
        self._jobs: dict[int, tuple[int, Chunk, int | None]] = {}  # worker, chunk, and which of its items; None: all
        self._sizes: dict[int, int] = {}
        self._alone: dict[Chunk, dict[int, object]] = {}  # of items that are tried alone, by their place

    send = staticmethod(send_item)

    def start(self, worker: int, chunk: Chunk) -> None:
        """See Crew."""
        self._start(worker, chunk, None)

    def _start(self, worker: int, chunk: Chunk, place: int | None) -> None:
        number = next(self._numbers)
        self._jobs[number] = worker, chunk, place
        own = pickle.dumps(chunk.items if place is None else [chunk.items[place]], 5)
        self._sizes[number] = len(own)
        self._foreign.start(Ticket(chunk.first + (place or 0), number), own)

    def wait(self, timeout: float | None) -> list[Told]:
        """See Crew."""
        told = [self._told(ticket.number, outcome) for ticket, outcome in self._foreign.inbox.wait(timeout)]
        return [each for each in told if each is not None]

    def _told(self, number: int, outcome: bytes | Failed | Returned) -> Told | None:
        worker, chunk, place = self._jobs.pop(number)
        size = self._sizes.pop(number)
        if isinstance(outcome, Returned):  # its pool has broken
            if place is None:
                return Told(worker, chunk, [])
            self._start(worker, chunk, place)
            return None
        values, seconds = self._values(outcome)
        if place is not None:
            return self._gathered(worker, chunk, place, values[0])
        if isinstance(outcome, Failed) and not isinstance(error := _error(values[0]), WorkerDied):
            return Told(worker, chunk, [], broken=error)
        if isinstance(outcome, Failed) and len(chunk.items) > 1:
            self._alone[chunk] = {}
            for each in range(len(chunk.items)):
                self._start(worker, chunk, each)
            return None
        return Told(worker, chunk, values, Raised in set(map(type, values)), True, seconds, size)

    def _values(self, outcome: bytes | Failed) -> tuple[list[object], float]:
        if isinstance(outcome, Failed):
            return [Raised(rebuild(outcome.problem))], 0.0
        sent, seconds = cast("tuple[list[Sent], float]", load(outcome))
        return receive_values(sent)[0], seconds

    def _gathered(self, worker: int, chunk: Chunk, place: int, value: object) -> Told | None:
        """What became of an item that was tried alone; told when all of its chunk are through."""
        found = self._alone[chunk]
        found[place] = value
        if len(found) < len(chunk.items):
            return None
        values = [found[each] for each in range(len(chunk.items))]
        del self._alone[chunk]
        return Told(worker, chunk, values, Raised in set(map(type, values)))

    def halt(self) -> None:
        """See Crew: a chunk that was given to an executor is done."""

    def stop(self, patience: float | None) -> None:
        """Call off what has not begun, and end what runs."""
        self._foreign.stop()


def _error(value: object) -> Exception | None:
    return value.error if isinstance(value, Raised) else None
