"""SharedCommands: how managers with a shared folder run commands. Each descriptor is a Command in a common cache.

So the claims of the cache decide which manager runs a command, and another one takes over if that manager dies. A
descriptor may also be a Command itself, with futures among its words; then its upstream tasks run first.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence

from taskproc.commands.descriptors import SLOT, Feed, Finished, descriptor_fault
from taskproc.errors import CommandFailed, MissingResult, TaskprocError
from taskproc.kernel.model import Event, Failed, Node, Outcome, Problem, Reason, Stale, Ticket, Verdict
from taskproc.kernel.plan import Plan
from taskproc.store.disk import DiskStore
from taskproc.tasks.command import Command, CommandResult
from taskproc.tasks.graph_work import GraphWork, Placement
from taskproc.tasks.known_versions import KnownVersions
from taskproc.tasks.task_graph import Graph, graph_of


class SharedCommands:
    """The work of a run (drive.py), over a graph that grows. Keys are those of tasks, or of invalid descriptors."""

    def __init__(self, feed: Feed[str], store: DiskStore):
        self._known = KnownVersions(Graph("", {}, {}), store)
        self._work = work = GraphWork(self._known, Placement(in_process=True))
        self.job, self.close, self.end = work.job, work.close, work.end
        self._feed = feed
        self._faults: dict[str, str] = {}
        self._ends: dict[str, Event[str]] = {}
        self._late: list[Event[str]] = []

    def feed(self, plan: Plan[str]) -> None:
        """Take the whole list: commands that other managers run need no slot here."""
        self._feed.update()
        while not self._feed.is_empty():
            self._add(plan, self._feed.first())
        if (last := self._feed.last(plan)) is not None:
            self._add(plan, last)

    def _add(self, plan: Plan[str], descriptor: object) -> None:
        graph, fault = _graph(descriptor)
        if graph is None:
            key = f"(descriptor {len(plan) + 1})"
            self._faults[key] = fault
            self._feed.note(key, descriptor)
            plan.add(Node(key, labels=(SLOT,)))
            return
        for key in self._known.graph.grow(graph):
            self._known.conditions.code(graph.tasks[key])
            self._known.conditions.settings(graph.tasks[key])
            plan.add(Node(key, graph.needs[key], (SLOT,)))
        if graph.root not in self._feed.taken:  # equal descriptors are one task
            self._feed.note(graph.root, descriptor)
            if (end := self._ends.get(graph.root)) is not None:
                self._late.append(end)

    def judge(self, key: str) -> Verdict:
        """See GraphWork."""
        return Stale(Reason("new", "it is in the list")) if key in self._faults else self._work.judge(key)

    def claim(self, ticket: Ticket[str]) -> Outcome[str] | None:
        """See GraphWork."""
        fault = self._faults.get(ticket.key)
        return self._work.claim(ticket) if fault is None else Failed(Problem("command", fault))

    def finished(self, event: Event[str] | None) -> Iterator[Finished]:
        """The records of the descriptors that this event ends, or that were added after their task had ended."""
        ends = () if event is None or event.kind not in ("done", "fresh", "failed", "skipped") else (event,)
        late, self._late = self._late, []
        for end in (*late, *ends):
            key = str(end.key)
            self._ends[key] = end
            if key in self._feed.taken:
                yield self._record(key, end)

    def _record(self, key: str, event: Event[str]) -> Finished:
        number, descriptor = self._feed.taken[key]
        if event.kind in ("failed", "skipped"):
            return self._failed(number, descriptor, event)
        try:
            result = self._known.value(key)
        except MissingResult as error:
            return Finished(number, descriptor, None, 0.0, None, None, str(error), event.kind == "done")
        assert isinstance(result, CommandResult), f"{result!r} is not the result of a command [this is a bug]"
        code, seconds = result.exit_code, result.seconds
        return Finished(number, descriptor, code, seconds, result.stdout, result.stderr, "", event.kind == "done")

    def _failed(self, number: int, descriptor: object, event: Event[str]) -> Finished:
        problem, seconds = event.detail.get("problem"), float(str(event.detail.get("seconds", 0.0)))
        if not isinstance(problem, Problem):
            text = "it was not run, because an upstream task failed"
            return Finished(number, descriptor, None, seconds, None, None, text)
        place = None if event.key in self._faults else self._known.graph.tasks[str(event.key)]._taskproc.place
        error = problem.error
        text, code = (str(error), error.exit_code) if isinstance(error, CommandFailed) else (problem.text, None)
        logs = [] if place is None else [self._known.store.log_path(place, stream) for stream in ("stdout", "stderr")]
        stdout, stderr = (path if path.exists() else None for path in logs) if logs else (None, None)
        return Finished(number, descriptor, code, seconds, stdout, stderr, text)


def _graph(descriptor: object) -> tuple[Graph | None, str]:
    """A descriptor as a graph, or why it is not valid."""
    if isinstance(descriptor, Command):
        return graph_of(descriptor), ""
    fault = descriptor_fault(descriptor)
    if fault:
        return None, fault
    assert isinstance(descriptor, Sequence), "it was checked [this is a bug]"
    try:
        return graph_of(Command(descriptor)), ""
    except TaskprocError as error:
        return None, str(error)
