"""A sum over COUNT results of `x + 1`, by joblib's Memory and Parallel: see fan_in.py."""
import json
import sys

from joblib import Memory, Parallel, delayed

memory = Memory(sys.argv[3], verbose=0)


@memory.cache
def add(x):
    return x + 1


@memory.cache
def total(parts):
    return sum(parts)


if __name__ == "__main__":
    how, count = sys.argv[1], int(sys.argv[2])
    parts = Parallel(n_jobs=-1 if how == "default" else 1)(delayed(add)(x) for x in range(count))
    print(json.dumps({"answer": total(parts)}))
