"""Laws of a sweep: all combinations as one graph, what they share once, and a table at the end."""
from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from taskproc.cli.main import main
from tests.pace import limit

Write = Callable[..., str]
Capture = pytest.CaptureFixture[str]

SCRIPT = '''
from pathlib import Path
from taskproc import Task

class Data(Task):
    def __init__(self, seed: int):
        self.seed = seed

    def run_task(self):
        with open("ran.txt", "a") as file:
            print("data", self.seed, file=file)
        return 10 * self.seed

class Main(Task):
    def __init__(self, lr: float, seed: int = 0, name: str = "sgd"):
        if seed == 3:
            raise ValueError("no such seed")
        self.lr, self.data, self.name = lr, Data(seed), name

    def run_task(self):
        with open("ran.txt", "a") as file:
            print("main", self.lr, self.data.seed, file=file)
        if self.data.seed == 2 and self.lr > 0.05 and not Path("repaired").exists():
            raise ValueError("diverged")
        return {"acc": self.lr / (1 + self.data.get_result()), "loss": 1.0, "name": self.name, "path": [1]}
'''


def sweep(*words: str) -> int:
    """A sweep of the script, inline, which is quickest."""
    return main(["job.py", "-o", "cache", "-t", "local", "--dont-show-progress", *words])


def ran() -> list[str]:
    """What ran since this was asked last, sorted."""
    path = Path("ran.txt")
    lines = sorted(path.read_text().splitlines()) if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def test_a_sweep_in_a_process(script: Write, environ: dict[str, str], tmp_path: Path) -> None:
    """In workers: shared tasks once, a failure beside the others, its command to rerun it, a table, exit code 1."""
    words = [sys.executable, "-m", "taskproc", script(SCRIPT), "-o", "cache", "--sweep", "lr=0.1,0.01",
             "--sweep", "seed=0:4", "--dont-show-progress", "-n", "2"]  # fmt: skip
    done = subprocess.run(words, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=limit(100))

    assert 1 == done.returncode
    assert done.stdout == (
        "  lr  seed  state           acc  loss  name\n"
        " 0.1     0  done            0.1     1  sgd\n"
        " 0.1     1  done     0.00909091     1  sgd\n"
        " 0.1     2  failed\n"
        " 0.1     3  failed\n"
        "0.01     0  done           0.01     1  sgd\n"
        "0.01     1  done    0.000909091     1  sgd\n"
        "0.01     2  done     0.00047619     1  sgd\n"
        "0.01     3  failed\n"
    )
    assert "Main(lr=0.1, seed=3) cannot be built: ValueError: no such seed\n" in done.stderr
    assert re.search(r"failed: ValueError: diverged\n(.*\n)+  rerun: python -m taskproc rerun job.py \w+ -o cache\n",
                     done.stderr)
    assert done.stderr.endswith("8 combinations: 5 done, 3 failed\n")
    assert ["data 0", "data 1", "data 2"] == ran()[:3]


def test_run_again_it_resumes(script: Write, capsys: Capture) -> None:
    """What is done stays; what failed, and what is new, runs."""
    script(SCRIPT)
    words = ["--sweep", "lr=0.1,0.01", "--sweep"]
    assert 1 == sweep(*words, "seed=1:3")
    assert 6 == len(ran())
    Path("repaired").touch()

    assert 0 == sweep(*words, "seed=1:3,5")

    assert ["data 5", "main 0.01 5", "main 0.1 2", "main 0.1 5"] == ran()
    assert re.search(r"4 done, 5 fresh in .*\n6 combinations: 6 done\n$", capsys.readouterr().err)


def test_stop_may_be_asked_for(script: Write, capsys: Capture) -> None:
    """With `--on-error stop` nothing new starts after a failure, and what did not run is shown as skipped."""
    script(SCRIPT)

    assert 1 == sweep("--sweep", "lr=0.1,0.01", "--sweep", "seed=2", "--on-error", "stop")

    assert [["0.1", "2", "failed"], ["0.01", "2", "skipped"]] == [
        line.split() for line in capsys.readouterr().out.splitlines()[1:]
    ]
    assert 1 == sweep("--sweep", "lr=1", "--sweep", "seed=3", "--on-error=stop")
    assert "ValueError: no such seed" in capsys.readouterr().err


def test_what_needs_a_failed_task_is_skipped(script: Write, capsys: Capture) -> None:
    """The failure is that of the upstream task."""
    script(SCRIPT.replace("return 10 * self.seed", "return 10 // self.seed"))

    assert 1 == sweep("--sweep", "lr=1,2", "--sweep", "seed=0,1")

    assert ["skipped", "done", "skipped", "done"] == [
        line.split()[2] for line in capsys.readouterr().out.splitlines()[1:]
    ]


def test_a_dry_run(script: Write, capsys: Capture) -> None:
    """It shows what would run, and creates nothing."""
    script(SCRIPT)

    assert 0 == sweep("--sweep", "lr=0.1,0.01", "--sweep", "seed=0:2", "--dry-run")

    assert capsys.readouterr().out.startswith("at most 6 of 6 tasks would run\n  job.Data  2\n  job.Main  4\n")
    assert not Path("cache").exists()


def test_the_csv_file_has_all_digits(script: Write, capsys: Capture) -> None:
    """And the columns of the table; so an empty cell is what a row does not have."""
    script(SCRIPT)

    assert 0 == sweep("--sweep", "lr=0.1,0.7", "--seed", "1", "--table", "acc, gone ,loss", "--csv", "out.csv")

    with open("out.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert [["lr", "state", "acc", "gone", "loss"], ["0.1", "done", str(0.1 / 11), "", "1.0"],
            ["0.7", "done", str(0.7 / 11), "", "1.0"]] == rows  # fmt: skip
    assert "--table: no result has a field 'gone'; their fields are acc, loss, name, path" in capsys.readouterr().err


def test_json_lines(script: Write, capsys: Capture) -> None:
    """An object per combination, with all fields of the result, and why it failed."""
    script(SCRIPT)

    assert 1 == sweep("--sweep", "lr=0.1", "--sweep", "seed=1:4", "--json")

    good, failed, unbuilt = map(json.loads, capsys.readouterr().out.splitlines())
    assert ["v", "id", "key", "task", "arguments", "state", "error", "fields"] == list(good)
    assert good["key"].startswith(good["id"])
    assert {"acc": 0.1 / 11, "loss": 1.0, "name": "sgd", "path": [1]} == good["fields"]
    assert (1, "job.Main", {"lr": 0.1, "seed": 1}, "done", None) == tuple(
        good[name] for name in ("v", "task", "arguments", "state", "error")
    )
    assert ("failed", "ValueError: diverged", {}) == (failed["state"], failed["error"], failed["fields"])
    assert ("failed", None, "ValueError: no such seed") == (unbuilt["state"], unbuilt["key"], unbuilt["error"])
    assert 0 == sweep("--sweep", "lr=0.1", "--json", "--table", "loss")
    assert '"fields": {"loss": 1.0}}' in capsys.readouterr().out


RESULTS = '''
from dataclasses import dataclass
from typing import NamedTuple
from taskproc import Task

class Pair(NamedTuple):
    left: int
    right: str

@dataclass
class Point:
    x: float
    name: str

    @property
    def twice(self):
        return 2 * self.x

class Main(Task):
    def __init__(self, kind: str):
        self.kind = kind

    def run_task(self):
        values = {"pair": Pair(1, "r"), "point": Point(0.5, "kind"), "number": 1234567.0, "none": None, "list": [1]}
        if self.kind == "numpy":
            import numpy
            return numpy.float64(0.25)
        return {**values, "dict": {"x": 3, "kind": "k" * 50, "list": [1]}}[self.kind]
'''


@pytest.mark.parametrize(("words", "lines"), [
    (["pair"], ["kind  state  left  right", "pair  done      1  r"]),
    (["point"], ["kind   state    x  name", "point  done   0.5  kind"]),
    (["point", "--table", "twice,x"], ["kind   state  twice    x", "point  done       1  0.5"]),
    (["number"], ["kind    state        value", "number  done   1.23457e+06"]),
    (["numpy"], ["kind   state  value", "numpy  done    0.25"]),
    (["none,list"], ["kind  state", "none  done", "list  done"]),
    (["dict"], ["kind  state  x  result.kind", "dict  done   3  kkkkkkkkkkkk…kkkkkkkkkkk"]),
    (["dict", "--table", "list"], ["kind  state  list", "dict  done   [1]"]),
])  # fmt: skip
def test_the_fields_of_a_result(script: Write, capsys: Capture, words: list[str], lines: list[str]) -> None:
    """Keys, fields, attributes, `value`; a name that a parameter has, too, says that it is of the result."""
    if words[0] == "numpy":
        pytest.importorskip("numpy")
    script(RESULTS)

    assert 0 == sweep("--sweep", f"kind={words[0]}", *words[1:])

    assert lines == capsys.readouterr().out.splitlines()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no pty")
@pytest.mark.parametrize("columns", [80, 60])
def test_the_table_fits_into_a_terminal(script: Write, tmp_path: Path, environ: dict[str, str], columns: int) -> None:
    """Its lines are cut there."""
    import pty

    source = SCRIPT.replace('"loss": 1.0', '"loss": 1.0, **{f"measure{at}": at for at in range(12)}')
    main_end, far_end = pty.openpty()
    words = [sys.executable, "-m", "taskproc", script(source), "-o", "cache", "--sweep", "lr=1,2", "-t", "local"]
    process = subprocess.Popen(words, cwd=tmp_path, env={**environ, "COLUMNS": str(columns)}, stdin=subprocess.DEVNULL,
                               stdout=far_end, stderr=subprocess.DEVNULL)
    os.close(far_end)
    shown = b""
    try:
        while shown.count(b"\n") < 3:
            shown += os.read(main_end, 1000)
        assert 0 == process.wait(limit(60))
    finally:
        process.kill()
        process.wait()
        os.close(main_end)
    lines = shown.decode().splitlines()
    assert columns == max(map(len, lines))
    assert all(line.endswith("…") for line in lines)


def test_a_parameter_may_have_the_name_of_an_option(script: Write, capsys: Capture) -> None:
    """These options are newer than scripts with such a parameter."""
    script("from taskproc import Task\nclass Main(Task):\n    def __init__(self, sweep: str = '', json: int = 0):\n"
           "        self.sweep = sweep\n    def run_task(self):\n        print(self.sweep)\n")  # fmt: skip

    assert 0 == sweep("--sweep", "a=1", "--json", "4")

    assert "a=1\n" == capsys.readouterr().out
