"""Processes of maps that die, hang or are left: one item is lost, and nothing outlives its map."""
from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from workers import Counter, Fatal, dies_always, dies_once, leaves_pid, sleeps, square

from taskproc import Pool, TaskTimeout, WorkerDied
from tests.gone import is_gone
from tests.pace import limit

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")]


@pytest.mark.parametrize("chunk_size", [1, 4, 100])
def test_the_killer_is_named_and_all_others_have_values(chunk_size: int) -> None:
    """It killed two workers; its neighbours in the chunk are done by others."""
    values = list(Pool(dies_always, 2, exception_behaviour="ignore", chunk_size=chunk_size)(range(10)))

    assert [x for x in range(10) if x != 3] == [value for value in values if isinstance(value, int)]
    assert isinstance(values[3], WorkerDied)
    assert "SIGKILL" in str(values[3])


def test_an_item_that_kills_once_has_its_value(tmp_path: Path) -> None:
    """It is tried once more, in a new worker; items that had ended long before are not repeated."""
    values = list(Pool(dies_once, 1, chunk_size=8)((x, str(tmp_path)) for x in range(8)))

    calls = [int(line) for line in (tmp_path / "calls").read_text().split()]
    assert [*range(8)] == values
    assert 2 == calls.count(3)
    assert [1] * 4 == [calls.count(x) for x in range(4, 8)]


def test_what_was_told_before_a_death_is_not_done_again(tmp_path: Path) -> None:
    """Once values have been reported, their items are not begun again."""

    def slow_then_dies(x: int) -> int:
        with open(tmp_path / "calls", "a") as file:
            file.write(f"{x}\n")
        if x == 2:
            os._exit(1)
        time.sleep(0.03)
        return x

    values = list(Pool(slow_then_dies, 1, exception_behaviour="ignore", chunk_size=4)(range(4)))

    assert [0, 1, 3] == [value for value in values if isinstance(value, int)]
    assert ["0", "1", "2", "2", "3"] == sorted((tmp_path / "calls").read_text().split())


def test_a_new_worker_makes_its_object_again(tmp_path: Path) -> None:
    """Its state is lost with the process: its own count starts again."""
    made = tmp_path / "made"
    with Pool(Counter("x", str(made)), 1)(iter(range(10**9))) as values:
        first = next(values)
        os.kill(int(made.read_text().split()[1]), signal.SIGKILL)
        again = next(x for _, x, count in values if count == 1)

    assert ("x", 0, 1) == first
    assert 2 == len({line.split()[1] for line in made.read_text().splitlines()})
    assert again > 0


def test_an_item_that_takes_too_long_is_killed() -> None:
    """Twice, then it has failed; all others have their values."""
    values = list(Pool(sleeps, 2, task_timeout=0.5, exception_behaviour="ignore")([0, 60, 0.01, 0]))

    assert [0, 0.01, 0] == [values[0], *values[2:]]
    assert isinstance(values[1], TaskTimeout)
    assert "timed out after 0.5 s" == str(values[1])


def test_small_items_together_may_take_longer_than_the_timeout() -> None:
    """The clock is that of an item, not that of a chunk: no process is killed."""

    def sleeps_here(seconds: float) -> int:
        time.sleep(seconds)
        return os.getpid()

    assert 1 == len(set(Pool(sleeps_here, 1, task_timeout=1, chunk_size=25)([0.06] * 25)))


def test_an_object_that_kills_its_process_ends_the_map() -> None:
    """After a second try; it is no item's fault."""
    with pytest.raises(WorkerDied, match="worker 0 died 2 times before it had begun an item.*code 9"):
        list(Pool(Fatal(), 1, exception_behaviour="ignore")(range(3)))


def pid_in(file: Path) -> int:
    """That which a worker has written there."""
    while not (file.exists() and file.read_text()):
        time.sleep(0.01)
    return int(file.read_text())


@pytest.mark.parametrize("way", ["del", "cycle", "close"])
def test_who_cannot_ask_any_more_has_no_workers(tmp_path: Path, way: str) -> None:
    """A map that nobody holds is over, also while its workers are busy."""
    file = tmp_path / "pid"
    results = Pool(leaves_pid, 2)(["", str(file)])
    next(results)
    pid = pid_in(file)

    if way == "close":
        results.close()
    elif way == "cycle":
        results.itself = results  # type: ignore[attr-defined]
        del results
        gc.collect()
    else:
        del results

    assert is_gone(pid)


SCRIPT = """
import os, signal, sys, time
from taskproc import Pool

def leave(item):
    with open(item, "w") as file:
        file.write(str(os.getpid()))
    signal.pause()

def quick(x):
    return x

class Thing:
    def __init__(self, x): self.x = x

def thing(x):
    return Thing(x.x + 1)

print("runs", flush=True)
"""


def run(tmp_path: Path, environ: dict[str, str], text: str) -> subprocess.Popen[str]:
    """A script without a guard."""
    (tmp_path / "script.py").write_text(SCRIPT + text)
    return subprocess.Popen([sys.executable, "script.py"], cwd=tmp_path, env=environ, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_an_interrupted_program_leaves_no_worker(tmp_path: Path, environ: dict[str, str]) -> None:
    """Ctrl-C falls into the wait for a value, and ends the map as any exception does."""
    process = run(tmp_path, environ, "list(Pool(leave, 2)(['pid']))")
    worker = pid_in(tmp_path / "pid")

    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=limit(60))

    assert "KeyboardInterrupt" in errors
    assert is_gone(worker)


def test_a_killed_program_leaves_no_worker(tmp_path: Path, environ: dict[str, str]) -> None:
    """Nobody is left to end it but itself."""
    process = run(tmp_path, environ, "list(Pool(leave, 2)(['pid']))")
    worker = pid_in(tmp_path / "pid")

    process.kill()
    process.communicate(timeout=limit(60))

    assert is_gone(worker)


def test_a_program_may_end_in_the_middle_of_a_map(tmp_path: Path, environ: dict[str, str]) -> None:
    """In processes and in threads, that are held by the module, which ends late."""
    process = run(tmp_path, environ, """
import itertools
one, two = Pool(quick, 2)(itertools.count()), Pool(quick, 2, use_threads=True)(itertools.count())
three, four = Pool(leave, 2)(["pid"] * 9), Pool(time.sleep, 2, use_threads=True)([0, 1000])
print(next(one), next(two), next(four))
os.environ["X"] = "1"
import threading
threading.Thread(target=lambda: next(three), daemon=True).start()
while not os.path.exists("pid") or not open("pid").read(): time.sleep(0.01)
""")

    out, errors = process.communicate(timeout=limit(60))

    assert ("runs\n0 0 None\n", 0) == (out, process.returncode), errors
    assert is_gone(pid_in(tmp_path / "pid"))


def test_a_script_without_a_guard(script: Callable[..., str]) -> None:
    """Its functions and classes travel by value, so it is not run again; values are instances of its own classes."""
    out = script(SCRIPT + "print([type(each) is Thing and each.x for each in Pool(thing, 2)(map(Thing, range(3)))])")

    assert "runs\n[1, 2, 3]\n" == out


def test_an_endless_input_needs_no_more_memory() -> None:
    """A map keeps no references to its items and values."""
    import tracemalloc

    with Pool(square, 2)(iter(range(10**9))) as values:
        for value in values:
            if value == 20_000**2:
                tracemalloc.start()
            if value == 25_000**2:
                before = tracemalloc.get_traced_memory()[0]
            if value == 60_000**2:
                break
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()

    assert grown < 500_000
