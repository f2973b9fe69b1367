"""From submit to result in a worker process of a ProcessPoolExecutor, COUNT one after the other: see fan_in.py."""
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor


def main(count: int) -> dict[str, float]:
    """Seconds for all, and how many were done; the worker has started before."""
    with ProcessPoolExecutor(1) as pool:
        pool.submit(int).result()
        start = time.perf_counter()
        done = sum(pool.submit(int, 1).result() for _ in range(count))
        seconds = time.perf_counter() - start
    return {"trips": seconds, "answer": done}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[2]))))
