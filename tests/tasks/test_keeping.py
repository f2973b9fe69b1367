"""The rules of a cache through whole runs: signed, flushed, tidied, read-only, or removed during a run."""
from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from works import work_of

from taskproc.errors import CacheError, FailedTaskError, MissingResult
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.store.check import check
from taskproc.store.disk import DiskStore
from taskproc.store.files import Files
from taskproc.store.rules import CacheRules, make_key_file
from taskproc.tasks.job import TaskJob
from taskproc.tasks.task import Task
from tests.pace import limit


class Leaf(Task):
    """Returns a number, and may call a function before."""

    def __init__(self, number: int = 1, before: Callable[[str], object] | None = None, root: str = ""):
        self.number, self.before, self.root = number, before, root

    def run_task(self) -> int:
        if self.before is not None:
            self.before(self.root)
        return self.number


class Double(Task):
    """Twice a leaf."""

    def __init__(self, *given: Any):
        self.leaf = Leaf(*given)

    def run_task(self) -> int:
        (self.task_directory / "file").write_text("beside it")
        return 2 * self.leaf.get_result()


def run(task: Any, **options: Any) -> Any:
    return task.run_graph(executor=LocalExecutor(), show_progress=False, **options)


def results(cache: Cache) -> list[str]:
    return sorted(path.name for path in cache.path.rglob("result.*"))


class TestVersions:
    """Earlier results of a task are removed when a run ends."""

    @pytest.mark.parametrize(("keep", "kept"), [(0, [4]), (1, [3, 4]), (5, [1, 2, 3, 4])])
    def test_so_many_stay(self, tmp_path: Path, keep: int, kept: list[int]) -> None:
        """In addition to the one in use, with their files."""
        with Cache(tmp_path / "cache", keep_versions=keep) as cache:
            for _ in range(4):
                run(Leaf(1), force=True)

        assert [f"result.{number}.pkl.gz" for number in kept] == results(cache)
        assert [] == list(check(cache.store))

    def test_a_first_run_tidies_nothing(self, cache: Cache) -> None:
        """Nor does a run that finds all it needs."""
        for _ in range(2):
            run(Double(1))

        assert not (cache.path / "trash").exists()

    def test_what_another_run_may_read_stays(self, cache: Cache) -> None:
        """Until that run has ended."""
        other = work_of(Leaf(2))
        other.jobs.begin()
        for _ in range(4):
            run(Leaf(1), force=True)
        during = results(cache)
        other.end()
        run(Leaf(1), force=True)

        assert (4, ["result.4.pkl.gz", "result.5.pkl.gz"]) == (len(during), results(cache))


@pytest.mark.slow
def test_a_signed_run(tmp_path: Path) -> None:
    """Workers sign and verify as the main process does; without the key, no result is trusted, with a message."""
    make_key_file(tmp_path / "key")
    with Cache(tmp_path / "cache", key_file=tmp_path / "key") as cache:
        assert 2 == Double(1).run_graph(max_workers=1, show_progress=False)[0]
        assert 2 == Double(1).get_result()
    assert [] == list(check(cache.store))

    with Cache(tmp_path / "cache") as plain:
        with (
            pytest.warns(RuntimeWarning, match="is signed, but no key_file"),
            pytest.raises(MissingResult, match="is signed, but no key_file"),
        ):
            Leaf(1).get_result()
        assert 2 == run(Double(1))[0]
    assert {"signed"} == {found.kind for found in check(plain.store)}


def test_a_damaged_result_is_the_reason(cache: Cache) -> None:
    """The reason is not that there is no result."""
    run(Leaf(1))
    (path,) = cache.path.rglob("result.1.pkl.gz")
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(MissingResult, match="result.1.pkl.gz is skipped: no footer"):
        Leaf(1).get_result()


def test_rules_go_with_the_job(tmp_path: Path) -> None:
    """Results are stored by the rules of the run, wherever the job runs."""
    with Cache(tmp_path, durability="full", keep_versions=7) as cache:
        job = work_of(Leaf(1)).jobs.plain(Leaf(1)._taskproc.place.key)

    assert isinstance(job, TaskJob)
    rules = pickle.loads(pickle.dumps(job.run)).store.rules
    assert rules == cache.store.rules == Cache.under(DiskStore(str(tmp_path), rules=rules)).store.rules
    assert "full" == rules.durability


def remove(root: str) -> None:
    shutil.rmtree(root)


@pytest.mark.parametrize("away", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_cache_that_is_removed_under_a_run(tmp_path: Path, away: bool) -> None:
    """The run ends with a message, and leaves no second cache behind."""
    options: dict[str, Any] = {"max_workers": 1} if away else {"executor": LocalExecutor()}
    with Cache(tmp_path / "cache") as cache:
        task = Double(1, remove, str(cache.path))
        with pytest.raises((CacheError, FailedTaskError), match="was removed or renamed while it was in use"):
            task.run_graph(show_progress=False, **options)

    assert not list((tmp_path / "cache").rglob("result.*"))
    assert not (tmp_path / "cache" / "taskproc.json").exists()


def look_only(root: str) -> list[object]:
    """The outcome of a run over a complete cache that it cannot write."""
    with Cache(root, shared=True) as cache:
        task = Double(1)
        value, stats = run(task)
        answers: list[object] = [value, stats["stats"], task.get_result()]
        answers += [(task.task_directory / "file").read_text(), task.task_stdout.name, task.task_is_done()]
        answers.append(not [found for found in check(cache.store) if found.kind != "dead"])
        try:
            run(Double(2))
        except CacheError:
            answers.append("refused")
        return answers


LOOKED = [2, {}, 2, "beside it", "stdout.1.txt", True, True, "refused"]


def close(folder: Path) -> None:
    """Remove the write permission of everybody."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(path.stat().st_mode & 0o555)


def as_nobody(root: str) -> None:
    """In a process of its own: read the cache as a user without rights, because root has all rights."""
    with tempfile.TemporaryDirectory() as folder, Cache(folder):
        run(Double(1))  # imports the modules of a run, which perhaps only root can read
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    assert LOOKED == look_only(root)


@pytest.mark.slow
@pytest.mark.usefixtures("open_code")
@pytest.mark.skipif(os.name != "posix", reason="no users to change to")
def test_a_complete_cache_is_read_by_who_cannot_write_it() -> None:
    """All fresh results are used, nothing changes, and a task that must run is refused with a message."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # other users cannot enter the folders that pytest creates
        with Cache(Path(folder, "cache")) as cache:
            run(Double(1))
            (cache.path / "run").rmdir()
        close(cache.path)
        before = sorted(cache.path.rglob("*"))

        process = multiprocessing.get_context("forkserver").Process(target=as_nobody, args=(str(cache.path),))
        process.start()
        process.join(limit(60))

        after = sorted(cache.path.rglob("*"))
        for path in (cache.path, *after):
            path.chmod(0o755)
    assert (0, before) == (process.exitcode, after)


def test_a_complete_cache_on_a_disk_that_takes_no_writes(cache: Cache) -> None:
    """The same if each write fails."""

    class ReadOnly(Files):
        """Fails at each write."""

    def refuse(*arguments: Any) -> Any:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for name in "mkdir make own append sync rename unlink move_out touch write_text".split():
        setattr(ReadOnly, name, refuse)
    run(Double(1))
    cache.store.files = ReadOnly()

    value, stats = run(Double(1))

    assert (2, {}, 2) == (value, stats["stats"], Double(1).get_result())
    with pytest.raises(CacheError, match="Read-only file system"):
        Double(1).clear_task()


def test_rules_of_a_store_that_only_looks(cache: Cache) -> None:
    """They are those of a cache without settings."""
    assert CacheRules() == DiskStore(str(cache.path)).rules
