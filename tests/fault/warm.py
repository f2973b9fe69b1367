"""What a warm process has imported, and run once, before it is forked; see forks."""
from __future__ import annotations

import os
import tempfile
from pathlib import Path

import cloudpickle  # noqa: F401  # would be imported by the first commit

from taskproc import Cache, LocalExecutor
from tests.fault import journal
from tests.fault.graphs import Total


def _warm_up() -> None:
    """Run once, so that what is read and remembered once a process is: sources, for one."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ[journal.VARIABLE] = str(Path(folder, "journal"))
        with Cache(Path(folder, "cache")):
            Total(1).run_graph(executor=LocalExecutor())
        del os.environ[journal.VARIABLE]


_warm_up()
