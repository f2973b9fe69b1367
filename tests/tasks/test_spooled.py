"""Output of tasks in our own workers reaches their logs, whatever happens to the worker."""
from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from taskproc.errors import FailedTaskError
from taskproc.store.cache import Cache
from taskproc.tasks.task import Task


class Quiet(Task):
    def __init__(self, number: int):
        self.number = number

    def run_task(self) -> int:
        return self.number


class Prints(Task):
    """Prints so that only the end of the job shows it."""

    def __init__(self, *up: Any):
        self.up = up

    def run_task(self) -> None:
        os.write(1, b"raw")


class Dies(Task):
    """Prints a last line."""

    def __init__(self, way: str):
        self.way = way

    def run_task(self) -> None:
        os.write(2, b"last words")
        if self.way == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.way == "exit":
            os._exit(3)
        threading.Event().wait()


class Hurries(Dies):
    task_timeout = 0.01


@pytest.mark.slow
def test_only_what_prints_has_a_log(cache: Cache) -> None:
    """Only for the stream to which it printed."""
    task = Prints(*map(Quiet, range(20)))
    folders = [Path(cache.store.log_path(some._taskproc.place, "stdout")).parent for some in (task, *task.up)]

    task.run_graph(max_workers=1)

    assert [["stdout.1.txt"]] + [[]] * 20 == [sorted(path.name for path in each.glob("std*")) for each in folders]


@pytest.mark.slow
@pytest.mark.parametrize(("cls", "way"), [(Dies, "kill"), (Dies, "exit"), (Hurries, "waits")])
def test_last_words_are_in_the_log_and_the_failure(cache: Cache, cls: type[Dies], way: str) -> None:
    """Also for a job that had no time to create its log."""
    task = cls(way)
    with pytest.raises(FailedTaskError) as caught:
        task.run_graph(max_workers=1)

    assert "last words" == caught.value.failures[0].log
    assert "last words" == task.task_stderr.read_text()
