"""Logs and files belong to the attempt that made the result in use; before the first result, to the newest that ran."""
from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from taskproc.errors import FailedTaskError
from taskproc.store.cache import Cache
from taskproc.store.disk import DiskStore
from taskproc.store.layout import STREAMS
from taskproc.store.marks import Mark
from taskproc.tasks.future import Future
from taskproc.tasks.task import Task

FAILS = threading.Event()


class Speaks(Task):
    """Prints the number of its attempt; fails while FAILS is set."""

    task_version = "one"

    def __init__(self) -> None:
        pass

    def run_task(self) -> int:
        print(self.task_directory.name)
        if FAILS.is_set():
            raise ValueError("no")
        return 1


class Below(Task):
    def __init__(self, up: Future[int]):
        self.up = up

    def run_task(self) -> list[str]:
        up: Any = self.up
        return [up.task_directory.name, up.task_stdout.name]


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    FAILS.clear()
    Speaks.task_version = "one"


def run(task: Any, **options: Any) -> Any:
    """In threads, with captured output."""
    with ThreadPoolExecutor(1) as executor:
        return task.run_graph(executor=executor, **options)[0]


def fail(task: Any, **options: Any) -> FailedTaskError:
    FAILS.set()
    with pytest.raises(FailedTaskError) as caught:
        run(task, **options)
    FAILS.clear()
    return caught.value


def again(cache: Cache) -> Speaks:
    """The task as another program sees it, which has run nothing."""
    with Cache(cache.path):
        return Speaks()


def names(task: Task) -> list[str]:
    """The content of its four paths."""
    paths = [task.task_directory, task.task_stdout, task.task_stderr, task.task_stdout_caller, task.task_stderr_caller]
    assert 1 == len({path.parent for path in paths})
    return [path.name for path in paths]


def of(number: int, directory: int | None = None) -> list[str]:
    return [f"data.{directory or number}", *(f"{stream}.{number}.txt" for stream in STREAMS)]


def claim_in_vain(cache: Cache, task: Any) -> None:
    """Claim it for a run that judged before another one published."""
    mark = Mark(str(cache.path))
    store = DiskStore(str(cache.path), mark.token)
    version = next(store.look(task._taskproc.place))
    answer = store.claim(task._taskproc.place, lambda: "{}", lambda versions: next(versions, None))
    mark.close()
    assert version == answer


def test_an_attempt_that_was_not_needed(cache: Cache) -> None:
    """A claim that finds a fresh version printed nothing, and its number is not used; also if none is fresh."""
    run(Speaks())
    claim_in_vain(cache, Speaks())

    assert of(1) == names(Speaks()) == names(again(cache))
    assert "data.1\n" == Speaks().task_stdout.read_text()
    Speaks.task_version = "two"
    assert of(1) == names(again(cache))
    assert "stdout.1.txt" == cache.store.log_path(Speaks()._taskproc.place, "stdout").name


def test_failed_by_order(cache: Cache) -> None:
    """A forced run fails: the old result stays in use, and the error names the log of the failure."""
    run(Speaks())
    error = fail(Speaks(), force=True)

    assert of(1) == names(Speaks()) == names(again(cache))
    assert "data.1\n" == Speaks().task_stdout.read_text()
    stdout = error.failures[0].stdout
    assert stdout is not None
    assert ("stdout.2.txt", "data.2\n") == (stdout.name, stdout.read_text())
    run(Speaks(), force=True)
    assert of(3) == names(Speaks()) == names(again(cache))


def test_failed_after_an_edit(cache: Cache) -> None:
    """No result is fresh: the logs are those of the failure, until the edit is reverted."""
    run(Speaks())
    Speaks.task_version = "two"
    fail(Speaks())

    assert of(2, directory=1) == names(again(cache))
    assert "data.2\n" == again(cache).task_stdout.read_text()
    Speaks.task_version = "one"
    assert of(1) == names(again(cache))


def test_an_edit_that_is_taken_back(cache: Cache) -> None:
    """The older version is in use again, with its logs and files."""
    run(Speaks())
    Speaks.task_version = "two"
    run(Speaks())
    newer = names(Speaks()), names(again(cache))
    Speaks.task_version = "one"
    before = names(again(cache))
    run(Speaks())

    assert (of(2), of(2)) == newer
    assert of(1) == before == names(Speaks())
    assert "data.1\n" == Speaks().task_stdout.read_text()


def test_failed_before_there_is_a_result(cache: Cache) -> None:
    """Logs of the last attempt that failed, files of the next attempt."""
    fail(Speaks())
    fail(Speaks())

    assert of(2, directory=3) == names(Speaks()) == names(again(cache))
    assert "data.2\n" == Speaks().task_stdout.read_text()


def test_interrupted(cache: Cache) -> None:
    """An attempt that ended with its run is the newest that ran; after a result it is not in use."""
    store = DiskStore(str(cache.path), "token")
    place = Speaks()._taskproc.place

    def interrupt() -> None:
        attempt = store.claim(place, lambda: "{}", lambda versions: None)
        attempt.fail({"kind": "interrupted", "error": "the run was interrupted"})  # type: ignore[union-attr]

    interrupt()
    before = names(again(cache))
    run(Speaks())
    interrupt()

    assert of(1, directory=2) == before
    assert of(2) == names(Speaks()) == names(again(cache))


def test_cleared(cache: Cache) -> None:
    """Numbers begin at 1 again."""
    run(Speaks())
    run(Speaks(), force=True)
    Speaks().clear_task()
    cleared = names(Speaks())
    run(Speaks())

    assert of(1) == cleared == names(Speaks())
    assert "data.1\n" == Speaks().task_stdout.read_text()


@pytest.mark.parametrize("forced", [False, True])
def test_read_while_it_runs(cache: Cache, forced: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """From outside: those of the running attempt if there is no fresh result; from inside always."""
    run(Speaks())
    Speaks.task_version = "one" if forced else "two"
    seen: list[list[str]] = []
    run_task = Speaks.run_task

    def running(task: Speaks) -> int:
        thread = threading.Thread(target=lambda: seen.append(names(again(cache))))
        thread.start()
        thread.join()
        seen.append(names(task))
        return run_task(task)

    monkeypatch.setattr(Speaks, "run_task", running)
    with Cache(cache.path):
        run(Speaks(), force=True)

    assert [of(1) if forced else of(2, directory=1), of(2)] == seen


def test_an_input_is_the_version_that_is_read(cache: Cache) -> None:
    """Even if there is a newer one."""
    run(Speaks())
    fail(Speaks(), force=True)
    assert ["data.1", "stdout.1.txt"] == run(Below(Speaks()))


def test_asked_in_the_making(cache: Cache) -> None:
    """Attributes that `__init__` sets after it has asked for a path are found."""
    seen: list[str] = []

    class Asks(Task):
        def __init__(self) -> None:
            seen.append(self.task_directory.name)
            self.later = len(seen) // 5

        def run_task(self) -> int:
            return self.later

    for _ in range(3):
        with Cache(cache.path):
            run(Asks(), force=True)
    done = []
    for _ in range(2):
        with Cache(cache.path):
            done.append(Asks().task_is_done())

    assert ["data.1", "data.1", "data.2", "data.3", "data.3"] == seen
    assert [True, False] == done
