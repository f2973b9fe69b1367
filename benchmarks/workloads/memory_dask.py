"""Bytes that a graph of COUNT tasks takes, built and not run, by dask.delayed: see fan_in.py."""
import gc
import json
import sys

from dask import delayed


def add(x):
    return x + 1


def resident():
    gc.collect()
    with open("/proc/self/status") as lines:
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def graph(numbers):
    return delayed(sum)([delayed(add)(x) for x in numbers])


if __name__ == "__main__":
    graph([-1])
    before = resident()
    root = graph(range(int(sys.argv[2])))
    print(json.dumps({"bytes": resident() - before, "answer": int(root is not None)}))
