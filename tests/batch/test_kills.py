"""Batches that are killed while they save: saved results can be read, and a resumed batch ends the same."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from taskproc.batch import JSONLinesSaver
from tests.batch.kills import FORMATS, NEEDS, killed_everywhere
from tests.fault.forks import nursed

PARTS = 4  # of all kills, about five hundred, one part is done: each takes some ten milliseconds

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs fork and SIGKILL")


def needs(kind: str) -> None:
    if kind in NEEDS:
        module = pytest.importorskip(NEEDS[kind], reason=f"needs {NEEDS[kind]}")
        if kind == "ZarrSaver" and not hasattr(module, "create_array"):
            pytest.skip("needs zarr 3, which needs Python 3.11")


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
def test_killed_while_it_saves(kind: str, tmp_path: Path) -> None:
    """Before any operation, or half way through a write: the file is a beginning of the results, all that was said to
    be saved is there, and a resumed batch gives exactly the file and the results of one that was not killed.
    """
    needs(kind)

    kills, faults = nursed(killed_everywhere, kind, tmp_path, 0, PARTS)

    assert [] == faults
    assert kills >= 10


SCRIPT = """
import sys
from taskproc.batch import JSONLinesSaver, TaskManager
from tests.batch.tasks import Slowly

manager = TaskManager(Slowly, executor="processes", n_cores=2)
manager.submit_tasks(range(200), chunk_size=3, saver=JSONLinesSaver("results"), save_interval=4, resume=True)
print(manager.get_results() == [2 * x for x in range(200)])
"""


@pytest.mark.slow
def test_killed_with_workers(tmp_path: Path, environ: dict[str, str]) -> None:
    """SIGKILL from outside, three times, each a bit further on: its workers end, and the last run ends the batch."""
    command = [sys.executable, "-c", SCRIPT]
    for count in (10, 50, 120):
        process = subprocess.Popen(command, cwd=tmp_path, env=environ, start_new_session=True)
        while lines(tmp_path / "results") < count and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert -signal.SIGKILL == process.returncode

    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True)

    assert (0, "True\n") == (done.returncode, done.stdout), done.stderr
    saver = JSONLinesSaver(tmp_path / "results")
    assert [2 * x for x in range(200)] == [value for rows in saver.load() for value in rows]


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0
