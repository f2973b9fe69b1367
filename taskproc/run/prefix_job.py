"""A job behind a command: the words of the command, the files between its two ends, the cluster jobs it may leave.

prefix_runner.py runs it. Slurm, LSF, Grid Engine, PBS and HTCondor are recognized by what their commands print and by
the variables that they set for their jobs.
"""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Generic

from taskproc.errors import OptionError
from taskproc.frozen import frozen
from taskproc.run.runner import Answer, Job, timeout_of

PLACES = ("task_name", "task_id", "task_directory", "stdout", "stderr")

# What a command prints when it has submitted a job → the command that ends the job
_SUBMITTED = (
    (r"^Submitted batch job (\d+)\b", "scancel {}"),
    (r"^Job <(\d+)> is submitted to ", "bkill {}"),
    (r"^Your job (\d+) \(.*\) has been submitted", "qdel {}"),
    (r"^Your job-array (\d+)\.\S+ \(.*\) has been submitted", "qdel {}"),
    (r"^\d+ job\(s\) submitted to cluster (\d+)\.", "condor_rm {}"),
)
# PBS prints only the number with the server, so this counts only if `qsub` is among the words
_PBS = (r"^(\d+(?:\[\])?\.[A-Za-z][\w.-]*)$", "qdel {}")
# The same for commands that end their job when they end by themselves
_HELD = (
    (r"^(?:srun|salloc): (?:job|Pending job allocation|Granted job allocation) (\d+)\b", "scancel {}"),
    (r"^qsub: waiting for job (\S+) to start", "qdel {}"),
)
# Variable of a job's environment → the command that ends the job. JOB_ID is Grid Engine's only beside SGE_TASK_ID
_SET = (("SLURM_JOB_ID", "scancel {}"), ("LSB_JOBID", "bkill {}"), ("PBS_JOBID", "qdel {}"), ("JOB_ID", "qdel {}"))
_BESIDE = {"JOB_ID": "SGE_TASK_ID"}
_STEP = "SLURM_STEP_ID"


def split_prefix(prefix: str | Sequence[str]) -> tuple[str, ...]:
    """Split a command into words as a shell would. A sequence is taken as it is.

    Raises OptionError if quotes are not closed.
    """
    if not isinstance(prefix, str):
        return tuple(prefix)
    import shlex  # here: most runs have no prefix

    try:
        return tuple(shlex.split(prefix))
    except ValueError as error:
        raise OptionError(f"prefix {prefix!r} cannot be split into words: {error}") from None


def fill_places(command: Sequence[str], values: Mapping[str, str]) -> tuple[str, ...]:
    """Replace `{task_name}` and the other PLACES within the words of `command`; other braces stay as they are."""
    words = []
    for word in command:
        # one pass from left to right, so that a value that looks like a place is not replaced in turn
        parts = word.split("{")
        filled = [parts[0]]
        for part in parts[1:]:
            name, closed, rest = part.partition("}")
            known = closed and name in PLACES and name in values
            filled.append(values[name] + rest if known else "{" + part)
        words.append("".join(filled))
    return tuple(words)


@frozen
class PrefixedJob(Generic[Answer]):
    """A job and the command that runs it.

    Attributes:
        command: split and filled; empty: a fresh interpreter and nothing before it.
        job: the far end calls it; it pickles with plain `pickle`.
        folder: for the file that the far end reads; both ends must see it.
        stdout, stderr: files to which the output of the command is appended.
    """

    command: tuple[str, ...]
    job: Job[Answer]
    folder: Path
    stdout: Path
    stderr: Path

    @property
    def timeout(self) -> float | None:
        """How many seconds the job itself may run."""
        return timeout_of(self.job)

    def __call__(self) -> Answer:
        """Run the job here, without its command."""
        return self.job()


def job_file(file: Path, ending: str) -> Path:
    """Return `FILE.ending`, one of the files by which the two ends of a prefix command talk."""
    return file.with_name(f"{file.name}.{ending}")


# ---------------------------------------------------------------- jobs that a command may leave on a cluster

def ends_of_submitted(words: Sequence[str], text: str, *, was_killed: bool) -> list[str]:
    """Return the commands that end the jobs which an ended command may have left; `text` is its output.

    `srun` and its like end their jobs unless they are killed; a command that submits a job and waits for it does not.
    """
    patterns = [*_SUBMITTED, *(_HELD if was_killed else ())]
    if re.search(r"\bqsub\b", " ".join(words)):
        patterns.append(_PBS)
    ends = [
        (match.start(), end.format(match[1]))
        for pattern, end in patterns
        for match in re.finditer(pattern, text, re.MULTILINE)
    ]
    return list(dict.fromkeys(end for _, end in sorted(ends)))


def cluster_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of an environment that say in which cluster job a process is."""
    names = [*(name for name, _ in _SET), *_BESIDE.values(), _STEP]
    return {name: environ[name] for name in names if environ.get(name)}


def ends_of_job(inside: Mapping[str, str], outside: Mapping[str, str]) -> list[str]:
    """Return the command that ends the job of a process with the variables `inside`; none if `outside` is the same job.

    Within one allocation of Slurm it ends the step.
    """
    for name, end in _SET:
        job = inside.get(name)
        if job is None or _BESIDE.get(name, name) not in inside:
            continue
        if job != outside.get(name):
            return [end.format(job)]
        if name == "SLURM_JOB_ID" and inside.get(_STEP, outside.get(_STEP)) != outside.get(_STEP):
            return [end.format(f"{job}.{inside[_STEP]}")]
    return []


def jobs_left(ends: Sequence[str]) -> str:
    """Say that jobs may be left, and which commands end them; empty if there are none."""
    if not ends:
        return ""
    jobs = "a job" if len(ends) == 1 else f"{len(ends)} jobs"
    return f"{jobs} may be left on the cluster; to end {'it' if len(ends) == 1 else 'them'}: {'; '.join(ends)}"
