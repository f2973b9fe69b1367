"""Tasks and commands that leave daemons behind: two forks and a session of its own, so no group has them.

`python -m tests.fault.daemons WHERE FOLDER` runs four of them somewhere; the oracle is their process ids, in files.
"""
from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from taskproc import Cache, Command, Task
from taskproc.batch import Task as BatchTask
from taskproc.batch import TaskManager as BatchManager
from taskproc.commands import TaskManager
from taskproc.maps.map_pool import Pool

COUNT = 4
ROOT = Path(__file__).resolve().parents[2]


def leave_daemon(path: str) -> None:
    """Come back when it runs and has written its process id there; it has nothing of ours open."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        wait_for(path)
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    os.closerange(0, 100)
    temporary = f"{path}.tmp"
    Path(temporary).write_text(str(os.getpid()))
    os.rename(temporary, path)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(1000)
    os._exit(0)


def wait_for(path: str) -> None:
    while not os.path.exists(path):
        time.sleep(0.001)


def words(path: str) -> list[str]:
    """A command that does the same."""
    return [sys.executable, "-m", "tests.fault.daemons", "leave", path]


def number_with_daemon(folder: str, number: int) -> int:
    leave_daemon(f"{folder}/{number}")
    return number


class Leaves(Task):
    """Leaves one, and then is done, kills its own process, or goes on for ever."""

    def __init__(self, folder: str, number: int, then: str):
        self.folder, self.number, self.then = folder, number, then

    def run_task(self) -> int:
        leave_daemon(f"{self.folder}/{self.number}")
        if self.then == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        while self.then == "stay":
            time.sleep(1000)
        return self.number


class All(Task):
    def __init__(self, folder: str, then: str = ""):
        self.ups = [Leaves(folder, number, then) for number in range(COUNT)]

    def run_task(self) -> int:
        return sum(up.get_result() for up in self.ups)


class Commands(Task):
    def __init__(self, folder: str):
        self.ups = [Command(words(f"{folder}/{number}")) for number in range(COUNT)]

    def run_task(self) -> int:
        return sum(up.get_result().exit_code for up in self.ups)


def in_graph(folder: str, then: str = "", prefix: str | None = None, method: str | None = None) -> None:
    prefixes = None if prefix is None else {Leaves.task_name: prefix}
    with Cache(f"{folder}/cache"):
        graph = All(folder, then)
        if method is None:
            graph.run_graph(prefixes=prefixes, max_workers=COUNT, on_error="continue")
            return
        with ProcessPoolExecutor(2, multiprocessing.get_context(method)) as pool:
            graph.run_graph(executor=pool, prefixes=prefixes)
            raise_if_left(folder)  # before the pool ends


def in_commands(folder: str, threads: bool) -> None:
    with Cache(f"{folder}/cache"):
        Commands(folder).run_graph(executor=ThreadPoolExecutor(2) if threads else None)


def in_manager(folder: str) -> None:
    manager = TaskManager(2)
    manager.task_descriptors += [words(f"{folder}/{number}") for number in range(COUNT)]
    manager.run()


def in_map(folder: str) -> None:
    with Pool(partial(number_with_daemon, folder), 2) as pool:
        assert list(range(COUNT)) == list(pool(range(COUNT)))


class Item(BatchTask[int, int]):
    def __init__(self, folder: str):
        self.folder = folder

    def process_item(self, item: int, **kwargs: object) -> int:
        return number_with_daemon(self.folder, item)


def in_batch(folder: str) -> None:
    manager = BatchManager(partial(Item, folder), n_cores=2, executor="processes")
    manager.submit_tasks(range(COUNT), 1)


def left(folder: str) -> list[int]:
    """The daemons that are alive, of all."""
    pids = [int((Path(folder) / str(number)).read_text()) for number in range(COUNT)]
    return [pid for pid in pids if os.path.exists(f"/proc/{pid}")]


def raise_if_left(folder: str) -> None:
    if alive := left(folder):
        raise AssertionError(f"{alive} live")


RUNS: dict[str, Callable[[str], None]] = {
    "workers": in_graph,
    "dying workers": lambda folder: in_graph(folder, then="die"),
    "no prefix": lambda folder: in_graph(folder, prefix=""),
    "a prefix": lambda folder: in_graph(folder, prefix="env A=b"),
    "a prefix that leaves the session": lambda folder: in_graph(folder, prefix="setsid --wait"),
    "dying behind a prefix": lambda folder: in_graph(folder, then="die", prefix="env A=b"),
    "spawn": lambda folder: in_graph(folder, method="spawn"),
    "fork": lambda folder: in_graph(folder, method="fork"),
    "commands in workers": lambda folder: in_commands(folder, False),
    "commands in threads": lambda folder: in_commands(folder, True),
    "a list of commands": in_manager,
    "a map": in_map,
    "a batch": in_batch,
}


def main(arguments: list[str]) -> None:
    """See above. `leave PATH`: leave one; `stay WHERE FOLDER`: run tasks that do not end."""
    if arguments[0] == "leave":
        leave_daemon(arguments[1])
    elif arguments[0] == "stay":
        in_graph(arguments[2], then="stay", prefix=None if arguments[1] == "workers" else "env A=b")
    else:
        RUNS[arguments[0]](arguments[1])
        raise_if_left(arguments[1])


if __name__ == "__main__":
    from tests.fault.daemons import main as imported  # so that tasks are of this module, not of __main__

    imported(sys.argv[1:])

