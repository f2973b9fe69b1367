"""A map of `x * x` by an executor of loky (as joblib has it), in chunks of 100: see map.py."""
import json
import sys
import time

from joblib.externals.loky import get_reusable_executor

WORKERS = 2


def square(x):
    return x * x


def main(how, count):
    start = time.perf_counter()
    executor = get_reusable_executor(WORKERS)
    total = sum(executor.map(square, range(count), chunksize=100))
    executor.shutdown()
    return {"answer": total, "map": time.perf_counter() - start}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
