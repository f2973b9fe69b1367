"""Nothing that a task or a command leaves behind outlives it, though it has left every group."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from taskproc.run.keeper import be_subreaper
from tests.fault.daemons import COUNT, ROOT, RUNS, left, wait_for
from tests.gone import is_gone
from tests.pace import limit

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not be_subreaper(False), reason="orphans are given to nobody here")]


def program(*arguments: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "tests.fault.daemons", *arguments]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(words, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def killed(folder: Path) -> list[int]:
    """The daemons that live, which are ended now."""
    found = left(str(folder))
    for pid in found:
        os.kill(pid, 9)
    return found


@pytest.mark.parametrize("where", RUNS)
def test_daemons_end_with_what_left_them(tmp_path: Path, where: str) -> None:
    """Each of four, before the run is over, also when its task has died."""
    said, _ = program(where, str(tmp_path)).communicate(timeout=limit(100))

    assert [] == killed(tmp_path), said
    assert "live" not in said


@pytest.mark.parametrize("where", ["workers", "a prefix"])
def test_daemons_end_with_a_main_process_that_is_killed(tmp_path: Path, where: str) -> None:
    """Though nobody is left who could look for them."""
    main = program("stay", where, str(tmp_path))
    for number in range(COUNT):
        wait_for(str(tmp_path / str(number)))

    main.kill()
    main.communicate()

    pids = [int((tmp_path / str(number)).read_text()) for number in range(COUNT)]
    assert [True] * COUNT == [is_gone(pid) for pid in pids]
