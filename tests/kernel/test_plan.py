"""Laws of the plan, one by one."""
from __future__ import annotations

import pytest

from taskproc.kernel.limits import Limits, Tags
from taskproc.kernel.model import Done, Elsewhere, Failed, Fresh, Node, Problem, Returned, Stamp, Ticket
from taskproc.kernel.plan import MOVES, STATES, Plan
from taskproc.testing import STALE, grow, settle, start, states

STAMP = Stamp("order", "value")
DONE = Done(STAMP)
BOOM = Failed(Problem("exception", "boom"))


@pytest.fixture
def plan():
    """A plan with one slot for `gpu`; every invariant holds when the test ends."""
    plan = Plan(Limits({"gpu": 1}))
    yield plan
    plan.validate()


def judge_all(plan, verdict=STALE, now=0.0):
    judged = []
    while (key := plan.due(now)) is not None:
        plan.judge(key, verdict, now)
        judged.append(key)
    return judged


def test_a_node_without_needs_is_due_at_once(plan):
    """A node without needs is due; a node with needs waits."""
    grow(plan, "a; b<a")

    assert states(plan, "ab") == {"a": "due", "b": "waiting"}


def test_a_node_added_late_finds_its_needs_done(plan):
    """A node added after its needs have ended is due, or skipped, at once."""
    grow(plan, "a; b")
    settle(plan, "a", DONE)
    settle(plan, "b", BOOM)

    grow(plan, "c<a; d<a,b; e<d")

    assert states(plan, "cde") == {"c": "due", "d": "skipped", "e": "skipped"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a; a", "'a' was added before"),
        ("a; b<a,c", "'b' needs 'c', which was not added before"),
        ("a; b<b", "'b' needs 'b', which was not added before"),
    ],
)
def test_nodes_are_added_once_and_after_their_needs(plan, text, message):
    """A key is added once and after its needs, so no cycle can be built; a refused node is not in the plan."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        grow(plan, text)

    assert len(plan) == 1


def test_a_need_named_twice_is_one_need(plan):
    """Needs are counted by key."""
    grow(plan, "a; b<a,a")

    settle(plan, "a", DONE)

    assert plan.state("b") == "due"


def test_a_node_is_kept_as_it_was_added(plan):
    """`node` returns the node as it was added."""
    grow(plan, "a; b<a,a @gpu,Train")

    assert plan.node("b") == Node("b", ("a", "a"), ("gpu", "Train"))


def test_unknown_keys(plan):
    """An unknown key raises KeyError, and a ticket for it is not in force."""
    for question in (plan.state, plan.node, plan.stamp, plan.ticket, plan.lose):
        with pytest.raises(KeyError):
            question("x")
    assert not plan.holds(Ticket("x", 1))


def test_due_in_the_order_of_becoming_due(plan):
    """Nodes are judged in the order in which they became due, not in the order of their keys."""
    grow(plan, "c; a; z<c; b")

    assert judge_all(plan, Fresh(STAMP)) == ["c", "a", "b", "z"]


def test_due_is_the_same_until_it_is_judged(plan):
    """Calling `due` changes nothing: no node is lost if it is not judged after that."""
    grow(plan, "a; b")

    assert [plan.due(0.0), plan.due(0.0)] == ["a", "a"]
    assert plan.state("a") == "due"


def test_fresh_is_done_without_running(plan):
    """A node judged fresh is done with that stamp, and what needs it is due."""
    grow(plan, "a; b<a")

    plan.judge("a", Fresh(STAMP), 0.0)

    assert states(plan, "ab") == {"a": "done", "b": "due"}
    assert plan.stamp("a") == STAMP


def test_stale_is_ready(plan):
    """A node judged stale may run, but does not yet."""
    grow(plan, "a")

    plan.judge("a", STALE, 0.0)

    assert plan.state("a") == "ready"
    assert plan.running() == 0


def test_elsewhere_is_looked_at_later(plan):
    """A node that another run computes is due again after its time, not before; `next_due` gives the time."""
    grow(plan, "a; b")
    plan.judge("a", Elsewhere(5.0), 10.0)
    assert plan.next_due() == 0.0
    plan.judge("b", Elsewhere(2.0), 10.0)

    assert plan.next_due() == 12.0
    assert plan.due(11.9) is None
    assert judge_all(plan, Elsewhere(9.0), 12.0) == ["b"]
    assert plan.next_due() == 15.0
    assert plan.due(15.0) == "a"
    assert states(plan, "ab") == {"a": "due", "b": "due"}


def test_a_later_look_stands_at_the_end_of_the_line(plan):
    """A node that is looked at again and again does not delay the others."""
    grow(plan, "a; b; c")
    plan.judge("a", Elsewhere(0.0), 0.0)

    assert judge_all(plan) == ["b", "c", "a"]


def test_nothing_is_next_due_when_nothing_is_due(plan):
    """`next_due` is None if only another move can make a node due."""
    assert plan.next_due() is None
    grow(plan, "a; b<a")

    plan.judge("a", STALE, 0.0)

    assert plan.next_due() is None


def test_a_later_look_is_void_when_the_node_waits_again(plan):
    """A postponed look is dropped if the node had to wait, and was judged, in the meantime."""
    grow(plan, "a; b<a")
    plan.judge("a", Fresh(STAMP), 0.0)
    plan.judge("b", Elsewhere(1.0), 0.0)

    plan.lose("a")

    assert plan.next_due() == 0.0
    plan.judge("a", Fresh(STAMP), 0.0)
    plan.judge("b", Elsewhere(5.0), 0.0)
    assert plan.due(1.0) is None
    assert plan.next_due() == 5.0


def test_a_verdict_on_what_is_not_due_is_void(plan):
    """Looking may show that a need is lost: then the node waits, and its verdict changes nothing."""
    grow(plan, "a; b<a")
    plan.judge("a", Fresh(STAMP), 0.0)
    assert plan.due(0.0) == "b"
    plan.lose("a")

    assert plan.judge("b", Fresh(STAMP), 0.0) is False

    assert states(plan, "ab") == {"a": "due", "b": "waiting"}
    assert plan.judge("a", Fresh(STAMP), 0.0) is True


def test_take_the_longest_ready(plan):
    """Nodes start in the order in which they became ready."""
    grow(plan, "c; a @gpu; b")
    judge_all(plan)

    assert [plan.take(), plan.take(), plan.take(), plan.take()] == [
        Ticket("c", 1),
        Ticket("a", 2),
        Ticket("b", 3),
        None,
    ]
    assert plan.running() == 3


def test_take_within_limits(plan):
    """A node runs only if all its labels have a free slot; nodes that do not need them are not held up."""
    grow(plan, "a @gpu; b @gpu; c")
    judge_all(plan)

    assert [plan.take().key, plan.take().key, plan.take()] == ["a", "c", None]
    plan.settle(plan.ticket("a"), DONE, 0.0)
    assert plan.take().key == "b"


@pytest.mark.parametrize("outcome", [DONE, Fresh(STAMP), BOOM, Elsewhere(1.0)])
def test_slots_come_back_whatever_the_end(plan, outcome):
    """In whatever way a run ends, its slots are free again."""
    grow(plan, "a @gpu; b @gpu")

    settle(plan, "a", outcome)

    assert plan.take().key == "b"


def test_done_makes_what_is_below_due(plan):
    """A node is due when the last of its needs is done, not before."""
    grow(plan, "a; b; c<a,b")

    settle(plan, "a", DONE)
    assert plan.state("c") == "waiting"
    settle(plan, "b", Fresh(STAMP))

    assert plan.state("c") == "due"
    assert plan.stamp("b") == STAMP


def test_only_what_is_done_has_a_stamp(plan):
    """Asking for the stamp of a node that is not done is an error that names its state."""
    grow(plan, "a")

    with pytest.raises(ValueError, match="^'a' is due, only what is done has a stamp$"):
        plan.stamp("a")


def test_failure_skips_only_what_lies_below(plan):
    """A failed node skips its dependents and no other node."""
    grow(plan, "a; b<a; c<b; d")

    skipped = settle(plan, "a", BOOM)

    assert skipped == ("b", "c")
    assert states(plan, "abcd") == {"a": "failed", "b": "skipped", "c": "skipped", "d": "ready"}


def test_what_is_below_two_failures_is_skipped_once(plan):
    """A node is reported as skipped by the first failure above it, and not again."""
    grow(plan, "a; b; c<a,b; d<c,a")

    assert [settle(plan, "a", BOOM), settle(plan, "b", BOOM)] == [("c", "d"), ()]


def test_a_claim_lost_to_another_is_looked_at_later(plan):
    """A node that another run is computing at its start is given up, and looked at again later."""
    grow(plan, "a")
    ticket = start(plan, "a")

    plan.settle(ticket, Elsewhere(3.0), 10.0)

    assert plan.state("a") == "due"
    assert plan.next_due() == 13.0


def test_given_back_is_first_in_line(plan):
    """A node given back is ready again before all others."""
    grow(plan, "a; b; c")
    judge_all(plan)
    ticket = plan.take()

    assert plan.give_back(ticket) == ()

    assert plan.state("a") == "ready"
    assert [plan.take().key, plan.take().key] == ["a", "b"]


def test_returned_is_given_back(plan):
    """A node whose run broke down without its fault is the first to run again."""
    grow(plan, "a; b; c")
    judge_all(plan)

    assert plan.settle(plan.take(), Returned(), 0.0) == ()

    assert [plan.take().key, plan.take().key] == ["a", "b"]


def test_a_ticket_is_in_force_once(plan):
    """A ticket that was settled or given back is not in force any more, also when its node runs again."""
    grow(plan, "a")
    old = start(plan, "a")
    assert plan.holds(old)

    plan.give_back(old)
    assert not plan.holds(old)
    new = plan.take()

    assert (plan.holds(old), plan.holds(new)) == (False, True)
    assert new.number > old.number
    assert plan.ticket("a") == new


def test_a_late_answer_is_refused(plan):
    """Neither settling nor giving back a ticket that is not in force changes anything."""
    grow(plan, "a")
    old = start(plan, "a")
    plan.give_back(old)
    plan.take()

    for ticket in (old, Ticket("a", 0), Ticket("x", 1)):
        with pytest.raises(ValueError, match=r"^Ticket\(.*\) is not in force$"):
            plan.settle(ticket, DONE, 0.0)
        with pytest.raises(ValueError, match=r"^Ticket\(.*\) is not in force$"):
            plan.give_back(ticket)

    assert plan.state("a") == "running"


def test_counts(plan):
    """`count`, `open`, `running` and `len` agree with the states."""
    grow(plan, "a; b; c<b; d; e; f<d,e; g")
    settle(plan, "a", DONE)
    settle(plan, "b", BOOM)
    start(plan, "d")
    grow(plan, "h<a")

    assert {state: plan.count(state) for state in STATES} == {
        "waiting": 1,
        "due": 1,
        "ready": 2,
        "running": 1,
        "done": 1,
        "failed": 1,
        "skipped": 1,
    }
    assert (len(plan), plan.open(), plan.running()) == (8, 5, 1)


def test_the_table_of_moves_is_a_table_of_states():
    """Each move goes from one state to another; nothing leaves failed and skipped, and all others can be left."""
    assert {state for move in MOVES for state in move} == set(STATES)
    assert all(before != after for before, after in MOVES)
    assert {before for before, _ in MOVES} == set(STATES) - {"failed", "skipped"}


def test_an_illegal_move_reports_the_last_moves_of_its_node(plan):
    """The error names the node, its state and its own moves in order; no move of another node, and nothing changes."""
    grow(plan, "a; b")
    settle(plan, "a", DONE)
    settle(plan, "b", BOOM)
    plan.lose("a")

    with pytest.raises(AssertionError) as raised:
        plan._move(plan._entries["a"], "running")

    assert str(raised.value) == (
        "'a' is due and cannot become running; 0 of its needs are not done, its result was lost 1 times; "
        "its last moves: due → ready → running → done → due [this is a bug]"
    )
    assert plan.state("a") == "due"


def test_the_plan_remembers_a_bounded_number_of_moves(plan):
    """However many moves are made, a fixed number of them is stored; a node without one among them is reported too."""
    grow(plan, "a; b")
    settle(plan, "a", DONE)
    for _ in range(1500):
        plan.give_back(start(plan, "b"))

    with pytest.raises(AssertionError, match="'a' is done and cannot become ready; .* its last moves: none"):
        plan._move(plan._entries["a"], "ready")

    assert len(plan._moves) == 2000


def test_taking_looks_once_for_each_kind_of_labels():
    """The cost of a take grows with the kinds of limited labels, not with the number of ready nodes."""
    asked = []

    class Spy(Limits):
        def free(self, labels):
            asked.append(labels)
            return super().free(labels)

    spied = Plan(Spy({"gpu": 1, "disk": 1}))
    for number in range(1000):
        spied.add(Node(number, (), (f"kind {number}", *(("gpu",) if number % 2 else ("gpu", "disk")))))
    judge_all(spied)
    spied.take()
    asked.clear()

    assert spied.take() is None

    assert sorted(asked) == [("disk", "gpu"), ("gpu",)]


def test_take_among_labels(plan):
    """`take` with labels gives the longest ready node that has no other limited label."""
    plan = Plan(Tags())
    for number, tag in enumerate(("add", "mul", "add")):
        plan.add(Node(number, (), (tag,)))
    judge_all(plan)

    assert plan.take({"mul"}).key == 1
    assert plan.take({"mul"}) is None
    assert [plan.take().key, plan.take({"mul", "add"}).key] == [0, 2]
    plan.validate()


def test_forgetting_leaves_no_trace(plan):
    """A node that has ended, or is ready, can be forgotten if no node needs it; its key is free again."""
    grow(plan, "a; b<a")
    settle(plan, "a", DONE)
    ticket = start(plan, "b")
    with pytest.raises(ValueError, match="'b' is running and needed by 0"):
        plan.forget("b")
    with pytest.raises(ValueError, match="'a' is done and needed by 1"):
        plan.forget("a")
    plan.settle(ticket, DONE, 0.0)

    plan.forget("b")
    plan.forget("a")

    assert len(plan) == plan.open() == plan.count("done") == 0
    grow(plan, "b")
    assert start(plan, "b").number > ticket.number
    assert not plan.holds(ticket)


def test_a_later_look_may_be_of_what_is_forgotten(plan):
    """A node that was postponed, then judged and forgotten, is not due at the postponed time."""
    grow(plan, "a")
    plan.judge("a", Elsewhere(5.0), 0.0)
    plan.judge("a", STALE, 1.0)

    plan.forget("a")

    assert (plan.next_due(), plan.due(9.0)) == (None, None)


def test_what_is_ready_is_held_up_by_full_labels():
    """Full labels hold up ready nodes; a node whose slots are free only waits to be taken."""
    plan = Plan(Limits({"gpu": 1, "net": 1}))
    grow(plan, "a @gpu; b @gpu; c @gpu,net; d @net; e")
    judge_all(plan)
    assert {(): 5} == held_up(plan)

    plan.take()

    assert {("gpu",): 2, (): 2} == held_up(plan)
    plan.take({"net"})
    assert {("gpu",): 1, ("gpu", "net"): 1, (): 1} == held_up(plan)


def held_up(plan):
    counts = {}
    for labels, count in plan.held_up():
        counts[labels] = counts.get(labels, 0) + count
    return counts
