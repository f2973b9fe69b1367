"""Choose(COUNT, COUNT / 2) by Pascal's rule, by doit, one by one: see fan_in.py."""
import json
import sys
from pathlib import Path

from doit.cmd_base import ModuleTaskLoader
from doit.doit_cmd import DoitMain
from doit.tools import run_once

count, folder = int(sys.argv[2]), Path(sys.argv[3])
target = folder / "last"

DOIT_CONFIG = {"dep_file": str(folder / "results"), "backend": "json", "reporter": "zero", "verbosity": 0}


def add(left=0, right=1):
    return {"value": left + right}


def last(value):
    target.write_text(str(value))


def task_choose():
    for n in range(1, count + 1):
        for k in range(max(0, n - count + count // 2), min(n, count // 2) + 1):
            needs = {"left": (f"choose:{n - 1},{k - 1}", "value"), "right": (f"choose:{n - 1},{k}", "value")}
            yield {"name": f"{n},{k}", "actions": [add], "getargs": needs if 0 < k < n else {}, "uptodate": [run_once]}


def task_last():
    return {"actions": [last], "getargs": {"value": (f"choose:{count},{count // 2}", "value")},
            "targets": [str(target)]}


if __name__ == "__main__":
    folder.mkdir(exist_ok=True)
    status = DoitMain(ModuleTaskLoader(globals())).run(["run", "last"])
    print(json.dumps({"answer": int(target.read_text())}))
    sys.exit(status)
