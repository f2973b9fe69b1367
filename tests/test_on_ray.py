"""All tests of Ray, in one process of their own: it takes seconds to start, and takes over the signals of its process.

By hand: `TASKPROC_TESTS_OF_RAY=1 python -m pytest -n 0 tests/run/test_ray.py`.
"""
from __future__ import annotations

import importlib.util
import re
import subprocess
import sys

import pytest

from tests.conftest import RAY_VARIABLE, ROOT
from tests.pace import limit

PLACES = ("tests/run/test_ray.py", "tests/promises/test_seed_000.py", "tests/batch")


@pytest.mark.long
@pytest.mark.timeout(300)
def test_all_that_runs_on_ray(environ: dict[str, str]) -> None:
    """Each promise of batches on Ray, the executor, deaths and failures."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed, or has no wheel for this Python")
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *PLACES]

    done = subprocess.run(
        command, cwd=ROOT, env={**environ, RAY_VARIABLE: "1"}, capture_output=True, text=True, timeout=limit(280)
    )

    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 20
