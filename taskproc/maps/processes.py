"""Workers that are processes: each a resident runner of its own, so that its object stays with it.

A worker's function or object is sent once, as a kind of job; a chunk is one such job. Which item has begun stands in
the file of marks, and values are told every few milliseconds (far.py), so a death costs the item that it happened in,
and what had ended in that time is done again.
"""
from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from itertools import count
from typing import cast

from taskproc.by_value import dumps
from taskproc.errors import UnsendableItem
from taskproc.frozen import replace
from taskproc.kernel.model import Failed, Returned, Ticket
from taskproc.maps.chunks import Chunk
from taskproc.maps.crew import Told
from taskproc.maps.far import Work, clock_every
from taskproc.maps.options import ArgumentPassing
from taskproc.maps.pack import Raised, Sent, receive_values, send_item
from taskproc.modules import main_name
from taskproc.run.base import Ending
from taskproc.run.group import Grace
from taskproc.run.inbox import Inbox
from taskproc.run.kinds import Kind, KindJob
from taskproc.run.problem import rebuild, sentence
from taskproc.run.resident import ResidentRunner
from taskproc.run.setup import load
from taskproc.run.steps import Part
from taskproc.run.timeout import timed_out

AHEAD = 0.001  # seconds


class ProcessCrew:
    """Of one process for each of `kinds` (kinds_of), which is replaced when it dies."""

    def __init__(self, kinds: Sequence[Kind], *, timeout: float | None = None):
        self._kinds, self._timeout = kinds, timeout
        self._jobs_timeout = None if timeout is None else timeout + clock_every(timeout)
        self._inbox: Inbox[Ending[int, bytes | Part]] = Inbox()
        self._grace = Grace()
        self._lanes: list[ResidentRunner[int, bytes | Part]] = [
            ResidentRunner(self._inbox, 1, grace=self._grace, keeps=True, beside=len(kinds) - 1, part=Part)
            for _ in kinds
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
        job: KindJob[bytes | Part] = KindJob(self._kinds[worker], own, self._jobs_timeout, AHEAD)
        self._lanes[worker].start(Ticket(worker, number), job)

    def wait(self, timeout: float | None) -> list[Told]:
        """See Crew."""
        return [self._told(ticket, outcome) for ticket, outcome in self._inbox.wait(timeout)]

    def _told(self, ticket: Ticket[int], outcome: bytes | Part | Failed | Returned) -> Told:
        ended = not isinstance(outcome, Part)
        chunk = self._chunks.pop(ticket.number) if ended else self._chunks[ticket.number]
        size = self._sizes.pop(ticket.number, 0)  # counts once
        if isinstance(outcome, Failed):
            problem = outcome.problem
            if problem.kind == "timeout" and self._timeout is not None:
                problem = replace(timed_out(self._timeout).problem, step=problem.step)
            error = Raised(rebuild(problem)).error
            if problem.kind == "limit":
                return Told(ticket.key, chunk, [], absent=error)
            if problem.kind in {"died", "timeout"}:
                return Told(ticket.key, chunk, [], death=error, begun=problem.step)
            return Told(ticket.key, chunk, [], broken=error)
        if isinstance(outcome, Returned):  # it had not begun
            return Told(ticket.key, chunk, [])
        content = outcome.content if isinstance(outcome, Part) else outcome
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
    kinds = {number: kind_of(worker, passing, timeout) for number, worker in different.items()}
    return [kinds[id(worker)] for worker in workers]


def kind_of(
    worker: Callable[..., object], passing: ArgumentPassing, timeout: float | None = None, far: type[Work] = Work
) -> Kind:
    """The same for one worker; `far`: what does its chunks."""
    try:
        return Kind(dumps(far(worker, passing, timeout, main_name())))
    except Exception as error:
        text = (f"{worker!r} cannot be sent to a worker process: {sentence(error)}. Make what it needs in each worker "
                "(delayed_init), or use threads")
        raise UnsendableItem(text) from error
