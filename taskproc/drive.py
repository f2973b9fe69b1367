"""The loop: carries a ticket from the plan to a runner and back, and tells what happens on the way.

A plan decides, a runner does, `Work` answers the five questions that differ between front ends. The loop is a generator
of events, so whoever reads slowly slows the run, and whoever stops reading stops it.
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
from taskproc.run.base import Job, Runner

LOOKS = 256  # judged at a time: what may start need not wait until all of a large graph was looked at


class Work(Protocol[K]):
    """The five questions, answered by a front end."""

    def feed(self, plan: Plan[K]) -> None:
        """Is there more to do? Adds it to the plan."""
        ...

    def judge(self, key: K) -> Verdict:
        """Is it done already? Takes nothing, needs no slot."""
        ...

    def claim(self, ticket: Ticket[K]) -> Outcome[K] | None:
        """Is it ours to do? None: yes, or the job itself asks. Else how it ended without being started."""
        ...

    def job(self, ticket: Ticket[K]) -> Job[Outcome[K]]:
        """How is it done?"""
        ...

    def close(self, ticket: Ticket[K], outcome: Outcome[K]) -> Outcome[K]:
        """Was it done? Looks at what was published rather than at what was said."""
        ...


def drive(
    plan: Plan[K],
    work: Work[K],
    runner: Runner[K, Outcome[K]],
    *,
    stop_on_failure: bool = True,
    clock: Callable[[], float] = time.monotonic,
    check: Callable[[], None] = lambda: None,
) -> Iterator[Event[K]]:
    """Yield what happens until nothing is open, and no more is fed.

    After a failure nothing new starts, if `stop_on_failure`.
    `check` is called before anything is judged, started or settled; what it raises ends the loop at once. It may give
    the plan other limits.
    The runner is neither made nor stopped here. Events: fresh and stale after a look, started, then one of done, fresh,
    failed, lost, elsewhere, returned, and skipped for what lies below a failure; stopped if the run ended early; late
    for an answer whose ticket is not in force any more.
    """
    while True:
        work.feed(plan)
        if stop_on_failure and plan.count("failed"):
            if plan.open():
                yield Event("stopped", None, {"open": plan.open()})
            runner.recall()
            while plan.running():  # what runs may finish; its results are kept
                check()
                yield from settle_some(plan, work, runner, clock)
            return
        if not plan.open():
            return
        yield from islice(_judge_all(plan, work, clock, check), LOOKS)
        yield from _start_all(plan, work, runner, clock, stop_on_failure, check)
        if stop_on_failure and plan.count("failed"):
            continue  # a claim failed
        if not plan.open():
            continue  # all was fresh: there may be more to do
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
        yield _seen(key, verdict)


def _start_all(
    plan: Plan[K],
    work: Work[K],
    runner: Runner[K, Outcome[K]],
    clock: Callable[[], float],
    stop_on_failure: bool,
    check: Callable[[], None],
) -> Iterator[Event[K]]:
    while not (stop_on_failure and plan.count("failed")):
        check()
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
    """Wait until something ended, and tell it; starts nothing."""
    for ticket, said in runner.wait(timeout):
        if not plan.holds(ticket):
            yield Event("late", ticket.key)
            continue
        yield from _settle(plan, ticket, work.close(ticket, said), clock())


def _settle(plan: Plan[K], ticket: Ticket[K], outcome: Outcome[K], now: float) -> Sequence[Event[K]]:
    skipped = plan.settle(ticket, outcome, now)
    ended = _ended(ticket.key, outcome, plan.state(ticket.key))
    return [ended, *(Event("skipped", key, {"because": ticket.key}) for key in skipped)] if skipped else (ended,)


def _seen(key: K, verdict: Verdict) -> Event[K]:
    if isinstance(verdict, Stale):
        reason = verdict.reason
        return Event("stale", key, {"reason": reason.kind, "text": reason.text, "needs": list(reason.needs)})
    return Event("fresh" if isinstance(verdict, Fresh) else "elsewhere", key)


def _ended(key: K, outcome: Outcome[K], state: str) -> Event[K]:
    if isinstance(outcome, Done):
        return Event("done", key, {"seconds": outcome.seconds})
    if isinstance(outcome, Failed):
        return Event("failed", key, {"seconds": outcome.seconds, "problem": outcome.problem})
    if isinstance(outcome, Lost):
        return Event("failed" if state == "failed" else "lost", key, {"keys": list(outcome.keys)})
    if isinstance(outcome, Returned):
        return Event("returned", key)
    return Event("elsewhere" if isinstance(outcome, Elsewhere) else "fresh", key)
