"""Choose(COUNT, COUNT / 2) by Pascal's rule, by joblib's Memory, row by row: see fan_in.py."""
import json
import sys

from joblib import Memory

memory = Memory(sys.argv[3], verbose=0)


@memory.cache
def choose(n, k, left, right):
    return left + right


if __name__ == "__main__":
    count = int(sys.argv[2])
    row = {}
    for n in range(1, count + 1):
        least, most = max(0, n - count + count // 2), min(n, count // 2)
        row = {k: choose(n, k, row[k - 1], row[k]) if 0 < k < n else choose(n, k, 0, 1)
               for k in range(least, most + 1)}
    print(json.dumps({"answer": row[count // 2]}))
