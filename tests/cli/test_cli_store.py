"""Laws of the commands on a cache: they read names only, and clear the results that are named, or none."""
from __future__ import annotations

import io
import json
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskproc.cli import meter
from taskproc.cli.cache_output import opened, time_text
from taskproc.cli.main import main
from taskproc.ledger.sizes import ClassUsage, class_usages
from taskproc.store.layout import key_digits
from taskproc.store.marks import Mark

Write = Callable[..., str]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def cache(script: Write, capsys: Capture) -> str:
    """A cache with two tasks of each of two classes, made a minute apart."""
    for number, x in enumerate((3, 4)):
        assert 0 == main([script(), "-o", "cache", "-t", "local", "--x", str(x)])
        for path in Path("cache").glob("job.*/results/*/result.*"):
            when = 60 * (number + 1)
            if path.stat().st_mtime > 1e6:
                os.utime(path, (when, when))
    capsys.readouterr()
    return "cache"


def usages(path: str) -> dict[str, ClassUsage]:
    """Each class with what it takes."""
    return {usage.task: usage for usage in class_usages(opened(path))}


def test_list_tells_what_there_is(cache: str, capsys: Capture) -> None:
    """`list` has a line per class: tasks with a result, size of their files, time of the newest."""
    assert 0 == main(["list", "-o", cache])

    head, *rows = capsys.readouterr().out.splitlines()
    assert ["task", "results", "seconds", "size", "newest"] == head.split()
    assert [["job.Main", "2"], ["job.Square", "2"]] == [row.split()[:2] for row in rows]
    found = usages(cache)
    files = [path for path in Path(cache, "job.Main").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) == found["job.Main"].bytes
    assert 120.0 == found["job.Square"].newest
    assert rows[1].endswith(time_text(120.0))


def test_list_unpickles_nothing(cache: str, capsys: Capture) -> None:
    """An unreadable result is listed like any other."""
    for path in Path(cache).glob("job.Main/results/*/result.*"):
        path.write_bytes(b"no pickle")

    assert 0 == main(["list", "-o", cache])

    assert "job.Main" in capsys.readouterr().out


def test_an_attempt_is_no_result(cache: str) -> None:
    """A task that left only logs is not counted, but its files are."""
    for path in Path(cache).glob("job.Main/results/*/result.*"):
        path.unlink()

    found = usages(cache)["job.Main"]

    assert (0, 0.0) == (found.tasks, found.newest)
    assert found.bytes > 0


def test_clear_a_class(cache: str, capsys: Capture) -> None:
    """All results of the class are removed, and none of other classes."""
    assert 0 == main(["clear", "-o", cache, "job.Main"])

    assert "cleared job.Main: 2 tasks\n" == capsys.readouterr().out
    assert {"job.Square": 2} == {name: each.tasks for name, each in usages(cache).items()}


def test_clear_tells_what_becomes_of_the_trash(cache: str, capsys: Capture) -> None:
    """`clear` reports that the trash was emptied, or that a run may still read it and a later `clear` will."""
    mark = Mark(cache)
    assert 0 == main(["clear", "-o", cache, "job.Main"])
    assert "a run may still read" in capsys.readouterr().err
    kept = sum(path.is_file() for path in Path(cache, "trash").rglob("*"))
    mark.close()

    assert 0 == main(["clear", "-o", cache])

    assert ("", f"emptied the trash: {kept} files removed\n") == capsys.readouterr()
    assert [] == list(Path(cache, "trash").iterdir())
    assert 2 == main(["clear", "-o", cache])


def test_clear_on_a_terminal_shows_how_far_it_is(cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`clear` shows its progress on standard error in a line that is overwritten, and its result on stdout."""
    out, err = io.StringIO(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setattr(meter, "DRAW_EVERY", 0.0)
    monkeypatch.setenv("TERM", "xterm")

    assert 0 == main(["clear", "-o", cache, "job.Main"])

    assert "cleared job.Main: 2 tasks\n" == out.getvalue()
    assert "\remptying the trash: 1 file removed\r" in err.getvalue()
    assert re.search(r"\remptied the trash: \d+ files removed\n$", err.getvalue())


def test_check_on_a_terminal_shows_how_far_it_is(cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`check` shows the tasks checked out of all, and each finding on its own line."""
    err = Terminal()
    monkeypatch.setattr(sys, "stdout", err)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setattr(meter, "DRAW_EVERY", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    path = next(Path(cache).glob("job.Square/results/*/result.*"))
    path.write_bytes(b"")

    assert 1 == main(["check", "-o", cache])

    text = err.getvalue()
    assert "checking: 4 of 4 tasks, 100%" in text
    assert "\rdamaged   job.Square" in text
    assert "\n4 tasks with a result; 1 damaged\n\nhint: " in text


def counted(monkeypatch: pytest.MonkeyPatch, command: list[str]) -> Counter[str]:
    """The number of calls to the file system of a command, by name."""
    counts: Counter[str] = Counter()

    def counting(name: str, true: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            counts[name] += 1
            return true(*args, **options)

        return call

    with monkeypatch.context() as patches:
        for name in ("open", "stat", "lstat", "listdir", "scandir", "pread"):
            patches.setattr(os, name, counting(name, getattr(os, name)))
        assert 0 == main(command)
    return counts


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("list", {"open": 2, "scandir": 1, "pread": 1}),
        ("check", {"open": 3, "scandir": 1, "pread": 2}),
    ],
)
def test_what_a_task_costs(
    cache: str, command: str, expected: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more task costs a bounded number of calls: each file is opened at most once."""
    before = counted(monkeypatch, [command, "-o", cache])
    number, place = max((int(path.name), path) for path in Path(cache, "job.Square", "results").iterdir())
    shutil.copytree(place, Path(cache, "job.Square", "results", str(number)[:-1]))

    after = counted(monkeypatch, [command, "-o", cache])

    assert expected == dict(after - before)


def test_a_class_that_is_a_link_is_not_looked_into(cache: str, tmp_path: Path, capsys: Capture) -> None:
    """A class folder that is a link is left out by `list`, damaged for `check`, and refused by `clear`."""
    Path(cache, "job.Main").rename(tmp_path / "elsewhere")
    Path(cache, "job.Main").symlink_to(tmp_path / "elsewhere")
    files = sorted((tmp_path / "elsewhere").rglob("*"))

    assert 0 == main(["list", "-o", cache])
    out, err = capsys.readouterr()
    assert ["task", "job.Square"] == [line.split()[0] for line in out.splitlines()]
    assert "not followed: job.Main (a link)\n" == err
    assert 1 == main(["check", "-o", cache])
    assert "damaged   job.Main  a link" in capsys.readouterr().out
    for words in (["list", "job.Main"], ["clear", "job.Main"]):
        assert 2 == main([words[0], "-o", cache, words[1]])
        assert "job.Main' is a link, and no link is followed" in capsys.readouterr().err
    assert files == sorted((tmp_path / "elsewhere").rglob("*"))


def test_a_class_whose_name_was_cut_is_cleared(script: Write, capsys: Capture) -> None:
    """A class with a cut name is cleared by the name that `list` shows."""
    odd = "class Main(Task):\n    task_pinned_name = 'a' * 150\n    def run_task(self): return 1\n"
    assert 0 == main([script(f"from taskproc import Task\n{odd}"), "-o", "cache", "-t", "local"])
    (name,) = usages("cache")

    assert 0 == main(["clear", "-o", "cache", name])

    assert {} == usages("cache")


def test_clear_some_tasks(cache: str, capsys: Capture) -> None:
    """Only the tasks with these ids are removed; options may stand anywhere."""
    one, other = ids(cache, "job.Square")

    assert 0 == main(["clear", "job.Square", "-o", cache, str(one)])

    assert f"cleared job.Square#{key_digits(one)[:6]}\n" == capsys.readouterr().out
    assert [other] == ids(cache, "job.Square")


def ids(cache: str, name: str) -> list[int]:
    return [number for known, number in opened(cache).places() if known == name]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["job.Square", "1"], "job.Square has no task '1'; nothing was cleared"),
        (["job.Sqare"], "no results of 'job.Sqare'; it has job.Main, job.Square. Did you mean 'job.Square'?"),
        (["job.Square", "one"], "job.Square has no task 'one'; nothing was cleared"),
        ([], "nothing to clear: give the name of a task class"),
    ],
    ids=str,
)
def test_a_wrong_word_clears_nothing(cache: str, capsys: Capture, words: list[str], message: str) -> None:
    """If one name is wrong, nothing is cleared."""
    before = ids(cache, "job.Square")
    also = [str(before[0])] if len(words) == 2 else []

    assert 2 == main(["clear", "-o", cache, *words, *also])

    assert message in capsys.readouterr().err
    assert before == ids(cache, "job.Square")


@pytest.mark.parametrize("words", [["list"], ["clear", "job.Main"]], ids=str)
def test_a_cache_that_is_not_there_is_not_made(words: list[str], tmp_path: Path, capsys: Capture) -> None:
    """A missing cache is wrong usage, and is not created."""
    assert 2 == main([*words, "-o", "nowhere"])

    assert "error: no cache at 'nowhere'" in capsys.readouterr().err
    assert not (tmp_path / "nowhere").exists()


def test_a_newer_cache_is_refused(cache: str, capsys: Capture) -> None:
    """A cache of a newer version is refused and not changed."""
    Path(cache, "taskproc.json").write_text(json.dumps({"format": 99}), "utf-8")

    assert 2 == main(["clear", "-o", cache, "job.Main"])

    assert "format 99" in capsys.readouterr().err
    assert Path(cache, "job.Main").is_dir()


def test_an_empty_cache_says_so(cache: str, capsys: Capture) -> None:
    """An empty cache is reported as such."""
    for name in ("job.Main", "job.Square"):
        main(["clear", "-o", cache, name])
    capsys.readouterr()

    assert 2 == main(["clear", "-o", cache, "job.Main"])

    assert "the cache has no results of 'job.Main': it is empty" in capsys.readouterr().err


def test_never_is_a_dash() -> None:
    """The newest time of a class without a result is a dash."""
    assert "-" == time_text(0.0)


def test_odd_names_are_shown_harmless_and_found_by_what_is_shown(script: Write, capsys: Capture) -> None:
    """Any class name is shown escaped, and the shown name is accepted."""
    odd = "class Main(Task):\n    task_pinned_name = 'a\\x1b[2J\\nb/../c'\n    def run_task(self): return 1\n"
    assert 0 == main([script(f"from taskproc import Task\n{odd}"), "-o", "cache", "-t", "local"])
    capsys.readouterr()

    assert 0 == main(["list", "-o", "cache"])
    shown = r"a\x1b[2J\nb/../c"
    assert [shown, "1"] == capsys.readouterr().out.splitlines()[1].split()[:2]
    assert 0 == main(["clear", "-o", "cache", shown])
    assert f"cleared {shown}: 1 task\n" == capsys.readouterr().out
    assert {} == usages("cache")


def test_check_finds_what_is_damaged(cache: str, capsys: Capture) -> None:
    """`check` prints each finding and the sum on stdout; its exit code says whether a result is damaged."""
    assert 0 == main(["check", "-o", cache])
    assert ("", "4 tasks with a result; nothing wrong\n") == capsys.readouterr()

    path = next(Path(cache).glob("job.Main/results/*/result.*"))
    path.write_bytes(path.read_bytes()[:-1])
    Path(cache, "notes.txt").touch()

    assert 1 == main(["check", "-o", cache])
    out, err = capsys.readouterr()
    assert ["damaged", "foreign"] == [line.split()[0] for line in out.splitlines()]
    assert str(path.relative_to(cache)) in out
    assert "4 tasks with a result; 1 damaged, 1 foreign\n" == err


STUDY = """
from taskproc import Task
class Load(Task):
    def __init__(self, path): pass
    def run_task(self): return {"X": 1}
class Fit(Task):
    def __init__(self, X, name, seed=0): self.X = X
    def run_task(self): return 0
class Main(Task):
    def __init__(self): self.fits = [Fit(Load("d.csv")["X"], name) for name in ("a\x1b[2J", "b" * 300)]
    def run_task(self): pass
"""


def test_list_shows_the_parameters_that_matter(script: Write, capsys: Capture) -> None:
    """Plain arguments come first, tasks by short ids, control characters escaped; nothing is cut in a pipe."""
    assert 0 == main([script(STUDY), "-o", "cache", "-t", "local"])
    capsys.readouterr()

    assert 0 == main(["list", "-o", "cache", "job.Fit"])

    head, *rows = capsys.readouterr().out.splitlines()
    at = head.index("arguments")
    ends = "seed=0, X=Load(path='d.csv')['X']"
    assert {f"name='a\\x1b[2J', {ends}", f"name='{'b' * 300}', {ends}"} == {row[at:] for row in rows}


SWEEP = """
from taskproc import Task
class Fit(Task):
    def __init__(self, name, data, rate): pass
    def run_task(self): return 0
class Main(Task):
    def __init__(self): self.fits = [Fit("same", [1] * 50, rate) for rate in (0.1, 0.2)]
    def run_task(self): pass
"""


def test_list_shows_first_what_differs(script: Write, capsys: Capture) -> None:
    """A line that is cut still distinguishes its task from the others."""
    assert 0 == main([script(SWEEP), "-o", "cache", "-t", "local"])
    capsys.readouterr()

    assert 0 == main(["list", "-o", "cache", "job.Fit"])

    head, *rows = capsys.readouterr().out.splitlines()
    at = head.index("arguments")
    assert ["rate=0.1, name='same'", "rate=0.2, name='same'"] == sorted(row[at : at + 21] for row in rows)


def test_an_id_that_is_too_short_says_so(cache: str, capsys: Capture) -> None:
    """An ambiguous id is refused with longer ones, by one rule for all commands."""
    digits = key_digits(ids(cache, "job.Square")[0])

    assert 2 == main(["clear", "-o", cache, "job.Square", digits[:3]])

    text = f"has no task '{digits[:3]}': an id has at least 6 digits, such as {digits[:6]}"
    assert text in capsys.readouterr().err


@pytest.mark.parametrize("columns", ["60", "120"])
def test_a_terminal_gets_lines_of_its_width(
    script: Write, capsys: Capture, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    """Lines are cut to the width of the terminal, or to the width that the user sets."""
    assert 0 == main([script(STUDY), "-o", "cache", "-t", "local"])
    capsys.readouterr()
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("sys.stdout", terminal := Terminal())
    monkeypatch.setattr("sys.stderr", io.StringIO())

    assert 0 == main(["list", "-o", "cache", "job.Fit"])

    lengths = [len(line) for line in terminal.getvalue().splitlines()]
    assert max(lengths) == int(columns)
    assert terminal.getvalue().count("…") >= 1


class Terminal(io.StringIO):
    """A file that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_short_id_that_may_be_several_clears_none(cache: str, capsys: Capture) -> None:
    """An ambiguous id clears nothing, and the error names the tasks so that they differ."""
    parent = Path(cache, "job.Square", "results")
    one, other = (int(digits.ljust(16, "0"), 16) >> 1 for digits in ("3fa1c27", "3fa1c28"))
    for number in (one, other):
        (parent / str(number)).mkdir()

    assert 2 == main(["clear", "-o", cache, "job.Square", "3fa1c2"])

    err = capsys.readouterr().err
    several = f"#3fa1c27 ({one}), #3fa1c28 ({other})"
    assert f"'3fa1c2' may be any of 2 tasks of job.Square: {several}; nothing was cleared" in err
    assert 0 == main(["clear", "-o", cache, "job.Square", "#3fa1c27", str(other)])
    assert not {one, other}.intersection(ids(cache, "job.Square"))
