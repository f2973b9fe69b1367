"""Workers that are processes: each a resident runner of its own, so that its object stays with it.

A worker's function or object is sent once, as a kind of job; a chunk is one such job. Which item has begun stands in
the file of marks, and values are told every TELL_EVERY seconds, so a death costs the item that it happened in, and
what had ended in that time is done again.
"""
from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from itertools import count
from time import perf_counter
from typing import cast

from taskproc.errors import UnsendableItem
from taskproc.kernel.model import Failed, Ticket
from taskproc.maps.chunks import Chunk
from taskproc.maps.crew import Told
from taskproc.maps.delayed import made
from taskproc.maps.options import ArgumentPassing, Call, calls
from taskproc.maps.pack import (
    SCALARS,
    Raised,
    Sent,
    by_value,
    receive_item,
    receive_values,
    send_error,
    send_item,
    send_value,
)
from taskproc.modules import main_name
from taskproc.run.base import Ending
from taskproc.run.group import Grace
from taskproc.run.inbox import Inbox
from taskproc.run.kinds import Kind, KindJob
from taskproc.run.problem import rebuild, sentence
from taskproc.run.resident import ResidentRunner
from taskproc.run.setup import load
from taskproc.run.steps import Part, of_this_job
from taskproc.run.timeout import begin as begin_clock

TELL_EVERY = 0.02
AHEAD = 0.001


class Work:
    """The far end: the worker's function or object, and what it does with a chunk."""

    def __init__(self, worker: Callable[..., object], passing: ArgumentPassing, timeout: float | None, main: str):
        self._worker, self._passing, self._timeout, self._main = worker, passing, timeout, main
        self._call: Call | None = None

    def __call__(self, own: bytes) -> bytes:
        """The values of a pickled chunk that were not told before, and the seconds that they took, pickled.

        Raises what making the object raises.
        """
        if self._call is None:
            self._call = calls(made(self._worker), self._passing)
        call, steps, timeout, main = self._call, of_this_job(), self._timeout, self._main
        values: list[Sent] = []
        start = perf_counter()
        for step, item in enumerate(cast("list[Sent]", load(own))):
            if not steps.begin(step):
                break
            if timeout is not None:
                begin_clock(timeout)
            try:
                value = call(receive_item(item) if type(item) is tuple else item)
            except BaseException as error:  # noqa: BLE001  # SystemExit is how this item ended, not the worker
                value = send_error(error)
            else:
                if type(value) not in SCALARS:
                    value = send_value(value, main)
            values.append(value)
            if perf_counter() - start > TELL_EVERY:
                steps.tell(pickle.dumps((values, perf_counter() - start), 5))
                values, start = [], perf_counter()
        return pickle.dumps((values, perf_counter() - start), 5)


class ProcessCrew:
    """Of one process for each of `kinds` (kinds_of), which is replaced when it dies."""

    def __init__(self, kinds: Sequence[Kind], *, timeout: float | None = None):
        self._kinds, self._timeout = kinds, timeout
        self._inbox: Inbox[Ending[int]] = Inbox()
        self._grace = Grace()
        self._lanes: list[ResidentRunner[int]] = [
            ResidentRunner(self._inbox, 1, grace=self._grace, keeps=True, beside=len(kinds) - 1) for _ in kinds
        ]
        self._numbers = count(1)
        self._chunks: dict[int, Chunk] = {}
        self._sizes: dict[int, int] = {}

    send = staticmethod(send_item)

    def start(self, worker: int, chunk: Chunk) -> None:
        """See Crew."""
        number = next(self._numbers)
        self._chunks[number] = chunk
        own = pickle.dumps(chunk.items, 5)
        self._sizes[number] = len(own)
        # Little by guess, so that the next chunk always lies there already: who has nothing to do is the engine's care
        job: KindJob[int] = KindJob(self._kinds[worker], own, self._timeout, AHEAD)
        self._lanes[worker].start(Ticket(worker, number), job)

    def wait(self, timeout: float | None) -> list[Told]:
        """See Crew."""
        return [self._told(ticket, outcome) for ticket, outcome in self._inbox.wait(timeout)]

    def _told(self, ticket: Ticket[int], outcome: object) -> Told:
        ended = not isinstance(outcome, Part)
        chunk = self._chunks.pop(ticket.number) if ended else self._chunks[ticket.number]
        size = self._sizes.pop(ticket.number, 0)  # counts once
        if isinstance(outcome, Failed):
            problem = outcome.problem
            error = Raised(rebuild(problem)).error
            if problem.kind in {"died", "timeout"}:
                return Told(ticket.key, chunk, [], death=error, begun=problem.step)
            return Told(ticket.key, chunk, [], broken=error)
        content = outcome.content if isinstance(outcome, Part) else outcome
        if not isinstance(content, bytes):
            return Told(ticket.key, chunk, [])  # Returned: it had not begun
        sent, seconds = cast("tuple[list[Sent], float]", load(content))
        values, raised = receive_values(sent)
        return Told(ticket.key, chunk, values, raised, ended, seconds, size + len(content))

    def halt(self) -> None:
        """See Crew."""
        for lane in self._lanes:
            lane.halt()

    def stop(self, patience: float | None) -> None:
        """Kill them, with their children; an idle one ends by itself."""
        for lane in self._lanes:
            lane.dismiss()
        for lane in self._lanes:
            lane.stop()
            self._grace.hurry()  # the others have had the same time
        self._inbox.close()


def kinds_of(
    workers: Sequence[Callable[..., object]], passing: ArgumentPassing, timeout: float | None
) -> list[Kind]:
    """What each worker is sent once: its function or object, pickled. Raises UnsendableItem."""
    different = {id(worker): worker for worker in workers}
    kinds = {number: _kind(worker, passing, timeout) for number, worker in different.items()}
    return [kinds[id(worker)] for worker in workers]


def _kind(worker: Callable[..., object], passing: ArgumentPassing, timeout: float | None) -> Kind:
    try:
        return Kind(by_value(Work(worker, passing, timeout, main_name())))
    except Exception as error:
        text = (f"{worker!r} cannot be sent to a worker process: {sentence(error)}. Make what it needs in each worker "
                "(delayed_init), or use threads")
        raise UnsendableItem(text) from error
