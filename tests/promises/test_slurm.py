"""Tasks behind a real `srun`: skipped where no Slurm answers; `.ci/slurm` starts one."""
from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskproc import Cache, FailedTaskError, LocalExecutor
from tests.promises.graphs import Environment, Fails, Many


def answers() -> bool:
    """Whether a Slurm takes jobs here."""
    if shutil.which("srun") is None:
        return False
    try:
        return subprocess.run(["srun", "-n1", "true"], capture_output=True, timeout=10, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


pytestmark = [pytest.mark.slow, pytest.mark.skipif(not answers(), reason="no Slurm answers here; see .ci/slurm")]


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with Cache(tmp_path / "cache") as made:
        yield made


def test_001_36_labelled_tasks_run_in_slurm_jobs(cache: Cache) -> None:
    """Each in a job of its own, named by a template; what is not labelled stays here."""
    parts = [Environment(name) for name in ("SLURM_JOB_ID", "SLURM_JOB_NAME")]
    prefixes = {"first": "srun -n1 --job-name={task_id}"}

    job, name = Many(parts).run_graph(executor=LocalExecutor(), prefixes=prefixes, rate_limits={"first": 2})[0]

    assert job.isdigit()
    assert name == str(parts[1].task_id)
    assert parts[0].task_stderr_caller.read_text() == ""


def test_a_job_that_slurm_refuses_is_told_apart_from_a_task_that_fails(cache: Cache) -> None:
    """The first with what srun said, the second with what the task raised."""
    with pytest.raises(FailedTaskError) as refused:
        Environment("A").run_graph(prefixes={"first": "srun -n1 --partition=nowhere"})
    with pytest.raises(FailedTaskError) as failed:
        Fails("exception").run_graph(prefixes={Fails.task_name: "srun -n1"})

    assert "invalid partition" in str(refused.value)
    assert isinstance(failed.value.failures[0].error, KeyError)


def test_a_job_that_is_killed_is_told(cache: Cache) -> None:
    """With its signal."""
    with pytest.raises(FailedTaskError, match=r"killed|signal 9|SIGKILL|code 137"):
        Fails("kill").run_graph(prefixes={Fails.task_name: "srun -n1 --quiet"})
