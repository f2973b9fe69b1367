"""The answers to the five questions of a run, for a graph of tasks whose results are stored in a cache."""
from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import field

from taskproc.errors import BuildError, CacheError
from taskproc.folders import warning_of_removed
from taskproc.frozen import frozen
from taskproc.kernel.model import (
    Done,
    Elsewhere,
    Failed,
    Fresh,
    Lost,
    Node,
    Outcome,
    Problem,
    Returned,
    Ticket,
    Verdict,
)
from taskproc.kernel.plan import Plan
from taskproc.run.baseline import own_umask
from taskproc.run.kinds import KindJob
from taskproc.run.prefix_job import PrefixedJob
from taskproc.run.spool import take_over
from taskproc.run.system_limits import is_scarce, limit_problem
from taskproc.store.claims import DiskAttempt
from taskproc.store.disk import DiskStore
from taskproc.store.layout import digits_apart, folder_name
from taskproc.store.marks import Mark
from taskproc.store.version import Version
from taskproc.tasks.conditions import Unwatched
from taskproc.tasks.job import AttemptPart, ClassPart, RunPart, Stored, TaskJob, slim
from taskproc.tasks.known_versions import KnownVersions
from taskproc.tasks.labels import Prefix, Slots, labels_of
from taskproc.tasks.naming import changed_argument
from taskproc.tasks.packing import Packer, record_origin
from taskproc.tasks.settings import left_on

logger = logging.getLogger("taskproc")


class GraphWork:
    """One run over a graph.

    Args:
        labels: key → its labels, a place in the runner among them.
        run: the id of the run.

    Attributes:
        known: the versions of its tasks; jobs: how these become jobs.
    """

    def __init__(
        self,
        known: KnownVersions,
        placement: Placement,
        labels: Mapping[str, tuple[str, ...]] | None = None,
        run: str = "",
    ):
        self.known, self.placement = known, placement
        self.jobs = Jobs(known, placement, run)
        self._labels = labels or {}
        self._is_fed = False
        self._claimed: dict[str, DiskAttempt] = {}  # claimed here and not started yet
        self._told: set[tuple[str, str]] = set()  # class, and its items that differ in workers

    def feed(self, plan: Plan[str]) -> None:
        """Add the whole graph, once."""
        if self._is_fed:
            return
        self._is_fed = True
        known, unwatched = self.known, Unwatched()
        # All at once, and now: files may be edited during the run, but the loaded code runs
        for task in known.graph.tasks.values():
            unwatched.note(task, known.conditions.code(task))
            known.conditions.of_class(type(task))
        if known.checks_code:
            unwatched.tell(known.store)
        for key, above in known.graph.needs.items():
            plan.add(Node(key, above, self._labels.get(key, ())))

    def judge(self, key: str) -> Verdict:
        """Look for a fresh version. One listing, one record read."""
        return self.known.judge(key)

    def claim(self, ticket: Ticket[str]) -> Outcome[str] | None:
        """Claim here for tasks behind a command, which may start hours later. Workers claim for themselves."""
        known, jobs = self.known, self.jobs
        jobs.begin()
        if unreadable := known.unreadable.get(ticket.key):
            return Failed(Problem("exception", str(unreadable), error=unreadable))
        if changed := changed_argument(known.graph.tasks[ticket.key]):
            return Failed(Problem("exception", changed, error=BuildError(changed)))
        if ticket.key not in self.placement.commands:
            return None
        job = jobs.plain(ticket.key)
        try:
            claimed = job.claim()
        except CacheError as error:
            refused = limit_problem("its attempt could not be begun", error) if is_scarce(error) else None
            return Failed(refused or Problem("result", str(error)))
        if isinstance(claimed, DiskAttempt):
            self._claimed[ticket.key] = claimed
            return None
        if isinstance(claimed, Version):
            known.in_use[ticket.key] = slim(claimed)
            return Fresh(claimed.record.stamp)
        return claimed

    def job(self, ticket: Ticket[str]) -> Callable[[], Outcome[str]]:
        """The job, packed unless it stays in this process."""
        return self.jobs.job(ticket, self._claimed.pop(ticket.key, None))

    def close(self, ticket: Ticket[str], outcome: Outcome[str]) -> Outcome[str]:
        """The final outcome: a task that was published before its process died is done."""
        key = ticket.key
        if self.placement.slots.are_named:
            self.placement.slots.give_back(key)
        if isinstance(outcome, Stored) and outcome.version is not None:
            self.known.make(key, outcome.version, lasts=not outcome.differing and not outcome.observes)
            if outcome.differing:
                self._warn_of_others(key, outcome.differing)
            return outcome
        if isinstance(outcome, Lost):
            for lost in outcome.keys:
                self.known.forget(lost)
        if isinstance(outcome, Returned):
            outcome = self._after_death(key, Problem("died", "its pool broke, and it is run again"), outcome)
        if isinstance(outcome, Failed) and outcome.problem.kind in ("died", "limit", "prefix", "timeout"):
            outcome = self._after_death(key, outcome.problem, outcome)
        if isinstance(outcome, Fresh):
            verdict = self.known.judge(key)
            return verdict if isinstance(verdict, Fresh) else Elsewhere(after=0.0)
        return outcome

    def _warn_of_others(self, key: str, differing: str) -> None:
        """Warn once per class that the code that ran differs from the code that the run has read."""
        name = self.known.graph.tasks[key]._taskproc.place.name
        if (name, differing) not in self._told:
            self._told.add((name, differing))
            logger.warning(
                "%s: its worker has loaded other code or values of %s than the run has read: the file was edited "
                "in the meantime, or a value was set after the import. The result counts as made by the loaded code; "
                "pass values as arguments",
                name,
                differing,
            )

    def interrupted(self, key: str) -> bool:
        """Note that the attempt at `key` ended with the run. Returns whether its result was published before."""
        why = Problem("interrupted", "the run was interrupted")
        return isinstance(self._after_death(key, why, Failed(why)), Done)

    def _after_death(self, key: str, problem: Problem, outcome: Outcome[str]) -> Outcome[str]:
        """`outcome`, unless its result was published before; if not, the claim it left becomes a failure."""
        if isinstance(verdict := self.known.judge(key), Fresh):
            return Done(verdict.stamp, outcome.seconds if isinstance(outcome, Failed) else 0.0)
        why = {"kind": problem.kind, "error": problem.text}
        self.jobs.run.store.bury(self.known.graph.tasks[key]._taskproc.place, why, self._keep_last_words)
        return outcome

    def _keep_last_words(self, attempt: DiskAttempt) -> None:
        """Save the last output of the attempt, which may still be in the spools of its worker."""
        try:
            take_over(str(self.jobs.mark.folder), *attempt.logs(), attempt.folder)
        except OSError as error:
            logger.warning("the last output in %s is lost: %s", attempt.logs()[1], error)

    def end(self, *, remembers: bool = True) -> None:
        """Unregister the run; if it `remembers`, store for the next run which versions are good."""
        for attempt in self._claimed.values():
            attempt.fail({"kind": "interrupted", "error": "the run ended before it was started"})
        self.jobs.end()
        self.known.end(remembers)


@frozen
class Placement:
    """Where the tasks of a run are executed.

    Attributes:
        commands: key → the command that runs the task; absent: none.
        in_process: whether jobs run in this process and are not sent; foreign: whether in an executor of the caller.
        captures: whether the output of tasks goes to their logs.
        slots: the names of slots, if a rate limit has names.
    """

    commands: Mapping[str, Prefix] = field(default_factory=dict)
    in_process: bool = False
    foreign: bool = False
    captures: bool = True
    slots: Slots = field(default_factory=lambda: Slots(None))


class Jobs:
    """Makes the jobs of one run. Call `begin` first.

    Attributes:
        run: the part that all its jobs have in common.
    """

    def __init__(self, known: KnownVersions, placement: Placement, run: str = ""):
        self._known, self._placement = known, placement
        self.run = RunPart(known.store, known.checks_code, run=run)
        self._mark: Mark | None = None
        self._kinds: dict[tuple[type, str], ClassPart] = {}

    @property
    def mark(self) -> Mark:
        """The registration of this run, available from the first claim on."""
        assert self._mark is not None, "asked before the first claim [this is a bug]"
        return self._mark

    def begin(self) -> None:
        """Register the run once there is something to run. Further calls do nothing."""
        if self._mark is not None:
            return
        store, placement = self._known.store, self._placement
        store.rules.allow_writing()
        umask = own_umask()
        if warning := warning_of_removed():
            logger.warning(warning)
        self._mark = Mark(store.root, shared=store.rules.shared)
        if (graph := self._known.graph).root:  # else it grows, and what it will need is not known
            places = [task._taskproc.place for task in graph.tasks.values()]
            self._mark.declare_reach((folder_name(place.name), place.id) for place in places)
        store = DiskStore(store.root, self._mark.token, store.files, store.rules)
        travels = placement.commands or not placement.in_process
        digits = digits_apart(self._known.graph.needs) if travels else 0  # what stays here asks its cache
        self.run = RunPart(store, self._known.checks_code, umask=umask, digits=digits, run=self.run.run)

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
                self.run.store.sweep()  # what other runs left
        finally:
            self._mark.close()

    def plain(self, key: str, number: int = 0, slots: Mapping[str, str] | None = None) -> TaskJob:
        """The job of `key`, not packed. `number`: of its attempt, if that is claimed already."""
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
        cls, code = type(task), known.conditions.stored_code(task, self.run.store)
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
            from taskproc.run.foreign import ForeignJob  # here: 1 ms, and most runs have their own workers
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
    """Replaces a job that cannot be packed."""

    problem: Problem

    def __call__(self) -> Outcome[str]:
        return Failed(self.problem)
