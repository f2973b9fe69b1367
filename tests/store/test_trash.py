"""The trash is emptied for a moment only, by whoever comes by, and never under a run."""
from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from faults import OTHER, PLACE, Runs, publish

from taskproc import Cache, LocalExecutor, Task
from taskproc.store import removal, trash
from taskproc.store.disk import DiskStore
from taskproc.store.marks import Mark

FOREVER = 1e9


class One(Task):
    """Runs."""

    def run_task(self) -> int:
        return 1


def clock(step: float = 1.0) -> Callable[[], float]:
    """Goes on at each look."""
    return itertools.count(0.0, step).__next__


def fill(root: str | Path, count: int) -> Path:
    """A trash with one folder of `count` files."""
    folder = Path(root, "trash", "a" * 32)
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / str(number)).touch()
    return folder


def files_in(folder: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(folder))


@pytest.fixture
def idle(runs: Runs) -> DiskStore:
    """A store on a cache at which nobody works."""
    with Cache(runs.root) as cache:
        return cache.store


def test_it_takes_a_moment_and_the_next_goes_on(idle: DiskStore) -> None:
    """What there is no time for stays where it is."""
    folder = fill(idle.root, 10)

    assert not trash.empty_trash(idle, seconds=2.5, clock=clock())
    assert 7 == files_in(folder)
    assert trash.empty_trash(idle, seconds=FOREVER, clock=clock())
    assert [] == os.listdir(folder.parent)


def test_how_far_it_is(idle: DiskStore) -> None:
    """Told after each file."""
    fill(idle.root, 3)
    told: list[int] = []

    trash.empty_trash(idle, seconds=FOREVER, tell=told.append)

    assert [1, 2, 3] == told


def test_not_under_a_run(runs: Runs, idle: DiskStore) -> None:
    """Its tasks may read the files; our own run does not prevent the removal."""
    folder = fill(idle.root, 3)
    store = runs.begin()

    assert not trash.empty_trash(idle, seconds=FOREVER)
    assert 3 == files_in(folder)
    assert trash.empty_trash(idle, store.token, seconds=FOREVER)


def test_a_run_that_begins_ends_it(runs: Runs, idle: DiskStore) -> None:
    """So that nothing is in its way; the next one goes on."""
    folder = fill(idle.root, 100)

    def begin(count: int) -> None:
        if count == 5:
            runs.begin()

    assert not trash.empty_trash(idle, seconds=FOREVER, tell=begin, clock=clock())
    assert 95 == files_in(folder)


def test_what_is_moved_aside_meanwhile_stays(runs: Runs, idle: DiskStore) -> None:
    """A run began, and somebody cleared what it reads, after it was seen that nobody works: that is not removed."""
    publish(runs.begin(), 1)
    runs.close()
    fill(idle.root, 3)
    true = idle.witness.others

    def others(own: str = "") -> list[str]:
        found = true(own)
        if not runs.marks[1:]:
            DiskStore(idle.root, runs.begin().token).clear(PLACE)
        return found

    idle.witness.others = others  # type: ignore[method-assign]
    trash.empty_trash(idle, seconds=FOREVER)

    (kept,) = Path(idle.root, "trash").iterdir()
    assert "result.1.pkl.gz" in os.listdir(kept)


KILLED = """
import os, signal, sys
from taskproc.store import trash
from taskproc.store.disk import DiskStore

def tell(count):
    if count == 5:
        os.kill(os.getpid(), signal.SIGKILL)

trash.empty_trash(DiskStore(sys.argv[1]), seconds=1e9, tell=tell)
"""


@pytest.mark.parametrize("how", ["run", "clear"])
def test_one_that_was_killed_is_gone_on_with(idle: DiskStore, how: str) -> None:
    """By the end of the next run, or the next clear, whatever that clears."""
    folder = fill(idle.root, 20)
    publish(idle, 1, OTHER)
    killed = subprocess.run([sys.executable, "-c", KILLED, idle.root], check=False)

    assert -signal.SIGKILL == killed.returncode
    assert 15 == files_in(folder)
    if how == "run":
        with Cache(idle.root):
            One().run_graph(executor=LocalExecutor())
    else:
        idle.clear(OTHER)
    assert [] == os.listdir(folder.parent)


def test_a_run_removes_for_a_moment_only(idle: DiskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here no longer than one file takes: its result is not to wait for others' trash."""
    monkeypatch.setattr(trash, "MOMENT", 0.0)
    folder = fill(idle.root, 50)

    with Cache(idle.root):
        assert 1 == One().run_graph(executor=LocalExecutor())[0]
        assert 49 == files_in(folder)
        One().clear_task()

    assert 50 == files_in(folder.parent)  # two more by the clear, which has removed one


def test_a_clear_is_one_rename(idle: DiskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a class, however many tasks it has."""
    monkeypatch.setattr(trash, "MOMENT", 0.0)
    for number in range(20):
        publish(idle, number, PLACE._replace(id=number))

    assert idle.clear_all(PLACE.name)

    assert [] == list(idle.places())
    assert 39 == files_in(Path(idle.root, "trash"))


def test_a_tree_deeper_than_descriptors_reach(idle: DiskStore) -> None:
    """Is removed whole; two thousand levels are more than a process may have open."""
    deep = fill(idle.root, 1)
    handle = os.open(deep, os.O_RDONLY)
    for _ in range(2000):
        os.mkdir("d", dir_fd=handle)
        below = os.open("d", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = below
    os.close(handle)

    assert trash.empty_trash(idle, seconds=FOREVER)
    assert [] == os.listdir(Path(idle.root, "trash"))


def test_what_cannot_be_removed_stays(idle: DiskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """And does not prevent the removal of others."""
    monkeypatch.setattr(removal, "_AT_FIRST", 1)
    folder = fill(idle.root, 30)
    other = folder.with_name("b" * 32)
    other.mkdir()
    (other / "file").touch()
    true = os.unlink

    def unlink(name: str, *, dir_fd: int | None = None) -> None:
        if name == "1":
            raise PermissionError(name)
        true(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", unlink)

    assert not trash.empty_trash(idle, seconds=FOREVER)
    assert ["1"] == os.listdir(folder)
    assert not other.exists()


def test_a_link_in_a_tree_is_removed_and_not_what_it_leads_to(idle: DiskStore, tmp_path: Path) -> None:
    """At any depth, to folders and to files; also one that takes the place of a folder while it is emptied."""
    precious = tmp_path / "precious"
    (precious / "sub").mkdir(parents=True)
    (precious / "file").touch()
    folder = fill(idle.root, 2)
    (folder / "link").symlink_to(precious)
    (folder / "file").symlink_to(precious / "file")
    (folder / "sub").mkdir()
    (folder / "sub" / "inner").touch()

    def swap(count: int) -> None:
        if count == 1 and (folder / "sub").is_dir():
            (folder / "sub").rename(tmp_path / "aside")
            (folder / "sub").symlink_to(precious)

    trash.empty_trash(idle, seconds=FOREVER, tell=swap)
    assert trash.empty_trash(idle, seconds=FOREVER)
    assert ["file", "sub"] == sorted(os.listdir(precious))


def test_a_run_that_has_ended_keeps_nothing(idle: DiskStore) -> None:
    """Its mark is gone."""
    fill(idle.root, 1)
    Mark(idle.root).close()

    assert trash.empty_trash(idle, seconds=FOREVER)
