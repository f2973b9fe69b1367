"""Tasks behind a real `srun`: skipped where no Slurm answers; `.ci/slurm` starts one."""
from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from taskproc import Cache, FailedTaskError, LocalExecutor
from tests.pace import limit
from tests.promises.graphs import Environment, Fails, Many


def answers() -> bool:
    """Whether a Slurm takes jobs here."""
    if shutil.which("srun") is None:
        return False
    try:
        return subprocess.run(
            ["srun", "-n1", "true"], capture_output=True, timeout=limit(10), check=False
        ).returncode == 0
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
    said = [line for part in parts for line in part.task_stderr_caller.read_text().splitlines()]
    assert all(line.startswith("srun: job ") for line in said), "it says no more than that a job had to wait"


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


SRUN = "srun -n1 -c1 --quiet"
SBATCH = ["sh", "-c", 'exec sbatch --wait --output /dev/null --wrap "$*"', "sh"]
PROGRAM = """
import json, os, sys, time
from taskproc import Cache, FutureList, Task

class Part(Task):
    task_timeout = json.loads(sys.argv[2])

    def __init__(self, number: int):
        self.number = number

    def run_task(self) -> int:
        with open("journal", "a") as file:
            file.write(f"start {self.number}\\n")
        while not os.path.exists("go"):
            time.sleep(0.01)
        return self.number

class Both(Task):
    def __init__(self) -> None:
        self.parts = FutureList([Part(0), Part(1)])

    def run_task(self) -> int:
        return sum(self.parts.get_result())

if __name__ == "__main__":
    with Cache("cache"):
        print(Both().run_graph(prefixes={Part.task_name: json.loads(sys.argv[1])}, on_error="continue")[0])
"""


def until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + limit(100)
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


class Run:
    """A run of two tasks behind Slurm that do not end, each in a job with the name of this run."""

    def __init__(self, folder: Path, environ: dict[str, str]):
        self.folder, self.environ = folder, {**environ, "SLURM_JOB_NAME": folder.name, "SBATCH_JOB_NAME": folder.name}
        (folder / "script.py").write_text(PROGRAM)

    def start(self, prefix: str | Sequence[str], timeout: float | None = None) -> subprocess.Popen[str]:
        words = [sys.executable, "script.py", json.dumps(prefix), json.dumps(timeout)]
        return subprocess.Popen(
            words, cwd=self.folder, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def jobs(self, state: str = "PENDING,RUNNING,SUSPENDED,CONFIGURING") -> list[str]:
        words = ["squeue", "--noheader", "--format=%i", f"--name={self.folder.name}", f"--states={state}"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()

    def started(self) -> list[str]:
        path = self.folder / "journal"
        return sorted(path.read_text().splitlines()) if path.exists() else []

    def until_both_run(self) -> None:
        until(lambda: len(self.started()) == 2, "the tasks have not begun")

    def commands(self) -> list[str]:
        """What runs of the commands of prefixes and their far ends."""
        found = subprocess.run(["pgrep", "-f", f"{self.folder}/cache/run"], capture_output=True, text=True, check=False)
        return found.stdout.split()


@pytest.fixture
def run(tmp_path: Path, environ: dict[str, str]) -> Iterator[Run]:
    made = Run(tmp_path, environ)
    yield made
    subprocess.run(["scancel", f"--name={tmp_path.name}"], check=True)


@pytest.fixture
def busy() -> Iterator[None]:
    """All processors of the Slurm are taken."""
    words = ["sbatch", "--exclusive", "--output=/dev/null", "--wrap=sleep 1000"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    job = said.split()[-1]
    shown = ["squeue", "--noheader", "--format=%T", f"--jobs={job}"]
    until(lambda: subprocess.check_output(shown, text=True).strip() == "RUNNING", said)
    yield
    subprocess.run(["scancel", job], check=True)


SIGNALS = {
    "Ctrl-C": [signal.SIGINT],
    "Ctrl-C twice": [signal.SIGINT] * 2,
    "Ctrl-C three times": [signal.SIGINT] * 3,
    "TERM twice": [signal.SIGTERM] * 2,
    "HUP": [signal.SIGHUP],
    "killed": [signal.SIGKILL],
}


def send(process: subprocess.Popen[str], signals: Sequence[int]) -> str:
    """What it says when it is sent them one soon after the other."""
    for number in signals:
        process.send_signal(number)
        time.sleep(0.02)  # or they would be one
    return process.communicate(timeout=limit(100))[0]


@pytest.mark.parametrize("signals", SIGNALS.values(), ids=SIGNALS)
def test_no_job_outlives_its_run(run: Run, signals: Sequence[int]) -> None:
    """srun has the time to tell Slurm, though the signals follow each other, or nobody is there any more."""
    process = run.start(SRUN)
    run.until_both_run()
    assert len(run.jobs()) == 2

    send(process, signals)

    until(lambda: not run.jobs() and not run.commands(), f"{run.jobs()} and {run.commands()} are left")


@pytest.mark.parametrize("signals", SIGNALS.values(), ids=SIGNALS)
def test_no_job_waits_for_a_run_that_has_ended(busy: None, run: Run, signals: Sequence[int]) -> None:
    """What is queued has no far end yet."""
    process = run.start(SRUN)
    until(lambda: len(run.jobs("PENDING")) == 2, "the jobs are not queued")

    send(process, signals)

    until(lambda: not run.jobs() and not run.commands(), f"{run.jobs()} and {run.commands()} are left")


def test_a_timeout_leaves_no_job(run: Run) -> None:
    """The task has failed by it."""
    said = run.start(SRUN, timeout=0.5).communicate(timeout=limit(100))[0]

    assert said.count("failed: TaskTimeout: timed out after 0.5 s") == 2
    until(lambda: not run.jobs() and not run.commands(), f"{run.jobs()} and {run.commands()} are left")


@pytest.mark.parametrize("prefix", [SRUN, f"sh -c '{SRUN} \"$@\" & wait' sh", f"env A=b {SRUN}"])
def test_a_killed_run_is_gone_on_with_at_once(run: Run, prefix: str) -> None:
    """By a run that finds nothing of it at work, so that nothing is done twice at a time."""
    process = run.start(prefix)
    run.until_both_run()
    send(process, [signal.SIGKILL])
    until(lambda: not run.jobs() and not run.commands(), f"{run.jobs()} and {run.commands()} are left")

    (run.folder / "go").touch()
    said = run.start(prefix).communicate(timeout=limit(100))[0]

    assert said == "1\n"
    assert run.started() == ["start 0"] * 2 + ["start 1"] * 2


def test_a_job_that_is_left_is_named_with_what_ends_it(run: Run) -> None:
    """`sbatch --wait` does not end its job when it ends."""
    process = run.start(SBATCH)
    run.until_both_run()
    jobs = run.jobs()

    said = send(process, [signal.SIGINT] * 2)

    told = re.search(r"^hint: 2 jobs may be left on the cluster; to end them: (.*)$", said, re.MULTILINE)
    assert told, said
    assert {f"scancel {job}" for job in jobs} == set(told[1].split("; "))
    subprocess.run(told[1], shell=True, check=True)
    until(lambda: not run.jobs(), f"{run.jobs()} are left")
