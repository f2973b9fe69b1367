"""One attempt: claimed, run and published, or ended in one of the other ways."""
from __future__ import annotations

import os
import random
import sys
import threading
from array import array
from pathlib import Path
from typing import Any

import pytest
from attempts import LARGE, Acts, Leaf, Tens, changed, job_of, version_of

from taskproc.errors import MissingResult
from taskproc.frozen import replace
from taskproc.kernel.model import Elsewhere, Failed, Fresh, Lost, Record, Stamp
from taskproc.kernel.rebuild import Present
from taskproc.store.cache import Cache
from taskproc.store.layout import Place
from taskproc.store.marks import Mark
from taskproc.store.version import Version
from taskproc.tasks.job import Stored, pick, slim
from taskproc.tasks.task import Task
from tests.plain import plain


def files(cache: Cache, task: Any) -> set[str]:
    """Names of the numbered files in the folder of a task."""
    folder = Path(cache.store.log_path(task._taskproc.place, "stdout")).parent
    return {path.name for path in folder.iterdir() if path.name != "args.json"} if folder.exists() else set()


def boom(self: Any) -> None:
    raise ValueError("boom")


# ---------------------------------------------------------------- outcomes


def test_a_result_is_published(cache: Cache) -> None:
    """The outcome says where it is, without the parts that only a judge needs."""
    task = Acts(Leaf(1))

    outcome = job_of(task, lambda self: [up.get_result() for up in self.ups])()

    assert isinstance(outcome, Stored)
    assert outcome.version is not None
    assert cache.store.load(outcome.version) == [1]
    assert (outcome.version.record.code, outcome.version.record.needs) == ("", {})
    assert list(version_of(task).record.needs) == [Leaf(1)._taskproc.place.key]
    assert outcome.stamp == version_of(task).record.stamp


@pytest.mark.parametrize("value", [None, 0, [], ""])
def test_every_value_is_a_result(cache: Cache, value: Any) -> None:
    """Also None."""
    outcome = job_of(Acts(), lambda self: value)()

    assert isinstance(outcome, Stored)
    assert cache.store.load(version_of(Acts())) == value


class Squeezed(Acts):
    """Sets the level that is the default."""

    task_compress_level = 9


def test_a_level_that_a_class_asks_for_is_obeyed(cache: Cache) -> None:
    """Also if it is the default; a class that sets none gets the level that pays: none for random floats."""
    numbers = random.Random(0)
    noise = array("d", [numbers.random() for _ in range(3000)]).tobytes()
    sizes = []
    for task in (Acts(), Squeezed()):
        job_of(task, lambda self: noise)()
        version = version_of(task)
        sizes.append(version.size - version.head)

    assert sizes[1] < len(noise) < sizes[0]


def test_what_is_printed_goes_to_the_logs(cache: Cache, capsys: pytest.CaptureFixture[str]) -> None:
    """For a job that captures; without capture, output is left alone."""

    def prints(self: Any) -> None:
        print("out")
        print("err", file=sys.stderr)

    job_of(Acts(), prints)()
    job_of(Acts(Leaf()), prints, captures=False)()

    assert (Acts().task_stdout.read_text(), Acts().task_stderr.read_text()) == ("out\n", "err\n")
    assert capsys.readouterr() == ("out\n", "err\n")


def test_an_exception_is_a_failure(cache: Cache) -> None:
    """It arrives unchanged, its traceback is in the log, nothing is published, and the claim ends."""
    outcome = job_of(Acts(), boom)()

    assert isinstance(outcome, Failed)
    assert isinstance(outcome.problem.error, ValueError)
    assert (outcome.problem.kind, "in boom" in outcome.problem.traceback) == ("exception", True)
    assert Acts().task_stderr.read_text().rstrip().endswith("ValueError: boom")
    assert files(cache, Acts()) == {"failed.1", "stderr.1.txt"}


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), StopIteration(), BaseException("odd")])
def test_what_is_no_exception_is_a_failure_too(cache: Cache, error: BaseException) -> None:
    """`sys.exit()` in a task ends the task, not the run."""

    def leaves(self: Any) -> None:
        raise error

    outcome = job_of(Acts(), leaves)()

    assert isinstance(outcome, Failed)
    assert outcome.problem.error is error


def interrupt(self: Any) -> None:
    raise KeyboardInterrupt


def test_ctrl_c_ends_the_run_and_leaves_no_claim(cache: Cache) -> None:
    """In the main thread of the main process; the next attempt begins at once."""
    with pytest.raises(KeyboardInterrupt):
        job_of(Acts(), interrupt)()

    assert isinstance(job_of(Acts())(), Stored)
    assert {"failed.1", "result.2.pkl.gz"} <= files(cache, Acts())


def test_ctrl_c_raised_elsewhere_is_the_tasks_own_doing(cache: Cache) -> None:
    """In another thread, or in a worker, no key was pressed."""
    outcomes: list[Any] = []
    job = job_of(Acts(), interrupt, captures=False)

    thread = threading.Thread(target=lambda: outcomes.append(job()))
    thread.start()
    thread.join()

    assert isinstance(outcomes[0], Failed)
    assert isinstance(outcomes[0].problem.error, KeyboardInterrupt)


def test_a_result_that_cannot_be_pickled_is_a_failure(cache: Cache) -> None:
    """The problem names its type; nothing is published."""
    outcome = job_of(Acts(), lambda self: threading.Lock())()

    assert isinstance(outcome, Failed)
    assert outcome.problem.kind == "result"
    assert "its result (a _thread.lock) cannot be pickled" in outcome.problem.text
    assert files(cache, Acts()) == {"failed.1"}


def test_a_task_is_no_result(cache: Cache) -> None:
    """It would be loaded without its graph; the problem says what to return instead."""
    outcome = job_of(Acts(Leaf()), lambda self: self.ups)()

    assert isinstance(outcome, Failed)
    assert "return its result (get_result()) rather than the task itself" in outcome.problem.text


def test_a_cache_that_cannot_be_written_is_a_failure(cache: Cache) -> None:
    """The task does not run."""
    (cache.path / Acts.task_name).write_text("a file")

    outcome = job_of(Acts(), boom)()

    assert isinstance(outcome, Failed)
    assert (outcome.problem.kind, "cannot write to cache" in outcome.problem.text) == ("result", True)


# ---------------------------------------------------------------- versions and claims of other runs


def test_a_version_that_was_published_meanwhile_is_taken(cache: Cache) -> None:
    """The look after the claim finds it, and the task does not run."""
    job_of(Acts())()

    version = version_of(Acts())
    assert job_of(Acts(), boom, code=version.record.code)() == Fresh(version.record.stamp)


def test_a_version_of_other_code_is_not_taken(cache: Cache) -> None:
    """Unless the code does not count."""
    stamp = job_of(Acts())().stamp  # type: ignore[union-attr]

    assert job_of(Acts(), boom, code="other", checks_code=False)() == Fresh(stamp)
    assert isinstance(job_of(Acts(), code="other")(), Stored)


def test_a_version_that_was_forgotten_is_not_taken(cache: Cache) -> None:
    """Only one with a higher number is used; a forced run gives a new order, a doubt keeps the old one."""
    first = job_of(Acts())().stamp  # type: ignore[union-attr]

    doubted = job_of(Acts(), above=1)().stamp  # type: ignore[union-attr]
    forced = job_of(Acts(), above=2, forced=True)().stamp  # type: ignore[union-attr]

    assert (doubted == first, forced.order == first.order, forced.value == first.value) == (True, False, True)


def test_a_claim_of_a_run_that_lives_is_respected(cache: Cache) -> None:
    """The other run computes it."""
    other = Mark(cache.store.root)
    try:
        job_of(Acts(), token=other.token).claim()

        assert isinstance(job_of(Acts(), boom)(), Elsewhere)
    finally:
        other.close()


def test_a_task_that_is_cleared_while_it_runs_publishes_nothing(cache: Cache) -> None:
    """It is judged again at once."""
    outcome = job_of(Acts(), lambda self: Acts().clear_task())()

    assert outcome == Elsewhere(after=0.0)
    assert list(cache.store.look(Acts()._taskproc.place)) == []


# ---------------------------------------------------------------- missing inputs


def test_an_input_that_is_gone_is_lost(cache: Cache) -> None:
    """The task is not to blame for its exception, and no attempt is left behind."""
    task = Acts(Leaf(1), Leaf(LARGE))
    job = job_of(task, lambda self: [up.get_result() for up in self.ups])
    os.unlink(version_of(Leaf(LARGE)).path)

    assert job() == Lost((Leaf(LARGE)._taskproc.place.key,))
    assert "claim.1" not in files(cache, task)


def test_all_inputs_that_are_gone_are_told_at_once(cache: Cache) -> None:
    """Also those that it has not read yet: otherwise it would run once more for each."""
    job = job_of(Acts(Leaf(1), Leaf(LARGE), Leaf(3)), lambda self: [up.get_result() for up in self.ups])
    for value in (LARGE, 3):
        os.unlink(version_of(Leaf(value)).path)

    assert job() == Lost(tuple(sorted(Leaf(value)._taskproc.place.key for value in (LARGE, 3))))


def test_an_input_that_is_gone_but_not_missed_is_not_lost(cache: Cache) -> None:
    """A task that catches the error, or never reads the input, is done."""

    def tries(self: Any) -> str:
        try:
            self.ups[0].get_result()
        except MissingResult:
            return "without"
        return "with"

    job = job_of(Acts(Leaf(1)), tries)
    os.unlink(version_of(Leaf(1)).path)

    assert isinstance(job(), Stored)


class Fragile:
    """Can be loaded only while `loads` is set."""

    loads = True

    def __init__(self) -> None:
        self.x = 1

    def __setstate__(self, state: dict[str, Any]) -> None:
        if not Fragile.loads:
            raise RuntimeError("moved")
        self.__dict__.update(state)


class Makes(Task):
    def run_task(self) -> Fragile:
        return Fragile()


def test_an_input_of_this_run_that_does_not_load_is_a_failure(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Computing it again would give the same; one of an earlier run is lost, and made again by the present code."""
    key = Makes()._taskproc.place.key
    job = job_of(Acts(Makes()), lambda self: self.ups[0].get_result().x)
    monkeypatch.setattr(Fragile, "loads", False)

    outcome = changed(job, made=frozenset({key}))()

    assert isinstance(outcome, Failed)
    assert "is intact, but does not load any more: RuntimeError: moved" in outcome.problem.text
    assert job() == Lost((key,))


# ---------------------------------------------------------------- tasks within tasks


def test_a_task_may_build_and_run_others(cache: Cache) -> None:
    """In the same cache; declared inputs may be passed on."""

    def runs(self: Any) -> Any:
        return Tens(self.ups[0]).run_graph()[0], Leaf(5).run_graph()[0]

    job_of(Acts(Leaf(1)), runs)()

    assert cache.store.load(version_of(Acts(Leaf(1)))) == (10, 5)
    assert cache.store.load(version_of(Tens(Leaf(1)))) == 10


def test_a_task_that_runs_itself_is_refused(cache: Cache) -> None:
    """It would wait forever, directly or through another task."""
    for inner in (lambda self: self.run_graph(), lambda self: Tens(Acts()).run_graph()):
        outcome = job_of(Acts(), inner)()

        assert isinstance(outcome, Failed)
        assert "Acts(ups=()) needs itself: " in plain(outcome.problem.text)
        assert "is run inside its run_task, and waits for it" in outcome.problem.text


# ---------------------------------------------------------------- versions


def version(number: int, code: str, need: str = "v") -> Version:
    stamp = Stamp("order", "value")
    record = Record(number, "nonce", stamp, code, {"up": Stamp("o", need)})
    return Version(Place("m.A", 1, "key"), f"/{number}", record)


def test_pick_takes_the_newest_that_is_good() -> None:
    """And none if none is good."""
    versions = [version(3, "new"), version(2, "old"), version(1, "old")]
    needs_now = {"up": Stamp("o", "v")}

    assert pick(iter(versions), Present("old", needs_now)) is versions[1]
    assert pick(iter(versions), Present(None, needs_now)) is versions[0]
    assert pick(iter(versions), Present("other", needs_now)) is None


def test_pick_reads_no_further_than_it_must() -> None:
    """Each version costs a read."""
    read: list[int] = []

    def versions() -> Any:
        for number in (3, 2, 1):
            read.append(number)
            yield version(number, "code")

    pick(versions(), Present("code", {"up": Stamp("o", "v")}))

    assert read == [3]


def test_slim_keeps_what_a_reader_needs() -> None:
    """Number, nonce and stamp."""
    full = version(3, "code")

    thin = slim(full)

    assert (thin.record.code, thin.record.needs) == ("", {})
    assert replace(thin, record=full.record) == full
    assert (thin.record.number, thin.record.nonce, thin.record.stamp) == (3, "nonce", full.record.stamp)
