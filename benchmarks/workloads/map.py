"""A map of `x * x` over COUNT items, in chunks of our choosing, and over an endless input: see fan_in.py.

HOW is `processes`, `threads`, either with ` unordered`, or `endless`: then COUNT values are taken, the taker rests for
a second, and what is told is how many items were read that it had not been given, and by how many bytes memory grew in
all between the first tenth and the end.
"""
import json
import sys
import time
from collections.abc import Iterator

from taskproc.maps.map_pool import Pool

WORKERS = 2


def square(x: int) -> int:
    """What there is to do."""
    return x * x


class Numbers:
    """An input without an end, which counts what was read of it."""

    def __init__(self) -> None:
        self.read = 0

    def __iter__(self) -> Iterator[int]:
        while True:
            self.read += 1
            yield self.read - 1


def memory() -> int:
    """Of this process now, in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def endless(count: int) -> dict[str, int]:
    """How far it reads ahead, and how memory grows."""
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


def main(how: str, count: int, folder: str = "") -> dict[str, float]:
    """The sum of all, and the seconds that the map took, with the start and the end of its workers."""
    if how == "endless":
        return {**endless(count)}
    start = time.perf_counter()
    pool = Pool(square, WORKERS, is_unordered="unordered" in how, use_threads="threads" in how)
    total = sum(pool(range(count)))
    return {"answer": total, "map": time.perf_counter() - start}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
