"""Laws of entries: what a cache remembers of each task is read without its result, and without its class."""
from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taskproc.errors import CacheError, FailedTaskError, MissingResult, OptionError
from taskproc.ledger.entries import FIELDS, Entry
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.store.members import FOOTER, comment, comment_member, footer_member, json_object, record_length
from taskproc.tasks.future import Future
from taskproc.tasks.inputs import InputFile
from taskproc.tasks.task import Task
from tests.pace import limit


class Load(Task):
    """Something that others need."""

    def __init__(self, day: int):
        self.day = day

    def run_task(self) -> list[int]:
        (self.task_directory / "raw.bin").write_bytes(bytes(1000))
        return [self.day] * 3


class Train(Task):
    """A task with arguments of several kinds."""

    def __init__(self, data: Future[list[int]], lr: float = 0.1, name: str = "a", fails: bool = False):
        self.data, self.lr, self.fails = data, lr, fails

    def run_task(self) -> float:
        if self.fails:
            raise ValueError("as asked")
        return self.lr * sum(self.data.get_result())


def run(task: Task) -> None:
    task.run_graph(executor=LocalExecutor(), show_progress=False)


@pytest.fixture
def filled(cache: Cache) -> Cache:
    """Two results of Train, one failure, and the results that they need."""
    for lr in (0.1, 0.2):
        run(Train(Load(3), lr))
    with pytest.raises(FailedTaskError):
        run(Train(Load(4), fails=True))
    return cache


def test_an_entry_has_what_was_recorded(filled: Cache) -> None:
    """Arguments as Python, tasks among them as calls; where, when, for how long, how much."""
    (entry,) = filled.entries(Train, where={"lr": 0.2})
    task = Train(Load(3), 0.2)

    assert (Train.task_name, task._taskproc.place.key) == (entry.task, entry.key)
    assert entry.key.startswith(entry.id)
    assert len(entry.id) >= 6
    assert {"lr": "0.2", "name": "'a'", "fails": "False", "data": "Load(day=3)"} == entry.arguments
    assert ("good", "", 1, (1,)) == (entry.state, entry.error, entry.attempt, entry.versions)
    assert entry.seconds is not None
    assert entry.seconds < limit(60)
    assert entry.ended is not None
    assert 0 <= time.time() - entry.ended < limit(60)
    assert os.uname().nodename == entry.host
    assert task.task_directory.parent.joinpath("result.1.pkl.gz").stat().st_size == entry.bytes
    assert pytest.approx(1.8) == entry.load()


def test_bytes_are_those_of_the_data_directory_too(filled: Cache) -> None:
    """WantedArguments the record does not say how many they are, they are counted."""
    (entry,) = filled.entries("Load", where={"day": 3})

    size = Load(3).task_directory.parent.joinpath("result.1.pkl.gz").stat().st_size
    assert size + 1000 == entry.bytes


def test_newest_first_and_all_by_default(filled: Cache) -> None:
    """Of every class; a class without results has none."""
    times = [entry.when for entry in filled.entries()]

    assert 5 == len(times)
    assert sorted(times, reverse=True) == times
    assert [] == filled.entries(InputFile)


@pytest.mark.parametrize(
    ("where", "count"),
    [({"lr": 0.1}, 2), ({"lr": 0.1, "fails": False}, 1), ({"lr": 1}, 0), ({"fails": 0}, 0), ({"name": "a"}, 3)],
    ids=str,
)
def test_arguments_are_compared_as_keys_are(filled: Cache, where: dict[str, object], count: int) -> None:
    """`0` is not False, and all that is given must be so."""
    assert count == len(filled.entries(Train, where=where))


def test_a_task_may_be_asked_for(filled: Cache) -> None:
    """What was made of a certain input."""
    assert {"good"} == {entry.state for entry in filled.entries(Train, where={"data": Load(3)})}
    assert ["failed"] == [entry.state for entry in filled.entries(where={"data": Load(4)})]


def test_a_failed_attempt_is_remembered(filled: Cache) -> None:
    """Why, and when; it has no result to load, unless an older one is there."""
    (entry,) = filled.entries(failed=True)

    assert ("failed", "ValueError: as asked", None, 0) == (entry.state, entry.error, entry.seconds, entry.bytes)
    assert 0 <= time.time() - entry.when < limit(60)
    with pytest.raises(MissingResult, match="has no result that can be loaded: ValueError: as asked"):
        entry.load()


def test_a_failure_after_a_result(cache: Cache, tmp_path: Path) -> None:
    """The entry is that of the failure; what loads, and takes space, is the version before."""
    flag = tmp_path / "flag"

    class Fickle(Task):
        def run_task(self) -> int:
            if flag.exists():
                raise ValueError("now")
            return 5

    run(Fickle())
    flag.touch()
    with pytest.raises(FailedTaskError):
        Fickle().run_graph(executor=LocalExecutor(), show_progress=False, force=True)

    (entry,) = cache.entries(Fickle)

    assert ("failed", 2, (1,), 5) == (entry.state, entry.attempt, entry.versions, entry.load())
    assert entry.bytes > 0


def test_since(filled: Cache) -> None:
    """As a moment, or as a time that has passed."""
    count = len(filled.entries())

    assert count == len(filled.entries(since=dt.timedelta(hours=1)))
    assert count == len(filled.entries(since=time.time() - 3600))
    assert 0 == len(filled.entries(since=dt.datetime.now() + dt.timedelta(hours=1)))


def test_a_row_is_flat(filled: Cache) -> None:
    """Plain arguments are values, others texts; one that is called like an attribute is still there."""

    class Odd(Task):
        def __init__(self, run: int = 3, path: Path = Path("a")): ...

        def run_task(self) -> None: ...

    run(Odd())
    (entry,) = filled.entries(Odd)
    row = entry.row()

    assert (3, "Path('a')", entry.run) == (row["arguments.run"], row["path"], row["run"])
    assert str(entry.run).startswith("20")
    assert {*FIELDS, "arguments.run", "path"} == set(row)


def test_rows_make_a_table(filled: Cache) -> None:
    """What a notebook shows."""
    pandas = pytest.importorskip("pandas")

    table = pandas.DataFrame(entry.row() for entry in filled.entries(Train))

    assert [0.1, 0.2] == sorted(table[table.state == "good"].lr)


def test_an_input_file_is_shown_with_its_path(cache: Cache, tmp_path: Path) -> None:
    """Though its result, and its arguments, are not in the cache."""
    path = tmp_path / "in.txt"
    path.touch()

    class Read(Task):
        def __init__(self, file: Future[Path]):
            self.file = file

        def run_task(self) -> None: ...

    run(Read(InputFile(path)))

    (entry,) = cache.entries(Read, where={"file": InputFile(path)})
    assert {"file": f"InputFile(path={str(path)!r})"} == {
        name: text.replace("…", "") for name, text in entry.arguments.items()
    } or "…" in entry.arguments["file"]


def test_what_is_wrong_is_refused(filled: Cache, tmp_path: Path) -> None:
    """A class, an argument, a cache that is not there."""
    with pytest.raises(CacheError, match="no results of 'Trian'"):
        filled.entries("Trian")
    with pytest.raises(OptionError, match="no task has an argument 'rl'; there are data, fails, lr, name"):
        filled.entries(Train, where={"rl": 1})
    with pytest.raises(CacheError, match="there is no cache at"):
        Cache(tmp_path / "nowhere").entries()


def test_damage_is_a_state(filled: Cache) -> None:
    """A record that cannot be read, and a version that was moved aside."""
    one, other = (Train(Load(3), lr).task_directory.parent for lr in (0.1, 0.2))
    path = one / "result.1.pkl.gz"
    path.write_bytes(path.read_bytes()[:-1])
    (other / "result.1.pkl.gz").rename(other / "bad.1")

    errors = {entry.arguments["lr"]: entry.error for entry in filled.entries(Train) if entry.state == "damaged"}

    assert "its record cannot be read" in errors["0.1"]
    assert "was moved aside" in errors["0.2"]


def test_nothing_is_unpickled(filled: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """And each result is opened once, to read its end."""

    def refuse(*args: object) -> None:
        raise AssertionError("a result was loaded")

    monkeypatch.setattr(type(filled.store), "load", refuse)
    monkeypatch.setattr("taskproc.store.disk.stored_value", refuse)

    assert 5 == len(filled.entries())


def test_fields_of_newer_records_are_read(filled: Cache) -> None:
    """WantedArguments a record has them; of a wrong type they do not count."""
    more = {"began": 5.0, "cpu": 1.5, "peak": 7, "user": "ann", "run": "r-1", "worker": "worker 3", "data": 50}
    path = Load(3).task_directory.parent / "result.1.pkl.gz"
    rewrite(path, more)

    (entry,) = filled.entries(Load, where={"day": 3})

    assert (5.0, 1.5, 7) == (entry.began, entry.cpu, entry.peak_memory)
    assert ("ann", "r-1", "worker 3") == (entry.user, entry.run, entry.worker)
    assert path.stat().st_size + 50 == entry.bytes
    rewrite(path, {"peak": "much", "seconds": True, "user": 3, "host": None})
    (entry,) = filled.entries(Load, where={"day": 3})
    assert (None, None, None, None) == (entry.peak_memory, entry.seconds, entry.user, entry.host)


def rewrite(path: Path, about: dict[str, object]) -> None:
    """Give a result a record with more, or other, fields for people."""
    content = path.read_bytes()
    length = record_length(content[-FOOTER:])
    record = json_object(comment(content[-FOOTER - length : -FOOTER]))
    member = comment_member({**record, "about": {**record["about"], **about}})
    path.write_bytes(content[: -FOOTER - length] + member + footer_member(member))


SLOW = """
import sys, time
from taskproc import Cache, Task
class Slow(Task):
    def __init__(self, x): pass
    def run_task(self):
        print("ready", flush=True)
        time.sleep(600)
with Cache("cache"):
    Slow(1).run_graph(max_workers=1)
"""


@pytest.fixture
def slow(tmp_path: Path, environ: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A run whose task waits, in another process."""
    (tmp_path / "job.py").write_text(SLOW, "utf-8")
    process = subprocess.Popen([sys.executable, "job.py"], cwd=tmp_path, env=environ, text=True, start_new_session=True)
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(limit(60))


def await_state(path: Path, state: str) -> Entry:
    """The first entry, once it has this state."""
    until = time.monotonic() + limit(60)
    while time.monotonic() < until:
        if (path / "taskproc.json").exists() and (found := Cache(path).entries()) and found[0].state == state:
            return found[0]
        time.sleep(0.05)
    raise AssertionError(f"never {state}: {Cache(path).entries()}")


@pytest.mark.slow
def test_a_task_that_runs_is_claimed_until_its_run_dies(slow: subprocess.Popen[str], tmp_path: Path) -> None:
    """Seen from another process; then it has failed, though nobody could write that down."""
    entry = await_state(tmp_path / "cache", "claimed")
    assert ({"x": "1"}, None, 1) == (entry.arguments, entry.ended, entry.attempt)
    assert entry.began is not None

    slow.kill()
    slow.wait(limit(60))

    entry = await_state(tmp_path / "cache", "failed")
    assert "its run has died" == entry.error


def test_odd_arguments_are_read_somehow(filled: Cache) -> None:
    """The file may be torn or edited; it decides nothing."""
    folder = Train(Load(3), 0.1).task_directory.parent
    contents: dict[str, Callable[[dict[str, object]], object]] = {
        "0": lambda content: {},
        "1": lambda content: {**content, "args": [1]},
        "2": lambda content: {**content, "args": {"lr": {"__task__": ["x.Y", "zz", 5]}}},
        "3": lambda content: {**content, "args": {"lr": {"__task__": ["x.Y", "0" * 32, {"path": "a"}]}}},
    }
    content = json.loads((folder / "args.json").read_text("utf-8"))
    shown = []
    for change in contents.values():
        (folder / "args.json").write_text(json.dumps(change(content)), "utf-8")
        entry = next(each for each in filled.entries(Train) if each.key == content["key"])
        shown.append(dict(entry.arguments))

    assert [{}, {}, {"lr": "Y#zz"}, {"lr": "Y(path='a')"}] == shown
