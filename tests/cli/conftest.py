"""What the tests of the command line share: a folder to stand in, and a process that is as it was before."""
from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taskproc.cli import defaults
from taskproc.run import setup

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
def restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test stands in a folder of its own, and leaves no module, path, default or log level behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(sys, "argv", ["taskproc"])
    monkeypatch.setattr(defaults, "_populated", None)
    monkeypatch.setattr(setup, "_scripts", dict(setup._scripts))
    modules, logger = set(sys.modules), logging.getLogger("taskproc")
    level, handlers = logger.level, logger.handlers[:]
    yield
    for name in set(sys.modules) - modules:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]
    logger.setLevel(level)
    logger.handlers[:] = handlers


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., str]:
    """Write a script; its path."""

    def write(source: str = SCRIPT, name: str = "job.py") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, "utf-8")
        return name

    return write
