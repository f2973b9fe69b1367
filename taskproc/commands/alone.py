"""The five questions for commands of which nothing is remembered: each descriptor is run, and that is all."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from taskproc.commands.feed import SLOT, Feed
from taskproc.commands.record import Finished
from taskproc.kernel.model import Event, Failed, Node, Outcome, Problem, Reason, Stale, Ticket, Verdict
from taskproc.kernel.plan import Plan
from taskproc.run.base import Job
from taskproc.run.command import CommandJob

_NEW = Stale(Reason("new", "it is in the list"))


class Alone:
    """Descriptors as commands whose output goes to files in `folder`. Keys are their numbers.

    Args:
        again: has `feed` called again soon.
    """

    def __init__(self, feed: Feed[int], folder: Path, slots: int, again: Callable[[], object]):
        self._feed, self._folder, self._slots, self._again = feed, folder, slots, again

    def feed(self, plan: Plan[int]) -> None:
        """Take one from the list if there is a free slot; the one before has been started then."""
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
        """Nothing is remembered."""
        return _NEW

    def claim(self, ticket: Ticket[int]) -> Outcome[int] | None:
        """Nobody else could have it; but it may be none."""
        wrong = wrong_with(self._feed.taken[ticket.key][1])
        return Failed(Problem("command", wrong)) if wrong else None

    def job(self, ticket: Ticket[int]) -> Job[Outcome[int]]:
        """The command."""
        number, descriptor = self._feed.taken[ticket.key]
        assert isinstance(descriptor, Sequence), "it was looked at in `claim` [this is a bug]"
        stdout, stderr = self._logs(number)
        for path in (stdout, stderr):
            path.unlink(missing_ok=True)  # of an earlier manager in the same folder
        return CommandJob(tuple(map(os.fspath, descriptor)), stdout, stderr)

    def close(self, ticket: Ticket[int], outcome: Outcome[int]) -> Outcome[int]:
        """As was said."""
        return outcome

    def finished(self, event: Event[int] | None) -> Iterator[Finished]:
        """What an event tells of the end of a descriptor, if it does."""
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

    def end(self) -> None:
        """Nothing is held."""


def wrong_with(descriptor: object) -> str:
    """What is wrong with a task descriptor, in words; empty if nothing is."""
    if isinstance(descriptor, (str, bytes)) or not isinstance(descriptor, Sequence):
        return f"a task descriptor must be a list of words, got {descriptor!r}: no shell splits it"
    if not descriptor:
        return "a task descriptor is empty: its first word is the program"
    wrong = [word for word in descriptor if not isinstance(word, (str, os.PathLike))]
    return f"words of a task descriptor must be strings or paths, got {wrong[0]!r}" if wrong else ""
