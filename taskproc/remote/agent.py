"""A remote worker: pulls tasks from a task manager, runs them in worker processes, and reports how they ended.

Tasks run in resident workers (run/resident.py). So a task that kills its process, or holds the interpreter for an hour,
does not affect the agent, whose pings go on. The death of a worker process is reported at once, and its task returned.
The thread that calls `run` waits only in its inbox, where a signal reaches it. Other threads talk to the manager, which
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
from taskproc.remote.calls import TaskFunctions, pack_raised
from taskproc.remote.client import RemoteTaskManager
from taskproc.run.group import Grace
from taskproc.run.inbox import Inbox
from taskproc.run.kinds import Kind, KindJob
from taskproc.run.problem import rebuild
from taskproc.run.resident import ResidentRunner
from taskproc.run.runner import Ending

PERIOD = 5.0   # seconds between two pings
GOOD_BYE = 3.0  # seconds for the last reports to the manager


@frozen
class _Pulled:
    """A task was pulled from the manager."""

    tag: str
    content: bytes


@frozen
class _Answered:
    """The end of a task was reported to the manager."""


@frozen
class _Over:
    """No more tasks will come, because of `error`."""

    error: Exception


_Done = tuple[str, bytes, str]  # how a task ended: see TaskFunctions
_News = Union[_Done, _Pulled, _Answered, _Over]


class Agent:
    """Runs tasks of `tags` with the functions of a module until the manager is terminated or cannot be reached.

    Args:
        module: the name of the module with a function `do_TAG` for each tag.
        jobs: the number of tasks that run at the same time.
        period: seconds between two pings.
        inbox: where `run` waits; when it is rung, `run` checks whether it is to end.
        grace: how long the processes of tasks may take to end, and how long the last reports may take.

    Attributes:
        done: the number of tasks whose result or exception was reported.

    Raises:
        ManagerUnreachable: the manager does not answer.
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
        # The state of modules stays from task to task, as in a worker that was written by hand
        self._runner: ResidentRunner[str, _News] = ResidentRunner(self._inbox, jobs, grace=self._grace, keeps=True)
        self._free = threading.Semaphore(jobs)
        self._numbers = count(1)
        self._in_hand: set[int] = set()
        self._endings: SimpleQueue[tuple[Ticket[str], _Done | Failed] | None] = SimpleQueue()
        self._stopped = threading.Event()
        self._has_left = False
        self._identity = threading.Lock()
        self._info = f"worker on {socket.gethostname()}, process {os.getpid()}, {jobs} at a time: {', '.join(tags)}"
        self._process = manager.register_process(period, self._info)
        self.done = 0

    def run(self, is_to_end: Callable[[], bool] = lambda: False) -> None:
        """Pull and run tasks until the manager is terminated or `is_to_end()`.

        After `terminate` of the manager, tasks that were pulled are finished. If `is_to_end()`, they are returned.

        Args:
            is_to_end: called after each event and whenever the inbox is rung.

        Raises:
            ManagerUnreachable: the manager cannot be reached any more.
        """
        try:
            for work in (self._report, self._pull, self._ping):
                threading.Thread(target=work, name="taskproc-agent", daemon=True).start()
            self._work(is_to_end)
        finally:
            self._stopped.set()
            self._runner.stop()
            self._leave()

    def _work(self, is_to_end: Callable[[], bool]) -> None:
        last: Exception | None = None
        while not is_to_end() and (last is None or self._in_hand):
            for ticket, report in self._runner.wait(None):
                if isinstance(report, _Over):
                    last = last or report.error
                elif isinstance(report, _Pulled):
                    self._begin(ticket, report)
                elif isinstance(report, _Answered):
                    self._in_hand.discard(ticket.number)
                    self._free.release()
                elif not isinstance(report, Returned):  # nothing is ever recalled
                    self._endings.put((ticket, report))
            if last is not None and not isinstance(last, TaskManagerTermination):
                raise last

    def _begin(self, ticket: Ticket[str], pulled: _Pulled) -> None:
        self._in_hand.add(ticket.number)
        task = pickle.dumps((str(ticket.key), pulled.tag, pulled.content), 5)
        self._runner.start(ticket, KindJob(self._kind, task))

    def _report(self) -> None:
        """In a thread: report how tasks ended, and unregister after the last one. If that fails, the missing pings tell
        the manager."""
        try:
            while (ending := self._endings.get()) is not None:
                self._answer(*ending)
                self._inbox.put((ending[0], _Answered()))
            self._manager.unregister_process(self._process)
        except Exception as error:  # noqa: BLE001  # the main thread must not wait for ever
            self._inbox.put((Ticket("", 0), _Over(error)))
        finally:
            self._has_left = True
            self._inbox.ring()

    def _answer(self, ticket: Ticket[str], ending: _Done | Failed) -> None:
        """Report how a task ended. A late answer is refused by the manager, which loses nothing."""
        if not isinstance(ending, Failed):
            kind, content, traceback = ending
            if kind == "result":
                self._manager.link.store_result(ticket.key, content)
            else:
                self._manager.link.store_exception(ticket.key, content, traceback)
            self.done += 1
        elif ending.problem.kind in {"died", "limit"}:
            self._manager.return_task(ticket.key, died=ending.problem.text)
        else:
            content = pack_raised(rebuild(ending.problem))
            self._manager.link.store_exception(ticket.key, content, ending.problem.traceback)

    def _pull(self) -> None:
        """In a thread: fetch a task whenever there is room for one."""
        try:
            while not self._stopped.is_set():
                self._free.acquire()
                process = self._process
                try:
                    task_id, tag, content = self._manager.link.take_task(process, tags=self._tags)
                except UnknownToManager:
                    self._register_again(process)
                    self._free.release()
                    continue
                assert isinstance(content, bytes), "parameters travel as bytes [this is a bug]"
                self._inbox.put((Ticket(task_id, next(self._numbers)), _Pulled(tag, content)))
        except Exception as error:  # noqa: BLE001  # the main thread must not wait for ever
            self._inbox.put((Ticket("", 0), _Over(error)))

    def _ping(self) -> None:
        """In a thread: send pings, and register again if the manager has given this process up."""
        try:
            while not self._stopped.wait(self._period):
                process = self._process
                try:
                    self._manager.ping(process)
                except UnknownToManager:
                    self._register_again(process)
        except Exception as error:  # noqa: BLE001  # as above
            self._inbox.put((Ticket("", 0), _Over(error)))

    def _register_again(self, process: int) -> None:
        """The tasks that this process still runs belong to other processes now."""
        with self._identity:
            if self._process == process and not self._stopped.is_set():
                self._process = self._manager.register_process(self._period, self._info)

    def _leave(self) -> None:
        """Report ended tasks and return unfinished ones, until GOOD_BYE has passed."""
        self._endings.put(None)
        deadline = time.monotonic() + GOOD_BYE
        self._grace.wait(self._wait_until_left, deadline)
        self._manager.close()
        # The inbox stays open, because a thread that has not ended may still ring it

    def _wait_until_left(self, seconds: float) -> bool:
        if not self._has_left:
            self._inbox.wait(seconds)
        return self._has_left
