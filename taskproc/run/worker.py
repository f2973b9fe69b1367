"""`python -m taskproc.run.worker`: the far end of a resident worker; runs one job after another until nobody asks.

Messages go both ways over one socket, each with its length before it. Several jobs may have come before one is begun;
dispatch.py tells the whole protocol.

After each job the process is put in order; see baseline.py. Where that cannot be done, or a job leaves children
running, the worker ends after its answer, and another takes its place. The orphans of a job are its keeper's children
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
from taskproc.run import steps
from taskproc.run.baseline import Baseline, adopt_imports, begin_baseline
from taskproc.run.capture import flush_all, own_descriptors
from taskproc.run.group import has_children, own_peak
from taskproc.run.keeper import end_children, keep_me
from taskproc.run.kinds import Kinds
from taskproc.run.lifeline import hold_on
from taskproc.run.problem import problem_of, sentence
from taskproc.run.setup import Setup, be_far_end
from taskproc.run.timeout import on_begin
from taskproc.run.usage_meter import work_as
from taskproc.run.wire import (
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
)


def run(message: bytes) -> bytes:
    """The pickled outcome of the pickled job `message`. Whatever the job does, short of ending the process."""
    return _done(lambda: load(message))[1]


def _done(unpack: Callable[[], Any]) -> tuple[bytes, bytes]:
    """The pickled outcome of the job that `unpack` gives, after ANSWER or PLAIN."""
    try:
        job = unpack()
    except BaseException as error:  # noqa: BLE001  # modules are imported here, which may do anything
        problem = problem_of(error)
        text = f"the job could not be unpickled in its worker process: {problem.text}"
        return ANSWER, pickle.dumps(Failed(Problem("exception", text, problem.traceback, problem.error)), 5)
    adopt_imports()
    try:
        outcome = job()
    except BaseException as error:  # noqa: BLE001  # SystemExit is how this job ended, not the worker
        outcome = Failed(problem_of(error))
    try:
        return PLAIN if getattr(outcome, "is_plain", False) else ANSWER, pickle.dumps(outcome, 5)
    except Exception as error:  # noqa: BLE001  # the user's classes take part
        text = f"the outcome of the job cannot be pickled: {sentence(error)}"
        return ANSWER, pickle.dumps(Failed(Problem("result", text)), 5)


class Marks:
    """The file in which stands which job began, and which is the last that may; see dispatch.py.

    Attributes:
        count: how many jobs were to begin.
    """

    def __init__(self, file: int):
        self._file = file
        self.count = 0

    def begin(self) -> bool:
        """The next job begins. False: it was called back, and is to be refused."""
        self.count += 1
        # First write, then look: the main process does the same, so at least one side sees the other's word
        os.pwrite(self._file, MARK.pack(self.count), BEGUN)
        bound = os.pread(self._file, MARK.size, BOUND)
        return bound == UNBOUND or self.count <= MARK.unpack(bound)[0]

    @property
    def number(self) -> bytes:
        """Of the last job that was to begin."""
        return MARK.pack(self.count)

    @cached_property
    def worker(self) -> str:
        """What this worker is called in results. Asked from the first job on."""
        return f"worker {MARK.unpack(os.pread(self._file, MARK.size, NUMBER))[0]}"


class Orphans:
    """Processes that jobs have left behind and whose parents have ended: the other children of our keeper."""

    def __init__(self) -> None:
        keeper, self._own = os.getppid(), b"%d " % os.getpid()
        try:
            # A file that is read again each time: one call a job, 2 µs
            self._children = os.open(f"/proc/{keeper}/task/{keeper}/children", os.O_RDONLY)
        except OSError:
            self._children = -1  # not Linux, or a kernel that does not tell: they end with the worker

    def end(self) -> bool:
        """Kill them all. False: some cannot be killed."""
        if self._children < 0 or os.pread(self._children, len(self._own) + 1, 0) == self._own:
            return True
        return end_children(self._left)

    def _left(self) -> list[int]:
        own = os.getpid()
        return [pid for pid in map(int, os.pread(self._children, 1 << 16, 0).split()) if pid != own]


def serve(channel: socket.socket, messages: Messages, marks: Marks, *, keeps: bool = False) -> None:
    """Run the jobs that come in, one after another, until the other side closes. `keeps`: nothing is put back."""
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
    # Only in an interpreter of our own: in a fork it would wait for a thread that was not forked along
    faulthandler.cancel_dump_traceback_later()
    return baseline.restore()


def _say(channel: socket.socket, content: bytes) -> bool:
    """Send it. False: nobody waits for it any more."""
    try:
        send(channel, content)
    except BrokenPipeError:
        return False
    return True


def main(arguments: list[str]) -> None:
    """Args: descriptors of the socket, the lifeline and the file of marks; the process id of the parent.

    With a fifth, to which standard error leads, the process is kept as the jobs leave it.
    """
    socket_number, lifeline, marks_number, parent, *kept = map(int, arguments)
    os.pwrite(marks_number, MARK.pack(own_peak()), PEAK)  # of our keeper, which is what the main process waits for
    keep_me(lifeline, parent)
    hold_on(lifeline, os.getppid())
    for number in (socket_number, marks_number, *kept):
        os.set_inheritable(number, False)
    # The main process decides what Ctrl-C means. Not SIG_IGN: the children of a task would inherit that.
    signal.signal(signal.SIGINT, _nothing)
    channel = socket.socket(fileno=socket_number)
    messages = Messages(channel)
    setup = messages.next()
    if setup is None:
        return
    there = load(setup)
    if not isinstance(there, Setup):
        raise AssertionError(f"the first message is {there!r} [this is a bug]")
    with suppress(FileNotFoundError):  # its folder was removed since: we were started in it, and are there
        there.apply()
    own_descriptors(for_many=True)
    faulthandler.enable(2)  # a crash in C code then tells its place in the log of the job
    on_begin(lambda seconds: send(channel, BEGAN))
    marks = Marks(marks_number)
    work_as(lambda: marks.worker)
    steps.use_marks(marks_number, lambda: marks.count, lambda part: send(channel, PART + part))
    send(channel, READY)
    errors = kept[0] if kept else os.open(os.devnull, os.O_WRONLY)
    os.dup2(errors, 2)
    os.close(errors)
    serve(channel, messages, marks, keeps=bool(kept))


def _nothing(*_: object) -> None:
    """The handler of a signal that means nothing here."""


def end_process(code: int) -> NoReturn:
    """End this process without waiting for threads that a job has left behind: nobody needs what they would do."""
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        atexit._run_exitfuncs()
        flush_all()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    be_far_end()
    main(sys.argv[1:])
    end_process(0)
