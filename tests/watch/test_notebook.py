"""Laws of progress in a notebook, which is not a terminal: few plain lines on standard error."""
from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pace import limit

manager = pytest.importorskip("jupyter_client.manager", reason="a notebook needs jupyter_client and ipykernel")
pytest.importorskip("ipykernel", reason="a notebook needs jupyter_client and ipykernel")

pytestmark = pytest.mark.slow

CELL = '''
from taskproc import Cache, FutureList, Task

class Square(Task):
    def __init__(self, n: int):
        self.n = n

    def run_task(self) -> int:
        if self.n == 99:
            raise ValueError("too large")
        return self.n ** 2

class Table(Task):
    def __init__(self, numbers: list):
        self.parts = FutureList([Square(n) for n in numbers])

    def run_task(self) -> int:
        return sum(self.parts.get_result())
'''

Execute = Callable[[str], dict[str, str]]


@pytest.fixture
def execute(tmp_path: Path, environ: dict[str, str]) -> Iterator[Execute]:
    """Run a cell; returns the text of each stream, and `error`."""
    kernel, client = manager.start_new_kernel(
        kernel_name="python3", startup_timeout=100, cwd=str(tmp_path), env={**environ, "TERM": "xterm"}
    )

    def run(code: str) -> dict[str, str]:
        found: dict[str, str] = {"stdout": "", "stderr": "", "error": ""}

        def note(message: Any) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                found[content["name"]] += content["text"]
            elif message["msg_type"] == "error":
                found["error"] += content["ename"]

        client.execute_interactive(code, output_hook=note, timeout=limit(100))
        return found

    try:
        yield run
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)


@pytest.mark.skipif(sys.platform == "win32" or not hasattr(os, "fork"), reason="tried on POSIX only")
def test_a_notebook_shows_a_table(execute: Execute) -> None:
    """A notebook shows no bars, colours or lines for each task; a failure has its line and its error."""
    execute(CELL)

    found = execute("with Cache('cache'):\n    r = Table(list(range(20))).run_graph(max_workers=2, show_progress=True)")

    lines = found["stderr"].splitlines()
    assert ("", "") == (found["stdout"], found["error"])
    assert "\x1b" not in found["stderr"]
    assert "\r" not in found["stderr"]
    assert len([line for line in lines if not line.startswith("  after ")]) == 4
    assert lines[-1].startswith("21 done in ")

    failed = execute("with Cache('cache'):\n    Table([1, 99]).run_graph(max_workers=2, show_progress=True)")

    assert "FailedTaskError" == failed["error"]
    assert 1 == failed["stderr"].count("  failed  Square#")
    assert "1 fresh, 1 failed, 1 skipped in " in failed["stderr"].splitlines()[-1]
