"""A sum over COUNT tasks `x + 1`, by taskproc: `python fan_in.py default|inline|clear COUNT FOLDER`.

Each file here is one side of a workload, a program as its users would write it, and prints one line of JSON. `clear`
forgets one of the parts.
"""
import json
import sys
import time

from taskproc import Cache, FutureList, LocalExecutor, Task


class Part(Task):
    """One number more."""

    def __init__(self, x: int):
        self.x = x

    def run_task(self) -> int:
        """Add one."""
        return self.x + 1


class Total(Task):
    """The sum of them all."""

    def __init__(self, count: int):
        self.parts = FutureList([Part(x) for x in range(count)])

    def run_task(self) -> int:
        """Add them up."""
        return sum(self.parts.get_result())


def main(how: str, count: int, folder: str) -> dict[str, float]:
    """Build and run; the answer, how many tasks ran, and the seconds that both took."""
    with Cache(folder):
        if how == "clear":
            Part(count // 2).clear_task()
            return {}
        start = time.perf_counter()
        root = Total(count)
        built = time.perf_counter()
        answer, stats = root.run_graph(executor=LocalExecutor() if how == "inline" else None)
        ended = time.perf_counter()
    return {"answer": answer, "ran": sum(stats["stats"].values()), "build": built - start, "run": ended - built}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
