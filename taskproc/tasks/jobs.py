"""How a run makes the jobs of its tasks: registered once, each job packed unless it stays in this process."""
from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import field

from taskproc.folders import warning_of_removed
from taskproc.frozen import frozen
from taskproc.kernel.model import Failed, Outcome, Problem, Ticket
from taskproc.run.context import own_umask
from taskproc.run.kinds import KindJob
from taskproc.run.prefixed import PrefixedJob
from taskproc.store.claims import DiskAttempt
from taskproc.store.disk import DiskStore
from taskproc.store.ids import digits_apart
from taskproc.store.marks import Mark
from taskproc.tasks.job import AttemptPart, ClassPart, RunPart, TaskJob
from taskproc.tasks.known_versions import KnownVersions
from taskproc.tasks.labels import Prefix, Slots, labels_of
from taskproc.tasks.origin import record_origin
from taskproc.tasks.packing import Packer
from taskproc.tasks.settings import left_on

logger = logging.getLogger("taskproc")


@frozen
class Placement:
    """Where the tasks of a run run.

    Attributes:
        commands: key → the command that the task is run behind; absent: none.
        in_process: whether jobs run in this process and need not travel; foreign: whether in somebody else's.
        captures: whether what tasks print goes to their logs.
        slots: the names of slots, where a rate limit gave names.
    """

    commands: Mapping[str, Prefix] = field(default_factory=dict)
    in_process: bool = False
    foreign: bool = False
    captures: bool = True
    slots: Slots = field(default_factory=lambda: Slots(None))


class Jobs:
    """Makes the jobs of one run. `begin` comes before all else.

    Attributes:
        run: what all its jobs have in common.
    """

    def __init__(self, known: KnownVersions, placement: Placement):
        self._known, self._placement = known, placement
        self.run = RunPart(known.store, known.checks_code)
        self._mark: Mark | None = None
        self._kinds: dict[tuple[type, str], ClassPart] = {}

    @property
    def mark(self) -> Mark:
        """The registration of this run; there from the first claim on."""
        assert self._mark is not None, "asked before the first claim [this is a bug]"
        return self._mark

    def begin(self) -> None:
        """Register the run, when it is known that there is something to run. Once; more calls do nothing."""
        if self._mark is not None:
            return
        store, placement = self._known.store, self._placement
        store.rules.allow_writing()
        umask = own_umask()
        if warning := warning_of_removed():
            logger.warning(warning)
        self._mark = Mark(store.root, shared=store.rules.shared)
        store = DiskStore(store.root, self._mark.token, store.files, store.rules)
        travels = placement.commands or not placement.in_process
        digits = digits_apart(self._known.graph.needs) if travels else 0  # what stays here asks its cache
        self.run = RunPart(store, self._known.checks_code, umask=umask, digits=digits)

    def end(self) -> None:
        """Unregister the run, and remove the versions that it has replaced."""
        if self._mark is None:
            return
        made = [self._known.in_use[key] for key in self._known.made]
        replaced = {version.place: version.record.number for version in made if version.record.number > 1}
        try:
            if replaced:
                self.run.store.retire(replaced)
            else:
                self.run.store.sweep()  # of what others left
        finally:
            self._mark.close()

    def plain(self, key: str, number: int = 0, slots: Mapping[str, str] | None = None) -> TaskJob:
        """The job of `key`, not packed. `number`: of its attempt, where that was claimed already."""
        known, placement = self._known, self._placement
        task, needs = known.graph.tasks[key], known.graph.needs[key]
        attempt = AttemptPart(
            {need: known.in_use[need] for need in needs} if needs else {},
            left_on(task),
            frozenset(known.made.intersection(needs)) if needs else frozenset(),
            known.least(key),
            key in known.forced,
            number,
            placement.captures or key in placement.commands,
            slots or {},
        )
        cls, code = type(task), known.conditions.kept(task, self.run.store)
        kind = self._kinds.get((cls, code.digest))
        if kind is None:
            settings = known.conditions.of_class(cls)
            kind = self._kinds[cls, code.digest] = ClassPart(code.digest, code.packages, settings)
        return TaskJob(task, self.run, kind, attempt)

    def job(self, ticket: Ticket[str], attempt: DiskAttempt | None) -> Callable[[], Outcome[str]]:
        """The job for the runner. `attempt`: that of a task behind a command, which was claimed here."""
        key, placement, task = ticket.key, self._placement, self._known.graph.tasks[ticket.key]
        slots = placement.slots.take(key, labels_of(type(task))) if placement.slots.are_named else {}
        plain = self.plain(key, attempt.number if attempt else 0, slots)
        if attempt is None and placement.in_process:
            return plain
        try:
            packed = self._packer.pack(plain)
        except TypeError as error:
            if attempt is not None:
                attempt.fail({"kind": "exception", "error": str(error)})
            return _CannotTravel(Problem("exception", str(error), error=error))
        if attempt is not None:
            return self._behind_command(key, packed, attempt)
        if placement.foreign:
            from taskproc.run.foreign import ForeignJob  # here: 1 ms, and most runs have workers of their own
            from taskproc.run.lifeline import Main

            return ForeignJob(packed, self.mark.folder / "begun", ticket.number, Main.here())
        return packed

    @functools.cached_property
    def _packer(self) -> Packer:
        return Packer(record_origin(self.mark.folder))

    def _behind_command(
        self, key: str, packed: KindJob[Outcome[str]], attempt: DiskAttempt
    ) -> PrefixedJob[Outcome[str]]:
        command = self._placement.commands[key].filled(self._known.graph.tasks[key], attempt)
        stdout, stderr = attempt.log("stdout_caller"), attempt.log("stderr_caller")
        attempt.release()
        return PrefixedJob(command, packed, self.mark.folder, stdout, stderr)


@frozen
class _CannotTravel:
    """Stands for a job that cannot be packed."""

    problem: Problem

    def __call__(self) -> Outcome[str]:
        return Failed(self.problem)

