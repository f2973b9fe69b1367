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
from collections import deque
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import BinaryIO, Generic, TypeVar

from taskproc.kernel.model import Ticket
from taskproc.run.group import Exit, await_exit, reap
from taskproc.run.inbox import Alarm
from taskproc.run.kinds import Kind
from taskproc.run.pace import MOST, WINDOW
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
    OF_KIND,
    PEAK,
    SMALL,
    STEP,
    UNBOUND,
    Messages,
    frame,
)
from taskproc.streams import fill_gaps

K = TypeVar("K", bound=Hashable)
LAST = 20.0   # seconds after which a keeper that was told to end all is killed
_AROUND = 64  # bytes, and more, that stand around the content of a job


@dataclass(slots=True, eq=False)
class Parcel(Generic[K]):
    """A pickled job on its way.

    Attributes:
        kind: what it is a job of; None: of no kind.
        timeout: how long it may run; None: as long as it takes.
        seconds: how long it will take, by guess.
        tries: how many workers died with it before they looked at it.
        alone: whether it is to be the only job of its worker.
        number, size: its number among the jobs that its worker was given, and how many bytes were sent for it.
    """

    ticket: Ticket[K]
    content: bytes
    kind: Kind | None = None
    timeout: float | None = None
    seconds: float = WINDOW
    tries: int = 0
    alone: bool = False
    number: int = 0
    size: int = 0


class Worker(Generic[K]):
    """One process, seen from here. Raises OSError if it cannot be started; then nothing is left of it.

    Args:
        keeps: what a job leaves behind in the process stays there (environment, folder, children), and what it prints
            goes where this process prints.

    Attributes:
        parcels: what it was given and has not answered, in that order; all but the first are ahead of time.
        seconds: how long these will take, by guess.
        called_back: number of the last job that was called back, until the worker has passed it: before that it is
            given nothing.
        ready: whether it has started well; silent: whether it was given up for having closed its end of the channel.
        leaves: whether it takes no more jobs, since it cannot be put in order or is to be killed.
        expired: whether its job has run too long; alarm: what is to be done about it, and when.
        gone: set as soon as it has ended.
    """

    def __init__(self, setup: Setup, *, keeps: bool = False) -> None:
        self.parcels: deque[Parcel[K]] = deque()
        self.seconds = 0.0
        self.called_back = 0
        self.ready = False
        self.silent = False
        self.leaves = False
        self.expired = False
        self.alarm: Alarm | None = None
        self.gone = threading.Event()
        self._given = 0
        self._ahead = 0
        self._kinds: set[bytes] = set()
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
    def parcel(self) -> Parcel[K] | None:
        """What it does now, or will do first; None: it is idle."""
        return self.parcels[0] if self.parcels else None

    @property
    def deaf(self) -> bool:
        """Whether it has closed its end of the channel."""
        return self._messages.closed

    def has_room(self, parcel: Parcel[K]) -> bool:
        """Whether it may be given that job now: it is idle, or has little to do and so has the job.

        What it is given ahead must fit into the channel, for it may not read on for as long as a job runs. So the first
        job of a kind is never sent ahead.
        """
        if self.leaves or self.called_back or (parcel.alone and self._given):
            return False
        if not self.parcels:
            return True
        return (
            parcel.kind is not None
            and parcel.kind.name in self._kinds
            and self.seconds + parcel.seconds <= WINDOW
            and len(self.parcels) < MOST
            and self._ahead + len(parcel.content) + _AROUND <= SMALL
        )

    def take(self, parcel: Parcel[K]) -> bytes:
        """Note that it is given that job. What is to be sent for it, see `give`."""
        self._given += 1
        parcel.number = self._given
        content = self._content(parcel)
        parcel.size = len(content)
        if self.parcels:
            self._ahead += parcel.size
        self.parcels.append(parcel)
        self.seconds += parcel.seconds
        self.leaves = self.leaves or parcel.alone
        return content

    def _content(self, parcel: Parcel[K]) -> bytes:
        kind = parcel.kind
        if kind is None:
            return frame(JOB + parcel.content)
        content = frame(b"".join((OF_KIND, kind.name, parcel.content)))
        if kind.name not in self._kinds:
            self._kinds.add(kind.name)
            content = frame(b"".join((KIND, kind.name, kind.content))) + content
        return content

    def give(self, content: bytes) -> None:
        """Send what `take` gave, of one job or of several."""
        self._send(content)
        if self.leaves:
            self.retire()

    def retire(self) -> None:
        """Let it end by itself as soon as it has done what it was given; it is given nothing more."""
        self.leaves = True
        with suppress(OSError):  # it has ended already
            self.channel.shutdown(socket.SHUT_WR)

    def ended(self) -> Parcel[K]:
        """Its first job has ended; that is taken from it."""
        parcel = self.parcels.popleft()
        if self.parcels:
            self.seconds -= parcel.seconds
            self._ahead -= self.parcels[0].size
        else:
            self.seconds = 0.0
        if parcel.number == self.called_back:
            self._pass()
        return parcel

    def call_back(self) -> list[Parcel[K]]:
        """The jobs that it has not begun, and now never will. One that is about to begin may be refused by it."""
        if len(self.parcels) < 2:
            return []
        os.pwrite(self._marks.fileno(), MARK.pack(self._mark(BEGUN) or 0), BOUND)
        begun = self._mark(BEGUN) or 0
        self.called_back = self.parcels[-1].number
        back: list[Parcel[K]] = []
        while len(self.parcels) > 1 and self.parcels[-1].number > begun:
            back.append(self.parcels.pop())
            self.seconds -= back[-1].seconds
            self._ahead -= back[-1].size
        return back[::-1]

    def refused(self, number: int) -> Parcel[K] | None:
        """It has passed a job that was called back. That job, if it was still counted as its own."""
        if self.parcels and self.parcels[0].number == number:
            return self.ended()
        if number == self.called_back:
            self._pass()
        return None

    def _pass(self) -> None:
        self.called_back = 0
        os.pwrite(self._marks.fileno(), UNBOUND, BOUND)

    def read(self) -> Iterator[bytes]:
        """Whole messages that have come, without waiting."""
        return self._messages.ready()

    def began(self) -> bool:
        """Whether it had looked at the first job that it has not answered."""
        begun = self._mark(BEGUN)
        return begun is not None and bool(self.parcels) and begun >= self.parcels[0].number

    def step(self) -> int | None:
        """The last step that the first job it has not answered began; None: none. See run/steps.py."""
        word = os.pread(self._marks.fileno(), MARK.size, STEP)
        return step_of(word, self.parcels[0].number) if self.parcels else None

    def halt(self) -> None:
        """Ask its first job to end before its next step."""
        if self.parcels:
            os.pwrite(self._marks.fileno(), self.parcels[0].number.to_bytes(MARK.size, sys.byteorder), HALT)

    def signal(self, number: int = signal.SIGKILL) -> None:
        """Send it, and all its children, a signal; KILL goes to all that is below it. Nothing happens if it is gone."""
        # The keeper itself is not to be killed. Before it is one there is nothing below it, and USR1 ends it as well
        os.kill(self._process.pid, signal.SIGUSR1 if number == signal.SIGKILL else number)

    def last_words(self) -> str:
        """What it wrote to standard error before it was ready."""
        self._errors.seek(0)
        return last_lines(self._errors.read(1 << 20))

    def dismiss(self) -> None:
        """Ask it to end: at once if it is busy."""
        if self.parcels:
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
            pass  # its exit will be told, with all there is to say
        except BaseException:
            self.signal(signal.SIGKILL)  # half a message leaves it of no use
            raise

    def _close_all(self) -> None:
        self.channel.close()
        os.close(self._lifeline)
        self._marks.close()
        self._errors.close()


def _file_of_marks() -> BinaryIO:
    """In memory where that can be: each job writes into it once."""
    file: BinaryIO
    if hasattr(os, "memfd_create"):
        file = os.fdopen(os.memfd_create("taskproc-marks"), "w+b", buffering=0)
    else:
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # it lives as long as the process
    file.write(MARK.pack(0) * 2 + UNBOUND + MARK.pack(0) * 2)
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
