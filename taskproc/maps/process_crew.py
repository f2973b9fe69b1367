"""Workers that are processes: each a resident runner of its own, so that its object stays with it.

A worker's function or object is sent once, as a kind of job; a chunk is one such job. The number of the item that has
begun stands in the file of marks, and values are reported every few milliseconds (chunk_work.py). So a death costs the
item during which it happened, and what had ended in those milliseconds is computed again.
"""
from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import cast

from taskproc.errors import UnsendableItem
from taskproc.frozen import replace
from taskproc.kernel.model import Failed, Returned, Ticket
from taskproc.maps.chunk_work import CLOSE, ChunkWork, clock_every
from taskproc.maps.chunks import Chunk, Progress
from taskproc.maps.map_options import ArgumentPassing
from taskproc.maps.transfer import Raised, Sent, receive_values, send_item
from taskproc.modules import main_name
from taskproc.pickling import dumps, load
from taskproc.run.group import GRACE, Grace
from taskproc.run.inbox import Inbox
from taskproc.run.kinds import Kind, KindJob
from taskproc.run.problem import rebuild, sentence, timed_out
from taskproc.run.resident import ResidentRunner
from taskproc.run.runner import Ending
from taskproc.run.worker_protocol import Part

AHEAD = 0.001  # seconds
_CLOSING = -1  # the number of the first item of a chunk that has none


class ProcessCrew:
    """One process for each of `kinds` (worker_kinds), which is replaced when it dies.

    Args:
        closes: whether any worker may have a `close`.
    """

    def __init__(self, kinds: Sequence[Kind], *, timeout: float | None = None, closes: bool = False):
        self._kinds, self._timeout, self._closes = kinds, timeout, closes
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
        self._alive: set[int] = set()  # workers whose process has done a chunk, and has not died since

    send = staticmethod(send_item)

    def start(self, worker: int, chunk: Chunk) -> None:
        """See Crew."""
        self._start(worker, chunk, pickle.dumps(chunk.items, 5))

    def _start(self, worker: int, chunk: Chunk, own: bytes) -> None:
        number = next(self._numbers)
        self._chunks[number] = chunk
        self._sizes[number] = len(own)
        # A small guess, so that the next chunk is always sent at once: the engine cares for workers that are idle
        job: KindJob[bytes | Part] = KindJob(self._kinds[worker], own, self._jobs_timeout, AHEAD)
        self._lanes[worker].start(Ticket(worker, number), job)

    def wait(self, timeout: float | None) -> list[Progress]:
        """See Crew."""
        return [self._progress(ticket, outcome) for ticket, outcome in self._inbox.wait(timeout)]

    def _progress(self, ticket: Ticket[int], outcome: bytes | Part | Failed | Returned) -> Progress:
        ended = not isinstance(outcome, Part)
        chunk = self._chunks.pop(ticket.number) if ended else self._chunks[ticket.number]
        size = self._sizes.pop(ticket.number, 0)  # counts once
        if isinstance(outcome, Failed):
            return self._failure(ticket.key, chunk, outcome)
        if isinstance(outcome, Returned):  # it had not begun
            return Progress(ticket.key, chunk, [])
        content = outcome.content if isinstance(outcome, Part) else outcome
        self._alive.add(ticket.key)
        sent, seconds = cast("tuple[list[Sent], float]", load(content))
        values, raised = receive_values(sent)
        return Progress(ticket.key, chunk, values, raised, ended, seconds, size + len(content))

    def _failure(self, worker: int, chunk: Chunk, outcome: Failed) -> Progress:
        problem = outcome.problem
        if problem.kind == "timeout" and self._timeout is not None:
            problem = replace(timed_out(self._timeout).problem, step=problem.step)
        error = Raised(rebuild(problem)).error
        if problem.kind == "limit":
            return Progress(worker, chunk, [], absent=error)
        if problem.kind in {"died", "timeout"}:
            self._alive.discard(worker)
            return Progress(worker, chunk, [], death=error, begun=problem.step)
        return Progress(worker, chunk, [], broken=error)

    def halt(self) -> None:
        """See Crew."""
        for lane in self._lanes:
            lane.halt()

    def retire(self) -> list[Exception]:
        """See Crew."""
        if not self._closes:
            return []
        alive, self._alive = self._alive, set()
        for worker in alive:
            self._start(worker, Chunk(_CLOSING, []), CLOSE)
        errors: list[Exception] = []
        left = len(alive)
        while left:
            for progress in self.wait(None):
                if progress.chunk.first == _CLOSING and progress.ended:
                    left -= 1
                    errors += [value.error for value in progress.values if isinstance(value, Raised)]
                    errors += [error for error in (progress.death, progress.broken) if error is not None]
        return errors

    def stop(self, patience: float | None) -> None:
        """Kill busy processes with their children; idle ones end by themselves."""
        for lane in self._lanes:
            lane.dismiss()
        deadline = time.monotonic() + GRACE
        for lane in self._lanes:
            lane.stop()
            if time.monotonic() > deadline:
                self._grace.hurry()  # the other lanes have had the same time
        self._inbox.close()


def worker_kinds(
    workers: Sequence[Callable[..., object]], passing: ArgumentPassing, timeout: float | None
) -> list[Kind]:
    """What each worker is sent once: its function or object, pickled. Raises UnsendableItem."""
    different = {id(worker): worker for worker in workers}
    kinds = {number: worker_kind(worker, passing, timeout) for number, worker in different.items()}
    return [kinds[id(worker)] for worker in workers]


def worker_kind(
    worker: Callable[..., object],
    passing: ArgumentPassing,
    timeout: float | None = None,
    work: type[ChunkWork] = ChunkWork,
) -> Kind:
    """The same for one worker; `work` is what does its chunks."""
    try:
        return Kind(dumps(work(worker, passing, timeout, main_name())))
    except Exception as error:
        text = (f"{worker!r} cannot be sent to a worker process: {sentence(error)}. Make what it needs in each worker "
                "(delayed_init), or use threads")
        raise UnsendableItem(text) from error
