"""Child processes that run other programs: each in its own process group, followed by a thread, ended together.

`Children` are the processes and their threads. An `Attempt` is one run of one command. A `ChildRunner` runs jobs that
are commands: those of command_runner.py end with an exit code, those of prefix_runner.py with an outcome in a file.
"""
from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

from taskproc.checks import at_least
from taskproc.frozen import frozen
from taskproc.kernel.model import Failed, K, Ticket
from taskproc.run.child import Child, Deadline, KeptChild
from taskproc.run.far_end import is_far_end
from taskproc.run.group import GRACE, Exit, Grace
from taskproc.run.inbox import Inbox
from taskproc.run.lifeline import VARIABLE, can_tie, describe, tie
from taskproc.run.runner import Answer, Ending
from taskproc.run.system_limits import repeated_tries, start_thread, was_refused

P = ParamSpec("P")
R = TypeVar("R")
Call = tuple[Callable[..., object], tuple[object, ...]]  # a function and its arguments

PATIENCE = 10.0  # seconds between TERM and KILL for a command that must tell others of its end, as `srun` its cluster


def _when_possible(start: Callable[Concatenate[Children, P], R]) -> Callable[Concatenate[Children, P], R]:
    """If the system refuses another process, wait until one of ours ends, and try again.

    The main thread does not wait: it has to look at signals.
    """

    def try_again(children: Children, /, *arguments: P.args, **options: P.kwargs) -> R:
        left = repeated_tries()
        while True:
            running = children.count()
            try:
                return start(children, *arguments, **options)
            except BlockingIOError:
                if threading.current_thread() is threading.main_thread() or (not running and next(left)):
                    raise
            if running:
                children.await_fewer(running)

    return try_again


class Children:
    """Processes that run and the threads that follow them; they end together.

    Args:
        note: called with each process when it has started (True) and when it is buried (False), in any thread, but
            one call at a time. It must not lock.

    Attributes:
        stopping: set when they have to end; from then on none starts.
    """

    def __init__(self, grace: Grace, note: Callable[[Child, bool], object] = lambda child, runs: None) -> None:
        self._grace = grace
        self._note = note
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._fewer = threading.Condition(self._lock)
        self._processes: set[Child] = set()
        self._threads: set[threading.Thread] = set()
        self._put_off: deque[Call] = deque()     # calls that could not begin
        self._unfollowed: deque[Call] = deque()  # calls that wait for a process which runs already

    def follow(self, run: Callable[..., object], *arguments: object, is_started: bool = False) -> None:
        """Call `run` in its own thread; `end` waits for that.

        If no more threads are possible, `run` is called when one of these ends. Raises BlockingIOError if none runs.

        Args:
            is_started: `run` waits for a process that runs already, so others may depend on the call.
        """
        for is_last in repeated_tries():
            try:
                self._begin((run, arguments), is_started)
                return
            except BlockingIOError:
                if is_last:
                    raise

    def _begin(self, call: Call, is_started: bool) -> None:
        """Let one of these threads make the call, now or later. Raises BlockingIOError if there is none."""
        thread = threading.Thread(target=self._follow, args=(call,), name="taskproc-child", daemon=True)
        with self._lock:  # no thread may rely on another one that has not started
            try:
                start_thread(thread)
            except BlockingIOError:
                if not self._threads:
                    raise
                (self._unfollowed if is_started else self._put_off).append(call)
                self._fewer.notify_all()
            else:
                self._threads.add(thread)

    def _follow(self, call: Call) -> None:
        following: Call | None = call
        while following is not None:
            try:
                following[0](*following[1])
            finally:
                following = self._next()

    def _next(self) -> Call | None:
        """Return the next call for this thread; None: it ends."""
        with self._lock:
            here = threading.current_thread()
            waiting = self._unfollowed or self._put_off
            if waiting and here in self._threads:
                return waiting.popleft()
            self._threads.discard(here)
            return None

    def put_off(self, run: Callable[..., object], *arguments: object) -> bool:
        """Call `run` again when another of these threads ends, since the system did not let it begin.

        If this is one of these threads, it ends, which makes room for others. Return False if there is no other.
        """
        with self._lock:
            if not self._threads - {threading.current_thread()}:
                return False
            self._threads.discard(threading.current_thread())
            self._put_off.append((run, arguments))
            return True

    @_when_possible
    def start(
        self,
        words: Sequence[str],
        *,
        stdout: IO[bytes],
        stderr: IO[bytes],
        stdin: IO[bytes] | int = subprocess.DEVNULL,
        environ: Mapping[str, str] | None = None,
        folder: str | os.PathLike[str] | None = None,
        passed: Sequence[int] = (),
        patience: float = 0.0,
        is_kept: bool = True,
        leads: bool = True,
    ) -> Child | None:
        """Start a command. Return None if all have to end. Raises OSError or ValueError if it cannot be started.

        Args:
            folder: its working directory; None: ours.
            passed: descriptors that it inherits under the same numbers.
            patience: see Child.
            is_kept: whether a keeper is put above it; if not, `leads` says whether it gets its own group and session.
        """
        options: dict[str, Any] = {"stdin": stdin, "stdout": stdout, "stderr": stderr, "env": environ, "cwd": folder}
        with self._lock:  # none may start while `end` counts
            if self.stopping.is_set():
                return None
            child: Child
            if is_kept:
                child = KeptChild(words, patience, passed, **options)
            else:
                child = Child(words, pass_fds=passed, start_new_session=leads, **options)
                child.leads = leads
            self._processes.add(child)
            self._note(child, True)
            return child

    def count(self) -> int:
        """Return how many processes run."""
        return len(self._processes)

    def await_fewer(self, count: int) -> None:
        """Wait until fewer than `count` run, or all have to end. A process that has no thread is followed here."""
        with self._fewer:
            self._fewer.wait_for(lambda: self._unfollowed or len(self._processes) < count or self.stopping.is_set())
            unfollowed = self._unfollowed.popleft() if self._unfollowed else None
        if unfollowed is not None:
            unfollowed[0](*unfollowed[1])

    def bury(self, child: Child, inherited: int | None = None) -> Exit:
        """Kill what is left of a command that has ended. Return how it ended. Call this once. `inherited`: see reap."""
        try:
            return child.bury(inherited)
        finally:
            with self._fewer:
                self._processes.discard(child)
                self._note(child, False)
                self._fewer.notify_all()

    def end(self, pid: int) -> None:
        """Send TERM to all, KILL after the grace, and wait until none is left; does nothing in a fork of process `pid`.

        A command with a patience has that much time, even if the user is in a hurry.
        """
        if os.getpid() != pid:
            return
        self.stopping.set()
        with self._fewer:
            self._fewer.notify_all()
        began = time.monotonic()
        try:
            self._tell(signal.SIGTERM, self._all)
            self._grace.wait(partial(self._wait_for_none, self._hasty), began + GRACE)
        finally:
            self._tell(signal.SIGKILL, self._hasty)
            self._end_patient(began + PATIENCE)

    def _end_patient(self, deadline: float) -> None:
        try:
            self._wait_for_none(self._all, max(deadline - time.monotonic(), 0.0))
        finally:
            self._tell(signal.SIGKILL, self._all)
            for thread in list(self._threads):
                thread.join()

    def _all(self) -> set[Child]:
        return self._processes

    def _hasty(self) -> set[Child]:
        return {child for child in self._processes if not child.patience}

    def _wait_for_none(self, select: Callable[[], set[Child]], seconds: float) -> bool:
        with self._fewer:
            return self._fewer.wait_for(lambda: not select(), seconds)

    def _tell(self, number: int, select: Callable[[], set[Child]]) -> None:
        with self._lock:
            for child in select():
                child.tell(number)


@frozen
class Launch:
    """The command that is started for a job.

    Attributes:
        words: the program and its arguments. Nothing splits or expands them.
        stdout, stderr: files to which its output is appended.
        stdin: a file; None: there is nothing to read.
        folder: its working directory; None: that of this process.
        environ: all its environment variables; None: those of this process.
        patience: see Child.
        leads_to_us: whether it leads to our own far end, which holds the lifeline and writes into our own logs, so that
            these are never links.
    """

    words: Sequence[str]
    stdout: Path
    stderr: Path
    stdin: Path | None = None
    folder: Path | None = None
    environ: Mapping[str, str] | None = None
    patience: float = 0.0
    leads_to_us: bool = False


class ChildJob(Protocol[Answer]):
    """A job that a command does."""

    def launch(self) -> Launch:
        """Return the command to start."""
        ...

    def unstarted(self, error: OSError | ValueError | None) -> Failed:
        """Return the failure of a command that could not be started; None: the runner was stopped."""
        ...

    def deadline(self, child: Child) -> Deadline | None:
        """Return the deadline of `child`, which has started; None: no limit."""
        ...

    def answer(self, attempt: Attempt[Answer]) -> Answer | Failed:
        """Return the answer of a command that has ended. What it left may still run until `attempt.bury` is called."""
        ...


class Attempt(Generic[Answer]):
    """One run of one command, from its start to its burial.

    Attributes:
        child: its process, once it is started.
        code: its exit code, or minus the signal, once it has ended.
        before: bytes that its logs had when it started: stdout, stderr.
        is_late: whether it ran longer than the deadline of its job.
    """

    _lifeline: int

    def __init__(self, job: ChildJob[Answer], children: Children):
        self.child: Child | None = None
        self.code = 0
        self.before = 0, 0
        self.is_late = False
        self._job, self._children = job, children
        self._began = time.perf_counter()
        self._lock = threading.Lock()
        self._is_called_off = self._has_ended = False
        self._calls_off: list[Deadline] = []
        self._exit: Exit | None = None

    def run(self) -> Answer | Failed:
        """Start the command and wait for its end. Return its answer."""
        return self.start() or self.follow()

    def run_aside(self) -> Answer | Failed:
        """Do as `run` does, but in another thread: the main thread may be interrupted at any instruction."""
        answers: list[Answer | Failed] = []
        ended = threading.Event()  # not `join`: before Python 3.13, an interrupted one takes the thread for ended

        def run() -> None:
            try:
                answers.append(self.run())
            finally:
                ended.set()

        thread = threading.Thread(target=run, name="taskproc-command", daemon=True)
        try:
            thread.start()
            ended.wait()
        except BaseException:
            self._call_off()
            if thread.ident is not None:  # otherwise it has nothing left to start
                ended.wait()
            raise
        return answers[0]

    def start(self) -> Failed | None:
        """Start the command. Return the failure, or None."""
        problem: OSError | ValueError | None = None
        try:
            reading, self._lifeline = os.pipe()
        except OSError as error:  # too many files are open
            return self._job.unstarted(error)
        try:
            with self._lock:
                if not self._is_called_off:
                    self.child = self._start(self._job.launch(), reading)
        except (OSError, ValueError) as error:
            problem = error
        finally:
            os.close(reading)
        if self.child is not None:
            return None
        os.close(self._lifeline)
        return self._job.unstarted(problem)

    def _start(self, launch: Launch, lifeline: int) -> Child | None:
        environ, is_ours = launch.environ, launch.leads_to_us
        if is_ours:
            environ = {**(environ or {}), VARIABLE: describe(lifeline)}
        with ExitStack() as files:
            opener = _no_link if is_ours else None
            stdout, stderr = (
                files.enter_context(open(path, "ab", opener=opener)) for path in (launch.stdout, launch.stderr)
            )
            stdin = subprocess.DEVNULL if launch.stdin is None else files.enter_context(open(launch.stdin, "rb"))
            self.before = stdout.tell(), stderr.tell()
            # Our own far end has a keeper already
            is_kept = is_ours or not is_far_end()
            child = self._children.start(
                launch.words, stdout=stdout, stderr=stderr, stdin=stdin, environ=environ, folder=launch.folder,
                passed=[lifeline], patience=launch.patience, is_kept=is_kept, leads=is_kept or can_tie(),
            )
            if child is not None and child.leads and not is_ours:
                # Without a keeper, the command survives if we are killed right before this: no group can be tied until
                # the process exists. With a keeper, this covers the death of the keeper
                tie(lifeline, child.command_pid)
            return child

    def follow(self) -> Answer | Failed:
        """Wait for its end and bury it. Return its answer. Call this once, after `start`."""
        child = self._started()
        deadline = self._job.deadline(child)
        try:
            self.code = child.await_end()
            with self._lock:  # from now on nobody signals it
                self._has_ended = True
                for end in (*self._calls_off, *([] if deadline is None else [deadline])):
                    end.call_off()
            self.is_late = deadline is not None and deadline.passed
            return self._job.answer(self)
        finally:
            self.bury()

    def kill(self) -> None:
        """Kill the command and wait for its end."""
        self._started().tell(signal.SIGKILL)
        self.follow()

    def bury(self, inherited: int | None = None) -> Exit:
        """Kill what is left of it. Return how it ended. Idempotent. `inherited`: see reap."""
        if self._exit is None:
            self._exit = self._children.bury(self._started(), inherited)
            os.close(self._lifeline)
        return self._exit

    def seconds(self) -> float:
        """Return the seconds since this object was made."""
        return time.perf_counter() - self._began

    def _started(self) -> Child:
        if self.child is None:
            raise AssertionError("the command was not started [this is a bug]")
        return self.child

    def _call_off(self) -> None:
        """End the command, or never start it."""
        with self._lock:
            self._is_called_off = True
            if self.child is not None and not self._has_ended:
                self._calls_off.append(Deadline(self.child, 0))


class ChildRunner(Generic[K, Answer]):
    """Runs jobs that are commands; threads wait for their ends. Subclasses start them."""

    def __init__(self, inbox: Inbox[Ending[K, Answer]], capacity: int, children: Children):
        self._inbox = inbox
        self._capacity = at_least(capacity, 1, "number of commands at once")
        self._children = children
        self._at_exit = weakref.finalize(self, children.end, os.getpid())

    def capacity(self) -> int:
        """Return how many commands run at once."""
        return self._capacity

    def wait(self, timeout: float | None) -> Sequence[Ending[K, Answer]]:
        """Return what has come into the inbox."""
        return self._inbox.wait(timeout)

    def recall(self) -> None:
        """Do nothing: each command has been started."""

    def stop(self) -> None:
        """Send TERM to all commands and their children, and KILL after the grace or their patience."""
        self._at_exit()

    def _run(self, ticket: Ticket[K], run: Callable[[], Answer | Failed]) -> None:
        """Call `run` in a thread, and report how it ended."""
        answer = run()
        if not (self._puts_off(ticket, answer, run) or self._children.stopping.is_set()):
            self._inbox.put((ticket, answer))

    def _puts_off(self, ticket: Ticket[K], answer: Answer | Failed, run: Callable[[], Answer | Failed]) -> bool:
        """Return whether the system refused it, so that it runs when another command has ended."""
        refused = isinstance(answer, Failed) and was_refused(answer.problem)
        return refused and self._children.put_off(self._run, ticket, run)


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)
