"""Helpers for tests of code that builds on taskproc: stubs, asserted plans, graphs in one line, and fakes.

For tests of tasks there are `stub` and `assert_plan`:

    with stub(Load, value=[1, 2, 3]):
        assert_plan(Main(), runs=["Train", "Main"])
        value, _ = Main().run_graph()

All else is for tests of runners and the like. A fake gives prepared answers and records the questions; it has no clock,
no thread and no file:

    work, runner = FakeWork("a; b<a", ends={"b": [Lost(("a",)), DONE]}), FakeRunner()
    events = list(drive(Plan(), work, runner, clock=runner.clock))
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from taskproc.kernel.model import Done, K, Node, Outcome, Reason, Returned, Stale, Stamp, Ticket, Verdict
from taskproc.kernel.plan import Plan, State
from taskproc.tasks.stubs import assert_plan as assert_plan
from taskproc.tasks.stubs import stub as stub

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
    """The state of each of `keys`; `states(plan, "bcd")` asks for three."""
    return {key: plan.state(key) for key in keys}


def start(plan: Plan[K], key: K, now: float = 0.0) -> Ticket[K]:
    """Start `key` and return its ticket; nodes that are due before it are judged stale, and stay ready.

    Raises ValueError if `key` cannot run: it waits, has ended, or finds no free slot.
    """
    while (due := plan.due(now)) is not None:
        plan.judge(due, STALE, now)
    taken = []
    while plan.ticket(key) is None and (ticket := plan.take()) is not None:
        taken.append(ticket)
    # The ticket that is given back first is last in line, so the order is as before
    for ticket in reversed(taken):
        if ticket.key != key:
            plan.give_back(ticket)
    wanted = plan.ticket(key)
    if wanted is None:
        raise ValueError(f"{key!r} cannot run, it is {plan.state(key)}")
    return wanted


def settle(plan: Plan[K], key: K, outcome: Outcome[K], now: float = 0.0) -> tuple[K, ...]:
    """Start `key` and end it with `outcome`. Returns the keys that are skipped because of it. Raises as `start`."""
    return plan.settle(start(plan, key, now), outcome, now)


class FakeRunner(Generic[K]):
    """Runs one job per call of `wait`, in the order in which they were started.

    Attributes:
        started: keys, in the order in which they were started.
        held: keys whose jobs do not end until the key is removed.
        queued: keys whose jobs are returned by `recall`.
        now: the time of `clock`, in seconds; a `wait` without an answer advances it by its timeout.
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
        """The capacity given to the constructor."""
        return self._capacity

    def start(self, ticket: Ticket[K], job: Callable[[], Outcome[K]]) -> None:
        """Accept `job`. Raises AssertionError if there are already `capacity` jobs."""
        if len(self._jobs) >= self._capacity:
            raise AssertionError(f"{ticket.key!r} was started beyond the capacity {self._capacity}")
        self.started.append(ticket.key)
        self._jobs.append((ticket, job))

    def say(self, ticket: Ticket[K], outcome: Outcome[K]) -> None:
        """Return this answer from the next `wait`, whether or not the ticket runs."""
        self._said.append((ticket, outcome))

    def wait(self, timeout: float | None) -> Sequence[tuple[Ticket[K], Outcome[K]]]:
        """The answers given to `say`, or that of the next job. Raises AssertionError instead of waiting for ever."""
        answers, self._said = self._said, []
        if answers:
            return answers
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
        """Return the jobs of `queued` keys from the next `wait`."""
        back = [entry for entry in self._jobs if entry[0].key in self.queued]
        for entry in back:
            self._jobs.remove(entry)
            self._said.append((entry[0], Returned()))

    def stop(self) -> None:
        """Drop all jobs."""
        self.stopped = True
        self._jobs.clear()


class FakeWork:
    """Answers the five questions of a run with prepared answers.

    Args:
        graph: as for `nodes`; it is fed at once.
        verdicts, claims, ends, closes: key → its answers, one after another; the last one is repeated. By default every
            node is stale, may be started, and is done; `closes` answers by default with the outcome that it gets.

    Attributes:
        asked: question and key of each call except `feed`, in order.
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
        """A job that returns the next outcome, which is taken when the job is called."""
        self.asked.append(("job", ticket.key))
        return lambda: _next(self._ends, ticket.key, DONE)

    def close(self, ticket: Ticket[str], outcome: Outcome[str]) -> Outcome[str]:
        """The next outcome prepared for it, or the one given."""
        self.asked.append(("close", ticket.key))
        return _next(self._closes, ticket.key, outcome)


def _in_turn(answers: Mapping[str, Sequence[A]] | None) -> dict[str, list[A]]:
    return {key: list(prepared) for key, prepared in (answers or {}).items()}


def _next(answers: dict[str, list[A]], key: str, otherwise: A) -> A:
    prepared = answers.get(key)
    if not prepared:
        return otherwise
    return prepared[0] if len(prepared) == 1 else prepared.pop(0)


def _words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (word.strip() for word in text.split(","))))
