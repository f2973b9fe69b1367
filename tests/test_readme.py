"""What the README shows is what happens: its code runs, its console output is right, its reference is complete."""
from __future__ import annotations

import inspect
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from taskproc import RunStats, Task
from taskproc.tasks import running

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[tuple[int, str]]:
    """Fenced blocks of a language, each with the number of lines above it."""
    found = re.finditer(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [(README.count("\n", 0, match.start(1)), match[1]) for match in found]


def file_name(block: str) -> str:
    """A block whose first line is `# name.py` is a file of its own."""
    match = re.match(r"# (\w+\.py)\n", block)
    return match[1] if match else ""


def table(start: str) -> list[str]:
    """First column of the first table after `start`, as it stands."""
    below = README.partition(start)[2].splitlines()
    first = next(number for number, line in enumerate(below) if line.startswith("|"))
    rows = itertools.takewhile(lambda line: line.startswith("|"), below[first + 2 :])
    return [row.split(" | ")[0] for row in rows]


def names(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]*)`", cell)


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder` with this checkout importable, and without a terminal."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run(
        command, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_python_blocks_run_in_order(tmp_path: Path) -> None:
    """All Python of the README, one script from top to bottom, runs as written; its asserts hold."""
    script = ""
    for above, block in blocks("python"):
        if not file_name(block):
            script += "\n" * (above - script.count("\n")) + block  # so that a traceback has the README's line numbers
    (tmp_path / "guide.py").write_text(script, "utf-8")

    done = run([sys.executable, "guide.py"], tmp_path)

    assert done.returncode == 0, done.stderr
    assert script.count("assert ") >= 10


def console_commands() -> list[tuple[str, str]]:
    """Each command shown, with the output shown below it."""
    shown: list[tuple[str, str]] = []
    for _, block in blocks("console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            shown.append((command, output))
    return shown


@pytest.mark.slow
def test_console_commands_print_what_is_shown(tmp_path: Path) -> None:
    """Standard output of each command is what the README shows; all of them use one folder, from top to bottom."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("cache", "__pycache__"))
    for _, block in blocks("python"):
        if name := file_name(block):
            (tmp_path / name).write_text(block, "utf-8")

    for command, output in console_commands():
        program, *arguments = shlex.split(command)
        done = run([sys.executable, *arguments], tmp_path)

        assert program == "python"
        assert (0, output) == (done.returncode, done.stdout), f"{command}\n{done.stderr}"
        assert not re.search("warning|no task of this graph", done.stderr), f"{command}\n{done.stderr}"


def test_the_first_commands_need_nothing_but_python() -> None:
    """The commands at the top make their own environment; `.ci/run` runs the first and the last.

    What the quick check leaves out, the last one runs.
    """
    (_, block), = blocks("sh")
    script = (ROOT / ".ci" / "run").read_text("utf-8")

    endings = ("-m taskproc examples/binomial.py -o cache", '-m pytest -m "not long"', "-m pytest")
    for command, ending in zip(block.splitlines(), endings, strict=True):
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")
        assert command.endswith(ending)
        assert f"readme_command '{ending}$'" in script or "not long" in ending
        assert command == next(line for line in README.splitlines() if line.endswith(ending))


def test_the_built_ins_exist() -> None:
    """Each built-in of the reference is an attribute of Task, and each public attribute of Task is in the reference."""
    told = {name for heading in ("## Built-in properties and methods", "## Class attributes that you may set")
            for cell in table(heading) for name in names(cell)}
    public = {name for name in dir(Task) if not name.startswith("_")}

    assert told == public | {"run_task"}


def test_the_parameters_of_run_graph_are_told() -> None:
    """The reference has the parameters of `run_graph`, and so has its signature, which editors and `help` show."""
    parameters = set(inspect.signature(running.run_graph).parameters) - {"task"}
    shown = inspect.signature(Task.run_graph).parameters

    assert parameters == set(shown) - {"self"}
    assert all(each.kind == inspect.Parameter.KEYWORD_ONLY for name, each in shown.items() if name != "self")
    assert parameters == {name for cell in table("## Parameters of `run_graph`") for name in names(cell)}


def test_the_statistics_are_told() -> None:
    """The reference has every key of RunStats."""
    assert set(RunStats.__annotations__) == {name for cell in table("## Statistics") for name in names(cell)}


@pytest.mark.slow
def test_the_options_are_told(tmp_path: Path) -> None:
    """The options of the reference are those that `--help` shows."""
    script = "import taskproc\nclass Main(taskproc.Task):\n    def run_task(self): ...\n"
    (tmp_path / "script.py").write_text(script, "utf-8")

    done = run([sys.executable, "-m", "taskproc", "script.py", "--help"], tmp_path)

    assert done.returncode == 0, done.stderr
    told = {name.split()[0] for cell in table("`--help` shows") for name in names(cell)}
    assert told == set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", done.stdout)) - {"-h", "--help", "-m"}

