"""What it costs to note what a task touches: `python observed.py COUNT FOLDER`, processor time, with and without.

Tiny tasks inline (those of W1i), in rounds that take turns, so that a busy machine disturbs both alike; and a second of
pure Python in one task. `tiny` and `second` are the shares that are added, `each` the seconds a tiny task.
"""
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from taskproc import Cache, FutureList, LocalExecutor, Task

ROUNDS = 15


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


def step(x: int) -> int:
    """One of three million calls."""
    return x + 1


class Second(Task):
    """Calls, and nothing else."""

    def __init__(self, number: int):
        self.number = number

    def run_task(self) -> int:
        """Count."""
        x = 0
        for _ in range(10_000_000):
            x = step(x)
        return x


class UnnotedSecond(Second):
    """The same, and nothing is noted."""

    task_observes = False


def taken(task: Any) -> float:
    """Processor time of running it."""
    start = time.process_time()
    task.run_graph(executor=LocalExecutor())
    return time.process_time() - start


def share(noted: list[float], unnoted: list[float]) -> float:
    """What is added, as a fraction, by the least of each."""
    return round(min(noted) / min(unnoted) - 1, 4)


def main(count: int, folder: str) -> dict[str, object]:
    """All of it."""
    with Cache(Path(folder)):
        times: dict[type, list[float]] = {Noted: [], Unnoted: [], Second: [], UnnotedSecond: []}
        for number in range(ROUNDS + 1):
            numbers = list(range(number * count, (number + 1) * count))
            for cls in (Noted, Unnoted) if number % 2 else (Unnoted, Noted):
                times[cls].append(taken(Total(cls, numbers)))
            for kind in (Second, UnnotedSecond) if number < 6 else ():
                times[kind].append(taken(kind(number)))
    noted, unnoted = times[Noted][1:], times[Unnoted][1:]
    each = [(one - other) / count for one, other in zip(noted, unnoted)]
    return {
        "answer": count,
        "tiny": share(noted, unnoted),
        "each": round(statistics.median(each), 8),
        "task": round(statistics.median(unnoted) / count, 7),
        "second": share(times[Second][1:], times[UnnotedSecond][1:]),
    }


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), sys.argv[2])))
