"""Laws of `show`: one task whole, from what is stored; its value only for `--value`."""
from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from taskproc.cli.main import main
from taskproc.store.cache import Cache
from tests.cli.schema import objects
from tests.cli.terminal import on_terminal, taskproc

Capture = pytest.CaptureFixture[str]
SCRIPT = """
import sys
from taskproc import InputFile, Task

class Point:
    shape = (2, 3)
    def __init__(self, x): self.x = x
    def __repr__(self): return f"Point({self.x}) " + "." * 500
    def __len__(self): return 2

class Load(Task):
    def __init__(self, file): self.file = file
    def run_task(self):
        (self.task_directory / "deep").mkdir()
        (self.task_directory / "deep" / "raw.bin").write_bytes(bytes(1000))
        print("loaded", self.file.get_result().name)
        return Point(3)

class Train(Task):
    def __init__(self, data, lr=0.1):
        self.data = data
        self.more = Load(InputFile("job.py"))
    def run_task(self):
        print("bad words", file=sys.stderr)
        raise ValueError("as asked\\x1b[2J")

class Good(Task):
    def __init__(self, data): self.data = data
    def run_task(self): return 5

class Main(Task):
    def __init__(self):
        self.both = [Train(Load(InputFile("data.txt"))), Good(Load(InputFile("data.txt")))]
    def run_task(self): pass
"""


@pytest.fixture
def cache(script: Callable[..., str], capsys: Capture) -> str:
    """A result with files, one made from it, and a failure."""
    Path("data.txt").touch()
    assert 1 == main([script(SCRIPT), "-o", "cache", "-n", "1", "--on-error", "continue"])
    capsys.readouterr()
    return "cache"


def fields(text: str) -> dict[str, list[str]]:
    """The lines of a block by their names."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines()[1:]:
        head, _, rest = line[2:].partition("  ")
        name = head or name
        found.setdefault(name, []).append(rest.strip())
    return found


def test_a_result_in_a_process(cache: str, environ: dict[str, str]) -> None:
    """What it was made from and who reads it, its code, files and logs; in a pipe nothing is cut."""
    entry = next(each for each in Cache(cache).entries("Load") if "data.txt" in each.arguments["file"])
    (reader,) = Cache(cache).entries("Good")

    done = taskproc(["show", entry.id, "-o", cache], environ)

    assert f"job.Load#{entry.id}  good" == done.stdout.splitlines()[0]
    shown = fields(done.stdout)
    assert ["file=InputFile(path='data.txt')"] == shown["arguments"]
    assert re.fullmatch(r"\w{6}  InputFile\(path='data.txt'\)", shown["reads"][0])
    assert [f"{reader.id}  Good(data=Load(file=InputFile(path='data.txt')))"] == shown["read by"]
    assert {"job:Load", "job:Load.run_task"} <= set(shown["code"])
    assert ["deep/raw.bin  1.0 kB"] == shown["files"]
    assert ["loaded data.txt"] == shown["stdout"]
    assert [entry.key] == shown["key"]
    assert shown["with"][0].startswith("python 3.")
    assert "value" not in shown
    assert "" == done.stderr


def test_a_result_for_programs(cache: str, environ: dict[str, str]) -> None:
    """All fields of the page, and the value on request only."""
    entry = next(each for each in Cache(cache).entries("Load") if "data.txt" in each.arguments["file"])

    (shown,) = objects(taskproc(["show", entry.key, "-o", cache, "--json"], environ).stdout, "show")

    assert (entry.key, "good", None) == (shown["key"], shown["state"], shown["value"])
    assert [{"path": "deep/raw.bin", "bytes": 1000}] == shown["files"]
    assert [("stdout", "loaded data.txt\n")] == [(log["stream"], log["tail"]) for log in shown["logs"]]
    assert ["job.Good"] == [each["task"] for each in shown["readers"]]
    (shown,) = objects(taskproc(["show", entry.id, "-o", cache, "--json", "--value"], environ).stdout, "show")
    assert ("job.Point", [2, 3], 2) == tuple(shown["value"][name] for name in ("type", "shape", "length"))
    assert len(shown["value"]["repr"]) == 200


def test_a_failure(cache: str, capsys: Capture) -> None:
    """Why, with its traceback and its log, harmless for a terminal; its inputs are those of its arguments."""
    assert 0 == main(["show", "Train", "-o", cache])

    shown = fields(capsys.readouterr().out)
    assert r"ValueError: as asked\x1b[2J" == shown["error"][0]
    assert any("in run_task" in line for line in shown["error"])
    assert "bad words" in shown["stderr"]
    assert ["Load(file=InputFile(path='data.txt'))"] == [line.split("  ")[1] for line in shown["reads"]]
    assert 0 == main(["show", "Train", "-o", cache, "--json"])
    (one,) = objects(capsys.readouterr().out, "show")
    assert ("failed", None, []) == (one["state"], one["code"], one["versions"])
    assert "ValueError" in one["traceback"]
    assert 1 == main(["show", "Train", "-o", cache, "--value"])
    assert "has no result that can be loaded: ValueError" in capsys.readouterr().err


def test_nothing_is_unpickled_without_value(cache: str, capsys: Capture) -> None:
    """A result whose payload is damaged is shown; `--value` refuses it, and the exit code says so."""
    (entry,) = Cache(cache).entries("Good")
    version = next(Cache(cache).store.look(entry._place))
    content = bytearray(Path(version.path).read_bytes())
    content[version.size - 1] ^= 1
    Path(version.path).write_bytes(bytes(content))

    assert 0 == main(["show", "Good", "-o", cache])
    assert 1 == main(["show", "Good", "-o", cache, "--value"])

    assert "is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("columns", [60, 80])
def test_a_terminal_of_few_columns(cache: str, environ: dict[str, str], columns: int) -> None:
    """Lines fit, and the last one is the command that comes next."""
    lines = on_terminal(["show", "Good", "-o", cache], environ, columns).splitlines()

    assert columns >= max(map(len, lines[:-1]))
    entry = Cache(cache).entries("Good")[0]
    assert f"hint: `python -m taskproc show {entry.id} --value -o cache` loads its value" == lines[-1]
    (entry,) = Cache(cache).entries("Train")
    assert f"hint: `python -m taskproc log {entry.id} -o cache` shows what it printed" == (
        on_terminal(["show", "Train", "-o", cache], environ, columns).splitlines()[-1]
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no task is given: ID\n\nhint: `list CLASS` shows the ids of its tasks"),
        (["Load"], "Load has 2 tasks: give the id of one task"),
        (["abcdef"], "the cache has no task 'abcdef'"),
        (["job.Lod"], "the cache has no results of 'job.Lod'"),
    ],
    ids=str,
)
def test_one_task_must_be_meant(cache: str, capsys: Capture, words: list[str], message: str) -> None:
    """Else it is wrong usage, which says how to find the id."""
    assert 2 == main(["show", *words, "-o", cache])

    assert message in capsys.readouterr().err


def test_a_task_that_never_ran(cache: str, capsys: Capture) -> None:
    """Its folder is there, and nothing in it."""
    for path in Path(cache).glob("job.Good/results/*/*"):
        if path.is_file():
            path.unlink()

    assert 2 == main(["show", "Good", "-o", cache])

    assert "never ran, or was cleared" in capsys.readouterr().err


def test_inputs_that_were_cleared_are_named(cache: str, capsys: Capture) -> None:
    """By their class and id, which the arguments have; those that a task made itself only by their id."""
    assert 0 == main(["clear", "Load", "-o", cache])
    capsys.readouterr()

    assert 0 == main(["show", "Good", "-o", cache])

    (line,) = fields(capsys.readouterr().out)["reads"]
    assert re.fullmatch(r"(\w{6})  Load#\1", line)
