"""Laws of `check` for some tasks, and for programs; test_cli_store.py has those for a whole cache."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from taskproc.cli.main import main
from taskproc.store.cache import Cache
from tests.cli.schema import objects
from tests.cli.terminal import on_terminal, taskproc

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def cache(script: Callable[..., str], capsys: Capture) -> str:
    """Two results of Square, of which the one for 3 is damaged, and two of Main."""
    for x in (3, 4):
        assert 0 == main([script(), "-o", "cache", "-t", "local", "--x", str(x)])
    (entry,) = Cache("cache").entries("Square", where={"x": 3})
    path = Path("cache", "job.Square", "results", str(entry._place.id), "result.1.pkl.gz")
    path.write_bytes(path.read_bytes()[:-1])
    capsys.readouterr()
    return "cache"


def test_some_tasks_are_checked(cache: str, capsys: Capture) -> None:
    """By class, by id, by both; the exit code is that of these."""
    good, bad = (Cache(cache).entries("Square", where={"x": x})[0].id for x in (4, 3))
    for words, code, count in (
        (["Main"], 0, 2), (["Square"], 1, 2), ([good], 0, 1), (["Square", bad], 1, 1), ([good, bad], 1, 2),
    ):  # fmt: skip
        assert code == main(["check", *words, "-o", cache])

        out, err = capsys.readouterr()
        assert code == len(out.splitlines())
        assert f"{count} task{'s' * (count != 1)} with a result; {'1 damaged' if code else 'nothing wrong'}\n" == err
    assert 2 == main(["check", "abcdef", "-o", cache])
    assert "the cache has no task 'abcdef'" in capsys.readouterr().err


def test_findings_for_programs(cache: str, environ: dict[str, str]) -> None:
    """In a process: paths are those in the cache."""
    Path(cache, "notes.txt").touch()

    done = taskproc(["check", "-o", cache, "--json"], environ, code=1)

    shown = {each["kind"]: each for each in objects(done.stdout, "check")}
    assert {"damaged", "foreign"} == set(shown)
    assert Path(cache, shown["damaged"]["path"]).is_file()
    assert "notes.txt" == shown["foreign"]["path"]


def test_a_terminal_has_a_next_command(cache: str, environ: dict[str, str]) -> None:
    """Below the closing line."""
    lines = on_terminal(["check", "-o", cache], environ, 80, code=1).splitlines()

    assert "hint: `python -m taskproc du -o cache` shows what takes space" == lines[-1]
