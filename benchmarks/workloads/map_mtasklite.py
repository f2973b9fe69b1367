"""A map of `x * x` by mtasklite: see map.py."""
import json
import sys
import time

from mtasklite import Pool

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


def endless(count):
    numbers, total, before = Numbers(), 0, 0
    with Pool(square, WORKERS)(numbers) as values:
        for given, value in enumerate(values, 1):
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
    with Pool(square, WORKERS, is_unordered="unordered" in how, use_threads="threads" in how)(range(count)) as values:
        total = sum(values)
    return {"answer": total, "map": time.perf_counter() - start}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
