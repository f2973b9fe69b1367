"""A resident worker, seen from the main process: a fresh interpreter with a channel, a lifeline and a file of marks.

The process that is started here becomes the keeper of the worker (keeper.py), and ends when the worker does. One worker
may be started before it is needed, so that its imports run in parallel with those of the main process.
"""
from __future__ import annotations

import atexit
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import BinaryIO

from taskproc.machine import available_cpus, share_of_threads
from taskproc.run.dispatch import Give
from taskproc.run.far_end import Setup, interpreter, start_environ
from taskproc.run.group import Exit, await_exit, reap
from taskproc.run.problem import last_lines
from taskproc.run.system_limits import start_thread
from taskproc.run.worker_protocol import (
    BEGUN,
    BOUND,
    HALT,
    JOB,
    KIND,
    MARK,
    NUMBER,
    OF_KIND,
    PEAK,
    STEP,
    UNBOUND,
    Messages,
    frame,
    step_of,
)
from taskproc.streams import fill_gaps

LAST = 20.0  # seconds after which a keeper that had to end everything is killed


class Worker:
    """One worker process. Raises OSError if it cannot be started; then nothing is left of it.

    Args:
        keeps: changes that jobs make in the process stay (environment, folder, children), and output goes where this
            process prints.

    Attributes:
        channel: becomes readable when the worker has sent something; see `read`.
        exit: a descriptor that becomes readable when the worker has ended.
        gone: set as soon as the worker has ended.
    """

    def __init__(self, setup: Setup, *, keeps: bool = False) -> None:
        self.gone = threading.Event()
        self._is_bound = False
        fill_gaps()  # a worker may start before its run
        with ExitStack() as kept, ExitStack() as passed:
            self._marks = kept.enter_context(_file_of_marks())
            self._errors = kept.enter_context(tempfile.TemporaryFile())
            self.channel, far = (stack.enter_context(end) for stack, end in zip((kept, passed), socket.socketpair()))
            life, self._lifeline = _pipe(passed, kept)
            self.exit, exit_writer = _pipe(kept, kept)
            inherited = (far.fileno(), life, self._marks.fileno())
            errors = [_own_errors(passed)] if keeps else []
            numbers = (*inherited, os.getpid(), *errors)
            self.command = [*interpreter(), "-m", "taskproc.run.worker", *map(str, numbers)]
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=None if keeps else subprocess.DEVNULL,
                stderr=self._errors, pass_fds=(*inherited, *errors), start_new_session=True,
                env=start_environ(setup.environ or os.environ),
            )
            kept.callback(_kill, self._process)
            name, arguments = "taskproc-worker", (self._process, self.gone, exit_writer)
            start_thread(threading.Thread(target=_tell_exit, args=arguments, name=name, daemon=True))
            kept.pop_all()  # no error: `close` frees it
        self._messages = Messages(self.channel)
        self._send(frame(pickle.dumps(setup, 5)))

    @property
    def deaf(self) -> bool:
        """Whether the worker has closed its end of the channel."""
        return self._messages.closed

    def call_it(self, number: int) -> None:
        """Tell it its number, by which its results name it. Before it gets a job."""
        os.pwrite(self._marks.fileno(), MARK.pack(number), NUMBER)

    def give(self, content: bytes) -> None:
        """Send jobs; see `framed`. Jobs that were called back must have passed before: this lifts the bound."""
        if self._is_bound:
            os.pwrite(self._marks.fileno(), UNBOUND, BOUND)
            self._is_bound = False
        self._send(content)

    def retire(self) -> None:
        """Let the worker end when it has done its jobs. It cannot be given more."""
        with suppress(OSError):  # it has ended already
            self.channel.shutdown(socket.SHUT_WR)

    def bind(self) -> int:
        """Let it begin no more jobs. Return the number of the last that it began or may refuse; see dispatch.py."""
        os.pwrite(self._marks.fileno(), MARK.pack(self.begun()), BOUND)
        self._is_bound = True
        return self.begun()

    def begun(self) -> int:
        """Return the number of the last job that it was about to begin."""
        return self._mark(BEGUN) or 0

    def step(self, job: int) -> int | None:
        """Return the last step that the job of that number began; None: it began none. See Steps."""
        return step_of(os.pread(self._marks.fileno(), MARK.size, STEP), job)

    def halt(self, job: int) -> None:
        """Ask the job of that number to end before its next step."""
        os.pwrite(self._marks.fileno(), job.to_bytes(MARK.size, sys.byteorder), HALT)

    def read(self) -> Iterator[bytes]:
        """Yield whole messages that have come, without waiting."""
        return self._messages.ready()

    def signal(self, number: int = signal.SIGKILL) -> None:
        """Send it and all its children a signal; KILL ends all processes below it. Does nothing if it is gone."""
        # KILL must not hit the keeper. Before it has become one, nothing is below it, and USR1 ends it as well
        os.kill(self._process.pid, signal.SIGUSR1 if number == signal.SIGKILL else number)

    def last_words(self) -> str:
        """Return what it wrote to standard error before it was ready."""
        self._errors.seek(0)
        return last_lines(self._errors.read(1 << 20))

    def dismiss(self, *, is_busy: bool) -> None:
        """Ask it to end: with TERM if it is busy."""
        if is_busy:
            self.signal(signal.SIGTERM)
        else:
            self.channel.close()

    def close(self) -> Exit:
        """Kill all that is left below it and free its resources. Return how it ended."""
        self.signal(signal.SIGKILL)
        if not self.gone.wait(LAST):
            self._process.kill()  # the keeper is stopped, or waits for a process that cannot be killed
            self.gone.wait()
        end = reap(self._process, self._mark(PEAK))
        os.close(self.exit)
        self._close_all()
        return end

    def _mark(self, place: int) -> int | None:
        mark = os.pread(self._marks.fileno(), MARK.size, place)
        return int(MARK.unpack(mark)[0]) if len(mark) == MARK.size else None

    def _send(self, content: bytes) -> None:
        try:
            self.channel.sendall(content)
        except (BrokenPipeError, ConnectionResetError):
            pass  # its exit will be reported with all details
        except BaseException:
            self.signal(signal.SIGKILL)  # after half a message the worker is useless
            raise

    def _close_all(self) -> None:
        self.channel.close()
        os.close(self._lifeline)
        self._marks.close()
        self._errors.close()


def framed(give: Give) -> bytes:
    """Return the bytes to send for a job."""
    parcel, kind = give.parcel, give.parcel.kind
    if kind is None:
        return frame(JOB + parcel.content)
    content = frame(b"".join((OF_KIND, kind.name, parcel.content)))
    return frame(b"".join((KIND, kind.name, kind.content))) + content if give.is_new else content


_early: list[tuple[int, Setup, Worker]] = []  # at most one: the process that may use it, its setup, the worker


def start_early_worker(workers: int | None = None) -> None:
    """Start one of `workers` workers (default: as ResidentRunner) before it is needed. If unused, it ends with us.

    It is used only if this process is still set up as now: with the same folder, environment and import path.
    """
    if os.name != "posix" or _early:
        return
    setup = Setup.here(environ=share_of_threads(workers or available_cpus(), os.environ))
    try:
        _early.append((os.getpid(), setup, Worker(setup)))
    except OSError:
        return  # the runner that needs one tries again, and reports why it fails
    atexit.register(_end_early)  # registering twice does no harm


@contextmanager
def early_worker(workers: int | None) -> Iterator[None]:
    """Start a worker before the block, and end it after the block if nobody has taken it."""
    had_one = bool(_early)
    start_early_worker(workers)
    try:
        yield
    finally:
        if not had_one:
            _end_early()


def take_early_worker(setup: Setup) -> Worker | None:
    """Return the worker that was started early, if it fits `setup`."""
    if not _early or _early[0][:2] != (os.getpid(), setup):
        return None
    return _early.pop()[2]


def _end_early() -> None:
    while _early:
        pid, _, worker = _early.pop()
        if pid == os.getpid():
            worker.close()



def _file_of_marks() -> BinaryIO:
    """Return a file of marks, in memory if possible: each job writes into it once."""
    file: BinaryIO
    if hasattr(os, "memfd_create"):
        file = os.fdopen(os.memfd_create("taskproc-marks"), "w+b", buffering=0)
    else:
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # open until the process ends
    file.write(MARK.pack(0) * 2 + UNBOUND + MARK.pack(0) * 3)
    return file


def _own_errors(stack: ExitStack) -> int:
    """Return a copy of our standard error, closed with the stack."""
    number = os.dup(2)
    stack.callback(os.close, number)
    return number


def _pipe(reading: ExitStack, writing: ExitStack) -> tuple[int, int]:
    """Return the two ends of a pipe, each closed with its stack."""
    ends = os.pipe()
    for stack, end in zip((reading, writing), ends):
        stack.callback(os.close, end)
    return ends


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a worker that has begun to start; see Worker.signal."""
    os.kill(process.pid, signal.SIGUSR1)
    reap(process)


def _tell_exit(process: subprocess.Popen[bytes], gone: threading.Event, exit_writer: int) -> None:
    """Wait for the end, in a thread. End of file on the socket would not do: a grandchild may hold it open."""
    await_exit(process)
    gone.set()
    os.close(exit_writer)
