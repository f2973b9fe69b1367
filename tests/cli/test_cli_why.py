"""Laws of the commands `why` and `accept`, and of the reasons shown after a run."""
from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from taskproc.cli.main import main
from tests.plain import plain

Write = Callable[..., str]
Capture = pytest.CaptureFixture[str]


def edited(script: Write) -> str:
    """Write the script of the other tests with one method edited; returns its path."""
    path = script()
    text = Path(path).read_text("utf-8")
    assert "self.x ** 2" in text
    return script(text.replace("self.x ** 2", "self.x * self.x"), path)


def run(*words: str) -> int:
    """Run a command with its tasks in this process."""
    return main([*words, "-o", "cache", "-t", "local"])


def test_reasons_are_told_after_the_run(script: Write, capsys: Capture) -> None:
    """Reasons are shown after the run, a line per class, except for new and forced tasks."""
    run(script())
    cold = capsys.readouterr().err
    run(edited(script))

    assert "ran because" not in cold
    assert "job.Square ran because source of job:Square.run_task changed (1)" in capsys.readouterr().err


def test_why_tells_what_would_run(script: Write, capsys: Capture) -> None:
    """`why` shows what would run, and runs nothing."""
    run(script())
    capsys.readouterr()

    assert 0 == main(["why", edited(script), "-o", "cache"])

    out = capsys.readouterr().out
    assert "Main(x=3, fails=False) would run: upstream Square(x=3) would run" in plain(out)
    assert "source of job:Square.run_task changed: Square(x=3), and 1 that needs it" in plain(out)
    assert "the square is" not in out


def test_why_tells_how_long_a_short_task_took(script: Write, capsys: Capture) -> None:
    """The time of a short task is shown in milliseconds, at least one."""
    run(script())
    capsys.readouterr()

    assert 0 == main(["why", script(), "-o", "cache"])

    assert re.search(r"is fresh: result 1 of .* after ([1-9]\d* ms|\d.* s)$", capsys.readouterr().out.strip())


def test_one_task_is_no_tasks(script: Write, capsys: Capture) -> None:
    """Counts are in the singular or plural as needed."""
    alone = script("from taskproc import Task\nclass Main(Task):\n    def run_task(self):\n        pass\n", "alone.py")

    assert 0 == main([alone, "-o", "cache", "--dry-run"])

    assert capsys.readouterr().out.startswith("at most 1 of 1 task would run\n")


def test_why_takes_the_parameters_of_the_entry_task(script: Write, capsys: Capture) -> None:
    """`why` takes the parameters of the entry task, like `run`."""
    run(script())
    capsys.readouterr()

    assert 0 == main(["why", script(), "-o", "cache", "--x", "5"])

    assert "Main(x=5, fails=False) would run: " in plain(capsys.readouterr().out)


def test_accept_takes_results_for_those_of_the_present_source(script: Write, capsys: Capture) -> None:
    """After `accept` only the entry task runs, and there is nothing more to accept."""
    run(script())
    capsys.readouterr()

    assert 0 == main(["accept", edited(script), "-o", "cache"])
    assert "accepted job.Square: 1 result\n" == capsys.readouterr().out
    assert 0 == main(["accept", edited(script), "-o", "cache"])
    assert "nothing to accept: no result differs by its source alone\n" == capsys.readouterr().out
    run(edited(script))
    assert "1 done, 1 fresh in" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["why", "accept"])
def test_they_need_a_script(command: str, capsys: Capture) -> None:
    """Without a script both commands are refused."""
    assert 2 == main([command, "-o", "cache"])

    assert "which script?" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["why", "accept"])
def test_they_make_no_cache(script: Write, command: str, capsys: Capture) -> None:
    """A misspelt name of a cache is reported, and no cache is created."""
    assert 2 == main([command, script(), "-o", "cahce"])

    assert "no cache at 'cahce'" in capsys.readouterr().err
    assert not Path("cahce").exists()


def test_a_dry_run_makes_no_cache(script: Write, capsys: Capture) -> None:
    """A dry run without a cache lists all tasks and creates no folder."""
    assert 0 == main([script(), "-o", "cache", "--dry-run"])

    assert "2 of 2 tasks would run" in capsys.readouterr().out
    assert not Path("cache").exists()
