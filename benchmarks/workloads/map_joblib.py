"""A map of `x * x` by joblib: see map.py."""
import json
import sys
import time

from joblib import Parallel, delayed

WORKERS = 2


def square(x):
    return x * x


class Numbers:
    """An input without an end."""

    def __init__(self):
        self.read = 0

    def __iter__(self):
        while True:
            self.read += 1
            yield self.read - 1


def memory():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def mapped(how, items):
    parallel = Parallel(
        WORKERS,
        return_as="generator_unordered" if "unordered" in how else "generator",
        backend="threading" if "threads" in how else "loky",
    )
    return parallel(delayed(square)(x) for x in items)


def endless(count):
    numbers, total, before = Numbers(), 0, 0
    for given, value in enumerate(mapped("processes", numbers), 1):
        total += value
        if given == count // 10:
            before = memory()
        if given == count:
            time.sleep(1)
            return {"answer": total, "ahead": numbers.read - given, "grown": max(0, memory() - before)}
    raise AssertionError("it has ended")


def main(how, count):
    if how == "endless":
        return endless(count)
    start = time.perf_counter()
    total = sum(mapped(how, range(count)))
    return {"answer": total, "map": time.perf_counter() - start}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
