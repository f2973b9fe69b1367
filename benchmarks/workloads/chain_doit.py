"""COUNT tasks of which each needs the one before, by doit, one by one: see fan_in.py."""
import json
import sys
from pathlib import Path

from doit.cmd_base import ModuleTaskLoader
from doit.doit_cmd import DoitMain
from doit.tools import run_once

count, folder = int(sys.argv[2]), Path(sys.argv[3])
target = folder / "last"

DOIT_CONFIG = {"dep_file": str(folder / "results"), "backend": "json", "reporter": "zero", "verbosity": 0}


def add(before=0):
    return {"value": before + 1}


def last(before):
    target.write_text(str(before))


def task_link():
    yield {"name": "0", "actions": [add], "uptodate": [run_once]}
    for n in range(1, count):
        yield {"name": str(n), "actions": [add], "getargs": {"before": (f"link:{n - 1}", "value")},
               "uptodate": [run_once]}


def task_last():
    return {"actions": [last], "getargs": {"before": (f"link:{count - 1}", "value")}, "targets": [str(target)]}


if __name__ == "__main__":
    folder.mkdir(exist_ok=True)
    status = DoitMain(ModuleTaskLoader(globals())).run(["run", "last"])
    print(json.dumps({"answer": int(target.read_text())}))
    sys.exit(status)
