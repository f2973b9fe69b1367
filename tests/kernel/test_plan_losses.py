"""Laws of the plan when a result that was judged fresh turns out to be unreadable or missing."""
from __future__ import annotations

import pytest

from taskproc.kernel.model import Done, Elsewhere, Failed, Fresh, Lost, Problem, Stamp
from taskproc.kernel.plan import Plan
from taskproc.testing import grow, settle, start, states

STAMP = Stamp("order", "value")
DONE = Done(STAMP)
BOOM = Failed(Problem("exception", "boom"))


@pytest.fixture
def plan():
    """Every invariant holds when the test ends."""
    plan = Plan()
    yield plan
    plan.validate()


def test_a_lost_need_is_judged_again(plan):
    """A node that finds a need unreadable waits until the need is judged, and if necessary made, again."""
    grow(plan, "a; b<a")
    settle(plan, "a", DONE)

    assert settle(plan, "b", Lost(("a",))) == ()
    assert states(plan, "ab") == {"a": "due", "b": "waiting"}
    settle(plan, "a", Done(Stamp("order", "new")))

    assert states(plan, "ab") == {"a": "done", "b": "due"}
    assert plan.stamp("a").value == "new"


def test_a_lost_need_takes_back_what_has_not_started(plan):
    """Below a lost node, due and ready nodes wait again; running and done nodes do not change."""
    grow(plan, "a; done<a; running<a; ready<a; other<done")
    settle(plan, "a", DONE)
    settle(plan, "done", DONE)
    start(plan, "running")
    grow(plan, "due<a")

    assert plan.lose("a")

    assert states(plan, ["a", "done", "running", "ready", "due", "other"]) == {
        "a": "due",
        "done": "done",
        "running": "running",
        "ready": "waiting",
        "due": "waiting",
        "other": "ready",
    }


def test_what_runs_below_a_lost_need_ends_as_it_ends(plan):
    """A run that began before its need was lost counts, and the nodes below it go on."""
    grow(plan, "a; b<a; c<b; d<a,b")
    settle(plan, "a", DONE)
    ticket = start(plan, "b")
    plan.lose("a")

    plan.settle(ticket, DONE, 0.0)

    assert states(plan, "abcd") == {"a": "due", "b": "done", "c": "due", "d": "waiting"}


def test_what_runs_below_a_lost_need_waits_when_given_back(plan):
    """A node whose need was lost while it ran is not ready again before that need is done."""
    grow(plan, "a; b<a; c<a")
    settle(plan, "a", DONE)
    tickets = start(plan, "b"), start(plan, "c")
    plan.lose("a")

    plan.give_back(tickets[0])
    plan.settle(tickets[1], Elsewhere(1.0), 0.0)

    assert states(plan, "bc") == {"b": "waiting", "c": "waiting"}


@pytest.mark.parametrize("stop", [Plan.give_back, lambda plan, ticket: plan.settle(ticket, Elsewhere(), 0.0)])
def test_what_stops_below_a_need_that_failed_meanwhile_is_skipped(plan, stop):
    """A run that stops without an end after its need was lost and failed is skipped, with all nodes below it."""
    grow(plan, "a; b<a; c<b; d<c")
    settle(plan, "a", DONE)
    ticket = start(plan, "b")
    plan.lose("a")
    assert settle(plan, "a", BOOM) == ()

    assert stop(plan, ticket) == ("b", "c", "d")


def test_a_need_already_being_made_is_waited_for(plan):
    """If two nodes miss the same need, it is lost once, and both wait for it."""
    grow(plan, "a; b<a; c<a")
    settle(plan, "a", DONE)
    first, second = start(plan, "b"), start(plan, "c")

    plan.settle(first, Lost(("a",)), 0.0)
    remake = start(plan, "a")
    plan.settle(second, Lost(("a",)), 0.0)

    assert states(plan, "abc") == {"a": "running", "b": "waiting", "c": "waiting"}
    assert plan.holds(remake)


def test_a_loss_told_late_does_not_lose_the_new_result(plan):
    """A run that read the result before the need was made again does not lose the new one; it is looked at again."""
    grow(plan, "a; b<a; c<a")
    settle(plan, "a", DONE)
    first, second = start(plan, "b"), start(plan, "c")
    plan.settle(first, Lost(("a",)), 0.0)
    settle(plan, "a", DONE)

    plan.settle(second, Lost(("a",)), 0.0)

    assert states(plan, "abc") == {"a": "done", "b": "due", "c": "due"}


def test_losses_are_bounded(plan):
    """A result lost more often than MAX_LOSSES fails the node that asks for it, and stays."""
    grow(plan, "a; b<a; c<b")
    for _ in range(Plan.MAX_LOSSES):
        settle(plan, "a", DONE)
        assert settle(plan, "b", Lost(("a",))) == ()
    settle(plan, "a", DONE)

    assert settle(plan, "b", Lost(("a",))) == ("c",)

    assert states(plan, "abc") == {"a": "done", "b": "failed", "c": "skipped"}


def test_losing_by_oneself_is_bounded(plan):
    """`lose` is False at the bound and changes nothing; for a node that is being made it is always True."""
    grow(plan, "a; b<a")
    for _ in range(Plan.MAX_LOSSES):
        plan.judge("a", Fresh(STAMP), 0.0)
        assert plan.lose("a")
        assert plan.lose("a")
    plan.judge("a", Fresh(STAMP), 0.0)

    assert not plan.lose("a")

    assert states(plan, "ab") == {"a": "done", "b": "due"}


def test_several_are_lost_together_or_not_at_all(plan):
    """If one of the lost needs cannot be made again, the others do not change."""
    grow(plan, "a; b; c<a,b")
    for _ in range(Plan.MAX_LOSSES):
        plan.judge("a", Fresh(STAMP), 0.0)
        plan.lose("a")
    settle(plan, "a", DONE)
    settle(plan, "b", DONE)

    settle(plan, "c", Lost(("b", "a")))

    assert states(plan, "abc") == {"a": "done", "b": "done", "c": "failed"}


@pytest.mark.parametrize("keys", [("a", "b"), ("b", "a")])
def test_a_lost_chain_is_made_again_in_order(plan, keys):
    """Of two lost needs, one above the other, the lower one waits for the upper one."""
    grow(plan, "a; b<a; c<a,b")
    settle(plan, "a", DONE)
    settle(plan, "b", DONE)

    settle(plan, "c", Lost(keys))

    assert states(plan, "abc") == {"a": "due", "b": "waiting", "c": "waiting"}


def test_what_cannot_be_made_again_is_not_lost(plan):
    """A result whose own need was lost and then failed is not lost, because it could not be made again."""
    grow(plan, "a; b<a; c<b")
    settle(plan, "a", DONE)
    settle(plan, "b", DONE)
    plan.lose("a")
    settle(plan, "a", BOOM)

    assert not plan.lose("b")
    settle(plan, "c", Lost(("b",)))

    assert states(plan, "bc") == {"b": "done", "c": "failed"}


@pytest.mark.parametrize("keys", [("x",), ("c",), ("a", "b"), ()])
def test_a_node_loses_only_what_it_needs(plan, keys):
    """A loss of a key that is not a need, or of nothing, is refused and changes nothing."""
    grow(plan, "a; b; c<a")
    settle(plan, "a", DONE)
    settle(plan, "b", DONE)
    ticket = start(plan, "c")

    with pytest.raises(ValueError, match="^'c' can only lose what it needs"):
        plan.settle(ticket, Lost(keys), 0.0)

    assert states(plan, "abc") == {"a": "done", "b": "done", "c": "running"}
