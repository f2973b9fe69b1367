"""Operating-system commands as jobs: words without a shell, what they print in two files, TERM before KILL.

A command leads a process group of its own, so that it ends with all its children, and dies with the process that
started it, however that dies: a keeper (keeper.py) sees to that, and ends what the command has left. A far end of ours
has a keeper already. Its commands die with it where the kernel can see to it (Linux; see lifeline.tie), or elsewhere in
its group, and what has left their group ends with the job.
"""
from __future__ import annotations

import functools
import os
import shlex
import signal
import threading
import time
import weakref
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path
from subprocess import DEVNULL
from typing import Generic, TypeVar

from taskproc.checks import at_least
from taskproc.frozen import frozen
from taskproc.kernel.model import Done, Failed, Problem, Stamp, Ticket
from taskproc.run.base import Ending, Job
from taskproc.run.child import Child
from taskproc.run.children import Children, Deadline, not_started
from taskproc.run.group import Grace
from taskproc.run.inbox import Inbox
from taskproc.run.lifeline import can_tie, tie
from taskproc.run.problem import end_of_log, exit_text, sentence
from taskproc.run.scarce import limit_problem, was_refused
from taskproc.run.setup import is_far_end
from taskproc.text import printable

K = TypeVar("K", bound=Hashable)

LONGEST_LINE = 500  # characters of a command line that are shown


@frozen
class Exited(Done):
    """The command ended, with one of the codes that are right."""

    code: int = 0


@frozen
class CommandJob:
    """A command and all that it needs.

    Attributes:
        words: what is run, and its arguments. Nothing splits or expands them.
        stdout, stderr: files, to which is appended what it prints.
        stdin: a file; None: there is nothing to read.
        folder: its working directory; None: that of this process.
        environ: all its environment variables; None: those of this process.
        timeout: seconds after which it is ended.
        codes: exit codes with which it has ended well.
    """

    words: tuple[str, ...]
    stdout: Path
    stderr: Path
    stdin: Path | None = None
    folder: Path | None = None
    environ: Mapping[str, str] | None = None
    timeout: float | None = None
    codes: tuple[int, ...] = (0,)

    def __call__(self) -> Exited | Failed:
        """Run it to its end, and wait here: Exited or Failed. What interrupts the waiting ends it first."""
        attempt = _Attempt(self, _children.get() or _of_process(os.getpid()))
        if threading.current_thread() is threading.main_thread():
            return attempt.run_aside()
        return attempt.run()


def shown(words: Sequence[str]) -> str:
    """A command as one would type it, to be shown and never to be run."""
    line = printable(shlex.join(words))
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"


class CommandRunner(Generic[K]):
    """Runs each CommandJob as it is started, in the order in which they are; threads wait for their ends."""

    def __init__(self, inbox: Inbox[Ending[K]], capacity: int, children: Children | None = None):
        self._inbox = inbox
        self._capacity = at_least(capacity, 1, "number of commands at once")
        self._children = children or Children(Grace())
        self._at_exit = weakref.finalize(self, self._children.end, os.getpid())

    def capacity(self) -> int:
        """How many commands run at once."""
        return self._capacity

    def start(self, ticket: Ticket[K], job: Job[K]) -> None:
        """Start the process of `job`, which must be a CommandJob."""
        if not isinstance(job, CommandJob):
            raise AssertionError(f"{job!r} is not a command [this is a bug]")
        attempt = _Attempt(job, self._children)
        failed = attempt.start()
        if failed is None:
            self._begin_to_follow(ticket, attempt)
        else:
            self._tell(ticket, job, failed)

    def _tell(self, ticket: Ticket[K], job: CommandJob, outcome: Exited | Failed) -> None:
        """How it has ended; what the system did not let begin is begun when another one has ended."""
        refused = isinstance(outcome, Failed) and was_refused(outcome.problem)
        if not (refused and self._children.put_off(self._run, ticket, job)):
            self._inbox.put((ticket, outcome))

    def _run(self, ticket: Ticket[K], job: CommandJob) -> None:
        """In a thread: start it, and wait for its end."""
        outcome = _Attempt(job, self._children).run()
        if not self._children.stopping.is_set():
            self._tell(ticket, job, outcome)

    def _begin_to_follow(self, ticket: Ticket[K], attempt: _Attempt) -> None:
        try:
            self._children.follow(self._follow, ticket, attempt, is_started=True)
        except BlockingIOError as error:  # nobody can wait for its end
            attempt.kill()
            self._inbox.put((ticket, Failed(limit_problem("no thread could be started for the command", error))))

    def _follow(self, ticket: Ticket[K], attempt: _Attempt) -> None:
        outcome = attempt.follow()
        if not self._children.stopping.is_set():
            self._inbox.put((ticket, outcome))

    def wait(self, timeout: float | None) -> Sequence[Ending[K]]:
        """What has come into the inbox."""
        return self._inbox.wait(timeout)

    def recall(self) -> None:
        """Nothing: each has been started."""

    def stop(self) -> None:
        """TERM to all commands and their children, KILL after the grace."""
        self._at_exit()


class _Attempt:
    """One run of one command."""

    _child: Child
    _lifeline: int

    def __init__(self, job: CommandJob, children: Children):
        self._job, self._children = job, children
        self._started = time.perf_counter()
        self._lock = threading.Lock()
        self._is_called_off = False
        self._deadlines: list[Deadline] = []

    def run(self) -> Exited | Failed:
        """From its start to its end."""
        return self.start() or self.follow()

    def run_aside(self) -> Exited | Failed:
        """The same for the main thread, which may be interrupted at any instruction: another one does all, this waits.
        """
        outcomes: list[Exited | Failed] = []
        ended = threading.Event()  # not `join`: before Python 3.13 one that was interrupted takes the thread for ended

        def run() -> None:
            try:
                outcomes.append(self.run())
            finally:
                ended.set()

        thread = threading.Thread(target=run, name="taskproc-command", daemon=True)
        try:
            thread.start()
            ended.wait()
        except BaseException:
            self._call_off()
            if thread.ident is not None:  # else it has nothing to start any more
                ended.wait()
            raise
        return outcomes[0]

    def kill(self) -> None:
        """End it at once, and wait for that."""
        self._child.tell(signal.SIGKILL)
        self.follow()

    def _call_off(self) -> None:
        """End it, or never start it."""
        with self._lock:
            self._is_called_off = True
            if hasattr(self, "_child"):
                self._deadlines.append(Deadline(self._child, 0))

    def start(self) -> Failed | None:
        """Start it. Why that cannot be, else None."""
        try:
            reading, self._lifeline = os.pipe()
        except OSError as error:  # too many are open
            return Failed(_problem(self._job, error))
        problem = Problem("command", f"command {shown(self._job.words)} was not started any more")
        child = None
        try:
            with self._lock:
                child = None if self._is_called_off else self._start(reading)
                if child is not None:
                    self._child = child
        except (OSError, ValueError) as error:
            problem = _problem(self._job, error)
        finally:
            os.close(reading)
        if child is not None:
            return None
        os.close(self._lifeline)
        return Failed(problem)

    def _start(self, reading: int) -> Child | None:
        job = self._job
        with ExitStack() as files:
            stdout, stderr = (files.enter_context(open(path, "ab")) for path in (job.stdout, job.stderr))
            stdin = DEVNULL if job.stdin is None else files.enter_context(open(job.stdin, "rb"))
            self._before = stdout.tell(), stderr.tell()
            child = self._children.start(
                job.words, stdout=stdout, stderr=stderr, stdin=stdin, environ=job.environ, folder=job.folder,
                passed=[reading], is_kept=not is_far_end(), leads=can_tie() or not is_far_end(),
            )
            if child is not None and child.leads:
                # Without a keeper it lives on if we are killed right before this: there is no group to be tied until
                # it is there. With one this is for the keeper's own death
                tie(reading, child.command_pid)
            return child

    def follow(self) -> Exited | Failed:
        """Wait for its end, and how it did."""
        limit = self._job.timeout
        deadline = None if limit is None else Deadline(self._child, limit)
        self._child.await_end()
        with self._lock:
            for each in (*self._deadlines, *([] if deadline is None else [deadline])):
                each.call_off()
            code = self._children.bury(self._child).code
            del self._child
        os.close(self._lifeline)
        seconds = time.perf_counter() - self._started
        if deadline is not None and deadline.passed:
            return Failed(self._failure("timeout", f"timed out after {limit:g} s", code), seconds)
        if code in self._job.codes:
            return Exited(Stamp("", ""), seconds, code)
        return Failed(self._failure("command", exit_text(code), code), seconds)

    def _failure(self, kind: str, what: str, code: int) -> Problem:
        paths = self._job.stderr, self._job.stdout
        said = next(filter(None, map(end_of_log, paths, reversed(self._before))), "")
        text = f"command {shown(self._job.words)} {what}"
        return Problem(kind, f"{text}\n{said}" if said else text, exit_code=code)


def _problem(job: CommandJob, error: OSError | ValueError) -> Problem:
    """Why it could not be started: of the files around it, or of the command itself."""
    name = getattr(error, "filename", None)
    around = {os.fspath(path): what for path, what in (
        (job.stdout, "the file for its stdout"), (job.stderr, "the file for its stderr"),
        (job.stdin, "the file for its stdin"), (job.folder, "its working directory"),
    ) if path is not None}
    if not isinstance(error, OSError):
        text = f"command {shown(job.words)} could not be run: {sentence(error)}"
    elif name is not None and os.fspath(name) in around:
        reason = error.strerror or type(error).__name__
        text = f"command {shown(job.words)} was not run: {around[os.fspath(name)]}, {os.fspath(name)!r}: {reason}"
    else:
        text = not_started(f"command {shown(job.words[:1])}", error)
    return Problem("command", text, error=error)


# ---------------------------------------------------------------- commands that jobs run in the thread that they are in

_children: ContextVar[Children | None] = ContextVar("taskproc_children", default=None)


def use_children(children: Children) -> None:
    """From now on the commands that jobs run in this thread are among `children`."""
    _children.set(children)


@functools.lru_cache(maxsize=1)  # by number: what is forked has its own
def _of_process(pid: int) -> Children:
    return Children(Grace())


@contextmanager
def all_ended() -> Iterator[None]:
    """End the commands that jobs run in this process; inside the block none starts."""
    children = _of_process(os.getpid())
    children.end(os.getpid())
    try:
        yield
    finally:
        children.stopping.clear()
