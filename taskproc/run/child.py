"""A command as a child process: in its own process group, or below a keeper that ends all that the command leaves."""
from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

from taskproc.run.group import GRACE, Exit, await_exit, in_bytes, reap, signal_group
from taskproc.run.keeper import RELEASE
from taskproc.run.problem import sentence
from taskproc.run.system_limits import is_scarce, limit_text

# Not as a script, which would be compiled each time: 4 ms. The folder comes after the standard library
_KEEP = f"import sys; sys.path.append({os.path.dirname(os.path.abspath(__file__))!r}); import keeper; keeper.main()"


class Child(subprocess.Popen[bytes]):
    """A process that leads its own process group or, if `leads` is False, is in ours.

    Attributes:
        patience: seconds between TERM and KILL, even if the user is in a hurry; 0: only the grace.
        command_pid: the process id of the command itself.
        was_killed: once it is buried, whether it was sent KILL; below a keeper, by anybody.
    """

    leads = True
    patience = 0.0
    was_killed = False

    @property
    def command_pid(self) -> int:
        """The process id of the command itself."""
        return self.pid

    def tell(self, number: int) -> None:
        """Send it a signal, and its group as well if it leads one."""
        self.was_killed = self.was_killed or number == signal.SIGKILL
        self._send(number)

    def _send(self, number: int) -> None:
        if self.leads:
            signal_group(self, number)
        else:
            self.send_signal(number)

    def await_end(self) -> int:
        """Block until the command has ended. Return its exit code, or minus the signal. Its pid is not reused yet."""
        return await_exit(self)

    def bury(self, inherited: int | None = None) -> Exit:
        """Kill what is left of a command that has ended, and reap it. Return how it ended. Call this once.

        `inherited`: see reap.
        """
        if self.leads:
            signal_group(self, signal.SIGKILL)
        return reap(self, inherited)


class KeptChild(Child):
    """A command below a keeper (see keeper.py). The process here is the keeper, which passes signals on.

    Raises OSError if the command or its keeper cannot be started.

    Args:
        words: the command.
        patience: see Child. If this process dies, the command has as much time.
        passed: descriptors that the command inherits under the same numbers.
        options: see subprocess.Popen.
    """

    def __init__(self, words: Sequence[str], patience: float, passed: Sequence[int], **options: Any) -> None:
        self.patience = patience
        self._lock = threading.Lock()
        self._said = b""
        self._code: int | None = None
        self._channel, far = socket.socketpair()
        environ = os.environ if options.get("env") is None else options["env"]
        numbers = (os.getpid(), far.fileno(), patience, int("LC_CTYPE" in environ))
        keeper = [sys.executable, "-I", "-S", "-X", "utf8", "-c", _KEEP, *map(str, numbers)]
        try:
            with far:
                super().__init__(
                    [*keeper, *words], pass_fds=[*passed, far.fileno()], start_new_session=True, **options
                )
            self.args = list(words)
            self._await_begin(os.fspath(words[0]))
        except BaseException:
            self._channel.close()  # this ends the keeper, also after an interrupt
            raise

    def _await_begin(self, program: str) -> None:
        said = self._next("started")
        if said is None:
            number = self._next("failed") or errno.EAGAIN
            self._channel.close()
            reap(self)
            raise OSError(number, os.strerror(number), program)
        self._command_pid = said

    @property
    def command_pid(self) -> int:
        """See Child."""
        return self._command_pid

    def _send(self, number: int) -> None:
        with self._lock:
            try:
                self._channel.send(bytes([number]))
            except OSError:
                pass  # it has ended and may be buried

    def await_end(self) -> int:
        """See Child."""
        if self._code is None:
            said = self._next("ended")
            self._code = await_exit(self) if said is None else said  # None: the keeper was killed
        return self._code

    def bury(self, inherited: int | None = None) -> Exit:
        """See Child. All that the command left is dead afterwards; the memory is that of the command alone."""
        code = self.await_end()
        self._send(RELEASE)
        self.was_killed = bool(self._next("forced")) or code == -signal.SIGKILL
        peak = self._next("memory")
        reap(self)
        with self._lock:
            self._channel.close()
        if inherited is None or peak is None:
            return Exit(code)
        memory = in_bytes(peak)
        return Exit(code, memory, memory > inherited)

    def _next(self, kind: str) -> int | None:
        """Wait for the next line of the keeper. Return its number, or None if the line is of another kind."""
        while b"\n" not in self._said:
            try:
                content = self._channel.recv(1000)
            except ConnectionResetError:
                content = b""
            if not content:
                return None
            self._said += content
        line, _, rest = self._said.partition(b"\n")
        what, number = line.decode("ascii").split()
        if what != kind:
            return None
        self._said = rest
        return int(number)


class Deadline:
    """Ends a process that runs longer than `seconds`: TERM, and KILL after the grace or its patience. Uses a thread.

    Attributes:
        passed: whether the process has run that long.
    """

    def __init__(self, child: Child, seconds: float):
        self.seconds, self.passed = seconds, False
        self.ended = threading.Event()
        self._child = child
        self._thread = threading.Thread(target=self.watch, name="taskproc-deadline", daemon=True)
        self._thread.start()

    def watch(self) -> None:
        """Wait, in the thread, and end the process if it still runs."""
        if not self.ended.wait(self.seconds):
            self.passed = True
            self.end_politely()

    def end_politely(self) -> None:
        """Send TERM, and KILL if the process has not ended within the grace or its patience."""
        self._child.tell(signal.SIGTERM)
        if not self.ended.wait(max(GRACE, self._child.patience)):
            self._child.tell(signal.SIGKILL)

    def call_off(self) -> None:
        """Stop watching a process that has ended, so that it gets no signal. Call this before `bury`. Idempotent."""
        self.ended.set()
        self._thread.join()


def not_started(what: str, error: OSError) -> str:
    """Say why a command could not be started; `what` names it: `prefix command 'srun'`."""
    if isinstance(error, FileNotFoundError):
        return f"{what} was not found; is it installed on this host, and its folder in PATH?"
    if isinstance(error, PermissionError):
        return f"{what} is not executable"
    if is_scarce(error):
        return limit_text(f"{what} could not be run", error)
    return f"{what} could not be run: {sentence(error)}"
