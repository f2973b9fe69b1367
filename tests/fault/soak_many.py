"""What takes minutes of many processes on one cache: figures for F5 and F6 of the table of faults."""
from __future__ import annotations

import os
import random
import signal
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from taskproc import Cache, LocalExecutor
from taskproc.store import marks
from taskproc.store.check import check
from taskproc.store.disk import DiskStore
from tests.fault import hosts, many
from tests.fault.many import Crowd, Told, Whole, expected, note
from tests.fault.rows import Row, row_of, say

LEASE = 1.0  # of the emulated hosts, seconds; they beat five times in it
PIECES = 25  # of a batch
HOSTS = {"east": (-3600.0, 0.0), "west": (3600.0, 0.0), "north": (0.0, 0.5), "south": (0.0, 1.0)}


def rows(minutes: float = 3.0) -> list[Row]:
    """F5 and F6, from three minutes on in full size."""
    share = min(1.0, minutes / 3.0)
    parts: list[Callable[[Path, float], list[Row]]] = [_crowd, _waiting, _deaths, _far_death, _chaos, _sshfs]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for part in parts:
            found += part(Path(folder, part.__name__), share)
    return found


def _crowd(folder: Path, share: float) -> list[Row]:
    """Eight processes, fifty rounds."""
    count, rounds, pieces = 8, max(3, round(50 * share)), 3
    crowd = Crowd(folder)
    barrier = many.processes.Barrier(count)
    for number in range(count):
        crowd.start(f"p{number}", many.run_rounds, rounds, pieces, barrier, None)
    errors = crowd.join(seconds=10 * many.SECONDS)
    wrong = [line for line in crowd.lines("answer") if line[2] != "right"]
    missing = count * rounds - len(crowd.lines("answer"))
    executions, tasks = sum(crowd.executions().values()), rounds * (pieces + 1)
    text = f"{count} x {rounds} rounds: {len(errors) + len(wrong) + missing} errors, {executions} runs of {tasks} tasks"
    sound = not errors + wrong and not missing and executions == tasks
    return [("F5", "many processes begin one graph at once", "0 errors, executions == tasks", text, sound)]


def _wait_for_it(cache: Path, seconds: float) -> None:
    """Wait for a task that somebody else is running; note how long behind his commit and at what cost."""
    many.run_piece(cache, "", seconds=seconds)
    place = next(cache.glob("*/results/*"))
    (result,) = place.glob("result.*")
    note("behind", time.time() - result.stat().st_ctime)


def _waiting(folder: Path, share: float) -> list[Row]:
    """One runs, one waits: for how long after the commit, and how busy."""
    behind, busy = [], []
    for number in range(max(3, round(15 * share))):
        crowd, seconds = Crowd(folder / str(number)), 1.0 + 0.05 * number
        crowd.start("holder", many.run_piece, "", "", 10.0, None, seconds)
        crowd.wait_for("start")
        crowd.start("waiter", _wait_for_it, seconds)
        assert [] == crowd.join()
        behind.append(float(crowd.lines("behind")[0][1]))
        looks = crowd.lines("event", "elsewhere")
        wall, cpu = (float(looks[-1][at]) - float(looks[0][at]) for at in (3, 4))
        busy.append(cpu / wall)
    late = f"{statistics.median(behind):.2f} s, at most {max(behind):.2f} s"
    return [
        ("F5", "one runs, one waits for it", "done 0.2 s after the commit, and the look", late, max(behind) <= 0.25),
        ("F5", "the same", "waiting uses less than 2 % of a processor", f"{100 * max(busy):.1f} %", max(busy) < 0.02),
    ]


def _take_over(folder: Path, host: str, other: str, lease: float) -> float:
    """Seconds from a SIGKILL until somebody who waited runs the task."""
    crowd = Crowd(folder)
    gate = str(folder / "gate")
    victim = crowd.start("victim", many.run_piece, gate, host, lease)
    crowd.wait_for("start")
    crowd.start("heir", many.run_piece, gate, other, lease)
    crowd.wait_for("event", "elsewhere")
    os.kill(victim.pid, signal.SIGKILL)
    killed = time.time()
    Path(gate).touch()
    crowd.join("victim")
    assert [] == crowd.join("heir")
    return max(float(line[3]) for line in crowd.lines("start")) - killed


def _deaths(folder: Path, share: float) -> list[Row]:
    """Killed on one host."""
    took = [_take_over(folder / str(number), "", "", 10.0) for number in range(max(3, round(20 * share)))]
    text = f"{statistics.median(took):.2f} s, at most {max(took):.2f} s ({len(took)} kills)"
    return [("F5", "the one who runs is killed", "take-over within a second on one host", text, max(took) <= 1.0)]


def _far_death(folder: Path, share: float) -> list[Row]:
    """Killed on another host, with the lease that users have."""
    took = _take_over(folder, "there", "here", marks.LEASE)
    most = marks.LEASE + 2 * marks.BEAT_EVERY
    required = f"take-over within the lease and two beats ({most:.0f} s)"
    return [("F6", "the one who runs is killed on another host", required, f"{took:.1f} s", took <= most)]


def _be_host(cache: Path, name: str, batch: int, seed: int) -> None:
    """Run a batch on a host of that name."""
    shift, delay = HOSTS[name]
    many.be(name, shift, delay)
    marks.LEASE, marks.BEAT_EVERY = LEASE, LEASE / 5
    seconds = random.Random(batch).choice([0.02, 0.05, 0.1])
    note("began", batch, seed)
    with Cache(cache):
        task = Whole(batch, PIECES, seconds)
    value, _ = task.run_graph(executor=LocalExecutor(), watchers=[Told()])
    note("answer", batch, "right" if value == expected(batch, PIECES) else f"wrong:{value}")


class _Chaos:
    """Hosts that run one batch after the other, and somebody who kills and stops them."""

    def __init__(self, folder: Path, seed: int):
        self.crowd = Crowd(folder)
        self.random = random.Random(seed)
        self.started = self.kills = self.pauses = self.hangs = self.batches = 0
        self.living: dict[str, Any] = {}
        self.asleep: dict[str, float] = {}  # host → when it is woken
        self.errors: list[str] = []

    def run(self, kills: int, pauses: int, batches: int) -> None:
        while (self.kills, self.pauses) < (kills, 0) or self.pauses < pauses or self.batches < batches:
            self.batch(kills, pauses)

    def batch(self, kills: int, pauses: int) -> None:
        """Until all hosts have the answer. At most one in two is stopped at a time."""
        self.batches += 1
        until = time.monotonic() + 3 * many.SECONDS
        waiting = set(HOSTS)
        while waiting:
            if time.monotonic() > until:
                self.hangs += 1
                break
            for host in sorted(waiting):
                if host not in self.living:
                    self.start(host)
                elif (code := self.living[host].exitcode) is not None:
                    del self.living[host]
                    if code == 0:
                        waiting.discard(host)
                    elif code != -signal.SIGKILL:
                        self.errors.append(f"{host} ended with {code}")
            self.wake()
            if self.random.random() < 0.3:
                self.strike(sorted(waiting & set(self.living)), kills, pauses)
            time.sleep(0.05)
        for host in list(self.living):
            self.living.pop(host).kill()
        self.asleep.clear()

    def start(self, host: str) -> None:
        self.started += 1
        arguments = (host, self.batches, self.started)
        self.living[host] = self.crowd.start(f"{host}{self.started}", _be_host, *arguments)

    def wake(self) -> None:
        for host, when in list(self.asleep.items()):
            if time.monotonic() > when:
                os.kill(self.living[host].pid, signal.SIGCONT)
                del self.asleep[host]

    def strike(self, hosts: list[str], kills: int, pauses: int) -> None:
        """Kill a host, or stop it for longer than the lease."""
        awake = [host for host in hosts if host not in self.asleep and self.living[host].exitcode is None]
        if len(awake) < 2:
            return
        host = self.random.choice(awake)
        if self.random.random() < 0.6 and self.kills < kills:
            os.kill(self.living[host].pid, signal.SIGKILL)
            self.living[host].join(many.SECONDS)
            self.kills += 1
        elif self.pauses < pauses:
            os.kill(self.living[host].pid, signal.SIGSTOP)
            self.asleep[host] = time.monotonic() + LEASE * self.random.uniform(1.3, 2.0)
            self.pauses += 1


def _chaos(folder: Path, share: float) -> list[Row]:
    """Four hosts with clocks an hour apart and late listings, killed and stopped at random."""
    seed = random.randrange(10**6)
    chaos = _Chaos(folder, seed)
    chaos.run(max(5, round(100 * share)), max(3, round(40 * share)), max(2, round(10 * share)))
    crowd = chaos.crowd
    chaos.errors += [" ".join(line) for line in crowd.lines("error")]
    crowd.close()
    wrong = [line for line in crowd.lines("answer") if line[2] != "right"]
    tasks = chaos.batches * (PIECES + 1)
    versions = crowd.versions().values()
    missing, double = tasks - sum(count > 0 for count in versions), sum(count > 1 for count in versions)
    bad = [fault for fault in check(DiskStore(str(crowd.cache))) if fault.kind == "damaged"]
    executions = sum(crowd.executions().values())
    text = (
        f"{tasks} tasks, {chaos.kills} kills, {chaos.pauses} pauses: {missing} missing, {len(bad) + len(wrong)} bad, "
        f"{double} double commits, {chaos.hangs} hangs, {len(chaos.errors)} errors, {executions} runs (seed {seed})"
    )
    for error in chaos.errors[:5] + [str(fault) for fault in bad[:5]]:
        print(error)
    sound = not (missing or bad or wrong or double or chaos.hangs or chaos.errors)
    done = "runs on several hosts are killed, paused and cleared at random"
    return [("F6", done, "0 missing, 0 bad, 0 double commits, 0 hangs", text, sound)]


def _sshfs(folder: Path, share: float) -> list[Row]:
    """Two hosts on two mounts of a real network file system, of which one is killed each time."""
    done = "two hosts on two mounts of sshfs run one graph, and one is killed and begins again"
    required = "20 rounds: 0 wrong, 0 double commits, nothing published done twice, 0 hangs"
    if why := hosts.refusal():
        return [("F6", done, required, f"not run: {why}", False)]
    seed, count, faults = random.randrange(10**6), max(2, round(20 * share)), []
    luck = random.Random(seed)
    for kind, options in enumerate((hosts.WITHOUT_CACHES, hosts.WITH_CACHES)):
        folder.mkdir(exist_ok=True)
        shared = hosts.Shared(folder / str(kind), options)
        try:
            for batch in range(count // 2):
                say("sshfs", kind, batch)
                faults += hosts.deaths(shared, batch, PIECES, luck)
            faults += shared.faults()
        finally:
            shared.close()
    return [row_of("F6", done, required, faults, f"{2 * (count // 2)} rounds, half with its caches (seed {seed})")]
