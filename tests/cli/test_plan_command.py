"""The command `plan`, as a process on a real cache."""
from __future__ import annotations

import re
from pathlib import Path

import pytest

from taskproc.text import width_of
from tests.cli.plan_scripts import EDITED, STUDY, Commands


@pytest.fixture
def commands(tmp_path: Path, environ: dict[str, str]) -> Commands:
    """A folder with a study that has run."""
    made = Commands(tmp_path, environ)
    made.write(STUDY)
    made.run("study.py", "-o", "cache", "-t", "local")
    return made


def timeless(lines: list[str]) -> list[str]:
    """Lines in which each time and each size is a T, and runs of spaces are one."""
    text = re.sub(r"\d[\d,.]* (ms|s|B|kB)\b", "T", "\n".join(lines))
    return re.sub(r"(?<=\S) +", " ", text).split("\n")


def test_the_text(commands: Commands) -> None:
    """What would run and why, its price, the edit, the path; then the next command."""
    commands.write(EDITED)

    out, err = commands.run("plan", "study.py", "-o", "cache", "-n", "2", columns=80)

    lines = timeless(re.sub(r"#[0-9a-f]+", "", out).splitlines())
    assert lines == [
        "Main: 6 of 6 tasks would run, 1 of them at most",
        "about T on 2 workers (T to T), T of work",
        "",
        "  task total fresh to run at most time range bytes",
        "  ReadFile 4 0 4 T T to T T",
        "  Total 1 0 1 1 T T to T T",
        "  Main 1 0 1 T T to T T",
        "",
        "  ReadFile (4) because source of study:WORD changed",
        "  Total (1) because an upstream task would run",
        "  Main (1) because it was cleared or forced",
        "",
        "  1 edit explains 5 tasks: `WORD` in study.py",
        "",
        "critical path of 3 tasks, T",
        lines[-3],
        "  T Total(count=4)",
        "  T Main(count=4)",
    ]
    assert re.fullmatch(r"  T ReadFile\(number=\d\)", lines[-3])
    assert err.endswith("\nhint: python -m taskproc why study.py -o cache\n")


@pytest.mark.parametrize("columns", [60, 80])
def test_it_fits_the_terminal(commands: Commands, columns: int) -> None:
    """No line is wider; names and counts stay, and what is left out is the range first."""
    commands.write(EDITED.replace("ReadFile", "ReadOneOfTheManyFilesThatThereAreInThisFolderAndCountItsWords"))

    lines = commands.lines("plan", "study.py", "-o", "cache", columns=columns)

    assert max(map(width_of, lines)) <= columns
    assert "  Total" in "\n".join(lines)
    head = next(line for line in lines if line.startswith("  task"))
    assert head.split()[:5] == ["task", "total", "fresh", "to", "run"]
    assert ("range" in head) == (columns == 80)


def test_a_pipe_is_not_cut(commands: Commands) -> None:
    """Without a terminal, a line is as long as it is."""
    commands.write(EDITED.replace("count: int = 4", f"count: int = 4, text: str = {'x' * 70!r}"))

    assert any(len(line) > 80 for line in commands.lines("plan", "study.py", "-o", "cache"))


def test_the_rows(commands: Commands) -> None:
    """One JSON object for the whole, and for each class, edit and task of the path; docs/json.md has all keys."""
    commands.write(EDITED)

    rows = commands.rows("plan", "study.py", "-o", "cache", "-n", "3")

    page = (Path(__file__).resolve().parents[2] / "docs" / "json.md").read_text("utf-8")
    assert [row["row"] for row in rows] == ["plan", "class", "class", "class", "edit", "path", "path", "path"]
    assert {name for row in rows for name in row} <= set(re.findall(r"`(\w+)`", page))
    whole, read = rows[0], rows[1]
    assert (whole["to_run"], whole["fresh"], whole["at_most"], whole["workers"]) == (6, 0, 1, 3)
    assert (read["task"], read["reasons"]) == ("study.ReadFile", {"source of study:WORD changed": 4})
    assert read["seconds"]["low"] < read["seconds"]["likely"] < read["seconds"]["high"]
    assert rows[4]["where"] == "`WORD` in study.py"
    assert rows[4]["tasks"] == {"study.ReadFile": 4}
    assert rows[7]["text"].startswith("Main#")


def test_the_exit_code(commands: Commands) -> None:
    """3 if something would run besides the entry task, which runs each time; 0 without the option."""
    assert commands.lines("plan", "study.py", "-o", "cache", "--exit-code")[0] == (
        "Main: 1 of 6 tasks would run, since it runs each time"
    )
    commands.write(EDITED)
    commands.run("plan", "study.py", "-o", "cache")
    commands.run("plan", "study.py", "-o", "cache", "--exit-code", code=3)
    commands.rows("plan", "study.py", "-o", "cache", "--exit-code", code=3)


def test_nothing_would_run(commands: Commands) -> None:
    """Where the entry task is not forced."""
    out, err = commands.run("plan", "study.py", "-o", "cache", "--dont-force-entrypoint", "--exit-code")

    assert re.sub(r"#[0-9a-f]+", "", out) == "Main: nothing would run, all of 6 tasks are fresh\n"
    assert "hint: python -m taskproc run study.py -o cache" in err


def test_a_new_cache(commands: Commands) -> None:
    """It is not created, and times are unknown."""
    lines = commands.lines("plan", "study.py", "-o", "other")

    assert lines[:2] == ["Main: 6 of 6 tasks would run", "how long it takes is unknown: no such task has run"]
    assert not (commands.folder / "other").exists()


def test_a_parameter_may_have_the_name_of_an_option(commands: Commands) -> None:
    """`--json` is newer than scripts that have such a parameter."""
    commands.write(STUDY.replace("count: int = 4", "count: int = 4, json: str = ''"))

    assert commands.lines("plan", "study.py", "-o", "cache", "--json", "x")[0].startswith("Main: 1 of 6 tasks")
