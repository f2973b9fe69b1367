"""Fixtures of the tests of the command line: a working folder, and a process that is restored after each test."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = '''
from taskproc import Task

class Square(Task):
    def __init__(self, x: int):
        self.x = x

    def run_task(self) -> int:
        return self.x ** 2

class Main(Task):
    """Print a square."""

    def __init__(self, x: int = 3, fails: bool = False):
        self.square = Square(x)
        self.fails = fails

    def run_task(self) -> int:
        print("the square is", self.square.get_result())
        if self.fails:
            raise ValueError("as asked")
        return self.square.get_result()
'''


@pytest.fixture(autouse=True)
def _restored(restored: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the state of this process after each test; no cache of the user is in the environment."""
    monkeypatch.delenv("TASKPROC_CACHE", raising=False)


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., str]:
    """Write a script; returns its path."""

    def write(source: str = SCRIPT, name: str = "job.py") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, "utf-8")
        return name

    return write
