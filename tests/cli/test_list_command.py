"""Laws of `list`: what a person looks for is there, in lines of the terminal's width, and the same for programs."""
from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from taskproc.cli.cache_output import Column, print_table, seconds_text, time_text
from taskproc.cli.main import main
from taskproc.store.cache import Cache
from tests.cli.schema import objects
from tests.cli.terminal import on_terminal, taskproc

Capture = pytest.CaptureFixture[str]
STUDY = """
from taskproc import Task
class Load(Task):
    def __init__(self, day): self.day = day
    def run_task(self): return list(range(self.day))
class Train(Task):
    def __init__(self, data, lr=0.1, name="a model with a long name that is the same for all of them", fails=False):
        self.data, self.fails = data, fails
    def run_task(self):
        if self.fails:
            raise ValueError("as asked")
        return sum(self.data.get_result())
class Main(Task):
    def __init__(self, fails=False):
        self.trained = [Train(Load(day), lr) for day in (1, 2) for lr in (0.1, 0.2)]
        self.trained += [Train(Load(3), fails=True)] if fails else []
    def run_task(self): pass
"""


@pytest.fixture
def study(script: Callable[..., str], capsys: Capture) -> str:
    """Four models, a failed one, and their data."""
    words = ["-o", "cache", "-t", "local", "--fails", "true", "--on-error", "continue"]
    assert 1 == main([script(STUDY, "study.py"), *words])
    capsys.readouterr()
    return "cache"


def test_classes_in_a_process(study: str, environ: dict[str, str]) -> None:
    """A line for each, with the time that its results took; `ls` is the same, and a pipe has no hint."""
    done = taskproc(["list", "-o", study], environ)

    head, *rows = done.stdout.splitlines()
    assert ["task", "results", "seconds", "size", "newest"] == head.split()
    assert [["study.Load", "3"], ["study.Train", "4"]] == [row.split()[:2] for row in rows]
    assert "" == done.stderr
    assert done.stdout == taskproc(["ls", "-o", study], environ).stdout
    shown = objects(taskproc(["list", "-o", study, "--json"], environ).stdout, "list: a class")
    assert [("study.Load", 3), ("study.Train", 4)] == [(each["task"], each["results"]) for each in shown]
    assert all(each["seconds"] > 0 < each["bytes"] for each in shown)


def test_tasks_in_a_process(study: str, environ: dict[str, str]) -> None:
    """By the last part of the class: ids, states and arguments; what differs comes first, tasks are calls."""
    head, *rows = taskproc(["list", "Train", "-o", study], environ).stdout.splitlines()

    assert ["id", "state", "when", "seconds", "peak", "size", "arguments"] == head.split()
    assert ["failed", "good", "good", "good", "good"] == sorted(row.split()[1] for row in rows)
    at = head.index("arguments")
    assert all(row[at:].startswith("lr=0.") and "data=Load(day=" in row for row in rows)
    (failed,) = (row for row in rows if "failed" in row)
    assert failed.endswith("  # ValueError: as asked")
    shown = objects(taskproc(["list", "Train", "-o", study, "--json"], environ).stdout, "list: a task")
    entries = Cache(study).entries("Train")
    assert [(each.key, dict(each.arguments), each.state) for each in entries] == [
        (each["key"], each["arguments"], each["state"]) for each in shown
    ]


@pytest.mark.parametrize("columns", [60, 80])
def test_a_terminal_of_few_columns(study: str, environ: dict[str, str], columns: int) -> None:
    """Lines fit, arguments have room, and the command that comes next can be used as it stands."""
    lines = on_terminal(["list", "Train", "-o", study], {**environ, "NO_COLOR": "1"}, columns).splitlines()

    assert columns >= max(map(len, lines[:-1]))
    assert all("lr=0." in line for line in lines[1:6])
    assert "\x1b" not in "".join(lines)
    assert "" == lines[-2]
    hint, _, rest = lines[-1].removeprefix("hint: `python -m taskproc ").partition("`")
    assert hint.startswith("show ")
    assert hint.endswith(f" -o {study}")
    assert " shows all that is known of the first one" == rest
    assert "hint: `python -m taskproc list study.Train -o cache` shows its tasks" == (
        on_terminal(["list", "-o", study], environ, columns).splitlines()[-1]
    )


def test_conditions_on_arguments(study: str, capsys: Capture) -> None:
    """As Python, as it is shown, without quotes; all of them must hold."""
    for words, count in {
        ("Train", "--where", "lr=0.1"): 3,
        ("Train", "--where", "lr=0.1", "fails=False"): 2,
        ("Train", "--where", "lr=0.1", "--where", "data=Load(day=1)"): 1,
        ("--where", "day=3"): 1,
        ("Train", "name=a model with a long name that is the same for all of them"): 5,
        ("Train", "lr=0.3"): 0,
        ("Train", "--failed"): 1,
        ("--failed",): 1,
        ("Train", "--since", "2h"): 5,
        ("--since", "2999-01-01"): 0,
    }.items():
        assert 0 == main(["list", "-o", study, *words, "--json"])
        assert count == len(objects(capsys.readouterr().out, "list: a task")), words
    assert 0 == main(["list", "-o", study, "--since", "2999-01-01"])
    assert ("", "no task fits\n") == capsys.readouterr()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["Train", "--where", "rl=1"], "no task has an argument 'rl'; there are data, fails, lr, name"),
        (["Train", "--where", "lr"], "argument --where: expected NAME=VALUE, such as lr=0.1, got 'lr'"),
        (["--since", "yesterday"], "argument --since: expected a time such as 2d, 3h, 30min or 2026-11-30"),
        (["--since", "9e999d"], "argument --since: expected a time"),
        (["Train", "Load"], "list takes one task class, got Train Load\n\nhint: `show ID` shows a task"),
        (["Trian"], "the cache has no results of 'Trian'; it has study.Load, study.Train"),
    ],
    ids=str,
)
def test_what_is_wrong_is_usage(study: str, capsys: Capture, words: list[str], message: str) -> None:
    """Said in words, with exit code 2."""
    assert 2 == main(["list", "-o", study, *words])

    assert message in capsys.readouterr().err


def test_sorted_by(study: str, capsys: Capture) -> None:
    """The largest first; names from A to Z."""
    for path in Path(study).glob("study.Load/results/*"):
        path.joinpath("data.1").mkdir()
        path.joinpath("data.1", "x").write_bytes(bytes(int(path.name) % 5000))
    for field, sort in {"bytes": "size", "seconds": "seconds", "ended": "when"}.items():
        assert 0 == main(["list", "Load", "-o", study, "--sort", sort, "--json"])
        values = [each[field] for each in objects(capsys.readouterr().out, "list: a task")]
        assert sorted(values, reverse=True) == values
    assert 0 == main(["list", "--since", "1d", "-o", study, "--sort", "name", "--json"])
    names = [(each["task"], [*each["arguments"].values()]) for each in objects(capsys.readouterr().out, "list: a task")]
    assert sorted(names) == names
    for sort in ("seconds", "size", "when", "peak", "name"):
        assert 0 == main(["list", "-o", study, "--sort", sort])
        assert 0 == main(["list", "Train", "-o", study, "--sort", sort])


def test_wide_is_whole(study: str, environ: dict[str, str]) -> None:
    """Whatever the terminal."""
    lines = on_terminal(["list", "Train", "-o", study, "--wide"], environ, 60).splitlines()

    assert all("name='a model with a long name that is the same for all of them'" in line for line in lines[1:6])
    assert lines[1].split()[2] == dt.date.today().isoformat()


def test_columns_give_way_to_the_last(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """The lowest rank goes first, and only as many as it takes; wide letters count as two."""
    columns = [Column("id"), Column("one", rank=1), Column("two", rank=2), Column("last", left=True, middle=True)]
    rows = [["a", "1" * 10, "2" * 10, "x" * 50], ["語", "1", "2", "語" * 30]]
    shown = []
    for width in ("100", "45", "30", "10"):
        monkeypatch.setenv("COLUMNS", width)
        monkeypatch.setattr("taskproc.cli.cache_output.terminal_width", lambda file, width=width: int(width))
        print_table(columns, rows)
        shown.append(capsys.readouterr().out.splitlines())

    assert ["id", "one", "two", "last"] == shown[0][0].split()
    assert [["id", "two", "last"], ["id", "last"], ["id", "last"]] == [lines[0].split() for lines in shown[1:]]
    assert "a   " + "x" * 13 + "…" + "x" * 12 == shown[2][1]
    assert all(len(line) + line.count("語") <= 10 for line in shown[3])


def test_times_are_short_for_today() -> None:
    """And a date for others."""
    now = time.time()

    assert time.strftime("%H:%M", time.localtime(now)) == time_text(now, whole=False)
    assert time.strftime("%Y-%m-%d", time.localtime(60.0)) == time_text(60.0, whole=False)
    assert ["-", "-"] == [time_text(None), time_text(0.0)]
    assert ["-", "0 ms", "99 ms", "0.1 s", "58 s"] == list(map(seconds_text, (None, 0.0, 0.0991, 0.0999, 58.0)))


def test_the_price_of_a_class_is_a_record_a_task(study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more of a result is read than its end."""
    sizes = []
    true = os.pread

    def note(handle: int, size: int, offset: int) -> bytes:
        sizes.append(size)
        return true(handle, size, offset)

    monkeypatch.setattr(os, "pread", note)

    assert 0 == main(["list", "-o", study])

    assert len(sizes) <= 8
    assert max(sizes) <= 4096


def test_stale_results_are_marked(study: str, capsys: Capture) -> None:
    """With a script, `list` says which results are stale for its Main, and why."""
    script = Path("study.py")
    script.write_text(script.read_text().replace("range(self.day)", "range(self.day, 9)"))

    assert 0 == main(["list", "Load", "-o", study, "--script", "study.py --fails true", "--json"])
    loads = objects(capsys.readouterr().out, "list: a task")
    assert {("stale", "source of study:Load.run_task changed")} == {(load["state"], load["error"]) for load in loads}
    assert 0 == main(["list", "-o", study, "--script", "study.py --fails true"])
    states = [line.split()[2] for line in capsys.readouterr().out.splitlines()[1:]]
    assert sorted(states) == ["failed", *["stale"] * 7]


def test_accepting_one_task(study: str, capsys: Capture) -> None:
    """With an id, `accept` concerns this task and what it needs; `--json` counts by class."""
    script = Path("study.py")
    script.write_text(script.read_text().replace("range(self.day)", "range(0, self.day)"))
    words = ["study.py", "-o", study, "--fails", "true"]
    assert 0 == main(["list", "Load", "-o", study, "--where", "day=1", "--json"])
    (load,) = objects(capsys.readouterr().out, "list: a task")

    assert 0 == main(["accept", words[0], load["id"], *words[1:], "--json"])
    assert [("study.Load", 1)] == [(row["task"], row["accepted"]) for row in objects(capsys.readouterr().out, "accept")]
    assert 0 == main(["list", "Load", "-o", study, "--script", "study.py --fails true", "--json"])
    states = [entry["state"] for entry in objects(capsys.readouterr().out, "list: a task")]
    assert sorted(states) == ["good", "stale", "stale"]
