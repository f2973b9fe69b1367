"""Workers that are threads of this process."""
from __future__ import annotations

import contextvars
import sys
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from time import perf_counter

from taskproc.errors import SystemLimit
from taskproc.maps.chunks import Chunk, Progress
from taskproc.maps.delayed import made
from taskproc.maps.map_options import ArgumentPassing, calls
from taskproc.maps.pack import Raised
from taskproc.run.inbox import Inbox
from taskproc.run.scarce import limit_text, start_thread

TELL_EVERY = 0.02


class ThreadCrew:
    """Of one thread for each of `workers`, in a copy of the context in which the crew was made."""

    def __init__(self, workers: Sequence[Callable[..., object]], passing: ArgumentPassing):
        self._inbox: Inbox[Progress] = Inbox()
        self._queues: list[SimpleQueue[Chunk | None]] = [SimpleQueue() for _ in workers]
        self._in_hand: list[Chunk] = []
        self._threads: list[threading.Thread | None] = [None] * len(workers)
        self._targets = [
            (contextvars.copy_context().run, (_serve, number, worker, passing, self._queues[number], self._inbox))
            for number, worker in enumerate(workers)
        ]

    def send(self, item: object) -> object:
        """See Crew."""
        return item

    def start(self, worker: int, chunk: Chunk) -> None:
        """See Crew."""
        if self._threads[worker] is None:
            target, arguments = self._targets[worker]
            # A daemon: an item that never ends must not hold the interpreter at its exit
            thread = threading.Thread(target=target, args=arguments, name=f"taskproc-map-{worker}", daemon=True)
            try:
                start_thread(thread)
            except BlockingIOError as error:
                absent = SystemLimit(limit_text("no thread could be started for the map", error))
                self._in_hand.append(chunk)
                self._inbox.put(Progress(worker, chunk, [], absent=absent))
                return
            self._threads[worker] = thread
        self._in_hand.append(chunk)
        self._queues[worker].put(chunk)

    def wait(self, timeout: float | None) -> list[Progress]:
        """See Crew."""
        told = list(self._inbox.wait(timeout))
        for each in told:
            if each.ended:
                self._in_hand.remove(each.chunk)
        return told

    def halt(self) -> None:
        """See Crew."""
        for chunk in self._in_hand:
            chunk.halted = True

    def stop(self, patience: float | None) -> None:
        """A thread cannot be ended: it leaves what it has after the item that it has begun."""
        self.halt()
        for queue in self._queues:
            queue.put(None)
        deadline = None if patience is None else time.monotonic() + patience
        if sys.is_finalizing():
            return  # no other thread runs any more, so none would come to its end
        for thread in self._threads:
            if thread is not None and thread is not threading.current_thread():
                thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
        self._inbox.close()


def _serve(
    number: int,
    worker: Callable[..., object],
    passing: ArgumentPassing,
    queue: SimpleQueue[Chunk | None],
    inbox: Inbox[Progress],
) -> None:
    chunk = queue.get()
    if chunk is None:
        return
    try:
        call = calls(made(worker), passing)
    except BaseException as error:  # noqa: BLE001  # told, and raised by the map
        inbox.put(Progress(number, chunk, [], broken=Raised(error).error))
        return
    while chunk is not None:
        values: list[object] = []
        raised, start = False, perf_counter()
        for item in chunk.items:
            if chunk.halted:
                break
            try:
                values.append(call(item))
            except BaseException as error:  # noqa: BLE001  # SystemExit is how this item ended, not the thread
                values.append(Raised(error))
                raised = True
            if perf_counter() - start > TELL_EVERY:
                inbox.put(Progress(number, chunk, values, raised, False, perf_counter() - start))
                values, raised, start = [], False, perf_counter()
        inbox.put(Progress(number, chunk, values, raised, True, perf_counter() - start))
        chunk = queue.get()
