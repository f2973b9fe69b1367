"""The task manager: it accepts requests, other processes pull them, and the requesters collect the results.

It starts no process. The queue is the kernel's plan: a request is a node, a pull takes its ticket, and a returned task
goes to the front. The kernel's leases say which process holds which ticket until when. The id of a pulled task contains
the number of its ticket, so a late answer of a process that was given up is recognized and refused.
"""
from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterator
from contextlib import suppress

from taskproc.errors import OptionError, UnknownToManager, WorkerDied
from taskproc.kernel.lease import Leases
from taskproc.kernel.limits import Limits, Line, Tags
from taskproc.kernel.model import Node, Reason, Returned, Stale, Ticket
from taskproc.kernel.plan import Plan
from taskproc.remote.requests import (
    PUBLIC,
    PulledTask,
    Request,
    TaskId,
    TaskResult,
    is_private,
    termination,
    unknown_process,
)
from taskproc.remote.waiting import Desk, StartedThread, Takers, start_watchdog

MOST_DEATHS = 3
_REQUESTED = Stale(Reason("requested", "it was requested"))

Counts = tuple[dict[str, int], dict[str, int], dict[str, int]]


class TaskManager:
    """Accepts task requests, gives them to other processes, stores their results, and knows which processes are alive.

    All methods may be called by many threads at once; for use over a network see `taskproc.remote.connect`. Methods
    that wait take a `timeout` in seconds and raise TimeoutError after it; with None they wait without a limit.

    Nothing is lost: results can be collected after `terminate`, each task has one answer that counts, and a task whose
    process disappears is run by another one. But after `most_deaths` processes have disappeared with a task, it has
    failed (WorkerDied), so that it does not end one process after another. Processes need not register; those that do
    not are not watched.

    Args:
        most_deaths: None: no limit.
        clock: the time in seconds; default: time.monotonic, and a thread that looks for missing pings. With another
            clock, call `check` to look for them.

    Attributes:
        takers: knows the tasks that no process takes.
    """

    def __init__(self, *, most_deaths: int | None = MOST_DEATHS, clock: Callable[[], float] | None = None):
        self._most_deaths = most_deaths
        self._clock, self._watches = clock or time.monotonic, clock is None
        self._lock, self._terminated = threading.Lock(), threading.Event()
        self._plan: Plan[str] = Plan(Tags())
        self._leases: Leases[str] = Leases()
        self._requests: dict[str, Request] = {}
        self._counts: Counter[str] = Counter()
        self._processes = 0
        self._info: dict[int, str] = {}
        self._private: set[int] = set()
        self._tasks_desk: Desk[PulledTask] = Desk(self._lock, self._take, self._untake)
        self._finished: dict[str, TaskResult] = {}
        self._results: Line[str] = Line(Limits({}))
        self._results_desk: Desk[TaskResult] = Desk(self._lock, self._pick, self._unpick)
        self._data: dict[str, object] = {}
        self.takers = Takers(self._lock, self._waiting)
        self._bell = threading.Event()
        self._watcher: StartedThread | None = None

    def add_task_request(
        self, tag: str, parameters: object, process_id: int | None = None, *, reply_tag: str | None = None
    ) -> str:
        """Request a task.

        Args:
            tag: the kind of task. Tasks whose tag begins with `_` are given only to processes that name the tag.
            process_id: the requester. If this process leaves, its requests with a private `reply_tag` are dropped.
            reply_tag: the tag under which the result is collected; default: `tag`.

        Returns:
            The id of the task, `tag_N`.

        Raises:
            TaskManagerTermination: after `terminate`.
        """
        with self._lock:
            self._refuse_if_terminated()
            reply_tag = reply_tag or tag
            if process_id is not None:
                self._beat(process_id)
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
    ) -> PulledTask:
        """Take the task that has waited longest. It counts as running from now on.

        Args:
            process_id: the process that runs it and proves by its pings that it is alive. Without one, the task goes to
                another process only after `return_task`.
            tags: the tags that the process can run; default: all that are not private.

        Returns:
            Task id, tag and parameters.
        """
        return self._get_task(PUBLIC if tags is None else frozenset(tags), process_id, timeout)

    def get_task_with_tag(
        self, tag: str, process_id: int | None = None, timeout: float | None = None
    ) -> tuple[str, object]:
        """Take the task of one tag that has waited longest: task id and parameters. Otherwise like `get_any_task`."""
        task_id, _, parameters = self._get_task(frozenset({tag}), process_id, timeout)
        return task_id, parameters

    def store_result(self, task_id: str, result: object) -> bool:
        """Report the result of a task.

        Args:
            task_id: as returned by `get_any_task`, which allows late answers to be recognized. An equal plain text is
                accepted while the task runs.

        Returns:
            False, and nothing changes, if the task has been taken from its process in the meantime.

        Raises:
            UnknownToManager: no such task runs.
        """
        return self._settle(task_id, result, None)

    def store_exception(self, task_id: str, exception: object, traceback: str) -> bool:
        """Report that a task raised, with the text of the traceback. Otherwise like `store_result`."""
        return self._settle(task_id, None, (exception, traceback))

    def return_task(self, task_id: str, *, died: str = "") -> bool:
        """Return a task that cannot be finished; it goes to the front of the queue. Otherwise like `store_result`.

        Args:
            died: how the worker of the task ended, if that is the reason; it counts as a death.
        """
        with self._lock:
            ticket = self._ticket_of(task_id)
            if ticket is None:
                return False
            self._give_back(ticket, died)
            self._tasks_desk.serve()
            return True

    def cancel_task(self, task_id: str) -> bool:
        """Drop a waiting task as if it had never been requested. False if it runs or has ended.

        A running task is not given to another process if its process dies or returns it; it has failed then.
        """
        with self._lock:
            request = self._requests.get(task_id)
            if request is None:
                return False
            if self._plan.state(task_id) != "ready":
                request.is_wanted = False
                return False
            self._drop(str(task_id))
            return True

    def get_any_result(self, timeout: float | None = None) -> tuple[str, str, object]:
        """Remove and return the oldest result: task id, tag and value.

        Raises:
            TaskRaisedException: the task raised.
            TaskManagerTermination: there is no result, and after `terminate` none will come.
        """
        finished = self.take_result(None, timeout)
        return finished.task_id, finished.tag, finished.result()

    def get_result_with_tag(self, tag: str, timeout: float | None = None) -> tuple[str, object]:
        """Remove and return the oldest result of one tag: task id and value. Otherwise like `get_any_result`."""
        finished = self.take_result(tag, timeout)
        return finished.task_id, finished.result()

    def take_result(self, tag: str | None, timeout: float | None = None) -> TaskResult:
        """Remove and return a result as it is stored, also of a task that raised; None: any tag that is not private."""
        among: Container[str] = PUBLIC if tag is None else frozenset({tag})
        with self._lock:
            finished = self._pick(among, None)
            if finished is None:
                self._refuse_if_terminated()  # only now, because existing results can still be collected
                finished = self._results_desk.wait(among, None, timeout)
            return finished

    def put_back_result(self, finished: TaskResult) -> None:
        """Undo `take_result`, because the process that asked did not receive the result."""
        with self._lock:
            self._unpick(finished)
            self._results_desk.serve()

    def register_process(self, watchdog_period: float | None = None, info: str | None = None) -> int:
        """Register a process and return its id. Call it first; the other methods take the id.

        Args:
            watchdog_period: the process promises a ping every `watchdog_period` seconds, and is given up after more
                than four periods without one. None: no pings are expected, so its death is not noticed.
            info: a description of the process for people.

        Raises:
            OptionError: the period is not above zero.
        """
        if watchdog_period is not None and not watchdog_period > 0:
            raise OptionError(f"watchdog_period must be more than 0 seconds, got {watchdog_period!r}")
        with self._lock:
            if watchdog_period is not None and self._watches:
                self._watch()  # first: without a watchdog the process must not be registered
            self._processes += 1
            self._leases.enter(self._processes, watchdog_period, self._clock())
            self._info[self._processes] = info or ""
            return self._processes

    def unregister_process(self, process_id: int) -> None:
        """Forget a process that leaves; its tasks go to the front of the queue. Raises UnknownToManager."""
        with self._lock:
            self._known(process_id)
            self._leave(process_id, self._leases.leave(process_id))

    def ping(self, process_id: int) -> None:
        """Report that a process is alive. Raises UnknownToManager if it was given up; it must register again."""
        with self._lock:
            self._beat(process_id)

    def number_of_active_processes(self) -> int:
        """The number of registered processes."""
        with self._lock:
            return len(self._leases)

    def active_process_info(self, process_id: int) -> str:
        """The `info` of a registered process; empty if it gave none. Raises UnknownToManager."""
        with self._lock:
            self._known(process_id)
            return self._info[process_id]

    def store_data(self, /, **data: object) -> None:
        """Store values by label, for all processes."""
        self._data.update(data)  # one step for all threads, as the two below: dict is atomic

    def retrieve_data(self, label: str) -> object:
        """The value stored as `label`. Raises UnknownToManager if there is none."""
        try:
            return self._data[label]
        except KeyError:
            raise UnknownToManager(f"no data is stored as {label!r}") from None

    def delete_data(self, label: str) -> None:
        """Remove the value stored as `label`. Raises UnknownToManager if there is none."""
        try:
            del self._data[label]
        except KeyError:
            raise UnknownToManager(f"no data is stored as {label!r}") from None

    def check(self) -> float | None:
        """Give up the processes whose pings are missing, and report tasks that no process takes.

        When a process is given up, its tasks with too many deaths have failed; the others go to the front of the queue.

        Returns:
            Seconds until the next check is needed; None: there is nothing to look for.
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
        """Tag → number of its waiting tasks, of its running tasks, and of its results. O(tasks)."""
        with self._lock:
            waiting, running = Counter[str](), Counter[str]()
            for task_id, request in self._requests.items():
                (waiting if self._plan.state(task_id) == "ready" else running)[request.tag] += 1
            results = Counter(finished.tag for finished in self._finished.values())
            return dict(waiting), dict(running), dict(results)

    def terminate(self) -> None:
        """End the work: processes that wait, or would have to wait, get TaskManagerTermination; so do new requests.

        Existing results can be collected, and running tasks answered; waiting tasks are not given out.
        """
        with self._lock:
            self._terminated.set()
            self._tasks_desk.dismiss(termination)
            self._results_desk.dismiss(termination)

    def wait_for_termination(self, timeout: float | None = None) -> bool:
        """Wait until `terminate` is called; False if it was not called within `timeout` seconds."""
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

    # The methods below are called with the lock held

    def _get_task(self, among: Container[str], process: int | None, timeout: float | None) -> PulledTask:
        with self._lock:
            self._refuse_if_terminated()
            if process is not None:
                self._beat(process)
            self.takers.takes(process, among)
            task = self._take(among, process)
            return self._tasks_desk.wait(among, process, timeout) if task is None else task

    def _take(self, among: Container[str], process: int | None) -> PulledTask | None:
        ticket = self._plan.take(among)
        if ticket is None:
            return None
        if process is not None:
            self._leases.grant(process, ticket)
        request = self._requests[ticket.key]
        return TaskId(ticket.key, ticket.number), request.tag, request.parameters

    def _untake(self, task: PulledTask) -> None:
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
        self._publish(TaskResult(*about, value, raised, request.requester))

    def _ticket_of(self, task_id: str) -> Ticket[str] | None:
        """The ticket by which a task runs, if `task_id` was pulled with it."""
        number = task_id.number if isinstance(task_id, TaskId) else 0
        ticket = self._plan.ticket(task_id) if task_id in self._requests else None
        if ticket is None and not number:
            raise UnknownToManager(f"task {str(task_id)!r} does not run: it waits, has ended, or was never requested")
        return ticket if ticket is not None and number in (0, ticket.number) else None

    def _give_back(self, ticket: Ticket[str], died: str = "") -> None:
        request = self._requests[ticket.key]
        request.deaths += bool(died)
        if not request.is_wanted:
            text = f"task {ticket.key!r} was cancelled, and the worker that had started it did not finish it"
            self._end(ticket, None, (WorkerDied(text), ""))
        elif died and self._most_deaths is not None and request.deaths >= self._most_deaths:
            text = f"{request.deaths} workers died with task {ticket.key!r}, so it is not run again; {died}"
            self._end(ticket, None, (WorkerDied(text), ""))
        else:
            self._leases.release(ticket)
            self._plan.settle(ticket, Returned(), 0.0)

    def _drop(self, task_id: str) -> None:
        """Forget a waiting or running task."""
        ticket = self._plan.ticket(task_id)
        if ticket is not None:
            self._leases.release(ticket)
            self._plan.give_back(ticket)
        self._plan.forget(task_id)
        del self._requests[task_id]

    def _leave(self, process: int, tickets: tuple[Ticket[str], ...], died: str = "") -> None:
        """A process has left, in order or not: return its tasks, and drop its private requests."""
        for ticket in reversed(tickets):
            self._give_back(ticket, died)
        del self._info[process]
        self._tasks_desk.dismiss(lambda: unknown_process(process), process)
        if process in self._private:
            self._private.remove(process)
            self._drop_private(process)
        self._tasks_desk.serve()
        if self.takers.leaves(process, self._clock()):
            self._look_soon()

    def _drop_private(self, process: int) -> None:
        """Drop the tasks whose results only that process could have collected."""
        for key, request in list(self._requests.items()):
            if request.requester == process and is_private(request.reply_tag):
                self._drop(key)
        self._drop_private_results(process)

    def _beat(self, process: int) -> None:
        self._known(process)
        self._leases.beat(process, self._clock())

    def _known(self, process: int) -> None:
        if process not in self._leases:
            raise unknown_process(process)

    def _waiting(self) -> Iterator[tuple[str, str]]:
        """Tag and reply tag of each waiting task."""
        for task_id, request in self._requests.items():
            if self._plan.state(task_id) == "ready":
                yield request.tag, request.reply_tag

    def _look_soon(self) -> None:
        """Wake the watchdog for a report; if no thread can be started, nothing is lost."""
        if self._watches:
            with suppress(RuntimeError, MemoryError):
                self._watch()

    def _watch(self) -> None:
        self._bell.set()
        if self._watcher is None:
            self._watcher = start_watchdog(self, self._bell)

    def _publish(self, finished: TaskResult) -> None:
        self._finished[finished.task_id] = finished
        self._results.join(finished.task_id, (finished.reply_tag,))
        self._results_desk.serve()

    def _pick(self, among: Container[str], _: int | None) -> TaskResult | None:
        task_id = self._results.next(among)
        if task_id is None:
            return None
        finished = self._finished.pop(task_id)
        self._results.leave(task_id, (finished.reply_tag,))
        return finished

    def _unpick(self, finished: TaskResult) -> None:
        self._finished[finished.task_id] = finished
        self._results.join(finished.task_id, (finished.reply_tag,), first=True)

    def _drop_private_results(self, process: int) -> None:
        """Drop the results that only that process could have collected."""
        for finished in list(self._finished.values()):
            if finished.requester == process and is_private(finished.reply_tag):
                del self._finished[finished.task_id]
                self._results.leave(finished.task_id, (finished.reply_tag,))

    def _refuse_if_terminated(self) -> None:
        if self._terminated.is_set():
            raise termination()
