"""A resident worker, seen from the main process: a fresh interpreter with a channel, a lifeline and a file of marks.

The process that is started here becomes the keeper of the worker (keeper.py), and ends as that does.
"""
from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import BinaryIO

from taskproc.run.dispatch import Give
from taskproc.run.group import Exit, await_exit, reap
from taskproc.run.problem import last_lines
from taskproc.run.scarce import start_thread
from taskproc.run.setup import Setup, interpreter, start_environ
from taskproc.run.steps import step_of
from taskproc.run.wire import (
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
)
from taskproc.streams import fill_gaps

LAST = 20.0  # seconds after which a keeper that was asked to end everything is killed


class Worker:
    """One process, seen from here. Raises OSError if it cannot be started; then nothing is left of it.

    Args:
        keeps: what a job leaves behind in the process stays there (environment, folder, children), and what it prints
            goes where this process prints.

    Attributes:
        channel: becomes readable when it has sent something; see `read`.
        exit: a descriptor that becomes readable when it has ended.
        gone: set as soon as it has ended.
    """

    def __init__(self, setup: Setup, *, keeps: bool = False) -> None:
        self.gone = threading.Event()
        self._is_bound = False
        fill_gaps()  # one may be started before its run
        with ExitStack() as kept, ExitStack() as passed:
            self._marks = kept.enter_context(_file_of_marks())
            self._errors = kept.enter_context(tempfile.TemporaryFile())
            self.channel, there = (stack.enter_context(end) for stack, end in zip((kept, passed), socket.socketpair()))
            life, self._lifeline = _pipe(passed, kept)
            self.exit, exit_writer = _pipe(kept, kept)
            inherited = (there.fileno(), life, self._marks.fileno())
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
            kept.pop_all()  # all went well: `close` frees it
        self._messages = Messages(self.channel)
        self._send(frame(pickle.dumps(setup, 5)))

    @property
    def deaf(self) -> bool:
        """Whether it has closed its end of the channel."""
        return self._messages.closed

    def call_it(self, number: int) -> None:
        """Tell it its number, by which its results name it. Before it gets a job."""
        os.pwrite(self._marks.fileno(), MARK.pack(number), NUMBER)

    def give(self, content: bytes) -> None:
        """Send jobs; see `framed`. All that was called back before must have passed: this lifts the bound."""
        if self._is_bound:
            os.pwrite(self._marks.fileno(), UNBOUND, BOUND)
            self._is_bound = False
        self._send(content)

    def retire(self) -> None:
        """Let it end by itself as soon as it has done what it was given; it can be given nothing more."""
        with suppress(OSError):  # it has ended already
            self.channel.shutdown(socket.SHUT_WR)

    def bind(self) -> int:
        """From now on it begins no job; the number of the last that it has begun, or may refuse. See dispatch.py."""
        os.pwrite(self._marks.fileno(), MARK.pack(self.begun()), BOUND)
        self._is_bound = True
        return self.begun()

    def begun(self) -> int:
        """The number of the last job that it was about to begin."""
        return self._mark(BEGUN) or 0

    def step(self, job: int) -> int | None:
        """The last step that the job of that number began; None: none. See run/steps.py."""
        return step_of(os.pread(self._marks.fileno(), MARK.size, STEP), job)

    def halt(self, job: int) -> None:
        """Ask the job of that number to end before its next step."""
        os.pwrite(self._marks.fileno(), job.to_bytes(MARK.size, sys.byteorder), HALT)

    def read(self) -> Iterator[bytes]:
        """Whole messages that have come, without waiting."""
        return self._messages.ready()

    def signal(self, number: int = signal.SIGKILL) -> None:
        """Send it, and all its children, a signal; KILL goes to all that is below it. Nothing happens if it is gone."""
        # The keeper itself is not to be killed. Before it is one there is nothing below it, and USR1 ends it as well
        os.kill(self._process.pid, signal.SIGUSR1 if number == signal.SIGKILL else number)

    def last_words(self) -> str:
        """What it wrote to standard error before it was ready."""
        self._errors.seek(0)
        return last_lines(self._errors.read(1 << 20))

    def dismiss(self, *, is_busy: bool) -> None:
        """Ask it to end: at once if it is busy."""
        if is_busy:
            self.signal(signal.SIGTERM)
        else:
            self.channel.close()

    def close(self) -> Exit:
        """Kill what is left below it and free all it had; how it ended."""
        self.signal(signal.SIGKILL)
        if not self.gone.wait(LAST):
            self._process.kill()  # the keeper cannot do its work: it was stopped, or waits for what cannot be killed
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
            pass  # its exit will be reported, with all details
        except BaseException:
            self.signal(signal.SIGKILL)  # half a message leaves it of no use
            raise

    def _close_all(self) -> None:
        self.channel.close()
        os.close(self._lifeline)
        self._marks.close()
        self._errors.close()


def framed(give: Give) -> bytes:
    """What is to be sent for a job."""
    parcel, kind = give.parcel, give.parcel.kind
    if kind is None:
        return frame(JOB + parcel.content)
    content = frame(b"".join((OF_KIND, kind.name, parcel.content)))
    return frame(b"".join((KIND, kind.name, kind.content))) + content if give.is_new else content


def _file_of_marks() -> BinaryIO:
    """In memory where that can be: each job writes into it once."""
    file: BinaryIO
    if hasattr(os, "memfd_create"):
        file = os.fdopen(os.memfd_create("taskproc-marks"), "w+b", buffering=0)
    else:
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # open until the process ends
    file.write(MARK.pack(0) * 2 + UNBOUND + MARK.pack(0) * 3)
    return file


def _own_errors(stack: ExitStack) -> int:
    """A descriptor for what this process writes to standard error."""
    number = os.dup(2)
    stack.callback(os.close, number)
    return number


def _pipe(reading: ExitStack, writing: ExitStack) -> tuple[int, int]:
    """The two ends of a pipe, each closed with its stack."""
    ends = os.pipe()
    for stack, end in zip((reading, writing), ends):
        stack.callback(os.close, end)
    return ends


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End what has begun to start; see Worker.signal."""
    os.kill(process.pid, signal.SIGUSR1)
    reap(process)


def _tell_exit(process: subprocess.Popen[bytes], gone: threading.Event, exit_writer: int) -> None:
    """Wait in a thread of its own. End of file on the socket would not do: a grandchild may hold that open."""
    await_exit(process)
    gone.set()
    os.close(exit_writer)
