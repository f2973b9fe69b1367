"""A runner for jobs behind a command: `srun …`, `docker run …`, or nothing but a fresh interpreter.

Each job is written into a file, and `COMMAND… python -m taskproc.run.entry FILE` is run without a shell, so no path can
be misread. The exit code of a foreign command proves nothing: what counts is the outcome that the far end left beside
the file. Without one, the marks that are there tell whether the command or the task went wrong.

A command may have a cluster to tell of its end, as `srun` has. So whatever ends it, also the death of this process, it
gets TERM, and KILL only after ten seconds. Jobs that may be left on the cluster then are named.
"""
from __future__ import annotations

import os
import pickle
import shlex
import tempfile
import threading
import time
import weakref
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar, cast

from taskproc.checks import at_least
from taskproc.kernel.model import Done, Failed, Outcome, Problem, Ticket
from taskproc.machine import is_network
from taskproc.pickling import load
from taskproc.run import cluster
from taskproc.run.base import Ending, Job
from taskproc.run.child import Child
from taskproc.run.children import PATIENCE, Children, end_politely, not_started
from taskproc.run.group import GRACE, Exit, Grace
from taskproc.run.inbox import Inbox
from taskproc.run.lifeline import VARIABLE, describe
from taskproc.run.prefixed import PrefixedJob
from taskproc.run.problem import death_text, end_of_log, exit_text, memory_text, problem_of, sentence
from taskproc.run.scarce import is_scarce, limit_problem, was_refused
from taskproc.run.setup import Setup, interpreter, start_environ
from taskproc.run.timeout import timed_out
from taskproc.run.wire import job_file

K = TypeVar("K", bound=Hashable)

LATE = 60.0  # seconds after which a network folder shows a file at the latest
LOOK_EVERY = 0.5
LOOK_FOR_BEGIN_EVERY = 0.1
_TAIL = 1 << 16  # bytes of what a command printed that are looked at
FAR_FIRST = 0.5  # seconds by which the far end may be late to end its job itself: who hears TERM should hear it once



class PrefixRunner(Generic[K]):
    """Runs each PrefixedJob in a process of its own, at most `capacity` at once.

    Args:
        patience: after a command that ended well without an outcome, look again so many seconds; None is 60 where
            `folder` lies on a network, which may show files late, and 0 elsewhere.
        left: gets the commands that end what may be left on clusters of what `stop` has ended.
    """

    def __init__(
        self,
        inbox: Inbox[Ending[K]],
        capacity: int = 64,
        *,
        patience: float | None = None,
        grace: Grace | None = None,
        left: list[str] | None = None,
    ):
        self._inbox = inbox
        self._capacity = at_least(capacity, 1, "number of commands at once")
        self._patience = patience
        self._places = threading.Semaphore(capacity)
        self._children = Children(grace or Grace())
        self._at_exit = weakref.finalize(self, self._children.end, os.getpid())
        self._left: list[str] = [] if left is None else left

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
        try:
            self._children.follow(self._run, ticket, job, content)
        except BlockingIOError as error:
            self._inbox.put((ticket, Failed(limit_problem("no thread could be started for its command", error))))

    def wait(self, timeout: float | None) -> Sequence[Ending[K]]:
        """What has come into the inbox."""
        return self._inbox.wait(timeout)

    def recall(self) -> None:
        """Nothing: the command of each job has been started."""

    def stop(self) -> None:
        """TERM to all commands and their children, KILL after ten seconds: no hurry changes that."""
        self._at_exit()

    def _run(self, ticket: Ticket[K], job: PrefixedJob[K], content: bytes) -> None:
        """In a thread of its own, to the end."""
        with self._places:
            try:
                attempt = _PrefixAttempt(job, content, self._children, self._patience)
                try:
                    outcome: Outcome[K] = attempt.run()
                    if self._children.stopping.is_set():
                        self._left += [end for end in attempt.left() if end not in self._left]
                finally:
                    attempt.clean_up()
            except OSError as error:
                what = "the job could not be written for its command"
                refused = limit_problem(what, error) if is_scarce(error) else None
                outcome = Failed(refused or Problem("prefix", f"{what}: {sentence(error)}", error=error))
        was_put_off = isinstance(outcome, Failed) and was_refused(outcome.problem)
        if was_put_off and self._children.put_off(self._run, ticket, job, content):
            return  # until another one has ended
        if not self._children.stopping.is_set():
            self._inbox.put((ticket, outcome))


class _PrefixAttempt(Generic[K]):
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
        self._before = 0, 0

    def run(self) -> Outcome[K]:
        """What came of it."""
        command = [*self._job.command, *interpreter(), "-m", "taskproc.run.entry", str(self._file)]
        with _log(self._job.stdout) as stdout, _log(self._job.stderr) as stderr:
            self._before = stdout.tell(), stderr.tell()
            try:
                environ = {**start_environ(os.environ), VARIABLE: describe(self._pipe[0])}
                self._process = self._children.start(
                    command, stdout=stdout, stderr=stderr, environ=environ, passed=[self._pipe[0]],
                    patience=PATIENCE if self._job.command else 0.0,
                )
            except OSError as error:
                return Failed(Problem("prefix", not_started(f"prefix command {command[0]!r}", error), error=error))
        if self._process is None:
            return Failed(Problem("died", "the runner has been stopped"))
        if self._job.timeout is not None:
            self._watch = threading.Thread(target=self._watch_over, args=(self._process, self._job.timeout))
            self._watch.start()
        code = self._process.await_end()
        self._ended.set()
        outcome = self._outcome()
        late = self._expired or job_file(self._file, "timedout").exists()
        if outcome is None and not late and (code == 0 or job_file(self._file, "started").exists()):
            outcome = self._look_again()
        if late and self._job.timeout is not None and not isinstance(outcome, Done):
            return timed_out(self._job.timeout, self._bury(), hint=cluster.jobs_left(self.left()))
        return self._no_outcome(code) if outcome is None else outcome

    def _watch_over(self, process: Child, seconds: float) -> None:
        """In a thread of its own: end the command when its job has run too long."""
        while not job_file(self._file, "began").exists():
            if self._ended.wait(LOOK_FOR_BEGIN_EVERY):
                return
        if not self._ended.wait(seconds + FAR_FIRST):
            self._expired = True
            # Where the far end has ended itself the command hears of that, and should end by itself
            if not (job_file(self._file, "timedout").exists() and self._ended.wait(GRACE + FAR_FIRST)):
                end_politely(process, self._ended)

    def left(self) -> list[str]:
        """The commands that end what may be left on a cluster; none if there is an outcome, for then the job ends."""
        self._bury()
        if self._process is None or job_file(self._file, "outcome").exists():
            return []
        was_killed = self._process.was_killed
        here = self._end_of_far_end() if was_killed else []
        texts = (_text(path, since) for path, since in zip((self._job.stdout, self._job.stderr), self._before))
        printed = cluster.submitted(self._job.command, "\n".join(texts), was_killed=was_killed)
        return list(dict.fromkeys([*here, *printed]))

    def _end_of_far_end(self) -> list[str]:
        parts = [line.partition("=") for line in self._started()[1:]]
        return cluster.end_of({name: value for name, _, value in parts}, os.environ)

    def _started(self) -> list[str]:
        """The lines of the far end; none: it did not come so far."""
        try:
            return job_file(self._file, "started").read_text().splitlines()
        except OSError:
            return []

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
            self._end = self._children.bury(self._process, self._peak_at_start(self._process.command_pid))
        return self._end

    def _peak_at_start(self, pid: int) -> int | None:
        far, _, peak = (self._started() or [""])[0].partition(" ")
        return int(peak) if peak and int(far) == pid else None

    def _outcome(self) -> Outcome[K] | None:
        try:
            content = job_file(self._file, "outcome").read_bytes()
        except FileNotFoundError:
            return None
        try:
            return cast("Outcome[K]", load(content))
        except Exception as error:  # noqa: BLE001  # the user's classes take part
            return Failed(Problem("exception", f"the outcome of the job could not be unpickled: {sentence(error)}"))

    def _look_again(self) -> Outcome[K] | None:
        """A network folder may show the outcome later than the end of the command."""
        network = LATE if is_network(self._job.folder) else 0.0
        deadline = time.monotonic() + (network if self._patience is None else self._patience)
        while (left := deadline - time.monotonic()) > 0 and not self._children.stopping.wait(min(left, LOOK_EVERY)):
            os.listdir(self._file.parent)  # makes NFS ask its server again
            if (outcome := self._outcome()) is not None:
                return outcome
        return None

    def _no_outcome(self, code: int) -> Failed:
        name = shlex.join(self._job.command)
        kind, subject = ("prefix", f"prefix command {name!r}") if name else ("died", "its interpreter")
        if job_file(self._file, "started").exists():
            end = self._bury() or Exit(code)
            text = f"its process {death_text(end)}"
            if name and code:
                text = f"its process ended without an answer, and the prefix command {name!r} {exit_text(code)}"
                text += memory_text(end)
            text = "\n".join(filter(None, [text, cluster.jobs_left(self.left())]))
            return Failed(Problem("died", text, exit_code=code, memory=end.memory))
        if code == 0:
            hint = "does it wait for the job (e.g. jbsub -wait)?"
            text = f"{subject} ended with code 0 but never started the task; {hint}"
            text = "\n".join(filter(None, [text, cluster.jobs_left(self.left())]))
            return Failed(Problem(kind, text, exit_code=0))
        said = end_of_log(self._job.stderr, self._before[1])
        text = f"{subject} {exit_text(code)} before it started the task"
        text = "\n".join(filter(None, [text, cluster.jobs_left(self.left()), said]))
        return Failed(Problem(kind, text, exit_code=code))


def _text(path: Path, since: int) -> str:
    """The end of what was appended to a log of ours."""
    with open(path, "rb") as file:
        file.seek(max(since, os.path.getsize(path) - _TAIL))
        return file.read().decode("utf-8", "replace")


def _log(path: Path) -> BinaryIO:
    """A log to append to: made if it is not there, and never what a link leads to."""
    return open(path, "ab", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NOFOLLOW", 0), 0o666))
