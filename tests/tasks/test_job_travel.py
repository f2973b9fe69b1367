"""A job for another process: which parts of a task are sent, and which stay behind."""
from __future__ import annotations

import gc
import os
import pickle
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from attempts import Acts, Leaf, Tens, job_of, version_of

from taskproc.frozen import replace
from taskproc.kernel.model import Failed, Outcome
from taskproc.run.kinds import KindJob
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.tasks.conditions import Conditions
from taskproc.tasks.future import FutureList
from taskproc.tasks.job import Stored, TaskJob
from taskproc.tasks.packing import Origin, Packer, _undisturbed
from taskproc.tasks.settings import left_on
from taskproc.tasks.task import Task
from tests.plain import plain

HERE = Origin("", "", os.getpid(), {})


def pack(job: TaskJob, origin: Origin) -> KindJob[Outcome[str]]:
    return Packer(origin).pack(job)


def sent(task: Any, does: Callable[[Any], Any], **changes: Any) -> Any:
    """The result of a job that was packed and unpacked."""
    outcome = pack(job_of(task, does, captures=False, **changes), HERE)()
    assert isinstance(outcome, Stored), outcome
    return task._taskproc.cache.store.load(version_of(task))


def test_a_packed_job_gives_the_same_result(cache: Cache) -> None:
    """Same version, same stamp."""
    here = job_of(Acts(Leaf(1)), lambda self: self.ups[0].get_result(), above=9)()
    there = pack(job_of(Acts(Leaf(1)), lambda self: self.ups[0].get_result(), above=9), HERE)()

    assert isinstance(here, Stored)
    assert isinstance(there, Stored)
    assert here.stamp == there.stamp


def test_a_class_is_sent_once(cache: Cache) -> None:
    """Whatever its attempts are: their common part is one kind, and another class is another kind."""
    packer = Packer(HERE)
    kinds = [packer.pack(job_of(task, number=number)).kind for number, task in enumerate((Leaf(1), Leaf(2), Tens(1)))]

    assert kinds[0] is kinds[1] is not kinds[2]


def test_each_field_of_an_attempt_travels(cache: Cache) -> None:
    """Unchanged, except for the parts of a version that only a judge needs."""
    own = {"above": 7, "forced": True, "number": 3, "captures": False}
    here = job_of(Acts(Leaf(1)), made=frozenset("ab"), slots={"gpu": "1"}, **own).attempt
    assert here.left.settings

    there = pickle.loads(pickle.dumps(here))

    ((key, version),) = here.inputs.items()
    assert [key] == list(there.inputs)
    assert (version.path, version.record.stamp) == (there.inputs[key].path, there.inputs[key].record.stamp)
    assert replace(here, inputs={}) == replace(there, inputs={})


def test_jobs_of_a_run_share_their_store_there(cache: Cache) -> None:
    """Although each class is sent separately; it is the store of the run, with its rules."""
    run = job_of(Leaf(1), digits=9).run

    one, other = (pickle.loads(pickle.dumps(run)) for _ in range(2))

    assert one.store is other.store
    assert (run.store.root, run.store.token, run.store.rules) == (one.store.root, one.store.token, one.store.rules)
    assert (run.checks_code, run.process, run.umask, 9) == (one.checks_code, one.process, one.umask, one.digits)


def test_what_was_left_on_a_task_counts_where_it_runs(cache: Cache) -> None:
    """Its class may have settings, too: the record has both."""
    assert isinstance(pack(job_of(Leaf(3)), HERE)(), Stored)

    assert Conditions().settings(Leaf(3)) == version_of(Leaf(3)).record.settings
    assert left_on(Leaf(3)).settings


def test_an_input_arrives_as_what_it_is(cache: Cache) -> None:
    """An instance of its class with its arguments, its plain attributes, its name and its directory."""

    def looks(self: Any) -> Any:
        up = self.ups[0]
        return type(up) is Leaf, up.value, up.note, up.task_args, up.task_id, up.task_directory.name, up.task_is_done()

    leaf = Leaf("x")

    assert sent(Acts(leaf), looks) == (True, "x", {"of": ["x"]}, {"value": "x"}, leaf.task_id, "data.1", True)


def test_what_an_input_needed_does_not_travel(cache: Cache) -> None:
    """One level deep: the job does not grow with the graph, and the error says why an attribute is missing."""
    graph: Any = Tens(Leaf(1))
    small = len(pack(job_of(Acts(graph)), HERE).own)
    for _ in range(20):
        graph = Tens(graph)
    large = len(pack(job_of(Acts(graph)), HERE).own)

    with pytest.raises(AttributeError, match="no attribute 'up' here: inputs are sent to a worker with their plain"):
        raise pack(job_of(Acts(graph), lambda self: self.ups[0].up), HERE)().problem.error  # type: ignore[union-attr]
    assert large < small + 50


def test_one_input_stays_one(cache: Cache) -> None:
    """Identity within the job is preserved, whatever holds the input."""

    def looks(self: Any) -> Any:
        return self.ups[0] is self.ups[1][0] is self.ups[2]["x"] is self.again

    task = Acts(Leaf(1), FutureList([Leaf(1)]), {"x": Leaf(1)})
    task.again = Leaf(1)  # type: ignore[attr-defined]

    assert sent(task, looks) is True


def test_attributes_of_any_shape_travel(cache: Cache) -> None:
    """Also containers of themselves, functions, and private attributes."""
    task: Any = Acts()
    task.ring = [1]
    task.ring.append(task.ring)
    task.function = lambda x: x + 1
    task._Acts__private = {2}

    def looks(self: Any) -> Any:
        return self.ring[1] is self.ring, self.function(1), self._Acts__private

    assert sent(task, looks) == (True, 2, {2})


@dataclass(frozen=True, slots=True)
class Slots(Task):
    up: Any
    value: int = 2

    def run_task(self) -> Any:
        return self.up.get_result(), self.value


def test_a_frozen_dataclass_with_slots_travels(cache: Cache) -> None:
    """As a task and as an input."""
    assert sent(Slots(Leaf(1)), lambda self: None) == (1, 2)
    assert sent(Acts(Slots(Leaf(1))), lambda self: self.ups[0].value) == 2


class Locked(Task):
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.name = "locked"

    def run_task(self) -> int:
        return 1


def test_an_attribute_that_cannot_travel_is_named(cache: Cache) -> None:
    """With what to do instead."""
    with pytest.raises(TypeError, match=r"attribute 'lock' \(lock\) cannot be sent to a worker.*in run_task"):
        pack(job_of(Locked()), HERE)


def test_an_input_comes_without_what_cannot_travel(cache: Cache) -> None:
    """All its other attributes are sent, and so are other inputs."""

    def looks(self: Any) -> Any:
        locked, leaf = self.ups
        return locked.get_result(), locked.name, hasattr(locked, "lock"), leaf.note

    assert sent(Acts(Locked(), Leaf(1)), looks) == (1, "locked", False, {"of": [1]})


def test_a_task_runs_others_far_from_its_graph(cache: Cache) -> None:
    """An input that is passed on is known there, but not what it was made from; it cannot run again."""

    def runs(self: Any) -> Any:
        up = self.ups[0]
        try:
            up.run_graph(force=True)
        except Exception as error:
            refused = str(error)
        return Tens(up).run_graph()[0], up.run_graph()[1]["hits"], refused

    value, hits, refused = sent(Acts(Tens(Leaf(1))), runs)

    assert (value, hits) == (100, {Tens.task_name: 1})
    assert "Tens() is an input of the task that runs here" in plain(refused)
    again, stats = Tens(Tens(Leaf(1))).run_graph(executor=LocalExecutor())
    assert (again, stats["stats"]) == (100, {})


def test_a_job_that_cannot_be_unpacked_is_a_failure(cache: Cache) -> None:
    """The text says where it went wrong."""
    outcome = KindJob(pack(job_of(Leaf(1)), HERE).kind, b"no pickle")()

    assert isinstance(outcome, Failed)
    assert outcome.problem.text.startswith("the task cannot be set up in this process: ")


def test_garbage_is_collected_again_when_a_large_job_is_unpacked() -> None:
    """Also after a failure; if the collector was off before, it stays off."""
    seen = []
    for size in (0, 1 << 20):
        with pytest.raises(KeyError), _undisturbed(size):
            seen.append(gc.isenabled())
            raise KeyError
        seen.append(gc.isenabled())
    gc.disable()
    try:
        with _undisturbed(1 << 20):
            pass
        seen.append(gc.isenabled())
    finally:
        gc.enable()

    assert [True, True, False, True, False] == seen
