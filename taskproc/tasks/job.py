"""One task as a job: claim, run, commit, in any process. It carries its arguments and the versions of its inputs.

packing.py sends it to other processes.
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
from taskproc.kernel.model import Done, Elsewhere, Failed, Fresh, Lost, Outcome, Problem, Record, Stamp, Usage
from taskproc.kernel.rebuild import Present, judge
from taskproc.run.baseline import adopt_imports, folder_put_back, in_own_context, own_umask, umask_put_back
from taskproc.run.capture import captured, flush_all
from taskproc.run.far_end import begin_timeout
from taskproc.run.observing import Noted
from taskproc.run.problem import problem_of, sentence, traceback_text
from taskproc.run.signals import is_interrupt
from taskproc.run.system_limits import is_scarce, limit_text
from taskproc.run.usage_meter import begin_usage, usage_since, worker_name
from taskproc.store.cache import ActiveCache, Cache
from taskproc.store.claims import Claimed, DiskAttempt
from taskproc.store.disk import DiskStore
from taskproc.store.layout import Place
from taskproc.store.marks import folder_of
from taskproc.store.rules import CacheRules
from taskproc.store.version import Facts, Version, about_for_readers
from taskproc.tasks.attempt_copies import apart, own_defaults, put_aside
from taskproc.tasks.labels import slot_variables
from taskproc.tasks.misuse import advise, say_that_none_debugs_here
from taskproc.tasks.naming import arguments_text
from taskproc.tasks.observed import observes, settled, unseen, watch
from taskproc.tasks.reached_code import Loaded, loaded_code, ran_code
from taskproc.tasks.running_job import Running, active, storing
from taskproc.tasks.settings import NOTHING_LEFT, Left
from taskproc.tasks.task_code import lasting_mark_of, mark_of
from taskproc.tasks.task_graph import attributes, upstreams

Watched = AbstractContextManager[object]
_SENT = 4  # fields of a Usage that travel back: not the run, which is known there


@frozen
class Stored(Done):
    """Done, and where the result lies.

    Attributes:
        differing: see tasks/reached_code.py.
        observes: whether it was observed.
        usage: what the attempt used; size: bytes of the version and its data directory.
    """

    version: Version | None = None
    differing: str = ""
    observes: bool = False
    usage: Usage | None = None
    size: int = 0

    is_plain = True  # see run/worker_protocol.py

    def detail(self) -> dict[str, object]:
        """See Done."""
        if self.usage is None:
            return {"seconds": self.seconds}
        _, cpu, peak, worker, _ = self.usage
        return {"seconds": self.seconds, "cpu": cpu, "peak": peak, "bytes": self.size, "worker": worker}

    def __reduce__(self) -> tuple[Any, ...]:
        # As plain values: a dataclass in a pickle costs ten times as much as its fields
        version, usage = plain(self.version), self.usage and self.usage[:_SENT]
        rest = self.seconds, version, self.differing, self.observes, usage, self.size
        return _stored, (*self.stamp, *rest)


@frozen
class RunPart:
    """What all jobs of a run have in common.

    Attributes:
        store: the cache, in which claims are made in the name of the run.
        checks_code: whether a version of other code is not fresh.
        process: id of the process that drives the run; umask: that of this process.
        digits: of the short ids of the run, so that an error names a task as the run does; 0: not known.
        run: the id of the run, for people; empty: it has none.
    """

    store: DiskStore
    checks_code: bool = True
    process: int = field(default_factory=os.getpid)
    umask: int = 0o022
    digits: int = 0
    run: str = ""

    def __reduce__(self) -> tuple[Any, ...]:
        # A store holds what is open and known here; elsewhere the jobs of a run share another one
        store, rest = self.store, (self.checks_code, self.process, self.umask, self.digits, self.run)
        return _run_part, (store.root, store.token, store.rules, *rest)


@frozen
class ClassPart:
    """The part that all jobs of a class have in common: their code, the versions of its packages, their settings."""

    code: str
    packages: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)


@frozen
class AttemptPart:
    """The part that a job has for itself.

    Attributes:
        inputs: key of each need → the version to read.
        left: what `__init__` left on the task.
        made: keys of needs that were made in this run.
        above: a version counts as fresh only with a higher number; forced: the user ordered the attempt.
        number: of an attempt that is claimed already; 0: the job makes the claim.
        captures: whether output goes to the log files of the task; if not, the job runs here, and nothing is set up.
        slots: label → name of the slot that the task has.
    """

    inputs: Mapping[str, Version] = field(default_factory=dict)
    left: Left = NOTHING_LEFT
    made: frozenset[str] = frozenset()
    above: int = 0
    forced: bool = False
    number: int = 0
    captures: bool = True
    slots: Mapping[str, str] = field(default_factory=dict)

    def __reduce__(self) -> tuple[Any, ...]:
        # As plain values: see Stored
        left = tuple(self.left) if self.left is not NOTHING_LEFT else ()
        rest = (self.made, self.above, self.forced, self.number, self.captures, self.slots)
        return _attempt_part, (list(map(plain, self.inputs.values())), left, *rest)


@frozen
class TaskJob:
    """One attempt at a task, with all that it needs to know."""

    task: Any
    run: RunPart
    kind: ClassPart
    attempt: AttemptPart

    def __call__(self) -> Outcome[str]:
        """Run it and return how it ended; raises nothing but a KeyboardInterrupt of the main thread."""
        store, number = self.run.store, self.attempt.number
        try:
            claimed = store.resume(self.task._taskproc.place, number) if number else self.claim()
        except Exception as error:  # noqa: BLE001  # a claim may fail in any way; this is the task's failure
            if is_scarce(error):
                text = limit_text("its attempt could not be begun", error)
                return Failed(replace(problem_of(error), kind="limit", text=text))
            return Failed(replace(problem_of(error), kind="result"))
        if isinstance(claimed, DiskAttempt):
            return self._run(claimed)
        if isinstance(claimed, Version):
            return Fresh(claimed.record.stamp)
        return claimed or Elsewhere(after=0.0)

    def claim(self) -> Claimed:
        """The right to run it, or the reason why not."""
        identity, forced = self.task._taskproc, self.attempt.forced
        return self.run.store.claim(identity.place, lambda: arguments_text(identity), self._pick, forced=forced)

    def _pick(self, versions: Iterator[Version]) -> Version | None:
        return pick(versions, self._present())

    def _present(self) -> Present:
        """What a result would be made from now."""
        kind, own = self.kind, self.attempt
        code = kind.code if self.run.checks_code else None
        needs = {key: version.record.stamp for key, version in own.inputs.items()} if own.inputs else {}
        return Present(code, needs, own.left.added_to(kind.settings), own.above)

    def _run(self, attempt: DiskAttempt) -> Outcome[str]:
        run, kind, own = self.run, self.kind, self.attempt
        job = Running(
            self.task._taskproc.place.key, run.store, attempt, own.inputs, own.slots,
            captured=own.captures, task=self.task, digits=run.digits, run=run.run,
        )  # fmt: skip
        if not own.captures:
            attempt.has_no_logs()
        away = os.getpid() != run.process
        # Tasks may be built and run inside a task: in the same cache, and claimed in the name of another run
        cache = self.task._taskproc.cache or Cache.under(_store(run.store.root, "", run.store.rules))
        began, started, before = time.time(), time.perf_counter(), begin_usage(away)
        try:
            loaded = loaded_code(self.task, kind.code, run.store) if away else Loaded(kind.code, "")
            # Restored before the result is written: under the umask of the task it may be unreadable
            umask = umask_put_back(own_umask() if away else run.umask)
            with active(job, away), ActiveCache(cache), umask:
                noted = watch(self.task, loaded.code, run.store) if observes(self.task) else None
                value = self._value(job, attempt, away, noted or nullcontext())
            loaded = ran_code(self.task, loaded, run.store)
        except BaseException as error:  # noqa: BLE001  # any exception is how the task ended
            return self._failed(job, error, time.perf_counter() - started)
        if own.inputs and (changed := self._changed_inputs()):
            text = f"{', '.join(changed)} changed while it was read: run again when no other program writes to it"
            attempt.fail({"kind": "exception", "error": text})
            return Failed(Problem("exception", text), time.perf_counter() - started)
        seconds = time.perf_counter() - started
        worker = worker_name(is_away=away, captures=own.captures)
        cpu, peak = usage_since(before, seconds)
        usage = Usage._make((began, cpu, peak, worker, run.run or None))  # in a third of the time of Usage(…)
        return self._commit(attempt, value, loaded, seconds, usage, noted)

    def _commit(
        self, attempt: DiskAttempt, value: object, loaded: Loaded, seconds: float, usage: Usage, noted: Noted | None
    ) -> Outcome[str]:
        cls, now = type(self.task), self._present()
        facts = Facts(
            loaded.code, now.needs, now.settings, self.attempt.left.untracked, seconds, _level(cls),
            mark=mark_of if cls.task_version is None else lasting_mark_of,
            packages=self.kind.packages if loaded.packages is None else loaded.packages,
            named=_named, usage=usage,
        )  # fmt: skip
        if noted is not None and noted.is_filled:
            facts = self._with_observed(facts, noted)
        token = storing.set(True)
        try:
            version = attempt.commit(value, facts)
        except (UnstorableResult, OSError) as error:
            text = str(error)
            if isinstance(error, OSError):  # from a write or a sync, which name no file
                text = f"its result cannot be stored in {str(attempt.log('stdout').parent)!r}: {error}"
            attempt.fail({"kind": "result", "error": text})
            return Failed(Problem("result", text), seconds)
        finally:
            storing.reset(token)
        if version is None:
            return Elsewhere(after=0.0)  # taken over or cleared while it ran
        thin = slim(version) if facts.needs or facts.observed else version
        observes = bool(facts.observed)
        return Stored(version.record.stamp, seconds, thin, loaded.differing, observes, usage, attempt.size)

    def _value(self, job: Running, attempt: DiskAttempt, away: bool, watched: Watched) -> object:
        """The result of `run_task`, called on a task that this attempt may change.

        In a worker process, run/baseline.py restores what it changes there; inline, only the working directory is
        restored.
        """
        if away:
            adopt_imports()
            return self._surrounded(self.task, attempt, away, watched)
        task = job.task = apart(self.task)
        with nullcontext() if self.attempt.captures else folder_put_back(), put_aside(task):
            return self._surrounded(task, attempt, away, watched)

    def _surrounded(self, task: Any, attempt: DiskAttempt, away: bool, watched: Watched) -> object:
        """The result of `run_task`, with its slots in the environment, a running clock and captured output."""
        if not self.attempt.captures:
            return _called(task, watched)
        run, slots = self.run, self.attempt.slots
        spools = folder_of(run.store.root, run.store.token)
        kept = captured(*attempt.logs(), main_pid=run.process, spools=spools, folder=attempt.folder)
        with slot_variables(slots) if away and slots else nullcontext(), kept:
            say_that_none_debugs_here()
            if type(task).task_timeout is not None:
                begin_timeout(type(task).task_timeout)
            try:
                return _called(task, watched)
            except CommandFailed:
                raise  # the command has printed its messages there itself
            except BaseException as error:
                print(traceback_text(error), end="", file=sys.stderr)
                raise

    def _with_observed(self, facts: Facts, noted: Noted) -> Facts:
        paths = [str(version.about["path"]) for version in self.attempt.inputs.values() if "path" in version.about]
        try:
            observed = settled(noted, self.task, self.run.store.root, paths)
        except Exception as error:  # noqa: BLE001  # a computed result is not lost because of what it touched
            return replace(facts, unseen=(*unseen(noted), f"what it touched: {sentence(error)}"))
        return replace(facts, observed=observed, unseen=unseen(noted))

    def _changed_inputs(self) -> list[str]:
        """Paths of input files that changed since the run looked at them."""
        watched = [version.about for version in self.attempt.inputs.values() if "signs" in version.about]
        return [str(about["path"]) for about in watched if _signs_now(str(about["path"])) != about["signs"]]

    def _lost(self, unread: set[str]) -> set[str]:
        """Keys of inputs that must be made again if some could not be read: these, and all that are gone as well.

        An input that this run made and that exists, but cannot be loaded, is left out: making it again would not help.
        """
        if not unread:
            return set()
        gone = {key for key, version in self.attempt.inputs.items() if not os.path.exists(version.path)}
        return gone | {key for key in unread if key not in self.attempt.made}

    def _failed(self, job: Running, error: BaseException, seconds: float) -> Outcome[str]:
        if lost := self._lost(job.lost):
            job.attempt.not_needed()
            return Lost(tuple(sorted(lost)))
        problem = problem_of(error, pickled=os.getpid() != self.run.process)
        job.attempt.fail({"kind": problem.kind, "error": problem.text, "traceback": problem.traceback})
        # Ctrl-C reaches only the main thread of the main process; elsewhere the task raised it itself
        here = os.getpid() == self.run.process and threading.current_thread() is threading.main_thread()
        if isinstance(error, KeyboardInterrupt) and here and is_interrupt():
            raise error
        return Failed(problem, seconds)


# The jobs of a run share a store, which knows paths and the key and holds nothing open. Several, for nested runs
@functools.lru_cache(maxsize=8)
def _store(root: str, token: str, rules: CacheRules) -> DiskStore:
    return DiskStore(root, token, rules=rules)


def _run_part(root: str, token: str, rules: CacheRules, *rest: Any) -> RunPart:
    return RunPart(_store(root, token, rules), *rest)


def _attempt_part(versions: list[tuple[Any, ...]], left: tuple[Any, ...], *rest: Any) -> AttemptPart:
    inputs = {version.place.key: version for version in map(version_of, versions)} if versions else {}
    return AttemptPart(inputs, Left(*left) if left else NOTHING_LEFT, *rest)


_TASK = f"{__package__}.task"


def _level(cls: type[Any]) -> int | None:
    """The gzip level that a class sets; None: it sets none, only Task does."""
    for base in cls.__mro__:
        if "task_compress_level" in base.__dict__:
            return None if base.__module__ == _TASK else int(cls.task_compress_level)
    raise AssertionError(f"{cls!r} is not a task [this is a bug]")


def _signs_now(path: str) -> str:
    from taskproc.store.contents import signs_of  # here: 1 ms, for tasks that read files from outside

    try:
        return signs_of(path)
    except OSError as error:
        return str(error)


def _called(task: Any, watched: Watched) -> object:
    """The result of `run_task` in this process; a child that it forked and that also returns to this point is ended."""
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
        return None  # the pickle is enough
    from taskproc.tasks.value_digest import value_digest  # here: 3 ms, and not needed for plain values

    return value_digest(value, root, home)


def pick(versions: Iterator[Version], now: Present) -> Version | None:
    """The newest good version; see kernel.rebuild.judge."""
    found = judge(versions, now)
    return found if isinstance(found, Version) else None


def _stored(order: str, value: str, seconds: float, version: Any, *rest: Any) -> Stored:
    differing, observes, usage, size = rest
    used = Usage._make((*usage, None)) if usage else None
    return Stored(Stamp(order, value), seconds, version and version_of(version), differing, observes, used, size)


def plain(version: Version | None) -> tuple[Any, ...] | None:
    """The parts of a version that readers need, as plain values, which pickle at a tenth of the cost."""
    if version is None:
        return None
    record = version.record
    digests = version.head, version.head_digest, version.size, version.digest
    known = about_for_readers(version.about), version.payload
    return (*version.place, version.path, record.number, record.nonce, *record.stamp, *digests, *known)


def version_of(values: tuple[Any, ...]) -> Version:
    """The version made from its plain values."""
    name, some, key, path, number, nonce, order, value, *rest = values
    return Version(Place(name, some, key), path, Record(number, nonce, Stamp(order, value), "", {}), *rest)


def slim(version: Version) -> Version:
    """A version without the parts that only a judge needs: it may be made from ten thousand stamps."""
    some, record = version, version.record
    thin = Record(record.number, record.nonce, record.stamp, "", {})
    digests = some.head, some.head_digest, some.size, some.digest
    return Version(some.place, some.path, thin, *digests, about_for_readers(some.about), some.payload)
