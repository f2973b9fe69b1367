"""Bytes that a graph of COUNT tasks takes, built and not run, by stardag: see fan_in.py."""
import gc
import json
import os
import sys

os.environ["STARDAG_TARGET_ROOTS"] = json.dumps({"default": sys.argv[3]})

import stardag  # it reads the variable


class Part(stardag.Task[int]):
    """One number more."""

    x: int

    def run(self):
        self._save(self.x + 1)


class Total(stardag.Task[int]):
    """The sum of them all."""

    parts: tuple[stardag.TaskLoads[int], ...]

    def requires(self):
        return self.parts

    def run(self):
        self._save(sum(part.load() for part in self.parts))


def resident():
    gc.collect()
    with open("/proc/self/status") as lines:
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def graph(numbers):
    root = Total(parts=tuple(Part(x=x) for x in numbers))
    keys = [root.id, *(part.id for part in root.parts)]  # which it makes when they are first asked for
    assert all(keys)
    return root


if __name__ == "__main__":
    graph([-1])
    before = resident()
    root = graph(range(int(sys.argv[2])))
    print(json.dumps({"bytes": resident() - before, "answer": int(isinstance(root, Total))}))
