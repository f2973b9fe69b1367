"""The ways in which the process of a task can die or be left, and one cell of the table: some ways on an executor.

The oracle is a journal outside the cache, to which each task appends a line when it starts and one when it ends.
"""
from __future__ import annotations

import faulthandler
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from taskproc.errors import FailedTaskError, TaskFailure
from taskproc.run.group import own_peak
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.tasks.task import Task

SIBLINGS = 5
OURS = ("resident", "prefix")
POOLS = ("fork", "spawn", "forkserver")
IN_PROCESS = ("threads", "local")
OOM = 300_000_000


class Hidden(BaseException):
    """Hides from whoever looks at it."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


class Stuck(Exception):
    def __reduce__(self) -> NoReturn:
        raise ValueError("no pickle")


def kill(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def out_of_memory() -> None:
    held = b"x" * (own_peak() + OOM)  # a child begins with what its parent had, and that may be pytest
    os.kill(os.getpid(), signal.SIGKILL)
    del held


def become_another() -> None:
    os.execv("/bin/true", ["true"])


def overflow_in_c() -> None:
    """The parser of glibc calls itself once for each parenthesis."""
    import ctypes

    ctypes.CDLL(None).regcomp(ctypes.create_string_buffer(4096), b"(" * 10_000_000, 1)
    os.abort()  # where the library is wiser


def kill_from_thread() -> None:
    threading.Thread(target=kill(signal.SIGKILL)).start()
    time.sleep(60)


def die_by_child() -> None:
    parent = os.getpid()
    if os.fork() == 0:
        os.kill(parent, signal.SIGKILL)
        os._exit(0)
    time.sleep(60)


def exceed_memory() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 28), resource.getrlimit(resource.RLIMIT_AS)[1]))
    b"x" * (1 << 30)


def leave_children() -> None:
    subprocess.Popen(["sleep", "5"])  # in a pool of the caller's nobody ends it
    threading.Thread(target=time.sleep, args=(5,), daemon=True).start()


def fork_twice() -> None:
    if (child := os.fork()) == 0:
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", "5"])
        os._exit(0)
    os.waitpid(child, 0)


def throw(make: Callable[[], BaseException]) -> Callable[[], None]:
    def act() -> None:
        raise make()

    return act


# Way → what it does, and what is said of it; empty: the task succeeds
DEADLY: dict[str, tuple[Callable[[], object], str]] = {
    "segv": (kill(signal.SIGSEGV), "SIGSEGV"),
    "kill": (kill(signal.SIGKILL), "SIGKILL"),
    "abort": (os.abort, "SIGABRT"),
    "bus": (kill(signal.SIGBUS), "SIGBUS"),
    "fpe": (kill(signal.SIGFPE), "SIGFPE"),
    "term": (kill(signal.SIGTERM), "SIGTERM"),
    "exit 0": (lambda: os._exit(0), "exited with code 0 without an answer|ended with code 0"),
    "exit 1": (lambda: os._exit(1), "exited with code 1"),
    "exec": (become_another, "exited with code 0 without an answer"),
    "out of memory": (out_of_memory, "SIGKILL"),
    "overflow in C": (overflow_in_c, "SIGSEGV|SIGABRT"),
    "kill from thread": (kill_from_thread, "SIGKILL"),
    "killed by child": (die_by_child, "SIGKILL"),
    "kill group": (lambda: os.killpg(os.getpgrp(), signal.SIGKILL), "SIGKILL"),
    "close all": (lambda: os.closerange(0, 4096), "exited with code|closed its end|Bad file descriptor"),
}
RAISING: dict[str, tuple[Callable[[], object], str]] = {
    "memory limit": (exceed_memory, "MemoryError"),
    "sys.exit": (lambda: sys.exit(0), "SystemExit: 0"),
    "interrupt": (throw(KeyboardInterrupt), "KeyboardInterrupt"),
    "unpicklable": (throw(Hidden), "Hidden"),
    "mute": (throw(Mute), "Mute"),
    "stuck": (throw(Stuck), "Stuck"),
}
HARMLESS: dict[str, tuple[Callable[[], object], str]] = {
    "children left": (leave_children, ""),
    "double fork": (fork_twice, ""),
    "fork returns": (os.fork, ""),
}
WAYS = {**DEADLY, **RAISING, **HARMLESS}


def note(journal: str, line: str) -> None:
    """Append a line, in one write."""
    descriptor = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


class Sibling(Task):
    """Does no harm."""

    def __init__(self, number: int, journal: str):
        self.number, self.journal = number, journal

    def run_task(self) -> int:
        note(self.journal, f"start {self.number}")
        time.sleep(0.02)
        note(self.journal, f"end {self.number}")
        return self.number


class Killer(Task):
    """Dies in one of the WAYS, or not, as some are no deaths."""

    def __init__(self, way: str, journal: str):
        self.way, self.journal = way, journal

    def run_task(self) -> str:
        note(self.journal, f"start {self.way}")
        pid = os.getpid()
        if self.way in DEADLY:
            faulthandler.disable()  # a fork of pytest would tell all its threads
        WAYS[self.way][0]()
        if os.getpid() == pid:
            note(self.journal, f"end {self.way}")
        return self.way


class Group(Task):
    """Killers among siblings."""

    def __init__(self, ways: tuple[str, ...], journal: str):
        self.killers = {way: Killer(way, journal) for way in ways}
        self.siblings = [Sibling(number, journal) for number in range(SIBLINGS)]
        self.members = [*self.siblings[:2], *self.killers.values(), *self.siblings[2:]]

    def run_task(self) -> list[Any]:
        return [member.get_result() for member in self.members]


@contextmanager
def executor_of(name: str) -> Iterator[Executor | None]:
    """The executor that the name stands for; None: our own workers."""
    if name in POOLS:
        with ProcessPoolExecutor(2, multiprocessing.get_context(name)) as pool:
            yield pool
    elif name == "threads":
        with ThreadPoolExecutor(2) as threads:
            yield threads
    else:
        yield LocalExecutor() if name == "local" else None


def run_cell(ways: Sequence[str], executor: str, folder: Path) -> list[str]:
    """Run tasks that end in these ways and their siblings. What is not as it should be; empty: all is well."""
    journal = folder / "journal"
    failures: tuple[TaskFailure, ...] = ()
    with Cache(folder / "cache"), executor_of(executor) as made:
        group = Group(tuple(ways), str(journal))
        prefixes = dict.fromkeys((Killer.task_name, Sibling.task_name), "") if executor == "prefix" else None
        workers = 2 if made is None else None
        try:
            group.run_graph(executor=made, max_workers=workers, prefixes=prefixes, on_error="continue")
        except FailedTaskError as error:
            failures = error.failures
        lost = [sibling for sibling in group.siblings if not sibling.task_is_done()]
        _, stats = group.run_graph(dry_run=True)
        told = {group.killers[way].task_id: way for way in ways}
    starts = Counter(line.partition(" ")[2] for line in journal.read_text().splitlines() if line.startswith("start"))
    # A pool's death makes what it was at work on suspect, once; our own workers know whose it was
    most = SIBLINGS + len(ways) + 2 * (executor in POOLS and not DEADLY.keys().isdisjoint(ways))
    said = {told.get(failure.task_id, failure.task): str(failure) for failure in failures}
    fatal = [way for way in ways if way not in HARMLESS]
    would_run = {name.rpartition(".")[2]: count for name, count in stats["stats"].items()}
    found = {
        f"failed are {[*said]}": len(failures) != len(fatal) or said.keys() != set(fatal),
        f"lost are {lost}": bool(lost),
        f"started were {starts}": starts.total() > most or max(starts.values()) > 2,
        f"a rerun would run {would_run}": would_run != ({"Group": 1, "Killer": len(fatal)} if fatal else {}),
        **{f"of {way!r} is said {said.get(way)!r}": not re.search(_words(way), said.get(way, "")) for way in fatal},
    }
    return [fault for fault, is_there in found.items() if is_there]


def _words(way: str) -> str:
    words = WAYS[way][1]
    if way == "out of memory":
        return rf"{words}\), peak memory (at most [\d.]+ GB|(at most )?([3-9]|1\d)\d\d MB)"
    if way not in DEADLY or way == "close all":
        return words
    # GB: the process that runs the tests may have had as much, which its forks begin with
    return rf"({words}).*, peak memory (at most [\d.]+ GB|(at most )?\d+ MB)"
