"""A runner with worker processes of our own: started when needed, kept from job to job, blamed one by one.

A worker is a fresh interpreter, not a fork: no thread, lock or random state of the main process is in it. It leads a
session of its own, so that it can be killed with all its children, and it holds a lifeline (lifeline.py), so that it
does not outlive the main process. When one dies, exactly the job that it had begun is the one that died.
"""
from __future__ import annotations

import os
import pickle
import signal
import time
import weakref
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Generic, TypeVar, cast

from taskproc.errors import OptionError
from taskproc.kernel.model import Failed, Outcome, Problem, Ticket
from taskproc.run.base import Ending, Job
from taskproc.run.cpus import available_cpus
from taskproc.run.group import GRACE, Exit, Grace
from taskproc.run.inbox import Inbox
from taskproc.run.problem import death_text, exit_text, problem_of, sentence
from taskproc.run.process import Parcel, Worker
from taskproc.run.setup import load
from taskproc.run.timeout import timed_out, timeout_of
from taskproc.run.wire import BEGAN, LEAVING, READY

K = TypeVar("K", bound=Hashable)

MOST_TRIES = 3
DEAF_FOR = 0.5  # seconds after which a worker that has closed its end of the channel is taken for lost
THREADS_OF_BLAS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class ResidentRunner(Generic[K]):
    """At most `workers` processes, each with one job at a time; by default as many as there are processors for us.

    A job must pickle with plain `pickle`. What it changes in its process (working directory, environment variables,
    signal handlers, limits) is put back after it; if it leaves children running the process is replaced, and they end
    with it. BLAS libraries get a fair share of the threads unless the user has set it.
    """

    def __init__(self, inbox: Inbox[Ending[K]], workers: int | None = None, *, grace: Grace | None = None):
        if os.name != "posix":
            raise OptionError("worker processes of our own need POSIX. Pass an executor, such as ThreadPoolExecutor()")
        if workers is not None and workers < 1:
            raise OptionError(f"number of workers must be at least 1, got {workers!r}")
        self._inbox = inbox
        self._count = workers or available_cpus()
        self._workers: list[Worker[K]] = []
        self._waiting: deque[Parcel[K]] = deque()
        self._stopped = False
        self._pid = os.getpid()
        self._grace = grace or Grace()
        self._at_exit = weakref.finalize(self, _end_all, self._workers, self._pid, self._grace)

    def capacity(self) -> int:
        """The number of workers, started or not."""
        return self._count

    def start(self, ticket: Ticket[K], job: Job[K]) -> None:
        """Give `job` to an idle worker, or to a new one, or let it wait for one."""
        if self._stopped:
            self._fail(ticket, Problem("died", "the runner has been stopped"))
            return
        try:
            content = pickle.dumps(job, 5)
        except Exception as error:  # noqa: BLE001  # the user's classes take part
            problem = problem_of(error, pickled=False)
            text = f"the job cannot be sent to a worker process: {problem.text}"
            self._fail(ticket, Problem("exception", text, problem.traceback, error))
            return
        self._waiting.append(Parcel(ticket, content, timeout_of(job)))
        self._feed()

    def wait(self, timeout: float | None) -> Sequence[Ending[K]]:
        """What has come into the inbox; the workers are listened to meanwhile."""
        return self._inbox.wait(timeout)

    def stop(self) -> None:
        """Kill what runs, with its children; let idle workers go. Within the grace; Ctrl-C ends that."""
        self._stopped = True
        self._waiting.clear()
        if os.getpid() != self._pid:
            return  # a fork of the main process has the same inbox and the same workers, and neither is its own
        for worker in self._workers:
            self._inbox.unwatch(worker.channel)
            self._inbox.unwatch(worker.exit)
            _call_off(worker)
        _end_all(self._workers, self._pid, self._grace)
        self._at_exit.detach()

    def _feed(self) -> None:
        while self._waiting:
            worker = next((each for each in self._workers if each.parcel is None and not each.leaves), None)
            if worker is None and len(self._workers) >= self._count:
                return
            parcel = self._waiting.popleft()
            try:
                (worker or self._hire()).give(parcel)
            except OSError as error:
                self._fail(parcel.ticket, Problem("died", f"no worker process could be started: {sentence(error)}"))

    def _hire(self) -> Worker[K]:
        worker: Worker[K] = Worker(share_of_threads(self._count, os.environ))
        self._workers.append(worker)
        self._inbox.watch(worker.channel, lambda: self._hear(worker))
        self._inbox.watch(worker.exit, lambda: self._bury(worker))
        return worker

    def _hear(self, worker: Worker[K]) -> None:
        for message in worker.read():
            if message == READY:
                worker.ready = True
            elif message == LEAVING:
                worker.leaves = True
            elif worker.parcel is not None and message == BEGAN:
                self._set_alarm(worker, worker.parcel.timeout or 0.0, self._expire)
            elif worker.parcel is not None:
                self._end(worker, worker.parcel, _outcome(message))
        if worker.deaf:
            self._inbox.unwatch(worker.channel)
            if worker.parcel is not None and not worker.expired and not worker.gone.is_set():
                # It is dying, or the job has taken its process for something else (exec), or closed what is not its own
                self._set_alarm(worker, DEAF_FOR, _give_up)
        self._feed()

    def _end(self, worker: Worker[K], parcel: Parcel[K], outcome: Outcome[K]) -> None:
        worker.parcel = None
        _call_off(worker)
        if worker.expired:
            worker.leaves = True
            worker.signal(signal.SIGKILL)  # what was to end with it may have heard TERM and gone on
            if isinstance(outcome, Failed) and parcel.timeout is not None:
                outcome = timed_out(parcel.timeout)
        self._inbox.put((parcel.ticket, outcome))

    def _expire(self, worker: Worker[K]) -> None:
        worker.expired = True
        worker.signal(signal.SIGTERM)
        self._set_alarm(worker, GRACE, Worker.signal)

    def _set_alarm(self, worker: Worker[K], seconds: float, action: Callable[[Worker[K]], None]) -> None:
        _call_off(worker)
        worker.alarm = self._inbox.call_at(time.monotonic() + seconds, partial(action, worker))

    def _bury(self, worker: Worker[K]) -> None:
        """It is dead, but what it had said before still counts."""
        self._workers.remove(worker)  # first, or it would be fed
        _call_off(worker)
        self._hear(worker)
        self._inbox.unwatch(worker.channel)
        self._inbox.unwatch(worker.exit)
        parcel = worker.parcel
        began, said = worker.began(), worker.last_words()
        end = worker.close()
        if parcel is not None:
            self._blame(worker, parcel, began, end, said)
        self._feed()

    def _blame(self, worker: Worker[K], parcel: Parcel[K], began: bool, end: Exit, said: str) -> None:
        if not worker.ready:
            text = f"no worker process could be started: {' '.join(worker.command)} {exit_text(end.code)}"
            self._fail(parcel.ticket, Problem("died", f"{text}\n{said}".rstrip(), exit_code=end.code))
        elif worker.expired and parcel.timeout is not None:
            self._inbox.put((parcel.ticket, timed_out(parcel.timeout, end)))
        elif began or parcel.tries + 1 >= MOST_TRIES:
            text = f"its worker process {death_text(end)}"
            if worker.silent:
                text = "its worker process closed its end of the channel (exec, or all descriptors closed)"
            self._fail(parcel.ticket, Problem("died", text, exit_code=end.code, memory=end.memory))
        else:
            parcel.tries += 1
            self._waiting.appendleft(parcel)

    def _fail(self, ticket: Ticket[K], problem: Problem) -> None:
        self._inbox.put((ticket, Failed(problem)))


def share_of_threads(workers: int, environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` with a bound for the threads of BLAS libraries, so that all workers together have one per processor."""
    share = str(max(1, available_cpus() // workers))
    return {**dict.fromkeys(THREADS_OF_BLAS, share), **environ}


def _give_up(worker: Worker[K]) -> None:
    worker.silent = True
    worker.signal(signal.SIGKILL)


def _call_off(worker: Worker[K]) -> None:
    if worker.alarm is not None:
        worker.alarm.call_off()


def _end_all(workers: list[Worker[K]], pid: int, grace: Grace) -> None:
    """End them all, within the grace; also at the exit of the interpreter, but not in a fork of it."""
    if os.getpid() != pid:
        return
    for worker in workers:
        worker.dismiss()
    try:
        deadline = time.monotonic() + GRACE
        for worker in workers:
            grace.wait(worker.gone.wait, deadline)
    finally:
        while workers:
            workers.pop().close()


def _outcome(message: bytes) -> Outcome[K]:
    try:
        return cast("Outcome[K]", load(message))
    except Exception as error:  # noqa: BLE001  # the user's classes take part
        return Failed(Problem("exception", f"the outcome of the job could not be unpickled: {sentence(error)}"))
