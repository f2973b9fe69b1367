"""A map of `x * x` by the standard library, in chunks of 100: see map.py."""
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import Pool
from multiprocessing.pool import ThreadPool

WORKERS = 2


def square(x: int) -> int:
    """What there is to do."""
    return x * x


def main(how: str, count: int) -> dict[str, float]:
    """The sum of all, and the seconds that the map took."""
    start = time.perf_counter()
    if how == "processes":
        with ProcessPoolExecutor(WORKERS) as executor:
            total = sum(executor.map(square, range(count), chunksize=100))
    else:
        with ThreadPool(WORKERS) if "threads" in how else Pool(WORKERS) as pool:
            take = pool.imap_unordered if "unordered" in how else pool.imap
            total = sum(take(square, range(count), 100))
    return {"answer": total, "map": time.perf_counter() - start}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
