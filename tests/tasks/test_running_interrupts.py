"""What an interrupted run prints at its end."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pace import limit

SCRIPT = """
import sys
from concurrent.futures import ThreadPoolExecutor
from taskproc import Cache, LocalExecutor, Task

class Train(Task):
    def run_task(self) -> None: ...

if __name__ == "__main__":
    executor = {"workers": None, "inline": LocalExecutor(), "threads": ThreadPoolExecutor(1)}[sys.argv[1]]
    with Cache("cache"):
        Train().run_graph(executor=executor, prefixes={Train.task_name: ["sh", "sbatch"]})
"""
# As `sbatch --wait`, which leaves its job behind when it ends, and ends only on a signal
SBATCH = "echo 'Submitted batch job 17'; trap 'echo > heard; read go < go; exit 1' TERM; echo > told; sleep 1000 & wait"


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize("where", ["workers", "inline", "threads"])
def test_jobs_that_may_be_left_on_a_cluster_are_named(tmp_path: Path, environ: dict[str, str], where: str) -> None:
    """Last, also after a second signal, which leaves the command the time that it needs."""
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "sbatch").write_text(SBATCH)
    for name in ("told", "heard", "go"):
        os.mkfifo(tmp_path / name)
    words = [sys.executable, "script.py", where]
    process = subprocess.Popen(words, cwd=tmp_path, env=environ, stderr=subprocess.PIPE, text=True)
    (tmp_path / "told").read_text()

    process.send_signal(signal.SIGTERM)
    (tmp_path / "heard").read_text()
    process.send_signal(signal.SIGTERM)
    (tmp_path / "go").write_text("go\n")
    _, said = process.communicate(timeout=limit(60))

    assert 128 + signal.SIGTERM == process.returncode
    assert [
        "interrupted: 0 of 1 done, 1 stopped; run again to resume",
        "",
        "hint: a job may be left on the cluster; to end it: scancel 17",
    ] == said.splitlines()
