"""The file operations of a tiny task, cold and warm, so that none is added unnoticed."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from works import work_of as new_work_of

from taskproc.kernel.model import Done, Fresh, Stale, Ticket
from taskproc.run.pool import LocalExecutor
from taskproc.store import index, layout
from taskproc.store.cache import Cache
from taskproc.store.files import Files
from taskproc.tasks.graph_work import GraphWork
from taskproc.tasks.task import Task

OPERATIONS = frozenset(name for name in vars(Files) if not name.startswith("_"))
# Calls that reach the system, whoever makes them
CALLS = (
    "open close read write pread pwrite lseek dup stat lstat fstat listdir scandir mkdir rename replace unlink rmdir "
    "readlink access dup fsync chmod utime"
).split()


class Tiny(Task):
    def __init__(self, x: int):
        self.x = x

    def run_task(self) -> int:
        return self.x + 1


class Total(Task):
    def __init__(self, count: int):
        self.parts = [Tiny(x) for x in range(count)]

    def run_task(self) -> int:
        return sum(part.get_result() for part in self.parts)


class Noting(Files):
    """Notes the questions that it answers."""

    def __init__(self) -> None:
        self.noted: list[str] = []

    def take(self) -> list[str]:
        """The questions since the last call."""
        noted, self.noted = self.noted, []
        return noted


def _noted(operation: str) -> Callable[..., Any]:
    def call(self: Noting, *arguments: Any) -> Any:
        self.noted.append(operation)
        return getattr(Files, operation)(self, *arguments)

    return call


for _operation in OPERATIONS:
    setattr(Noting, _operation, _noted(_operation))


@contextmanager
def calls() -> Iterator[list[str]]:
    """The names of the `os` functions that are called inside the block."""
    noted: list[str] = []
    true = {name: getattr(os, name) for name in CALLS if hasattr(os, name)}

    def counted(name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            noted.append(name)
            return true[name](*arguments, **options)

        return call

    for name in true:
        setattr(os, name, counted(name))
    try:
        yield noted
    finally:
        for name, function in true.items():
            setattr(os, name, function)


def work_of(task: Any) -> GraphWork:
    """A run inline, whose file operations are noted."""
    work = new_work_of(task, in_process=True, captures=False)
    work.known.store.files = Noting()
    return work


def noted(work: GraphWork) -> list[str]:
    files = work.known.store.files
    assert isinstance(files, Noting)
    return files.take()


@pytest.fixture
def work(cache: Cache) -> Iterator[GraphWork]:
    """A run over Tiny(1) in a cache that has results of the class."""
    Tiny(0).run_graph(executor=LocalExecutor())
    work = work_of(Tiny(1))
    yield work
    work.end()


def job_of(work: GraphWork) -> Any:
    """The job of the root, which has no folder yet."""
    assert isinstance(work.judge(work.known.graph.root), Stale)
    ticket = Ticket(work.known.graph.root, 1)
    assert work.claim(ticket) is None
    job = work.job(ticket)
    noted(work)
    return job


def test_a_cold_task(work: GraphWork) -> None:
    """A folder, its arguments, the claim, a second look, the result and its name, and a check that it is ours.

    The second look asks for two names, and opens the folder again to list it.
    """
    job = job_of(work)

    with calls() as made:
        assert isinstance(job(), Done)

    # The two folders above are opened one inside the other, so no link leads elsewhere
    claimed = "open_folder mkdir open_folder close_folder write_text make append close has has list_anew listdir"
    committed = "append identity close rename identity_of close_folder"
    assert f"{claimed} {committed}".split() == noted(work)
    # Two more: writing the arguments means open, write and close. One is not seen: the rename that replaces nothing
    reached = "open open close mkdir open close"
    claimed = "open write close open write dup close access access open listdir close"
    assert f"{reached} {claimed} write fstat close stat close".split() == made


def test_a_warm_task(work: GraphWork) -> None:
    """One listing and the end of the newest result, through one descriptor of the folder."""
    job_of(work)()
    warm = work_of(Tiny(1))

    with calls() as made:
        assert isinstance(warm.judge(warm.known.graph.root), Fresh)

    assert "open_folder listdir tail close_folder".split() == noted(warm)
    assert "open open close open close listdir open fstat pread close close".split() == made


def test_many_that_are_not_there(cache: Cache) -> None:
    """After the first few, one listing answers for all the rest; a second question about a task reads its folder."""
    Tiny(0).run_graph(executor=LocalExecutor())
    work = work_of(Total(100))
    keys = [key for key in work.known.graph.needs if key != work.known.graph.root]

    verdicts = [work.judge(key) for key in keys]
    first, again = noted(work), [work.judge(key) for key in keys[-2:]]

    assert [Fresh, *[Stale] * 99] == [type(verdict) for verdict in verdicts]
    # 9 looks, the listing, and two folders for the file that the first look needs
    assert (12, 1) == (first.count("open_folder"), first.count("few"))
    assert ["open_folder"] * 2 == noted(work)
    assert [Stale, Stale] == [type(verdict) for verdict in again]


def test_many_that_are_there(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """One listing of each folder, and one file for all unchanged results; the first run that finds them writes it."""
    monkeypatch.setattr(index, "_TICK", -(1 << 60))  # a change just now is as good as an old one
    Total(100).run_graph(executor=LocalExecutor())
    Tiny(3).clear_task()
    work = work_of(Total(100))
    keys = [key for key in work.known.graph.needs if key != work.known.graph.root]

    verdicts = [work.judge(key) for key in keys]

    assert [Stale] == [type(verdict) for verdict in verdicts if not isinstance(verdict, Fresh)]
    # Two folders for the file: its own, and the one it describes, which must not be a link
    the_file = "open_folder open_folder close_folder read_only size_and_owner read close close_folder"
    a_look = "open_folder listdir close_folder"
    assert sorted([*the_file.split(), *a_look.split(), *["sign"] * 100]) == sorted(noted(work))


def test_what_was_lost_is_not_remembered(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is any other verdict of a run that lost a result: tasks that used it may run again."""
    monkeypatch.setattr(index, "LEAST", 1)
    monkeypatch.setattr(index, "_TICK", -(1 << 60))
    path = Path(layout.class_path(cache.store.root, Tiny(1)._taskproc.place.name), "index")
    Total(5).run_graph(executor=LocalExecutor())
    work = work_of(Total(5))
    for key in work.known.graph.needs:
        assert isinstance(work.judge(key), Fresh)
    path.unlink()

    work.known.forget(Tiny(3)._taskproc.place.key)
    work.end()
    assert not path.exists()

    Total(5).run_graph(executor=LocalExecutor())
    assert path.exists()


def test_what_appears_after_the_listing(cache: Cache) -> None:
    """The claim looks again: the version is used, not made again."""
    Tiny(0).run_graph(executor=LocalExecutor())
    work = work_of(Total(20))
    keys = [key for key in work.known.graph.needs if key != work.known.graph.root]
    for key in keys:
        work.judge(key)
    Tiny(19).run_graph(executor=LocalExecutor())
    ticket = Ticket(Tiny(19)._taskproc.place.key, 1)

    assert work.claim(ticket) is None
    job: Any = work.job(ticket)
    outcome = work.close(ticket, job())
    work.end()

    assert isinstance(outcome, Fresh)
    assert [1] == [version.record.number for version in cache.store.look(Tiny(19)._taskproc.place)]
