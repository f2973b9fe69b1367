"""Each command that looks at a cache: its lines fit a terminal, a pipe gets them whole, and `--json` is JSON lines."""
from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from taskproc.cli.main import main
from taskproc.text import width_of
from tests.cli.terminal import on_terminal, taskproc

SCRIPT = '''
from taskproc import Task

class LoadOneOfTheManyDaysOfTheYear(Task):
    def __init__(self, day: int, note: str = "a note that is longer than any terminal would be" * 3):
        self.day = day

    def run_task(self) -> list[int]:
        return [self.day] * 100

class Main(Task):
    def __init__(self, days: int = 3):
        self.loads = [LoadOneOfTheManyDaysOfTheYear(day) for day in range(days)]

    def run_task(self) -> int:
        print("a line that is longer than any terminal would be" * 3)
        return len(self.loads)
'''
LOOKING = ("list", "list LoadOneOfTheManyDaysOfTheYear", "show ID", "log ID", "du", "status", "history", "history RUN",
           "check", "gc year.py", "gc --max-size 0", "plan year.py", "why year.py", "why year.py --tree")  # fmt: skip


@pytest.fixture
def cache(script: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> str:
    """A cache in which the class of one task was edited since it ran."""
    name = script(SCRIPT, "year.py")
    assert 0 == main([name, "-o", "cache", "-n", "1", "--days", "4"])
    Path(name).write_text(SCRIPT.replace("* 100", "* 101"))
    capsys.readouterr()
    return "cache"


def words_of(command: str) -> list[str]:
    """The words of a command, with the id of a task and of a run."""
    (task,) = (int(name) for name in os.listdir("cache/year.Main/results"))
    (run,) = (name.removesuffix(".jsonl") for name in os.listdir("cache/runs"))
    return [*command.replace("ID", f"{task << 1:016x}"[:8]).replace("RUN", run).split(), "-o", "cache"]


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize("command", LOOKING)
def test_lines_fit_the_terminal(cache: str, environ: dict[str, str], command: str, columns: int) -> None:
    """No line of the output is wider; the hint below it is for another line of the shell, and stays whole."""
    if command == "log ID":
        pytest.skip("it gives what the task printed, as it is")

    text = on_terminal(words_of(command), {**environ, "NO_COLOR": "1"}, columns)

    lines = [line for line in text.splitlines() if not line.startswith(("hint: ", "nothing was deleted; "))]
    assert lines
    assert "\x1b[" not in text
    assert max(map(width_of, lines)) <= columns, text


@pytest.mark.parametrize("command", LOOKING)
def test_json_is_one_object_per_line(cache: str, environ: dict[str, str], command: str) -> None:
    """Each begins with the version, and nothing else is written."""
    done = taskproc([*words_of(command), "--json"], environ)

    assert done.stderr in ("", "4 tasks with a result; nothing wrong\n", "5 tasks with a result; nothing wrong\n")
    for line in done.stdout.splitlines():
        assert next(iter(json.loads(line).items())) == ("v", 1)
    assert done.stdout or command == "check"
