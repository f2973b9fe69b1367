"""Laws of the cache folder that no option names: the environment decides, then the nearest project that says so."""
from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from taskproc.cli.cache_folder import _plain_setting, default_folder
from taskproc.cli.main import main
from taskproc.cli.usage import UsageError
from tests.pace import limit

Capture = pytest.CaptureFixture[str]
TABLE = "[tool.taskproc]\ncache = 'kept'\n"


def test_all_commands_find_the_same_folder(
    script: Callable[..., str], environ: dict[str, str], tmp_path: Path
) -> None:
    """A run, and a look at what it made, in processes: relative to the file, from a folder below it."""
    Path("pyproject.toml").write_text(f"[project]\nname = 'x'\n{TABLE}", "utf-8")
    script(name="deep/job.py")
    environ = {name: value for name, value in environ.items() if name != "TASKPROC_CACHE"}

    def taskproc(*words: str, **more: str) -> str:
        command = [sys.executable, "-m", "taskproc", *words]
        done = subprocess.run(command, cwd=tmp_path / "deep", env={**environ, **more}, capture_output=True, text=True,
                              check=True, timeout=limit(60))  # fmt: skip
        return done.stdout

    assert "the square is 9\n" == taskproc("job.py", "-t", "local")
    assert Path("kept", "job.Square").is_dir()
    assert "job.Square" in taskproc("list")
    assert "the square is 9\n" == taskproc("job.py", "-t", "local", TASKPROC_CACHE="other")
    assert Path("deep", "other", "job.Square").is_dir()


def test_the_option_comes_first_then_the_environment(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """What is nearer to the user decides."""
    Path("pyproject.toml").write_text(TABLE, "utf-8")
    monkeypatch.setenv("TASKPROC_CACHE", "named")

    for words, expected in ((["-o", "given"], "given"), ([], "named")):
        assert 2 == main(["list", *words])
        assert f"no cache at '{expected}'" in capsys.readouterr().err
    monkeypatch.setenv("TASKPROC_CACHE", "")
    assert 2 == main(["list"])
    assert "no cache at 'kept'" in capsys.readouterr().err


def test_the_nearest_project_that_has_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without it, and a folder of that name, are passed."""
    (tmp_path / "a" / "b" / "pyproject.toml").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(TABLE, "utf-8")
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.taskproc]\nother = 1\n", "utf-8")
    monkeypatch.chdir(tmp_path / "a" / "b")

    assert default_folder() == str(Path("..", "..", "kept"))


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there is no reader of TOML")
@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[tool.taskproc]\ncache = 3\n", "pyproject.toml: cache in [tool.taskproc] must be the path of a folder"),
        ("[tool.taskproc]\ncache = \n", "pyproject.toml cannot be read: Invalid value"),
    ],
)
def test_a_wrong_setting_names_the_file(text: str, error: str) -> None:
    """It is not passed over, for then the results would be elsewhere."""
    Path("pyproject.toml").write_text(text, "utf-8")

    with pytest.raises(UsageError) as caught:
        default_folder()

    assert str(caught.value).startswith(error)


def test_without_a_folder_all_three_ways_are_named(capsys: Capture) -> None:
    """An error of usage."""
    assert 2 == main(["list"])

    text = capsys.readouterr().err
    assert "no cache folder is given" in text
    assert all(way in text for way in ("-o DIR", "TASKPROC_CACHE", "[tool.taskproc] of pyproject.toml"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TABLE, "kept"),
        ('[a]\ncache = "no"\n[ tool.taskproc ]\nx = 1\ncache="a/b"  # here\n[b]\ncache = "no"\n', "a/b"),
        ("[tool.taskproc.more]\ncache = 'no'\n", None),
        ("[[tool.taskproc]]\ncache = 3\n", None),
    ],
)
def test_the_plain_reader_knows_the_usual_line(text: str, expected: str | None) -> None:
    """For a Python that cannot read TOML: only in its table, in either kind of quotes."""
    assert expected == _plain_setting(text)
