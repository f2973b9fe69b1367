"""`status` and `history`: runs on their way, seen from another process, and the runs that were."""
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taskproc.cli.main import main
from taskproc.ledger.journal import read_run, runs
from taskproc.ledger.run_state import RunStates
from taskproc.store.disk import DiskStore
from tests.cli.schema import objects
from tests.cli.terminal import on_terminal, taskproc
from tests.pace import limit

Capture = pytest.CaptureFixture[str]

SCRIPT = '''
from taskproc import FutureList, Task

class Load(Task):
    def __init__(self, day: int):
        self.day = day

    def run_task(self) -> int:
        return self.day

class Wait(Task):
    def __init__(self, pipe: str = "", loads: int = 2, fails: bool = False):
        self.parts = FutureList([Load(day) for day in range(loads)])
        self.pipe, self.fails = pipe, fails

    def run_task(self) -> int:
        print("one\\ntwo\\x1b[2J", flush=True)
        if self.pipe:
            with open(self.pipe) as file:
                file.read()
        if self.fails:
            raise ValueError("as asked")
        return sum(self.parts.get_result())

class Main(Task):
    def __init__(self, pipe: str = "", loads: int = 2, fails: bool = False):
        self.wait = Wait(pipe, loads, fails)

    def run_task(self) -> int:
        return self.wait.get_result()
'''
RUN = ("job.py", "-o", "cache", "-n", "1", "--dont-show-progress")


@pytest.fixture
def environ(script: Callable[..., str]) -> dict[str, str]:
    """The environment of commands in a folder with the script."""
    script(SCRIPT)
    return dict(os.environ)


@pytest.fixture
def running(environ: dict[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], None]]]:
    """A run whose task Wait has printed and waits, after one run that was done; and what lets the task go on."""
    taskproc([*RUN, "--loads", "3"], environ)
    pipe = Path("pipe").absolute()
    os.mkfifo(pipe)
    run = subprocess.Popen([sys.executable, "-m", "taskproc", *RUN, "--pipe", str(pipe)], stdout=subprocess.DEVNULL)
    file = pipe.open("w")  # returns when the task has opened it
    journal = runs("cache")[0]
    while not any(trace.state == "running" for trace in read_run(journal).tasks.values()):
        assert run.poll() is None
    yield run, file.close
    file.close()
    run.kill()
    run.wait(limit(60))


Running = tuple["subprocess.Popen[bytes]", Callable[[], None]]


def test_a_run_is_seen_from_another_process(running: Running, environ: dict[str, str]) -> None:
    """Its counts, its tasks with age and the last line that they printed, made harmless."""
    run, _ = running

    first, counts, task, line = taskproc(["status", "-o", "cache"], environ).stdout.splitlines()

    assert re.fullmatch(rf"run [\w-]+: job.Main by .* on .*, process {run.pid}, for .*", first)
    assert counts.startswith("  2 of 4 ended, 2 fresh (50 %)")
    assert re.fullmatch(r"  Wait\(pipe='.*', loads=2, fails=False\)  for .* s, usually .* ms.*", task)
    assert line == r"    two\x1b[2J"


def test_the_object_of_a_run(running: Running, environ: dict[str, str]) -> None:
    """Has the fields of docs/json.md; the memory is that of the worker."""
    (state,) = objects(taskproc(["status", "-o", "cache", "--json"], environ).stdout, "status")

    assert ("running", 4, 2, 0) == (state["status"], state["total"], state["fresh"], state["done"])
    (task,) = state["running"]
    assert (task["task"], task["line"]) == ("job.Wait", "two\x1b[2J")
    if sys.platform == "linux":
        assert task["memory"] > 1e6


@pytest.mark.parametrize("columns", [60, 80])
def test_it_fits_the_terminal(running: Running, environ: dict[str, str], columns: int) -> None:
    """Long tasks lose their middle, and the times stay."""
    text = on_terminal(["status", "-o", "cache"], environ, columns)

    lines = text.partition("\n\nhint:")[0].splitlines()
    assert max(map(len, lines)) <= columns
    assert "usually" in lines[2]


@pytest.mark.parametrize("ending", ["done", "killed"])
def test_a_run_is_followed_to_its_end(running: Running, environ: dict[str, str], ending: str) -> None:
    """The exit code is 0 if it was done, and 1 otherwise."""
    run, go_on = running
    command = [sys.executable, "-m", "taskproc", "status", "-w", "-o", "cache", "--json"]
    watch = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ)
    assert watch.stdout is not None
    assert '"status": "running"' in watch.stdout.readline()

    if ending == "done":
        go_on()
    else:
        run.kill()
    run.wait(limit(60))

    out, _ = watch.communicate(timeout=limit(60))
    assert json.loads(out.splitlines()[-1])["status"] == ending
    assert watch.returncode == (0 if ending == "done" else 1)


def test_a_killed_run_is_not_on_its_way(running: Running, capsys: Capture) -> None:
    """It is the last one, which was killed."""
    run, _ = running
    run.kill()
    run.wait(limit(60))
    capsys.readouterr()

    assert 1 == main(["status", "-o", "cache"])
    assert re.search(r"^the last one, [\w-]+, was killed at .*: 2 fresh$", capsys.readouterr().out, re.MULTILINE)


def test_without_a_run(environ: dict[str, str], capsys: Capture) -> None:
    """The last run is shown; a cache without journals is not an error."""
    assert 1 == main([*RUN, "--fails", "true"])
    capsys.readouterr()

    assert 1 == main(["status", "-o", "cache"])
    assert "failed at" in capsys.readouterr().out
    for path in Path("cache/runs").iterdir():
        path.unlink()
    assert 0 == main(["status", "-o", "cache"]) == main(["history", "-o", "cache"])


def test_another_runs_task_is_waited_for(running: Running, environ: dict[str, str]) -> None:
    """A run that needs what another run computes says who computes it."""
    run, _ = running
    words = [*RUN, "--pipe", str(Path("pipe").absolute())]
    other = subprocess.Popen([sys.executable, "-m", "taskproc", *words], stdout=subprocess.DEVNULL)
    store = DiskStore(str(Path("cache").absolute()))
    try:
        while not any(state.elsewhere for state in RunStates(store).live()):
            assert other.poll() is None
        out = taskproc(["status", "-o", "cache"], environ).stdout
    finally:
        other.kill()
        other.wait(limit(60))

    assert re.search(rf"  Wait\(.*\) is computed by .*, process {run.pid}\n", out)


def test_history_is_a_line_for_each_run(environ: dict[str, str], capsys: Capture) -> None:
    """Newest first: what it ran, what was fresh, and what it was for."""
    assert [0, 0, 1] == [main([*RUN, *more]) for more in ((), ("--loads", "3"), ("--fails", "true"))]
    capsys.readouterr()

    assert 0 == main(["history", "-o", "cache"])
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "when", "by", "status", "ran", "fresh", "failed", "took", "saved", "what"]
    ended = [row.split()[4:8] for row in rows]
    assert ended == [["failed", "0", "2", "1"], ["done", "3", "2", "0"], ["done", "4", "0", "0"]]
    assert rows[1].endswith("Main(pipe='', loads=3, fails=False)")

    assert 0 == main(["history", "-o", "cache", "--json"])
    states = objects(capsys.readouterr().out, "history")
    assert [state["done"] for state in states] == [0, 3, 4]
    assert states[1]["saved"] > 0


def test_history_of_one_run(environ: dict[str, str], capsys: Capture) -> None:
    """What it did and why; `why --run` has the reasons alone."""
    assert 0 == main([*RUN])
    (journal,) = runs("cache")
    run = Path(journal).stem
    capsys.readouterr()

    assert 0 == main(["history", "-o", "cache", run[-6:]])
    out = capsys.readouterr().out
    assert f"run       {run} was done at" in out
    assert "no result is stored: 2 tasks of Load, 1 task of Wait, 1 task of Main\n" in out
    assert 0 == main(["history", "-o", "cache", run, "--json"])
    (state,) = objects(capsys.readouterr().out, "history: a run")
    assert [{"kind": "new", "text": "no result is stored", "tasks": {"job.Load": 2, "job.Wait": 1, "job.Main": 1}}] == (
        state["reasons"]
    )
    assert 0 == main(["why", "job.py", "-o", "cache", "--run", run])
    assert "no result is stored: 2 tasks of Load" in capsys.readouterr().out


def test_an_unknown_run_is_refused(environ: dict[str, str], capsys: Capture) -> None:
    """And one that may be several is, with these."""
    assert [0, 0] == [main([*RUN]), main([*RUN])]
    capsys.readouterr()

    assert 2 == main(["history", "-o", "cache", "20"])
    assert "'20' may be any of 2 runs: " in capsys.readouterr().err
    assert 2 == main(["history", "-o", "cache", "1999"])
    assert "no run '1999' has left a journal" in capsys.readouterr().err
