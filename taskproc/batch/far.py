"""The far ends of a batch, in worker processes of our own and in those of an executor."""
from __future__ import annotations

import atexit
import os
import pickle
import signal
import socket
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any

from taskproc.batch.batch_task import TaskWorker
from taskproc.machine import birth_of
from taskproc.maps.pack import receive_item, send_error, send_value
from taskproc.run.capture import flush_all
from taskproc.run.setup import load


class Leave:
    """Sent in the place of a chunk: the batch is over."""


class _ToldToEnd(SystemExit):
    """The main process ends this one; raised in the user's code, so that its `with` blocks are left."""


class ResidentWorker:
    """A worker in a process that is its own.

    Who ends a batch early ends the process by TERM if it is busy, and lets it go if it is idle. Either way there is
    time for the teardown, as much as the grace has.
    """

    def __init__(self, worker: TaskWorker):
        self._worker = worker
        self._begun = False

    def __call__(self, chunk: Any) -> list[Any]:
        if isinstance(chunk, Leave):
            self._worker.close()
            return []
        if not self._begun:
            self._begun = True
            atexit.register(self._worker.close)
            signal.signal(signal.SIGTERM, _told_to_end)
        try:
            return self._worker(chunk)
        except _ToldToEnd:
            try:
                self._worker.close()
            finally:
                flush_all()
                os._exit(128 + signal.SIGTERM)  # nobody waits for an answer


def _told_to_end(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once: the teardown is not to be disturbed
    raise _ToldToEnd(128 + number)


class ForeignWorker:
    """A worker in a process of somebody else's, which may outlive the batch: what a kind of jobs is (run/kinds.py).

    If nobody asks it to leave, it does so when its process ends.
    """

    def __init__(self, worker: TaskWorker, main: str):
        self._worker, self._main = worker, main
        self._begun = False

    def __call__(self, own: bytes) -> bytes:
        """The pickle of what a pickled chunk gave, of who has done it, and whether he has left."""
        chunk: Any = receive_item(load(own))
        leaves = isinstance(chunk, LeaveSoon)
        try:
            if leaves:
                time.sleep(chunk.seconds)  # else one idle process might take the jobs of all
                self._worker.close()
                value: object = None
            else:
                self._begin()
                value = self._worker(chunk)
        except BaseException as error:  # noqa: BLE001  # SystemExit is how this chunk ended, not the process
            sent = send_error(error)
        else:
            sent = send_value(value, self._main)
        return pickle.dumps((sent, process_name(), leaves), 5)

    def _begin(self) -> None:
        if not self._begun:
            from multiprocessing.util import Finalize  # not atexit: its own children pass over that

            self._begun = True
            Finalize(None, self._worker.close, exitpriority=0)


class LeaveSoon(Leave):
    """Leave, but keep the process busy for so many seconds."""

    def __init__(self, seconds: float):
        self.seconds = seconds


def process_name() -> str:
    """Tells this process from all others."""
    return f"{socket.gethostname()} {os.getpid()} {birth_of(os.getpid())}"


class ThreadWorkers:
    """The workers of threads of somebody else's, in this process: one for each thread that was met."""

    def __init__(self, worker: TaskWorker):
        import threading  # here: other far ends need none

        self._recipe = worker
        self._lock = threading.Lock()
        self._mine = threading.local()
        self._all: dict[TaskWorker, bool] = {}  # whether it is busy
        self._over = False

    def __call__(self, chunk: Sequence[Any]) -> list[Any]:
        """By the worker of this thread."""
        if not hasattr(self._mine, "worker"):
            self._mine.worker = self._recipe.another()
        worker: TaskWorker = self._mine.worker
        with self._lock:
            self._all[worker] = True
        try:
            return worker(chunk)
        finally:
            with self._lock:
                self._all[worker] = False
                over = self._over
            if over:
                worker.close()  # the batch was left while it was busy

    def leave(self) -> list[Exception]:
        """Tear down those that are idle, in this thread; the others do it themselves. What went wrong."""
        with self._lock:
            self._over = True
            idle = [worker for worker, busy in self._all.items() if not busy]
        errors: list[Exception] = []
        for worker in idle:
            try:
                worker.close()
            except Exception as error:  # noqa: BLE001  # the user's; told when all are done
                errors.append(error)
        return errors
