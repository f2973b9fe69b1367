"""Seconds of processor time of `list` and `check`, and of `clear` until it has told what it cleared: see fan_in.py.

`python keeping.py HOW COUNT FOLDER`. Also how long a run takes before the clear, and beside the trash that a killed
clear has left; and what it takes to empty that.
"""
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from taskproc import Cache, LocalExecutor, Task


class Part(Task):
    """One number."""

    def __init__(self, x: int):
        self.x = x

    def run_task(self) -> int:
        """Give it."""
        return self.x


class Parts(Task):
    """How many there are."""

    def __init__(self, count: int):
        self.parts = [Part(x) for x in range(count)]

    def run_task(self) -> int:
        """Count them."""
        return len(self.parts)


class Fresh(Task):
    """Something new to run."""

    def __init__(self, x: int):
        self.x = x

    def run_task(self) -> None:
        """Do nothing."""


def busy(*words: str) -> float:
    """Processor time of a command of ours."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "taskproc", *words], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def cleared(folder: str) -> float:
    """How long `clear` takes to tell that it is done; it is killed then, while it empties the trash."""
    start = time.perf_counter()
    words = [sys.executable, "-m", "taskproc", "clear", "-o", folder, Part(0).task_name]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as command:
        assert command.stdout is not None
        assert command.stdout.readline().startswith(b"cleared")
        seconds = time.perf_counter() - start
        command.kill()
    return seconds


def ran(x: int) -> float:
    """How long a run of one task takes."""
    start = time.perf_counter()
    Fresh(x).run_graph(executor=LocalExecutor(), show_progress=False)
    return time.perf_counter() - start


def main(count: int, folder: str) -> dict[str, float]:
    """Each once."""
    with Cache(folder):
        answer, _ = Parts(count).run_graph(executor=LocalExecutor(), show_progress=False)
        ran(0)
        found = {"answer": answer, "list": busy("list", "-o", folder), "check": busy("check", "-o", folder)}
        found["before"] = ran(1)
        found["clear"] = cleared(folder)
        found["left"] = sum(len(names) for _, _, names in os.walk(Path(folder, "trash")))
        found["beside"] = ran(2)
        found["empty"] = busy("clear", "-o", folder, Fresh(0).task_name)
    return found


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[2]), sys.argv[3])))
