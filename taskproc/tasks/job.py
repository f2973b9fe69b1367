"""One task as a job: claim, run, commit, wherever it is called. Carries its own arguments and the places of its inputs.

How it travels to another process: packing.py.
"""
from __future__ import annotations

import functools
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import field
from typing import Any

from taskproc.errors import CommandFailed, UnstorableResult
from taskproc.frozen import frozen, replace
from taskproc.kernel.model import Done, Elsewhere, Failed, Fresh, Lost, Outcome, Problem, Record, Stamp
from taskproc.kernel.rebuild import Present, judge
from taskproc.run.baseline import adopt_imports
from taskproc.run.capture import captured, flush_all
from taskproc.run.context import folder_put_back, in_own_context, own_umask, umask_put_back
from taskproc.run.observing import Noted, is_hindered
from taskproc.run.problem import problem_of, sentence, traceback_text
from taskproc.run.scarce import is_scarce, limit_text
from taskproc.run.signals import is_interrupt
from taskproc.run.timeout import begin
from taskproc.store.base import Facts, Place, Version
from taskproc.store.cache import Cache, in_force
from taskproc.store.claims import Claimed, DiskAttempt
from taskproc.store.disk import DiskStore
from taskproc.store.marks import folder_of
from taskproc.store.record import for_readers
from taskproc.store.rules import Rules
from taskproc.tasks.apart import apart, own_defaults, put_aside
from taskproc.tasks.labels import told
from taskproc.tasks.loaded import Loaded, loaded_code, ran_code
from taskproc.tasks.mistaken import advise, say_that_none_debugs_here
from taskproc.tasks.naming import arguments_text
from taskproc.tasks.needs import attributes, upstreams
from taskproc.tasks.now import Running, active, storing
from taskproc.tasks.observed import observes, settled, unseen, watch
from taskproc.tasks.source import lasting_mark_of, mark_of

Watched = AbstractContextManager[object]


@frozen
class Stored(Done):
    """Done, and where the result lies. `differing`: see tasks/loaded.py; `observes`: whether anything was observed."""

    version: Version | None = None
    differing: str = ""
    observes: bool = False

    is_plain = True  # see run/wire.py

    def __reduce__(self) -> tuple[Any, ...]:
        # As plain values: a dataclass in a pickle costs ten times as much as its fields
        version = plain(self.version)
        return _stored, (self.stamp.order, self.stamp.value, self.seconds, version, self.differing, self.observes)


@frozen
class TaskJob:
    """What one attempt needs to know.

    Attributes:
        root, token: the cache, and the run in whose name is claimed.
        inputs: key of each need → the version to read.
        code: digest of the task's code; checks_code: whether a version of other code is not fresh.
        above: a version counts as fresh only with a higher number; forced: the attempt is made by order.
        number: of the attempt that was claimed already; 0: the job claims itself.
        captures: whether what is printed goes to the task's log files; else it is run here, and nothing is set up.
        made: keys of needs that were made in this run.
        slots: label → name of the slot that the task has.
        process: id of the process that drives the run; umask: that of this process.
        settings, untracked, packages: what else the result is made from; see Facts.
        rules: how the cache is kept.
        digits: of the short ids of the run, so that an error names a task as the run does; 0: not known.
        store: what the root, the token and the rules say, where that is at hand.
    """

    task: Any
    place: Place
    root: str
    token: str
    inputs: Mapping[str, Version]
    code: str
    checks_code: bool
    above: int
    forced: bool
    number: int
    captures: bool
    made: frozenset[str] = frozenset()
    slots: Mapping[str, str] = field(default_factory=dict)
    process: int = field(default_factory=os.getpid)
    umask: int = 0o022
    settings: Mapping[str, str] = field(default_factory=dict)
    untracked: tuple[str, ...] = ()
    packages: Mapping[str, str] = field(default_factory=dict)
    rules: Rules = field(default_factory=Rules)
    digits: int = 0
    store: DiskStore | None = None

    @property
    def timeout(self) -> float | None:
        """How many seconds the task may run."""
        seconds: float | None = type(self.task).task_timeout
        return seconds

    @property
    def alone(self) -> bool:
        """Whether the task is to have a process of its own."""
        alone: bool = type(self.task).task_own_process
        return alone

    def __call__(self) -> Outcome[str]:
        """Run it, and tell how it ended; raises nothing but a KeyboardInterrupt of the main thread."""
        store = self.store or _store(self.root, self.token, self.rules)
        try:
            claimed = store.resume(self.place, self.number) if self.number else self.claim(store)
        except Exception as error:  # noqa: BLE001  # the claim may fail in any way; it is told as the task's failure
            if is_scarce(error):
                text = limit_text("its attempt could not be begun", error)
                return Failed(replace(problem_of(error), kind="limit", text=text))
            return Failed(replace(problem_of(error), kind="result"))
        if isinstance(claimed, DiskAttempt):
            return self._run(store, claimed)
        if isinstance(claimed, Version):
            return Fresh(claimed.record.stamp)
        return claimed or Elsewhere(after=0.0)

    def claim(self, store: DiskStore) -> Claimed:
        """The right to run it, or why not."""
        return store.claim(self.place, lambda: arguments_text(self.task._taskproc), self._pick, forced=self.forced)

    def _pick(self, versions: Iterator[Version]) -> Version | None:
        code = self.code if self.checks_code else None
        return pick(versions, Present(code, self.needs, self.settings, self.above))

    @property
    def needs(self) -> dict[str, Stamp]:
        """Key of each need → the stamp of what is read."""
        return {key: version.record.stamp for key, version in self.inputs.items()} if self.inputs else {}

    def _run(self, store: DiskStore, attempt: DiskAttempt) -> Outcome[str]:
        job = Running(
            self.place.key, store, attempt, self.inputs, self.slots,
            captured=self.captures, task=self.task, digits=self.digits,
        )  # fmt: skip
        if not self.captures:
            attempt.has_no_logs()
        away = os.getpid() != self.process
        started = time.perf_counter()
        try:
            loaded = loaded_code(self.task, self.code, store) if away else Loaded(self.code, "")
            # Put back before the result is written, or nobody could read it
            umask = umask_put_back(own_umask() if away else self.umask)
            with active(job, away), in_force(self._cache()), umask:
                watched = watch(self.task, loaded.code, store) if observes(self.task) else None
                value = self._value(job, attempt, away, watched or nullcontext())
            loaded = ran_code(self.task, loaded, store)
        except BaseException as error:  # noqa: BLE001  # whatever a task raises is how it ended
            return self._failed(job, error, time.perf_counter() - started)
        if self.inputs and (changed := self._changed_inputs()):
            text = f"{', '.join(changed)} changed while it was read: run again when nobody writes to it"
            attempt.fail({"kind": "exception", "error": text})
            return Failed(Problem("exception", text), time.perf_counter() - started)
        seconds, level = time.perf_counter() - started, _level(type(self.task))
        packages = self.packages if loaded.packages is None else loaded.packages
        mark = mark_of if type(self.task).task_version is None else lasting_mark_of
        facts = Facts(
            loaded.code, self.needs, self.settings, self.untracked, seconds, level, mark=mark, packages=packages,
            named=_named,
        )  # fmt: skip
        if watched is not None and (watched.noted.is_filled or is_hindered()):
            facts = self._with_observed(facts, watched.noted)
        return _commit(attempt, value, facts, loaded.differing)

    def _value(self, job: Running, attempt: DiskAttempt, away: bool, watched: Watched) -> object:
        """What `run_task` gives, called on a task that this attempt may change.

        What it changes in a worker process is put back by run/baseline.py; inline, the working directory is put back.
        """
        if away:
            adopt_imports()
            return self._surrounded(self.task, attempt, away, watched)
        task = job.task = apart(self.task)
        with nullcontext() if self.captures else folder_put_back(), put_aside(task):
            return self._surrounded(task, attempt, away, watched)

    def _surrounded(self, task: Any, attempt: DiskAttempt, away: bool, watched: Watched) -> object:
        """What `run_task` gives: its slots are told to libraries, its clock runs, and what it prints is kept."""
        if not self.captures:
            return _called(task, watched)
        spools = folder_of(self.root, self.token)
        kept = captured(*attempt.logs(), main_pid=self.process, spools=spools, folder=attempt.folder)
        with told(self.slots) if away and self.slots else nullcontext(), kept:
            say_that_none_debugs_here()
            if self.timeout is not None:
                begin(self.timeout)
            try:
                return _called(task, watched)
            except CommandFailed:
                raise  # what the command had to say it has printed there itself
            except BaseException as error:
                print(traceback_text(error), end="", file=sys.stderr)
                raise

    def _with_observed(self, facts: Facts, noted: Noted) -> Facts:
        paths = [str(version.about["path"]) for version in self.inputs.values() if "path" in version.about]
        try:
            observed = settled(noted, self.task, self.root, paths)
        except Exception as error:  # noqa: BLE001  # a result that was computed is not lost for what else it touched
            return replace(facts, unseen=(*unseen(noted), f"what it touched: {sentence(error)}"))
        return replace(facts, observed=observed, unseen=unseen(noted))

    def _changed_inputs(self) -> list[str]:
        """Paths of input files that are not what they were when the run looked at them."""
        watched = [version.about for version in self.inputs.values() if "signs" in version.about]
        return [str(about["path"]) for about in watched if _signs_now(str(about["path"])) != about["signs"]]

    def _cache(self) -> Cache:
        """Tasks may be built, and run, inside a task: in the same cache."""
        # What is built there claims in the name of its own run, so its store has no token
        cache: Cache | None = self.task._taskproc.cache
        return cache or Cache.under(_store(self.root, "", self.rules))

    def _lost(self, unread: set[str]) -> set[str]:
        """Keys of inputs that must be made again, if some could not be read: these, and all that are gone with them.

        What this run made, and is there, does not load: to make it again would not help.
        """
        if not unread:
            return set()
        gone = {key for key, version in self.inputs.items() if not os.path.exists(version.path)}
        return gone | {key for key in unread if key not in self.made}

    def _failed(self, job: Running, error: BaseException, seconds: float) -> Outcome[str]:
        if lost := self._lost(job.lost):
            job.attempt.not_needed()
            return Lost(tuple(sorted(lost)))
        problem = problem_of(error, pickled=os.getpid() != self.process)
        job.attempt.fail({"kind": problem.kind, "error": problem.text, "traceback": problem.traceback})
        # Ctrl-C reaches the main thread of the main process only; raised elsewhere it is the task's own doing
        here = os.getpid() == self.process and threading.current_thread() is threading.main_thread()
        if isinstance(error, KeyboardInterrupt) and here and is_interrupt():
            raise error
        return Failed(problem, seconds)


# The jobs of a run share a store: it knows paths and the key, and holds nothing open. Few, for runs may be nested
@functools.lru_cache(maxsize=8)
def _store(root: str, token: str, rules: Rules) -> DiskStore:
    return DiskStore(root, token, rules=rules)


_TASK = f"{__package__}.task"


def _level(cls: type[Any]) -> int | None:
    """The gzip level that a class asks for; None: it does not, Task alone has one."""
    for base in cls.__mro__:
        if "task_compress_level" in base.__dict__:
            return None if base.__module__ == _TASK else int(cls.task_compress_level)
    raise AssertionError(f"{cls!r} is no task [this is a bug]")


def _signs_now(path: str) -> str:
    from taskproc.store.contents import signs_of  # here: 1 ms, for tasks that read files from outside

    try:
        return signs_of(path)
    except OSError as error:
        return str(error)


def _called(task: Any, watched: Watched) -> object:
    """What it gives, in this process: a child that it forked, and that comes back here too, is nobody's and ends."""
    pid, code = os.getpid(), 1
    try:
        with watched:
            value = in_own_context(functools.partial(task.run_task, **own_defaults(task.run_task)))
        code = 0
        return value
    except Exception as error:
        advise(error, task, upstreams([value for _, value in attributes(task)]).values())
        raise
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else code
        raise
    finally:
        if os.getpid() != pid:
            flush_all()
            os._exit(code)


def _named(value: object, root: str, home: str) -> str | None:
    if value is None or type(value) in (bool, int, float) or (type(value) is str and not home):
        return None  # the pickle says as much
    from taskproc.tasks.valuing import value_digest  # here: 3 ms, and not needed for plain values

    return value_digest(value, root, home)


def _commit(attempt: DiskAttempt, value: object, facts: Facts, differing: str) -> Outcome[str]:
    token = storing.set(True)
    try:
        version = attempt.commit(value, facts)
    except (UnstorableResult, OSError) as error:
        text = str(error)
        if isinstance(error, OSError):  # of a write or a sync, which name no file
            text = f"its result cannot be stored in {str(attempt.log('stdout').parent)!r}: {error}"
        attempt.fail({"kind": "result", "error": text})
        return Failed(Problem("result", text), facts.seconds)
    finally:
        storing.reset(token)
    if version is None:
        return Elsewhere(after=0.0)  # taken over or cleared while it ran
    thin = slim(version) if facts.needs or facts.observed else version
    return Stored(version.record.stamp, facts.seconds, thin, differing, bool(facts.observed))


def pick(versions: Iterator[Version], now: Present) -> Version | None:
    """The newest version that is good; see kernel.rebuild.judge."""
    found = judge(versions, now)
    return found if isinstance(found, Version) else None


def _stored(order: str, value: str, seconds: float, version: Any, differing: str, observes: bool) -> Stored:
    return Stored(Stamp(order, value), seconds, version and version_of(version), differing, observes)


def plain(version: Version | None) -> tuple[Any, ...] | None:
    """What a reader asks of a version as plain values, which pickle at a tenth of the cost."""
    if version is None:
        return None
    record = version.record
    digests = version.head, version.head_digest, version.size, version.digest
    known = for_readers(version.about), version.payload
    return (*version.place, version.path, record.number, record.nonce, *record.stamp, *digests, *known)


def version_of(values: tuple[Any, ...]) -> Version:
    """The version of its plain values."""
    name, some, key, path, number, nonce, order, value, *rest = values
    return Version(Place(name, some, key), path, Record(number, nonce, Stamp(order, value), "", {}), *rest)


def slim(version: Version) -> Version:
    """A version without what only a judge needs: what it was made from may be ten thousand stamps."""
    some, record = version, version.record
    thin = Record(record.number, record.nonce, record.stamp, "", {})
    digests = some.head, some.head_digest, some.size, some.digest
    return Version(some.place, some.path, thin, *digests, some.about, some.payload)
