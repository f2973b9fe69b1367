"""A result is that of the code that made it, also where a worker has loaded another than the main process."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.pace import limit

SCRIPT = """
import sys
from pathlib import Path
import helper
from taskproc import Cache, Task

class Scale(Task):
    def run_task(self):
        return helper.scale(10)

with Cache(Path(__file__).parent / "cache"):
    exec(sys.argv[1])
    value, stats = Scale().run_graph(max_workers=1)
    print(value, sum(stats["stats"].values()))
"""
HELPER = """
RATE = 1

def scale(number):
    return number * RATE
"""
EDIT = "Path(helper.__file__).write_text({!r})"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "helper.py").write_text(HELPER)
    return tmp_path


def run(folder: Path, first: str = "") -> tuple[str, str]:
    """What the script prints, result and number of tasks that ran, and its logs; `first` is done after its imports."""
    command = [sys.executable, "-B", str(folder / "script.py"), first]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=limit(60))
    return done.stdout.strip(), done.stderr


@pytest.mark.slow
def test_an_edit_after_the_import_makes_no_result_of_the_old_code(folder: Path) -> None:
    """The worker imports the new file: its result is good with that, and is not when the edit is taken back."""
    edited = HELPER.replace("RATE = 1", "RATE = 2")
    first, log = run(folder, EDIT.format(edited))
    again = run(folder)
    (folder / "helper.py").write_text(HELPER)

    assert ("helper:RATE" in log, first, again, run(folder)) == (True, "20 1", ("20 0", ""), ("10 1", ""))


@pytest.mark.slow
def test_a_value_that_was_set_in_the_main_process_is_not_that_of_the_worker(folder: Path) -> None:
    """What the worker computes is not taken for a result with this value."""
    first, log = run(folder, "helper.RATE = 3")
    (folder / "helper.py").write_text(HELPER.replace("RATE = 1", "RATE = 3"))

    assert ("helper:RATE" in log, first, run(folder)) == (True, "10 1", ("30 1", ""))
