"""A runner for jobs behind a command: `srun …`, `docker run …`, or nothing but a fresh interpreter.

Each job is written into a file, and `COMMAND… python -m taskproc.run.prefix_end FILE` is run without a shell, so no
path can be misread. The exit code of an unknown command proves nothing: what counts is the outcome that the far end
leaves beside the file. Without an outcome, the marks beside the file tell whether the command or the task failed.

A command may have to tell a cluster of its end, as `srun` does. So whatever ends it, even the death of this process, it
gets TERM first, and KILL only after ten seconds. Jobs that may then be left on the cluster are named.
"""
from __future__ import annotations

import os
import pickle
import shlex
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Generic, cast

from taskproc.kernel.model import Done, Failed, K, Problem, Ticket
from taskproc.machine import is_network
from taskproc.pickling import load
from taskproc.run.child import Child, Deadline, not_started
from taskproc.run.children import PATIENCE, Attempt, Children, ChildRunner, Launch
from taskproc.run.far_end import Setup, interpreter, start_environ
from taskproc.run.group import GRACE, Exit, Grace
from taskproc.run.inbox import Inbox
from taskproc.run.prefix_job import PrefixedJob, ends_of_job, ends_of_submitted, job_file, jobs_left
from taskproc.run.problem import death_text, end_of_log, exit_text, memory_text, problem_of, sentence, timed_out
from taskproc.run.runner import Answer, Ending, Job
from taskproc.run.system_limits import is_scarce, limit_problem

LATE = 60.0  # seconds within which a network folder shows a new file
LOOK_EVERY = 0.5  # seconds
LOOK_FOR_BEGIN_EVERY = 0.1  # seconds
_TAIL = 1 << 16  # bytes of the output of a command that are searched for jobs of clusters
FAR_FIRST = 0.5  # seconds that the far end has to end its job itself, so that nobody gets TERM twice


class PrefixRunner(ChildRunner[K, Answer]):
    """Runs each PrefixedJob in its own process, at most `capacity` at once; others wait.

    Args:
        patience: seconds to look again for the outcome of a command that ended without one; None: 60 if the folder of
            the job is on a network, which may show files late, and 0 otherwise.
        left: a list to which the commands are added that end jobs which `stop` may have left on clusters.
    """

    def __init__(
        self,
        inbox: Inbox[Ending[K, Answer]],
        capacity: int = 64,
        *,
        patience: float | None = None,
        grace: Grace | None = None,
        left: list[str] | None = None,
    ):
        super().__init__(inbox, capacity, Children(grace or Grace()))
        self._patience = patience
        self._places = threading.Semaphore(capacity)
        self._left: list[str] = [] if left is None else left

    def start(self, ticket: Ticket[K], job: Job[Answer]) -> None:
        """Run the command of `job`, a PrefixedJob, in a thread that waits for it."""
        if not isinstance(job, PrefixedJob):
            raise AssertionError(f"{job!r} has no prefix [this is a bug]")
        try:
            content = pickle.dumps((Setup.here(), pickle.dumps(job.job, 5)), 5)
        except Exception as error:  # noqa: BLE001  # the user's classes take part
            problem = problem_of(error, pickled=False)
            text = f"the job cannot be sent to another process: {problem.text}"
            self._inbox.put((ticket, Failed(Problem("exception", text, problem.traceback, error))))
            return
        run: Callable[[], Answer | Failed] = partial(self._run_to_the_end, job, content)
        try:
            self._children.follow(self._run, ticket, run)
        except BlockingIOError as error:
            self._inbox.put((ticket, Failed(limit_problem("no thread could be started for its command", error))))

    def _run_to_the_end(self, job: PrefixedJob[Answer], content: bytes) -> Answer | Failed:
        """Run the job in its own thread, and return how it ended."""
        with self._places:
            try:
                sent = _Sent(job, content, self._patience, self._children.stopping)
                try:
                    attempt: Attempt[Answer] = Attempt(sent, self._children)
                    answer = attempt.run()
                    if self._children.stopping.is_set():
                        self._left += [end for end in sent.left(attempt) if end not in self._left]
                    return answer
                finally:
                    sent.clean_up()
            except OSError as error:
                what = "the job could not be written for its command"
                refused = limit_problem(what, error) if is_scarce(error) else None
                return Failed(refused or Problem("prefix", f"{what}: {sentence(error)}", error=error))


class _Sent(Generic[Answer]):
    """A PrefixedJob, written into the file that its two ends share, as a ChildJob.

    Args:
        content: the bytes of the file.
        patience: see PrefixRunner.
        stopping: when it is set, nobody looks again for an outcome.
    """

    def __init__(self, job: PrefixedJob[Answer], content: bytes, patience: float | None, stopping: threading.Event):
        self._job, self._patience, self._stopping = job, patience, stopping
        job.folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix="job-", suffix=".pkl", dir=job.folder)
        self._file = Path(name).absolute()
        with open(descriptor, "wb") as file:
            file.write(content)

    def launch(self) -> Launch:
        """See ChildJob."""
        job = self._job
        words = [*job.command, *interpreter(), "-m", "taskproc.run.prefix_end", str(self._file)]
        patience = PATIENCE if job.command else 0.0
        environ = start_environ(os.environ)
        return Launch(words, job.stdout, job.stderr, environ=environ, patience=patience, leads_to_us=True)

    def unstarted(self, error: OSError | ValueError | None) -> Failed:
        """See ChildJob."""
        if error is None:
            return Failed(Problem("died", "the runner has been stopped"))
        what = f"prefix command {self.launch().words[0]!r}"
        text = not_started(what, error) if isinstance(error, OSError) else f"{what} could not be run: {sentence(error)}"
        return Failed(Problem("prefix", text, error=error))

    def deadline(self, child: Child) -> Deadline | None:
        """See ChildJob."""
        return None if self._job.timeout is None else _FarDeadline(child, self._job.timeout, self._file)

    def answer(self, attempt: Attempt[Answer]) -> Answer | Failed:
        """See ChildJob. Looks for the outcome before it buries: processes that the command left may still write it."""
        code, timeout = attempt.code, self._job.timeout
        answer = self._outcome()
        is_late = attempt.is_late or job_file(self._file, "timedout").exists()
        if answer is None and not is_late and (code == 0 or job_file(self._file, "started").exists()):
            answer = self._look_again()
        if is_late and timeout is not None and not isinstance(answer, Done):
            return timed_out(timeout, self._bury(attempt), hint=jobs_left(self.left(attempt)))
        return self._no_outcome(attempt) if answer is None else answer

    def left(self, attempt: Attempt[Answer]) -> list[str]:
        """Return the commands that end jobs which may be left on a cluster; none if there is an outcome."""
        if attempt.child is None:
            return []
        self._bury(attempt)
        if job_file(self._file, "outcome").exists():
            return []
        was_killed = attempt.child.was_killed
        here = self._end_of_far_end() if was_killed else []
        texts = (_text(path, since) for path, since in zip((self._job.stdout, self._job.stderr), attempt.before))
        printed = ends_of_submitted(self._job.command, "\n".join(texts), was_killed=was_killed)
        return list(dict.fromkeys([*here, *printed]))

    def clean_up(self) -> None:
        """Remove the files, so that a far end that starts late finds nothing to run."""
        for path in self._file.parent.glob(f"{self._file.name}*"):
            path.unlink(missing_ok=True)

    def _end_of_far_end(self) -> list[str]:
        parts = [line.partition("=") for line in self._started()[1:]]
        return ends_of_job({name: value for name, _, value in parts}, os.environ)

    def _started(self) -> list[str]:
        """Return the lines that the far end wrote when it started; none: it did not start."""
        try:
            return job_file(self._file, "started").read_text().splitlines()
        except OSError:
            return []

    def _bury(self, attempt: Attempt[Answer]) -> Exit:
        """Return how the command ended, with its peak memory if it became the far end itself (exec)."""
        far, _, peak = (self._started() or [""])[0].partition(" ")
        is_far = attempt.child is not None and far == str(attempt.child.command_pid)
        return attempt.bury(int(peak) if peak and is_far else None)

    def _outcome(self) -> Answer | Failed | None:
        try:
            content = job_file(self._file, "outcome").read_bytes()
        except FileNotFoundError:
            return None
        try:
            return cast("Answer", load(content))
        except Exception as error:  # noqa: BLE001  # the user's classes take part
            return Failed(Problem("exception", f"the outcome of the job could not be unpickled: {sentence(error)}"))

    def _look_again(self) -> Answer | Failed | None:
        """Look for the outcome again: a network folder may show it later than the end of the command."""
        network = LATE if is_network(self._job.folder) else 0.0
        deadline = time.monotonic() + (network if self._patience is None else self._patience)
        while (left := deadline - time.monotonic()) > 0 and not self._stopping.wait(min(left, LOOK_EVERY)):
            os.listdir(self._file.parent)  # makes NFS ask its server again
            if (answer := self._outcome()) is not None:
                return answer
        return None

    def _no_outcome(self, attempt: Attempt[Answer]) -> Failed:
        code, name = attempt.code, shlex.join(self._job.command)
        kind, subject = ("prefix", f"prefix command {name!r}") if name else ("died", "its interpreter")
        printed, memory = "", None
        if job_file(self._file, "started").exists():
            end = self._bury(attempt)
            kind, memory = "died", end.memory
            text = f"its process {death_text(end)}"
            if name and code:
                text = f"its process ended without an answer, and the prefix command {name!r} {exit_text(code)}"
                text += memory_text(end)
        elif code == 0:
            hint = "does it wait for the job (e.g. jbsub -wait)?"
            text = f"{subject} ended with code 0 but never started the task; {hint}"
        else:
            text = f"{subject} {exit_text(code)} before it started the task"
            printed = end_of_log(self._job.stderr, attempt.before[1])
        text = "\n".join(filter(None, [text, jobs_left(self.left(attempt)), printed]))
        return Failed(Problem(kind, text, exit_code=code, memory=memory))


class _FarDeadline(Deadline):
    """Ends a command whose job has run too long, unless the far end does so itself."""

    def __init__(self, child: Child, seconds: float, file: Path):
        self._file = file
        super().__init__(child, seconds)

    def watch(self) -> None:
        """Wait, and end the command. The clock starts when the far end says that the job begins."""
        while not job_file(self._file, "began").exists():
            if self.ended.wait(LOOK_FOR_BEGIN_EVERY):
                return
        if not self.ended.wait(self.seconds + FAR_FIRST):
            self.passed = True
            # If the far end has ended itself, the command notices that and should end by itself
            if not (job_file(self._file, "timedout").exists() and self.ended.wait(GRACE + FAR_FIRST)):
                self.end_politely()


def _text(path: Path, since: int) -> str:
    """Return the end of what was appended to a log."""
    with open(path, "rb") as file:
        file.seek(max(since, os.path.getsize(path) - _TAIL))
        return file.read().decode("utf-8", "replace")
