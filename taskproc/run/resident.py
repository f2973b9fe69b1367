"""A runner with worker processes of our own: started when needed, kept from job to job, blamed one by one.

A worker is a fresh interpreter, not a fork: no thread, lock or random state of the main process is in it. It leads a
session of its own, so that it can be killed with all its children, and it holds a lifeline (lifeline.py), so that it
does not outlive the main process. When one dies, exactly the job that it had begun is the one that died.
"""
from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import tempfile
import threading
import time
import weakref
from collections import deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from taskproc.errors import OptionError
from taskproc.kernel.model import Failed, Outcome, Problem, Ticket
from taskproc.run.base import Ending, Job
from taskproc.run.cpus import available_cpus
from taskproc.run.group import GRACE, await_exit, signal_group
from taskproc.run.inbox import Inbox
from taskproc.run.problem import death_text, exit_text, last_lines, problem_of, sentence
from taskproc.run.setup import Setup, interpreter, load, start_environ
from taskproc.run.wire import HEAD, MARK, READY, send

K = TypeVar("K", bound=Hashable)

MOST_TRIES = 3
THREADS_OF_BLAS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass
class Parcel(Generic[K]):
    """A pickled job on its way, and how many workers died with it in hand before they looked at it."""

    ticket: Ticket[K]
    content: bytes
    tries: int = 0


class ResidentRunner(Generic[K]):
    """At most `workers` processes, each with one job at a time; by default as many as there are processors for us.

    A job must pickle with plain `pickle`. What it changes in its process (working directory, environment variables,
    signal handlers) is put back after it. BLAS libraries get a fair share of the threads unless the user has set it.
    """

    def __init__(self, inbox: Inbox[Ending[K]], workers: int | None = None):
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
        self._at_exit = weakref.finalize(self, _end_all, self._workers, self._pid)

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
        self._waiting.append(Parcel(ticket, content))
        self._feed()

    def wait(self, timeout: float | None) -> Sequence[Ending[K]]:
        """What has come into the inbox; the workers are listened to meanwhile."""
        return self._inbox.wait(timeout)

    def stop(self) -> None:
        """Kill what runs, with its children; let idle workers go. At most 2 s; Ctrl-C ends the grace."""
        self._stopped = True
        self._waiting.clear()
        if os.getpid() != self._pid:
            return  # a fork of the main process has the same inbox and the same workers, and neither is its own
        for worker in self._workers:
            self._inbox.unwatch(worker.channel)
            self._inbox.unwatch(worker.exit)
        _end_all(self._workers, self._pid)
        self._at_exit.detach()

    def _feed(self) -> None:
        while self._waiting:
            worker = next((each for each in self._workers if each.parcel is None), None)
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
            elif worker.parcel is not None:
                parcel, worker.parcel = worker.parcel, None
                self._inbox.put((parcel.ticket, _outcome(message)))
        if worker.deaf:
            self._inbox.unwatch(worker.channel)
        self._feed()

    def _bury(self, worker: Worker[K]) -> None:
        """It is dead, but what it had said before still counts."""
        self._workers.remove(worker)  # first, or it would be fed
        self._hear(worker)
        self._inbox.unwatch(worker.channel)
        self._inbox.unwatch(worker.exit)
        parcel = worker.parcel
        began, said = worker.began(), worker.last_words()
        code = worker.close()
        if parcel is not None:
            self._blame(worker, parcel, began, code, said)
        self._feed()

    def _blame(self, worker: Worker[K], parcel: Parcel[K], began: bool, code: int, said: str) -> None:
        if not worker.ready:
            text = f"no worker process could be started: {' '.join(worker.command)} {exit_text(code)}"
            self._fail(parcel.ticket, Problem("died", f"{text}\n{said}".rstrip(), exit_code=code))
        elif began or parcel.tries + 1 >= MOST_TRIES:
            self._fail(parcel.ticket, Problem("died", f"its worker process {death_text(code)}", exit_code=code))
        else:
            parcel.tries += 1
            self._waiting.appendleft(parcel)

    def _fail(self, ticket: Ticket[K], problem: Problem) -> None:
        self._inbox.put((ticket, Failed(problem)))


class Worker(Generic[K]):
    """One process, seen from here. Raises OSError if it cannot be started."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.parcel: Parcel[K] | None = None
        self.ready = False
        self.deaf = False
        self.gone = threading.Event()
        self._given = 0
        self._heard = bytearray()
        self._marks = tempfile.TemporaryFile()  # noqa: SIM115  # these live as long as the process
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self.channel, there = socket.socketpair()
        life, self._lifeline = os.pipe()
        self.exit, exit_writer = os.pipe()
        inherited = (there.fileno(), life, self._marks.fileno())
        self.command = [*interpreter(), "-m", "taskproc.run.worker", *map(str, inherited), str(os.getpid())]
        try:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._errors,
                pass_fds=inherited, start_new_session=True, env=start_environ(environ),
            )
        except BaseException:
            os.close(exit_writer)
            self._close_all()
            raise
        finally:
            there.close()
            os.close(life)
        waiter = threading.Thread(target=_tell_exit, args=(self._process, self.gone, exit_writer), daemon=True)
        waiter.start()
        self._send(pickle.dumps(Setup.here(environ=environ), 5))

    def give(self, parcel: Parcel[K]) -> None:
        """Send it a job; it must be idle, so it is reading."""
        self.parcel = parcel
        self._given += 1
        self._send(parcel.content)

    def read(self) -> Iterator[bytes]:
        """Whole messages that have come, without waiting."""
        while True:
            try:
                part = self.channel.recv(1 << 16, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except ConnectionResetError:
                part = b""
            if not part:
                self.deaf = True
                break
            self._heard += part
        while len(self._heard) >= HEAD.size:
            end = HEAD.size + HEAD.unpack_from(self._heard)[0]
            if len(self._heard) < end:
                break
            message = bytes(self._heard[HEAD.size:end])
            del self._heard[:end]
            yield message

    def began(self) -> bool:
        """Whether it had looked at the last job it was given."""
        mark = os.pread(self._marks.fileno(), MARK.size, 0)
        return len(mark) == MARK.size and MARK.unpack(mark)[0] == self._given

    def last_words(self) -> str:
        """What it wrote to standard error before it was ready."""
        self._errors.seek(0)
        return last_lines(self._errors.read(1 << 20))

    def dismiss(self) -> None:
        """Ask it to end: at once if it is busy."""
        if self.parcel is not None:
            signal_group(self._process, signal.SIGTERM)
        else:
            self.channel.close()

    def close(self) -> int:
        """Kill what is left of its process group and free all it had; its exit code, or minus a signal."""
        signal_group(self._process, signal.SIGKILL)
        self.gone.wait()
        code = self._process.wait()
        os.close(self.exit)
        self._close_all()
        return code

    def _send(self, content: bytes) -> None:
        try:
            send(self.channel, content)
        except (BrokenPipeError, ConnectionResetError):
            pass  # its exit will be told, with all there is to say
        except BaseException:
            signal_group(self._process, signal.SIGKILL)  # half a message leaves it of no use
            raise

    def _close_all(self) -> None:
        self.channel.close()
        os.close(self._lifeline)
        self._marks.close()
        self._errors.close()


def share_of_threads(workers: int, environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` with a bound for the threads of BLAS libraries, so that all workers together have one per processor."""
    share = str(max(1, available_cpus() // workers))
    return {**dict.fromkeys(THREADS_OF_BLAS, share), **environ}


def _tell_exit(process: subprocess.Popen[bytes], gone: threading.Event, exit_writer: int) -> None:
    """Wait in a thread of its own. End of file on the socket would not do: a grandchild may hold that open."""
    await_exit(process)
    gone.set()
    os.close(exit_writer)


def _end_all(workers: list[Worker[K]], pid: int) -> None:
    """End them all, within GRACE; also at the exit of the interpreter, but not in a fork of it."""
    if os.getpid() != pid:
        return
    for worker in workers:
        worker.dismiss()
    try:
        deadline = time.monotonic() + GRACE
        for worker in workers:
            worker.gone.wait(max(0.0, deadline - time.monotonic()))
    finally:
        while workers:
            workers.pop().close()


def _outcome(message: bytes) -> Outcome[K]:
    try:
        return cast("Outcome[K]", load(message))
    except Exception as error:  # noqa: BLE001  # the user's classes take part
        return Failed(Problem("exception", f"the outcome of the job could not be unpickled: {sentence(error)}"))
