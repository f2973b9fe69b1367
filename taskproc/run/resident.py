"""A runner with its own worker processes: started when needed, reused from job to job, blamed one by one.

A worker is a fresh interpreter, not a fork: it has no thread, lock or random state of the main process. It leads its
own session, so it can be killed with all its children, and it holds a lifeline (lifeline.py), so it does not outlive
the main process. dispatch.py decides which worker has which job, and has the theory; here are the sockets, processes
and alarms.
"""
from __future__ import annotations

import logging
import os
import pickle
import signal
import time
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, cast

from taskproc.errors import OptionError
from taskproc.kernel.model import Failed, K, Problem, Returned, Ticket
from taskproc.machine import available_cpus, share_of_threads
from taskproc.pickling import load
from taskproc.run.dispatch import Burial, Dispatch, Give, Hire, Parcel
from taskproc.run.far_end import Setup
from taskproc.run.group import GRACE, Exit, Grace
from taskproc.run.inbox import Alarm, Inbox
from taskproc.run.kinds import WINDOW, KindJob
from taskproc.run.problem import death_text, exit_text, problem_of, sentence, timed_out
from taskproc.run.process import Worker, framed, take_early_worker
from taskproc.run.runner import Answer, Ending, Job, is_alone, timeout_of
from taskproc.run.system_limits import is_scarce, limit_problem, limit_text, names_scarcity
from taskproc.run.worker_protocol import ANSWER, BEGAN, LEAVING, MARK, PART, PLAIN, READY, REFUSED, SECONDS

logger = logging.getLogger("taskproc")

DEAF_FOR = 0.5  # seconds after which a worker that has closed its end of the channel counts as lost


class ResidentRunner(Generic[K, Answer]):
    """At most `workers` processes, each with one job at a time; by default one per processor available to us.

    Quick jobs of a kind (KindJob) are sent many at a time. If one of them takes long while another worker is idle, the
    jobs behind it are called back. Any other job must pickle with plain `pickle`.

    Changes that a job makes in its process (working directory, environment variables, signal handlers, limits) are put
    back after it. If a job leaves children running, the process is replaced and they end with it. BLAS libraries get a
    fair share of the threads, unless the user has set it.

    Args:
        grace: how long jobs have between TERM and KILL.
        keeps: nothing is put back, children may stay, and output goes where this process prints: for workers that
            serve one kind until they end.
        beside: how many other workers compute at the same time and need a share of the threads of BLAS.
        part: turns what a job reports before its end (see Steps) into an answer; None: jobs report nothing.
    """

    def __init__(
        self,
        inbox: Inbox[Ending[K, Answer]],
        workers: int | None = None,
        *,
        grace: Grace | None = None,
        keeps: bool = False,
        beside: int = 0,
        part: Callable[[bytes], Answer] | None = None,
    ):
        if os.name != "posix":
            raise OptionError("taskproc's own workers need POSIX. Pass an executor, such as ThreadPoolExecutor()")
        if workers is not None and workers < 1:
            raise OptionError(f"number of workers must be at least 1, got {workers!r}")
        self._inbox = inbox
        self._keeps, self._beside, self._part = keeps, beside, part
        self._dispatch: Dispatch[K] = Dispatch(workers or available_cpus())
        self._workers: dict[int, Worker] = {}
        self._alarms: dict[int, Alarm] = {}
        self._feeds_later = self._shares_later = self._stopped = False
        self._pid = os.getpid()
        self._grace = grace or Grace()
        self._at_exit = weakref.finalize(self, _end_all, self._workers, self._dispatch, self._pid, self._grace)

    def capacity(self) -> int:
        """Return the number of workers, started or not; more while their jobs are quick."""
        return self._dispatch.capacity()

    def start(self, ticket: Ticket[K], job: Job[Answer]) -> None:
        """Give `job` to a worker with room for it or to a new one, or let it wait."""
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
            # Together with jobs that start until then: a message with ten hardly costs more than one with one
            self._feeds_later = True
            self._inbox.call_at(0.0, self._feed)

    def _parcel(self, ticket: Ticket[K], job: Job[Answer]) -> Parcel[K] | None:
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

    def wait(self, timeout: float | None) -> Sequence[Ending[K, Answer]]:
        """Return what has come into the inbox. Messages of the workers are read meanwhile."""
        return self._inbox.wait(timeout)

    def recall(self) -> None:
        """Give back jobs that have not begun, as Returned. No job begins until `start` is called again."""
        self._ask_back()
        self._give_back(self._dispatch.recall())

    def halt(self) -> None:
        """Do as `recall` does, and ask running jobs of many steps to end before their next step."""
        self.recall()
        for number, worker in self._workers.items():
            if (parcel := self._dispatch.first(number)) is not None:
                worker.halt(parcel.number)

    def dismiss(self) -> None:
        """Begin to stop, without waiting, so that several runners stop at once. Only `stop` may follow."""
        self._stopped = True
        self._dispatch.recall()
        if os.getpid() != self._pid:
            return  # a fork of the main process shares its inbox and workers, but owns neither
        for number, worker in self._workers.items():
            self._inbox.unwatch(worker.channel)
            self._inbox.unwatch(worker.exit)
            self._call_off(number)
        _dismiss_all(self._workers, self._dispatch)

    def stop(self) -> None:
        """Kill running jobs with their children, and let idle workers end. Takes at most the grace; Ctrl-C ends it."""
        if not self._stopped:
            self.dismiss()
        if os.getpid() == self._pid:
            _await_all(self._workers, self._grace)
            self._at_exit.detach()

    def _feed(self) -> None:
        """Give waiting jobs to workers, or hire. All jobs for one worker go in one message."""
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
        """Start a worker. If that fails, make do with the others; if there are none, the first waiting job fails."""
        setup = Setup.here(environ=share_of_threads(self._dispatch.count + self._beside, os.environ))
        early = None if self._keeps else take_early_worker(setup)
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
        """Continue with the workers that exist. Return False if there are none."""
        asked = self._dispatch.count
        can = self._dispatch.make_do()
        if can:
            logger.warning("only %d of %d worker processes could be started (%s); the run continues with fewer",
                           self._dispatch.count, asked, why)
        return can

    def _ask_back(self) -> None:
        """Let jobs that no worker has begun wait again. The last worker comes first: they wait in order of workers."""
        for number in reversed(self._dispatch.behind()):
            self._dispatch.call_back(number, self._workers[number].bind())

    def _share_later(self) -> None:
        """Soon look for jobs that wait behind a slow one while other workers are idle."""
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
                continue  # user code in the worker process has forged it
            elif tag == PART and self._part is not None:
                self._inbox.put((parcel.ticket, self._part(message[1:])))
            elif tag == BEGAN:
                self._set_alarm(number, parcel.timeout or 0.0, partial(self._expire, number))

    def _end(self, number: int, message: bytes, unpickle: Callable[[memoryview], object]) -> None:
        is_late = self._dispatch.state(number) == "expiring"
        parcel = self._dispatch.answered(number, SECONDS.unpack_from(message, 1)[0])
        self._call_off(number)
        outcome = cast("Answer | Failed", _outcome(memoryview(message)[1 + SECONDS.size :], unpickle))
        if is_late:
            self._workers[number].signal(signal.SIGKILL)  # its children may have ignored TERM
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
        """Remove a dead worker. All that it had sent before still counts."""
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
            if names_scarcity(said) and self._make_do(said.splitlines()[-1]):
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
    """Say why a worker ended before it was ready, with its last words."""
    if names_scarcity(said):
        return Problem("limit", limit_text(text, RuntimeError(said.splitlines()[-1])), exit_code=code)
    return Problem("died", f"{text}\n{said}".rstrip(), exit_code=code)


def _end_all(workers: dict[int, Worker], dispatch: Dispatch[K], pid: int, grace: Grace) -> None:
    """End all workers, within the grace; also at the exit of the interpreter, but not in a fork of it."""
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


def _outcome(content: memoryview, unpickle: Callable[[memoryview], object]) -> object:
    try:
        return unpickle(content)
    except Exception as error:  # noqa: BLE001  # the user's classes take part
        return Failed(Problem("exception", f"the outcome of the job could not be unpickled: {sentence(error)}"))
