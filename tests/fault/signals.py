"""A program to be interrupted, and one cell of the table: a signal, once or twice, on an executor.

The oracle is the journal: lines of starts and ends with process ids, written by the tasks themselves.
"""
from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from taskproc.run import foreign, prefix_runner, resident
from taskproc.run.group import GRACE
from taskproc.store.cache import Cache
from taskproc.tasks.task import Task
from tests.fault.deaths import executor_of, note
from tests.pace import limit

ROOT = Path(__file__).resolve().parents[2]
LIMIT = limit(60)
AT_ONCE = 2  # tasks that run at once
LONG = 4   # tasks that run until they are told to end
EXECUTORS = ("resident", "fork", "threads")
TAG = "TASKPROC_FAULT"  # in the environment of all that a program starts
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Quick(Task):
    def __init__(self, journal: str):
        self.journal = journal

    def run_task(self) -> str:
        note(self.journal, f"end quick {os.getpid()}")
        return "quick"


class Long(Task):
    """Runs until the file `go` is there. In a process of its own it has a child, and, stubborn, is deaf to TERM."""

    def __init__(self, number: int, journal: str, alone: bool):
        self.number, self.journal, self.alone = number, journal, alone
        self.up = Quick(journal)

    def run_task(self) -> str:
        go = Path(self.journal).with_name("go")
        child = None
        if self.alone and not go.exists():
            if os.environ.get("STUBBORN"):
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            child = subprocess.Popen(["sleep", "1000"])
        note(self.journal, f"start {self.number} {os.getpid()} {child.pid if child else 0}")
        while not go.exists():
            time.sleep(0.01)
        note(self.journal, f"end {self.number} {os.getpid()}")
        return self.up.get_result()


class All(Task):
    def __init__(self, journal: str, alone: bool):
        self.ups = [Long(number, journal, alone) for number in range(LONG)]

    def run_task(self) -> int:
        return len({up.get_result() for up in self.ups})


def program(executor: str, folder: str) -> None:
    """What is interrupted: `python -m tests.fault.signals EXECUTOR FOLDER`."""
    for module in (foreign, prefix_runner, resident):
        module.GRACE = float(os.environ["GRACE"])  # type: ignore[attr-defined]  # it was imported there
    with Cache(f"{folder}/cache"), executor_of(executor) as made:
        graph = All(f"{folder}/journal", executor != "threads")
        workers = AT_ONCE if made is None else None
        prefixes = {Long.task_name: ""} if executor == "prefix" else None
        limits = {Long.task_name: AT_ONCE}
        print(graph.run_graph(executor=made, max_workers=workers, prefixes=prefixes, rate_limits=limits)[0])


class Run:
    """The program on its way, in a session of its own; with a terminal, if it is to lose that."""

    def __init__(
        self, executor: str, folder: Path, *, stubborn: bool = False, terminal: bool = False, grace: float = GRACE
    ):
        self.folder, self.executor = folder, executor
        self.journal = folder / "journal"
        self._master, self._slave = pty.openpty() if terminal else (-1, -1)
        errors = self._slave if terminal else (folder / "errors").open("wb")
        command = [sys.executable, "-m", "tests.fault.signals", executor, str(folder)]
        environ = {**os.environ, "PYTHONPATH": str(ROOT), TAG: str(folder)}
        environ |= {"STUBBORN": "1" if stubborn else "", "GRACE": str(grace)}
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=self._slave if terminal else subprocess.DEVNULL, stdout=errors, stderr=errors,
            start_new_session=True, env=environ,
        )
        if terminal:
            self.before = termios.tcgetattr(self._master)

    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.journal.read_text().splitlines()] if self.journal.exists() else []

    def begun(self) -> list[list[str]]:
        return [line for line in self.lines() if line[0] == "start"]

    def count(self, kind: str) -> Counter[str]:
        return Counter(line[1] for line in self.lines() if line[0] == kind)

    def until(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LIMIT
        while not is_so():
            assert time.monotonic() < deadline, f"hung: {self.lines()}"
            assert self.process.poll() is None or is_so(), "it ended too early"
            time.sleep(0.005)

    def said(self) -> str:
        if self._master < 0:
            return (self.folder / "errors").read_text()
        return os.read(self._master, 1 << 16).decode()

    def tasks_alive(self) -> list[int]:
        pids = [int(pid) for _, _, *some in self.begun() for pid in some if int(pid)]
        return [pid for pid in pids if lives(pid)]

    def left(self, slack: float = 0.0) -> list[int]:
        """Tasks and their children that live on 2 s from now: who was killed may need a moment to be gone."""
        deadline = time.monotonic() + limit(2.0) + slack
        while (alive := self.tasks_alive()) and time.monotonic() < deadline:
            time.sleep(0.01)
        return alive

    def terminal_is_as_before(self) -> bool:
        return self._master < 0 or termios.tcgetattr(self._master) == self.before

    def close(self) -> None:
        for pid in [self.process.pid, *self.tasks_alive()]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        for descriptor in (self._master, self._slave):
            if descriptor >= 0:
                os.close(descriptor)


def lives(pid: int) -> bool:
    """Whether a process runs; what only waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@contextmanager
def run(executor: str, folder: Path, **options: Any) -> Iterator[Run]:
    made = Run(executor, folder, **options)
    try:
        yield made
    finally:
        made.close()


def ended_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def interrupt(executor: str, number: int, twice: bool, folder: Path, slack: float = 1.0) -> list[str]:
    """Interrupt a run in which tasks are stubborn if it is to be twice. What is not as it should be.

    Args:
        slack: how much longer than promised it may take, on a busy machine.
    """
    threads = executor == "threads"
    code = 128 + number if number != signal.SIGINT else -number
    grace = 1000.0 if twice else GRACE  # what does not end by the second signal does not end
    with run(executor, folder, stubborn=twice, terminal=number == signal.SIGHUP, grace=grace) as program:
        program.until(lambda: len(program.begun()) == AT_ONCE)
        program.process.send_signal(number)
        if twice and threads:
            program.until(lambda: "a second signal leaves at once" in program.said())
            code = 128 + number
        if twice:
            time.sleep(0.2)  # or both could be taken for one
            program.process.send_signal(number)
        elif threads:
            (folder / "go").touch()
        in_time = ended_within(program.process, (0.5 if twice else 3.0) + slack)
        told = "" if twice and threads else program.said()
        alive, starts = program.left(slack), len(program.begun())
        same = program.terminal_is_as_before()
        found = {
            "it was not gone in time": not in_time,
            f"it ended with {program.process.returncode}": program.process.returncode != code,
            f"{starts - AT_ONCE} were started after the signal": starts != AT_ONCE,
            f"{alive} live": bool(alive),
            f"it said {told!r}": not (twice and threads) and not _is_line(told, threads),
            "the terminal is another": not same,
        }
    return [fault for fault, is_there in found.items() if is_there] + resume(executor, folder)


def _is_line(told: str, threads: bool) -> bool:
    lines = [line for line in told.splitlines() if "interrupted: " in line and "waiting for" not in line]
    done = f"{1 + AT_ONCE if threads else 1} of {LONG + 2} done"
    stopped = "" if threads else f", {AT_ONCE} stopped"
    return [f"interrupted: {done}{stopped}; run again to resume"] == lines


def resume(executor: str, folder: Path, *, exact: bool = True) -> list[str]:
    """Run it again to its end: nothing stands in the way, and, if `exact`, each task has ended once in all."""
    (folder / "go").touch()
    with run(executor, folder) as program:
        if not ended_within(program.process, LIMIT):
            return ["the next run hung"]
        ends, names = program.count("end"), {"quick", *map(str, range(LONG))}
        code, said = program.process.returncode, program.said()
        found = {
            # What a killed pool's resource tracker has to say may come late, and into the same file
            f"the next run ended with {code}: {said}": code != 0 or "1" not in said.splitlines(),
            f"ended are {ends}": ends.keys() != names or (exact and max(ends.values()) > 1),
        }
    return [fault for fault, is_there in found.items() if is_there]


def kill_main(executor: str, folder: Path, delay: float = 0.0, slack: float = 0.0) -> list[str]:
    """SIGKILL to the main process: nobody lives 2 s later, nothing new has started, and the next run goes on."""
    with run(executor, folder, stubborn=True) as program:
        program.until(lambda: len(program.begun()) == AT_ONCE)
        time.sleep(delay)
        program.process.kill()
        program.process.wait()
        alive, starts = program.left(slack), len(program.begun())
    found = {f"{alive} live": bool(alive), f"{starts - AT_ONCE} were started after the kill": starts != AT_ONCE}
    return [fault for fault, is_there in found.items() if is_there] + resume(executor, folder)


def kill_anywhere(executor: str, folder: Path, delay: float, slack: float = 0.0) -> list[str]:
    """SIGKILL to the main process so many seconds after its start, whatever it is at; then run it to its end.

    The figures: nobody alive 2 s later, nothing stored is computed again, and all is right in the end.
    """
    (folder / "go").touch()
    with run(executor, folder) as program:
        ended_within(program.process, delay)
        program.process.kill()
        program.process.wait()
        deadline = time.monotonic() + limit(2.0) + slack
        while (alive := tagged(folder)) and time.monotonic() < deadline:
            time.sleep(0.02)
    stored, starts = stored_in(folder), program.count("start")
    if not (faults := resume(executor, folder, exact=False)):
        again = {number for number in stored if program.count("start")[number] > starts[number]}
        faults = [f"{again} had been stored and were run again"] if again else []
    return [*([f"{alive} live"] if alive else []), *faults]


def tagged(folder: Path) -> list[int]:
    """Processes of a program that ran there, but zombies."""
    mark = f"{TAG}={folder}\0".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            pass  # it ended in this moment, or is another user's
    return found


def stored_in(folder: Path) -> set[str]:
    """Numbers of the tasks whose result is stored."""
    places = (folder / "cache" / Long.task_name / "results").glob("*/result.*")
    return {str(json.loads((path.parent / "args.json").read_text())["args"]["number"]) for path in places}


if __name__ == "__main__":
    from tests.fault.signals import program as imported  # so that tasks are of this module, not of __main__

    imported(*sys.argv[1:])
