"""The loop: what it asks, in what order, what it tells, and how it ends."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from taskproc.drive import drive
from taskproc.kernel.limits import Limits
from taskproc.kernel.model import Done, Elsewhere, Event, Failed, Fresh, Lost, Problem, Returned, Stamp, Ticket
from taskproc.kernel.plan import Plan
from taskproc.testing import STALE, FakeRunner, FakeWork, nodes, states

BOOM = Failed(Problem("exception", "boom"), 2.0)
FRESH = Fresh(Stamp("order", "value"))


class Ride:
    """A loop on its way over fakes."""

    def __init__(self, graph: str, limits: dict[str, int] | None = None, stop: bool = True, **answers: Any):
        self.plan: Plan[str] = Plan(Limits(limits or {}))
        self.work = FakeWork(graph, **answers)
        self.runner: FakeRunner[str] = FakeRunner()
        self.events: Iterator[Event[str]] = drive(
            self.plan, self.work, self.runner, stop_on_failure=stop, clock=self.runner.clock
        )

    def to_the_end(self) -> list[str]:
        """What is told until the end: `started a`, …"""
        return [f"{event.kind} {event.key}" for event in self.events]

    def until(self, kind: str, key: str) -> Event[str]:
        return next(event for event in self.events if (event.kind, event.key) == (kind, key))


@pytest.fixture
def ride() -> Iterator[type[Ride]]:
    """Makes rides; every invariant of their plans holds when the test ends."""
    made: list[Ride] = []

    class Checked(Ride):
        def __init__(self, *args: Any, **kwargs: Any):
            super().__init__(*args, **kwargs)
            made.append(self)

    yield Checked
    for each in made:
        each.plan.validate()


def test_what_is_fed_when_all_was_fresh_is_done_too(ride: type[Ride]) -> None:
    """The end is that nothing is open, and that no more is to come."""
    a = ride("a", verdicts={"a": [FRESH]})
    first = next(a.events)
    a.work._graph = list(nodes("b"))

    assert ["fresh a", "stale b", "started b", "done b"] == [f"{first.kind} {first.key}", *a.to_the_end()]


def test_a_node_is_judged_claimed_started_and_closed_in_this_order(ride: type[Ride]) -> None:
    """The questions of one node, and a node below it only after its end."""
    a = ride("a; b<a")

    told = a.to_the_end()

    assert told == ["stale a", "started a", "done a", "stale b", "started b", "done b"]
    assert a.work.asked == [(ask, key) for key in "ab" for ask in ("judge", "claim", "job", "close")]


def test_an_empty_graph_ends_at_once(ride: type[Ride]) -> None:
    """Nothing open, nothing told, nobody waited for."""
    assert ride("").to_the_end() == []


def test_what_is_fresh_is_neither_claimed_nor_started(ride: type[Ride]) -> None:
    """A verdict ends it."""
    a = ride("a; b<a", verdicts={"a": [FRESH], "b": [FRESH]})

    assert a.to_the_end() == ["fresh a", "fresh b"]
    assert a.work.asked == [("judge", "a"), ("judge", "b")]


def test_all_that_is_ready_is_started_before_the_first_wait(ride: type[Ride]) -> None:
    """Siblings run side by side."""
    a = ride("a; b; c")

    a.until("done", "a")

    assert a.runner.started == ["a", "b", "c"]


def test_no_more_run_than_labels_allow(ride: type[Ride]) -> None:
    """A slot is free again only after the end was settled."""
    a = ride("a @gpu; b @gpu; c", {"gpu": 1})

    a.until("done", "a")

    assert a.runner.started == ["a", "c"]
    assert a.to_the_end() == ["started b", "done c", "done b"]


def test_the_reason_is_told_with_a_stale_node(ride: type[Ride]) -> None:
    """`kind` for programs and `text` for people."""
    event = next(ride("a").events)

    assert event == Event("stale", "a", {"reason": STALE.reason.kind, "text": STALE.reason.text, "needs": []})


class Stop(Exception):
    """Raised by a check."""


@pytest.mark.parametrize("calls", range(6))
def test_a_check_that_raises_ends_the_loop_at_once(calls: int) -> None:
    """Before each look, start and wait; also while what runs after a failure winds down, which else would hang."""
    left = iter([None] * calls)
    work, runner = FakeWork("a; b; c<b", ends={"a": [BOOM]}), FakeRunner[str]()
    runner.held.add("b")
    told: list[str] = []

    def check() -> None:
        if next(left, Stop) is Stop:
            raise Stop

    with pytest.raises(Stop):
        for event in drive(Plan(), work, runner, clock=runner.clock, check=check):
            told += [f"{event.kind} {event.key}"]

    whole = ["stale a", "stale b", "started a", "started b", "failed a", "stopped None"]
    assert told == whole[: (0, 1, 2, 3, 4, 6)[calls]]


def test_work_begins_before_all_is_judged(ride: type[Ride], monkeypatch: pytest.MonkeyPatch) -> None:
    """A large graph is looked at in parts; what was seen to be stale starts meanwhile."""
    monkeypatch.setattr("taskproc.drive.LOOKS", 2)

    told = ride("a; b; c").to_the_end()

    assert told[:6] == ["stale a", "stale b", "started a", "started b", "done a", "stale c"]


def test_what_is_returned_is_started_again(ride: type[Ride]) -> None:
    """At once, without another look; that is told."""
    a = ride("a; b", ends={"a": [Returned(), Done(Stamp("order", "value"))]})

    assert a.to_the_end()[2:] == ["started a", "started b", "returned a", "started a", "done b", "done a"]


def test_a_failure_stops_the_run_and_what_runs_is_kept(ride: type[Ride]) -> None:
    """Nothing new starts, what lies below is skipped, what runs ends and is closed."""
    a = ride("a; b; c<a; d<c; e; f<b", ends={"a": [BOOM]})

    told = a.to_the_end()

    assert told[6:] == ["failed a", "skipped c", "skipped d", "stopped None", "done b", "done e"]
    assert states(a.plan, "bf") == {"b": "done", "f": "due"}


def test_what_has_not_begun_when_a_run_stops_is_given_back(ride: type[Ride]) -> None:
    """It is ready again, and nobody starts it."""
    a = ride("a; b; c", ends={"a": [BOOM]})
    a.runner.queued.add("c")

    told = a.to_the_end()

    assert told[6:] == ["failed a", "stopped None", "returned c", "done b"]
    assert states(a.plan, "bc") == {"b": "done", "c": "ready"}


def test_a_failure_carries_its_problem_and_skipped_nodes_their_cause(ride: type[Ride]) -> None:
    """Whoever reports need not ask anybody."""
    a = ride("a; c<a", ends={"a": [BOOM]})

    assert a.until("failed", "a").detail == {"seconds": 2.0, "problem": BOOM.problem}
    assert a.until("skipped", "c").detail == {"because": "a"}


def test_without_stopping_all_runs_that_can(ride: type[Ride]) -> None:
    """Only what lies below a failure is not run."""
    a = ride("a; b; c<a; f<b", stop=False, ends={"a": [BOOM]})

    a.to_the_end()

    assert states(a.plan, "abcf") == {"a": "failed", "b": "done", "c": "skipped", "f": "done"}


def test_nothing_starts_after_a_claim_that_failed(ride: type[Ride]) -> None:
    """A cache that cannot be written fails one task, not all of them; and none is started behind it."""
    a = ride("a; b; c", claims={"a": [BOOM]})

    assert a.to_the_end() == ["stale a", "stale b", "stale c", "failed a", "stopped None"]
    assert a.runner.started == []


def test_what_another_host_computes_is_looked_at_again_when_it_is_due(ride: type[Ride]) -> None:
    """The loop sleeps until then, and finds it done; its clock is the one it was given."""
    a = ride("a; b<a", verdicts={"a": [Elsewhere(5.0), Elsewhere(2.0), FRESH]})

    assert a.to_the_end() == ["elsewhere a", "elsewhere a", "fresh a", "stale b", "started b", "done b"]
    assert a.runner.now == 7.0


def test_a_claim_that_is_held_elsewhere_is_tried_again(ride: type[Ride]) -> None:
    """Judged again, too: the other host may have finished it."""
    a = ride("a", claims={"a": [Elsewhere(1.0), None]})

    assert a.to_the_end() == ["stale a", "elsewhere a", "stale a", "started a", "done a"]


def test_a_claim_may_find_it_done(ride: type[Ride]) -> None:
    """Published between the look and the claim: it counts as fresh, and nothing is started."""
    a = ride("a; b<a", claims={"a": [FRESH]}, verdicts={"b": [FRESH]})

    assert a.to_the_end() == ["stale a", "fresh a", "fresh b"]
    assert a.runner.started == []


def test_close_has_the_last_word(ride: type[Ride]) -> None:
    """What was published counts, whatever the runner said: a death after the commit is no failure."""
    a = ride("a", ends={"a": [BOOM]}, closes={"a": [Done(Stamp("o", "v"), 1.0)]})

    assert a.to_the_end() == ["stale a", "started a", "done a"]
    assert a.plan.stamp("a") == Stamp("o", "v")


def test_a_need_that_was_lost_is_made_again(ride: type[Ride]) -> None:
    """Then the node that missed it runs again."""
    a = ride("a; b<a", verdicts={"a": [FRESH, STALE]}, ends={"b": [Lost(("a",)), Done(Stamp("o", "v"))]})

    assert a.to_the_end() == [
        "fresh a", "stale b", "started b", "lost b", "stale a", "started a", "done a", "stale b", "started b", "done b",
    ]


def test_what_is_lost_again_and_again_fails(ride: type[Ride]) -> None:
    """The loop ends."""
    a = ride("a; b<a", ends={"b": [Lost(("a",))]})

    assert a.to_the_end()[-1] == "failed b"
    assert a.runner.started.count("b") == Plan.MAX_LOSSES + 1


def test_a_late_answer_changes_nothing(ride: type[Ride]) -> None:
    """It is told as late, is not closed, and the answer in force counts."""
    a = ride("a")
    a.until("started", "a")
    a.runner.say(Ticket("a", 99), BOOM)

    assert a.to_the_end() == ["late a", "done a"]
    assert a.work.asked.count(("close", "a")) == 1


def test_a_reader_that_stops_reading_stops_the_run(ride: type[Ride]) -> None:
    """The loop is no further than what was read."""
    a = ride("a; b<a")

    a.until("done", "a")
    a.events.close()  # type: ignore[attr-defined]  # it is a generator

    assert a.work.asked[-1] == ("close", "a")


def test_a_feed_may_bring_more_each_time(ride: type[Ride]) -> None:
    """It is asked before every look, so a lazy front end is never behind."""
    a = ride("a")
    more = iter(["b<a", "c"])
    first = a.work.feed

    def feed(plan: Plan[str]) -> None:
        first(plan)
        if plan.count("done") == len(plan):
            FakeWork(next(more, "")).feed(plan)

    a.work.feed = feed  # type: ignore[method-assign]
    a.to_the_end()

    assert states(a.plan, "abc") == dict.fromkeys("abc", "done")


def test_a_stuck_plan_is_a_bug_not_a_hang(ride: type[Ride], monkeypatch: pytest.MonkeyPatch) -> None:
    """Open nodes of which none runs and none is due: the loop says so instead of spinning."""
    a = ride("a")
    monkeypatch.setattr(a.plan, "take", lambda: None)

    with pytest.raises(AssertionError, match=r"stuck with 1 nodes open and none running \[this is a bug\]"):
        a.to_the_end()
