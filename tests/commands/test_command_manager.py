"""TaskManager: hooks, records, interrupts, and what is refused."""
from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskproc.commands import Finished, TaskManager
from taskproc.errors import OptionError
from tests.gone import is_gone
from tests.pace import limit

pytestmark = pytest.mark.skipif(os.name != "posix", reason="runs the tools of POSIX")


def manager(*descriptors: object, **options: Any) -> TaskManager:
    made = TaskManager(**{"n_threads": 2, **options})
    made.task_descriptors += descriptors
    return made


def ran(made: TaskManager) -> list[Finished]:
    made.run()
    return sorted(made.finished, key=lambda record: record.number)


def printed(record: Finished) -> str:
    assert record.stdout is not None
    return record.stdout.read_text()


def test_names_are_found_and_no_others() -> None:
    """The front door has what it lists."""
    import taskproc.commands as front

    assert {name: getattr(front, name).__name__ for name in front.__all__} == {name: name for name in front.__all__}
    assert set(front.__all__) <= set(dir(front))
    with pytest.raises(AttributeError, match="no attribute 'Other'"):
        _ = front.Other  # type: ignore[attr-defined]


def test_what_is_no_descriptor_fails_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Told by its record and by a warning; the others are run."""
    with caplog.at_level(logging.WARNING, "taskproc"):
        records = ran(manager("ls -l", [], ["echo", 3], None, ["echo", Path("a")], ["a\0b"]))

    assert [None, None, None, None, 0, None] == [record.exit_code for record in records]
    assert "must be a list of words, got 'ls -l': no shell splits it" in records[0].problem
    assert "is empty" in records[1].problem
    assert "must be strings or paths, got 3" in records[2].problem
    assert "got None" in records[3].problem
    assert ("a\n", "") == (printed(records[4]), records[4].problem)
    assert "embedded null byte" in records[5].problem
    told = sorted(message.partition(":")[0] for message in caplog.messages)
    assert [f"task descriptor {number}" for number in (1, 2, 3, 4, 6)] == told


def test_output_goes_where_it_is_wanted(tmp_path: Path) -> None:
    """Into numbered files; the numbers continue in the next run, and files of an earlier manager are replaced."""
    for word in "ab":
        made = manager(["echo", word], output_folder=tmp_path / "out")
        made.run()
        made.task_descriptors.append(["echo", "again"])
        made.run()

    names = [f"{number}.{stream}.txt" for number in (1, 2) for stream in ("stderr", "stdout")]
    assert names == sorted(path.name for path in (tmp_path / "out").iterdir())
    assert ["b\n", "again\n"] == [printed(record) for record in made.finished]
    assert [1, 2] == [record.number for record in made.finished]


def test_a_temporary_folder_goes_with_its_manager() -> None:
    """What is not asked for is not left."""
    made = manager(["echo", "a"])
    (record,) = ran(made)
    folder = record.stdout.parent if record.stdout else Path()

    assert folder.is_dir()
    del made
    assert not folder.exists()


def test_a_last_command_when_all_went_well() -> None:
    """Once, behind all others, and not where one failed."""

    class Combining(TaskManager):
        def final_task_descriptor(self) -> list[str]:
            return ["echo", str(len(self.finished))]

    good, bad = Combining(2), Combining(2)
    good.task_descriptors += [["true"], ["true"]]
    bad.task_descriptors += [["true"], ["false"]]

    assert ["", "", "2\n"] == [printed(record) for record in ran(good)]
    assert [0, 1] == [record.exit_code for record in ran(bad)]
    assert 2 == len(ran(bad))  # nothing was done now, so there is nothing to combine


class Woken(TaskManager):
    """Adds a descriptor when it is woken."""

    def __init__(self) -> None:
        super().__init__(2)
        self.more: list[list[str]] = []

    def update_task_descriptors(self) -> None:
        self.task_descriptors += self.more
        self.more = []


def test_the_hook_may_be_asked_before_something_ends(tmp_path: Path) -> None:
    """By another thread; here the running command waits for that."""
    gate, told = str(tmp_path / "gate"), str(tmp_path / "told")
    os.mkfifo(gate)
    os.mkfifo(told)
    made = Woken()
    made.task_descriptors.append(["sh", "-c", 'echo > "$0"; cat "$1"', told, gate])

    def add() -> None:
        Path(told).read_text()
        made.more = [["sh", "-c", 'echo go > "$0"', gate]]
        made.wake()

    thread = threading.Thread(target=add)
    thread.start()
    made.run()
    thread.join()

    assert [0, 0] == [record.exit_code for record in made.finished]
    made.wake()  # when nothing runs it does nothing


class Failing(TaskManager):
    """Its hook raises when something runs."""

    def update_task_descriptors(self) -> None:
        if self.procs[0] is not None:
            raise ValueError("hook")


def test_an_exception_of_a_hook_ends_all_and_loses_nothing() -> None:
    """What ran stands at the head of the list again."""
    made = Failing(2)
    made.task_descriptors += [["sleep", "1000"], ["true"]]

    with pytest.raises(ValueError, match="hook"):
        made.run()

    assert ([["sleep", "1000"], ["true"]], [None, None], []) == (made.task_descriptors, made.procs, made.finished)


def test_a_manager_runs_once_at_a_time() -> None:
    """A hook that runs it again would wait for itself."""

    class Again(TaskManager):
        def update_task_descriptors(self) -> None:
            self.run()

    with pytest.raises(RuntimeError, match="is already running"):
        Again(1).run()


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "2"])
def test_slots_are_a_number_of_at_least_one(count: Any) -> None:
    """The constructor refuses them."""
    with pytest.raises(OptionError, match="n_threads must be"):
        TaskManager(count)


def test_outputs_have_one_place(tmp_path: Path) -> None:
    """With a shared folder that is this."""
    with pytest.raises(OptionError, match="output_folder and shared_folder both"):
        TaskManager(1, output_folder=tmp_path, shared_folder=tmp_path)


SCRIPT = """
import sys, time
from taskproc.commands import TaskManager

class Waiting(TaskManager):
    def update_task_descriptors(self):
        if "hook" in sys.argv and self.procs[0] is not None:
            open("told", "w").close()
            time.sleep(1000)

manager = Waiting(2, shared_folder="cache" if "shared" in sys.argv else None)
told = "" if "hook" in sys.argv else "; : > told"
script = "trap 'echo bye > bye; exit' TERM; trap '' HUP; echo $$ > pid; sleep 1000 & echo $! >> pid" + told + "; wait"
manager.task_descriptors.append(["sh", "-c", script])
try:
    manager.run()
finally:
    print(len(manager.task_descriptors), len(manager.finished), manager.procs)
"""


@pytest.fixture
def start(tmp_path: Path, environ: dict[str, str]) -> Callable[..., subprocess.Popen[str]]:
    """A manager whose command does not end, once it has started."""

    def started(*words: str) -> subprocess.Popen[str]:
        os.mkfifo(tmp_path / "told")
        (tmp_path / "script.py").write_text(SCRIPT)
        process = subprocess.Popen(
            [sys.executable, "script.py", *words], cwd=tmp_path, env=environ, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        (tmp_path / "told").read_text()
        return process

    return started


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")
@pytest.mark.parametrize(
    ("words", "number", "code"),
    [
        ([], signal.SIGINT, -signal.SIGINT),
        (["shared"], signal.SIGINT, -signal.SIGINT),
        ([], signal.SIGTERM, 128 + signal.SIGTERM),
        (["hook"], signal.SIGINT, -signal.SIGINT),
    ],
)
def test_an_interrupt_ends_all_children(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, words: list[str], number: int, code: int
) -> None:
    """By TERM, even while a hook waits; unfinished descriptors are in the list again, and the exception is raised."""
    process = start(*words)

    process.send_signal(number)
    said, complaint = process.communicate(timeout=limit(60))

    assert code == process.returncode, complaint
    assert "1 0 [None, None]\n" == said
    if words != ["hook"]:  # there it may not have come so far
        assert [True, True] == [is_gone(int(pid)) for pid in (tmp_path / "pid").read_text().split()]
        assert (tmp_path / "bye").exists()
