"""Several processes and hosts on one cache: all get the right answer, and nothing is done twice without a reason."""
from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taskproc import Cache, LocalExecutor
from taskproc.store import claims
from taskproc.store.check import check
from taskproc.store.disk import DiskStore
from taskproc.store.marks import LEASE
from tests.fault import many
from tests.fault.many import Crowd, Piece, Told, Whole, note

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="forks, and sends signals"),
]


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Crowd]:
    """Processes on a new cache; what they leave there is sound, and of each task there is one version."""
    crowd = Crowd(tmp_path)
    yield crowd
    crowd.close()
    assert {1} == set(crowd.versions().values())
    assert [] == [found for found in check(DiskStore(str(crowd.cache))) if found.kind == "damaged"]


def wrong(crowd: Crowd) -> list[list[str]]:
    return [line for line in crowd.lines("answer") if line[2] != "right"]


@pytest.mark.parametrize("count", [2, 4])
def test_everything_is_done_once(crowd: Crowd, count: int) -> None:
    """All begin each of three rounds together; everybody gets the right answer, every task is run by one."""
    barrier = many.processes.Barrier(count)
    for number in range(count):
        crowd.start(f"p{number}", many.run_rounds, 3, 3, barrier, None)

    assert [] == crowd.join()
    assert (3 * count, []) == (len(crowd.lines("answer")), wrong(crowd))
    assert {f"{batch}.{piece}": 1 for batch in range(3) for piece in (0, 1, 2, "sum")} == crowd.executions()


def test_hosts_whose_clocks_and_listings_differ(crowd: Crowd) -> None:
    """The same on three hosts, an hour apart, that see a folder as it was half a second ago."""
    hosts = [("one", -3600.0, 0.5), ("two", 3600.0, 0.5), ("three", 0.0, 0.0)]
    barrier = many.processes.Barrier(len(hosts))
    for host in hosts:
        crowd.start(host[0], many.run_rounds, 2, 2, barrier, host)

    assert [] == crowd.join()
    assert (2 * len(hosts), []) == (len(crowd.lines("answer")), wrong(crowd))
    assert {f"{batch}.{piece}": 1 for batch in range(2) for piece in (0, 1, "sum")} == crowd.executions()


def wait_and_count(cache: Path, gate: str) -> None:
    """Wait for somebody else's task; note how many operations each look took. The third one opens the gate."""
    operations = many.Operations()

    def deed(kind: str, name: str, count: int) -> None:
        if kind == "elsewhere":
            note("look", *operations.taken())
            if count == 3:
                Path(gate).touch()

    many.nobody_is_slow()
    many.run_piece(cache, gate, deed=deed)


def test_waiting_costs_little(crowd: Crowd, tmp_path: Path) -> None:
    """A look every fifth of a second, of a few operations."""
    gate = str(tmp_path / "gate")
    crowd.start("holder", many.run_piece, gate)
    crowd.wait_for("start")
    crowd.start("waiter", wait_and_count, gate)

    assert [] == crowd.join()
    assert (2, []) == (len(crowd.lines("answer")), wrong(crowd))
    assert {"7.7": 1} == crowd.executions()
    looks = [tuple(map(float, line[1:])) for line in crowd.lines("look")]
    assert all(after[1] - before[2] >= 0.2 for before, after in zip(looks, looks[1:]))  # from the end to the next start
    assert max(count for count, _, _ in looks[1:]) <= 20


def kill_and_wait(cache: Path, gate: str, pid: int) -> None:
    """Wait for somebody else's task; at the second look kill him. Then the gate is open."""

    def deed(kind: str, name: str, count: int) -> None:
        if (kind, count) == ("elsewhere", 2):
            os.kill(pid, signal.SIGKILL)
            while not many.is_gone(pid):
                time.sleep(0.001)
            Path(gate).touch()

    many.run_piece(cache, gate, deed=deed)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="a process is seen to be gone by /proc")
def test_the_dead_are_outlived_at_the_next_look(crowd: Crowd, tmp_path: Path) -> None:
    """On one host a killed process is known to be dead at once: whoever waits for it takes over when he looks next."""
    gate = str(tmp_path / "gate")
    crowd.start("victim", many.run_piece, gate)
    pid = int(crowd.wait_for("start")[2])
    crowd.start("heir", kill_and_wait, gate, pid)

    assert [f"victim: {-signal.SIGKILL}"] == crowd.join()
    assert [["answer", "7", "right"]] == crowd.lines("answer")
    assert {"7.7": 2} == crowd.executions()
    assert 2 == len(crowd.lines("event", "elsewhere"))


def open_at_second_look(cache: Path, gate: str) -> None:
    """Wait for somebody else's task, and let it go on at the second look."""

    def deed(kind: str, name: str, count: int) -> None:
        if (kind, count) == ("elsewhere", 2):
            Path(gate).touch()

    many.nobody_is_slow()
    many.run_piece(cache, gate, deed=deed)


UNSHARE = ["unshare", "--map-root-user", "--pid", "--fork", "--kill-child=SIGKILL", "--uts", "--mount-proc"]


def has_containers() -> bool:
    return bool(shutil.which("unshare")) and not subprocess.run([*UNSHARE, "true"], capture_output=True).returncode


@pytest.mark.skipif(not has_containers(), reason="no namespaces here")
@pytest.mark.parametrize("dies", [True, False])
def test_containers(crowd: Crowd, tmp_path: Path, dies: bool) -> None:
    """A process in namespaces of its own, whose pid is somebody else's here: waited for, and outlived by its beat."""
    gate = str(tmp_path / "gate")
    call = f"from tests.fault import many; many.run_piece({str(crowd.cache)!r}, {gate!r})"
    environ = {**os.environ, many.JOURNAL: str(crowd.journals / "container"), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [*UNSHARE, "sh", "-c", 'hostname inside; exec "$0" -c "$1"', sys.executable, call]
    container = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        assert crowd.wait_for("start")[2] == "1"
        if not dies:
            crowd.start("neighbour", open_at_second_look, gate)
            said = container.communicate(timeout=many.SECONDS)[0]
    finally:
        container.kill()
    if dies:
        said = container.communicate(timeout=many.SECONDS)[0]  # all that hold the pipe have ended, or are about to
        Path(gate).touch()
        crowd.start("neighbour", many.run_piece, gate)

    assert [] == crowd.join()
    looks = len(crowd.lines("event", "elsewhere"))
    assert b"" == said
    assert looks > LEASE if dies else looks == 2  # some a second, for as long as the beat may stand still
    assert {"7.7": 2 if dies else 1} == crowd.executions()
    assert (1 if dies else 2, []) == (len(crowd.lines("answer")), wrong(crowd))


def test_one_that_slept_publishes_nothing(crowd: Crowd, tmp_path: Path) -> None:
    """A holder on another host is stopped for longer than the lease: his task is run again, and committed once."""
    gate = str(tmp_path / "gate")
    sleeper = crowd.start("sleeper", many.run_piece, gate, "there", 0.5)
    crowd.wait_for("start")
    os.kill(sleeper.pid, signal.SIGSTOP)
    Path(gate).touch()
    crowd.start("heir", many.run_piece, gate, "here", 0.5)
    faults = crowd.join("heir")
    before = [path.read_bytes() for path in crowd.cache.rglob("result.*")]
    os.kill(sleeper.pid, signal.SIGCONT)

    assert [] == faults + crowd.join()
    assert before == [path.read_bytes() for path in crowd.cache.rglob("result.*")]
    assert {"7.7": 2} == crowd.executions()
    assert (2, []) == (len(crowd.lines("answer")), wrong(crowd))
    assert crowd.lines("event", "elsewhere")


def run_and_ask(cache: Path, connection: Any) -> None:
    """Run a graph; before the first piece and before the sum is run, somebody else is asked to clear."""

    def deed(kind: str, name: str, count: int) -> None:
        if (kind, count) == ("started", 1):
            connection.send(name)
            assert connection.recv() == "cleared"

    many.nobody_is_slow()
    claims.TINY_PAYLOAD = 0  # so that the sum reads files; else it has what the pieces gave
    many.run_round(cache, 1, 3, watcher=Told(deed))
    connection.send("")


def clear_when_asked(cache: Path, connection: Any) -> None:
    """Forget all pieces whenever somebody else begins something."""
    many.nobody_is_slow()
    while connection.recv():
        with Cache(cache):
            Piece.clear_all_tasks()
        note("cleared")
        connection.send("cleared")


def test_clearing_while_others_run(crowd: Crowd) -> None:
    """What is cleared under a run is computed again in it; the answers are right, and nothing stays behind."""
    runner, clearer = many.processes.Pipe()
    crowd.start("runner", run_and_ask, runner)
    crowd.start("clearer", clear_when_asked, clearer)

    assert [] == crowd.join()
    assert (2, [["answer", "1", "right"]]) == (len(crowd.lines("cleared")), crowd.lines("answer"))
    assert {"1.0": 2, "1.1": 2, "1.2": 2} == {key: n for key, n in crowd.executions().items() if key != "1.sum"}


def test_clearing_what_runs(crowd: Crowd, tmp_path: Path) -> None:
    """A task that is cleared while it runs publishes nothing of that; it is run again."""
    gate = str(tmp_path / "gate")
    crowd.start("runner", many.run_piece, gate)
    crowd.wait_for("start")
    with Cache(crowd.cache):
        Piece(7, 7, 0.0, gate).clear_task()
    Path(gate).touch()

    assert [] == crowd.join()
    assert [["answer", "7", "right"]] == crowd.lines("answer")
    assert {"7.7": 2} == crowd.executions()


def test_what_a_crowd_left_is_fresh(crowd: Crowd) -> None:
    """Whoever comes later runs nothing."""
    barrier = many.processes.Barrier(2)
    for number in range(2):
        crowd.start(f"p{number}", many.run_rounds, 1, 2, barrier, None)
    assert [] == crowd.join()
    with Cache(crowd.cache):
        value, stats = Whole(0, 2).run_graph(executor=LocalExecutor())

    assert (many.expected(0, 2), {}) == (value, stats["stats"])
