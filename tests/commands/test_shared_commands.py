"""Several managers with one folder: each descriptor runs once, also after deaths, and the final command sees all."""
from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from taskproc import Cache, InputFile
from taskproc.commands import Command, TaskManager
from tests.fault.test_many import UNSHARE, has_containers
from tests.pace import limit

pytestmark = pytest.mark.skipif(os.name != "posix", reason="runs the tools of POSIX")

HOST = """
import os, sys
from taskproc.commands import Command, TaskManager
from taskproc import machine
from taskproc.store import marks

name, journal, cache = sys.argv[1:]
if "TEST_MACHINES" in os.environ:
    machine.boot = lambda: name
    marks.LEASE, marks.BEAT_EVERY = 1.0, 0.1

PART = '''
host=${TEST_HOST:-$(hostname)}
echo start $2 $host >> "$1"
test $host = one && sleep 1000
echo part $2
echo end $2 $host >> "$1"
'''
LAST = 'echo start all ${TEST_HOST:-$(hostname)} >> "$1"; shift; cat "$@"'

class Host(TaskManager):
    def __init__(self):
        super().__init__(1, shared_folder=cache)
        with self.cache:
            self.parts = [Command(["sh", "-c", PART, "sh", journal, number]) for number in range(6)]
        self.task_descriptors += self.parts

    def final_task_descriptor(self):
        return Command(["sh", "-c", LAST, "sh", journal, *self.parts], stdout="all.txt")

host = Host()
host.run()
print([record.exit_code for record in host.finished], sum(record.here for record in host.finished))
"""


class Hosts:
    """Managers in processes, each on a host of its own."""

    def __init__(self, folder: Path, environ: dict[str, str], kind: str):
        self.folder, self.cache, self.journal = folder, folder / "cache", folder / "journal"
        self.journal.touch()
        self._environ, self._kind = environ, kind
        self.processes: dict[str, subprocess.Popen[str]] = {}
        (folder / "host.py").write_text(HOST)

    def start(self, name: str) -> subprocess.Popen[str]:
        words = [sys.executable, str(self.folder / "host.py"), name, str(self.journal), str(self.cache)]
        environ = self._environ
        if self._kind == "namespaces":
            words = [*UNSHARE, "sh", "-c", 'hostname "$0"; exec "$@"', name, *words]
        else:
            environ = {**environ, "TEST_MACHINES": "1", "TEST_HOST": name}
        self.processes[name] = subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, text=True)
        return self.processes[name]

    def lines(self, word: str) -> list[list[str]]:
        return [line.split()[1:] for line in self.journal.read_text().splitlines() if line.startswith(word)]

    def wait_until(self, holds: Callable[[], bool]) -> None:
        until = time.monotonic() + limit(40)
        while not holds():
            assert time.monotonic() < until, self.journal.read_text()
            time.sleep(0.005)


@pytest.fixture
def hosts(tmp_path: Path, environ: dict[str, str], request: pytest.FixtureRequest) -> Iterator[Hosts]:
    made = Hosts(tmp_path, environ, request.param)
    yield made
    for process in made.processes.values():
        process.kill()
        process.communicate()


KINDS = [
    pytest.param("namespaces", marks=pytest.mark.skipif(not has_containers(), reason="no namespaces here")),
    "machines",
]


@pytest.mark.slow
@pytest.mark.parametrize("hosts", KINDS, indirect=True)
def test_a_host_that_is_killed_is_outlived_by_the_others(hosts: Hosts) -> None:
    """What it had begun another one does; all else is done once; the last command has all parts, once."""
    hosts.start("one")
    hosts.wait_until(lambda: ["0", "one"] in hosts.lines("start"))
    for name in ("two", "three"):
        hosts.start(name)
    hosts.wait_until(lambda: len(hosts.lines("end")) == 5)  # all but the one that is held

    hosts.processes["one"].kill()
    said = [hosts.processes[name].communicate(timeout=limit(60))[0].split("] ") for name in ("two", "three")]

    assert {**dict.fromkeys("12345", 1), "0": 2, "all": 1} == Counter(part for part, _ in hosts.lines("start"))
    assert ["one"] == [host for part, host in hosts.lines("start") if host == "one"]
    assert [str([0] * 7)[:-1]] * 2 == [codes for codes, _ in said]
    assert 7 == sum(int(count) for _, count in said)
    (combined,) = hosts.cache.rglob("all.txt")
    assert "".join(f"part {number}\n" for number in range(6)) == combined.read_text()


def manager(cache: Cache, *descriptors: object) -> TaskManager:
    made = TaskManager(2, shared_folder=cache)
    made.task_descriptors += descriptors
    return made


def test_what_was_done_is_not_done_again(cache: Cache, tmp_path: Path) -> None:
    """By a later manager with the folder, which has the same record."""
    words = ["sh", "-c", 'echo x >> "$0"; echo done', str(tmp_path / "ran")]
    first, second = manager(cache, words), manager(cache, words, words)
    first.run()
    second.run()

    (one,), (other,) = first.finished, second.finished
    assert "x\n" == (tmp_path / "ran").read_text()
    assert (True, False) == (one.here, other.here)
    assert (one.exit_code, one.seconds, one.stdout) == (other.exit_code, other.seconds, other.stdout)
    assert other.stdout is not None
    assert ("done\n", words) == (other.stdout.read_text(), other.descriptor)


def test_failures_are_reported_as_without_a_folder(cache: Cache) -> None:
    """Exit code, message and output; an invalid descriptor fails alone; tasks below a failure are not run."""
    bad = Command(["sh", "-c", "echo why >&2; exit 3"])
    made = manager(cache, bad, Command(["cat", bad]), "ls -l", ["no-such-tool"], ["true"], ["a\0b"])

    made.run()

    records = sorted(made.finished, key=lambda record: record.number)
    assert [3, None, None, None, 0, None] == [record.exit_code for record in records]
    assert records[0].problem == "command sh -c 'echo why >&2; exit 3' exited with code 3\nwhy"
    assert records[0].stderr is not None
    assert "why\n" == records[0].stderr.read_text()
    assert "it was not run, because an upstream task failed" == records[1].problem
    assert "must be a list of words" in records[2].problem
    assert "no-such-tool was not found" in records[3].problem
    assert "contains NUL" in records[5].problem


class Later(TaskManager):
    """Lists a command when another one that needs it has ended already."""

    parts: Any = ()

    def update_task_descriptors(self) -> None:
        if self.finished and self.parts:
            self.task_descriptors, self.parts = list(self.parts), ()


def test_what_comes_into_the_list_late_is_reported_too(cache: Cache) -> None:
    """Though another manager has run it before."""
    part = Command(["echo", "part"])
    made = Later(1, shared_folder=cache)
    made.parts = [part]
    made.task_descriptors.append(Command(["cat", part]))

    made.run()

    assert [(2, part), (1, Command(["cat", part]))] == sorted(
        ((record.number, record.descriptor) for record in made.finished), key=lambda pair: -pair[0]
    )


def test_the_content_of_inputs_counts_there(cache: Cache, tmp_path: Path) -> None:
    """As in any graph."""
    file = tmp_path / "file"
    here = []
    for text in ("one", "one", "two"):
        file.write_text(text)
        made = manager(cache, Command(["cat", InputFile(file)]))
        made.run()
        here += [record.here for record in made.finished]

    assert [True, False, True] == here


class Looking(TaskManager):
    """Looks at its slots when one of two commands has ended, and the other one runs."""

    seen: list[int] = []

    def update_task_descriptors(self) -> None:
        if len(self.finished) == 1 and not self.seen:
            told, gate = self.finished[0].descriptor[1:]  # type: ignore[index]
            Path(told).read_text()  # it runs; who has started it may be about to say so
            until = time.monotonic() + limit(20)
            while not any(self.procs) and time.monotonic() < until:
                pass
            self.seen = [sum(proc is not None for proc in self.procs)]
            Path(gate).write_text("")


def test_its_slots_show_what_runs(tmp_path: Path, cache: Cache) -> None:
    """As without a folder."""
    told, gate = str(tmp_path / "told"), str(tmp_path / "gate")
    os.mkfifo(told)
    os.mkfifo(gate)
    made = Looking(2, shared_folder=cache)
    made.task_descriptors += [["true", told, gate], ["sh", "-c", 'echo > "$0"; cat "$1"', told, gate]]

    made.run()

    assert ([1], [None, None], 2) == (made.seen, made.procs, len(made.finished))
