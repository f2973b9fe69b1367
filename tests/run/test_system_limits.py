"""With few threads, processes or open files, the run does the work with what can start; nothing hangs or is lost."""
from __future__ import annotations

import errno
import itertools
import os
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from taskproc.errors import CacheError, FailedTaskError, SystemLimit, TaskFailure
from taskproc.run.system_limits import is_scarce, limit_text, limits_raised, names_scarcity, start_thread
from tests import pace

SCRIPT = """
import logging, multiprocessing as mp, sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from taskproc import Cache, FailedTaskError, FutureList, LocalExecutor, Pool, Task, batch, commands
from taskproc.errors import SystemLimit

class Leaf(Task):
    def __init__(self, number):
        self.number = number
    def run_task(self):
        return self.number

class Main(Task):
    def __init__(self):
        self.leaves = FutureList([Leaf(number) for number in range(10)])
    def run_task(self):
        return sum(self.leaves.get_result())

class Same(batch.Task):
    def process_item(self, item):
        return item

def same(x):
    return x

def graph(executor=None, **options):
    with Cache("cache"):
        try:
            return Main().run_graph(executor=executor, **options)[0]
        finally:
            if executor is not None:
                executor.shutdown()

def in_batch():
    manager = batch.TaskManager(Same, executor="processes", n_cores=4)
    manager.submit_tasks(range(10), chunk_size=1)
    return sum(manager.get_results())

def in_commands():
    manager = commands.TaskManager(n_threads=4)
    manager.task_descriptors.extend([["echo", str(number)] for number in range(10)])
    manager.run()
    if problems := [record.problem for record in manager.finished if record.problem]:
        raise SystemLimit(problems[0])
    return sum(int(record.stdout.read_text()) for record in manager.finished)

KINDS = {
    "own": lambda: graph(max_workers=4),
    "local": lambda: graph(LocalExecutor()),
    "threads": lambda: graph(ThreadPoolExecutor(4)),
    "fork": lambda: graph(ProcessPoolExecutor(4, mp.get_context("fork"))),
    "prefix": lambda: graph(prefixes={Leaf.task_name: "env"}, max_workers=1),
    "map": lambda: sum(Pool(same, 4)(range(10))),
    "map in threads": lambda: sum(Pool(same, 4, use_threads=True)(range(10))),
    "batch": in_batch,
    "commands": in_commands,
}

if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    try:
        print(KINDS[sys.argv[1]]())
    except (FailedTaskError, SystemLimit) as error:
        print("told" if "A limit of the system is reached" in str(error) else error)
"""
# With how many threads and processes, this one among them, each way must come to its end, though it asks for four
# workers. What ends may count for a moment still, so with fewer it is a matter of luck where others start and end.
ENOUGH = {
    "own": 7, "local": 1, "threads": 5, "fork": 14, "prefix": 14, "map": 9, "map in threads": 5, "batch": 9,
    "commands": 14,
}
_users = itertools.count(200_000 + 100 * (os.getpid() % 10_000))


def run(folder: Path, environ: dict[str, str], kind: str, *before: str, limit: Callable[[], None]) -> str:
    """Return the report of the script about one way to run something, within a limit."""
    (folder / "script.py").write_text(SCRIPT)
    command = [*before, sys.executable, "-B", "script.py", kind]
    environ = {**environ, "HOME": str(folder), "TMPDIR": str(folder)}
    done = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=pace.limit(100),
        preexec_fn=limit, check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else f"exit code {done.returncode}\n{done.stderr}"


def another_user() -> tuple[int, list[str]]:
    """An unused user id, and how to become that user and still read this checkout: root has no limits."""
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can become a user without processes, by setpriv")
    number, rights = next(_users), "+dac_read_search,+dac_override"
    words = ["setpriv", f"--reuid={number}", f"--regid={number}", "--clear-groups", f"--inh-caps={rights}"]
    if subprocess.run([*words, f"--ambient-caps={rights}", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this container does not let root give its rights to others")
    return number, [*words, f"--ambient-caps={rights}"]


def left_of(user: int) -> list[str]:
    """Return the commands of the processes of a user, without zombies."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if folder.stat().st_uid == user and folder.joinpath("cmdline").read_bytes():
                found.append(folder.joinpath("cmdline").read_text().replace("\0", " "))
        except OSError:
            pass  # it has just ended
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit counts otherwise elsewhere")
@pytest.mark.parametrize("kind", ENOUGH)
def test_few_threads_and_processes_do_the_work(tmp_path: Path, environ: dict[str, str], kind: str) -> None:
    """If one worker can start, all is done; otherwise the limit is reported, and nothing keeps running."""
    enough = ENOUGH[kind]
    counts = [1, 2, 3, 4, 5, 7, 9, 14, 20]
    said, left = [], []
    for count in counts:
        user, words = another_user()
        folder = tmp_path / str(count)
        folder.mkdir()
        os.chown(folder, user, user)
        limit = partial(resource.setrlimit, resource.RLIMIT_NPROC, (count, count))
        said.append(run(folder, environ, kind, *words, limit=limit))
        left += left_of(user)

    assert {"told", "45"} >= set(said)
    assert ["45"] * len(counts) == [word if count >= enough else "45" for count, word in zip(counts, said)]
    assert [] == left


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["own", "local", "threads", "prefix", "map", "batch"])
def test_few_open_files_are_told(tmp_path: Path, environ: dict[str, str], kind: str) -> None:
    """All is done or the limit is reported; 64 files are enough, and stored results are not computed again."""
    said = []
    for count in (16, 20, 26, 32, 64):
        folder = tmp_path / str(count)
        folder.mkdir()
        limit = partial(resource.setrlimit, resource.RLIMIT_NOFILE, (count, count))
        said.append(run(folder, environ, kind, limit=limit))

    assert {"told", "45"} >= set(said)
    assert "45" == said[-1]


@pytest.mark.parametrize(("error", "remedy"), [
    (RuntimeError("can't start new thread"), "ulimit -u"), (BlockingIOError(errno.EAGAIN, "x"), "ulimit -u"),
    (OSError(errno.EMFILE, "x"), "ulimit -n"), (OSError(errno.ENFILE, "x"), "whole machine"),
    (OSError(errno.ENOMEM, "x"), "memory"),
], ids=["thread", "process", "files", "files of all", "memory"])  # fmt: skip
def test_a_limit_is_told_with_what_to_do(error: Exception, remedy: str) -> None:
    """A limit is reported with the remedy, also if it is the cause of an error of ours."""
    ours = CacheError("cannot write")
    ours.__cause__ = error

    assert [True, True] == [is_scarce(each) for each in (error, ours)]
    assert limit_text("x", error) == limit_text("x", ours)
    assert remedy in limit_text("no worker", error)
    with pytest.raises(SystemLimit, match=remedy), limits_raised():
        raise ours


@pytest.mark.parametrize("error", [
    OSError(errno.ENOENT, "x"), RuntimeError("x"), ValueError("can't start new thread"),
    FailedTaskError([TaskFailure("A", "m.A", 1, BlockingIOError(errno.EAGAIN, "x"))]),
], ids=["other", "runtime", "value", "failure"])  # fmt: skip
def test_what_is_no_limit_stays_what_it_is(error: Exception) -> None:
    """Other errors, and errors that explain themselves, stay as they are."""
    with pytest.raises(type(error)) as caught, limits_raised():
        raise error

    assert caught.value is error


def test_last_words_are_known() -> None:
    """The last words of a process that could not start are recognized."""
    assert names_scarcity("Traceback …\nRuntimeError: can't start new thread")
    assert not names_scarcity("ModuleNotFoundError: No module named 'x'")


def test_a_thread_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that cannot start raises as a process does; other errors pass."""
    thread = threading.Thread(target=int)
    for name in ("_start_new_thread", "_start_joinable_thread"):  # before Python 3.13, and since then
        if hasattr(threading, name):
            monkeypatch.setattr(threading, name, refuse)

    with pytest.raises(BlockingIOError, match="can't start new thread"):
        start_thread(thread)
    with pytest.raises(RuntimeError, match="once"):
        start_thread(threading.current_thread())


def refuse(*_: object, **__: object) -> None:
    raise RuntimeError("can't start new thread")
