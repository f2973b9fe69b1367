"""A runner with worker processes of our own: started when needed, kept from job to job, blamed one by one.

A worker is a fresh interpreter, not a fork: no thread, lock or random state of the main process is in it. It leads a
session of its own, so that it can be killed with all its children, and it holds a lifeline (lifeline.py), so that it
does not outlive the main process. Which worker has what is decided in dispatch.py, which also has the theory; here are
the sockets, processes and alarms.
"""
from __future__ import annotations

import logging
import os
import pickle
import signal
import time
import weakref
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Generic, TypeVar, cast

from taskproc.errors import OptionError
from taskproc.kernel.model import Failed, Outcome, Problem, Returned, Ticket
from taskproc.machine import available_cpus, share_of_threads
from taskproc.pickling import load
from taskproc.run import ahead
from taskproc.run.base import Ending, Job
from taskproc.run.dispatch import Burial, Dispatch, Give, Hire, Parcel
from taskproc.run.group import GRACE, Exit, Grace
from taskproc.run.inbox import Alarm, Inbox
from taskproc.run.kinds import KindJob
from taskproc.run.pace import WINDOW
from taskproc.run.problem import death_text, exit_text, problem_of, sentence
from taskproc.run.process import Worker, framed
from taskproc.run.scarce import is_scarce, limit_problem, limit_text, tells_scarcity
from taskproc.run.setup import Setup
from taskproc.run.steps import Part
from taskproc.run.timeout import is_alone, timed_out, timeout_of
from taskproc.run.wire import ANSWER, BEGAN, LEAVING, MARK, PART, PLAIN, READY, REFUSED, SECONDS

K = TypeVar("K", bound=Hashable)
logger = logging.getLogger("taskproc")

DEAF_FOR = 0.5  # seconds after which a worker that has closed its end of the channel is taken for lost


class ResidentRunner(Generic[K]):
    """At most `workers` processes, each with one job at a time; by default as many as there are processors for us.

    Jobs of a kind (KindJob) that take very little are sent many at a time, and called back from a worker that is held
    up by one of them while another has nothing to do. Any other job must pickle with plain `pickle`.

    What a job changes in its process (working directory, environment variables, signal handlers, limits) is put back
    after it; if it leaves children running the process is replaced, and they end with it. BLAS libraries get a fair
    share of the threads unless the user has set it.

    Args:
        grace: how long what is to end may take.
        keeps: nothing is put back, children may stay, and what is printed goes where this process prints: for
            workers that belong to one kind until they end.
        beside: how many workers of others compute beside these, and get a share of the threads of BLAS.
    """

    def __init__(
        self,
        inbox: Inbox[Ending[K]],
        workers: int | None = None,
        *,
        grace: Grace | None = None,
        keeps: bool = False,
        beside: int = 0,
    ):
        if os.name != "posix":
            raise OptionError("worker processes of our own need POSIX. Pass an executor, such as ThreadPoolExecutor()")
        if workers is not None and workers < 1:
            raise OptionError(f"number of workers must be at least 1, got {workers!r}")
        self._inbox = inbox
        self._keeps, self._beside = keeps, beside
        self._dispatch: Dispatch[K] = Dispatch(workers or available_cpus())
        self._workers: dict[int, Worker] = {}
        self._alarms: dict[int, Alarm] = {}
        self._feeds_later = self._shares_later = self._stopped = False
        self._pid = os.getpid()
        self._grace = grace or Grace()
        self._at_exit = weakref.finalize(self, _end_all, self._workers, self._dispatch, self._pid, self._grace)

    def capacity(self) -> int:
        """The number of workers, started or not; more while what they have in hand is done in no time."""
        return self._dispatch.capacity()

    def start(self, ticket: Ticket[K], job: Job[K]) -> None:
        """Give `job` to a worker that has room for it, or to a new one, or let it wait for one."""
        if self._stopped:
            self._inbox.put((ticket, Failed(Problem("died", "the runner has been stopped"))))
            return
        parcel = self._parcel(ticket, job)
        if parcel is None:
            return
        self._dispatch.add(parcel)
        if self._dispatch.is_hungry():
            self._feed()
        elif not self._feeds_later:
            # Together with those that are started until then: ten in one message are hardly dearer than one
            self._feeds_later = True
            self._inbox.call_at(0.0, self._feed)

    def _parcel(self, ticket: Ticket[K], job: Job[K]) -> Parcel[K] | None:
        timeout, alone = timeout_of(job), is_alone(job)
        if isinstance(job, KindJob):
            guess = self._dispatch.guess(job.kind) if job.seconds is None else job.seconds
            seconds = guess if timeout is None and not alone else WINDOW
            return Parcel(ticket, job.own, job.kind, timeout, seconds, alone=alone)
        try:
            return Parcel(ticket, pickle.dumps(job, 5), None, timeout)
        except Exception as error:  # noqa: BLE001  # the user's classes take part
            problem = problem_of(error, pickled=False)
            text = f"the job cannot be sent to a worker process: {problem.text}"
            self._inbox.put((ticket, Failed(Problem("exception", text, problem.traceback, error))))
            return None

    def wait(self, timeout: float | None) -> Sequence[Ending[K]]:
        """What has come into the inbox; the workers are listened to meanwhile."""
        return self._inbox.wait(timeout)

    def recall(self) -> None:
        """Give back, as Returned, what has not begun; nothing does from now on until something is started."""
        self._ask_back()
        self._give_back(self._dispatch.recall())

    def halt(self) -> None:
        """As `recall`, and what runs is asked to end before its next step, if it is of many (run/steps.py)."""
        self.recall()
        for number, worker in self._workers.items():
            if (parcel := self._dispatch.first(number)) is not None:
                worker.halt(parcel.number)

    def dismiss(self) -> None:
        """Begin to stop, without waiting: of several runners all do so at once. Only `stop` may follow."""
        self._stopped = True
        self._dispatch.recall()
        if os.getpid() != self._pid:
            return  # a fork of the main process has the same inbox and the same workers, and neither is its own
        for number, worker in self._workers.items():
            self._inbox.unwatch(worker.channel)
            self._inbox.unwatch(worker.exit)
            self._call_off(number)
        _dismiss_all(self._workers, self._dispatch)

    def stop(self) -> None:
        """Kill what runs, with its children; let idle workers go. Within the grace; Ctrl-C ends that."""
        if not self._stopped:
            self.dismiss()
        if os.getpid() == self._pid:
            _await_all(self._workers, self._grace)
            self._at_exit.detach()

    def _feed(self) -> None:
        """Do what is to be done for what waits. What one worker is given goes in one message."""
        self._feeds_later = False
        given: dict[int, list[bytes]] = {}
        leaving: list[int] = []
        while (step := self._dispatch.next()) is not None:
            if isinstance(step, Give):
                given.setdefault(step.worker, []).append(framed(step))
                if step.parcel.alone:
                    leaving.append(step.worker)
            elif isinstance(step, Hire):
                self._hire()
            else:
                leaving.append(step.worker)
        for number, contents in given.items():
            self._workers[number].give(b"".join(contents))
        for number in leaving:
            self._workers[number].retire()
        self._share_later()
        self._inbox.rest(self._dispatch.rest())

    def _hire(self) -> None:
        """Start a worker, or make do with those that there are; if there are none, the job that waits first fails."""
        setup = Setup.here(environ=share_of_threads(self._dispatch.count + self._beside, os.environ))
        early = None if self._keeps else ahead.take(setup)
        try:
            worker = early or Worker(setup, keeps=self._keeps)
        except OSError as error:
            if not (is_scarce(error) and self._make_do(sentence(error))):
                what = "no worker process could be started"
                text = limit_problem(what, error) if is_scarce(error) else Problem("died", f"{what}: {sentence(error)}")
                self._inbox.put((self._dispatch.drop().ticket, Failed(text)))
            return
        number = self._dispatch.hired()
        worker.call_it(number)
        self._workers[number] = worker
        self._inbox.watch(worker.channel, partial(self._hear, number, worker))
        self._inbox.watch(worker.exit, partial(self._bury, number, worker))

    def _make_do(self, why: str) -> bool:
        """Go on with the workers that there are. False: there are none."""
        asked = self._dispatch.count
        can = self._dispatch.make_do()
        if can:
            logger.warning("only %d of %d worker processes could be started (%s); the run goes on with less at once",
                           self._dispatch.count, asked, why)
        return can

    def _ask_back(self) -> None:
        """What no worker has begun waits again. The last worker first, so that they wait in the order of workers."""
        for number in reversed(self._dispatch.behind()):
            self._dispatch.call_back(number, self._workers[number].bind())

    def _share_later(self) -> None:
        """See to it that what waits behind a job which takes longer than it was thought to is done by others."""
        if not self._shares_later and self._dispatch.can_share():
            self._shares_later = True
            self._inbox.call_at(time.monotonic() + WINDOW, self._share)

    def _share(self) -> None:
        self._shares_later = False
        if self._dispatch.can_share():
            self._ask_back()
            self._feed()

    def _hear(self, number: int, worker: Worker) -> None:
        self._read(number, worker)
        if worker.deaf:
            self._inbox.unwatch(worker.channel)
            if self._dispatch.closed(number):
                self._set_alarm(number, DEAF_FOR, partial(self._give_up, number))
        self._feed()

    def _read(self, number: int, worker: Worker) -> None:
        dispatch = self._dispatch
        for message in worker.read():
            tag = message[:1]
            if tag in (ANSWER, PLAIN):
                self._end(number, message, load if tag == ANSWER else pickle.loads)
            elif tag == READY:
                dispatch.ready(number)
            elif tag == LEAVING:
                dispatch.leaves(number)
            elif tag == REFUSED:
                self._give_back(dispatch.refused(number, MARK.unpack_from(message, 1)[0]))
            elif (parcel := dispatch.first(number)) is None:
                continue  # something in the process has forged it
            elif tag == PART:
                self._inbox.put((parcel.ticket, cast("Outcome[K]", Part(message[1:]))))  # of interest to few
            elif tag == BEGAN:
                self._set_alarm(number, parcel.timeout or 0.0, partial(self._expire, number))

    def _end(self, number: int, message: bytes, unpickle: Callable[[memoryview], object]) -> None:
        is_late = self._dispatch.state(number) == "expiring"
        parcel = self._dispatch.answered(number, SECONDS.unpack_from(message, 1)[0])
        self._call_off(number)
        outcome: Outcome[K] = _outcome(memoryview(message)[1 + SECONDS.size :], unpickle)
        if is_late:
            self._workers[number].signal(signal.SIGKILL)  # what was to end with it may have ignored TERM
            if isinstance(outcome, Failed) and parcel.timeout is not None:
                outcome = timed_out(parcel.timeout)
        self._inbox.put((parcel.ticket, outcome))

    def _expire(self, number: int) -> None:
        self._dispatch.expire(number)
        self._workers[number].signal(signal.SIGTERM)
        self._set_alarm(number, GRACE, self._workers[number].signal)

    def _give_up(self, number: int) -> None:
        self._dispatch.give_up(number)
        self._workers[number].signal(signal.SIGKILL)

    def _set_alarm(self, number: int, seconds: float, action: Callable[[], None]) -> None:
        self._call_off(number)
        self._alarms[number] = self._inbox.call_at(time.monotonic() + seconds, action)

    def _call_off(self, number: int) -> None:
        alarm = self._alarms.pop(number, None)
        if alarm is not None:
            alarm.call_off()

    def _bury(self, number: int, worker: Worker) -> None:
        """It is dead, but what it had said before still counts."""
        self._read(number, worker)
        self._call_off(number)
        self._inbox.unwatch(worker.channel)
        self._inbox.unwatch(worker.exit)
        del self._workers[number]
        first = self._dispatch.first(number)
        step = None if first is None else worker.step(first.number)
        said = worker.last_words()
        burial = self._dispatch.bury(number, worker.begun())
        end = worker.close()
        self._give_back(burial.returned)
        if burial.blamed is not None:
            self._blame(worker, burial, end, said, step)
        self._feed()

    def _blame(self, worker: Worker, burial: Burial, end: Exit, said: str, step: int | None) -> None:
        parcel: Parcel[K] = cast("Parcel[K]", burial.blamed)
        if burial.cause == "unstarted":
            if tells_scarcity(said) and self._make_do(said.splitlines()[-1]):
                self._give_back(self._dispatch.retry(parcel))
                return
            text = f"no worker process could be started: {' '.join(worker.command)} {exit_text(end.code)}"
            failed = Failed(_unstarted(text, said, end.code))
        elif burial.cause == "timeout" and parcel.timeout is not None:
            failed = timed_out(parcel.timeout, end, step)
        else:
            text = f"its worker process {death_text(end)}"
            if burial.cause == "silent":
                text = "its worker process closed its end of the channel (exec, or all descriptors closed)"
            failed = Failed(Problem("died", text, exit_code=end.code, memory=end.memory, step=step))
        self._inbox.put((parcel.ticket, failed))

    def _give_back(self, parcels: Sequence[Parcel[K]]) -> None:
        for parcel in parcels:
            self._inbox.put((parcel.ticket, Returned()))


def _unstarted(text: str, said: str, code: int) -> Problem:
    """Why a worker ended before it was ready, with what it said last."""
    if tells_scarcity(said):
        return Problem("limit", limit_text(text, RuntimeError(said.splitlines()[-1])), exit_code=code)
    return Problem("died", f"{text}\n{said}".rstrip(), exit_code=code)


def _end_all(workers: dict[int, Worker], dispatch: Dispatch[K], pid: int, grace: Grace) -> None:
    """End them all, within the grace; also at the exit of the interpreter, but not in a fork of it."""
    if os.getpid() == pid:
        _dismiss_all(workers, dispatch)
        _await_all(workers, grace)


def _dismiss_all(workers: dict[int, Worker], dispatch: Dispatch[K]) -> None:
    for number, worker in workers.items():
        worker.dismiss(is_busy=dispatch.first(number) is not None)


def _await_all(workers: dict[int, Worker], grace: Grace) -> None:
    try:
        deadline = time.monotonic() + GRACE
        for worker in workers.values():
            grace.wait(worker.gone.wait, deadline)
    finally:
        while workers:
            workers.popitem()[1].close()


def _outcome(content: memoryview, unpickle: Callable[[memoryview], object]) -> Outcome[K]:
    try:
        return cast("Outcome[K]", unpickle(content))
    except Exception as error:  # noqa: BLE001  # the user's classes take part
        return Failed(Problem("exception", f"the outcome of the job could not be unpickled: {sentence(error)}"))
