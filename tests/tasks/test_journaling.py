"""The first line of a journal, and who computes a task elsewhere."""
from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskproc.kernel.model import Event
from taskproc.ledger.journal import read_run, runs
from taskproc.store.cache import Cache
from taskproc.store.claims import DiskAttempt
from taskproc.store.disk import DiskStore
from taskproc.store.layout import Place
from taskproc.store.marks import Mark
from taskproc.tasks.journaling import claimed_by
from taskproc.tasks.task import Task

PLACE = Place("study.Load", 1, "0" * 32)
SCRIPT = """\
import os, sys, threading
from taskproc import Cache, LocalExecutor, Task


class Main(Task):
    def __init__(self, words, many=()):
        self.words = words

    def run_task(self):
        threading.Event().wait(1.2 if self.words == "long" else 0)


if __name__ == "__main__":
    with Cache(sys.argv[1]):
        Main(sys.argv[2], [1] * 100_000 if sys.argv[2] == "many" else ()).run_graph(max_workers=1)
"""


def head_of(folder: Path, environ: dict[str, str], words: str) -> dict[str, Any]:
    """The first line of the journal of a script that ran."""
    (folder / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(folder / "script.py"), str(folder / "cache"), words]
    subprocess.run(command, cwd=folder, env=environ, check=True)
    return dict(read_run(runs(str(folder / "cache"))[0]).head)


def test_the_first_line_says_who_ran_what(tmp_path: Path, environ: dict[str, str]) -> None:
    """The script, its arguments and those of the entry task; no value of an environment variable."""
    secret = "a-secret-of-the-environment"

    head = head_of(tmp_path, {**environ, "TOKEN": secret}, "words")

    script = str(tmp_path / "script.py")
    assert ([script, str(tmp_path / "cache"), "words"], script, str(tmp_path)) == (
        head["argv"], head["script"], head["cwd"],
    )  # fmt: skip
    assert ("script.Main", "words") == (head["entry"], head["arguments"]["words"])
    assert (socket.gethostname(), 1) == (head["host"], head["options"]["max_workers"])
    assert ".".join(map(str, sys.version_info[:3])) == head["versions"]["python"]
    assert secret not in json.dumps(head)


def test_arguments_that_are_too_long_are_left_out(tmp_path: Path, environ: dict[str, str]) -> None:
    """They are in the record of the task."""
    assert head_of(tmp_path, environ, "many")["arguments"] is None


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git here")
@pytest.mark.parametrize("change", [True, False])
def test_the_commit_of_the_script(change: bool, tmp_path: Path, environ: dict[str, str]) -> None:
    """And whether it was changed, in a run that takes a while."""
    (tmp_path / "script.py").write_text("" if change else SCRIPT)
    names = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "."], [*names, "commit", "-qm", "first"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)

    head = head_of(tmp_path, environ, "long")

    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert (done.stdout.strip(), change) == (head["commit"], head["dirty"])


def test_who_computes_a_task_elsewhere(tmp_path: Path) -> None:
    """The host and process of the run that has the claim; nothing where none has, or it has ended."""
    store = DiskStore(str(tmp_path))
    assert claimed_by(store, PLACE) is None
    mark = Mark(str(tmp_path))
    attempt = DiskStore(str(tmp_path), mark.token).claim(PLACE, lambda: "{}", lambda versions: None)
    assert isinstance(attempt, DiskAttempt)

    found = claimed_by(store, PLACE)
    attempt.not_needed()
    mark.close()

    assert {"host": socket.gethostname(), "pid": os.getpid()} == found
    assert claimed_by(store, PLACE) is None


class One(Task):
    def run_task(self) -> int:
        return 1


class Raises:
    """A watcher that ends the run before it begins."""

    def begin(self, outline: object) -> None:
        raise KeyboardInterrupt

    def tell(self, event: Event[Any], name: str, text: Callable[[], str]) -> None:
        """Not called."""

    def close(self) -> None:
        """Nothing to do."""


def test_a_run_that_is_interrupted_before_it_begins_says_so(cache: Cache) -> None:
    """It has a last line in any case."""
    with pytest.raises(KeyboardInterrupt):
        One().run_graph(watchers=[Raises()])

    assert "interrupted" == read_run(runs(str(cache.path))[0]).status
