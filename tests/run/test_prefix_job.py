"""Output and environment say which cluster job a command has submitted, and in which job a process is."""
from __future__ import annotations

import pytest

from taskproc.run.prefix_job import cluster_variables, ends_of_job, ends_of_submitted, jobs_left


@pytest.mark.parametrize(
    ("words", "line", "end"),
    [
        ("sbatch --wait", "Submitted batch job 17", "scancel 17"),
        ("sbatch --wait", "Submitted batch job 17 on cluster big", "scancel 17"),
        ("jbsub -wait", "Job <123> is submitted to queue <x86_1h>.", "bkill 123"),
        ("bsub -K", "Job <123> is submitted to default queue <normal>.", "bkill 123"),
        ("qsub -sync y", 'Your job 12 ("a.sh") has been submitted', "qdel 12"),
        ("qsub -sync y", 'Your job-array 12.1-3:1 ("a.sh") has been submitted', "qdel 12"),
        ("qsub -W block=true", "12.pbs-server", "qdel 12.pbs-server"),
        ("sh -c 'qsub -W block=true'", "12[].head.example", "qdel 12[].head.example"),
        ("condor_submit", "1 job(s) submitted to cluster 5.", "condor_rm 5"),
    ],
)
def test_a_job_that_was_submitted_may_be_left(words: str, line: str, end: str) -> None:
    """A submitted job may be left, whatever became of the command that waits for it."""
    text = f"hello\n{line}\nbye\n"

    for was_killed in (False, True):
        assert [end] == ends_of_submitted(words.split(), text, was_killed=was_killed)


@pytest.mark.parametrize(
    ("line", "end"),
    [
        ("srun: job 17 queued and waiting for resources", "scancel 17"),
        ("salloc: Pending job allocation 17", "scancel 17"),
        ("salloc: Granted job allocation 17", "scancel 17"),
        ("qsub: waiting for job 12.server to start", "qdel 12.server"),
    ],
)
def test_what_holds_its_job_leaves_it_only_when_it_is_killed(line: str, end: str) -> None:
    """A command such as srun ends its job unless it is killed."""
    assert ([], [end]) == (ends_of_submitted((), line, was_killed=False), ends_of_submitted((), line, was_killed=True))


@pytest.mark.parametrize(
    "text",
    ["17", "12.server", "job 17 ran", "see: Submitted batch job 17", "Submitted batch job x", "Job <a> is submitted"],
)
def test_other_lines_name_no_job(text: str) -> None:
    """Other lines name no job: ending a wrong job would be worse than leaving one."""
    assert [] == ends_of_submitted(("env", "A=b"), text, was_killed=True)


def test_each_job_is_named_once_in_the_order_in_which_it_was_submitted() -> None:
    """Each job is named once, in order, even if several patterns match."""
    text = "Job <2> is submitted to queue <a>.\nSubmitted batch job 1\nJob <2> is submitted to queue <a>.\n"

    assert ["bkill 2", "scancel 1"] == ends_of_submitted((), text, was_killed=False)


@pytest.mark.parametrize(
    ("inside", "outside", "end"),
    [
        ({"SLURM_JOB_ID": "17"}, {}, ["scancel 17"]),
        ({"SLURM_JOB_ID": "17", "SLURM_STEP_ID": "0"}, {"SLURM_JOB_ID": "16"}, ["scancel 17"]),
        ({"SLURM_JOB_ID": "17", "SLURM_STEP_ID": "3"}, {"SLURM_JOB_ID": "17"}, ["scancel 17.3"]),
        ({"SLURM_JOB_ID": "17", "SLURM_STEP_ID": "3"}, {"SLURM_JOB_ID": "17", "SLURM_STEP_ID": "3"}, []),
        ({"SLURM_JOB_ID": "17"}, {"SLURM_JOB_ID": "17"}, []),
        ({"LSB_JOBID": "5"}, {}, ["bkill 5"]),
        ({"PBS_JOBID": "5.server"}, {}, ["qdel 5.server"]),
        ({"JOB_ID": "5", "SGE_TASK_ID": "undefined"}, {}, ["qdel 5"]),
        ({"JOB_ID": "5"}, {}, []),
        ({}, {"SLURM_JOB_ID": "17"}, []),
    ],
)
def test_the_job_of_a_far_end_is_ended_but_never_our_own(
    inside: dict[str, str], outside: dict[str, str], end: list[str]
) -> None:
    """The job of a far end is ended, but never our own; inside one allocation the step is."""
    assert end == ends_of_job(cluster_variables({**inside, "HOME": "/", "LSB_QUEUE": "x"}), outside)


def test_what_is_left_is_told_with_what_ends_it() -> None:
    """The message names the commands that end the jobs; without jobs there is no message."""
    assert "a job may be left on the cluster; to end it: scancel 1" == jobs_left(["scancel 1"])
    assert "2 jobs may be left on the cluster; to end them: scancel 1; bkill 2" == jobs_left(["scancel 1", "bkill 2"])
    assert "" == jobs_left([])
