"""Laws of `du`: every byte of a cache is counted once, where a person would look for it."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskproc.cli.main import main
from taskproc.ledger.sizes import KINDS
from taskproc.store.cache import Cache
from taskproc.store.marks import Mark
from tests.cli.schema import objects
from tests.cli.terminal import on_terminal, taskproc

Capture = pytest.CaptureFixture[str]
SCRIPT = """
from taskproc import Task
VERSION = 1
class Keeps(Task):
    def run_task(self):
        (self.task_directory / "deep").mkdir()
        (self.task_directory / "deep" / "raw.bin").write_bytes(bytes(VERSION * 1000))
        print("x" * 99)
        return VERSION
class Fails(Task):
    def run_task(self):
        print("y" * 49)
        raise ValueError
class Main(Task):
    def __init__(self): self.both = [Keeps(), Fails()]
    def run_task(self): pass
"""


@pytest.fixture
def cache(script: Callable[..., str], capsys: Capture) -> str:
    """Two versions of a result with files, a failure, and something in the trash that a run may still read."""
    for version in (1, 2):
        job = script(SCRIPT.replace("VERSION = 1", f"VERSION = {version}"))
        assert 1 == main([job, "-o", "cache", "-n", "1", "--on-error", "continue"])
    capsys.readouterr()
    return "cache"


def total(path: Path) -> int:
    return sum(each.lstat().st_size for each in path.rglob("*") if not each.is_dir())


def by_kind(text: str) -> dict[str, dict[str, Any]]:
    return {each["task"] or each["kind"]: each for each in objects(text, "du")}


def test_every_byte_once_in_a_process(cache: str, environ: dict[str, str]) -> None:
    """The sums are those of the files."""
    shown = by_kind(taskproc(["du", "-o", cache, "--json"], environ).stdout)

    keeps, place = shown["job.Keeps"], next(Path(cache, "job.Keeps", "results").iterdir())
    assert (place / "result.2.pkl.gz").stat().st_size == keeps["results"]
    assert (2000, 100) == (keeps["data"], keeps["logs"])
    earlier = [place / name for name in ("result.1.pkl.gz", "stdout.1.txt", "files.1.json")]
    assert 1000 + sum(path.stat().st_size for path in earlier) == keeps["earlier"]
    fails = shown["job.Fails"]
    printed = sum(path.stat().st_size for path in Path(cache).glob("job.Fails/results/*/std*.txt"))
    assert (0, 0, printed, 0) == tuple(fails[kind] for kind in ("results", "data", "logs", "earlier"))
    for name in ("job.Keeps", "job.Fails"):
        assert total(Path(cache, name)) == shown[name]["bytes"]
        assert shown[name]["bytes"] == sum(shown[name][kind] for kind in KINDS)
    assert total(Path(cache)) == shown["total"]["bytes"]


def test_the_trash_is_counted(cache: str, capsys: Capture) -> None:
    """Until it is empty; then the next thing to do is another one."""
    mark = Mark(str(Path(cache).resolve()))
    assert 0 == main(["clear", "job.Keeps", "-o", cache])
    capsys.readouterr()

    assert 0 == main(["du", "-o", cache, "--json"])
    shown = by_kind(capsys.readouterr().out)
    mark.close()

    assert total(Path(cache, "trash")) == shown["trash"]["bytes"]
    assert shown["trash"]["bytes"] > 3000
    assert "job.Keeps" not in shown


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_a_terminal_of_few_columns(cache: str, environ: dict[str, str], columns: int) -> None:
    """The total always has room; a byte that is not there is a dash."""
    lines = on_terminal(["du", "-o", cache], environ, columns).splitlines()

    assert columns >= max(map(len, lines[:-1]))
    assert ["task", "total"] == [lines[0].split()[0], lines[0].split()[-1]]
    table = [line.split() for line in lines[1:-2]]
    assert ["(rest)", "(trash)", "job.Fails", "job.Keeps", "total"] == sorted(row[0] for row in table)
    assert (columns == 40) == ("other" not in lines[0])
    largest = max(("job.Fails", "job.Keeps"), key=lambda name: total(Path(cache, name)))
    assert f"`python -m taskproc list {largest} --sort size -o cache`" in lines[-1]


def test_an_empty_cache(capsys: Capture) -> None:
    """Its own files are the rest."""
    with Cache("cache"):
        pass

    assert 0 == main(["du", "-o", "cache"])

    _, trash, rest, whole = (line.split() for line in capsys.readouterr().out.splitlines())
    assert (["(trash)", "0", "B"], rest[1:]) == (trash, whole[1:])
