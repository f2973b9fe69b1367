"""LocalCommands: how a TaskManager without a shared folder runs its commands. Nothing is stored."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from taskproc.commands.descriptors import SLOT, Feed, Finished, descriptor_fault
from taskproc.kernel.model import Event, Failed, Node, Outcome, Problem, Reason, Stale, Ticket, Verdict
from taskproc.kernel.plan import Plan
from taskproc.run.command_runner import CommandJob
from taskproc.run.runner import Job

_NEW = Stale(Reason("new", "it is in the list"))


class LocalCommands:
    """The work of a run (drive.py): each descriptor is a command whose output goes to files in `folder`.

    Args:
        again: makes the loop call `feed` again soon.
    """

    def __init__(self, feed: Feed[int], folder: Path, slots: int, again: Callable[[], object]):
        self._feed, self._folder, self._slots, self._again = feed, folder, slots, again

    def feed(self, plan: Plan[int]) -> None:
        """Take one descriptor from the list if a slot is free."""
        # One at a time, and then again: the hook may wait for a command that it added last, so that must be running
        if plan.open() < self._slots:
            self._feed.update()
            if not self._feed.is_empty():
                self._add(plan, self._feed.first())
                self._again()
        if (last := self._feed.last(plan)) is not None:
            self._add(plan, last)

    def _add(self, plan: Plan[int], descriptor: object) -> None:
        key = len(plan) + 1
        self._feed.note(key, descriptor)
        plan.add(Node(key, labels=(SLOT,)))

    def judge(self, key: int) -> Verdict:
        """Every descriptor runs."""
        return _NEW

    def claim(self, ticket: Ticket[int]) -> Outcome[int] | None:
        """Fails if the descriptor is not valid."""
        fault = descriptor_fault(self._feed.taken[ticket.key][1])
        return Failed(Problem("command", fault)) if fault else None

    def job(self, ticket: Ticket[int]) -> Job[Outcome[int]]:
        """Its command."""
        number, descriptor = self._feed.taken[ticket.key]
        assert isinstance(descriptor, Sequence), "it was checked in `claim` [this is a bug]"
        stdout, stderr = self._logs(number)
        for path in (stdout, stderr):
            path.unlink(missing_ok=True)  # left by an earlier manager in the same folder
        return CommandJob(tuple(map(os.fspath, descriptor)), stdout, stderr)

    def close(self, ticket: Ticket[int], outcome: Outcome[int]) -> Outcome[int]:
        """The outcome that the runner reported."""
        return outcome

    def finished(self, event: Event[int] | None) -> Iterator[Finished]:
        """The record of a descriptor, if the event is its end."""
        if event is not None and event.key is not None and event.kind in ("done", "failed"):
            yield self._record(event.key, event)

    def _record(self, key: int, event: Event[int]) -> Finished:
        number, descriptor = self._feed.taken[key]
        problem = event.detail.get("problem")
        text, code = (problem.text, problem.exit_code) if isinstance(problem, Problem) else ("", 0)
        stdout, stderr = (None, None) if code is None else self._logs(number)
        return Finished(number, descriptor, code, float(str(event.detail["seconds"])), stdout, stderr, text)

    def _logs(self, number: int) -> tuple[Path, Path]:
        return self._folder / f"{number}.stdout.txt", self._folder / f"{number}.stderr.txt"
