"""The examples in docs/freshness.md run, and do what the page says."""
from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parent.parent.parent / "docs" / "freshness.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """The blocks of code, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that the page shows, and the one that its last example reads."""
    for block in blocks("python"):
        name = re.match(r"# (\w+\.py)\n", block)
        (tmp_path / (name[1] if name else "lines.py")).write_text(block, "utf-8")
    (tmp_path / "data.txt").write_text("1\n2\n")
    return tmp_path


def run(folder: Path, environ: dict[str, str], *words: str) -> str:
    """What a command prints, to both streams."""
    environ = {**environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, *words], cwd=folder, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_commands_print_what_is_shown(folder: Path, environ: dict[str, str]) -> None:
    """Among other lines."""
    (console,) = blocks("console")
    commands = re.findall(r"^\$ python (.*)\n((?:(?!\$).*\n)+)", console, re.MULTILINE)

    assert len(commands) == 2
    for words, shown in commands:
        assert shown in run(folder, environ, *words.split())


@pytest.mark.parametrize(
    ("old", "new", "count"),
    [("[a-z]+", "[a-z]", 1), ("findall(text)", "findall(text)[:1]", 1), ("    ...", "    return 1", 0)],
)
def test_what_is_reached_counts(folder: Path, environ: dict[str, str], old: str, new: str, count: int) -> None:
    """And nothing else of its module."""
    words = ("-m", "taskproc", "pipeline.py", "-o", "cache", "--dont-force-entrypoint")
    run(folder, environ, *words)
    path = folder / "words.py"
    assert old in path.read_text("utf-8")
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")

    assert f"{count} done" in run(folder, environ, *words)


def test_what_is_accepted_is_not_reported(folder: Path, environ: dict[str, str]) -> None:
    """With the line that the page shows; `why` says that one of its patterns matches nothing here."""
    found = re.search(r"`(task_unwatched_ok = .*?)`", PAGE)
    assert found is not None
    path = folder / "pipeline.py"
    path.write_text(path.read_text("utf-8").replace("(Task):\n", f"(Task):\n    {found[1]}\n"), "utf-8")

    said = run(folder, environ, "-m", "taskproc", "pipeline.py", "-o", "cache")
    why = run(folder, environ, "-m", "taskproc", "why", "pipeline.py", "-o", "cache")

    assert "cannot be watched" not in said
    assert "not watched, and accepted: words:SEEN is changed by the code itself" in why
    assert "'plugins:load calls getattr*' in task_unwatched_ok matches nothing" in why


def test_the_other_examples_run(folder: Path, environ: dict[str, str]) -> None:
    """Each as a script."""
    for name in ("words.py", "pipeline.py", "lines.py"):
        assert run(folder, environ, name) == ""
