"""Child processes that are not ours inside: started in groups of their own, followed by threads, and ended together."""
from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import IO, Any, Concatenate, ParamSpec, TypeVar

from taskproc.run.child import Child, KeptChild
from taskproc.run.group import GRACE, Exit, Grace
from taskproc.run.problem import sentence
from taskproc.run.scarce import is_scarce, limit_text, start_thread, tries

P = ParamSpec("P")
R = TypeVar("R")
Call = tuple[Callable[..., object], tuple[object, ...]]  # what is called, and with what

PATIENCE = 10.0  # seconds between TERM and KILL for a command that has others to tell of its end, as `srun` its cluster


def _when_possible(start: Callable[Concatenate[Children, P], R]) -> Callable[Concatenate[Children, P], R]:
    """Where the system does not let one more process begin, wait for the end of another one, and try again.

    Not in the main thread, which has signals to look at.
    """

    def try_again(children: Children, /, *arguments: P.args, **options: P.kwargs) -> R:
        left = tries()
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
    """The processes that run and the threads that follow them; to be ended together.

    Args:
        note: called with each process when it has started (True) and when it is buried (False), in whichever thread
            that is, and one call at a time. It must not lock.

    Attributes:
        stopping: set as soon as they are to end; from then on none starts.
    """

    def __init__(self, grace: Grace, note: Callable[[Child, bool], object] = lambda child, runs: None) -> None:
        self._grace = grace
        self._note = note
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._fewer = threading.Condition(self._lock)
        self._processes: set[Child] = set()
        self._threads: set[threading.Thread] = set()
        self._put_off: deque[Call] = deque()     # what could not be begun
        self._unfollowed: deque[Call] = deque()  # what runs, and nobody waits for yet

    def follow(self, run: Callable[..., object], *arguments: object, is_started: bool = False) -> None:
        """Call `run` in a thread of its own, which is waited for when all end.

        If there can be no more threads it is called when one of these has ended. Raises BlockingIOError if none runs.

        Args:
            is_started: it waits for a process that runs already, so others may wait for it to be called.
        """
        for is_last in tries():
            try:
                self._begin((run, arguments), is_started)
                return
            except BlockingIOError:
                if is_last:
                    raise

    def _begin(self, call: Call, is_started: bool) -> None:
        """Have one of these threads make the call, now or later. Raises BlockingIOError if there is none."""
        thread = threading.Thread(target=self._follow, args=(call,), name="taskproc-child", daemon=True)
        with self._lock:  # none of these counts on another one that is not there yet
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
        """What this thread does next; None: it ends."""
        with self._lock:
            here = threading.current_thread()
            waiting = self._unfollowed or self._put_off
            if waiting and here in self._threads:
                return waiting.popleft()
            self._threads.discard(here)
            return None

    def put_off(self, run: Callable[..., object], *arguments: object) -> bool:
        """Have `run` called when another of these threads has ended, since the system did not let it begin.

        If this is one of these threads, it ends, which makes room for others. False: there is no other.
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
        """Run a command, or None if all is to end. Raises OSError or ValueError if it cannot be started.

        Args:
            folder: its working directory; None: ours.
            passed: descriptors that it gets under the same numbers.
            patience: see Child.
            is_kept: whether a keeper is put above it; where not, `leads` says whether it has a group, and a session, of
                its own.
        """
        options: dict[str, Any] = {"stdin": stdin, "stdout": stdout, "stderr": stderr, "env": environ, "cwd": folder}
        with self._lock:  # so that none starts behind the back of `end`
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
        """How many run."""
        return len(self._processes)

    def await_fewer(self, count: int) -> None:
        """Wait until fewer than so many run, or all are to end; here, if nobody waits for the end of one of them."""
        with self._fewer:
            self._fewer.wait_for(lambda: self._unfollowed or len(self._processes) < count or self.stopping.is_set())
            unfollowed = self._unfollowed.popleft() if self._unfollowed else None
        if unfollowed is not None:
            unfollowed[0](*unfollowed[1])

    def bury(self, child: Child, inherited: int | None = None) -> Exit:
        """Kill what is left of a command that has ended; how it did. Once. `inherited`: see reap."""
        try:
            return child.bury(inherited)
        finally:
            with self._fewer:
                self._processes.discard(child)
                self._note(child, False)
                self._fewer.notify_all()

    def end(self, pid: int) -> None:
        """TERM to all, KILL after the grace, and wait until nothing is left; in the process that made them only.

        What has a patience of its own has that, also when somebody is in a hurry.
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

    def _wait_for_none(self, some: Callable[[], set[Child]], seconds: float) -> bool:
        with self._fewer:
            return self._fewer.wait_for(lambda: not some(), seconds)

    def _tell(self, number: int, some: Callable[[], set[Child]]) -> None:
        with self._lock:
            for child in some():
                child.tell(number)


class Deadline:
    """Ends a process that runs for more than some seconds, as `end_politely` does. Takes a thread.

    Attributes:
        passed: whether that came to be.
    """

    def __init__(self, child: Child, seconds: float):
        self.seconds, self.passed = seconds, False
        self._child = child
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="taskproc-deadline", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        if not self._ended.wait(self.seconds):
            self.passed = True
            end_politely(self._child, self._ended)

    def call_off(self) -> None:
        """The process has ended, and is not to be signalled any more. Before it is buried."""
        self._ended.set()
        self._thread.join()


def end_politely(child: Child, ended: threading.Event) -> None:
    """TERM, and KILL if it has not `ended` within the grace, or its patience."""
    child.tell(signal.SIGTERM)
    if not ended.wait(max(GRACE, child.patience)):
        child.tell(signal.SIGKILL)


def not_started(what: str, error: OSError) -> str:
    """Why a command could not be started; `what` is it in words, `prefix command 'srun'`."""
    if isinstance(error, FileNotFoundError):
        return f"{what} was not found; is it installed on this host, and its folder in PATH?"
    if isinstance(error, PermissionError):
        return f"{what} is not executable"
    if is_scarce(error):
        return limit_text(f"{what} could not be run", error)
    return f"{what} could not be run: {sentence(error)}"
