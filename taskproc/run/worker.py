"""`python -m taskproc.run.worker`: the far end of a resident worker. It runs one job after another.

Messages go both ways over one socket, each with its length before it. Several jobs may arrive before one begins;
dispatch.py describes the whole protocol.

After each job the state of the process is put back (baseline.py). If that fails, or if the job leaves children running,
the worker ends after its answer, and another one takes its place. The orphans of a job are children of its keeper
(keeper.py); they are killed before the answer.
"""
from __future__ import annotations

import atexit
import faulthandler
import os
import pickle
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property, partial
from typing import Any, NoReturn

from taskproc.kernel.model import Failed, Problem
from taskproc.pickling import load
from taskproc.run.baseline import Baseline, adopt_imports, begin_baseline
from taskproc.run.capture import flush_all, own_descriptors
from taskproc.run.far_end import Setup, be_far_end, on_begin
from taskproc.run.group import has_children, own_peak
from taskproc.run.keeper import end_children, keep_me
from taskproc.run.kinds import Kinds
from taskproc.run.lifeline import hold_on
from taskproc.run.problem import problem_of, sentence
from taskproc.run.usage_meter import work_as
from taskproc.run.worker_protocol import (
    ANSWER,
    BEGAN,
    BEGUN,
    BOUND,
    KIND,
    LEAVING,
    MARK,
    NAMED,
    NUMBER,
    OF_KIND,
    PART,
    PEAK,
    PLAIN,
    READY,
    REFUSED,
    SECONDS,
    UNBOUND,
    Messages,
    send,
    use_marks,
)


def run(message: bytes) -> bytes:
    """Run the pickled job `message` and return its pickled outcome, whatever the job raises."""
    return _done(lambda: load(message))[1]


def _done(unpack: Callable[[], Any]) -> tuple[bytes, bytes]:
    """Run the job that `unpack` returns. Return ANSWER or PLAIN, and the pickled outcome."""
    try:
        job = unpack()
    except BaseException as error:  # noqa: BLE001  # this imports modules, which may do anything
        problem = problem_of(error)
        text = f"the job could not be unpickled in its worker process: {problem.text}"
        return ANSWER, pickle.dumps(Failed(Problem("exception", text, problem.traceback, problem.error)), 5)
    adopt_imports()
    try:
        outcome = job()
    except BaseException as error:  # noqa: BLE001  # SystemExit ends this job, not the worker
        outcome = Failed(problem_of(error))
    try:
        return PLAIN if getattr(outcome, "is_plain", False) else ANSWER, pickle.dumps(outcome, 5)
    except Exception as error:  # noqa: BLE001  # the user's classes take part
        text = f"the outcome of the job cannot be pickled: {sentence(error)}"
        return ANSWER, pickle.dumps(Failed(Problem("result", text)), 5)


class Marks:
    """The file that says which job began last, and which is the last that may begin; see dispatch.py.

    Attributes:
        count: how many jobs have come to their turn.
    """

    def __init__(self, file: int):
        self._file = file
        self.count = 0

    def begin(self) -> bool:
        """Begin the next job. Return False if it was called back and must be refused."""
        self.count += 1
        # First write, then read, as the main process does: so at least one side sees what the other has written
        os.pwrite(self._file, MARK.pack(self.count), BEGUN)
        bound = os.pread(self._file, MARK.size, BOUND)
        return bound == UNBOUND or self.count <= MARK.unpack(bound)[0]

    @property
    def number(self) -> bytes:
        """The number of the last job that came to its turn, as it is sent."""
        return MARK.pack(self.count)

    @cached_property
    def worker(self) -> str:
        """What this worker is called in results. Asked from the first job on."""
        return f"worker {MARK.unpack(os.pread(self._file, MARK.size, NUMBER))[0]}"


class Orphans:
    """Processes left by jobs, whose parents have ended: the other children of our keeper."""

    def __init__(self) -> None:
        keeper, self._own = os.getppid(), b"%d " % os.getpid()
        try:
            # The open file is read again each time: one call per job, 2 µs
            self._children = os.open(f"/proc/{keeper}/task/{keeper}/children", os.O_RDONLY)
        except OSError:
            self._children = -1  # not Linux, or a kernel without this file: they end with the worker

    def end(self) -> bool:
        """Kill them all. Return False if one cannot be killed."""
        if self._children < 0 or os.pread(self._children, len(self._own) + 1, 0) == self._own:
            return True
        return end_children(self._left)

    def _left(self) -> list[int]:
        own = os.getpid()
        return [pid for pid in map(int, os.pread(self._children, 1 << 16, 0).split()) if pid != own]


def serve(channel: socket.socket, messages: Messages, marks: Marks, *, keeps: bool = False) -> None:
    """Run jobs, one after another, until the other side closes the channel. `keeps`: nothing is put back."""
    baseline, orphans = begin_baseline(), Orphans()
    kinds = Kinds()
    while (message := messages.next()) is not None:
        tag, name = message[:1], message[1 : 1 + NAMED]
        if tag == KIND:
            kinds.take(name, message[1 + NAMED :])
            continue
        if not marks.begin():
            if not _say(channel, REFUSED + marks.number):
                return
            continue
        begun = time.perf_counter()
        if tag == OF_KIND:
            answer, content = _done(partial(kinds.job, name, message[1 + NAMED :]))
        else:
            answer, content = _done(partial(load, message[1:]))
        seconds = time.perf_counter() - begun
        del message
        flush_all()
        stays = keeps or (_in_order(baseline) and not has_children() and orphans.end())
        said = stays or _say(channel, LEAVING)
        if not said or not _say(channel, b"".join((answer, SECONDS.pack(seconds), content))):
            return
        if not stays:
            return


def _in_order(baseline: Baseline) -> bool:
    # Only in a fresh interpreter: in a fork this would wait for a thread that does not exist there
    faulthandler.cancel_dump_traceback_later()
    return baseline.restore()


def _say(channel: socket.socket, content: bytes) -> bool:
    """Send a message. Return False if nobody reads any more."""
    try:
        send(channel, content)
    except BrokenPipeError:
        return False
    return True


def main(arguments: list[str]) -> None:
    """Run a worker. Arguments: descriptors of the socket, the lifeline and the file of marks; the pid of the parent.

    A fifth argument is a descriptor for standard error; with it, the process stays as the jobs leave it.
    """
    socket_number, lifeline, marks_number, parent, *kept = map(int, arguments)
    os.pwrite(marks_number, MARK.pack(own_peak()), PEAK)  # of the keeper, which the main process waits for
    keep_me(lifeline, parent)
    hold_on(lifeline, os.getppid())
    for number in (socket_number, marks_number, *kept):
        os.set_inheritable(number, False)
    # The main process decides what Ctrl-C means. Not SIG_IGN: the children of a task would inherit it.
    signal.signal(signal.SIGINT, _nothing)
    channel = socket.socket(fileno=socket_number)
    messages = Messages(channel)
    setup = messages.next()
    if setup is None:
        return
    sender = load(setup)
    if not isinstance(sender, Setup):
        raise AssertionError(f"the first message is {sender!r} [this is a bug]")
    with suppress(FileNotFoundError):  # the folder was removed meanwhile: we were started in it and still are there
        sender.apply()
    own_descriptors(for_many=True)
    faulthandler.enable(2)  # a crash in C code then names its place in the log of the job
    on_begin(lambda seconds: send(channel, BEGAN))
    marks = Marks(marks_number)
    work_as(lambda: marks.worker)
    use_marks(marks_number, lambda: marks.count, lambda part: send(channel, PART + part))
    send(channel, READY)
    errors = kept[0] if kept else os.open(os.devnull, os.O_WRONLY)
    os.dup2(errors, 2)
    os.close(errors)
    serve(channel, messages, marks, keeps=bool(kept))


def _nothing(*_: object) -> None:
    """Handle a signal that means nothing here."""


def end_process(code: int) -> NoReturn:
    """End this process without waiting for threads that a job has left: nobody needs their results."""
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        atexit._run_exitfuncs()
        flush_all()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    be_far_end()
    main(sys.argv[1:])
    end_process(0)
