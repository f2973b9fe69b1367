"""Laws of a thousand workers that come, die and return, by a simulated clock: nothing is lost or answered twice."""
from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from taskproc.errors import TaskRaisedException, UnknownToManager
from taskproc.remote import task_manager as board_module
from taskproc.remote.task_manager import TaskManager

PERIOD = 5.0


class World:
    """Workers that pull, answer, return, fall silent and answer late, and a master that requests and collects."""

    def __init__(self, seed, workers, tasks, *, make=TaskManager):
        self.random = random.Random(seed)
        self.now = 0.0
        self.manager = make(most_deaths=None, clock=lambda: self.now)
        self.workers, self.tasks = workers, tasks
        self.processes = {}  # worker → its number, as it believes
        self.silent_until = {}
        self.held = {}  # worker → [task], as it believes
        self.accepted, self.got, self.asked = Counter(), Counter(), {}
        self.latest, self.heard = {}, {}  # task → number of its last ticket; worker → when it was last heard of
        self.refused = 0

    def run(self):
        step = 0
        while sum(self.got.values()) < self.tasks:
            step += 1
            assert step < 400 * self.tasks, "it does not come to an end"
            self.now += self.random.choice((0.0, 0.01, 0.1))
            self.manager.check()
            if len(self.asked) < self.tasks:
                tag = self.random.choice("abc")
                self.asked[self.manager.add_task_request(tag, len(self.asked))] = tag
            self.work(self.random.randrange(self.workers))
            if self.random.random() < 0.5:
                self.get()
            if step % 997 == 0:
                self.manager.validate()
        self.manager.validate()
        assert self.manager.number_of_tasks() == ({}, {}, {})

    def work(self, worker):
        """Do one thing that a worker may do."""
        if self.silent_until.get(worker, 0.0) > self.now:
            return
        if worker not in self.processes:
            self.processes[worker] = self.manager.register_process(PERIOD)
            self.heard[worker] = self.now
            self.held.setdefault(worker, [])
        die = self.random.random()
        try:
            if die < 0.10:
                self.silent_until[worker] = self.now + self.random.choice((0.5, 10.0, 40.0)) * PERIOD
            elif die < 0.13:
                self.manager.unregister_process(self.processes.pop(worker))
            elif die < 0.15:
                del self.processes[worker]  # dead, and another comes in its place
                self.held[worker] = []
            elif die < 0.6 and self.held[worker]:
                self.answer(worker)
            else:
                self.manager.ping(self.processes[worker])
                self.heard[worker] = self.now
                self.pull(worker)
        except UnknownToManager:
            assert self.now - self.heard[worker] > 4 * PERIOD, "given up, and it had pinged"
            self.processes.pop(worker, None)  # it was given up; what it has in hand it answers all the same, late

    def pull(self, worker):
        tags = self.random.choice((None, ["a"], ["b", "c"]))
        try:
            task = self.manager.get_any_task(self.processes[worker], 0, tags=tags)
        except TimeoutError:
            return
        self.held[worker].append(task)
        self.latest[task[0]] = task[0].number

    def answer(self, worker):
        task_id, tag, number = self.held[worker].pop(self.random.randrange(len(self.held[worker])))
        assert self.asked[task_id] == tag
        die = self.random.random()
        if die < 0.1:
            self.manager.return_task(task_id)
            return
        if die < 0.2:
            taken = self.manager.store_exception(task_id, ValueError(number), "")
        else:
            taken = self.manager.store_result(task_id, number)
        assert not taken or self.latest[task_id] == task_id.number, "the answer of one who was given up"
        self.accepted[task_id] += taken
        self.refused += not taken

    def get(self):
        try:
            task_id, _, _ = self.manager.get_any_result(0)
        except TimeoutError:
            return
        except TaskRaisedException as raised:
            task_id = raised.task_id
        self.got[task_id] += 1


def check(world):
    world.run()
    once = dict.fromkeys(world.asked, 1)
    assert dict(world.got) == once
    assert {task_id: count for task_id, count in world.accepted.items() if count} == once


@pytest.mark.parametrize("seed", range(6))
def test_few_workers_that_are_seldom_there(seed):
    """Every task is answered and collected once, whichever worker died; many late answers are refused."""
    world = World(seed, 12, 150)

    check(world)

    assert world.refused > 3


@pytest.mark.slow
def test_a_thousand_workers_come_die_and_return():
    """The same holds for a thousand workers that hold most of the tasks."""
    world = World(0, 1000, 1500)

    check(world)

    assert world.manager._processes > 1000
    assert world.refused > 50


MUTANTS = {
    "that the late are refused": (board_module, "number in (0, ticket.number)", "True"),
    "to give back what the silent held": (board_module, "for ticket in reversed(tickets):", "for ticket in ():"),
    "to release what was answered": (
        board_module,
        "        if ticket is not None:\n            self._leases.release(ticket)\n            self._plan.give",
        "        if ticket is not None:\n            self._plan.give",
    ),
    "to grant a lease": (board_module, "            self._leases.grant(process, ticket)\n", "            pass\n"),
    "to hear of them": (board_module, "self._leases.beat(process, self._clock())", "pass"),
}


@pytest.mark.slow
@pytest.mark.parametrize("forgotten", MUTANTS)
def test_the_simulation_finds_what_is_forgotten(forgotten):
    """The simulation fails for each manager in which one step is left out."""
    module, text, instead = MUTANTS[forgotten]
    source = Path(module.__file__).read_text("utf-8")
    assert source.count(text) == 1, "the mutant has lost its place"
    namespace = {"__name__": module.__name__}
    exec(compile(source.replace(text, instead), f"<mutant of {forgotten}>", "exec"), namespace)

    with pytest.raises((AssertionError, KeyError, ValueError, UnknownToManager)):
        for seed in range(5):
            check(World(seed, 12, 150, make=namespace["TaskManager"]))

