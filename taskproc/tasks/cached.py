"""The five questions of a run, answered for a graph of tasks whose results are kept in a cache."""
from __future__ import annotations

import functools
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from taskproc.errors import BuildError, CacheError, MissingResult
from taskproc.folders import warning_of_removed
from taskproc.frozen import frozen, replace
from taskproc.kernel.model import (
    Done,
    Elsewhere,
    Failed,
    Fresh,
    Lost,
    Node,
    Outcome,
    Problem,
    Reason,
    Record,
    Returned,
    Stale,
    Stamp,
    Ticket,
    Verdict,
)
from taskproc.kernel.plan import Plan
from taskproc.kernel.rebuild import NEW, Present, judge
from taskproc.run.context import own_umask
from taskproc.run.kinds import KindJob
from taskproc.run.prefixed import PrefixedJob
from taskproc.run.scarce import is_scarce, limit_problem
from taskproc.run.spool import take_over
from taskproc.store.base import Place, Version
from taskproc.store.claims import DiskAttempt
from taskproc.store.disk import DiskStore
from taskproc.store.ids import digits_apart
from taskproc.store.index import Index
from taskproc.store.listing import Listing
from taskproc.store.marks import Mark
from taskproc.tasks.conditions import LOOKED_AT, Conditions
from taskproc.tasks.graph import Graph
from taskproc.tasks.job import Stored, TaskJob, pick, slim
from taskproc.tasks.labels import labels_of
from taskproc.tasks.naming import changed_argument
from taskproc.tasks.observed import Sight
from taskproc.tasks.origin import record_origin
from taskproc.tasks.packing import Packer
from taskproc.tasks.prefixes import Prefix
from taskproc.tasks.settings import left_on
from taskproc.tasks.slots import Slots
from taskproc.tasks.source import renewed
from taskproc.tasks.unwatched import Unwatched

logger = logging.getLogger("taskproc")

Task = Any  # tasks.task stands above this module; what is asked of one here is `_taskproc` and its class attributes


@dataclass
class GraphWork:
    """One run over a graph.

    Attributes:
        forced: keys that are to be run even if fresh.
        commands: key → the command that the task is run behind; absent: none.
        in_process: whether jobs run in this process and need not travel; foreign: whether in somebody else's.
        captures: whether what tasks print goes to their logs.
        slots: the names of slots, where a rate limit gave names.
        versions: key → the version that this run uses, once it is known.
        reasons: key → why the task had to run.
        kept: key → a version that is good, though its code was looked at in an older way; see source/older.py.
        made: keys of what this run has made.
    """

    graph: Graph
    store: DiskStore
    labels: Callable[[str], tuple[str, ...]] = lambda key: ()
    checks_code: bool = True
    forced: frozenset[str] = frozenset()
    commands: Mapping[str, Prefix] = field(default_factory=dict)
    in_process: bool = False
    foreign: bool = False
    captures: bool = True
    slots: Slots = field(default_factory=lambda: Slots(None))
    versions: dict[str, Version] = field(default_factory=dict)
    reasons: dict[str, Reason] = field(default_factory=dict)
    kept: dict[str, Version] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    _above: dict[str, int] = field(default_factory=dict)
    _looked: dict[str, None] = field(default_factory=dict)
    _claimed: dict[str, DiskAttempt] = field(default_factory=dict)
    _unreadable: dict[str, OSError] = field(default_factory=dict)
    _mark: Mark | None = None
    _umask: int = 0o022
    _packer: Packer | None = None
    _fed: bool = False
    _told: set[tuple[str, str]] = field(default_factory=set)
    _outdated: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.conditions = Conditions(self.checks_code)
        self.sight = Sight(self.store.root, self.checks_code)
        self._listing = Listing(self.store, len(self.graph.needs))
        weights = Counter[str]()
        for key, needs in self.graph.needs.items():
            weights[self.graph.class_name(key)] += 1 + len(needs)
        self._index = Index(self.store, weights)

    def feed(self, plan: Plan[str]) -> None:
        """Add the whole graph, once."""
        if not self._fed:
            self._fed = True
            self.note_forced()
            # All at once, and now: the files may be edited while the run is on its way, and what runs is the old code
            unwatched = Unwatched()
            for task in self.graph.tasks.values():
                unwatched.note(task, self.conditions.code(task))
                self.conditions.settings(task)
            if self.checks_code:
                unwatched.tell(self.store)
            for key, above in self.graph.needs.items():
                plan.add(Node(key, above, self.labels(key)))

    def note_forced(self) -> None:
        """Remember which numbers there are now: of what is forced only later ones count. Once, before judging."""
        for key in self.forced:
            self._above[key] = self.store.highest(self.graph.tasks[key]._taskproc.place)

    def judge(self, key: str) -> Verdict:
        """Look for a fresh version. One listing, one record read."""
        task = self.graph.tasks[key]
        identity = task._taskproc
        if identity.version is not None:
            self.versions[key] = identity.version
            return Fresh(identity.version.record.stamp)
        if task._is_outside:
            return self._judge_outside(key)
        # Only who comes the first time is told by the listing: after a claim that was lost, a death or a result that
        # turned out unreadable there may be one by now
        if key not in self.reasons and self._listing.lacks(identity.place):
            self.reasons[key] = NEW
            return Stale(NEW)
        now = self._present(key)
        known = self._index.find(identity.place, now)
        if known is not None:
            return self._is_fresh(key, known)
        found = self._pick(key, self.store.look(identity.place), now)
        if isinstance(found, Stale) and found.reason.kind == "code":
            found = self._of_older_look(key, now, found)
        if isinstance(found, Version):
            if not found.record.observed:  # of what may change without a sign in its folder nothing is remembered
                self._looked[key] = None
            return self._is_fresh(key, slim(found) if found.record.needs or found.record.observed else found)
        return self._is_stale(key, found)

    def _is_fresh(self, key: str, version: Version) -> Fresh:
        """Note which version is used. With a `task_version` it stays in use while its result's classes are edited."""
        if type(self.graph.tasks[key]).task_version is not None:
            stamp = renewed(version.record.stamp)
            if stamp != version.record.stamp:
                version = replace(version, record=replace(version.record, stamp=stamp))
        self.versions[key] = version
        return Fresh(version.record.stamp)

    def _is_stale(self, key: str, stale: Stale) -> Stale:
        """Note and tell it in such words as the kernel cannot know."""
        identity = self.graph.tasks[key]._taskproc
        if stale.reason is NEW:
            self._listing.missed(identity.place)
        if stale.reason.kind == "observed":
            # Who makes it cannot judge that once more: so nothing counts there but what is made from now on
            self._outdated[key] = self.store.highest(identity.place)
        if stale.reason.kind == "forced" and key not in self.forced:
            stale = Stale(Reason("unreadable", "its result could not be read"))
        if stale.reason.kind == "new" and (text := self.store.passed_over.get(identity.place)):
            stale = Stale(Reason("unreadable", text))
        self.reasons[key] = stale.reason
        return stale

    def _of_older_look(self, key: str, now: Present, stale: Stale) -> Version | Stale:
        """A version of the present code that has another digest only since code was looked at in another way then."""
        task, conditions = self.graph.tasks[key], self.conditions
        version = pick(self._of_same(task), replace(now, code=None))
        if version is not None:
            self.kept[key] = version
        if self._fed and (version is not None or stale.reason.text == LOOKED_AT):
            self._tell_of_older_look()
        if self._fed and version is not None:
            conditions.kept(task, self.store)
            try:
                self.store.accept(version.place, version, conditions.code(task).digest, flush=False)
            except CacheError:
                pass  # a read-only cache: then the next run finds out as this one did
            except MissingResult:
                return stale  # cleared just now
        return stale if version is None else version

    def _of_same(self, task: Task) -> Iterator[Version]:
        for version in self.store.look(task._taskproc.place):
            is_same = self.conditions.is_same(task, self.store, version.record)
            if is_same and self.sight.reason(task, version.record) is None:
                yield version

    def _tell_of_older_look(self) -> None:
        """Say once that an update of taskproc, and not an edit, is why results may be computed again."""
        if ("", LOOKED_AT) not in self._told:
            self._told.add(("", LOOKED_AT))
            logger.warning(
                "%s since some results were made: those whose code is still what was seen then are kept, the others "
                "are computed again; `taskproc accept` keeps them all",
                LOOKED_AT,
            )

    def _judge_outside(self, key: str) -> Verdict:
        """Look at a file outside: its result is it itself, whatever it has in it."""
        from taskproc.store.contents import Contents  # here: 1 ms, for runs that read files from outside

        task = self.graph.tasks[key]
        try:
            content = Contents(self.store.root).look(task.path)
        except OSError as error:
            given, where = task._taskproc.arguments["path"], "" if task.path == error.filename else f" ({task.path})"
            what = "is not there" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
            self._unreadable[key] = type(error)(f"{given!r}{where} {what}")
            self.reasons[key] = reason = Reason("missing", str(self._unreadable[key]))
            return Stale(reason)
        stamp = Stamp("", content.digest)
        about = {"path": task.path, "signs": content.signs}
        self.versions[key] = Version(task._taskproc.place, task.path, Record(0, "", stamp, "", {}), about=about)
        return Fresh(stamp)

    def forget(self, key: str) -> bool:
        """Tell that the version in use could not be read: from now on only a newer one counts.

        False if it was made in this run and is there, byte for byte: then a newer one would not be better.
        """
        self._looked.clear()
        version = self.versions[key]
        if key in self.made and os.path.exists(version.path):
            return False
        self._above[key] = max(self._above.get(key, 0), version.record.number)
        return True

    def acceptable(self, key: str) -> Version | None:
        """The newest version that would be fresh if the code that made it were the present one."""
        task = self.graph.tasks[key]
        return pick(self.store.look(task._taskproc.place), replace(self._present(key), code=None))

    def value(self, key: str) -> Any:
        """The result of `key`, which is done. Raises as DiskStore.load."""
        task = self.graph.tasks[key]
        return task.get_result() if task._is_outside else self.store.value(self.versions[key])

    def _present(self, key: str) -> Present:
        """What a result of `key` would be made from now."""
        return self.conditions.present(self.graph.tasks[key], self._stamps(key), self._above.get(key, 0))

    def _pick(self, key: str, versions: Iterator[Version], now: Present) -> Version | Stale:
        task = self.graph.tasks[key]
        accepted: dict[str, frozenset[str]] = {}

        def noted() -> Iterator[Version]:
            for version in versions:
                accepted.setdefault(version.record.code, version.record.accepted)
                yield version

        def change_of(code: str) -> str:
            return self.conditions.change(task, self.store, code, *sorted(accepted[code]))

        sight_of = functools.partial(self.sight.reason, task)
        return judge(noted(), now, name_of=self.graph.name_of, change_of=change_of, sight_of=sight_of)

    def _stamps(self, key: str) -> dict[str, Stamp]:
        needs = self.graph.needs[key]
        return {need: self.versions[need].record.stamp for need in needs} if needs else {}

    def claim(self, ticket: Ticket[str]) -> Outcome[str] | None:
        """Claim here for what runs behind a command: it may start hours later. Workers claim for themselves."""
        if self._mark is None:
            self._begin()
        if unreadable := self._unreadable.get(ticket.key):
            return Failed(Problem("exception", str(unreadable), error=unreadable))
        if changed := changed_argument(self.graph.tasks[ticket.key]):
            return Failed(Problem("exception", changed, error=BuildError(changed)))
        if ticket.key not in self.commands:
            return None
        job = self._plain_job(ticket.key)
        try:
            claimed = job.claim(self.store)
        except CacheError as error:
            refused = limit_problem("its attempt could not be begun", error) if is_scarce(error) else None
            return Failed(refused or Problem("result", str(error)))
        if isinstance(claimed, DiskAttempt):
            self._claimed[ticket.key] = claimed
            return None
        if isinstance(claimed, Version):
            self.versions[ticket.key] = slim(claimed)
            return Fresh(claimed.record.stamp)
        return claimed

    def _begin(self) -> None:
        """Register the run, when it is known that there is something to run."""
        self.store.rules.allow_writing()
        self._umask = own_umask()
        if warning := warning_of_removed():
            logger.warning(warning)
        self._mark = Mark(self.store.root, shared=self.store.rules.shared)
        self.store = DiskStore(self.store.root, self._mark.token, self.store.files, self.store.rules)

    @property
    def mark(self) -> Mark:
        """The registration of this run; there from the first claim on."""
        assert self._mark is not None, "asked before the first claim [this is a bug]"
        return self._mark

    def _plain_job(self, key: str, number: int = 0, slots: Mapping[str, str] | None = None) -> TaskJob:
        task, needs = self.graph.tasks[key], self.graph.needs[key]
        code = self.conditions.kept(task, self.store)
        return TaskJob(
            task=task,
            place=task._taskproc.place,
            root=self.store.root,
            token=self.store.token,
            inputs={need: self.versions[need] for need in needs} if needs else {},
            code=code.digest,
            settings=self.conditions.settings(task),
            untracked=left_on(task).untracked,
            packages=code.packages,
            checks_code=self.checks_code,
            above=max(self._above.get(key, 0), self._outdated.get(key, 0)),
            forced=key in self.forced,
            number=number,
            captures=self.captures or key in self.commands,
            made=frozenset(self.made.intersection(needs)) if needs else frozenset(),
            slots=slots or {},
            umask=self._umask,
            rules=self.store.rules,
            store=self.store if self.in_process else None,
            digits=0 if self.in_process and not number else self._digits,  # one that stays here asks its cache
        )

    @functools.cached_property
    def _digits(self) -> int:
        return digits_apart(self.graph.needs)

    def job(self, ticket: Ticket[str]) -> Callable[[], Outcome[str]]:
        """The job, packed unless it stays in this process."""
        key = ticket.key
        attempt = self._claimed.pop(key, None)
        slots = self.slots.take(key, labels_of(type(self.graph.tasks[key]))) if self.slots.are_named else {}
        plain = self._plain_job(key, attempt.number if attempt else 0, slots)
        if attempt is None and self.in_process:
            return plain
        try:
            packed = self._packed(plain)
        except TypeError as error:
            if attempt is not None:
                attempt.fail({"kind": "exception", "error": str(error)})
            return _CannotTravel(Problem("exception", str(error), error=error))
        if attempt is None and self.foreign:
            from taskproc.run.foreign import ForeignJob  # here: 1 ms, and most runs have workers of their own
            from taskproc.run.lifeline import Main

            return ForeignJob(packed, self.mark.folder / "begun", ticket.number, Main.here())
        if attempt is None:
            return packed
        command = self.commands[key].filled(self.graph.tasks[key], attempt)
        stdout, stderr = attempt.log("stdout_caller"), attempt.log("stderr_caller")
        attempt.release()
        return PrefixedJob(command, packed, self.mark.folder, stdout, stderr)

    def _packed(self, job: TaskJob) -> KindJob[str]:
        if self._packer is None:
            self._packer = Packer(record_origin(self.mark.folder))
        return self._packer.pack(job)

    def close(self, ticket: Ticket[str], outcome: Outcome[str]) -> Outcome[str]:
        """What was published counts: a task that was committed before its process died is done."""
        key = ticket.key
        if self.slots.are_named:
            self.slots.give_back(key)
        if isinstance(outcome, Stored) and outcome.version is not None:
            self.versions[key] = outcome.version
            self.made.add(key)
            if outcome.differing:
                self._warn_of_others(key, outcome.differing)
            elif not outcome.observes:
                self._looked[key] = None
            return outcome
        if isinstance(outcome, Lost):
            for lost in outcome.keys:
                self.forget(lost)
        if isinstance(outcome, Returned):
            outcome = self._after_death(key, Problem("died", "its pool broke, and it is run again"), outcome)
        if isinstance(outcome, Failed) and outcome.problem.kind in ("died", "limit", "prefix", "timeout"):
            outcome = self._after_death(key, outcome.problem, outcome)
        if isinstance(outcome, Fresh):
            verdict = self.judge(key)
            return verdict if isinstance(verdict, Fresh) else Elsewhere(after=0.0)
        return outcome

    def _warn_of_others(self, key: str, differing: str) -> None:
        """Say once per class that other code has run than was looked at."""
        name = self.graph.tasks[key]._taskproc.place.name
        if (name, differing) not in self._told:
            self._told.add((name, differing))
            logger.warning(
                "%s: its worker has loaded other code or values of %s than the run has looked at: the file was edited "
                "in the meantime, or a value was set after the import. The result is kept as made by what was loaded; "
                "pass values as arguments",
                name,
                differing,
            )

    def interrupted(self, key: str) -> bool:
        """Tell that what ran for `key` was ended with the run. Whether its result was published before."""
        why = Problem("interrupted", "the run was interrupted")
        return isinstance(self._after_death(key, why, Failed(why)), Done)

    def _after_death(self, key: str, problem: Problem, outcome: Outcome[str]) -> Outcome[str]:
        """`outcome`, unless its result was published before; else the claim that it left becomes a failure."""
        if isinstance(verdict := self.judge(key), Fresh):
            return Done(verdict.stamp, outcome.seconds if isinstance(outcome, Failed) else 0.0)
        why = {"kind": problem.kind, "error": problem.text}
        self.store.bury(self.graph.tasks[key]._taskproc.place, why, self._keep_last_words)
        return outcome

    def _keep_last_words(self, attempt: DiskAttempt) -> None:
        """What it printed last may lie in the spools of its worker still."""
        try:
            take_over(str(self.mark.folder), *attempt.logs(), attempt.folder)
        except OSError as error:
            logger.warning("what %s printed last is lost: %s", attempt.logs()[1], error)

    def end(self, *, remembers: bool = True) -> None:
        """Unregister the run; remember for the next one what is good, if it `remembers`."""
        for key, version in self.versions.items():
            self.graph.tasks[key]._taskproc.used = version.record.number
        for attempt in self._claimed.values():
            attempt.fail({"kind": "interrupted", "error": "the run ended before it was started"})
        if self._mark is not None:
            try:
                if replaced := self._replaced():
                    self.store.retire(replaced)
                else:
                    self.store.sweep()  # of what others left
            finally:
                self._mark.close()
        if remembers:
            self._index.keep((self.versions[key], self._present(key)) for key in self._looked)

    def _replaced(self) -> dict[Place, int]:
        """Where this run made a version that is not the first one → its number."""
        made = [self.versions[key] for key in self.made]
        return {version.place: version.record.number for version in made if version.record.number > 1}


@frozen
class _CannotTravel:
    """Stands for a job that cannot be packed."""

    problem: Problem

    def __call__(self) -> Outcome[str]:
        return Failed(self.problem)

