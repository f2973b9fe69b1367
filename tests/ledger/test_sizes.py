"""Laws of sizes: every file counts once, in its kind, and what it cost is read from records only if it is asked for."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

from taskproc.ledger.sizes import class_usages, rest_size, trash_size, tree_size
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.tasks.task import Task


class Kept(Task):
    def __init__(self, number: int):
        self.number = number

    def run_task(self) -> int:
        (self.task_directory / "x").write_bytes(bytes(100 * self.number))
        return self.number


@pytest.fixture
def filled(cache: Cache) -> Cache:
    """Two results, one of them made twice."""
    for number in (1, 2):
        Kept(number).run_graph(executor=LocalExecutor(), show_progress=False)
    Kept(2).run_graph(executor=LocalExecutor(), show_progress=False, force=True)
    return cache


def test_kinds(filled: Cache) -> None:
    """Of the newest version, and of those before."""
    (usage,) = class_usages(filled.store)
    folder = Kept(2).task_directory.parent

    assert (Kept.task_name, 2, 300) == (usage.task, usage.tasks, usage.data)
    assert 200 + sum((folder / name).stat().st_size for name in ("result.1.pkl.gz", "files.1.json")) == usage.earlier
    assert folder.joinpath("result.2.pkl.gz").stat().st_mtime == usage.newest
    files = [path for path in Path(filled.path).rglob("*") if path.is_file()]
    whole = usage.bytes + rest_size(filled.store) + trash_size(filled.store)
    assert sum(path.stat().st_size for path in files) == whole


def test_costs_are_read_on_request(filled: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """One record a task, and none otherwise."""
    read = []
    true = os.pread
    monkeypatch.setattr(os, "pread", lambda *arguments: read.append(1) or true(*arguments))

    assert 0.0 == class_usages(filled.store)[0].seconds
    assert [] == read
    assert 0.0 < class_usages(filled.store, costs=True)[0].seconds
    assert 2 == len(read)


def test_a_link_counts_as_itself(filled: Cache, tmp_path: Path) -> None:
    """What it leads to does not lie in the cache."""
    before = tree_size(filled.store, filled.store.root, ".")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "large").write_bytes(bytes(100_000))
    folder = Kept(1).task_directory
    (folder / "link").symlink_to(outside)

    assert (folder / "link").lstat().st_size == tree_size(filled.store, filled.store.root, ".") - before
    assert 0 == tree_size(filled.store, filled.store.root, "nowhere")
