"""The five questions for commands that several managers share: each descriptor is a Command in a cache that all see.

So whose turn it is, what was done by whom, and that the dead are outlived, is what the claims of the cache say. A
descriptor may also be a Command already, with futures among its words; then what it needs is run before.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence

from taskproc.commands.alone import wrong_with
from taskproc.commands.feed import SLOT, Feed
from taskproc.commands.record import Finished
from taskproc.errors import CommandFailed, MissingResult, TaskprocError
from taskproc.kernel.model import Event, Failed, Node, Outcome, Problem, Reason, Stale, Ticket, Verdict
from taskproc.kernel.plan import Plan
from taskproc.run.base import Job
from taskproc.store.disk import DiskStore
from taskproc.tasks.command import Command, CommandResult
from taskproc.tasks.graph import Graph, graph_of
from taskproc.tasks.graph_work import GraphWork
from taskproc.tasks.jobs import Placement
from taskproc.tasks.known_versions import KnownVersions


class Shared:
    """The work over a graph that grows. Keys are those of tasks, and names of their own for what is no command."""

    def __init__(self, feed: Feed[str], store: DiskStore):
        self._known = KnownVersions(Graph("", {}, {}), store)
        self._work = GraphWork(self._known, Placement(in_process=True))
        self._descriptors = feed
        self._wrong: dict[str, str] = {}
        self._ends: dict[str, Event[str]] = {}
        self._late: list[Event[str]] = []

    def feed(self, plan: Plan[str]) -> None:
        """Take the whole list: what others do takes no slot here."""
        self._descriptors.update()
        while not self._descriptors.is_empty():
            self._add(plan, self._descriptors.first())
        if (last := self._descriptors.last(plan)) is not None:
            self._add(plan, last)

    def _add(self, plan: Plan[str], descriptor: object) -> None:
        graph, wrong = _graph(descriptor)
        if graph is None:
            key = f"(descriptor {len(plan) + 1})"
            self._wrong[key] = wrong
            self._descriptors.note(key, descriptor)
            plan.add(Node(key, labels=(SLOT,)))
            return
        for key in self._known.graph.grow(graph):
            self._known.conditions.code(graph.tasks[key])
            self._known.conditions.settings(graph.tasks[key])
            plan.add(Node(key, graph.needs[key], (SLOT,)))
        if graph.root not in self._descriptors.taken:  # what stands in the list twice is one
            self._descriptors.note(graph.root, descriptor)
            if (end := self._ends.get(graph.root)) is not None:
                self._late.append(end)

    def judge(self, key: str) -> Verdict:
        """See GraphWork."""
        return Stale(Reason("new", "it is in the list")) if key in self._wrong else self._work.judge(key)

    def claim(self, ticket: Ticket[str]) -> Outcome[str] | None:
        """See GraphWork."""
        wrong = self._wrong.get(ticket.key)
        return self._work.claim(ticket) if wrong is None else Failed(Problem("command", wrong))

    def job(self, ticket: Ticket[str]) -> Job[Outcome[str]]:
        """See GraphWork."""
        return self._work.job(ticket)

    def close(self, ticket: Ticket[str], outcome: Outcome[str]) -> Outcome[str]:
        """See GraphWork."""
        return self._work.close(ticket, outcome)

    def end(self) -> None:
        """See GraphWork."""
        self._work.end()

    def finished(self, event: Event[str] | None) -> Iterator[Finished]:
        """What an event tells of the end of a descriptor, if it does; and of those that came when they had ended."""
        ends = () if event is None or event.kind not in ("done", "fresh", "failed", "skipped") else (event,)
        late, self._late = self._late, []
        for end in (*late, *ends):
            key = str(end.key)
            self._ends[key] = end
            if key in self._descriptors.taken:
                yield self._record(key, end)

    def _record(self, key: str, event: Event[str]) -> Finished:
        number, descriptor = self._descriptors.taken[key]
        if event.kind in ("failed", "skipped"):
            return self._failed(number, descriptor, event)
        try:
            result = self._known.value(key)
        except MissingResult as error:
            return Finished(number, descriptor, None, 0.0, None, None, str(error), event.kind == "done")
        assert isinstance(result, CommandResult), f"{result!r} is that of no command [this is a bug]"
        code, seconds = result.exit_code, result.seconds
        return Finished(number, descriptor, code, seconds, result.stdout, result.stderr, "", event.kind == "done")

    def _failed(self, number: int, descriptor: object, event: Event[str]) -> Finished:
        problem, seconds = event.detail.get("problem"), float(str(event.detail.get("seconds", 0.0)))
        if not isinstance(problem, Problem):
            return Finished(number, descriptor, None, seconds, None, None, "it was not run: what it needs failed")
        place = None if event.key in self._wrong else self._known.graph.tasks[str(event.key)]._taskproc.place
        error = problem.error
        text, code = (str(error), error.exit_code) if isinstance(error, CommandFailed) else (problem.text, None)
        logs = [] if place is None else [self._known.store.log_path(place, stream) for stream in ("stdout", "stderr")]
        stdout, stderr = (path if path.exists() else None for path in logs) if logs else (None, None)
        return Finished(number, descriptor, code, seconds, stdout, stderr, text)


def _graph(descriptor: object) -> tuple[Graph | None, str]:
    """A descriptor as a graph, or what is wrong with it."""
    if isinstance(descriptor, Command):
        return graph_of(descriptor), ""
    wrong = wrong_with(descriptor)
    if wrong:
        return None, wrong
    assert isinstance(descriptor, Sequence), "it was looked at [this is a bug]"
    try:
        return graph_of(Command(descriptor)), ""
    except TaskprocError as error:
        return None, str(error)
