"""A job behind a command: the words of that, the files of the two ends, and jobs of clusters that may be left.

What runs it is prefix_runner.py. Known clusters are Slurm, LSF, Grid Engine, PBS and HTCondor, by what their commands
print and by what they set for their jobs.
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

# What is printed when a job was submitted → what ends it
_SUBMITTED = (
    (r"^Submitted batch job (\d+)\b", "scancel {}"),
    (r"^Job <(\d+)> is submitted to ", "bkill {}"),
    (r"^Your job (\d+) \(.*\) has been submitted", "qdel {}"),
    (r"^Your job-array (\d+)\.\S+ \(.*\) has been submitted", "qdel {}"),
    (r"^\d+ job\(s\) submitted to cluster (\d+)\.", "condor_rm {}"),
)
# PBS says no more than the number with the server, so that counts only where `qsub` was among the words
_PBS = (r"^(\d+(?:\[\])?\.[A-Za-z][\w.-]*)$", "qdel {}")
# The same of commands that end their job when they end by themselves
_HELD = (
    (r"^(?:srun|salloc): (?:job|Pending job allocation|Granted job allocation) (\d+)\b", "scancel {}"),
    (r"^qsub: waiting for job (\S+) to start", "qdel {}"),
)
# Variable of the environment of a job → what ends the job. Grid Engine's JOB_ID could be anybody's without the other
_SET = (("SLURM_JOB_ID", "scancel {}"), ("LSB_JOBID", "bkill {}"), ("PBS_JOBID", "qdel {}"), ("JOB_ID", "qdel {}"))
_BESIDE = {"JOB_ID": "SGE_TASK_ID"}
_STEP = "SLURM_STEP_ID"


def split_prefix(prefix: str | Sequence[str]) -> tuple[str, ...]:
    """The words of a command, split as a shell would; a sequence is taken as it is.

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
    """`command` with `{task_name}` and the other PLACES replaced within its words; other braces stay as they are."""
    words = []
    for word in command:
        # one pass from left to right, so that a value which looks like a place is not replaced in its turn
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
    """A job and the command that carries it.

    Attributes:
        command: split and filled; empty for a fresh interpreter without anything before it.
        job: what the far end calls; pickles with plain `pickle`.
        folder: where the file for the far end is written; both ends must see it.
        stdout: what the command prints is appended to this file, and to `stderr`.
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
    """`FILE.ending`: where the two ends of a prefix command leave each other word."""
    return file.with_name(f"{file.name}.{ending}")


# ---------------------------------------------------------------- jobs that a command may leave on a cluster

def ends_of_submitted(words: Sequence[str], text: str, *, was_killed: bool) -> list[str]:
    """The commands that end the jobs which may be left of a command that was ended; `text` is what that printed.

    `srun` and its like have ended their jobs unless they were killed; what submits a job and waits for it, has not.
    """
    patterns = [*_SUBMITTED, *(_HELD if was_killed else ())]
    if re.search(r"\bqsub\b", " ".join(words)):
        patterns.append(_PBS)
    ends = [
        (found.start(), end.format(found[1]))
        for pattern, end in patterns
        for found in re.finditer(pattern, text, re.MULTILINE)
    ]
    return list(dict.fromkeys(end for _, end in sorted(ends)))


def cluster_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Those of an environment that tell in which job a process is."""
    names = [*(name for name, _ in _SET), *_BESIDE.values(), _STEP]
    return {name: environ[name] for name in names if environ.get(name)}


def ends_of_job(inside: Mapping[str, str], outside: Mapping[str, str]) -> list[str]:
    """The command that ends the job of a process with the variables `inside`, unless one with `outside` is in it, too.

    Within one allocation of Slurm that is the step.
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
    """What may be left, and what ends it; empty if nothing is."""
    if not ends:
        return ""
    jobs = "a job" if len(ends) == 1 else f"{len(ends)} jobs"
    return f"{jobs} may be left on the cluster; to end {'it' if len(ends) == 1 else 'them'}: {'; '.join(ends)}"
