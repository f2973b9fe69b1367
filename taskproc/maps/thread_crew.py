"""Workers that are threads of this process."""
from __future__ import annotations

import contextvars
import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

from taskproc.errors import SystemLimit
from taskproc.maps.chunk_work import work_off
from taskproc.maps.chunks import Chunk, Progress
from taskproc.maps.delayed import Delayed, close_method, made
from taskproc.maps.map_options import ArgumentPassing, calls
from taskproc.maps.transfer import Raised
from taskproc.run.inbox import Inbox
from taskproc.run.problem import sentence
from taskproc.run.system_limits import limit_text, start_thread

logger = logging.getLogger("taskproc")


class ThreadCrew:
    """One thread for each of `workers`, in a copy of the context in which the crew was created."""

    def __init__(self, workers: Sequence[Callable[..., object]], passing: ArgumentPassing):
        self._inbox: Inbox[Progress] = Inbox()
        self._threads = [_Thread(number, worker, passing, self._inbox) for number, worker in enumerate(workers)]
        self._in_hand: list[tuple[Chunk, list[object]]] = []  # and the list over which its thread iterates

    def send(self, item: object) -> object:
        """See Crew."""
        return item

    def start(self, worker: int, chunk: Chunk) -> None:
        """See Crew."""
        self._in_hand.append((chunk, chunk.items))
        self._threads[worker].give(chunk, chunk.items)

    def wait(self, timeout: float | None) -> list[Progress]:
        """See Crew."""
        news = list(self._inbox.wait(timeout))
        for progress in news:
            if progress.ended:
                self._in_hand = [entry for entry in self._in_hand if entry[0] is not progress.chunk]
        return news

    def halt(self) -> None:
        """See Crew."""
        # The list over which the thread iterates is emptied: checking a flag before each item would cost more
        for chunk, items in self._in_hand:
            if items:
                chunk.items = items.copy()
                items.clear()

    def retire(self) -> list[Exception]:
        """See Crew: each thread closes its object when it ends, and logs what goes wrong."""
        return []

    def stop(self, patience: float | None) -> None:
        """Let the threads end, each after the item that it has begun: a thread cannot be killed."""
        self.halt()
        for thread in self._threads:
            thread.end()
        deadline = None if patience is None else time.monotonic() + patience
        if sys.is_finalizing():
            return  # no other thread runs any more, so waiting for one would never end
        for thread in self._threads:
            thread.join(deadline)
        self._inbox.close()


class _Thread:
    """A worker's thread, which starts with its first chunk."""

    def __init__(
        self, number: int, worker: Callable[..., object], passing: ArgumentPassing, inbox: Inbox[Progress]
    ):
        self._number, self._worker, self._passing, self._inbox = number, worker, passing, inbox
        self._queue: SimpleQueue[tuple[Chunk, list[object]] | None] = SimpleQueue()
        self._context = contextvars.copy_context()
        self._thread: threading.Thread | None = None
        self._raised = False  # whether any value not reported yet is a Raised

    def give(self, chunk: Chunk, items: list[object]) -> None:
        """Work off `items`, those of `chunk`, after the chunks given before."""
        if self._thread is None:
            # A daemon: an item that never ends must not keep the interpreter from exiting
            name = f"taskproc-map-{self._number}"
            thread = threading.Thread(target=self._context.run, args=(self._serve,), name=name, daemon=True)
            try:
                start_thread(thread)
            except BlockingIOError as error:
                absent = SystemLimit(limit_text("no thread could be started for the map", error))
                self._inbox.put(Progress(self._number, chunk, [], absent=absent))
                return
            self._thread = thread
        self._queue.put((chunk, items))

    def end(self) -> None:
        """End after the chunks given before."""
        self._queue.put(None)

    def join(self, deadline: float | None) -> None:
        """Wait until it has ended."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))

    def _serve(self) -> None:
        order = self._queue.get()
        if order is None:
            return
        try:
            worker = made(self._worker)
            call = calls(worker, self._passing)
        except BaseException as error:  # noqa: BLE001  # reported, and raised by the map
            self._inbox.put(Progress(self._number, order[0], [], broken=Raised(error).error))
            return
        while order is not None:
            chunk, items = order
            values, seconds = work_off(items, call, self._failed, report=self._reporter(chunk))
            self._report(chunk, values, seconds, ended=True)
            order = self._queue.get()
        if isinstance(self._worker, Delayed):  # any other object is the user's, who may still need it
            self._close(worker)

    def _failed(self, error: BaseException) -> Raised:
        self._raised = True
        return Raised(error)

    def _reporter(self, chunk: Chunk) -> Callable[[list[Any], float], None]:
        return lambda values, seconds: self._report(chunk, values, seconds, ended=False)

    def _report(self, chunk: Chunk, values: list[Any], seconds: float, *, ended: bool) -> None:
        raised, self._raised = self._raised, False
        self._inbox.put(Progress(self._number, chunk, values, raised, ended, seconds))

    def _close(self, worker: object) -> None:
        close = close_method(worker)
        try:
            if close is not None:
                close()
        except BaseException as error:  # noqa: BLE001  # the user's; the thread ends anyway
            logger.warning("close of worker %d of a map failed: %s", self._number, sentence(error))
