"""`plan --against REV`: the working tree beside a revision, as a process in a real repository."""
from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from taskproc.text import width_of
from tests.cli.plan_scripts import EDITED, STUDY, Commands
from tests.pace import limit

pytestmark = [
    pytest.mark.skipif(shutil.which("git") is None, reason="needs git"),
    pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere"),
]
AGAINST = ("plan", "study.py", "-o", "cache", "-n", "2", "--against", "HEAD")
PACKAGE = """
from taskproc import Task

from .words import WORD


class Main(Task):
    def run_task(self):
        return WORD
"""


def git(folder: Path, *words: str) -> None:
    """Run git with a name and without the settings of this machine."""
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    setting = ("-c", "user.name=n", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *setting, *words], cwd=folder, check=True, env=environ, capture_output=True)


@pytest.fixture
def commands(tmp_path: Path, environ: dict[str, str]) -> Commands:
    """A repository whose study has run and was edited; temporary folders lie in `temporary`."""
    (tmp_path / "temporary").mkdir()
    folder = tmp_path / "project"
    folder.mkdir()
    made = Commands(folder, {**environ, "TMPDIR": str(tmp_path / "temporary")})
    made.write(STUDY)
    git(folder, "init", "-q")
    git(folder, "add", "study.py")
    git(folder, "commit", "-q", "-m", "one")
    made.run("study.py", "-o", "cache", "-t", "local")
    made.write(EDITED)
    return made


@pytest.fixture(autouse=True)
def _leaves_nothing(commands: Commands) -> object:
    """Nothing is left of the revision, whatever a test did."""
    yield
    assert [] == list((commands.folder.parent / "temporary").iterdir())
    assert not (commands.folder / ".git" / "worktrees").exists()


def timeless(lines: list[str]) -> list[str]:
    """Lines in which each time and each size is a T, and runs of spaces are one."""
    return re.sub(r"(?<=\S) +", " ", re.sub(r"\d[\d,.]* (ms|s|B|kB)\b", "T", "\n".join(lines))).split("\n")


def test_the_text(commands: Commands) -> None:
    """Both side by side, what the change would cost, and which edits are to blame."""
    assert timeless(commands.lines(*AGAINST, columns=80)) == [
        "working tree: 6 of 6 tasks would run, about T",
        "HEAD: 1 of 6 tasks would run, about T",
        "this change would cost T more on 2 workers",
        "",
        "  task to run now HEAD time now HEAD bytes now HEAD",
        "  ReadFile 4 of 4 0 of 4 T T -",
        "  Total 1 of 1 0 of 1 T T -",
        "  Main 1 of 1 1 of 1 T T T T",
        "",
        "  `WORD` in study.py affects 5 tasks",
    ]


@pytest.mark.parametrize("columns", [60, 80])
def test_it_fits_the_terminal(commands: Commands, columns: int) -> None:
    """Bytes are left out first."""
    lines = commands.lines(*AGAINST, columns=columns)

    assert max(map(width_of, lines)) <= columns
    assert any("to run now" in line for line in lines)


def test_the_rows(commands: Commands) -> None:
    """Each row says which side it is of; the exit code is that of the working tree."""
    rows = commands.rows(*AGAINST, "--exit-code", code=3)

    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=commands.folder, capture_output=True, text=True, check=True)
    plans = [row for row in rows if row["row"] == "plan"]
    assert [(row["side"], row["revision"], row["to_run"]) for row in plans] == [
        ("now", None, 6),
        ("then", head.stdout.strip(), 1),
    ]


def test_nothing_is_written(commands: Commands) -> None:
    """Neither to the cache nor to the repository, also where the digest of a file would be remembered."""
    os.symlink(os.__file__, commands.folder / "data.txt")  # old enough for that
    reads = EDITED.replace("range(count)])", 'range(count)])\n        self.data = InputFile("data.txt")')
    commands.write(reads.replace("FutureList, Task", "FutureList, InputFile, Task"))
    git(commands.folder, "commit", "-q", "-a", "-m", "two")
    commands.run("plan", "study.py", "-o", "cache")

    def stamps() -> dict[Path, int]:
        files = [path for path in commands.folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        return {path: path.stat().st_mtime_ns for path in files}

    before = stamps()
    commands.run(*AGAINST)

    assert len(list((commands.folder / "cache" / "inputs").iterdir())) == 1
    assert before == stamps()


def test_untracked_data_is_found(commands: Commands) -> None:
    """By its relative path, as the working tree finds it."""
    (commands.folder / "data").mkdir()
    commands.write("5", "data/count.txt")
    source = STUDY.replace("count: int = 4", "count: int = int(open('data/count.txt').read())")
    commands.write(source)
    git(commands.folder, "commit", "-q", "-a", "-m", "two")

    assert commands.lines(*AGAINST)[1].startswith("HEAD: 3 of 7 tasks would run")


def test_modules_are_those_of_the_revision(commands: Commands) -> None:
    """Of a package too, also where the import path leads to the working tree."""
    package = commands.folder / "pkg"
    package.mkdir()
    for name, text in {"__init__.py": "", "words.py": "WORD = 1\n", "main.py": PACKAGE}.items():
        (package / name).write_text(text)
    git(commands.folder, "add", "pkg")
    git(commands.folder, "commit", "-q", "-m", "two")
    commands.environ["PYTHONPATH"] += os.pathsep + str(commands.folder)
    commands.run("run", "pkg.main", "-o", "cache", "-t", "local")
    (package / "words.py").write_text("WORD = 2\n")
    words = ("-o", "cache", "--against", "HEAD", "--dont-force-entrypoint")

    for target in ("pkg.main", "pkg/main.py", str(package / "main.py")):
        assert [line.split(",")[0] for line in commands.lines("plan", target, *words)[:2]] == [
            "working tree: 1 of 1 task would run",
            "HEAD: 0 of 1 task would run",
        ]


def test_an_import_path_into_the_project_is_moved(commands: Commands) -> None:
    """As an editable install has it: a module in `src` is that of the revision."""
    (commands.folder / "src").mkdir()
    commands.write("WORD = 1\n", "src/shared.py")
    commands.write(f"from shared import WORD\n{STUDY.replace('WORD = r', 'OTHER = r')}")
    git(commands.folder, "add", "src")
    git(commands.folder, "commit", "-q", "-a", "-m", "two")
    commands.environ["PYTHONPATH"] += os.pathsep + str(commands.folder / "src")
    commands.run("study.py", "-o", "cache", "-t", "local")
    commands.write("WORD = 2\n", "src/shared.py")

    assert [line.split(",")[0] for line in commands.lines(*AGAINST)[:2]] == [
        "working tree: 6 of 6 tasks would run",
        "HEAD: 1 of 6 tasks would run",
    ]


def test_from_another_folder(commands: Commands) -> None:
    """The script's repository counts, not where the user stands."""
    elsewhere = Commands(commands.folder.parent, commands.environ)
    words = ("plan", "project/study.py", "-o", "project/cache", "--against", "HEAD")

    assert elsewhere.lines(*words)[1].startswith("HEAD: 1 of 6 tasks would run")


def test_what_is_wrong_is_reported(commands: Commands, tmp_path: Path) -> None:
    """An unknown revision, a file that was not there, a script that fails there, no repository, no git."""

    def error(*words: str) -> str:
        return commands.run("plan", *words, "-o", "cache", code=2)[1]

    assert "has no revision 'nowhere'" in error("study.py", "--against", "nowhere")
    assert "has no revision '--help'" in error("study.py", "--against=--help")
    commands.write(STUDY, "new.py")
    assert "error: 'HEAD' has no file 'new.py'" in error("new.py", "--against", "HEAD")
    commands.write("raise ValueError('as asked')\n")
    git(commands.folder, "commit", "-q", "-a", "-m", "two")
    commands.write(STUDY)
    assert "error: 'HEAD' cannot be planned:\n" in (failed := error("study.py", "--against", "HEAD"))
    assert "ValueError: as asked" in failed
    assert str(tmp_path / "temporary") not in failed
    shutil.rmtree(commands.folder / ".git")
    assert "is not in a Git repository" in error("study.py", "--against", "HEAD")
    commands.environ["PATH"] = ""
    assert "error: --against needs git, which is not installed" in error("study.py", "--against", "HEAD")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_it_is_removed_after_a_signal(commands: Commands, number: signal.Signals) -> None:
    """While the revision is being judged."""
    fifo = commands.folder.parent / "fifo"
    os.mkfifo(fifo)
    commands.write(f"open({str(fifo)!r}, 'w').write('here')\nopen({str(fifo)!r}).read()\n{STUDY}")
    git(commands.folder, "commit", "-q", "-a", "-m", "two")
    commands.write(STUDY)
    process = subprocess.Popen([sys.executable, "-m", "taskproc", *AGAINST], cwd=commands.folder, env=commands.environ,
                               stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert fifo.read_text() == "here"

    process.send_signal(number)
    process.communicate(timeout=limit(60))

    assert process.returncode == (130 if number == signal.SIGINT else 128 + number)
