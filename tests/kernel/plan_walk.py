"""A random walk over the methods of a plan, with the expected effect of each."""
from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest

from taskproc.kernel.model import Done, Elsewhere, Failed, Fresh, Lost, Node, Problem, Stale, Stamp
from taskproc.kernel.plan import STATES, Plan
from taskproc.testing import STALE, states

SLOTS = {"gpu": 1, "disk": 2}
BOOM = Failed(Problem("exception", "boom"))
STEPS = 120


class Walk:
    """Drives a plan at random, and remembers as much as is needed to know the effect of each method."""

    def __init__(self, plan, seed):
        self.plan = plan
        self.random = random.Random(seed)
        self.now = 0.0
        self.keys = []  # all that the plan has
        self.born = 0
        self.line = []  # ready, in the order in which they should start
        self.running = {}  # key → ticket in force
        self.slow = set()  # of these, those that seldom end
        self.tickets = []  # all that were ever given out
        self.looks = {}  # due, but not before
        self.losses = Counter()
        self.stamps = {}
        # Each walk has habits of its own: one loses often, another adds little. Walks of one kind get stuck in the
        # same places (swarm testing: Groce et al. 2012).
        verbs = (self.add, self.give_back, self.lose_any)
        self.verbs = {verb: self.random.choice((1, 2, 5)) for verb in verbs}
        self.verbs |= {self.late: 1, self.tick: 1, self.judge_any: 1}
        self.verbs |= {self.forget: self.random.choice((0, 0, 1, 3))}  # who forgets soon has few results to lose
        self.verbs |= {verb: self.random.choice((3, 10)) for verb in (self.judge, self.take, self.settle)}
        self.kinds = {kind: self.random.choice((1, 2, 5)) for kind in (Done, Fresh, Elsewhere, Lost)}
        self.kinds |= {Done: 5, Failed: self.random.choice((0.3, 1, 2))}
        self.verdicts = {Stale: 5, Fresh: self.random.choice((1, 5)), Elsewhere: self.random.choice((1, 5))}
        # a low bound is met often
        plan.MAX_LOSSES = self.random.choice((1, 1, 3))
        self.most = self.random.choice((4, 6, 10))

    def step(self):
        [verb] = self.random.choices(list(self.verbs), list(self.verbs.values()))
        self.do(verb)

    def do(self, verb, *args):
        before = self.states()
        verb(*args)
        self.check(before, self.states())

    def begin(self):
        """Two results, a run that has read them, and a node that waits for it. By chance alone it takes long to come
        to where the results are worn out, or lost under the run.
        """
        for needs in ((), (), (0, 1), (2,)):
            self.do(self.plant, needs)
        for key in (0, 1):
            self.do(self.tell, key, Fresh(self.new_stamp()))
            for _ in range(self.random.randint(0, self.plan.MAX_LOSSES)):
                self.do(self.lose, key)
                self.do(self.tell, key, Fresh(self.new_stamp()))
        self.do(self.tell, 2, STALE)
        self.do(self.take)
        self.slow = {2}
        for key in self.random.choice(((), (0,), (1,), (0, 1))):
            self.do(self.lose, key)

    def states(self):
        return states(self.plan, self.keys)

    def check(self, before, after):
        """Assert the invariants that hold after every step."""
        self.plan.validate()
        assert len(self.plan) == len(self.keys)
        for key, old in before.items():
            if key not in after:
                continue  # forgotten
            assert old not in ("failed", "skipped") or after[key] == old, "an end was no end"
            self.losses[key] += old == "done" != after[key]
            assert self.losses[key] <= self.plan.MAX_LOSSES, "lost without bound"
        assert {key for key, state in after.items() if state == "running"} == set(self.running)
        assert all(self.plan.holds(ticket) == (ticket in self.running.values()) for ticket in self.tickets)
        assert Counter(after.values()) == Counter({state: self.plan.count(state) for state in STATES})
        self.line = [key for key in self.line if after.get(key) == "ready"]
        assert set(self.line) == {key for key, state in after.items() if state == "ready"}
        self.looks = {key: when for key, when in self.looks.items() if after.get(key) == "due"}
        for key, state in after.items():
            assert state != "done" or self.plan.stamp(key) == self.stamps[key]

    def add(self):
        if self.plan.open() == self.most:
            return
        alive = [key for key, state in self.states().items() if state not in ("failed", "skipped")][-6:]
        near = alive if alive and self.random.random() < 0.9 else self.keys
        needs = self.random.choices(near, k=self.random.choice((0, 0, 1, 2, 2, 3))) if self.keys else ()
        labels = self.random.choices(("gpu", "disk", "other"), k=self.random.choice((0, 1, 1, 2)))
        self.plant(needs, labels)

    def plant(self, needs, labels=()):
        self.plan.add(Node(self.born, tuple(needs), tuple(labels)))
        self.keys.append(self.born)
        self.born += 1

    def forget(self):
        """Forget a node, mostly one that may be forgotten."""
        before = self.states()
        needed = {need for key in self.keys for need in self.plan.node(key).needs}
        may_go = [key for key in self.keys if key not in needed and before[key] not in ("waiting", "due", "running")]
        if self.keys and (not may_go or self.random.random() < 0.2):
            key = self.random.choice(self.keys)
            if key not in may_go:
                with pytest.raises(ValueError, match="cannot be forgotten"):
                    self.plan.forget(key)
                assert self.states() == before
        elif may_go:
            key = self.random.choice(may_go)
            self.plan.forget(key)
            self.keys.remove(key)
            with pytest.raises(KeyError):
                self.plan.state(key)
            assert self.states() == {other: state for other, state in before.items() if other != key}

    def judge(self):
        key = self.plan.due(self.now)
        put_off = {key for key, when in self.looks.items() if when > self.now}
        if key is None:
            due = {key for key, state in self.states().items() if state == "due"}
            assert due == put_off, "due, but not told"
            assert self.plan.next_due() == min((self.looks[key] for key in due), default=None)
            return
        assert self.plan.next_due() == 0.0
        assert self.plan.state(key) == "due"
        assert key not in put_off, "told before its time"
        assert self.tell(key, self.verdict(key))

    def judge_any(self):
        if self.keys:
            key = self.random.choice(self.keys)
            before = self.states()
            assert self.tell(key, self.verdict(key)) == (before[key] == "due")
            assert before[key] == "due" or self.states() == before

    def verdict(self, key):
        [kind] = self.random.choices(list(self.verdicts), list(self.verdicts.values()))
        if self.losses[key] and self.random.random() < 0.5:
            kind = Stale
        return {Stale: STALE, Fresh: Fresh(self.new_stamp()), Elsewhere: Elsewhere(2.0)}[kind]

    def tell(self, key, verdict):
        counted = self.plan.judge(key, verdict, self.now)
        if counted and isinstance(verdict, Fresh):
            self.stamps[key] = verdict.stamp
        self.looks.pop(key, None)
        if counted and isinstance(verdict, Elsewhere):
            self.looks[key] = self.now + 2.0
        if counted and verdict is STALE:
            self.line.append(key)
        expected = {Fresh: "done", Elsewhere: "due"}.get(type(verdict), "ready")
        assert not counted or self.plan.state(key) == expected
        return counted

    def take(self):
        used = Counter(label for key in self.running for label in set(self.plan.node(key).labels))
        among = self.random.choice((None, None, None, {"gpu"}, {"disk"}, {"gpu", "disk"}, set()))
        may_start = [
            key for key in self.line if all(used[label] < SLOTS.get(label, 99) for label in self.labels(key))
            and (among is None or among >= set(self.labels(key)) & SLOTS.keys())
        ]
        ticket = self.plan.take() if among is None else self.plan.take(among)
        assert (ticket.key if ticket else None) == next(iter(may_start), None), "out of turn"
        if ticket:
            assert all(ticket.number > old.number for old in self.tickets)
            self.running[ticket.key] = ticket
            self.tickets.append(ticket)
            # Some last long, and see their needs come and go
            (self.slow.add if self.random.random() < 0.3 else self.slow.discard)(ticket.key)

    def labels(self, key):
        return self.plan.node(key).labels

    def settle(self):
        # nothing quick to end: mostly, wait for something to start
        if not self.running or (self.slow.issuperset(self.running) and self.random.random() < 0.8):
            return
        ticket = self.pick()
        outcome = self.outcome(ticket.key)
        before = self.states()
        skipped = self.plan.settle(ticket, outcome, self.now)
        after = self.states()
        self.check_skipped(skipped, before, after)
        self.check_outcome(ticket.key, outcome, before, after)

    def pick(self):
        """Return the ticket of a run that is to end."""
        quick = [key for key in self.running if key not in self.slow]
        keys = quick if quick and self.random.random() < 0.9 else list(self.running)
        return self.running.pop(self.random.choice(keys))

    def outcome(self, key):
        needs = self.plan.node(key).needs
        kinds = self.kinds
        if self.losses[key]:
            kinds = {Failed: 1, Done: 1}
        if any(self.plan.state(need) != "done" for need in needs):
            kinds = {Done: 1, Elsewhere: 1, Lost: 2}
        [kind] = self.random.choices(list(kinds), list(kinds.values()))
        if kind is Lost and needs:
            return Lost(tuple(self.random.choices(needs, k=self.random.choice((1, 2, 3)))))
        done = Done(self.new_stamp())
        return {Fresh: Fresh(self.new_stamp()), Failed: BOOM, Elsewhere: Elsewhere(1.0)}.get(kind, done)

    def check_outcome(self, key, outcome, before, after):
        left_done = {other for other, state in before.items() if state == "done" != after[other]}
        if isinstance(outcome, Lost):
            assert left_done <= set(outcome.keys)
            assert after[key] != "failed" or any(self.is_stuck(lost, before) for lost in outcome.keys)
            assert after[key] != "failed" or not left_done, "lost in part"
            return
        assert not left_done
        if isinstance(outcome, (Done, Fresh)):
            self.stamps[key] = outcome.stamp
            assert after[key] == "done"
        elif isinstance(outcome, Failed):
            assert after[key] == "failed"
        else:
            self.look_later(key, after)

    def look_later(self, key, after):
        undone = [need for need in self.plan.node(key).needs if after[need] != "done"]
        doomed = self.is_doomed(key, after)
        assert after[key] == ("skipped" if doomed else "waiting" if undone else "due")
        self.looks[key] = self.now + 1.0

    def is_doomed(self, key, states):
        return any(states[need] in ("failed", "skipped") for need in self.plan.node(key).needs)

    def is_stuck(self, key, states):
        """Whether the node cannot be made again."""
        return self.losses[key] == self.plan.MAX_LOSSES or self.is_doomed(key, states)

    def check_skipped(self, skipped, before, after):
        assert sorted(skipped) == [key for key in before if before[key] != "skipped" == after[key]], "not told"

    def give_back(self):
        if not self.slow.issuperset(self.running) or (self.running and self.random.random() < 0.2):
            ticket = self.pick()
            before = self.states()
            self.check_skipped(self.plan.give_back(ticket), before, self.states())
            if self.plan.state(ticket.key) == "ready":
                self.line.insert(0, ticket.key)

    def lose_any(self):
        before = self.states()
        done = [key for key, state in before.items() if state == "done"]
        in_use = [key for key in done if any(key in self.plan.node(other).needs for other in self.running)]
        again = [key for key in done if self.losses[key]]
        choices = [keys for keys in (done, in_use, again, list(before)) if keys]
        if choices:
            self.lose(self.random.choice(self.random.choice(choices)))

    def lose(self, key):
        before = self.states()
        granted = self.plan.lose(key)
        after = self.states()
        if before[key] != "done" or not granted:
            assert after == before
        else:
            assert after[key] in ("due", "waiting")
            assert {other for other in before if before[other] == "done" != after[other]} == {key}
        assert granted == (before[key] != "done" or not self.is_stuck(key, before))

    def late(self):
        late = [ticket for ticket in self.tickets if ticket not in self.running.values()]
        if late:
            before = self.states()
            ticket = self.random.choice(late)
            with pytest.raises(ValueError, match="not in force"):
                self.plan.settle(ticket, Done(self.new_stamp()), self.now)
            with pytest.raises(ValueError, match="not in force"):
                self.plan.give_back(ticket)
            assert self.states() == before

    def tick(self):
        self.now += 1.0

    def new_stamp(self):
        return Stamp("order", str(self.random.random()))

    def finish(self):
        """Check that from any state of the walk an obedient loop reaches the end."""
        for _ in range(20 * len(self.plan) + 20):
            self.now += 5.0
            while (key := self.plan.due(self.now)) is not None:
                assert self.plan.judge(key, STALE, self.now)
            self.plan.take()
            for key in self.keys:
                if (ticket := self.plan.ticket(key)) is not None:
                    self.plan.settle(ticket, Done(Stamp("o", "v")), self.now)
            if not self.plan.open():
                break
        self.plan.validate()
        assert self.plan.open() == self.plan.running() == 0
        assert self.plan.next_due() is None


def walk(make_plan: Callable[[], Plan[int]], seed: int) -> None:
    journey = Walk(make_plan(), seed)
    if seed % 2:
        journey.begin()
    for _ in range(STEPS):
        journey.step()
    journey.finish()
