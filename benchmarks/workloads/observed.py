"""What it costs to note what a task touches: `python observed.py COUNT FOLDER`, with and without, COUNT tasks a round.

Tiny tasks inline (those of W1i), and a second of pure Python in one task. Each side has a process of its own, since a
process that has observed a task keeps its audit hook; their short rounds take turns, so that a busy machine disturbs
both alike. `tiny_…` and `second_…` are the shares that are added: the median over the pairs of rounds, of processor
time (also of the system) and of the time on the clock. `task` and `noted` are the processor seconds of a tiny task
without and with it, by median. Where there is valgrind, `instructions` are those of a tiny task without and with it,
which no other program disturbs: the mean over some seeds of hashes, since each has other collisions.
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from taskproc import Cache, FutureList, LocalExecutor, Task

ROUNDS = 200
SECONDS = 5  # rounds of one second
WARM_UP = 3  # rounds: what is imported with the first is not of interest
SEEDS = "123"
FEW, MANY = 200, 600  # tasks of two runs, whose difference is that of the tasks
VALGRIND = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]


class Noted(Task):
    """One number more."""

    def __init__(self, x: int):
        self.x = x

    def run_task(self) -> int:
        """Add one."""
        return self.x + 1


class Unnoted(Noted):
    """The same, and nothing is noted."""

    task_observes = False


class Total(Task):
    """The sum of them all."""

    def __init__(self, cls: type, numbers: list[int]):
        self.parts = FutureList([cls(x) for x in numbers])

    def run_task(self) -> int:
        """Add them."""
        return sum(self.parts.get_result())


class UnnotedTotal(Total):
    """The same, and nothing is noted, or the process would be one that has."""

    task_observes = False


def step(x: int) -> int:
    """One of thirty million calls."""
    return x + 1


class Second(Task):
    """Calls, and nothing else."""

    def __init__(self, number: int):
        self.number = number

    def run_task(self) -> int:
        """Count."""
        x = 0
        for _ in range(30_000_000):
            x = step(x)
        return x


class UnnotedSecond(Second):
    """The same, and nothing is noted."""

    task_observes = False


Times = tuple[float, float]  # processor, clock
Pairs = list[tuple[Times, Times]]  # of a round with and one without


def taken(task: Any) -> Times:
    """How long it takes to run it."""
    processor, clock = time.process_time(), time.perf_counter()
    task.run_graph(executor=LocalExecutor())
    return time.process_time() - processor, time.perf_counter() - clock


def side(name: str, count: int, folder: Path) -> None:
    """A round for each line that comes in; what it took goes out."""
    kind: Any = {cls.__name__: cls for cls in (Noted, Unnoted, Second, UnnotedSecond)}[name]
    total = Total if kind is Noted else UnnotedTotal
    with Cache(folder):
        for number, _ in enumerate(sys.stdin):
            numbers = list(range(number * count, (number + 1) * count))
            task = kind(number) if issubclass(kind, Second) else total(kind, numbers)
            print(json.dumps(taken(task)), flush=True)


def pairs_of(kinds: tuple[type, type], count: int, folder: Path, rounds: int, warm_up: int) -> Pairs:
    """Times with and without, of rounds that take turns."""
    sides = {kind: started(kind, count, folder) for kind in kinds}
    found = []
    for number in range(warm_up + rounds):
        times = {kind: asked(sides[kind]) for kind in (kinds if number % 2 else kinds[::-1])}
        found.append((times[kinds[0]], times[kinds[1]]))
    for process in sides.values():
        process.communicate()
    return found[warm_up:]


def started(kind: type, count: int, folder: Path) -> subprocess.Popen[str]:
    """The process of one side."""
    pipe = subprocess.PIPE
    words = words_of(kind, count, folder / kind.__name__)
    return subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)


def words_of(kind: type, count: int, folder: Path) -> list[str]:
    """The command of one side."""
    return [sys.executable, __file__, str(count), str(folder), kind.__name__]


def instructions(kind: type, folder: Path) -> int:
    """How many a tiny task takes."""
    return round(statistics.mean(instructions_of_seed(kind, folder / kind.__name__, seed) for seed in SEEDS))


def instructions_of_seed(kind: type, folder: Path, seed: str) -> float:
    """The same, with one seed of the hashes."""
    found = []
    for count in (FEW, MANY):
        words = [*VALGRIND, *words_of(kind, count, folder / f"{seed}-{count}")]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(words, input="\n", capture_output=True, text=True, check=True, env=environment)
        found.append(int(done.stderr.rpartition("Collected : ")[2].split()[0]))
    return (found[1] - found[0]) / (MANY - FEW)


def asked(process: subprocess.Popen[str]) -> Times:
    """What the next round of a side takes."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    processor, clock = json.loads(process.stdout.readline())
    return processor, clock


def share(pairs: Pairs, which: int) -> float:
    """What is added, as a fraction."""
    return round(statistics.median(noted[which] / unnoted[which] for noted, unnoted in pairs) - 1, 4)


def main(count: int, folder: Path) -> dict[str, object]:
    """All of it."""
    tiny = pairs_of((Noted, Unnoted), count, folder, ROUNDS, WARM_UP)
    second = pairs_of((Second, UnnotedSecond), 1, folder, SECONDS, 1)
    counted = [instructions(kind, folder) for kind in (Unnoted, Noted)] if shutil.which("valgrind") else None
    return {
        "answer": count,
        "tiny_cpu": share(tiny, 0),
        "tiny_clock": share(tiny, 1),
        "task": round(statistics.median(unnoted[0] for _, unnoted in tiny) / count, 7),
        "noted": round(statistics.median(noted[0] for noted, _ in tiny) / count, 7),
        "second_cpu": share(second, 0),
        "second_clock": share(second, 1),
        "instructions": counted,
    }


if __name__ == "__main__":
    number, where, *name = sys.argv[1:]
    if name:
        side(name[0], int(number), Path(where))
    else:
        print(json.dumps(main(int(number), Path(where))))
