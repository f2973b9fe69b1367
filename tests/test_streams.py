"""Standard streams that are closed, missing, or replaced by objects that can do little: everything works with them."""
from __future__ import annotations

import errno
import io
import itertools
import os
import socket
import subprocess
import sys
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from taskproc import Cache, FailedTaskError, LocalExecutor, Task, streams
from taskproc.remote.client import connect
from taskproc.store.rules import make_key_file
from tests.pace import limit

CLOSED = ["".join(some) for count in (1, 2, 3) for some in itertools.combinations("012", count)]
MODULE = """
import os, sys
from taskproc import Cache, Command, FutureList, LocalExecutor, Task

def leads():
    return [os.readlink(f"/proc/self/fd/{number}") for number in range(3)]

class Leaf(Task):
    def __init__(self, number):
        self.number = number
    def run_task(self):
        print("out", self.number)
        print("err", self.number, file=sys.stderr)
        os.system("echo child")
        return self.number, leads()

class Main(Task):
    def __init__(self):
        self.leaves = FutureList([Leaf(number) for number in range(3)])
    def run_task(self):
        return self.leaves.get_result()

class Says(Task):
    def __init__(self):
        self.command = Command(["sh", "-c", "echo said; readlink /proc/self/fd/0"])
    def run_task(self):
        return self.command.get_result().text
"""
SCRIPT = """
import multiprocessing as mp
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from taskproc import Pool, batch, commands
from taskproc.processes import pqdm
from taskproc.threads import pqdm as pqdm_threads
from graph import *

def tenfold(x):
    print("map", x)
    return 10 * x, leads()

class Halves(batch.Task):
    def process_item(self, item):
        print("item", item)
        return item / 2

OURS = ("claim.", "socket:", "anon_inode:", "memfd:", "index", "begun")

def graphs(report, found):
    for name, make in {
        "own": lambda: None, "local": LocalExecutor, "threads": lambda: ThreadPoolExecutor(2),
        "fork": lambda: ProcessPoolExecutor(2, mp.get_context("fork")),
        "spawn": lambda: ProcessPoolExecutor(2, mp.get_context("spawn")),
    }.items():
        executor = make()
        with Cache(f"cache-{name}"):
            value, stats = Main().run_graph(executor=executor, show_progress=True)
            prefixed, _ = Leaf(7).run_graph(prefixes={"Leaf": "env"}, executor=executor)
            said, _ = Says().run_graph(executor=executor)
        report(name, [number for number, _ in value] + [prefixed[0], said])
        for _, places in [*value, prefixed]:
            found += places
        if executor is not None:
            executor.shutdown()

def maps(report, found):
    for name, values in {
        "pool": Pool(tenfold, 2)(range(3)), "pool of threads": Pool(tenfold, 2, use_threads=True)(range(3)),
        "pqdm": pqdm(range(3), tenfold, 2), "pqdm of threads": pqdm_threads(range(3), tenfold, 2),
    }.items():
        values = list(values)
        report(name, [value for value, _ in values])
        for _, places in values:
            found += places

if __name__ == "__main__":
    lines, found = [], []
    report = lambda name, value: lines.append(f"{name}: {value!r}")
    graphs(report, found)
    maps(report, found)
    for name in (None, "processes"):
        manager = batch.TaskManager(Halves, executor=name, n_cores=2)
        manager.submit_tasks(range(3), chunk_size=1)
        report(f"batch {name}", manager.get_results())
    manager = commands.TaskManager(n_threads=1)
    manager.task_descriptors.append(["sh", "-c", "echo x; readlink /proc/self/fd/0"])
    manager.run()
    report("commands", manager.finished[0].stdout.read_text())
    found += leads()
    report("taken", sorted({place for place in found if any(ours in place for ours in OURS)}))
    with open("report", "w") as file:
        print(*lines, sep="\\n", end="", file=file)
"""
REPORT = """\
own: [0, 1, 2, 7, 'said\\n/dev/null\\n']
local: [0, 1, 2, 7, 'said\\n/dev/null\\n']
threads: [0, 1, 2, 7, 'said\\n/dev/null\\n']
fork: [0, 1, 2, 7, 'said\\n/dev/null\\n']
spawn: [0, 1, 2, 7, 'said\\n/dev/null\\n']
pool: [0, 10, 20]
pool of threads: [0, 10, 20]
pqdm: [0, 10, 20]
pqdm of threads: [0, 10, 20]
batch None: [0.0, 0.5, 1.0]
batch processes: [0.0, 0.5, 1.0]
commands: 'x\\n/dev/null\\n'
taken: []"""


def run(words: list[str], folder: Path, environ: dict[str, str], closed: str = "", **options: Any) -> Any:
    """Run a command with some of its standard streams closed."""
    redirections = " ".join(f"{number}>&-" for number in closed)
    command = ["sh", "-c", f'exec "$@" {redirections}', "sh", *words]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.run(command, cwd=folder, env=environ, text=True, timeout=limit(100), **{**pipes, **options})


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc, to see where descriptors lead")
@pytest.mark.parametrize("closed", CLOSED)
def test_everything_runs_with_closed_streams(tmp_path: Path, environ: dict[str, str], closed: str) -> None:
    """Graphs on each executor, prefixes, maps, batches, commands; no file of ours is a standard stream of anybody."""
    (tmp_path / "graph.py").write_text(MODULE)
    (tmp_path / "script.py").write_text(SCRIPT)
    done = run([sys.executable, "script.py"], tmp_path, environ, closed)

    assert (0, REPORT) == (done.returncode, (tmp_path / "report").read_text()), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("closed", CLOSED)
def test_the_command_line_runs_with_closed_streams(tmp_path: Path, environ: dict[str, str], closed: str) -> None:
    """Each command, with each way to run tasks; what was computed is stored."""
    (tmp_path / "graph.py").write_text(MODULE)
    here = [sys.executable, "-m", "taskproc"]
    words = [[*here, "graph.py", "-o", f"cache-{kind}", "-t", kind] for kind in ("process", "thread", "local")]
    words += [[*here, "why", "graph.py", "-o", "cache-process"], [*here, "accept", "graph.py", "-o", "cache-process"]]
    words += [[*here, command, "-o", "cache-process"] for command in ("list", "check")]
    words += [[*here, "clear", "-o", "cache-process", "graph.Main"], [*here, "--help"]]
    codes = [run(some, tmp_path, environ, closed).returncode for some in words]

    assert [0] * len(words) == codes
    with Cache(tmp_path / "cache-process") as cache:
        assert {"graph.Leaf"} == {name for name, _ in cache.store.places()}


@pytest.mark.slow
@pytest.mark.parametrize("closed", CLOSED)
def test_a_task_manager_runs_with_closed_streams(tmp_path: Path, environ: dict[str, str], closed: str) -> None:
    """It serves, a worker works, its counts are told, and both end well."""
    (tmp_path / "work.py").write_text("import os\ndef do_twice(x):\n    os.system('echo child')\n    return 2 * x\n")
    make_key_file(tmp_path / "key")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{found.getsockname()[1]}"
    there = ["--key-file", "key", "--address", address]
    words = [[sys.executable, "-m", "taskproc.remote", command, *there] for command in ("serve", "status", "work")]
    with ThreadPoolExecutor(2) as threads:
        serving = threads.submit(run, words[0], tmp_path, environ, closed)
        with connect(address, tmp_path / "key", retry=60) as manager:
            codes = [run(words[1], tmp_path, environ, closed).returncode]
            working = threads.submit(run, [*words[2], "work.py"], tmp_path, environ, closed)
            for number in range(3):
                manager.add_task_request("twice", number)
            found_values = sorted(manager.get_result_with_tag("twice", timeout=limit(60))[1] for _ in range(3))
            manager.terminate()
        codes += [serving.result().returncode, working.result().returncode]

    assert ([0, 0, 0], [0, 2, 4]) == (codes, found_values)


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize("kind", ["process", "thread", "local"])
def test_errors_that_nobody_can_be_told_change_nothing(tmp_path: Path, environ: dict[str, str], kind: str) -> None:
    """Standard error that takes nothing: the run goes on, and its exit code is its own."""
    lines = [line for line in MODULE.splitlines() if "sys.stderr" not in line]  # a task that runs inline would hear it
    (tmp_path / "graph.py").write_text("\n".join(lines))
    words = [sys.executable, "-m", "taskproc", "graph.py", "-o", "cache", "-t", kind]
    with open("/dev/full", "w") as full:
        done = run(words, tmp_path, environ, stderr=full)
        wrong = run([*words, "--no-such"], tmp_path, environ, stderr=full)

    assert (0, 2) == (done.returncode, wrong.returncode)
    with Cache(tmp_path / "cache") as cache:
        assert 4 == len(list(cache.store.places()))


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_output_that_cannot_be_written_is_told(tmp_path: Path, environ: dict[str, str]) -> None:
    """With exit code 1 and in one line; the results are kept, and failures are still told."""
    (tmp_path / "graph.py").write_text(MODULE)
    (tmp_path / "fails.py").write_text("from graph import *\nclass Main(Task):\n    def run_task(self):\n"
                                       "        print('a word')\n        raise ValueError('boom')\n")
    here = [sys.executable, "-m", "taskproc"]
    words = [*here, "graph.py", "-o", "cache"]
    with open("/dev/full", "w") as full:
        first = run(words, tmp_path, environ, stdout=full)
        listed = run([*here, "list", "-o", "cache"], tmp_path, environ, stdout=full)
        failed = run([*here, "fails.py", "-o", "cache"], tmp_path, environ, stdout=full)
    again = run([*words, "--dont-force-entrypoint"], tmp_path, environ)

    line = "error: standard output could not be written: No space left on device"
    assert [1, 1, 1] == [each.returncode for each in (first, listed, failed)]
    assert [line] * 3 == [each.stderr.splitlines()[-1] for each in (first, listed, failed)]
    assert "boom" in failed.stderr
    assert "0 done, 4 fresh" in again.stderr


class _Bare:
    """What some notebooks and test runners put in the place of a stream: it can write, and no more."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)


class _Broken(_Bare):
    """Takes some, and then nothing more."""

    def __init__(self, error: OSError):
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        if len(self.text) > 20:
            raise self.error
        return super().write(text)

    def flush(self) -> None:
        pass


class Leaf(Task):
    """Gives its number."""

    def __init__(self, number: int):
        self.number = number

    def run_task(self) -> int:
        return self.number


class Many(Task):
    """Fails, if it is asked to."""

    def __init__(self, fails: bool = False):
        self.leaves = [Leaf(number) for number in range(3)]
        self.fails = fails

    def run_task(self) -> int:
        if self.fails:
            raise ValueError("boom")
        return sum(leaf.get_result() for leaf in self.leaves)


def test_what_is_no_open_file_has_nothing_to_be_let_go() -> None:
    """A stream that was closed, is none, or writes to memory."""
    closed = io.StringIO()
    closed.close()

    assert [None, None, None] == [streams.flush_or_drop(stream) for stream in (None, closed, io.StringIO())]


@pytest.mark.parametrize("executor", [None, LocalExecutor(), ThreadPoolExecutor(1)], ids=["own", "local", "threads"])
@pytest.mark.parametrize("stream", [
    None, _Bare(), io.StringIO(), *(_Broken(OSError(number, "x")) for number in (errno.EPIPE, errno.EIO, errno.ENOSPC)),
], ids=["none", "bare", "text", "pipe", "gone", "full"])  # fmt: skip
def test_streams_may_be_anything(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, executor: Executor | None, stream: Any
) -> None:
    """What shows the progress, warns, or captures what is printed asks no more of a stream than it can do."""
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, stream)
    value, _ = Many().run_graph(executor=executor, show_progress=True)
    with pytest.raises(FailedTaskError, match="boom"):
        Many(True).run_graph(executor=executor, show_progress=True)

    assert 3 == value
    assert stream is sys.stdout
    assert stream is sys.stderr


def test_a_line_that_nobody_can_read_does_not_come_to_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a standard error print() would write it there."""
    monkeypatch.setattr(sys, "stderr", None)
    streams.write_error("an error")

    assert "" == capsys.readouterr().out
