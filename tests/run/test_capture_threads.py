"""Output of a thread goes to the log of the task that started it, or nowhere after that has ended."""
from __future__ import annotations

import inspect
import logging
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from taskproc.store.cache import Cache
from taskproc.tasks.task import Task

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

left: list[threading.Event] = []     # one for each that will print
printed = threading.Semaphore(0)     # one for each that has printed
pools: list[ThreadPoolExecutor] = []


def prints(text: str, *, chain: bool) -> None:
    """Start a thread that prints once when it is asked to; in a chain, it lets another thread do the same."""
    event = threading.Event()
    left.append(event)

    def run() -> None:
        event.wait()
        print(text)
        print(text, file=sys.stderr)
        sys.stdout.write(text)
        logging.getLogger("left").warning(text)
        if chain:
            threading.Thread(target=prints_at_once, args=(text,), daemon=True).start()
        else:
            printed.release()

    threading.Thread(target=run, daemon=not chain).start()


def prints_at_once(text: str) -> None:
    print(text, flush=True)
    printed.release()


class Leaves(Task):
    """Leaves threads, one of which starts another when it prints, and prints in threads that end."""

    def run_task(self) -> int:
        prints("of a thread that was left", chain=False)
        prints("of a chain that was left", chain=True)
        pools.append(ThreadPoolExecutor(1))
        pools[0].submit(print, "own, in a pool").result()
        thread = threading.Thread(target=print, args=("own, in a thread",))
        thread.start()
        thread.join()
        print("own")
        return os.getpid()


class Listens(Task):
    """Lets the threads that were left print, and prints itself, also in the pool that was left."""

    def __init__(self) -> None:
        self.up = Leaves()

    def run_task(self) -> tuple[int, int]:
        for event in left:
            event.set()
        for _ in left:
            printed.acquire()
        pools[0].submit(print, "mine, in a pool").result()
        print("mine")
        return self.up.get_result(), os.getpid()


KINDS: dict[str, Callable[[], AbstractContextManager[Executor | None]]] = {
    "worker": nullcontext,
    "pool": lambda: ProcessPoolExecutor(1, get_context("fork")),
    "threads": lambda: ThreadPoolExecutor(2),
}


@pytest.fixture(autouse=True)
def _plain_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of this process are not followed, also if an earlier test has run a job here as a worker does."""
    monkeypatch.setattr(threading.Thread, "start", inspect.unwrap(threading.Thread.start))
    monkeypatch.setattr(ThreadPoolExecutor, "submit", inspect.unwrap(ThreadPoolExecutor.submit))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_left_behind_does_not_print_into_later_logs(cache: Cache, kind: str) -> None:
    """Threads of an ended task, and threads that they start, do not print into later logs."""
    task = Listens()
    left.clear()
    pools.clear()
    with KINDS[kind]() as executor:
        options: dict[str, Any] = {"max_workers": 1} if executor is None else {"executor": executor}
        one, two = task.run_graph(**options)[0]

    assert one == two
    assert text(task.task_stderr) == text(task.up.task_stderr) == ""
    if kind == "threads":  # threads in the user's own process print to where it prints
        assert (text(task.up.task_stdout), text(task.task_stdout)) == ("own\n", "mine\n")
    else:
        assert text(task.up.task_stdout) == "own, in a pool\nown, in a thread\nown\n"
        assert text(task.task_stdout) == "mine, in a pool\nmine\n"


def text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


class Forks(Task):
    """Leaves a child that prints when it is asked to, and reports that with a file."""

    def __init__(self, folder: str):
        self.folder = folder

    def run_task(self) -> int:
        os.mkfifo(f"{self.folder}/ask")
        os.mkfifo(f"{self.folder}/told")
        if os.fork() == 0:
            with open(f"{self.folder}/ask") as file:
                file.read()
            print("of a child that was left", flush=True)
            Path(self.folder, "told").write_text("x")
            os._exit(0)
        return 1


class Asks(Task):
    def __init__(self, folder: str):
        self.folder, self.up = folder, Forks(folder)

    def run_task(self) -> int:
        Path(self.folder, "ask").write_text("x")
        Path(self.folder, "told").read_text()
        print("mine")
        return self.up.get_result()


@pytest.mark.slow
def test_a_child_that_was_left_prints_into_its_own_log(cache: Cache, tmp_path: Path) -> None:
    """In a pool, a child that a task leaves prints into the log of that task."""
    task = Asks(str(tmp_path))
    with ProcessPoolExecutor(1, get_context("fork")) as executor:
        task.run_graph(executor=executor)

    assert text(task.up.task_stdout) == "of a child that was left\n"
    assert text(task.task_stdout) == "mine\n"


class NeverEnds(Task):
    def __init__(self, number: int):
        self.number = number

    def run_task(self) -> int:
        threading.Thread(target=threading.Event().wait).start()
        return self.number


@pytest.mark.slow
@pytest.mark.parametrize("prefix", [False, True])
def test_a_thread_that_never_ends_holds_up_nothing(cache: Cache, prefix: bool) -> None:
    """A thread that never ends does not delay the end of its process."""
    options: dict[str, Any] = {"prefixes": {NeverEnds.task_name: ""}} if prefix else {"max_workers": 1}

    assert 3 == NeverEnds(3).run_graph(**options)[0]
