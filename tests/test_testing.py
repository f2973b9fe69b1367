"""The helpers do what their docstrings say, above all where a test that uses them would hang or lie otherwise."""
from __future__ import annotations

import pytest

from taskproc.kernel.limits import Limits
from taskproc.kernel.model import Failed, Fresh, Node, Outcome, Problem, Returned, Stamp, Ticket
from taskproc.kernel.plan import Plan
from taskproc.run.runner import Runner
from taskproc.testing import DONE, STALE, FakeRunner, FakeWork, grow, nodes, settle, states

BOOM = Failed(Problem("exception", "boom"))


def test_a_graph_is_written_in_one_line() -> None:
    """Keys, needs after `<`, labels after `@`, blanks where one likes."""
    assert list(nodes("a; b<a ;c < a, b @gpu,memory; d @cpu;")) == [
        Node("a"),
        Node("b", ("a",)),
        Node("c", ("a", "b"), ("gpu", "memory")),
        Node("d", (), ("cpu",)),
    ]


def test_settle_leaves_the_order_of_the_others() -> None:
    """What was ready before the node that is settled is ready in the same order after it."""
    plan: Plan[str] = Plan()
    grow(plan, "a; b; c; d")

    settle(plan, "c", DONE)

    assert [plan.take().key for _ in range(3)] == ["a", "b", "d"]  # type: ignore[union-attr]


@pytest.mark.parametrize(("key", "state"), [("b", "waiting"), ("d", "ready")])
def test_settle_refuses_what_cannot_run(key: str, state: str) -> None:
    """A node that waits, or finds no free slot, cannot be settled."""
    plan: Plan[str] = Plan(Limits({"gpu": 1}))
    grow(plan, "a; b<a; c @gpu; d @gpu")
    while (due := plan.due(0)) is not None:
        plan.judge(due, STALE, 0)
    running = [plan.take(), plan.take()]

    with pytest.raises(ValueError, match=f"{key!r} cannot run, it is {state}"):
        settle(plan, key, DONE)

    assert [plan.ticket(ticket.key) for ticket in running if ticket] == running
    assert states(plan, "ac") == {"a": "running", "c": "running"}


def test_fake_runner_is_a_runner() -> None:
    """It has the shape that the loop asks for."""
    runner: Runner[str, Outcome[str]] = FakeRunner(3)

    assert runner.capacity() == 3


def test_fake_runner_gives_back_what_is_queued() -> None:
    """And runs the rest."""
    runner: FakeRunner[str] = FakeRunner()
    one, two = Ticket("one", 1), Ticket("two", 2)
    runner.start(one, lambda: DONE)
    runner.start(two, lambda: DONE)
    runner.queued.add("one")

    runner.recall()

    assert [runner.wait(None), runner.wait(None)] == [[(one, Returned())], [(two, DONE)]]


def test_fake_runner_ends_jobs_in_the_order_they_were_started() -> None:
    """One a wait, but for those that are held."""
    runner: FakeRunner[str] = FakeRunner()
    runner.held.add("a")
    for key in "abc":
        runner.start(Ticket(key, 1), lambda: DONE)

    assert [runner.wait(None)[0][0].key for _ in range(2)] == ["b", "c"]
    assert runner.started == ["a", "b", "c"]


def test_fake_runner_passes_the_time_only_when_nothing_is_to_be_told() -> None:
    """A wait with a job costs no time, one without costs its timeout."""
    runner: FakeRunner[str] = FakeRunner()
    runner.start(Ticket("a", 1), lambda: DONE)

    assert (runner.wait(5.0), runner.clock()) == ([(Ticket("a", 1), DONE)], 0.0)
    assert (runner.wait(5.0), runner.clock()) == ([], 5.0)


def test_fake_runner_does_not_wait_for_ever() -> None:
    """A wait without end is a mistake of the loop, and names what it waits for."""
    runner: FakeRunner[str] = FakeRunner()
    runner.held.add("a")
    runner.start(Ticket("a", 1), lambda: DONE)

    with pytest.raises(AssertionError, match=r"waits for ever: running are \['a'\]"):
        runner.wait(None)


def test_fake_runner_refuses_more_than_it_takes() -> None:
    """A loop that starts more than `capacity` at once is caught."""
    runner: FakeRunner[str] = FakeRunner(1)
    runner.start(Ticket("a", 1), lambda: DONE)

    with pytest.raises(AssertionError, match="'b' was started beyond the capacity 1"):
        runner.start(Ticket("b", 2), lambda: DONE)


def test_fake_runner_stopped_has_nothing_left() -> None:
    """After `stop` no job ends any more."""
    runner: FakeRunner[str] = FakeRunner()
    runner.start(Ticket("a", 1), lambda: DONE)

    runner.stop()

    assert (runner.stopped, runner.wait(1.0)) == (True, [])


def test_fake_work_answers_in_turn() -> None:
    """Each answer once, the last one for ever, the default where none is written down."""
    fresh = Fresh(Stamp("o", "v"))
    work = FakeWork("a; b<a", verdicts={"a": [STALE, fresh]}, ends={"a": [BOOM]})

    assert [work.judge("a") for _ in range(3)] == [STALE, fresh, fresh]
    assert (work.judge("b"), work.claim(Ticket("b", 1)), work.job(Ticket("b", 1))()) == (STALE, None, DONE)
    assert (work.job(Ticket("a", 1))(), work.close(Ticket("a", 1), DONE)) == (BOOM, DONE)
    assert work.asked[:2] == [("judge", "a"), ("judge", "a")]


def test_fake_work_feeds_once() -> None:
    """However often the loop asks for more."""
    plan: Plan[str] = Plan()
    work = FakeWork("a; b<a")

    work.feed(plan)
    work.feed(plan)

    assert states(plan, "ab") == {"a": "due", "b": "waiting"}
