"""A sum over COUNT results of `x + 1`, by pipefunc with a file for each: see fan_in.py."""
import json
import sys

from pipefunc import Pipeline, pipefunc


@pipefunc(output_name="part", mapspec="x[i] -> part[i]")
def add(x):
    return x + 1


@pipefunc(output_name="total")
def total(part):
    return int(sum(part))


if __name__ == "__main__":
    how, count, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    results = Pipeline([add, total]).map(
        {"x": range(count)}, run_folder=folder, storage="file_array", resume=True, parallel=how == "default")
    print(json.dumps({"answer": results["total"].output}))
