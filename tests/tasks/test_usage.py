"""What a record says of its attempt: when, where and in which run, and what it used."""
from __future__ import annotations

import re
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.tasks.task import Task

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process can be set back on Linux only")

MIB = 1 << 20
FILL = "content = bytearray({0} << 20)\nfor at in range(0, len(content), 4096): content[at] = 1"


class Fills(Task):
    """Holds so many MiB, and has a child with so many, after another task."""

    def __init__(self, mib: int, child: int = 0, after: Any = None, keeps: bool = False):
        self.mib, self.child, self.after, self.keeps = mib, child, after, keeps

    def run_task(self) -> int:
        names: dict[str, Any] = {}
        exec(FILL.format(self.mib), names)  # the same as in the child
        if self.keeps:
            KEPT.append(names)
        if self.child:
            subprocess.run([sys.executable, "-c", FILL.format(self.child)], check=True)
        return self.mib


KEPT: list[Any] = []


class Spins(Task):
    """Computes for so many seconds of processor time, half of it in a child."""

    def __init__(self, seconds: float):
        self.seconds = seconds

    def run_task(self) -> None:
        spin = f"import time\nwhile time.process_time() < {self.seconds / 2}: pass"
        subprocess.run([sys.executable, "-c", spin], check=True)
        began = time.thread_time()
        while time.thread_time() - began < self.seconds / 2:
            pass


class Outer(Task):
    def run_task(self) -> Any:
        return Fills(1).run_graph(executor=LocalExecutor())[1]


class Writes(Task):
    def run_task(self) -> None:
        (self.task_directory / "deep").mkdir()
        (self.task_directory / "deep" / "a").write_bytes(bytes(1000))
        (self.task_directory / "b").write_bytes(bytes(234))


def about(task: Any) -> dict[str, Any]:
    """What the newest record of a task says."""
    (version, *_) = task._taskproc.cache.store.look(task._taskproc.place)
    return dict(version.about)


def test_each_peak_is_its_own(cache: Cache) -> None:
    """A worker that held 300 MiB holds 30 for the next task; what one leaves behind counts for all that follow."""
    large = Fills(300)
    small = Fills(30, after=large)
    left = Fills(200, after=small, keeps=True)
    last = Fills(1, after=left)
    last.run_graph(max_workers=1)

    peaks = [about(task)["peak"] / MIB for task in (large, small, left, last)]
    assert 1 == len({about(task)["pid"] for task in (large, small)})
    assert 300 < peaks[0] < 400
    assert 30 < peaks[1] < 150
    assert 200 < peaks[2] < 350
    assert 200 < peaks[3] < 350


def test_the_peak_of_a_child_counts(cache: Cache) -> None:
    """The greater of both; a later child with less has a peak that nobody knows, unless the task has more itself."""
    first = Fills(1, 250)
    second = Fills(1, 120, after=first)
    third = Fills(300, 120, after=second)
    third.run_graph(max_workers=1)

    one, two, three = (about(task)["peak"] for task in (first, second, third))
    assert 250 < one / MIB < 350
    assert two is None
    assert 300 < three / MIB < 400


def test_a_child_in_a_large_process_has_no_peak_of_its_own(cache: Cache) -> None:
    """The kernel counts the size of its parent as its own until it is another program."""
    exec(FILL.format(250), {})  # this process has had 250 MiB
    task = Fills(1, 2)
    task.run_graph(executor=LocalExecutor())

    assert about(task)["peak"] is None


def test_an_inline_peak_counts_where_it_rose(cache: Cache) -> None:
    """The peak of the user's own process is not set back."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    large = Fills(before // 1024 + 100)
    small = Fills(10, after=large)
    small.run_graph(executor=LocalExecutor())

    assert about(large)["peak"] == resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert about(small)["peak"] is None


def test_threads_share_their_memory(cache: Cache) -> None:
    """So no peak is known; their processor time is that of the thread."""
    task = Fills(10)
    with ThreadPoolExecutor(2) as executor:
        task.run_graph(executor=executor)

    found = about(task)
    assert (None, "thread") == (found["peak"], found["worker"])
    assert 0 <= found["cpu"] <= found["seconds"] + 0.01


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_begins_with_its_own_peak(cache: Cache) -> None:
    """In an executor of the user, too."""
    large = Fills(300)
    small = Fills(10, after=large)
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as executor:
        small.run_graph(executor=executor)

    one, other = about(large), about(small)
    assert "executor" == one["worker"]
    assert one["peak"] - other["peak"] > 200 * MIB  # both have what this process has


def test_processor_time_is_of_the_task_and_its_children(cache: Cache) -> None:
    """Added up."""
    task = Spins(0.4)
    task.run_graph(max_workers=1)

    assert 0.4 <= about(task)["cpu"] < 1.5


def test_where_and_in_which_run(cache: Cache) -> None:
    """Tasks of one run have one id, and what a task runs itself has it as well."""
    began = time.time()
    outer, inner, inline = Outer(), Fills(1), Writes()
    outer.run_graph(max_workers=1)
    inline.run_graph(executor=LocalExecutor())

    found = about(outer)
    assert re.fullmatch(r"\d{8}T\d{6}-[0-9a-f]{6}", found["run"])
    assert (found["run"], found["pid"], "inline") == (about(inner)["run"], about(inner)["pid"], about(inner)["worker"])
    assert found["run"] != about(inline)["run"]
    assert ("worker 1", "inline") == (found["worker"], about(inline)["worker"])
    assert began - 0.01 <= found["began"] <= found["ended"] <= time.time() + 0.01


def test_behind_a_prefix(cache: Cache) -> None:
    """A process of its own, with all that is known of it."""
    task = Fills(100)
    task.run_graph(prefixes={type(task).task_name: "nice"})

    found = about(task)
    assert "prefix" == found["worker"]
    assert 100 < found["peak"] / MIB < 200


def test_the_data_directory_is_counted(cache: Cache) -> None:
    """All its files, at any depth."""
    task = Writes()
    task.run_graph(max_workers=1)

    assert 1234 == about(task)["data"]


def test_a_user_without_a_name(tmp_path: Path, environ: dict[str, str]) -> None:
    """Has none in the record."""
    code = "import os, pwd\nos.getuid = lambda: 4294967\nfrom taskproc.machine import user_name\nprint(user_name())"
    names = ("LOGNAME", "USER", "LNAME", "USERNAME")
    bare = {name: text for name, text in environ.items() if name not in names}

    done = subprocess.run([sys.executable, "-c", code], env=bare, capture_output=True, text=True, check=True)

    assert "None\n" == done.stdout
