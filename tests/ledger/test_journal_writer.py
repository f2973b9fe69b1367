"""What the journal of a run says, while the run is on and after it has ended in any way."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from taskproc.errors import FailedTaskError, OptionError
from taskproc.kernel.model import Event, Failed, Problem
from taskproc.ledger import journal_writer
from taskproc.ledger.journal import Run, read_run, runs
from taskproc.ledger.journal_writer import SHORT, Journal, new_run_id, open_journal
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.store.check import check
from taskproc.store.disk import DiskStore
from taskproc.store.rules import CacheRules
from taskproc.tasks.task import Task
from tests.pace import limit

RUN = "20261201T101010-abcdef"


class Part(Task):
    def __init__(self, number: int):
        self.number = number

    def run_task(self) -> int:
        if self.number < 0:
            raise ValueError("it is negative")
        return self.number


class Total(Task):
    def __init__(self, *numbers: int):
        self.parts = [Part(number) for number in numbers]

    def run_task(self) -> int:
        return sum(part.get_result() for part in self.parts)


class Outer(Task):
    def run_task(self) -> Any:
        return Part(7).run_graph(executor=LocalExecutor())[0]


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def lines(root: str | Path) -> list[dict[str, Any]]:
    """The lines of the only journal."""
    (path,) = runs(str(root))
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def written(root: Path, *, clock: Clock | None = None, **rules: Any) -> Journal:
    """A journal that is on its way."""
    root.mkdir(exist_ok=True)
    store = DiskStore(str(root), rules=CacheRules(**rules))
    journal = open_journal(store, RUN, {"entry": "m.Main"})
    assert journal is not None
    journal._clock = clock or time.monotonic
    journal._began = journal._flushed = journal._clock()
    return journal


def done(key: str, seconds: float) -> Event[Any]:
    """As the loop reports it."""
    detail = {"seconds": seconds, "cpu": seconds, "peak": 1 << 20, "bytes": 900, "worker": "worker 1"}
    return Event("done", key, detail)


def run_of(root: str | Path) -> Run:
    """What the only journal says."""
    (path,) = runs(str(root))
    return read_run(path)


def test_a_run_from_its_head_to_its_foot(cache: Cache) -> None:
    """Who ran what and how; why each task ran and what it used; the statistics."""
    total = Total(1, 2)
    _, stats = total.run_graph(max_workers=2)

    head, *_, end = lines(cache.path)
    run = run_of(cache.path)
    assert ("run", 1, total.task_name, {"numbers": {"__tuple__": [1, 2]}}) == (
        head["event"], head["format"], head["entry"], head["arguments"],
    )  # fmt: skip
    assert (os.getpid(), sys.argv, 2) == (head["pid"], head["argv"], head["options"]["max_workers"])
    assert ("end", "done", stats["stats"]) == (end["event"], end["status"], end["stats"])
    assert "done" == run.status
    keys = {part._taskproc.place.key for part in (*total.parts, total)}
    assert keys == set(run.tasks)
    for key in keys:
        trace = run.tasks[key]
        assert ("done", "new", "worker 1") == (trace.state, trace.reason, str(trace.worker).replace("2", "1"))
        assert (trace.bytes or 0) > 500
        assert trace.ended is not None
    (version, *_) = cache.store.look(total._taskproc.place)
    assert head["run"] == version.about["run"] == run.run


def test_what_is_fresh_is_counted(cache: Cache) -> None:
    """Per class; nothing else is said of it."""
    Total(1, 2).run_graph(executor=LocalExecutor())
    Total(1, 2).run_graph(executor=LocalExecutor())

    newest, _ = runs(str(cache.path))
    run = read_run(newest)
    assert {} == run.tasks
    assert [2, 1] == [counts["fresh"] for counts in run.counts.values()]
    assert {Part.task_name: 2, Total.task_name: 1} == run.end["hits"]


def test_failures_have_their_message(cache: Cache) -> None:
    """What lies below is counted as skipped; the run has failed."""
    with pytest.raises(FailedTaskError):
        Total(-1, 2).run_graph(executor=LocalExecutor(), on_error="continue")

    run = run_of(cache.path)
    trace = run.tasks[Part(-1)._taskproc.place.key]
    assert ("failed", "ValueError: it is negative") == (trace.state, trace.message)
    assert "failed" == run.status
    assert 1 == run.counts[Total.task_name]["skipped"]


def test_threads_and_what_runs_inside_a_task(cache: Cache) -> None:
    """A run inside a task belongs to the outer run, and has no journal of its own."""
    with ThreadPoolExecutor(1) as executor:
        Outer().run_graph(executor=executor)

    (trace,) = run_of(cache.path).tasks.values()
    (version, *_) = cache.store.look(Part(7)._taskproc.place)
    assert (Outer.task_name, "thread") == (trace.task, trace.worker)
    assert run_of(cache.path).run == version.about["run"]


def test_a_dry_run_has_none(cache: Cache) -> None:
    """Nothing ran."""
    Part(1).run_graph(dry_run=True)

    assert [] == runs(str(cache.path))


LONG = """\
import sys, threading
from taskproc import Cache, LocalExecutor, Task
from concurrent.futures import ThreadPoolExecutor


class Short(Task):
    def run_task(self):
        return 1


class Long(Task):
    def __init__(self):
        self.short = Short()

    def run_task(self):
        threading.Event().wait()


if __name__ == "__main__":
    how = {"inline": lambda: LocalExecutor(), "threads": lambda: ThreadPoolExecutor(1), "processes": lambda: None}
    with Cache("cache"):
        Long().run_graph(executor=how[sys.argv[1]]())
"""


@pytest.mark.parametrize("how", ["inline", "threads", "processes"])
def test_a_long_task_is_seen_while_it_runs_and_a_kill_leaves_it(
    how: str, tmp_path: Path, environ: dict[str, str]
) -> None:
    """It is written that it began although nothing happens any more; a killed run is known as one."""
    (tmp_path / "script.py").write_text(LONG)
    process = subprocess.Popen([sys.executable, "script.py", how], cwd=tmp_path, env=environ)
    try:
        run = _wait_for_running(tmp_path / "cache")
    finally:
        process.kill()
        process.wait()

    (long,) = (trace for trace in run.tasks.values() if trace.state == "running")
    (short,) = (trace for trace in run.tasks.values() if trace.state == "done")
    assert ("running", ["script.Long", "script.Short"]) == (run.status, [long.task, short.task])
    assert 1 == run.counts["script.Long"]["running"]
    assert {"inline": "inline", "threads": "thread", "processes": None}[how] == long.worker
    after = run_of(tmp_path / "cache")
    assert ("killed", run.tasks) == (after.status, after.tasks)


def _wait_for_running(root: Path) -> Run:
    until = time.monotonic() + limit(60)
    while time.monotonic() < until:
        for path in runs(str(root)):
            run = read_run(path)
            if any(trace.state == "running" and trace.task == "script.Long" for trace in run.tasks.values()):
                return run
        threading.Event().wait(0.05)
    raise AssertionError("it was never written that the task began")


def test_an_interrupted_run_says_so(tmp_path: Path, environ: dict[str, str]) -> None:
    """Ctrl-C ends it in order."""
    (tmp_path / "script.py").write_text(LONG)
    process = subprocess.Popen([sys.executable, "script.py", "processes"], cwd=tmp_path, env=environ)
    try:
        _wait_for_running(tmp_path / "cache")
        process.send_signal(signal.SIGINT)
        process.wait(limit(60))
    finally:
        process.kill()

    assert "interrupted" == run_of(tmp_path / "cache").status


def test_ten_thousand_short_tasks_have_lines_and_more_are_added_up(tmp_path: Path) -> None:
    """Less than 2 MB for ten thousand; one line a second and class for the others, but a long one has its own."""
    clock = Clock()
    journal = written(tmp_path, clock=clock)
    keys = [f"{number:032x}" for number in range(12_001)]
    for key in keys:
        journal.note_stale(key, "study.measurements.Part", "new", "no result is stored")
        journal.note(Event("started", key), "study.measurements.Part")
        clock.now += 0.0005
        journal.note(done(key, 0.0001 if key != keys[-1] else SHORT), "study.measurements.Part")
    journal.close("done", {})

    run, (path,) = run_of(tmp_path), runs(str(tmp_path))
    kinds = [line["event"] for line in lines(tmp_path)]
    assert {"stale": 12_001, "done": 12_001} == {
        kind: count for kind, count in run.counts["study.measurements.Part"].items() if count
    }
    assert kinds.count("done") == 10_001
    assert kinds.count("summed") <= 3
    assert ("new", SHORT) == (run.tasks[keys[-1]].reason, run.tasks[keys[-1]].seconds)
    assert os.path.getsize(path) < 2e6


def test_a_task_is_named_where_its_line_says_no_more(tmp_path: Path) -> None:
    """What is stale and what began is written by a flush, in this order; each flush by one call."""
    clock = Clock()
    journal = written(tmp_path, clock=clock)
    journal.note_stale("a" * 32, "m.A", "code", "source of m:A changed")
    journal.note(Event("started", "a" * 32), "m.A")
    assert 1 == len(lines(tmp_path))

    clock.now = 0.6
    journal.tick()
    journal.note(Event("returned", "a" * 32), "m.A")
    journal.note(Event("lost", "a" * 32, {"keys": ["b" * 32]}), "m.A")
    journal.note_elsewhere("a" * 32, "m.A", lambda: {"host": "there", "pid": 7})
    journal.note_elsewhere("a" * 32, "m.A", lambda: pytest.fail("asked twice"))
    journal.note(Event("failed", "a" * 32, {"problem": Problem("died", "killed"), "seconds": 2.0}), "m.A")
    journal.close("failed", {"stats": {}})

    assert ["run", "stale", "started", "returned", "lost", "elsewhere", "failed", "end"] == [
        line["event"] for line in lines(tmp_path)
    ]
    trace = run_of(tmp_path).tasks["a" * 32]
    assert ("m.A", "failed", "code", "killed", 2.0) == (
        trace.task, trace.state, trace.reason, trace.message, trace.seconds,
    )  # fmt: skip
    assert {"host": "there", "pid": 7} == trace.by


def test_a_task_of_another_run_is_waited_for_in_one_line(tmp_path: Path) -> None:
    """It is judged and tried again and again, and has a new line only after one that says that it was started."""
    clock = Clock()
    journal = written(tmp_path, clock=clock)
    for second in range(4):
        journal.note_stale("a" * 32, "m.A", "new", "no result is stored")
        journal.note(Event("started", "a" * 32), "m.A")
        if second == 2:
            clock.now = 0.6
            journal.tick()
        journal.note_elsewhere("a" * 32, "m.A", lambda: {"host": "there", "pid": 7})
    journal.tick()

    assert [line["event"] for line in lines(tmp_path)] == ["run", "stale", "elsewhere", "started", "elsewhere"]
    trace = run_of(tmp_path).tasks["a" * 32]
    assert (trace.state, trace.by) == ("elsewhere", {"host": "there", "pid": 7})
    journal.close("done", {"stats": {}})


def test_short_failures_are_counted_above_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As all that is short; a longer one says itself why it ran."""
    monkeypatch.setattr(journal_writer, "MOST_LINES", 1)
    journal = written(tmp_path)
    for key, seconds in {"a" * 32: 0.001, "b" * 32: 0.001, "c" * 32: 0.001, "d" * 32: 1.0}.items():
        journal.note_stale(key, "m.A", "new", "no result is stored")
        journal.note(Event("started", key), "m.A")
        problem = Failed(Problem("exception", "no")).problem
        journal.note(Event("failed", key, {"problem": problem, "seconds": seconds}), "m.A")
    journal.close("failed", {})

    run = run_of(tmp_path)
    assert [4, 4] == [run.counts["m.A"][kind] for kind in ("stale", "failed")]
    assert ["new", "new"] == [trace.reason for trace in run.tasks.values()]


def test_many_reasons_are_not_remembered(tmp_path: Path) -> None:
    """Each has its line, and no more."""
    journal = written(tmp_path)
    for number in range(1500):
        journal.note_stale(f"{number:032x}", "m.A", "need", f"upstream {number} changed")
    journal.tick()
    journal.note_stale("f" * 32, "m.A", "need", "upstream 7 changed")
    journal.close("done", {})

    assert 1501 == len(run_of(tmp_path).tasks)
    assert len(journal._stale) == 1


def test_a_torn_line_and_strange_ones_are_skipped(tmp_path: Path) -> None:
    """A reader takes what it understands."""
    journal = written(tmp_path)
    journal.note(Event("started", "a" * 32), "m.A")
    journal.tick()
    (path,) = runs(str(tmp_path))
    with open(path, "a") as file:
        file.write('{"event":"done","key":5}\n[]\n{"event":"later","t":1}\n{"event":"summed"}\n{"event":"done","t":9,"ke')

    run = read_run(path)

    assert ("unknown", ["running"]) == (run.status, [trace.state for trace in run.tasks.values()])
    journal.close("done", {})


@pytest.mark.parametrize(
    ("change", "status"),
    [({"birth": "0"}, "killed"), ({"host": "elsewhere"}, "unknown"), ({"realm": "x"}, "unknown"), ({}, "running")],
)
def test_whether_its_process_lives(change: dict[str, object], status: str, tmp_path: Path) -> None:
    """Known where its id is valid: on this machine since it was booted, and not for a process that came later."""
    from taskproc.machine import birth_of, host_name, realm

    head = {"pid": os.getpid(), "birth": birth_of(os.getpid()), "host": host_name(), "realm": realm(), **change}
    open_journal(DiskStore(str(tmp_path)), RUN, head)

    assert status == run_of(tmp_path).status


@pytest.mark.parametrize(("keep", "left"), [(2, 2), (0, 0)])
def test_the_newest_are_kept(keep: int, left: int, tmp_path: Path) -> None:
    """As many as the cache says, and other files are left alone."""
    with Cache(tmp_path / "cache", keep_runs=keep) as cache:
        (cache.path / "runs").mkdir()
        (cache.path / "runs" / "notes").touch()
        for number in range(4):
            Part(number).run_graph(executor=LocalExecutor())

        newest = [read_run(path) for path in runs(str(cache.path))]
        assert [{"number": number} for number in (3, 2)][:left] == sorted(
            (run.head["arguments"] for run in newest), key=lambda arguments: -arguments["number"]
        )
        assert (cache.path / "runs" / "notes").exists()


def test_how_many_is_checked() -> None:
    """As all options."""
    with pytest.raises(OptionError, match="keep_runs must be at least 0, got -1"):
        Cache("cache", keep_runs=-1)


def test_the_store_knows_its_journals(cache: Cache) -> None:
    """`check` finds nothing in them, and what does not belong there; a clear leaves them."""
    Part(1).run_graph(executor=LocalExecutor())
    assert [] == list(check(cache.store))
    (cache.path / "runs" / "notes").touch()
    (cache.path / "runs" / "20261201T101010-abcdef.jsonl").symlink_to("notes")

    found = {os.path.basename(finding.path): finding.kind for finding in check(cache.store)}
    Part.clear_all_tasks()

    assert {"notes": "foreign", "20261201T101010-abcdef.jsonl": "damaged"} == found
    assert 2 == len(runs(str(cache.path)))


@pytest.mark.parametrize("what", ["file", "link"])
def test_a_folder_that_cannot_be_written_is_reported(
    what: str, cache: Cache, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Once, and the run goes on."""
    if what == "file":
        (cache.path / "runs").touch()
    else:
        (tmp_path / "other").mkdir()
        (cache.path / "runs").symlink_to(tmp_path / "other")

    assert 5 == Part(5).run_graph(executor=LocalExecutor())[0]

    assert 1 == sum("the journal of this run" in message for message in caplog.messages)


def test_a_full_disk_ends_the_journal_and_not_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is reported once."""
    journal = written(tmp_path)
    os.close(journal._handle)
    journal._handle = os.open("/dev/full", os.O_WRONLY)
    for key in ("a" * 32, "b" * 32):
        journal.note(Event("started", key), "m.A")
        journal.tick()
    journal.close("done", {})

    assert 1 == sum("the journal of this run" in message for message in caplog.messages)
    assert "No space left" in caplog.text


def test_a_cache_of_a_newer_format_has_none(tmp_path: Path) -> None:
    """It is read only."""
    assert open_journal(DiskStore(str(tmp_path), rules=CacheRules(refusal="newer")), RUN, {}) is None
    assert not (tmp_path / "runs").exists()


def test_ids_are_in_the_order_of_time() -> None:
    """Also within a second: the newest are kept."""
    ids = [new_run_id() for _ in range(50)]

    assert [run[:-3] for run in ids] == sorted(run[:-3] for run in ids)
