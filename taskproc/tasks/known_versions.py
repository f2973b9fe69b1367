"""The versions that a run knows of its tasks: those in use, those that no longer count, those it made."""
from __future__ import annotations

import functools
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from taskproc.errors import CacheError, MissingResult
from taskproc.frozen import replace
from taskproc.kernel.model import Fresh, Reason, Stale, Verdict
from taskproc.kernel.rebuild import NEW, Present, judge
from taskproc.store.disk import DiskStore
from taskproc.store.index import Index, Listing
from taskproc.store.version import Version
from taskproc.tasks.conditions import LOOKED_AT, Conditions
from taskproc.tasks.job import pick, slim
from taskproc.tasks.observed import Sight
from taskproc.tasks.task_code import renewed
from taskproc.tasks.task_graph import Graph

logger = logging.getLogger("taskproc")

Task = Any  # tasks.task stands above this module, which uses only `_taskproc` and class attributes


class KnownVersions:
    """The versions of the tasks of one graph, for one run or one inspection.

    Args:
        forced: keys that must run even if they are fresh: for these, only versions made from now on count.
        is_run: whether it is for a run; an inspection writes and logs nothing.

    Attributes:
        in_use: key → the version that this run uses, once it is known.
        reasons: key → why the task had to run.
        kept: key → a good version whose code was read in an older way; see source/fingerprint.py.
        made: keys of the tasks that this run has made.
        unreadable: key → why its result outside the cache cannot be read.
    """

    def __init__(
        self,
        graph: Graph,
        store: DiskStore,
        *,
        checks_code: bool = True,
        forced: Iterable[str] = (),
        is_run: bool = False,
    ):
        self.graph, self.store, self.checks_code = graph, store, checks_code
        self.forced = frozenset(forced)
        self.conditions = Conditions(checks_code)
        self.sight = Sight(store.root, checks_code)
        self.in_use: dict[str, Version] = {}
        self.reasons: dict[str, Reason] = {}
        self.kept: dict[str, Version] = {}
        self.made: set[str] = set()
        self.unreadable: dict[str, OSError] = {}
        self._is_run, self._is_update_told = is_run, False
        # Key → number of the last version that does not count: it existed before the order, or cannot be read
        self._above = {key: store.highest(graph.tasks[key]._taskproc.place) for key in self.forced}
        self._outdated: dict[str, int] = {}  # the same for jobs: what was observed has changed
        self._looked: dict[str, None] = {}  # keys that the next run need not judge again
        self._listing = Listing(store, len(graph.needs))
        weights = Counter[str]()
        for key, needs in graph.needs.items():
            weights[graph.class_name(key)] += 1 + len(needs)
        self._index = Index(store, weights)

    def judge(self, key: str) -> Verdict:
        """Look for a fresh version. One listing, one record read."""
        task = self.graph.tasks[key]
        identity = task._taskproc
        if identity.version is not None:
            self.in_use[key] = identity.version
            return Fresh(identity.version.record.stamp)
        if task._taskproc_version is not None:
            return self._judge_outside(key)
        # The listing is valid only for the first call: after a lost claim, a death or an unreadable result, a version
        # may exist by now
        if key not in self.reasons and self._listing.lacks(identity.place):
            self.reasons[key] = NEW
            return Stale(NEW)
        now = self.present(key)
        known = self._index.find(identity.place, now)
        if known is not None:
            return self._is_fresh(key, known)
        found = self._pick(key, self.store.look(identity.place), now)
        if isinstance(found, Stale) and found.reason.kind == "code":
            found = self._of_older_look(key, now, found)
        if isinstance(found, Version):
            if not found.record.observed:  # what was observed may change without a sign in the folder
                self._looked[key] = None
            return self._is_fresh(key, slim(found) if found.record.needs or found.record.observed else found)
        return self._is_stale(key, found)

    def _is_fresh(self, key: str, version: Version) -> Fresh:
        """Note the version in use. With a `task_version`, it stays in use while classes of its result are edited."""
        if type(self.graph.tasks[key]).task_version is not None:
            stamp = renewed(version.record.stamp)
            if stamp != version.record.stamp:
                version = replace(version, record=replace(version.record, stamp=stamp))
        self.in_use[key] = version
        return Fresh(version.record.stamp)

    def _is_stale(self, key: str, stale: Stale) -> Stale:
        """Note the reason, in words that the kernel cannot know."""
        identity = self.graph.tasks[key]._taskproc
        if stale.reason is NEW:
            self._listing.missed(identity.place)
        if stale.reason.kind == "observed":
            # The job cannot judge this again, so for it only versions made from now on count
            self._outdated[key] = self.store.highest(identity.place)
        if stale.reason.kind == "forced" and key not in self.forced:
            stale = Stale(Reason("unreadable", "its result could not be read"))
        if stale.reason.kind == "new" and (text := self.store.passed_over.get(identity.place)):
            stale = Stale(Reason("unreadable", text))
        self.reasons[key] = stale.reason
        return stale

    def _of_older_look(self, key: str, now: Present, stale: Stale) -> Version | Stale:
        """A version of the present code whose digest differs only because code was read in another way then."""
        task, conditions = self.graph.tasks[key], self.conditions
        version = pick(self._of_same(task), replace(now, code=None))
        if version is not None:
            self.kept[key] = version
        if self._is_run and (version is not None or stale.reason.text == LOOKED_AT):
            self._tell_of_older_look()
        if self._is_run and version is not None:
            conditions.stored_code(task, self.store)
            try:
                self.store.accept(version.place, version, conditions.code(task).digest, flush=False)
            except CacheError:
                pass  # a read-only cache: the next run will repeat this
            except MissingResult:
                return stale  # cleared in the meantime
        return stale if version is None else version

    def _of_same(self, task: Task) -> Iterator[Version]:
        for version in self.store.look(task._taskproc.place):
            is_same = self.conditions.is_same(task, self.store, version.record)
            if is_same and self.sight.reason(task, version.record) is None:
                yield version

    def _tell_of_older_look(self) -> None:
        """Report once that results may be computed again because of an update of taskproc, not an edit."""
        if not self._is_update_told:
            self._is_update_told = True
            logger.warning(
                "%s since some results were made: those whose code was the same then stay fresh, the others are "
                "computed again; `taskproc accept` keeps them all",
                LOOKED_AT,
            )

    def _judge_outside(self, key: str) -> Verdict:
        """A result outside the cache is always fresh if it exists: other programs make it."""
        try:
            version = self.in_use[key] = self.graph.tasks[key]._taskproc_version(self.store.root)
        except OSError as error:
            self.unreadable[key] = error
            self.reasons[key] = reason = Reason("missing", str(error))
            return Stale(reason)
        return Fresh(version.record.stamp)

    def forget(self, key: str) -> bool:
        """Note that the version in use could not be read: from now on only a newer one counts.

        False if this run made it and it exists: then a newer one would not be better.
        """
        self._looked.clear()
        version = self.in_use[key]
        if key in self.made and os.path.exists(version.path):
            return False
        self._above[key] = max(self._above.get(key, 0), version.record.number)
        return True

    def acceptable(self, key: str) -> Version | None:
        """The newest version that would be fresh if the code that made it were the present one."""
        task = self.graph.tasks[key]
        return pick(self.store.look(task._taskproc.place), replace(self.present(key), code=None))

    def value(self, key: str) -> Any:
        """The result of `key`, which is done. Raises as DiskStore.load."""
        task = self.graph.tasks[key]
        is_outside = task._taskproc_version is not None
        return task.get_result() if is_outside else self.store.value(self.in_use[key])

    def present(self, key: str) -> Present:
        """What a result of `key` would be made from now."""
        needs = self.graph.needs[key]
        stamps = {need: self.in_use[need].record.stamp for need in needs} if needs else {}
        return self.conditions.present(self.graph.tasks[key], stamps, self._above.get(key, 0))

    def least(self, key: str) -> int:
        """For the job that makes `key`, only versions with a higher number count."""
        return max(self._above.get(key, 0), self._outdated.get(key, 0))

    def make(self, key: str, version: Version, *, lasts: bool) -> None:
        """Note that this run made `version`. `lasts`: the next run may use it without reading it again."""
        self.in_use[key] = version
        self.made.add(key)
        if lasts:
            self._looked[key] = None

    def end(self, remembers: bool) -> None:
        """Let directories and logs be those of the versions in use, and store the good ones for the next run."""
        for key, version in self.in_use.items():
            self.graph.tasks[key]._taskproc.used = version.record.number
        if remembers:
            self._index.keep((self.in_use[key], self.present(key)) for key in self._looked)

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

