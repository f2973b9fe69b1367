"""How far the way of one task is: a longer one fails here, and a shorter one lowers the figures below."""
from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.pace import limit
from tests.way import ROOT

# Files and functions of the package, as `python -m tests.way` prints them. They may only go down. Since Python 3.12
# sys.monitoring tells what a task runs, which takes some functions more; and a run that takes half a second writes its
# journal meanwhile
INLINE = (89, 536) if sys.version_info >= (3, 12) else (87, 530)
WORKERS = (107, 950)

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the way is another one")]


def printed(*options: str) -> str:
    """What the script prints."""
    command = [sys.executable, "-m", "tests.way", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit(100), check=False)
    assert not done.returncode, done.stderr
    return done.stdout


def counted(text: str) -> tuple[int, int]:
    """Files and functions, by the last line."""
    match = re.fullmatch(r"(\d+) files, (\d+) functions", text.splitlines()[-1])
    assert match is not None, text
    return int(match[1]), int(match[2])


def test_inline() -> None:
    """From the call of the class to the value, through claim, run and commit."""
    text = printed()

    files, functions = counted(text)
    assert files <= INLINE[0], text
    assert functions <= INLINE[1], text
    assert re.match(r"tasks/task.py +(?:TaskType\.)?__call__$", text, re.MULTILINE), text


def test_in_the_workers() -> None:
    """The main process and the worker together; what only the worker calls is marked."""
    text = printed("--workers")

    files, functions = counted(text)
    assert files <= WORKERS[0], text
    assert functions <= WORKERS[1], text
    assert re.search(r"^worker tasks/job.py +(?:\. )+", text, re.MULTILINE), text


def test_reading_an_input() -> None:
    """A task gets the result of an upstream task through four files; to open that of a large one takes five more."""
    done = subprocess.run([sys.executable, "-c", READING], cwd=ROOT, capture_output=True, text=True, timeout=limit(100),
                          check=False)  # fmt: skip
    assert not done.returncode, done.stderr
    tiny, large = (line.split() for line in done.stdout.splitlines())

    assert sorted(tiny) == ["store/disk.py", "store/payload.py", "tasks/running_job.py", "tasks/task.py"]
    assert set(large) - set(tiny) == {f"store/{name}.py" for name in ("files", "folder", "layout", "removal", "rules")}


READING = """
import os, sys, tempfile
import taskproc
from taskproc import Cache, LocalExecutor, Task

PACKAGE = os.path.dirname(taskproc.__file__) + os.sep

class Load(Task):
    def __init__(self, size):
        self.size = size

    def run_task(self):
        return os.urandom(self.size)

class Main(Task):
    def __init__(self):
        self.warm, self.tiny, self.large = Load(5000), Load(3), Load(5001)

    def run_task(self):
        self.warm.get_result()
        return [read(self.tiny), read(self.large)]

def read(task):
    files = {}
    def note(frame, event, argument):
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(PACKAGE):
            files[path[len(PACKAGE):].replace(os.sep, "/")] = None
    sys.setprofile(note)
    task.get_result()
    sys.setprofile(None)
    return list(files)

with tempfile.TemporaryDirectory() as folder, Cache(folder):
    for files in Main().run_graph(executor=LocalExecutor())[0]:
        print(*files)
"""
