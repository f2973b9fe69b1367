"""Helpers for tests of what is built on taskproc: graphs written as one line, plans driven by hand, and fakes.

A fake says what it was told to say and remembers what it was asked; it has no clock, no thread and no file:

    work, runner = FakeWork("a; b<a", ends={"b": [Lost(("a",)), DONE]}), FakeRunner()
    events = list(drive(Plan(), work, runner, clock=runner.clock))
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from taskproc.kernel.model import Done, K, Node, Outcome, Reason, Returned, Stale, Stamp, Ticket, Verdict
from taskproc.kernel.moves import State
from taskproc.kernel.plan import Plan

A = TypeVar("A")

STALE = Stale(Reason("new", "no result is stored"))
DONE = Done(Stamp("order", "value"))


def nodes(text: str) -> Iterator[Node[str]]:
    """The nodes of a graph like `"a; b<a; c<a,b @gpu; d"`: needs after `<`, labels after `@`, both apart by commas."""
    for part in filter(None, map(str.strip, text.split(";"))):
        rest, _, labels = part.partition("@")
        key, _, needs = rest.partition("<")
        yield Node(key.strip(), _words(needs), _words(labels))


def grow(plan: Plan[str], text: str) -> None:
    """Add the nodes of `text` (see `nodes`) to `plan`."""
    for node in nodes(text):
        plan.add(node)


def states(plan: Plan[K], keys: Iterable[K]) -> dict[K, State]:
    """Where each of `keys` stands; `states(plan, "bcd")` asks for three."""
    return {key: plan.state(key) for key in keys}


def start(plan: Plan[K], key: K, now: float = 0.0) -> Ticket[K]:
    """The ticket of `key`, which runs now, whatever is due before it being judged stale.

    Nodes that are ready before it stay so. ValueError if `key` cannot run: it waits, has ended, or finds no free slot.
    """
    while (due := plan.due(now)) is not None:
        plan.judge(due, STALE, now)
    taken = []
    while plan.ticket(key) is None and (ticket := plan.take()) is not None:
        taken.append(ticket)
    # what is given back first is last in line: the order is as it was
    for ticket in reversed(taken):
        if ticket.key != key:
            plan.give_back(ticket)
    wanted = plan.ticket(key)
    if wanted is None:
        raise ValueError(f"{key!r} cannot run, it is {plan.state(key)}")
    return wanted


def settle(plan: Plan[K], key: K, outcome: Outcome[K], now: float = 0.0) -> tuple[K, ...]:
    """Run `key` to `outcome`, see `start`. Returns the keys that are skipped by it."""
    return plan.settle(start(plan, key, now), outcome, now)


class FakeRunner(Generic[K]):
    """Runs each job within `wait`, one at a time, in the order in which they were started; time passes in no other way.

    Attributes:
        started: keys, in the order in which they were started.
        held: keys whose jobs do not end until they are taken out of it.
        queued: keys whose jobs are given back when they are recalled.
        now: the time that `clock` tells; a `wait` for which there is nothing to tell moves it by its timeout.
        stopped: whether `stop` was called.
    """

    def __init__(self, capacity: int = 1000):
        self.started: list[K] = []
        self.held: set[K] = set()
        self.queued: set[K] = set()
        self.now = 0.0
        self.stopped = False
        self._capacity = capacity
        self._jobs: list[tuple[Ticket[K], Callable[[], Outcome[K]]]] = []
        self._said: list[tuple[Ticket[K], Outcome[K]]] = []

    def clock(self) -> float:
        """The time now."""
        return self.now

    def capacity(self) -> int:
        """What it was made with."""
        return self._capacity

    def start(self, ticket: Ticket[K], job: Callable[[], Outcome[K]]) -> None:
        """Take up `job`. AssertionError if there are `capacity` jobs already: nobody should give it more."""
        if len(self._jobs) >= self._capacity:
            raise AssertionError(f"{ticket.key!r} was started beyond the capacity {self._capacity}")
        self.started.append(ticket.key)
        self._jobs.append((ticket, job))

    def say(self, ticket: Ticket[K], outcome: Outcome[K]) -> None:
        """Tell this with the next `wait`, whoever runs."""
        self._said.append((ticket, outcome))

    def wait(self, timeout: float | None) -> Sequence[tuple[Ticket[K], Outcome[K]]]:
        """What was said, or how the next job ended. AssertionError instead of waiting for ever."""
        told, self._said = self._said, []
        if told:
            return told
        for entry in self._jobs:
            ticket, job = entry
            if ticket.key not in self.held:
                self._jobs.remove(entry)
                return [(ticket, job())]
        if timeout is None:
            raise AssertionError(f"waits for ever: running are {[ticket.key for ticket, _ in self._jobs]}")
        self.now += timeout
        return []

    def recall(self) -> None:
        """Give back, with the next `wait`, the jobs of `queued` keys."""
        back = [entry for entry in self._jobs if entry[0].key in self.queued]
        for entry in back:
            self._jobs.remove(entry)
            self._said.append((entry[0], Returned()))

    def stop(self) -> None:
        """Drop what runs."""
        self.stopped = True
        self._jobs.clear()


class FakeWork:
    """The five questions of a run, answered as written down.

    Args:
        graph: as for `nodes`; it is fed at once.
        verdicts, claims, ends, closes: key → what is answered for it, in turn; the last answer stands. By default
            every node is stale, may be started, and is done; `closes` answers by default what was said.

    Attributes:
        asked: question and key of each call but `feed`, in order.
    """

    def __init__(
        self,
        graph: str,
        *,
        verdicts: Mapping[str, Sequence[Verdict]] | None = None,
        claims: Mapping[str, Sequence[Outcome[str] | None]] | None = None,
        ends: Mapping[str, Sequence[Outcome[str]]] | None = None,
        closes: Mapping[str, Sequence[Outcome[str]]] | None = None,
    ):
        self.asked: list[tuple[str, str]] = []
        self._graph = list(nodes(graph))
        self._verdicts, self._claims = _in_turn(verdicts), _in_turn(claims)
        self._ends, self._closes = _in_turn(ends), _in_turn(closes)

    def feed(self, plan: Plan[str]) -> None:
        """Add the graph, once."""
        for node in self._graph:
            plan.add(node)
        self._graph = []

    def judge(self, key: str) -> Verdict:
        """The next verdict."""
        self.asked.append(("judge", key))
        return _next(self._verdicts, key, STALE)

    def claim(self, ticket: Ticket[str]) -> Outcome[str] | None:
        """The next answer to a claim."""
        self.asked.append(("claim", ticket.key))
        return _next(self._claims, ticket.key, None)

    def job(self, ticket: Ticket[str]) -> Callable[[], Outcome[str]]:
        """A job that ends in the next way; which one is settled when it is called."""
        self.asked.append(("job", ticket.key))
        return lambda: _next(self._ends, ticket.key, DONE)

    def close(self, ticket: Ticket[str], outcome: Outcome[str]) -> Outcome[str]:
        """What was said, unless something else was written down."""
        self.asked.append(("close", ticket.key))
        return _next(self._closes, ticket.key, outcome)


def _in_turn(answers: Mapping[str, Sequence[A]] | None) -> dict[str, list[A]]:
    return {key: list(some) for key, some in (answers or {}).items()}


def _next(answers: dict[str, list[A]], key: str, otherwise: A) -> A:
    some = answers.get(key)
    if not some:
        return otherwise
    return some[0] if len(some) == 1 else some.pop(0)


def _words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (word.strip() for word in text.split(","))))
