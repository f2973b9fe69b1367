"""Executors become runners: which ones, with how many places, and what is left of them after the run."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from taskproc.errors import FailedTaskError, OptionError
from taskproc.kernel.model import Ticket
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.tasks import runner_choice
from taskproc.tasks.runner_choice import choose, is_in_process, runner_for
from taskproc.tasks.task import Task
from taskproc.testing import DONE
from tests.pace import limit


class Foreign(Executor):
    """An executor of another library."""


class InterpreterPoolExecutor(ThreadPoolExecutor):
    """Has the name of Python's own class, which is a thread pool and shares no objects."""


class Acts(Task):
    """Calls the function in `act`."""

    def __init__(self, name: str = "a"):
        self.name = name

    def run_task(self) -> Any:
        return act[0](self)


act: list[Any] = []


class Join(Task):
    def __init__(self, *ups: Any):
        self.ups = list(ups)

    def run_task(self) -> Any:
        return [up.get_result() for up in self.ups]


def test_no_executor_means_workers_of_our_own() -> None:
    """However many."""
    assert choose(None, None) is None
    assert choose(None, 3) is None


@pytest.mark.parametrize("executor", ["process", 3, ThreadPoolExecutor])
def test_what_is_no_executor_is_refused(executor: Any) -> None:
    """Also a name or a class."""
    with pytest.raises(OptionError, match=r"executor must be a concurrent.futures.Executor, got (str|int|type)"):
        choose(executor, None)


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "2"])
def test_a_number_of_workers_that_is_none_is_refused(workers: Any) -> None:
    """It must be an int of at least one."""
    with pytest.raises(OptionError, match="max_workers must be"):
        choose(None, workers)


def test_the_number_of_workers_of_an_executor_is_its_own() -> None:
    """A second number is refused."""
    with pytest.raises(OptionError, match="pass it to the executor itself"):
        choose(LocalExecutor(), 2)


@pytest.mark.parametrize(
    ("kind", "answer"),
    [(LocalExecutor, True), (ThreadPoolExecutor, True), (Foreign, False), (InterpreterPoolExecutor, False)],
)
def test_jobs_stay_in_this_process_only_where_they_share_objects(kind: type[Executor], answer: bool) -> None:
    """A foreign executor may be anywhere."""
    assert is_in_process(kind()) is answer


def test_other_processes_are_no_place_for_objects() -> None:
    """Jobs for them are packed, also for our own workers, if there are any."""
    with ProcessPoolExecutor(1) as executor:
        assert not is_in_process(executor)
    assert is_in_process(None) is (sys.platform == "win32")


def test_a_runner_has_the_places_of_its_executor() -> None:
    """And a sensible number for commands."""
    with ThreadPoolExecutor(3) as executor, runner_for(executor, None) as runner:
        assert runner.ordinary.capacity() == 3
        assert runner.prefixed.capacity() == runner_choice.BEHIND_COMMANDS


def test_the_callers_executor_is_left_open() -> None:
    """Also if the run ends with an exception."""
    with ThreadPoolExecutor(1) as executor:
        with pytest.raises(ValueError, match="boom"), runner_for(executor, None):
            raise ValueError("boom")

        assert executor.submit(int).result() == 0


def test_threads_of_ours_are_used_where_there_are_no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """They end with the run."""
    monkeypatch.setattr(sys, "platform", "win32")
    with runner_for(None, 2) as runner:
        threads: list[str] = []
        runner.start(Ticket("a", 1), lambda: threads.append(threading.current_thread().name) or DONE)  # type: ignore[func-returns-value]
        assert runner.ordinary.capacity() == 2
        assert runner.wait(limit(10))[0][1] is DONE

    assert threads[0] not in {thread.name for thread in threading.enumerate()}


def test_a_run_inside_a_task_is_inline(cache: Cache) -> None:
    """Workers of workers would wait for each other; an executor that the user passes is used."""
    chosen: list[Any] = []
    act[:] = [lambda self: chosen.extend([choose(None, None), choose(executor, None)])]
    with ThreadPoolExecutor(1) as executor:
        Acts().run_graph(executor=executor)

    assert isinstance(chosen[0], LocalExecutor)
    assert chosen[1] is executor


def test_ctrl_c_in_the_calling_thread_ends_the_run(cache: Cache) -> None:
    """Finished results are stored, no claim is left, and the next run goes on at once."""
    ran: list[str] = []

    def interrupted(self: Any) -> str:
        ran.append(self.name)
        if self.name == "b" and ran.count("b") == 1:
            signal.raise_signal(signal.SIGINT)
        return str(self.name)

    act[:] = [interrupted]
    task = Join(Acts("a"), Acts("b"), Acts("c"))

    with pytest.raises(KeyboardInterrupt):
        task.run_graph(executor=LocalExecutor())
    assert list((cache.path / "run").iterdir()) == []

    assert task.run_graph(executor=LocalExecutor())[0] == ["a", "b", "c"]
    assert ran == ["a", "b", "b", "c"]


def test_tasks_of_one_graph_share_a_result_not_an_object(cache: Cache) -> None:
    """Also in threads: no task sees what another one does to its input."""
    act[:] = [lambda self: []]

    class Adds(Task):
        def __init__(self, name: str):
            self.up = Acts()
            self.name = name

        def run_task(self) -> list[str]:
            value: list[str] = self.up.get_result()
            value.append(self.name)
            return value

    with ThreadPoolExecutor(2) as executor:
        result, _ = Join(Adds("x"), Adds("y")).run_graph(executor=executor)

    assert result == [["x"], ["y"]]


def test_threads_run_at_once(cache: Cache) -> None:
    """As many as the executor has."""
    meet = threading.Barrier(3)
    act[:] = [lambda self: meet.wait(limit(20)) >= 0]

    with ThreadPoolExecutor(3) as executor:
        assert Join(*map(Acts, "abc")).run_graph(executor=executor)[0] == [True] * 3


def test_an_executor_that_was_shut_down_is_a_failure(cache: Cache) -> None:
    """It does not hang."""
    executor = ThreadPoolExecutor(1)
    executor.shutdown()

    with pytest.raises(FailedTaskError, match="cannot schedule new futures after shutdown"):
        Join().run_graph(executor=executor)


# ---------------------------------------------------------------- whole processes

INTERRUPTED = '''
import os, sys
from taskproc import Cache, Task

class Quick(Task):
    def run_task(self):
        return 1

class Blocks(Task):
    def __init__(self, name, up):
        self.up = up
    def run_task(self):
        if "--block" in sys.argv:
            child = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "1000")
            with open("started", "w") as fifo:
                fifo.write(f"{os.getpid()} {child}\\n")
            while True:
                os.wait()
        return 2

class Both(Task):
    def __init__(self):
        self.ups = [Blocks("a", Quick()), Blocks("b", Quick())]
    def run_task(self):
        return sum(up.get_result() for up in self.ups)

with Cache("cache"):
    result, stats = Both().run_graph(max_workers=2)
print(result, sorted(stats["stats"].items()))
'''


def lives(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_ctrl_c_ends_workers_and_their_children(tmp_path: Path, environ: dict[str, str]) -> None:
    """The process ends, no child is left behind, finished results are stored, and the next run goes on at once."""
    (tmp_path / "script.py").write_text(INTERRUPTED)
    os.mkfifo(tmp_path / "started")
    command = [sys.executable, "script.py"]
    first = subprocess.Popen([*command, "--block"], cwd=tmp_path, env=environ, stderr=subprocess.PIPE, text=True)
    pids: list[int] = []
    while len(pids) < 4:
        pids += map(int, (tmp_path / "started").read_text().split())

    first.send_signal(signal.SIGINT)
    _, errors = first.communicate(timeout=limit(30))

    assert first.returncode == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert not any(map(lives, pids))
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=limit(100))
    assert done.stdout == "4 [('script.Blocks', 2), ('script.Both', 1)]\n", done.stderr


SHARED = '''
import os, sys
from taskproc import Cache, LocalExecutor, Task

class Count(Task):
    def __init__(self, n):
        self.up = Count(n - 1) if n else None
    def run_task(self):
        with open("ran", "a") as file:
            file.write(f"{os.getpid()}\\n")
        if self.up is None:
            with open("meet") as fifo:  # until the other process is there
                fifo.read()
            return 0
        return self.up.get_result() + 1

with Cache("cache"):
    task = Count(5)
    if "--second" in sys.argv:
        with open("meet", "w"):
            pass
    print(task.run_graph(executor=LocalExecutor())[0])
'''


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="two processes meet at a FIFO")
def test_two_processes_on_one_graph_run_each_task_once(tmp_path: Path, environ: dict[str, str]) -> None:
    """Both have the result; the second one waits for tasks of the first."""
    (tmp_path / "script.py").write_text(SHARED)
    os.mkfifo(tmp_path / "meet")
    options: Any = {"cwd": tmp_path, "env": environ, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen([sys.executable, "script.py", *more], **options) for more in ([], ["--second"])]

    assert [process.communicate(timeout=limit(60))[0] for process in both] == ["5\n", "5\n"]
    assert len((tmp_path / "ran").read_text().split()) == 6


ON_DASK = """
import logging
import os
import sys
from dask.distributed import Client, LocalCluster
from taskproc import Cache, FailedTaskError, FutureList, Pool, Task

def note(what):
    with open("ran", "a") as file:
        print(what, file=file)

class Acts(Task):
    def __init__(self, number):
        self.number = number
    def run_task(self):
        note(self.number)
        if self.number == 0:
            os._exit(3)
        return self.number

class Main(Task):
    def __init__(self):
        self.parts = FutureList([Acts(number) for number in range(6)])
    def run_task(self):
        return self.parts.get_result()

def act(number):
    if number == 2:
        os._exit(3)
    return number

if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
                      silence_logs=logging.CRITICAL) as cluster, Client(cluster) as client, Cache("cache"):
        executor = client.get_executor()
        try:
            Main().run_graph(executor=executor, on_error="continue")
        except FailedTaskError as error:
            print([f"{failure.task} {type(failure.error).__name__}" for failure in error.failures])
        print(sorted(open("ran").read().split()), [Acts(number).get_result() for number in range(1, 6)])
        with Pool(act, 2, executor=executor, exception_behaviour="ignore", chunk_size=2)(range(4)) as values:
            print([value if isinstance(value, int) else type(value).__name__ for value in values])
"""


@pytest.mark.slow
def test_an_executor_that_repeats_what_died_runs_it_once(script: Callable[..., str]) -> None:
    """Dask would run it four times. It is the only failure, with a message of ours; the same in maps."""
    if find_spec("distributed") is None:  # not imported here: it changes how all exceptions are pickled
        pytest.skip("dask[distributed] is not installed")

    assert [
        "['Acts#399ba1(number=0) WorkerDied']",
        "['0', '1', '2', '3', '4', '5'] [1, 2, 3, 4, 5]",
        "[0, 1, 'WorkerDied', 3]",
    ] == script(ON_DASK).splitlines()
