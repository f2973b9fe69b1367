"""The loop: takes tickets from the plan to a runner and back, and reports what happens on the way.

A plan decides, a runner executes, `Work` answers the five questions that differ between front ends. The loop is a
generator of events: a slow reader slows the run, and a reader that stops stops it.
"""
from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Protocol

from taskproc.kernel.model import (
    Done,
    Elsewhere,
    Event,
    Failed,
    Fresh,
    K,
    Lost,
    Outcome,
    Returned,
    Stale,
    Ticket,
    Verdict,
)
from taskproc.kernel.plan import Plan
from taskproc.run.runner import Job, Runner

LOOKS = 256  # nodes are judged at a time, so that those of a large graph that may start do not wait for the rest


class Work(Protocol[K]):
    """The five questions that a front end answers."""

    def feed(self, plan: Plan[K]) -> None:
        """Is there more to do? Adds the nodes to the plan."""
        ...

    def judge(self, key: K) -> Verdict:
        """Is it done already? Occupies no slot."""
        ...

    def claim(self, ticket: Ticket[K]) -> Outcome[K] | None:
        """Is it ours to do? None: yes, or the job asks that itself. Else the outcome of a node that is not started."""
        ...

    def job(self, ticket: Ticket[K]) -> Job[Outcome[K]]:
        """How is it done?"""
        ...

    def close(self, ticket: Ticket[K], outcome: Outcome[K]) -> Outcome[K]:
        """Was it done? The answer rests on what is published, not on what the runner reports."""
        ...


def drive(
    plan: Plan[K],
    work: Work[K],
    runner: Runner[K, Outcome[K]],
    *,
    stop_on_failure: bool = True,
    clock: Callable[[], float] = time.monotonic,
    check: Callable[[], None] = lambda: None,
    resize: Callable[[], None] = lambda: None,
) -> Iterator[Event[K]]:
    """Yield events until no node is open and `work` feeds no more.

    The caller makes and stops the runner. Events: fresh, stale or elsewhere after a node is judged; started; then one
    of done, fresh, failed, lost, elsewhere, returned; skipped for each node below a failure; stopped if the run ends
    early; late for an answer whose ticket is no longer in force.

    Args:
        stop_on_failure: after a failure, nothing new is started.
        check: is called before a node is judged, started or settled. An exception that it raises ends the loop at once.
        resize: is called before a node is started; it may change the limits of the plan.
    """
    while True:
        work.feed(plan)
        if stop_on_failure and plan.count("failed"):
            if plan.open():
                yield Event("stopped", None, {"open": plan.open()})
            runner.recall()
            while plan.running():  # running jobs may finish, and their results count
                check()
                yield from settle_some(plan, work, runner, clock)
            return
        if not plan.open():
            return
        yield from islice(_judge_all(plan, work, clock, check), LOOKS)
        yield from _start_all(plan, work, runner, clock, stop_on_failure, check, resize)
        if stop_on_failure and plan.count("failed"):
            continue  # a claim failed
        if not plan.open():
            continue  # all nodes were fresh: there may be more to do
        due = plan.next_due()
        if due is None and not plan.running():
            raise AssertionError(f"stuck with {plan.open()} nodes open and none running [this is a bug]")
        yield from settle_some(plan, work, runner, clock, None if due is None else max(0.0, due - clock()))


def _judge_all(
    plan: Plan[K], work: Work[K], clock: Callable[[], float], check: Callable[[], None]
) -> Iterator[Event[K]]:
    while (key := plan.due(clock())) is not None:
        check()
        verdict = work.judge(key)
        plan.judge(key, verdict, clock())
        yield _judged(key, verdict)


def _start_all(
    plan: Plan[K],
    work: Work[K],
    runner: Runner[K, Outcome[K]],
    clock: Callable[[], float],
    stop_on_failure: bool,
    check: Callable[[], None],
    resize: Callable[[], None],
) -> Iterator[Event[K]]:
    while not (stop_on_failure and plan.count("failed")):
        check()
        resize()
        if (ticket := plan.take()) is None:
            return
        outcome = work.claim(ticket)
        if outcome is None:
            yield Event("started", ticket.key)
            runner.start(ticket, work.job(ticket))
        else:
            yield from _settle(plan, ticket, outcome, clock())


def settle_some(
    plan: Plan[K],
    work: Work[K],
    runner: Runner[K, Outcome[K]],
    clock: Callable[[], float],
    timeout: float | None = None,
) -> Iterator[Event[K]]:
    """Wait until a job has ended, and yield its events; start nothing."""
    for ticket, outcome in runner.wait(timeout):
        if not plan.holds(ticket):
            yield Event("late", ticket.key)
            continue
        yield from _settle(plan, ticket, work.close(ticket, outcome), clock())


def _settle(plan: Plan[K], ticket: Ticket[K], outcome: Outcome[K], now: float) -> Sequence[Event[K]]:
    skipped = plan.settle(ticket, outcome, now)
    ended = _ended(ticket.key, outcome, plan.state(ticket.key))
    return [ended, *(Event("skipped", key, {"because": ticket.key}) for key in skipped)] if skipped else (ended,)


def _judged(key: K, verdict: Verdict) -> Event[K]:
    if isinstance(verdict, Stale):
        reason = verdict.reason
        return Event("stale", key, {"reason": reason.kind, "text": reason.text, "needs": list(reason.needs)})
    return Event("fresh" if isinstance(verdict, Fresh) else "elsewhere", key)


def _ended(key: K, outcome: Outcome[K], state: str) -> Event[K]:
    if isinstance(outcome, Done):
        return Event("done", key, outcome.detail())
    if isinstance(outcome, Failed):
        return Event("failed", key, {"seconds": outcome.seconds, "problem": outcome.problem})
    if isinstance(outcome, Lost):
        return Event("failed" if state == "failed" else "lost", key, {"keys": list(outcome.keys)})
    if isinstance(outcome, Returned):
        return Event("returned", key)
    return Event("elsewhere" if isinstance(outcome, Elsewhere) else "fresh", key)
