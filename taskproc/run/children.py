"""Child processes that are not ours inside: started in groups of their own, followed by threads, and ended together."""
from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from taskproc.run.group import GRACE, Exit, Grace, reap, signal_group
from taskproc.run.problem import sentence


class Child(subprocess.Popen[bytes]):
    """A process that leads a group of its own or, where `leads` is False, is in ours."""

    leads = True

    def tell(self, number: int) -> None:
        """Send a signal to it, and to its group if it leads one."""
        if self.leads:
            signal_group(self, number)
        else:
            self.send_signal(number)


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

    def follow(self, run: Callable[..., object], *arguments: object) -> None:
        """Call `run` in a thread of its own, which is waited for when all end."""
        thread = threading.Thread(target=self._follow, args=(run, arguments), name="taskproc-child", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _follow(self, run: Callable[..., object], arguments: tuple[object, ...]) -> None:
        try:
            run(*arguments)
        finally:
            self._threads.discard(threading.current_thread())

    def start(
        self,
        words: Sequence[str],
        lifeline: int,
        *,
        stdout: IO[bytes],
        stderr: IO[bytes],
        stdin: IO[bytes] | int = subprocess.DEVNULL,
        environ: Mapping[str, str] | None = None,
        folder: str | os.PathLike[str] | None = None,
        leads: bool = True,
    ) -> Child | None:
        """Run a command, or None if all is to end. Raises OSError or ValueError if it cannot be started.

        Args:
            lifeline: a descriptor that it gets under the same number.
            folder: its working directory; None: ours.
            leads: whether it gets a group, and a session, of its own.
        """
        with self._lock:  # so that none starts behind the back of `end`
            if self.stopping.is_set():
                return None
            child = Child(
                words, stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=[lifeline], start_new_session=leads,
                env=environ, cwd=folder,
            )
            child.leads = leads
            self._processes.add(child)
            self._note(child, True)
            return child

    def bury(self, child: Child, inherited: int | None = None) -> Exit:
        """Kill what is left of a command that has ended; how it did. Once. `inherited`: see reap."""
        with self._fewer:
            if child.leads:
                signal_group(child, signal.SIGKILL)
            self._processes.discard(child)
            self._note(child, False)
            self._fewer.notify_all()
            return reap(child, inherited)

    def end(self, pid: int) -> None:
        """TERM to all, KILL after the grace, and wait until nothing is left; in the process that made them only."""
        if os.getpid() != pid:
            return
        self.stopping.set()
        try:
            self._tell_all(signal.SIGTERM)
            self._grace.wait(self._wait_for_none, time.monotonic() + GRACE)
        finally:
            self._tell_all(signal.SIGKILL)
            for thread in list(self._threads):
                thread.join()

    def _wait_for_none(self, seconds: float) -> bool:
        with self._fewer:
            return self._fewer.wait_for(lambda: not self._processes, seconds)

    def _tell_all(self, number: int) -> None:
        with self._lock:
            for child in self._processes:
                child.tell(number)


class Deadline:
    """Ends a process that runs for more than some seconds: TERM, and KILL after the grace. Takes a thread.

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
    """TERM, and KILL if it has not `ended` within the grace."""
    child.tell(signal.SIGTERM)
    if not ended.wait(GRACE):
        child.tell(signal.SIGKILL)


def not_started(what: str, error: OSError) -> str:
    """Why a command could not be started; `what` is it in words, `prefix command 'srun'`."""
    if isinstance(error, FileNotFoundError):
        return f"{what} was not found; is it installed on this host, and its folder in PATH?"
    if isinstance(error, PermissionError):
        return f"{what} is not executable"
    return f"{what} could not be run: {sentence(error)}"
