"""Operating-system commands as jobs: words without a shell, output in two files, TERM before KILL.

A command leads its own process group, so it ends with all its children. It also dies with the process that started it,
however that dies: a keeper (keeper.py) ensures this, and ends all that the command leaves. Our own far ends have a
keeper already. Their commands die with them through the kernel (Linux; see lifeline.tie), or elsewhere as members of
their group; processes that have left the group end with the job.
"""
from __future__ import annotations

import functools
import os
import shlex
import threading
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TypeVar

from taskproc.frozen import frozen
from taskproc.kernel.model import Done, Failed, Outcome, Problem, Stamp, Ticket
from taskproc.run.child import Child, Deadline, not_started
from taskproc.run.children import Attempt, Children, ChildRunner, Launch
from taskproc.run.group import Grace
from taskproc.run.inbox import Inbox
from taskproc.run.problem import end_of_log, exit_text, sentence
from taskproc.run.runner import Ending, Job
from taskproc.run.system_limits import limit_problem
from taskproc.text import printable

K = TypeVar("K", bound=Hashable)

LONGEST_LINE = 500  # characters of a command line that are shown


@frozen
class Exited(Done):
    """The command ended with one of its good exit codes."""

    code: int = 0


@frozen
class CommandJob:
    """A command and all that it needs.

    Attributes:
        words: the program and its arguments. Nothing splits or expands them.
        stdout, stderr: files to which its output is appended.
        stdin: a file; None: there is nothing to read.
        folder: its working directory; None: that of this process.
        environ: all its environment variables; None: those of this process.
        timeout: seconds after which it is ended.
        codes: exit codes that count as success.
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
        """Run it here and wait for its end. An exception that interrupts the wait ends the command first."""
        attempt: Attempt[Exited] = Attempt(self, _children.get() or _of_process(os.getpid()))
        if threading.current_thread() is threading.main_thread():
            return attempt.run_aside()
        return attempt.run()

    def launch(self) -> Launch:
        """See ChildJob."""
        return Launch(self.words, self.stdout, self.stderr, self.stdin, self.folder, self.environ)

    def deadline(self, child: Child) -> Deadline | None:
        """See ChildJob."""
        return None if self.timeout is None else Deadline(child, self.timeout)

    def unstarted(self, error: OSError | ValueError | None) -> Failed:
        """See ChildJob. The reason is one of its files, or the command itself."""
        name = getattr(error, "filename", None)
        files = {os.fspath(path): what for path, what in (
            (self.stdout, "the file for its stdout"), (self.stderr, "the file for its stderr"),
            (self.stdin, "the file for its stdin"), (self.folder, "its working directory"),
        ) if path is not None}
        command = f"command {shown(self.words)}"
        if error is None:
            text = f"{command} was not started, because the run was stopped"
        elif not isinstance(error, OSError):
            text = f"{command} could not be run: {sentence(error)}"
        elif name is not None and os.fspath(name) in files:
            reason = error.strerror or type(error).__name__
            text = f"{command} was not run: {files[os.fspath(name)]}, {os.fspath(name)!r}: {reason}"
        else:
            text = not_started(f"command {shown(self.words[:1])}", error)
        return Failed(Problem("command", text, error=error))

    def answer(self, attempt: Attempt[Exited]) -> Exited | Failed:
        """See ChildJob."""
        code = attempt.bury().code
        seconds = attempt.seconds()
        if attempt.is_late and self.timeout is not None:
            return self._failed(attempt, "timeout", f"timed out after {self.timeout:g} s", code, seconds)
        if code in self.codes:
            return Exited(Stamp("", ""), seconds, code)
        return self._failed(attempt, "command", exit_text(code), code, seconds)

    def _failed(self, attempt: Attempt[Exited], kind: str, what: str, code: int, seconds: float) -> Failed:
        logs = (self.stderr, attempt.before[1]), (self.stdout, attempt.before[0])
        printed = next((text for path, since in logs if (text := end_of_log(path, since))), "")
        text = f"command {shown(self.words)} {what}"
        return Failed(Problem(kind, f"{text}\n{printed}" if printed else text, exit_code=code), seconds)


def shown(words: Sequence[str]) -> str:
    """Return a command as a user would type it: to be shown, never to be run."""
    line = printable(shlex.join(words))
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"


class CommandRunner(ChildRunner[K, Outcome[K]]):
    """Runs each CommandJob, in the order in which they are started."""

    def __init__(self, inbox: Inbox[Ending[K, Outcome[K]]], capacity: int, children: Children | None = None):
        super().__init__(inbox, capacity, children or Children(Grace()))

    def start(self, ticket: Ticket[K], job: Job[Outcome[K]]) -> None:
        """Start the process of `job`, a CommandJob."""
        if not isinstance(job, CommandJob):
            raise AssertionError(f"{job!r} is not a command [this is a bug]")
        attempt: Attempt[Exited] = Attempt(job, self._children)
        failed = attempt.start()
        if failed is not None:
            if not self._puts_off(ticket, failed, lambda: Attempt(job, self._children).run()):
                self._inbox.put((ticket, failed))
            return
        try:
            self._children.follow(self._run, ticket, attempt.follow, is_started=True)
        except BlockingIOError as error:  # nobody can wait for its end
            attempt.kill()
            self._inbox.put((ticket, Failed(limit_problem("no thread could be started for the command", error))))


# ---------------------------------------------------------------- commands that a job runs in its own thread

_children: ContextVar[Children | None] = ContextVar("taskproc_children", default=None)


def use_children(children: Children) -> None:
    """Let the commands that jobs run in this thread be among `children` from now on."""
    _children.set(children)


@functools.lru_cache(maxsize=1)  # by pid: a fork has its own
def _of_process(pid: int) -> Children:
    return Children(Grace())


@contextmanager
def all_ended() -> Iterator[None]:
    """End the commands that jobs run in this process. None starts within the block."""
    children = _of_process(os.getpid())
    children.end(os.getpid())
    try:
        yield
    finally:
        children.stopping.clear()
