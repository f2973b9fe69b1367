"""Inside a job the answers are those of this run, outside a job those of the cache."""
from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from attempts import LARGE

from taskproc.errors import CorruptedResult, FailedTaskError, MissingResult, NoCacheError
from taskproc.frozen import replace
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.store.claims import DiskAttempt
from taskproc.store.disk import DiskStore
from taskproc.store.version import Version
from taskproc.tasks import access, running_job
from taskproc.tasks.command import Command
from taskproc.tasks.naming import Identity
from taskproc.tasks.running_job import Running, active, input_value
from taskproc.tasks.task import Task


class Leaf(Task):
    def __init__(self, value: int = 1):
        self.value = value

    def run_task(self) -> int:
        (self.task_directory / "file").write_text(str(self.value))
        return self.value


class Reads(Task):
    def __init__(self, up: Any):
        self.up = up

    def run_task(self) -> Any: ...


Begin = Callable[..., Running]


@pytest.fixture
def begin(cache: Cache) -> Iterator[Begin]:
    """Begins a job of a task whose inputs have run; it runs until the test ends."""
    with ExitStack() as stack:

        def run(task: Any, *inputs: Any, away: bool = False) -> Running:
            found = {need._taskproc.place.key: version_of(need) for need in inputs}
            store = DiskStore(cache.store.root, "token")
            attempt = store.claim(task._taskproc.place, lambda: "{}", lambda versions: None)
            assert isinstance(attempt, DiskAttempt)
            job = Running(task._taskproc.place.key, store, attempt, found)
            stack.callback(attempt.not_needed)
            stack.enter_context(active(job, away))
            return job

        yield run


def version_of(task: Any) -> Version:
    task.run_graph(executor=LocalExecutor())
    return next(task._taskproc.cache.store.look(task._taskproc.place))


def test_a_job_reads_the_version_that_was_judged(cache: Cache, begin: Begin) -> None:
    """Even if a newer one is published while it runs."""
    begin(Reads(Leaf()), Leaf())
    old = version_of(Leaf())
    Leaf().run_graph(executor=LocalExecutor(), force=True)

    assert version_of(Leaf()).record.number == old.record.number + 1
    assert (Leaf().task_directory.name, Leaf().task_stdout.name) == ("data.1", "stdout.1.txt")
    assert (Leaf().task_directory / "file").read_text() == "1"


def test_an_input_that_cannot_be_read_is_remembered(begin: Begin) -> None:
    """Whether it is missing or damaged."""
    gone, broken = Leaf(f"1{LARGE}"), Leaf(f"2{LARGE}")
    job = begin(Reads(gone), gone, broken)
    os.unlink(version_of(gone).path)
    damaged = version_of(broken)
    content = bytearray(Path(damaged.path).read_bytes())
    content[damaged.size - 1] ^= 1
    Path(damaged.path).write_bytes(content)

    with pytest.raises(MissingResult):
        gone.get_result()
    with pytest.raises(CorruptedResult):
        broken.get_result()

    assert job.lost == {gone._taskproc.place.key, broken._taskproc.place.key}


def test_a_tiny_input_that_is_gone_is_at_hand(begin: Begin) -> None:
    """Its bytes came with the record and are verified; if that fails, the file is read."""
    job = begin(Reads(Leaf(1)), Leaf(1), Leaf(2))
    os.unlink(version_of(Leaf(1)).path)
    damaged = job.inputs[Leaf(2)._taskproc.place.key]
    job.inputs = {**job.inputs, damaged.place.key: replace(damaged, payload=b"no payload")}

    assert (Leaf(1).get_result(), Leaf(2).get_result(), job.lost) == (1, 2, set())


def test_a_job_has_the_directory_and_logs_of_its_attempt(begin: Begin) -> None:
    """Other tasks have their own."""
    version_of(Leaf(1))
    task = Reads(Leaf(1))
    job = begin(task, Leaf(1))
    folder = job.attempt.directory.parent

    assert task.task_directory == folder / "data.1"
    assert (task.task_stdout, task.task_stderr) == (folder / "stdout.1.txt", folder / "stderr.1.txt")
    assert not task.task_stdout.exists()
    assert Leaf(1).task_stdout.parent.name == str(Leaf(1).task_id)


class Acts(Task):
    """Prints, and fails or returns whether its own logs exist."""

    def __init__(self, fails: bool = False):
        self.fails = fails

    def run_task(self) -> Any:
        print("printed")
        if self.fails:
            raise ValueError("boom")
        return self.task_stdout.exists(), self.task_stderr.exists()


def logs_of(task: Any) -> tuple[bool, bool]:
    return task.task_stdout.exists(), task.task_stderr.exists()


@pytest.mark.parametrize("asked_before", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_what_is_not_captured_has_no_logs(
    cache: Cache, capsys: pytest.CaptureFixture[str], fails: bool, asked_before: bool
) -> None:
    """With LocalExecutor there are none during the run, after it, or for a failure, whoever asks and when."""
    task = Acts(fails)
    if asked_before:
        assert (True, True) == logs_of(task)
    if fails:
        with pytest.raises(FailedTaskError) as caught:
            task.run_graph(executor=LocalExecutor())
        failure = caught.value.failures[0]
        assert (None, None, "") == (failure.stdout, failure.stderr, failure.log)
    else:
        assert (False, False) == task.run_graph(executor=LocalExecutor())[0]

    assert "printed\n" == capsys.readouterr().out
    assert (False, False) == logs_of(task)
    with Cache(cache.path):
        assert (False, False) == logs_of(Acts(fails))


def test_logs_are_those_of_the_newest_attempt_captured_or_not(cache: Cache) -> None:
    """A run that captures creates them on access; one that does not leaves those of earlier attempts unchanged."""
    task = Acts()
    with ThreadPoolExecutor(1) as threads:
        task.run_graph(executor=threads)
        first = task.task_stdout
        assert ("printed\n", "") == (first.read_text(), task.task_stderr.read_text())
        task.run_graph(executor=LocalExecutor(), force=True)
        assert (False, False) == logs_of(task)
        assert "printed\n" == first.read_text()
        task.run_graph(executor=threads, force=True)

    assert ("printed\n", "") == (task.task_stdout.read_text(), task.task_stderr.read_text())


def test_what_is_not_captured_may_still_be_kept(cache: Cache) -> None:
    """The output of a command belongs to its result; behind a prefix, the task has its own process."""
    said = Command(["echo", "said"])
    said.run_graph(executor=LocalExecutor())
    prefixed = Acts()
    prefixed.run_graph(executor=LocalExecutor(), prefixes={Acts.task_name: ""})

    assert ("said\n", "printed\n") == (said.task_stdout.read_text(), prefixed.task_stdout.read_text())


def test_jobs_may_lie_within_jobs(begin: Begin) -> None:
    """The innermost job answers, and all of them are known."""
    assert running_job.running_keys() == frozenset()
    outer = begin(Reads(Leaf(1)), Leaf(1))
    inner = begin(Reads(Leaf(2)), Leaf(2))

    assert running_job.running_job() is inner
    assert inner.outer is outer
    assert running_job.running_keys() == {outer.key, inner.key}


def in_thread(call: Callable[[], Any]) -> Any:
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(call()))
    thread.start()
    thread.join()
    return answers[0]


def test_a_thread_of_a_worker_belongs_to_its_job(begin: Begin) -> None:
    """A process that only runs jobs has one job; if it has two, the job of a thread is unknown."""
    first = begin(Reads(Leaf(1)), Leaf(1), away=True)
    assert in_thread(running_job.running_job) is first
    assert in_thread(Leaf(1).get_result) == 1

    begin(Reads(Leaf(2)), Leaf(2), away=True)
    assert in_thread(running_job.running_job) is None


def test_a_thread_of_the_main_process_belongs_to_no_job(begin: Begin) -> None:
    """Several jobs run there at once, so the thread reads from the cache."""
    begin(Reads(Leaf(1)), Leaf(1))

    assert in_thread(running_job.running_job) is None
    assert in_thread(Leaf(1).get_result) == 1


def test_after_the_job_nothing_is_left_of_it(begin: Begin, cache: Cache) -> None:
    """The next call is answered from the cache."""
    task = Reads(Leaf())
    version_of(Leaf())
    job = begin(task, Leaf())
    with active(Running("other", job.store, job.attempt, {}), True):
        pass

    assert running_job.running_job() is job
    assert running_job.of_process == []


def far(task: Any, version: Version | None = None) -> Identity:
    """The identity of a task in a worker."""
    identity = task._taskproc
    return Identity(None, identity.place, identity.arguments, version)


def test_a_task_without_a_cache_asks_that_of_the_job(begin: Begin) -> None:
    """In a worker it uses the cache of the job; outside a job there is none."""
    with pytest.raises(NoCacheError, match="an input of a task was used outside its run"):
        access.store_of(far(Leaf()))

    job = begin(Reads(Leaf()))

    assert access.store_of(far(Leaf())) is job.store


def test_an_input_knows_its_version_where_the_job_does_not(begin: Begin) -> None:
    """In a worker, a job inside a job reads inputs of the outer job."""
    version = version_of(Leaf(3))
    begin(Reads(Leaf(1)))

    assert input_value(far(Leaf(3), version)) == (True, 3)
    assert input_value(far(Leaf(3))) == (False, None)


def test_an_attribute_that_did_not_travel_is_told_apart_from_a_misspelled_one(cache: Cache) -> None:
    """Both raise AttributeError, so that `hasattr` works; only the first one explains why."""
    arrived = object.__new__(Leaf)
    vars(arrived)["_taskproc"] = far(Leaf(), version_of(Leaf()))

    with pytest.raises(AttributeError, match="'Leaf' object has no attribute 'up' here: inputs are sent to a worker"):
        arrived.up  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError, match="^'Leaf' object has no attribute 'up'$") as caught:
        Leaf().up  # type: ignore[attr-defined]  # noqa: B018
    assert (caught.value.name, caught.value.obj) == ("up", Leaf())
    assert not hasattr(arrived, "up")
