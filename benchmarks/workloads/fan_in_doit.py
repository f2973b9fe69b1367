"""A sum over COUNT results of `x + 1`, by doit, which keeps them in one database: see fan_in.py."""
import json
import os
import sys
from pathlib import Path

from doit.cmd_base import ModuleTaskLoader
from doit.doit_cmd import DoitMain
from doit.tools import run_once

how, count, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
target = folder / "total"

DOIT_CONFIG = {"dep_file": str(folder / "results"), "backend": "json", "reporter": "zero", "verbosity": 0}


def add(x):
    return {"value": x + 1}


def total(parts):
    answer = sum(parts.values())
    target.write_text(str(answer))
    return {"value": answer}


def task_part():
    for x in range(count):
        yield {"name": str(x), "actions": [(add, [x])], "uptodate": [run_once]}


def task_total():
    return {"actions": [total], "getargs": {"parts": ("part", "value")}, "targets": [str(target)]}


if __name__ == "__main__":
    folder.mkdir(exist_ok=True)
    options = ["-n", str(os.cpu_count())] if how == "default" else []
    status = DoitMain(ModuleTaskLoader(globals())).run(["run", *options, "total"])
    print(json.dumps({"answer": int(target.read_text())}))
    sys.exit(status)
