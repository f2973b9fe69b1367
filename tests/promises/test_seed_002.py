"""What the article on a bare-bones task manager promises, one test a promise; 002-NN is its number in the list.

Its bugs stand below, one test each.
"""
from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from taskproc import Cache
from taskproc.commands import TaskManager
from taskproc.run.group import has_ended
from tests.pace import limit

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="process groups are of POSIX")]

# Notes that it runs, its process id, its argument, and that it has ended
TASK = """
import os, sys
def note(word):
    handle = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{word} {os.getpid()} {sys.argv[2]}\\n".encode())
note("start")
print(sys.argv[2:])
note("end")
"""


class Lister(TaskManager):
    """Has its list from the beginning."""

    def __init__(self, descriptors: Sequence[Sequence[str]], n_threads: int | None = 2, **options: Any):
        super().__init__(n_threads, **options)
        self.task_descriptors += descriptors


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "journal"
    path.touch()
    return path


def tasks(journal: Path, count: int) -> list[list[str]]:
    return [[sys.executable, "-c", TASK, str(journal), str(number)] for number in range(count)]


def lines(journal: Path, word: str) -> list[list[str]]:
    return [line.split() for line in journal.read_text().splitlines() if line.startswith(word)]


def most_at_once(journal: Path) -> int:
    now, most = 0, 0
    for line in journal.read_text().splitlines():
        now += 1 if line.startswith("start") else -1
        most = max(most, now)
    return most


def test_002_01_many_processes_a_manageable_number_at_once(journal: Path) -> None:
    """Each task is a process of its own; no more at once than was said, or than there are processors."""
    manager = Lister(tasks(journal, 8), 3)

    manager.run()

    starts = lines(journal, "start")
    assert (8, 8) == (len({pid for _, pid, _ in starts} - {str(os.getpid())}), len(lines(journal, "end")))
    assert most_at_once(journal) <= 3
    assert TaskManager().n_threads == len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else True


def test_002_01_the_end_is_that_of_the_last_process(journal: Path) -> None:
    """Not that of the list, which is empty when the last one starts."""
    Lister(tasks(journal, 3), 3).run()

    assert 3 == len(lines(journal, "end"))


def test_002_02_the_constructor_and_its_attributes() -> None:
    """Slots, timeouts with their three names and defaults, an empty list."""
    manager, other = TaskManager(3), TaskManager(3, timeouts={"proc_poll_dt": 0.1, "next_free_dt": 5})

    assert (3, [None] * 3, []) == (manager.n_threads, manager.procs, manager.task_descriptors)
    assert (0.2, 0.5, 0.5) == (manager.proc_poll_dt, manager.next_free_dt, manager.proc_popen_dt)
    assert (0.1, 5, 0.5) == (other.proc_poll_dt, other.next_free_dt, other.proc_popen_dt)
    assert {"proc_poll_dt": 0.2, "next_free_dt": 0.5, "proc_popen_dt": 0.5} == manager.timeouts


def test_002_03_a_descriptor_is_the_whole_command(tmp_path: Path) -> None:
    """The executable and its parameters in their order, which nothing reads or changes."""
    words = ["b c", "$HOME", "*", "", "a"]
    manager = Lister([[sys.executable, "-c", "import sys; print(sys.argv[1:])", *words]])

    manager.run()

    stdout = manager.finished[0].stdout
    assert stdout is not None
    assert f"{words}\n" == stdout.read_text()


class Reader(TaskManager):
    """Loads descriptors from disk, each as soon as the one before has written it, and waits as it likes."""

    def __init__(self, folder: Path):
        super().__init__(1)
        self.folder, self.asked = folder, 0
        self.write(0)

    def write(self, number: int) -> None:
        script = "import pathlib, sys; pathlib.Path(sys.argv[2]).write_text(str(int(sys.argv[1]) + 1))"
        (self.folder / "next").unlink(missing_ok=True)
        self.task_descriptors.append([sys.executable, "-c", script, str(number), str(self.folder / "next")])

    def update_task_descriptors(self) -> None:
        self.asked += 1
        if (self.folder / "next").exists():
            number = int((self.folder / "next").read_text())
            if number < 3:
                self.write(number)


def test_002_04_the_list_may_grow_while_it_runs(tmp_path: Path) -> None:
    """The hook is asked before each start, and after the last end."""
    manager = Reader(tmp_path)

    manager.run()

    assert ["0", "1", "2"] == [str(record.descriptor[3]) for record in manager.finished]  # type: ignore[index]
    assert "3" == (tmp_path / "next").read_text()
    assert manager.asked >= 4


class Looker(TaskManager):
    """Looks at its slots whenever it is asked for work."""

    def __init__(self, folder: Path):
        super().__init__(2)
        self.pipes = [str(folder / name) for name in "ab"]
        for pipe in self.pipes:
            os.mkfifo(pipe)
            self.task_descriptors.append(["cat", pipe])
        self.seen: list[tuple[int | None, int]] = []

    def update_task_descriptors(self) -> None:
        self.seen.append((self.update_tasks_status(), sum(proc is not None for proc in self.procs)))
        if len(self.seen) == 2:  # one runs
            (running,) = [proc for proc in self.procs if proc is not None]
            Path(self.pipes[0]).write_text("")
            while not has_ended(running):
                pass
            self.seen.append((self.update_tasks_status(), sum(proc is not None for proc in self.procs)))
            os.unlink(self.pipes[1])  # a file now, with an end
            Path(self.pipes[1]).touch()


def test_002_05_the_status_frees_slots_and_tells_a_free_one(tmp_path: Path) -> None:
    """The index of one, or None where all are taken."""
    manager = Looker(tmp_path)

    manager.run()

    assert [(1, 0), (1, 1), (1, 0)] == manager.seen[:3]
    manager.procs = [subprocess.Popen(["cat"], stdin=subprocess.PIPE) for _ in range(2)]  # type: ignore[misc]
    assert manager.update_tasks_status() is None
    manager.procs[0].communicate()  # type: ignore[union-attr]
    assert (0, None) == (manager.update_tasks_status(), manager.procs[0])
    manager.procs[1].communicate()  # type: ignore[union-attr]


def test_002_06_a_slot_then_the_list_then_a_process(journal: Path) -> None:
    """The hook is not asked while all slots are taken, and what it puts into the list is started at once."""
    running: list[int] = []

    class Counter(TaskManager):
        def update_task_descriptors(self) -> None:
            running.append(sum(proc is not None for proc in self.procs))
            if len(running) <= 4:
                self.task_descriptors += tasks(journal, 1)

    Counter(1).run()

    assert [0] * 5 == running
    assert 4 == len(lines(journal, "end"))


class SleepTaskManager(TaskManager):
    """As in the article, but for the path of the executable and how long it sleeps."""

    def __init__(self) -> None:
        TaskManager.__init__(self, 2)
        self.n_created = 0
        self.executable = [sys.executable,
                           'task_man_test.py']

    def update_task_descriptors(self) -> None:
        if self.n_created == 0:
            self.n_created = 10
            for ii in range(self.n_created):
                next_task = self.executable + [str(ii)]  # noqa: RUF005  # as it is there
                self.task_descriptors.append(next_task)


SLEEP_TASK = """
if __name__ == '__main__':
    import time
    import sys
    print(sys.argv[1:])
    time.sleep(0.01)
    print(__file__,':Done.')
"""


def test_002_07_it_is_extended_by_inheritance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of the article: ten tasks over two slots."""
    (tmp_path / "task_man_test.py").write_text(SLEEP_TASK)
    monkeypatch.chdir(tmp_path)
    tmon = SleepTaskManager()

    tmon.run()

    printed = [record.stdout.read_text().splitlines()[0] for record in tmon.finished if record.stdout]
    assert [f"['{number}']" for number in range(10)] == sorted(printed)
    assert ([0] * 10, [None] * 2, []) == ([each.exit_code for each in tmon.finished], tmon.procs, tmon.task_descriptors)


def test_002_08_without_tasks_it_ends_at_once() -> None:
    """The first test of the article; the second one is above."""
    tmon = TaskManager(3)
    tmon.run()

    assert [] == tmon.finished


HOST = """
import sys
from taskproc.commands import Command, TaskManager
from taskproc import machine

class Host(TaskManager):
    def update_task_descriptors(self):
        if not self.finished and not self.task_descriptors and not hasattr(self, "parts"):
            words = [sys.executable, "-c", {task!r}, {journal!r}]
            self.parts = [Command([*words, str(number)]) for number in range(6)]
            self.task_descriptors += self.parts

    def final_task_descriptor(self):
        return Command(["cat", *self.parts], stdout="all.txt")

machine.boot = lambda: sys.argv[1]
host = Host(2, shared_folder={cache!r})
host.run()
print([record.exit_code for record in host.finished])
"""


def test_002_09_several_computers_share_the_tasks(journal: Path, tmp_path: Path, environ: dict[str, str]) -> None:
    """Through a folder: each task is run by one of them; when all parts exist one of them combines these."""
    script = HOST.format(task=TASK, journal=str(journal), cache=str(tmp_path / "cache"))
    (tmp_path / "host.py").write_text(script)
    words = [sys.executable, str(tmp_path / "host.py")]
    hosts = [subprocess.Popen([*words, name], env=environ, stdout=subprocess.PIPE, text=True) for name in "abc"]

    said = [host.communicate(timeout=limit(60))[0] for host in hosts]

    assert [f"{[0] * 7}\n"] * 3 == said
    assert sorted("012345") == sorted(number for _, _, number in lines(journal, "start"))
    (combined,) = (tmp_path / "cache").rglob("all.txt")
    assert "".join(f"['{number}']\n" for number in range(6)) == combined.read_text()


# ---------------------------------------------------------------- bugs


def test_bug_run_waits_for_running_processes(journal: Path) -> None:
    """Then, it returned as soon as the list was empty."""
    manager = Lister(tasks(journal, 2), 2)

    manager.run()

    assert 2 == len(lines(journal, "end")) == len(manager.finished)


def test_bug_first_in_first_out(journal: Path) -> None:
    """Then, the last in the list was run first."""
    manager = Lister(tasks(journal, 5), 1)

    manager.run()

    assert list("01234") == [number for _, _, number in lines(journal, "start")]
    assert [1, 2, 3, 4, 5] == [record.number for record in manager.finished]


def test_bug_exit_codes_output_and_durations_are_kept() -> None:
    """Then, they were ignored."""
    manager = Lister([["sh", "-c", "echo out; echo err >&2; exit 3"], ["true"], ["no-such-tool"]], 1)

    manager.run()

    first, second, third = manager.finished
    assert [3, 0, None] == [record.exit_code for record in manager.finished]
    assert first.stdout is not None
    assert first.stderr is not None
    assert ("out\n", "err\n") == (first.stdout.read_text(), first.stderr.read_text())
    assert first.problem.endswith("exited with code 3\nerr")
    assert (True, "") == (second.seconds > 0, second.problem)
    assert "no-such-tool was not found" in third.problem


def test_bug_no_default_is_shared() -> None:
    """Then, all managers had one dict of timeouts."""
    one, other = TaskManager(1), TaskManager(1)
    one.timeouts["proc_poll_dt"] = 9
    one.task_descriptors.append(["a"])

    assert (0.2, []) == (other.timeouts["proc_poll_dt"], other.task_descriptors)


def test_bug_nothing_is_polled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then, each scan slept for `n * 0.2` seconds. Here nobody sleeps, whatever the timeouts are."""
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    manager = Lister([["true"]] * 5, 2, timeouts={"proc_poll_dt": 1000, "next_free_dt": 1000, "proc_popen_dt": 1000})

    manager.run()

    assert [] == slept


def test_bug_a_dead_computer_blocks_nothing(journal: Path, tmp_path: Path, environ: dict[str, str]) -> None:
    """Then, the file by which it had claimed a task stayed, and so the task was never run."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    words = ["sh", "-c", 'echo start $$ x >> "$0"; test -p "$1" && read x < "$1"; echo end $$ x >> "$0"', str(journal)]
    script = f"""
from taskproc.commands import TaskManager
manager = TaskManager(1, shared_folder={str(tmp_path / "cache")!r})
manager.task_descriptors.append({[*words, str(gate)]!r})
manager.run()
"""
    dead = subprocess.Popen([sys.executable, "-c", script], env=environ)
    while not lines(journal, "start"):
        assert dead.poll() is None
    dead.kill()
    dead.wait()
    gate.unlink()
    manager = Lister([[*words, str(gate)]], 1, shared_folder=Cache(tmp_path / "cache"))

    manager.run()

    assert [(0, True)] == [(record.exit_code, record.here) for record in manager.finished]
    assert (2, 1) == (len(lines(journal, "start")), len(lines(journal, "end")))
