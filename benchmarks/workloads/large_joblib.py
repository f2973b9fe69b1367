"""COUNT MB in one result, by joblib's Memory, which neither hashes nor flushes: see large.py."""
import json
import sys
import time
from pathlib import Path

import numpy as np
from joblib import Memory

memory = Memory(sys.argv[3], verbose=0)
made = []


@memory.cache
def noise(size):
    start = time.perf_counter()
    array = np.random.default_rng(0).random(size * 1_000_000 // 8)
    made.append(time.perf_counter() - start)
    return array


if __name__ == "__main__":
    how = sys.argv[1]
    start = time.perf_counter()
    array = noise(int(sys.argv[2]))
    seconds = time.perf_counter() - start - sum(made)
    size = sum(path.stat().st_size for path in Path(sys.argv[3]).rglob("*.pkl"))
    told = {"read": seconds, "answer": round(float(array[:1000].sum()), 6)}
    print(json.dumps(told if how == "read" else {"write": seconds, "bytes": size, "answer": 1}))
