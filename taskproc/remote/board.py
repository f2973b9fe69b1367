"""The task manager: requests come in, other processes pull them, and what comes of them is got by whoever asked.

It starts nothing and decides nothing of its own. The queue is the kernel's plan: a request is a node, a pull takes it,
and what is returned goes to the front. Who holds what until when are the kernel's leases. A task id that was pulled
knows the number of its ticket, so the late answer of a process that was given up is told from the one that counts.
"""
from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterator
from contextlib import suppress

from taskproc.errors import OptionError, UnknownToManager, WorkerDied
from taskproc.kernel.lease import Leases
from taskproc.kernel.limits import Tags
from taskproc.kernel.model import Node, Reason, Returned, Stale, Ticket
from taskproc.kernel.plan import Plan
from taskproc.remote import watchdog
from taskproc.remote.blackboard import Blackboard
from taskproc.remote.desk import Desk
from taskproc.remote.nouns import PUBLIC, Finished, Request, Task, TaskId, is_private, termination, unknown
from taskproc.remote.results import Results
from taskproc.remote.spawn import Spawned
from taskproc.remote.takers import Takers

MOST_DEATHS = 3
_REQUESTED = Stale(Reason("requested", "it was requested"))

Counts = tuple[dict[str, int], dict[str, int], dict[str, int]]


class TaskManager(Blackboard, Results):
    """Accepts task requests, hands them to other processes, keeps their results, and knows which processes live.

    All methods may be called by many threads at once; over a network see `taskproc.remote.connect`. Those that wait
    take a `timeout` in seconds, after which they raise TimeoutError; None waits as long as it takes.
    Nothing is lost: results that are there can be got after `terminate`, an answer counts once, and a task whose
    process disappears is done by another one. But one with which `most_deaths` processes have disappeared counts as
    raised (WorkerDied), or it would take down one after another. Who gives no number of a process is served, too.

    Attributes:
        takers: tells for which tasks there is no worker.

    Args:
        most_deaths: None: no bound.
        clock: tells the seconds; default: time.monotonic, and a thread that looks for missed pings. With another one
            nobody looks unless `check` is called.
    """

    def __init__(self, *, most_deaths: int | None = MOST_DEATHS, clock: Callable[[], float] | None = None):
        Blackboard.__init__(self)
        Results.__init__(self, threading.Lock(), threading.Event())
        self._most_deaths = most_deaths
        self._clock, self._watches = clock or time.monotonic, clock is None
        self._plan: Plan[str] = Plan(Tags())
        self._leases: Leases[str] = Leases()
        self._requests: dict[str, Request] = {}
        self._counts: Counter[str] = Counter()
        self._processes = 0
        self._info: dict[int, str] = {}
        self._private: set[int] = set()
        self._tasks_desk: Desk[Task] = Desk(self._lock, self._take, self._untake)
        self.takers = Takers(self._lock, self._waiting)
        self._bell = threading.Event()
        self._watcher: Spawned | None = None

    def add_task_request(
        self, tag: str, parameters: object, process_id: int | None = None, *, reply_tag: str | None = None
    ) -> str:
        """Ask for a task; its id, `tag_N`. TaskManagerTermination after `terminate`.

        Args:
            tag: what kind of task it is. Tags that begin with `_` are given only to those who name them.
            process_id: who asks. If that process leaves, what it asked for under a private `reply_tag` is dropped.
            reply_tag: the tag under which the result is got; default: `tag`.
        """
        with self._lock:
            self._refuse_if_terminated()
            reply_tag = reply_tag or tag
            if process_id is not None:
                self._hear(process_id)
                if is_private(reply_tag):
                    self._private.add(process_id)
            self._counts[tag] += 1
            task_id = f"{tag}_{self._counts[tag]}"
            self._requests[task_id] = Request(tag, parameters, process_id, reply_tag)
            self._plan.add(Node(task_id, (), (tag,)))
            self._plan.judge(task_id, _REQUESTED, 0.0)
            self._tasks_desk.serve()
            if self.takers.waits(tag, self._clock()):
                self._look_soon()
            return task_id

    def get_any_task(
        self, process_id: int | None = None, timeout: float | None = None, *, tags: Collection[str] | None = None
    ) -> Task:
        """The task that waits longest: id, tag and parameters. It runs from now on.

        Args:
            process_id: who takes it, and answers for it by its pings; without one it is nobody's, and is given to
                another only by `return_task`.
            tags: those that the process can do; default: any but the private ones.
        """
        return self._get_task(PUBLIC if tags is None else frozenset(tags), process_id, timeout)

    def get_task_with_tag(
        self, tag: str, process_id: int | None = None, timeout: float | None = None
    ) -> tuple[str, object]:
        """The same among those of one tag: id and parameters."""
        task_id, _, parameters = self._get_task(frozenset({tag}), process_id, timeout)
        return task_id, parameters

    def store_result(self, task_id: str, result: object) -> bool:
        """Tell what came of a task. False, and nothing changes, if the task was taken from who held it meanwhile.

        That is known by the id as it was got; one that was made of plain text is believed as long as the task runs.
        UnknownToManager if no such task runs.
        """
        return self._settle(task_id, result, None)

    def store_exception(self, task_id: str, exception: object, traceback: str) -> bool:
        """Tell that a task raised, with the text of the traceback; otherwise as `store_result`."""
        return self._settle(task_id, None, (exception, traceback))

    def return_task(self, task_id: str, *, died: str = "") -> bool:
        """Put a task back, before all others that wait: its process cannot do it. Answers as `store_result`.

        Args:
            died: what became of who did it, if that is why; it counts as a death.
        """
        with self._lock:
            ticket = self._ticket_of(task_id)
            if ticket is None:
                return False
            self._give_back(ticket, died)
            self._tasks_desk.serve()
            return True

    def cancel_task(self, task_id: str) -> bool:
        """Drop a task that waits, as if it had never been asked for. False if it runs, or has ended.

        One that runs is not given to another if who has it dies or gives it back: it counts as raised then.
        """
        with self._lock:
            request = self._requests.get(task_id)
            if request is None:
                return False
            if self._plan.state(task_id) != "ready":
                request.wanted = False
                return False
            self._drop(str(task_id))
            return True

    def register_process(self, watchdog_period: float | None = None, info: str | None = None) -> int:
        """Take up a process; its number. What has one is the first call of a process that shall be known.

        Args:
            watchdog_period: it promises a ping every so many seconds, and is given up when none came for more than
                four of these. None: no pings are expected, so its death goes unseen.
            info: what it is and where, for people.
        """
        if watchdog_period is not None and not watchdog_period > 0:
            raise OptionError(f"watchdog_period must be more than 0 seconds, got {watchdog_period!r}")
        with self._lock:
            if watchdog_period is not None and self._watches:
                self._watch()  # first: whom nobody would look after is not taken up
            self._processes += 1
            self._leases.enter(self._processes, watchdog_period, self._clock())
            self._info[self._processes] = info or ""
            return self._processes

    def unregister_process(self, process_id: int) -> None:
        """Forget a process that leaves; the tasks that it holds go to the front of those that wait."""
        with self._lock:
            self._known(process_id)
            self._leave(process_id, self._leases.leave(process_id))

    def ping(self, process_id: int) -> None:
        """A process says that it is alive. UnknownToManager: it was given up, and must register anew."""
        with self._lock:
            self._hear(process_id)

    def number_of_active_processes(self) -> int:
        """How many processes are registered."""
        with self._lock:
            return len(self._leases)

    def active_process_info(self, process_id: int) -> str:
        """What a process has said of itself; empty if nothing."""
        with self._lock:
            self._known(process_id)
            return self._info[process_id]

    def check(self) -> float | None:
        """Give up the processes that have missed their pings, and report tasks for which there is no worker.

        The seconds until the next look; None: there is nothing to look for. A process that was given up takes with it
        the tasks that have seen too many deaths, all others go to the front.
        """
        with self._lock:
            now = self._clock()
            for process, tickets in self._leases.expire(now):
                self._leave(process, tickets, f"process {process} missed its pings")
            looks = [self._leases.next_look()]
            if not self._terminated.is_set():
                self.takers.report(now)
                looks.append(self.takers.next_look())
            look = min((look for look in looks if look is not None), default=None)
            if look is None:
                self._watcher = None
                return None
            return max(0.0, look - now)

    def number_of_tasks(self) -> Counts:
        """How many tasks wait and run, and how many results are there, each by tag. O(tasks)."""
        with self._lock:
            waiting, running = Counter[str](), Counter[str]()
            for task_id, request in self._requests.items():
                (waiting if self._plan.state(task_id) == "ready" else running)[request.tag] += 1
            return dict(waiting), dict(running), dict(Counter(each.tag for each in self._finished.values()))

    def terminate(self) -> None:
        """Nothing more is wanted: who waits gets TaskManagerTermination, and so does who would have to, or asks anew.

        Results that are there can still be got, and what runs can still be answered; what waits is not given out.
        """
        with self._lock:
            self._terminated.set()
            self._tasks_desk.dismiss(termination)
            self._results_desk.dismiss(termination)

    def wait_for_termination(self, timeout: float | None = None) -> bool:
        """Wait until `terminate` was called; False: it was not, within so many seconds."""
        return self._terminated.wait(timeout)

    def validate(self) -> None:
        """AssertionError unless every invariant holds: for tests."""
        with self._lock:
            self._plan.validate()
            self._leases.validate()
            states = {self._plan.state(task_id) for task_id in self._requests}
            assert len(self._plan) == len(self._requests), "a node without a request [this is a bug]"
            assert states <= {"ready", "running"}, f"{states} [this is a bug]"
            assert sorted(self._finished) == sorted(key for key, _ in self._results), "not all in line [this is a bug]"
            assert set(self._info) >= self._private, "of a process that is gone [this is a bug]"

    # Below here the lock is held

    def _get_task(self, among: Container[str], process: int | None, timeout: float | None) -> Task:
        with self._lock:
            self._refuse_if_terminated()
            if process is not None:
                self._hear(process)
            self.takers.takes(process, among)
            found = self._take(among, process)
            return self._tasks_desk.wait(among, process, timeout) if found is None else found

    def _take(self, among: Container[str], process: int | None) -> Task | None:
        ticket = self._plan.take(among)
        if ticket is None:
            return None
        if process is not None:
            self._leases.grant(process, ticket)
        request = self._requests[ticket.key]
        return TaskId(ticket.key, ticket.number), request.tag, request.parameters

    def _untake(self, task: Task) -> None:
        ticket = self._ticket_of(task[0])
        if ticket is not None:
            self._give_back(ticket)
            self._tasks_desk.serve()

    def _settle(self, task_id: str, value: object, raised: tuple[object, str] | None) -> bool:
        with self._lock:
            ticket = self._ticket_of(task_id)
            if ticket is None:
                return False
            self._end(ticket, value, raised)
            return True

    def _end(self, ticket: Ticket[str], value: object, raised: tuple[object, str] | None) -> None:
        request = self._requests[ticket.key]
        self._drop(ticket.key)
        about = (ticket.key, request.tag, request.reply_tag)
        self._publish(Finished(*about, value, raised, request.requester))

    def _ticket_of(self, task_id: str) -> Ticket[str] | None:
        """The ticket by which a task runs, if it is the one that `task_id` was got with."""
        number = task_id.number if isinstance(task_id, TaskId) else 0
        ticket = self._plan.ticket(task_id) if task_id in self._requests else None
        if ticket is None and not number:
            raise UnknownToManager(f"task {str(task_id)!r} does not run: it waits, or has ended, or never was")
        return ticket if ticket is not None and number in (0, ticket.number) else None

    def _give_back(self, ticket: Ticket[str], died: str = "") -> None:
        request = self._requests[ticket.key]
        request.deaths += bool(died)
        if not request.wanted:
            text = f"task {ticket.key!r} was called off, and not finished by the worker that had begun it"
            self._end(ticket, None, (WorkerDied(text), ""))
        elif died and self._most_deaths is not None and request.deaths >= self._most_deaths:
            text = f"{request.deaths} workers died with task {ticket.key!r}, so it is not given to another; {died}"
            self._end(ticket, None, (WorkerDied(text), ""))
        else:
            self._leases.release(ticket)
            self._plan.settle(ticket, Returned(), 0.0)

    def _drop(self, task_id: str) -> None:
        """Forget a task that waits or runs."""
        ticket = self._plan.ticket(task_id)
        if ticket is not None:
            self._leases.release(ticket)
            self._plan.give_back(ticket)
        self._plan.forget(task_id)
        del self._requests[task_id]

    def _leave(self, process: int, tickets: tuple[Ticket[str], ...], died: str = "") -> None:
        """A process has left, in order or not: nobody else holds what it held, and nobody gets what it asked for."""
        for ticket in reversed(tickets):
            self._give_back(ticket, died)
        del self._info[process]
        self._tasks_desk.dismiss(lambda: unknown(process), process)
        if process in self._private:
            self._private.remove(process)
            self._drop_private(process)
        self._tasks_desk.serve()
        if self.takers.leaves(process, self._clock()):
            self._look_soon()

    def _drop_private(self, process: int) -> None:
        """What only that process could have got."""
        for key, request in list(self._requests.items()):
            if request.requester == process and is_private(request.reply_tag):
                self._drop(key)
        self._drop_private_results(process)

    def _hear(self, process: int) -> None:
        self._known(process)
        self._leases.beat(process, self._clock())

    def _known(self, process: int) -> None:
        if process not in self._leases:
            raise unknown(process)

    def _waiting(self) -> Iterator[tuple[str, str]]:
        """Tag, and that of the reply, of each task that waits."""
        for task_id, request in self._requests.items():
            if self._plan.state(task_id) == "ready":
                yield request.tag, request.reply_tag

    def _look_soon(self) -> None:
        """For a report, so it is no harm if there is no thread for it."""
        if self._watches:
            with suppress(RuntimeError, MemoryError):
                self._watch()

    def _watch(self) -> None:
        self._bell.set()
        if self._watcher is None:
            self._watcher = watchdog.start(self, self._bell)
