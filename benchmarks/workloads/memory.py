"""Bytes that a graph of COUNT tasks takes, built and not run, by taskproc: see fan_in.py."""
import gc
import json
import sys

from taskproc import Cache, FutureList, Task


class Part(Task):
    """One number more."""

    def __init__(self, x: int):
        self.x = x

    def run_task(self) -> int:
        """Add one."""
        return self.x + 1


class Total(Task):
    """The sum of them all."""

    def __init__(self, parts: "FutureList[int]"):
        self.parts = parts

    def run_task(self) -> int:
        """Add them up."""
        return sum(self.parts.get_result())


def resident() -> int:
    """Bytes of this process that are in memory."""
    gc.collect()
    with open("/proc/self/status") as lines:
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def main(count: int, folder: str) -> dict[str, int]:
    """The growth, once all that is needed was loaded and used once."""
    with Cache(folder):
        Total(FutureList([Part(-1)]))
        before = resident()
        root = Total(FutureList([Part(x) for x in range(count)]))
        after = resident()
    return {"bytes": after - before, "answer": int(isinstance(root, Total))}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[2]), sys.argv[3])))
