"""Laws of `log`: what a task printed, whole and harmless, and what it prints in another process while it runs."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taskproc.cli.main import main
from taskproc.store.cache import Cache
from tests.cli.schema import objects
from tests.cli.terminal import on_terminal, taskproc
from tests.pace import limit

Capture = pytest.CaptureFixture[str]
WAITS = """
import os, sys, time
from taskproc import Cache, Task
class Waits(Task):
    def run_task(self):
        print("one", flush=True)
        print("warned", file=sys.stderr, flush=True)
        while not os.path.exists("go"):
            time.sleep(0.02)
        print("two")
        if os.path.exists("fail"):
            raise ValueError("as asked")
class Main(Task):
    def __init__(self): self.waits = Waits()
    def run_task(self): pass
"""
PRINTS = r"""
import os, sys
from taskproc import Task
class Prints(Task):
    def run_task(self):
        os.write(1, b"a\x1b[2J\r\nb\rc \xff\xc3\xa4" + b"." * 70_000 + b"\n")
        print("w", file=sys.stderr)
class Silent(Task):
    def run_task(self): pass
class Main(Task):
    def __init__(self): self.both = [Prints(), Silent()]
    def run_task(self): pass
"""


@pytest.fixture
def printed(script: Callable[..., str], capsys: Capture) -> str:
    """A cache with a task that printed odd bytes, and one that printed nothing."""
    assert 0 == main([script(PRINTS), "-o", "cache", "-n", "1"])
    capsys.readouterr()
    return "cache"


def test_a_pipe_gets_the_bytes(printed: str, environ: dict[str, str]) -> None:
    """Exactly those of the log; of either stream."""
    (path,) = Path(printed).glob("job.Prints/results/*/stdout.1.txt")
    command = [sys.executable, "-m", "taskproc", "log", "Prints", "-o", printed]

    done = subprocess.run(command, env=environ, capture_output=True, check=True, timeout=limit(60))

    assert (path.read_bytes(), b"") == (done.stdout, done.stderr)
    assert len(done.stdout) > 70_000
    assert "w\n" == taskproc(["log", "Prints", "--stderr", "-o", printed], environ).stdout


def test_a_terminal_gets_harmless_lines(printed: str, environ: dict[str, str]) -> None:
    """Control characters as escapes; the last line is the command that comes next."""
    text = on_terminal(["log", "Prints", "-o", printed], environ, 80)

    assert text.startswith("a\\x1b[2J\nb\nc \ufffdä...")
    (entry,) = Cache(printed).entries("Prints")
    assert text.endswith(f"\n\nhint: `python -m taskproc log --stderr {entry.id} -o cache` shows its standard error\n")


def test_a_silent_task_says_so(printed: str, capsys: Capture) -> None:
    """Not with silence, which might be a mistake; and one that never ran is a failure."""
    assert 0 == main(["log", "Silent", "-o", printed])
    out, err = capsys.readouterr()
    assert ("", True) == (out, err.endswith(" printed nothing on standard output\n"))
    for path in Path(printed).glob("job.Silent/results/*/result.*"):
        path.unlink()
    assert 1 == main(["log", "Silent", "-o", printed])
    assert "never ran" in capsys.readouterr().err


def test_lines_for_programs(printed: str, environ: dict[str, str]) -> None:
    """One object per line of the log."""
    first, second = objects(taskproc(["log", "Prints", "-o", printed, "--json"], environ).stdout, "log")

    assert ("a\x1b[2J\r", "stdout", 1) == (first["text"], first["stream"], first["attempt"])
    assert second["text"].startswith("b\rc \ufffdä...")


@pytest.fixture
def running(script: Callable[..., str], environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A run in another process whose task has printed a line, and waits for a file."""
    command = [sys.executable, "-m", "taskproc", script(WAITS), "-o", "cache", "-n", "1", "--dont-show-progress"]
    process = subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL, start_new_session=True)
    until = time.monotonic() + limit(60)
    while not any(Path("cache").glob("job.Waits/results/*/stdout.1.txt")):
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.02)
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(limit(60))


def follow(environ: dict[str, str], *words: str) -> subprocess.Popen[str]:
    """`log -f` in a process of its own."""
    command = [sys.executable, "-m", "taskproc", "log", "-f", "Waits", "-o", "cache", *words]
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize(("fails", "end"), [(False, "is done"), (True, "failed: ValueError: as asked")])
def test_a_task_is_followed_until_it_ends(
    running: subprocess.Popen[bytes], environ: dict[str, str], fails: bool, end: str
) -> None:
    """A line appears while the task waits; what it prints later follows; then the command ends, with its fate."""
    with follow(environ) as process:
        assert process.stdout is not None
        assert "one\n" == process.stdout.readline()
        assert process.poll() is None
        if fails:
            Path("fail").touch()
        Path("go").touch()
        out, err = process.communicate(timeout=limit(60))

    assert ("two\n", int(fails)) == (out, process.returncode)
    assert err.rstrip().endswith(end)


@pytest.mark.slow
def test_ctrl_c_ends_the_following_and_not_the_task(
    running: subprocess.Popen[bytes], environ: dict[str, str]
) -> None:
    """With exit code 130. For programs, lines come while the task runs, too."""
    with follow(environ, "--stderr", "--json") as process:
        assert process.stdout is not None
        assert "warned" == json.loads(process.stdout.readline())["text"]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=limit(60))

    assert (130, "interrupted\n") == (process.returncode, err)
    Path("go").touch()
    assert 0 == running.wait(limit(60))


@pytest.mark.slow
def test_a_run_that_is_killed_ends_it(running: subprocess.Popen[bytes], environ: dict[str, str]) -> None:
    """Nobody is left to say so, but the claim counts as dead."""
    with follow(environ) as process:
        assert process.stdout is not None
        assert "one\n" == process.stdout.readline()
        os.killpg(running.pid, signal.SIGKILL)
        running.wait(limit(60))
        _, err = process.communicate(timeout=limit(60))

    assert 1 == process.returncode
    assert err.rstrip().endswith("failed: its run has died")


@pytest.mark.slow
def test_a_running_task_without_following(running: subprocess.Popen[bytes], capsys: Capture) -> None:
    """What it has printed so far; `show` says that it runs, and suggests to follow it."""
    assert 0 == main(["log", "Waits", "-o", "cache"])
    assert 0 == main(["show", "Waits", "-o", "cache"])
    out = capsys.readouterr().out
    assert out.startswith("one\njob.Waits#")
    assert "  claimed\n" in out
    assert 0 == main(["list", "Waits", "-o", "cache"])
    assert "  claimed  " in capsys.readouterr().out
