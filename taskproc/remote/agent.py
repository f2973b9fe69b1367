"""A worker: pulls tasks of a task manager, has them done in worker processes of our own, and tells what came of them.

Tasks run in resident workers (run/resident.py), so one that kills its process, or holds the interpreter for an hour,
does neither to the agent, whose pings go on. The death of a worker is reported at once, and its task is returned.
The thread that calls `run` waits in nothing but its inbox, where a signal reaches it; others talk to the manager, which
may take any time to answer.
"""
from __future__ import annotations

import os
import pickle
import socket
import threading
import time
from collections.abc import Callable, Collection
from itertools import count
from queue import SimpleQueue
from typing import Union

from taskproc.errors import TaskManagerTermination, UnknownToManager
from taskproc.frozen import frozen
from taskproc.kernel.model import Failed, Returned, Ticket
from taskproc.remote.calls import TaskFunctions
from taskproc.remote.client import RemoteTaskManager
from taskproc.remote.content import pack_raised
from taskproc.run.group import Grace
from taskproc.run.inbox import Inbox
from taskproc.run.kinds import Kind, KindJob
from taskproc.run.problem import rebuild
from taskproc.run.resident import ResidentRunner
from taskproc.run.runner import Ending

PERIOD = 5.0   # seconds between two pings
GOOD_BYE = 3.0  # seconds for what is still to be said to the manager in the end


@frozen
class _Pulled:
    """A task that has come."""

    tag: str
    content: bytes


@frozen
class _Answered:
    """The end of a task was reported to the manager."""


@frozen
class _Over:
    """No more will come, and why."""

    error: Exception


_Done = tuple[str, bytes, str]  # how a task ended: see TaskFunctions
_News = Union[_Done, _Pulled, _Answered, _Over]


class Agent:
    """Does tasks of `tags` by the functions of a module, `jobs` at a time, until the manager is terminated or gone.

    Args:
        inbox: what `run` waits in; whoever rings it has `run` ask whether it is to end.
        grace: how long processes of tasks may take to end, and how long is waited for an answer to the good-bye.

    Attributes:
        done: how many tasks were answered.
    """

    def __init__(
        self,
        manager: RemoteTaskManager,
        module: str,
        tags: Collection[str],
        *,
        jobs: int = 1,
        period: float = PERIOD,
        inbox: Inbox[Ending[str, _News]] | None = None,
        grace: Grace | None = None,
    ):
        self._manager, self._tags, self._period = manager, tags, period
        self._kind = Kind(pickle.dumps(TaskFunctions(module), 5))
        self._inbox: Inbox[Ending[str, _News]] = inbox or Inbox()
        self._grace = grace or Grace()
        # What a module keeps from task to task stays: as in a worker that was written by hand
        self._runner: ResidentRunner[str, _News] = ResidentRunner(self._inbox, jobs, grace=self._grace, keeps=True)
        self._free = threading.Semaphore(jobs)
        self._numbers = count(1)
        self._in_hand: set[int] = set()
        self._told: SimpleQueue[tuple[Ticket[str], _Done | Failed] | None] = SimpleQueue()
        self._stopped = threading.Event()
        self._has_left = False
        self._identity = threading.Lock()
        self._info = f"worker on {socket.gethostname()}, process {os.getpid()}, {jobs} at a time: {', '.join(tags)}"
        self._process = manager.register_process(period, self._info)
        self.done = 0

    def run(self, is_to_end: Callable[[], bool] = lambda: False) -> None:
        """Work. After a `terminate` of the manager what is in hand is still done; if `is_to_end` it is given back.

        Raises ManagerUnreachable when the manager is gone.
        """
        try:
            for work in (self._tell, self._pull, self._ping):
                threading.Thread(target=work, name="taskproc-agent", daemon=True).start()
            self._work(is_to_end)
        finally:
            self._stopped.set()
            self._runner.stop()
            self._leave()

    def _work(self, is_to_end: Callable[[], bool]) -> None:
        last: Exception | None = None
        while not is_to_end() and (last is None or self._in_hand):
            for ticket, told in self._runner.wait(None):
                if isinstance(told, _Over):
                    last = last or told.error
                elif isinstance(told, _Pulled):
                    self._begin(ticket, told)
                elif isinstance(told, _Answered):
                    self._in_hand.discard(ticket.number)
                    self._free.release()
                elif not isinstance(told, Returned):  # nothing is ever recalled
                    self._told.put((ticket, told))
            if last is not None and not isinstance(last, TaskManagerTermination):
                raise last

    def _begin(self, ticket: Ticket[str], pulled: _Pulled) -> None:
        self._in_hand.add(ticket.number)
        own = pickle.dumps((str(ticket.key), pulled.tag, pulled.content), 5)
        self._runner.start(ticket, KindJob(self._kind, own))

    def _tell(self) -> None:
        """In a thread: tell how tasks ended, and say good-bye after the last one; if that cannot be said, the missing
        pings say it."""
        try:
            while (ending := self._told.get()) is not None:
                self._answer(*ending)
                self._inbox.put((ending[0], _Answered()))
            self._manager.unregister_process(self._process)
        except Exception as error:  # noqa: BLE001  # the main thread must not wait for ever
            self._inbox.put((Ticket("", 0), _Over(error)))
        finally:
            self._has_left = True
            self._inbox.ring()

    def _answer(self, ticket: Ticket[str], told: _Done | Failed) -> None:
        """How a task ended. An answer that comes too late is refused, and nothing is lost by that."""
        if not isinstance(told, Failed):
            what, content, traceback = told
            if what == "result":
                self._manager.link.store_result(ticket.key, content)
            else:
                self._manager.link.store_exception(ticket.key, content, traceback)
            self.done += 1
        elif told.problem.kind in {"died", "limit"}:
            self._manager.return_task(ticket.key, died=told.problem.text)
        else:
            content = pack_raised(rebuild(told.problem))
            self._manager.link.store_exception(ticket.key, content, told.problem.traceback)

    def _pull(self) -> None:
        """In a thread: fetch a task whenever there is room for one."""
        try:
            while not self._stopped.is_set():
                self._free.acquire()
                process = self._process
                try:
                    task_id, tag, content = self._manager.link.take_task(process, tags=self._tags)
                except UnknownToManager:
                    self._register_anew(process)
                    self._free.release()
                    continue
                assert isinstance(content, bytes), "parameters travel as bytes [this is a bug]"
                self._inbox.put((Ticket(task_id, next(self._numbers)), _Pulled(tag, content)))
        except Exception as error:  # noqa: BLE001  # the main thread must not wait for ever
            self._inbox.put((Ticket("", 0), _Over(error)))

    def _ping(self) -> None:
        """In a thread: say that we are alive, and come back if we were given up."""
        try:
            while not self._stopped.wait(self._period):
                process = self._process
                try:
                    self._manager.ping(process)
                except UnknownToManager:
                    self._register_anew(process)
        except Exception as error:  # noqa: BLE001  # as above
            self._inbox.put((Ticket("", 0), _Over(error)))

    def _register_anew(self, process: int) -> None:
        """Whatever we still have in hand is others' now."""
        with self._identity:
            if self._process == process and not self._stopped.is_set():
                self._process = self._manager.register_process(self._period, self._info)

    def _leave(self) -> None:
        """Report ended tasks and return unfinished ones, while the manager answers in time."""
        self._told.put(None)
        deadline = time.monotonic() + GOOD_BYE
        self._grace.wait(self._wait_until_left, deadline)
        self._manager.close()
        # The inbox stays open: a thread that is still on its way may ring it

    def _wait_until_left(self, seconds: float) -> bool:
        if not self._has_left:
            self._inbox.wait(seconds)
        return self._has_left
