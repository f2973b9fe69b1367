"""Rows of the table that the soak prints, and what its parts share."""
from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

Row = tuple[str, str, str, str, bool]  # fault class 'F3', what was done, required, measured, whether it is met

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Settings:
    """What was asked for: the seed of what is random, and the fault classes; all, if none are given."""

    seed: int = 0
    only: frozenset[str] = field(default_factory=frozenset)

    def wants(self, *classes: str) -> bool:
        """Whether one of these is to be done."""
        return not self.only or not self.only.isdisjoint(classes)


settings = Settings()


def say(*words: object) -> None:
    """Progress, for whoever waits."""
    print(time.strftime("%H:%M:%S", time.gmtime()), *words, file=sys.stderr, flush=True)


@contextmanager
def folder() -> Iterator[Path]:
    """A new folder that everybody may reach; removed afterwards."""
    path = Path(tempfile.mkdtemp(prefix="taskproc-soak-"))
    path.chmod(0o777)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def row_of(kind: str, done: str, required: str, faults: Sequence[object], measured: str) -> Row:
    """A row that is met if there are no faults; these are told as progress, and the first in the table."""
    for fault in faults[:20]:
        say(kind, "FAULT", fault)
    first = f"; {len(faults)} wrong, first: {_plain(str(faults[0]))[:200]}" if faults else ""
    return kind, done, required, measured + first, not faults


def _plain(text: str) -> str:
    return re.sub(r"[|\s]+", " ", text)


def guarded(kind: str, done: str, make: Callable[[], list[Row]]) -> list[Row]:
    """The rows, or one that says what became of them."""
    if not settings.wants(kind):
        return []
    say(kind, done)
    try:
        return make()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return [row_of(kind, done, "", [f"{type(error).__name__}: {error}"], "it crashed")]


def tests_row(kind: str, done: str, required: str, *words: str) -> list[Row]:
    """A row for tests that lie elsewhere: pytest is run on `words`, and what it counted is what was measured."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    if missing := [word for word in words if word.startswith("tests") and not (ROOT / word).exists()]:
        return [(kind, done, required, f"not run: no {missing[0]}", False)]
    run = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    last = (run.stdout.strip().splitlines() or [""])[-1].strip("= ")
    failed = [line for line in run.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    faults = [] if run.returncode == 0 else [f"pytest ended with {run.returncode}", *failed]
    return [row_of(kind, done, required, faults, re.sub(r" in [\d.]+s.*", "", last))]
