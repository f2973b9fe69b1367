"""A runner for processes of the user's executor. If they break, the run continues in workers of our own.

A pool whose process dies fails all its jobs and accepts no more. So each job leaves a mark when it begins: in a file of
the run, which has a place for each ticket. A job that had begun is suspect: it runs once more, alone in a worker of our
own, where a death can only be its own. Jobs that had not begun, and all later ones, go to further workers of our own.
So each suspect runs at most once too often.

Other executors survive the death of a process and repeat all that it was doing (Dask: three times). A job that finds
its own mark does not run again in the executor. If it was alone in its process, it caused the death; otherwise all jobs
of that process are suspect.
"""
from __future__ import annotations

import logging
import os
import signal
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Generic, NamedTuple

from taskproc.frozen import frozen, replace
from taskproc.kernel.model import Failed, K, Problem, Returned, Ticket
from taskproc.machine import birth_of
from taskproc.run.baseline import put_back
from taskproc.run.group import GRACE, Grace
from taskproc.run.inbox import Inbox
from taskproc.run.keeper import be_subreaper, emigrants_of, end_children, is_subreaper, kill_emigrants
from taskproc.run.lifeline import Main
from taskproc.run.pool import PoolRunner, outcome_of
from taskproc.run.problem import problem_of, sentence
from taskproc.run.runner import Answer, Ending, Job, Runner, is_alone, timeout_of
from taskproc.run.system_limits import is_scarce

logger = logging.getLogger("taskproc")

LOOK_AFTER = 1.0  # seconds

# Names of the errors by which executors (Dask) report that every process in which they tried a job has died
_DEATHS = frozenset({"KilledWorker"})
_PLACE = struct.Struct("=QQQ")  # state, process, and when that was started
_RUNS, _ENDED = 1, 2


@frozen
class ForeignJob(Generic[Answer]):
    """A job for a process of the user's executor.

    Attributes:
        job: the job itself; it pickles with plain `pickle`.
        marks: file of the run in which each job notes that it begins; both ends should see it.
        number: of its ticket.
        main: the job dies with this process.
        repeats: whether the executor may run it again after a death, because the user has asked for that.
    """

    job: Job[Answer]
    marks: Path
    number: int
    main: Main
    repeats: bool = False

    @property
    def timeout(self) -> float | None:
        """How many seconds the job may run; None: no limit."""
        return timeout_of(self.job)

    @property
    def alone(self) -> bool:
        """Whether the job needs a process of its own."""
        return is_alone(self.job)

    def __call__(self) -> Answer:
        """Run the job here, without a mark."""
        return self.job()

    def run_marked(self) -> Answer | Died:
        """Run it in the executor, as the leader of a process group, so that a signal to the group hits nothing else."""
        begun = Begun(self.marks)
        if not self.repeats and (where := begun.running(self.number)) is not None:
            return Died(where.pid, begun.alone(self.number))
        with _own_group(), put_back(), _no_daemons():
            self.main.follow()
            begun.begin(self.number)
            try:
                return self.job()
            finally:
                begun.end(self.number)


@frozen
class Died:
    """The answer of a job that had begun before, in a process that died; `alone`: no other job ran in that process."""

    pid: int
    alone: bool


class ForeignRunner(Generic[K, Answer]):
    """Runs each ForeignJob in the executor until that breaks; jobs with a timeout, or alone, in workers of our own.

    Args:
        workers: makes a runner of ours with at most that many workers, which puts its endings into `inbox`.
    """

    def __init__(
        self,
        executor: Executor,
        inbox: Inbox[Ending[K, Answer]],
        workers: Callable[[int], Runner[K, Answer]],
        *,
        grace: Grace | None = None,
    ):
        self._executor = executor
        self._inbox = inbox
        self._pool: PoolRunner[K, Answer] = PoolRunner(executor, inbox)
        self._workers = workers
        self._grace = grace or Grace()
        self._lanes: dict[int, Runner[K, Answer]] = {}
        self._running: dict[int, tuple[ForeignJob[Answer], Future[Answer | Died]]] = {}
        self._suspects: set[K] = set()
        self._broken = self._looks = False
        self._repeats = bool(getattr(executor, "repeats", False))

    def capacity(self) -> int:
        """Return the capacity of the executor."""
        return self._pool.capacity()

    def start(self, ticket: Ticket[K], job: Job[Answer]) -> None:
        """Begin `job` in the executor, or in workers of our own."""
        if not isinstance(job, ForeignJob):
            self._pool.start(ticket, job)  # a stand-in for a job that cannot travel
        elif ticket.key in self._suspects:
            self._lane(1).start(ticket, job.job)
        elif self._broken or job.timeout is not None or job.alone:
            self._lane(max(2, self.capacity())).start(ticket, job.job)  # 1 is the lane of the suspects
        else:
            self._submit(ticket, replace(job, repeats=True) if self._repeats else job)

    def wait(self, timeout: float | None) -> Sequence[Ending[K, Answer]]:
        """Return what has come into the inbox."""
        return self._inbox.wait(timeout)

    def recall(self) -> None:
        """Give back jobs that wait for our own workers. The executor is never given more jobs than it has workers."""
        for lane in self._lanes.values():
            lane.recall()

    def stop(self) -> None:
        """Cancel jobs that have not begun, and end the processes in which jobs run, which breaks their pool."""
        self._broken = True
        running = list(self._running.values())
        for _, future in running:
            future.cancel()
        try:
            _end_groups([job for job, future in running if not future.done()], self._grace)
        finally:
            for lane in self._lanes.values():
                lane.stop()

    def _lane(self, workers: int) -> Runner[K, Answer]:
        if workers not in self._lanes:
            self._lanes[workers] = self._workers(workers)
        return self._lanes[workers]

    def _submit(self, ticket: Ticket[K], job: ForeignJob[Answer]) -> None:
        try:
            with _followed(job.main):
                future = self._executor.submit(job.run_marked)
        except BrokenExecutor as error:
            self._break(error)
            self.start(ticket, job)
        except Exception as error:  # noqa: BLE001  # an executor may raise anything
            if not is_scarce(error):
                self._inbox.put((ticket, Failed(problem_of(error, pickled=False))))
                return
            Begun(job.marks).begin(job.number)  # the pool may still have the job, and must not run it as well
            _end_unmanaged(self._executor)
            self._break(error)
            self.start(ticket, job)
        else:
            self._running[ticket.number] = job, future
            future.add_done_callback(partial(self._ended, ticket))
            self._look_later()

    def _look_later(self) -> None:
        if not self._looks and isinstance(self._executor, ProcessPoolExecutor):
            self._looks = True
            self._inbox.call_at(time.monotonic() + LOOK_AFTER, self._look)

    def _look(self) -> None:
        """Look whether the pool's own thread is alive: at a limit of the system it ends without a report."""
        self._looks = False
        if self._running and _is_unmanaged(self._executor):
            _end_unmanaged(self._executor)
            for future in [future for _, future in self._running.values() if not future.done()]:
                future.set_exception(BrokenExecutor("its thread has ended, probably at a limit of the system"))
        elif self._running:
            self._look_later()

    def _ended(self, ticket: Ticket[K], future: Future[Answer | Died]) -> None:
        """Report the end of a job, in a thread of the executor."""
        job, _ = self._running.pop(ticket.number)
        begun = Begun(job.marks)
        error = None if future.cancelled() else future.exception()
        if isinstance(error, BrokenExecutor):
            self._break(error)
            if job.number in begun:
                self._suspects.add(ticket.key)
            self._inbox.put((ticket, Returned()))
        elif error is not None and (where := begun.running(job.number)) is not None:
            self._inbox.put((ticket, self._of_death(ticket, Died(where.pid, begun.alone(job.number)), error)))
        elif type(error).__name__ in _DEATHS:
            # On a machine without our folders, nobody knows whether the job had begun
            self._inbox.put((ticket, self._of_death(ticket, Died(0, not begun.is_used()), error)))
        else:
            outcome = outcome_of(future)
            self._inbox.put((ticket, self._of_death(ticket, outcome) if isinstance(outcome, Died) else outcome))

    def _of_death(self, ticket: Ticket[K], died: Died, error: BaseException | None = None) -> Failed | Returned:
        """Blame a job for the death of its process, if it was alone there; else run it again in a worker of our own."""
        if not died.alone:
            self._suspects.add(ticket.key)
            return Returned()
        process = f" {died.pid}" if died.pid else ""
        text = f"its process{process} in the {type(self._executor).__name__} died while it ran"
        return Failed(Problem("died", f"{text} ({sentence(error)})" if error else text, error=error))

    def _break(self, error: Exception) -> None:
        if not self._broken:
            self._broken = True
            what = "a process of the %s died and broke it"
            if is_scarce(error):
                what = "the %s could not start its processes"
            logger.warning(f"{what} (%s); the run continues in taskproc's own worker processes",
                           type(self._executor).__name__, sentence(error))


def _end_unmanaged(executor: Executor) -> None:
    """End the processes of a pool whose thread has ended: nobody gives them work, and nobody would end them."""
    if isinstance(executor, ProcessPoolExecutor) and _is_unmanaged(executor):
        executor._executor_manager_thread = None  # type: ignore[assignment]  # `shutdown` would wait for it
        for process in list((executor._processes or {}).values()):
            process.kill()
            process.join()


def _is_unmanaged(executor: Executor) -> bool:
    manager: Any = getattr(executor, "_executor_manager_thread", None)
    return manager is None or not manager.is_alive()


@contextmanager
def _followed(main: Main) -> Iterator[None]:
    """Let processes that a pool forks within the block die with `main`, even if they never get a job."""
    global _forking  # what runs after a fork is called without arguments
    _forking = main, threading.get_ident()
    try:
        yield
    finally:
        _forking = None


def _after_fork() -> None:
    if _forking is not None and _forking[1] == threading.get_ident():
        try:
            _forking[0].follow()
        except RuntimeError:
            pass  # no more threads are possible: its first job tries again, and reports it


_forking: tuple[Main, int] | None = None
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def _own_group() -> Iterator[None]:
    """Lead a process group while a job runs. Afterwards return to the pool's group, where Ctrl-C reaches all."""
    try:
        before = os.getpgrp()
        if before != os.getpid():
            os.setpgid(0, 0)
    except (OSError, AttributeError):
        yield  # this process leads a session, or this is Windows
        return
    try:
        yield
    finally:
        if before != os.getpid():
            try:
                os.setpgid(0, before)
            except OSError:
                pass  # that group has no members any more


@contextmanager
def _no_daemons() -> Iterator[None]:
    """End the daemons that a job leaves: they become children of this process, and are in another session.

    Other children belong to the pool or serve its process from job to job, as the resource tracker of multiprocessing.
    In a process that runs several jobs at once, in threads, nobody knows whose children they are.
    """
    alone = threading.current_thread() is threading.main_thread() and not is_subreaper()
    if not (alone and be_subreaper()):
        yield
        return
    before = set(emigrants_of(os.getpid()))
    try:
        yield
    finally:
        end_children(lambda: [pid for pid in emigrants_of(os.getpid()) if pid not in before])
        be_subreaper(False)


def _end_groups(jobs: list[ForeignJob[Answer]], grace: Grace) -> None:
    """End the processes in which `jobs` run, with their children: TERM, then KILL after the grace."""
    places = (Begun(job.marks).running(job.number) for job in jobs)
    groups = [where for where in places if where is not None]
    try:
        deadline = time.monotonic() + GRACE
        for pid, birth in groups:
            _signal(pid, birth, signal.SIGTERM)
        for pid, birth in groups:
            grace.wait(partial(_is_over, pid, birth), deadline)
    finally:
        for pid, birth in groups:
            _signal(pid, birth, signal.SIGKILL)


def _is_over(pid: int, birth: str, seconds: float) -> bool:
    """Return whether nothing is left of a job and its children. If something is, look again after `seconds`."""
    if not _is_there(pid, birth):
        return True
    time.sleep(seconds)
    return not _is_there(pid, birth)


def _is_there(pid: int, birth: str) -> bool:
    """Return whether the group of a job has members: its process, if that still leads the group, or children."""
    birth_now = birth_of(pid, dead=True)
    try:
        if birth_now:
            return birth_now == birth and os.getpgid(pid) == pid
        os.killpg(pid, 0)  # no new process gets the number of a group that has members
    except OSError:
        return False
    return bool(birth)


def _signal(pid: int, birth: str, number: int) -> None:
    if _is_there(pid, birth):
        if number == signal.SIGKILL:
            kill_emigrants(pid)
        try:
            os.killpg(pid, number)
        except OSError:
            pass  # it has ended meanwhile


class Where(NamedTuple):
    """The process in which a job has begun: its id, and its start time as the kernel counts ("": unknown)."""

    pid: int
    birth: str


class Begun:
    """The file of marks at `path`. If it cannot be used, nothing is known, and nothing is raised."""

    def __init__(self, path: Path):
        self._path = path

    def begin(self, number: int) -> None:
        """Note that the job of ticket `number` begins in this process."""
        self._write(number, _RUNS)

    def end(self, number: int) -> None:
        """Note that the job has ended without the death of its process."""
        self._write(number, _ENDED)

    def __contains__(self, number: int) -> bool:
        """Return whether the job has begun."""
        return self._read(number)[0] != 0

    def running(self, number: int) -> Where | None:
        """Return where the job runs; None: it has not begun, or has ended."""
        state, where = self._read(number)
        return where if state == _RUNS else None

    def alone(self, number: int) -> bool:
        """Return whether no other job runs in the process of this job. Then this job caused the death of it."""
        where = self.running(number)
        others = (_parsed(place) for place in _PLACE.iter_unpack(self._content()))
        return sum(state == _RUNS and other == where for state, other in others) == 1

    def is_used(self) -> bool:
        """Return whether any job has left a mark. On a machine without our folders, none does."""
        return bool(self._content())

    def _write(self, number: int, state: int) -> None:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        except OSError:
            return  # not visible here: if the pool breaks, the job counts as not begun and runs again
        try:
            os.lseek(descriptor, number * _PLACE.size, os.SEEK_SET)
            os.write(descriptor, _PLACE.pack(state, os.getpid(), int(birth_of(os.getpid()) or 0)))
        except OSError:
            pass  # see above
        finally:
            os.close(descriptor)

    def _read(self, number: int) -> tuple[int, Where]:
        try:
            with open(self._path, "rb") as file:
                file.seek(number * _PLACE.size)
                content = file.read(_PLACE.size)
        except OSError:
            content = b""
        return _parsed(_PLACE.unpack(content) if len(content) == _PLACE.size else (0, 0, 0))

    def _content(self) -> bytes:
        try:
            content = self._path.read_bytes()
        except OSError:
            return b""
        return content[: len(content) // _PLACE.size * _PLACE.size]


def _parsed(place: tuple[int, ...]) -> tuple[int, Where]:
    state, pid, birth = place
    return state, Where(pid, str(birth or ""))
