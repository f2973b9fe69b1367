"""A runner with worker processes of our own: started when needed, kept from job to job, blamed one by one.

A worker is a fresh interpreter, not a fork: no thread, lock or random state of the main process is in it. It leads a
session of its own, so that it can be killed with all its children, and it holds a lifeline (lifeline.py), so that it
does not outlive the main process. When one dies, exactly the job that it had begun is the one that died.
"""
from __future__ import annotations

import logging
import os
import pickle
import signal
import time
import weakref
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Generic, TypeVar, cast

from taskproc.errors import OptionError
from taskproc.kernel.model import Failed, Outcome, Problem, Returned, Ticket
from taskproc.machine import available_cpus, share_of_threads
from taskproc.run import ahead
from taskproc.run.base import Ending, Job
from taskproc.run.group import GRACE, Exit, Grace
from taskproc.run.inbox import Inbox
from taskproc.run.kinds import KindJob
from taskproc.run.pace import MOST, WINDOW, Pace
from taskproc.run.problem import death_text, exit_text, problem_of, sentence
from taskproc.run.process import Parcel, Worker
from taskproc.run.scarce import is_scarce, limit_problem, limit_text, tells_scarcity
from taskproc.run.setup import Setup, load
from taskproc.run.steps import Part
from taskproc.run.timeout import is_alone, timed_out, timeout_of
from taskproc.run.wire import ANSWER, BEGAN, LEAVING, MARK, PART, PLAIN, READY, REFUSED, SECONDS

K = TypeVar("K", bound=Hashable)
logger = logging.getLogger("taskproc")

MOST_TRIES = 3
_REST = 0.004   # seconds for which answers may gather
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
            workers that belong to one kind for as long as they live.
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
        self._count = workers or available_cpus()
        self._keeps, self._beside = keeps, beside
        self._workers: list[Worker[K]] = []
        self._waiting: deque[Parcel[K]] = deque()
        self._pace = Pace()
        # Of all that is waiting or with a worker: how many jobs, their seconds by guess; and those of the last one
        self._in_hand, self._seconds, self._last = 0, 0.0, WINDOW
        self._feeds_later = self._shares_later = self._recalls = False
        self._stopped = False
        self._pid = os.getpid()
        self._grace = grace or Grace()
        self._at_exit = weakref.finalize(self, _end_all, self._workers, self._pid, self._grace)

    def capacity(self) -> int:
        """The number of workers, started or not; more while what they have in hand is done in no time."""
        room = int((self._count * WINDOW - self._seconds) / self._last) if self._in_hand else 0
        return max(self._count, self._in_hand + min(room, self._count * MOST))

    def start(self, ticket: Ticket[K], job: Job[K]) -> None:
        """Give `job` to a worker that has room for it, or to a new one, or let it wait for one."""
        if self._stopped:
            self._fail(ticket, Problem("died", "the runner has been stopped"))
            return
        parcel = self._parcel(ticket, job)
        if parcel is None:
            return
        self._recalls = False
        self._in_hand += 1
        self._seconds += parcel.seconds
        self._last = parcel.seconds
        self._waiting.append(parcel)
        if len(self._workers) < self._count or not all(worker.parcels for worker in self._workers):
            self._feed()
        elif not self._feeds_later:
            # Together with those that are started until then: ten in one message are hardly dearer than one
            self._feeds_later = True
            self._inbox.call_at(0.0, self._feed)

    def _parcel(self, ticket: Ticket[K], job: Job[K]) -> Parcel[K] | None:
        timeout, alone = timeout_of(job), is_alone(job)
        if isinstance(job, KindJob):
            guess = self._pace.expect(job.kind.name) if job.seconds is None else job.seconds
            seconds = guess if timeout is None and not alone else WINDOW
            return Parcel(ticket, job.own, job.kind, timeout, seconds, alone=alone)
        try:
            return Parcel(ticket, pickle.dumps(job, 5), None, timeout)
        except Exception as error:  # noqa: BLE001  # the user's classes take part
            problem = problem_of(error, pickled=False)
            text = f"the job cannot be sent to a worker process: {problem.text}"
            self._fail(ticket, Problem("exception", text, problem.traceback, error))
            return None

    def wait(self, timeout: float | None) -> Sequence[Ending[K]]:
        """What has come into the inbox; the workers are listened to meanwhile."""
        return self._inbox.wait(timeout)

    def recall(self) -> None:
        """Give back, as Returned, what has not begun; nothing does from now on until something is started."""
        self._recalls = True
        back = [parcel for worker in self._workers for parcel in worker.call_back()]
        back += self._waiting
        self._waiting.clear()
        self._again(back)

    def halt(self) -> None:
        """As `recall`, and what runs is asked to end before its next step, if it is of many (run/steps.py)."""
        self.recall()
        for worker in self._workers:
            worker.halt()

    def dismiss(self) -> None:
        """Begin to stop, without waiting: of several runners all do so at once. Only `stop` may follow."""
        self._stopped = True
        self._waiting.clear()
        self._in_hand = 0
        if os.getpid() != self._pid:
            return  # a fork of the main process has the same inbox and the same workers, and neither is its own
        for worker in self._workers:
            self._inbox.unwatch(worker.channel)
            self._inbox.unwatch(worker.exit)
            _call_off(worker)
            worker.dismiss()

    def stop(self) -> None:
        """Kill what runs, with its children; let idle workers go. Within the grace; Ctrl-C ends that."""
        if not self._stopped:
            self.dismiss()
        if os.getpid() == self._pid:
            _await_all(self._workers, self._grace)
            self._at_exit.detach()

    def _feed(self) -> None:
        """Give what waits to those that have room, first come first served."""
        self._feeds_later = False
        given: dict[Worker[K], list[bytes]] = {}
        while self._waiting:
            parcel = self._waiting[0]
            worker = self._with_room(parcel)
            if (worker is None or worker.parcels) and len(self._workers) < self._count:
                self._waiting.popleft()
                worker = self._hire_for(parcel)
            elif worker is None:
                self._make_place(parcel)
                break
            else:
                self._waiting.popleft()
            if worker is not None:
                given.setdefault(worker, []).append(worker.take(parcel))
        for worker, contents in given.items():
            worker.give(b"".join(contents))
        self._look_for_idle()
        self._rest()

    def _with_room(self, parcel: Parcel[K]) -> Worker[K] | None:
        """The one with the least to do, if it has room for the job. Idle ones come first."""
        able = [worker for worker in self._workers if worker.has_room(parcel)]
        return min(able, key=_seconds_of, default=None)

    def _make_place(self, parcel: Parcel[K]) -> None:
        """For a job that needs a fresh worker, end one that has nothing to do: its place is then free."""
        if parcel.alone and not any(worker.leaves and not worker.parcels for worker in self._workers):
            idle = next((worker for worker in self._workers if not worker.parcels), None)
            if idle is not None:
                idle.retire()

    def _hire_for(self, parcel: Parcel[K]) -> Worker[K] | None:
        """A new worker; None: there can be none, and that is how the job has ended, or it waits for one of the others.
        """
        try:
            return self._hire()
        except OSError as error:
            if is_scarce(error) and self._make_do(sentence(error)):
                self._waiting.appendleft(parcel)
                return None
            what = "no worker process could be started"
            text = limit_problem(what, error) if is_scarce(error) else Problem("died", f"{what}: {sentence(error)}")
            self._tell(parcel, Failed(text))
            return None

    def _make_do(self, why: str) -> bool:
        """Go on with the workers that there are. False: there are none."""
        if self._workers:
            asked, self._count = self._count, len(self._workers)
            logger.warning("only %d of %d worker processes could be started (%s); the run goes on with less at once",
                           self._count, asked, why)
        return bool(self._workers)

    def _rest(self) -> None:
        """Let answers gather while all have enough to do: to be woken by each one would cost more than to read it."""
        least = min((worker.seconds if len(worker.parcels) > 1 else 0.0 for worker in self._workers), default=0.0)
        self._inbox.rest(min(least / 2, _REST) if least > _REST else 0.0)

    def _look_for_idle(self) -> None:
        """See to it that what waits behind a job which takes longer than it was thought to is done by others."""
        if not self._shares_later and not self._waiting and self._can_share():
            self._shares_later = True
            self._inbox.call_at(time.monotonic() + WINDOW, self._share)

    def _can_share(self) -> bool:
        if len(self._workers) > 1 and not all(worker.parcels for worker in self._workers):
            return any(len(worker.parcels) > 1 for worker in self._workers)
        return False

    def _share(self) -> None:
        self._shares_later = False
        if not self._waiting and self._can_share():
            for worker in self._workers:
                self._waiting.extend(worker.call_back())
            self._feed()

    def _hire(self) -> Worker[K]:
        setup = Setup.here(environ=share_of_threads(self._count + self._beside, os.environ))
        early: Worker[K] | None = None if self._keeps else ahead.take(setup)
        worker = early or Worker(setup, keeps=self._keeps)
        self._workers.append(worker)
        self._inbox.watch(worker.channel, lambda: self._hear(worker))
        self._inbox.watch(worker.exit, lambda: self._bury(worker))
        return worker

    def _hear(self, worker: Worker[K]) -> None:
        for message in worker.read():
            tag = message[:1]
            if tag in (ANSWER, PLAIN):
                self._end(worker, message, load if tag == ANSWER else pickle.loads)
            elif tag == PART and worker.parcel is not None:
                self._inbox.put((worker.parcel.ticket, cast("Outcome[K]", Part(message[1:]))))  # of interest to few
            elif tag == READY:
                worker.ready = True
            elif tag == LEAVING:
                worker.leaves = True
            elif tag == REFUSED:
                refused = worker.refused(MARK.unpack_from(message, 1)[0])
                self._again([refused] if refused else [])
            elif tag == BEGAN and worker.parcel is not None:
                self._set_alarm(worker, worker.parcel.timeout or 0.0, self._expire)
        if worker.deaf:
            self._inbox.unwatch(worker.channel)
            if worker.parcels and not worker.expired and not worker.gone.is_set():
                # It is dying, or the job has taken its process for something else (exec), or closed what is not its own
                self._set_alarm(worker, DEAF_FOR, _give_up)
        self._feed()

    def _end(self, worker: Worker[K], message: bytes, unpickle: Callable[[memoryview], object]) -> None:
        parcel = worker.ended()
        _call_off(worker)
        outcome: Outcome[K] = _outcome(memoryview(message)[1 + SECONDS.size :], unpickle)
        if parcel.kind is not None:
            self._pace.learn(parcel.kind.name, SECONDS.unpack_from(message, 1)[0])
        if worker.expired:
            worker.leaves = True
            worker.signal(signal.SIGKILL)  # what was to end with it may have heard TERM and gone on
            if isinstance(outcome, Failed) and parcel.timeout is not None:
                outcome = timed_out(parcel.timeout)
        self._tell(parcel, outcome)

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
        parcels = list(worker.parcels)
        began, step, said = worker.began(), worker.step(), worker.last_words()
        end = worker.close()
        self._again(parcels[1:])
        if parcels:
            self._blame(worker, parcels[0], began, end, said, step)
        self._feed()

    def _blame(
        self, worker: Worker[K], parcel: Parcel[K], began: bool, end: Exit, said: str, step: int | None
    ) -> None:
        if not worker.ready and tells_scarcity(said) and self._make_do(said.splitlines()[-1]):
            self._again([parcel])
        elif not worker.ready:
            text = f"no worker process could be started: {' '.join(worker.command)} {exit_text(end.code)}"
            self._tell(parcel, Failed(_unstarted(text, said, end.code)))
        elif worker.expired and parcel.timeout is not None:
            self._tell(parcel, timed_out(parcel.timeout, end, step))
        elif began or parcel.tries + 1 >= MOST_TRIES:
            text = f"its worker process {death_text(end)}"
            if worker.silent:
                text = "its worker process closed its end of the channel (exec, or all descriptors closed)"
            self._tell(parcel, Failed(Problem("died", text, exit_code=end.code, memory=end.memory, step=step)))
        else:
            parcel.tries += 1
            self._again([parcel])

    def _again(self, parcels: list[Parcel[K]]) -> None:
        """These have not begun: they are the next, or given back."""
        if self._recalls:
            for parcel in parcels:
                self._tell(parcel, Returned())
        else:
            self._waiting.extendleft(reversed(parcels))

    def _tell(self, parcel: Parcel[K], outcome: Outcome[K]) -> None:
        self._in_hand -= 1
        self._seconds = self._seconds - parcel.seconds if self._in_hand else 0.0
        self._inbox.put((parcel.ticket, outcome))

    def _fail(self, ticket: Ticket[K], problem: Problem) -> None:
        self._inbox.put((ticket, Failed(problem)))


def _unstarted(text: str, said: str, code: int) -> Problem:
    """Why a worker ended before it was ready, with what it said last."""
    if tells_scarcity(said):
        return Problem("limit", limit_text(text, RuntimeError(said.splitlines()[-1])), exit_code=code)
    return Problem("died", f"{text}\n{said}".rstrip(), exit_code=code)


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
    _await_all(workers, grace)


def _await_all(workers: list[Worker[K]], grace: Grace) -> None:
    try:
        deadline = time.monotonic() + GRACE
        for worker in workers:
            grace.wait(worker.gone.wait, deadline)
    finally:
        while workers:
            workers.pop().close()


def _seconds_of(worker: Worker[K]) -> float:
    return worker.seconds


def _outcome(content: memoryview, unpickle: Callable[[memoryview], object]) -> Outcome[K]:
    try:
        return cast("Outcome[K]", unpickle(content))
    except Exception as error:  # noqa: BLE001  # the user's classes take part
        return Failed(Problem("exception", f"the outcome of the job could not be unpickled: {sentence(error)}"))
