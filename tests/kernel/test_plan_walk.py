"""Laws of the plan that hold on every path: a random walk over the methods, and mutants that show that it can fail."""
from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_walk import SLOTS, walk

from taskproc.kernel import limits as limits_module
from taskproc.kernel import plan as plan_module
from taskproc.kernel.limits import Limits
from taskproc.kernel.model import Done, Failed, Node, Problem, Stamp
from taskproc.kernel.plan import MOVES, Plan
from taskproc.testing import STALE

BOOM = Failed(Problem("exception", "boom"))


def new_plan():
    return Plan(Limits(SLOTS))


@pytest.mark.parametrize("seed", range(24))
def test_every_walk_keeps_the_laws(seed):
    """In any order of reports, every invariant holds after every step, and the end can be reached."""
    walk(new_plan, seed)


@pytest.mark.slow
def test_every_legal_move_is_made():
    """The walks make each move of the table and no other."""
    made = set()

    class Recorder(Plan[int]):
        def _move(self, entry, to):
            made.add((entry.state, to))
            super()._move(entry, to)

    for seed in range(100):
        if made == set(MOVES):
            break
        walk(lambda: Recorder(Limits(SLOTS)), seed)

    assert made == set(MOVES)


DAGS = st.integers(1, 10).flatmap(
    lambda n: st.tuples(
        *(
            st.tuples(
                st.lists(st.integers(0, max(0, key - 1)), max_size=3 if key else 0),
                st.lists(st.sampled_from(["gpu", "disk", "other"]), max_size=2),
                st.integers(0, 5).map(lambda die: die == 0),
            )
            for key in range(n)
        )
    )
)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(DAGS, st.randoms(use_true_random=False))
def test_an_obedient_loop_runs_each_node_once(dag, chance):
    """Each node runs once, after its needs and within the limits; nodes below a failure never run."""
    plan = new_plan()
    for key, (needs, labels, _) in enumerate(dag):
        plan.add(Node(key, tuple(needs), tuple(labels)))
    failing = {key for key, (_, _, fails) in enumerate(dag) if fails}
    below = set()
    for key, (needs, _, _) in enumerate(dag):
        if (failing | below).intersection(needs):
            below.add(key)

    started, skipped = obey(plan, failing, chance)

    assert sorted(started) == sorted(set(range(len(dag))) - below)
    assert sorted(skipped) == sorted(below)
    assert {key for key in started if plan.state(key) == "failed"} == failing - below
    assert all(started.index(need) < started.index(key) for key in started for need in dag[key][0])
    plan.validate()


def obey(plan, failing, chance):
    """Run `plan` to its end; returns the keys that were started and the keys that were skipped, in order."""
    started, skipped, running = [], [], []
    while plan.open():
        while (key := plan.due(0.0)) is not None:
            plan.judge(key, STALE, 0.0)
        while (ticket := plan.take()) is not None:
            assert all(plan.state(need) == "done" for need in plan.node(ticket.key).needs)
            started.append(ticket.key)
            running.append(ticket)
        used = Counter(label for ticket in running for label in set(plan.node(ticket.key).labels))
        assert all(used[label] <= slots for label, slots in SLOTS.items())
        assert running, "open, and nothing runs"
        ticket = running.pop(chance.randrange(len(running)))
        skipped += plan.settle(ticket, BOOM if ticket.key in failing else Done(Stamp("o", "v")), 0.0)
    assert not running
    return started, skipped


# What was forgotten: file, the text as it is, the text as it would be.
MUTANTS = {
    "to release slots": ("plan", "            self._limits.release(entry.labels)\n", ""),
    "to take slots": ("plan", "        self._limits.take(entry.labels)\n", ""),
    "to look at the limits": ("limits", "if self._limits.free(labels) and (", "if True and ("),
    "that a slot may be the last": ("limits", "if used[label] == slots[label]:", "if used[label] > slots[label]:"),
    "that a full label is free again": ("limits", "-= 1\n            self._full.discard(label)\n", "-= 1\n"),
    "who came first": ("limits", "if best is None or turn < best_turn:", "if best is None or turn > best_turn:"),
    "to put first what is given back": ("plan", "self._become_ready(entry, first=True)", "self._become_ready(entry)"),
    "to put first within the bucket": ("limits", "            bucket.move_to_end(key, last=False)\n", ""),
    "to leave the line": (
        "plan",
        "            self._ready.leave(entry.node.key, entry.labels)\n",
        "            pass\n",
    ),
    "to leave the queue of the due": (
        "plan",
        "            self._due.pop(entry.node.key, None)\n",
        "            pass\n",
    ),
    "to void the ticket": ("plan", "            entry.number = 0\n", ""),
    "to give each ticket its number": ("plan", "        self._issued += 1\n", "        self._issued = 1\n"),
    "to ask for the ticket": (
        "plan",
        "        if not self.holds(ticket):\n",
        "        if ticket.key not in self._entries:\n",
    ),
    "to skip": ("plan", "        return self._skip_below(entry)\n", "        return ()\n"),
    "to skip further down": ("plan", "                    pending.append(below)\n", ""),
    "to tell what is skipped": ("plan", "                    skipped.append(below.node.key)\n", ""),
    "to tell that it is skipped itself": (
        "plan",
        "(entry.node.key, *self._skip_below(entry))",
        "self._skip_below(entry)",
    ),
    "to spare what runs": (
        "plan",
        'if below.state == "waiting":\n                    self._move',
        "if True:\n                    self._move",
    ),
    "to skip a latecomer": ("plan", "        elif self._is_doomed(entry):\n", "        elif False:\n"),
    "to wait for all needs": ("plan", "if not below.undone and below.state", "if below.state"),
    "to make what is below due": ("plan", '                self._become_due(below)\n', "                pass\n"),
    "to count a need as done": ("plan", "            below.undone -= 1\n", ""),
    "to count a lost need as undone": ("plan", "            below.undone += 1\n", ""),
    "to count undone needs": ("plan", 'entry.undone += need.state != "done"', "entry.undone += 1"),
    "that a need named twice is one": ("plan", "node.needs if len(node.needs) < 2 else", "node.needs if True else"),
    "to count losses": ("plan", "        entry.losses += 1\n", ""),
    "to bound losses by one": ("plan", "entry.losses < self.MAX_LOSSES", "entry.losses <= self.MAX_LOSSES"),
    "to ask before losing by itself": ("plan", "        if not self._may_be_lost(entry):\n", "        if False:\n"),
    "to ask before losing": ("plan", "if not all(self._may_be_lost(need) for need in lost):", "if False:"),
    "to ask for all that is lost": (
        "plan",
        "if not all(self._may_be_lost(need) for need in lost):",
        "if not self._may_be_lost(self._entries[keys[0]]):",
    ),
    "that what is below a failure cannot be made again": (
        "plan",
        " and not (entry.undone and self._is_doomed(entry))",
        "",
    ),
    "to forget the stamp of a lost result": ("plan", "        entry.stamp = None\n", ""),
    "to take back what is ready": ("plan", 'if below.state in ("due", "ready"):', 'if below.state == "due":'),
    "to take back what is due": ("plan", 'if below.state in ("due", "ready"):', 'if below.state == "ready":'),
    "to spare what runs below a loss": ("plan", 'in ("due", "ready"):', 'in ("due", "ready", "running"):'),
    "that a lost node may have to wait": (
        "plan",
        '        if entry.undone:\n            self._move(entry, "waiting")',
        '        if False:\n            self._move(entry, "waiting")',
    ),
    "that only what is done can be lost": (
        "plan",
        '        if entry.state != "done":\n            return True\n',
        "",
    ),
    "that a need is being made already": ("plan", 'if need.state == "done" and need.issued', "if need.issued"),
    "to wait after a loss": ("plan", "        if entry.undone:\n            return self._rest(entry)\n", ""),
    "that it may rest in vain": (
        "plan",
        "        if self._is_doomed(entry):\n            self._move",
        "        if False:\n            self._move",
    ),
    "that a later look is later": ("plan", "            if when is not None:\n", "            if False:\n"),
    "that a look has its time": ("plan", "self._later[0][0] <= now", "self._later[0][0] <= now + 1"),
    "to void a later look": ("plan", 'entry.state == "due" and entry.look == look', 'entry.state == "due"'),
    "to number the looks": ("plan", "        self._looks += 1\n", ""),
    "that a look may be void when due again": ("plan", "        entry.look = 0\n", ""),
    "to look later only": (
        "plan",
        '        self._due.pop(entry.node.key, None)\n        self._looks',
        "        self._looks",
    ),
    "whether a node is due": ("plan", '        if entry.state != "due":\n            return False\n', ""),
    "to look at what is asked for": ("limits", "all(label in among for label in labels)", "True"),
    "to look at all labels": ("limits", "all(label in among", "any(label in among"),
    "to ask by labels": ("plan", "self._ready.next(among)", "self._ready.next()"),
    "that what is needed cannot be forgotten": ("plan", "if entry.below or entry.state in", "if entry.state in"),
    "that what runs cannot be forgotten": ("plan", '("waiting", "due", "running"):', '("waiting", "due"):'),
    "that what is due cannot be forgotten": ("plan", '("waiting", "due", "running"):', '("waiting", "running"):'),
    "to leave the line when forgotten": (
        "plan",
        "            self._ready.leave(key, entry.labels)\n        for",
        "            pass\n        for",
    ),
    "to be below its needs no more": ("plan", "self._entries[need].below.remove(entry)", "pass"),
    "to count what is forgotten": ("plan", "        self._counts[entry.state] -= 1\n        del", "        del"),
    "to drop void looks": (
        "plan",
        "        while self._later and not self._is_to_come(*self._later[0][1:]):\n",
        "        while False:\n",
    ),
}


def mutant(where: str, text: str, instead: str) -> Callable[[], Plan[int]]:
    """A factory of plans whose code reads `instead` where it should read `text`."""
    sources = {name: _source(name) for name in ("plan", "limits")}
    assert sources[where].count(text) == 1, "the mutant has lost its place"
    sources[where] = sources[where].replace(text, instead)
    limits = _execute("limits", sources["limits"])
    plan = _execute("plan", sources["plan"]) | {"Limits": limits["Limits"], "Line": limits["Line"]}
    # the functions of a module see its globals: these are to be the mutated ones
    plan["Plan"].__init__.__globals__.update(Limits=limits["Limits"], Line=limits["Line"])
    return lambda: plan["Plan"](limits["Limits"](SLOTS))


@functools.cache
def _source(name: str) -> str:
    return Path({"plan": plan_module, "limits": limits_module}[name].__file__).read_text()


def _execute(name: str, source: str) -> dict:
    namespace = {"__name__": f"taskproc.kernel.{name}"}
    exec(compile(source, f"<mutant of {name}>", "exec"), namespace)
    return namespace


@pytest.mark.slow
@pytest.mark.parametrize("forgotten", MUTANTS)
def test_the_walk_finds_what_is_forgotten(forgotten):
    """The walk fails for each plan in which one step is left out, so each law can fail."""
    make_plan = mutant(*MUTANTS[forgotten])

    with pytest.raises((AssertionError, ValueError, KeyError, IndexError, pytest.fail.Exception)):
        for seed in range(100):
            walk(make_plan, seed)


def test_an_unchanged_mutant_gets_through():
    """A mutant without a change passes: the changes are found, not the way in which mutants are made."""
    walk(mutant("plan", "MAX_LOSSES = 3", "MAX_LOSSES = 3"), 0)
