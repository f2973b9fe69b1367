"""A runner for jobs behind a command: `srun …`, `docker run …`, or nothing but a fresh interpreter.

Each job is written into a file, and `COMMAND… python -m taskproc.run.entry FILE` is run without a shell, so no path can
be misread. The exit code of a foreign command proves nothing: what counts is the outcome that the far end left beside
the file. Without one, the marks that are there tell whether the command or the task went wrong.
"""
from __future__ import annotations

import os
import pickle
import shlex
import signal
import tempfile
import threading
import time
import weakref
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Generic, TypeVar, cast

from taskproc.errors import OptionError
from taskproc.kernel.model import Done, Failed, Outcome, Problem, Ticket
from taskproc.run.base import Ending, Job
from taskproc.run.children import Child, Children, end_politely, not_started
from taskproc.run.group import GRACE, Exit, Grace, await_exit
from taskproc.run.inbox import Inbox
from taskproc.run.lifeline import VARIABLE, describe
from taskproc.run.mounts import is_network
from taskproc.run.prefixed import PrefixedJob
from taskproc.run.problem import death_text, exit_text, last_lines, memory_text, problem_of, sentence
from taskproc.run.setup import Setup, interpreter, load, start_environ
from taskproc.run.timeout import timed_out
from taskproc.run.wire import beside

K = TypeVar("K", bound=Hashable)

PATIENCE = 60.0
LOOK_EVERY = 0.5
LOOK_FOR_BEGIN_EVERY = 0.1
FAR_FIRST = 0.5  # seconds by which the far end may be late to end its job itself: who hears TERM should hear it once



class PrefixRunner(Generic[K]):
    """Runs each PrefixedJob in a process of its own, at most `capacity` at once.

    Args:
        patience: after a command that ended well without an outcome, look again so many seconds; None is 60 where
            `folder` lies on a network, which may show files late, and 0 elsewhere.
    """

    def __init__(
        self,
        inbox: Inbox[Ending[K]],
        capacity: int = 64,
        *,
        patience: float | None = None,
        grace: Grace | None = None,
    ):
        if capacity < 1:
            raise OptionError(f"number of commands at once must be at least 1, got {capacity!r}")
        self._inbox = inbox
        self._capacity = capacity
        self._patience = patience
        self._places = threading.Semaphore(capacity)
        self._children = Children(grace or Grace())
        self._at_exit = weakref.finalize(self, self._children.end, os.getpid())

    def capacity(self) -> int:
        """How many commands run at once; what exceeds them waits."""
        return self._capacity

    def start(self, ticket: Ticket[K], job: Job[K]) -> None:
        """Run the command of `job`, which must be a PrefixedJob, in a thread that waits for it."""
        if not isinstance(job, PrefixedJob):
            raise AssertionError(f"{job!r} has no prefix [this is a bug]")
        try:
            content = pickle.dumps((Setup.here(), pickle.dumps(job.job, 5)), 5)
        except Exception as error:  # noqa: BLE001  # the user's classes take part
            problem = problem_of(error, pickled=False)
            text = f"the job cannot be sent to another process: {problem.text}"
            self._inbox.put((ticket, Failed(Problem("exception", text, problem.traceback, error))))
            return
        self._children.follow(self._run, ticket, job, content)

    def wait(self, timeout: float | None) -> Sequence[Ending[K]]:
        """What has come into the inbox."""
        return self._inbox.wait(timeout)

    def recall(self) -> None:
        """Nothing: the command of each job has been started."""

    def stop(self) -> None:
        """TERM to all commands and their children, KILL after the grace; Ctrl-C ends that."""
        self._at_exit()

    def _run(self, ticket: Ticket[K], job: PrefixedJob[K], content: bytes) -> None:
        """In a thread of its own, to the end."""
        with self._places:
            try:
                attempt = _Attempt(job, content, self._children, self._patience)
                try:
                    outcome: Outcome[K] = attempt.run()
                finally:
                    attempt.clean_up()
            except OSError as error:
                outcome = Failed(Problem("prefix", f"the job could not be written for its command: {sentence(error)}"))
        if not self._children.stopping.is_set():
            self._inbox.put((ticket, outcome))


class _Attempt(Generic[K]):
    """One run of one command, and the files that its two ends share."""

    def __init__(self, job: PrefixedJob[K], content: bytes, children: Children, patience: float | None):
        self._job = job
        self._children = children
        self._patience = patience
        job.folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix="job-", suffix=".pkl", dir=job.folder)
        self._file = Path(name).absolute()
        with open(descriptor, "wb") as file:
            file.write(content)
        self._pipe = os.pipe()
        self._process: Child | None = None
        self._end: Exit | None = None
        self._ended = threading.Event()
        self._expired = False
        self._watch: threading.Thread | None = None

    def run(self) -> Outcome[K]:
        """What came of it."""
        command = [*self._job.command, *interpreter(), "-m", "taskproc.run.entry", str(self._file)]
        with open(self._job.stdout, "ab") as stdout, open(self._job.stderr, "ab") as stderr:
            before = stderr.tell()
            try:
                environ = {**start_environ(os.environ), VARIABLE: describe(self._pipe[0])}
                self._process = self._children.start(
                    command, self._pipe[0], stdout=stdout, stderr=stderr, environ=environ
                )
            except OSError as error:
                return Failed(Problem("prefix", not_started(f"prefix command {command[0]!r}", error)))
        if self._process is None:
            return Failed(Problem("died", "the runner has been stopped"))
        if self._job.timeout is not None:
            self._watch = threading.Thread(target=self._watch_over, args=(self._process, self._job.timeout))
            self._watch.start()
        code = await_exit(self._process)
        self._ended.set()
        outcome = self._outcome()
        late = self._expired or beside(self._file, "timedout").exists()
        if outcome is None and not late and (code == 0 or beside(self._file, "started").exists()):
            outcome = self._look_again()
        if late and self._job.timeout is not None and not isinstance(outcome, Done):
            return timed_out(self._job.timeout, self._bury())
        return self._no_outcome(code, before) if outcome is None else outcome

    def _watch_over(self, process: Child, seconds: float) -> None:
        """In a thread of its own: end the command when its job has run too long."""
        while not beside(self._file, "began").exists():
            if self._ended.wait(LOOK_FOR_BEGIN_EVERY):
                return
        if not self._ended.wait(seconds + FAR_FIRST):
            self._expired = True
            if not beside(self._file, "timedout").exists():
                end_politely(process, self._ended)
            elif not self._ended.wait(GRACE):
                process.tell(signal.SIGKILL)

    def clean_up(self) -> None:
        """Kill what the command left running, and remove the files: a far end that comes late finds nothing to run.

        Not when the command has ended, but now: what it left may still have brought the outcome.
        """
        self._ended.set()
        self._bury()
        for number in self._pipe:
            os.close(number)
        for path in self._file.parent.glob(f"{self._file.name}*"):
            path.unlink(missing_ok=True)

    def _bury(self) -> Exit | None:
        """How the command ended, with its peak memory if it became the far end itself. Idempotent."""
        if self._watch is not None:
            self._watch.join()  # it may signal the process, whose number must not be another's
        if self._process is not None and self._end is None:
            self._end = self._children.bury(self._process, self._peak_at_start(self._process.pid))
        return self._end

    def _peak_at_start(self, pid: int) -> int | None:
        try:
            far, peak = beside(self._file, "started").read_text().split()
        except (OSError, ValueError):
            return None  # it did not come so far
        return int(peak) if int(far) == pid else None

    def _outcome(self) -> Outcome[K] | None:
        try:
            content = beside(self._file, "outcome").read_bytes()
        except FileNotFoundError:
            return None
        try:
            return cast("Outcome[K]", load(content))
        except Exception as error:  # noqa: BLE001  # the user's classes take part
            return Failed(Problem("exception", f"the outcome of the job could not be unpickled: {sentence(error)}"))

    def _look_again(self) -> Outcome[K] | None:
        """A network folder may show the outcome later than the end of the command."""
        network = PATIENCE if is_network(self._job.folder) else 0.0
        deadline = time.monotonic() + (network if self._patience is None else self._patience)
        while (left := deadline - time.monotonic()) > 0 and not self._children.stopping.wait(min(left, LOOK_EVERY)):
            os.listdir(self._file.parent)  # makes NFS ask its server anew
            if (outcome := self._outcome()) is not None:
                return outcome
        return None

    def _no_outcome(self, code: int, before: int) -> Failed:
        name = shlex.join(self._job.command)
        kind, subject = ("prefix", f"prefix command {name!r}") if name else ("died", "its interpreter")
        if beside(self._file, "started").exists():
            end = self._bury() or Exit(code)
            text = f"its process {death_text(end)}"
            if name and code:
                text = f"its process ended without an answer, and the prefix command {name!r} {exit_text(code)}"
                text += memory_text(end)
            return Failed(Problem("died", text, exit_code=code, memory=end.memory))
        if code == 0:
            hint = "does it wait for the job (e.g. jbsub -wait)?"
            return Failed(Problem(kind, f"{subject} ended with code 0 but never started the task; {hint}", exit_code=0))
        with open(self._job.stderr, "rb") as file:
            file.seek(max(before, os.path.getsize(self._job.stderr) - (1 << 16)))
            said = last_lines(file.read())
        text = f"{subject} {exit_text(code)} before it started the task\n{said}".rstrip()
        return Failed(Problem(kind, text, exit_code=code))
