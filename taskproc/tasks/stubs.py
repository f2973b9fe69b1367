"""For tests: a value in the place of a task, and assertions about what would run.

A stub is a result that is there already, as the input of a running task is: its key stays, and what it needs is cut
off. So all that reads it, in whichever process, reads it as usual.

What is computed from a stub must never be taken for a result of the real task, which has the same key. So all of it
stays in a cache of its own, which is removed with the block, and a `with Cache(...)` inside the block uses this one.
"""
from __future__ import annotations

import tempfile
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Union

from taskproc.errors import NoCacheError
from taskproc.kernel.model import Reason
from taskproc.store.cache import Cache, current_cache
from taskproc.store.claims import DiskAttempt
from taskproc.store.version import Facts, Version
from taskproc.tasks.inspection import preview, summary
from taskproc.tasks.naming import Identity, arguments_text
from taskproc.tasks.running import plan_work
from taskproc.tasks.task import Task
from taskproc.tasks.task_graph import Graph
from taskproc.text import counted, did_you_mean

TaskClass = Union[str, "type[Task]"]


@contextmanager
def stub(replaced: type[Task] | Task, *, value: object) -> Iterator[Cache]:
    """Put a value in the place of a task, or of all tasks of a class: `with stub(Load, value=1):`, or above a function.

    Tasks that are built in the block find it as the result of their upstream task, inline, in threads, in processes of
    our own and behind prefixes; the stubbed task does not run, and neither does what only it needs. Each reader loads
    its own copy, as of any result.

    The real cache is neither read nor written: the block has a temporary cache, which is removed at its end, and which
    takes the place of each cache that is entered inside the block. Stubs may be nested, and share the cache; a stub of
    one task goes before that of its class, and an inner one before an outer one. Tasks that `run_task` builds itself
    are stubbed inline and in threads only.

    Args:
        replaced: a class, which stands for its subclasses too; or a task, built in this or any other cache.
        value: anything that can be a result.

    Yields:
        the temporary cache.

    Raises:
        TypeError: `replaced` is not a task, or is an input file, whose value is its path.
        UnstorableResult: on building a stubbed task, if the value cannot be pickled.
    """
    cls = replaced if isinstance(replaced, type) else type(replaced)
    if not issubclass(cls, Task):
        raise TypeError(f"stub needs a task or a task class, got {replaced!r}")
    if cls._taskproc_version is not None:
        raise TypeError(f"{cls.__qualname__} cannot be stubbed: its result is outside the cache, so build another one")
    with ExitStack() as stack:
        outer = _stubbed_cache()
        if outer is not None:
            folder, stubs = outer.store.root, outer.stubs
        else:
            folder, stubs = stack.enter_context(tempfile.TemporaryDirectory(prefix="taskproc-stub-")), ()
        yield stack.enter_context(_StubbedCache(folder, (*stubs, _Stub(cls, replaced, value))))


@dataclass(frozen=True)
class _Stub:
    """What is replaced, a task or its class, and by which value."""

    cls: type[Task]
    replaced: type[Task] | Task
    value: object

    def stands_for(self, task: Task) -> bool:
        if isinstance(self.replaced, type):
            return isinstance(task, self.replaced)
        return type(task) is self.cls and task._taskproc.place == self.replaced._taskproc.place


class _StubbedCache(Cache):
    """A cache in which tasks are stubbed as soon as they are built."""

    replaces_others = True

    def __init__(self, path: str, stubs: tuple[_Stub, ...]):
        super().__init__(path, durability="none")
        self.stubs = stubs
        self.instances = _Instances(self)

    def replace(self, task: Task) -> None:
        """Give a task that was built its stub, if it has one."""
        fitting = [one for one in self.stubs if one.stands_for(task)]
        if fitting:
            chosen = max(fitting, key=lambda one: (not isinstance(one.replaced, type), self.stubs.index(one)))
            task._taskproc.version = self._stored(task._taskproc, chosen.value)

    def _stored(self, identity: Identity, value: object) -> Version:
        attempt = self.store.claim(identity.place, lambda: arguments_text(identity), lambda versions: None)
        assert isinstance(attempt, DiskAttempt), "nobody else makes it here [this is a bug]"
        try:
            version = attempt.commit(value, Facts("stub", {}))
        finally:
            attempt.not_needed()
        assert version is not None, "nobody else clears this cache [this is a bug]"
        return version


class _Instances(dict[tuple[type, str], Any]):
    """The tasks of a stubbed cache; each passes here when it has been built."""

    def __init__(self, cache: _StubbedCache):
        super().__init__()
        self._cache, self._lock = cache, threading.Lock()

    def setdefault(self, key: tuple[type, str], task: Any = None) -> Any:
        with self._lock:  # tasks may be built in several threads
            if key not in self:
                self._cache.replace(task)
            return super().setdefault(key, task)


def _stubbed_cache() -> _StubbedCache | None:
    """The one in use, if there is one."""
    try:
        cache = current_cache("a stub was used")
    except NoCacheError:
        return None
    return cache if isinstance(cache, _StubbedCache) else None


# ---------------------------------------------------------------- what would run


def assert_plan(
    task: Task,
    *,
    runs: Collection[TaskClass] | Mapping[TaskClass, int],
    fresh: Collection[TaskClass] | Mapping[TaskClass, int] = (),
) -> None:
    """Assert which task classes would run if `task` were run now; nothing runs. `assert_plan(Main(), runs=["Train"])`.

    Args:
        runs: all classes of which a task would run, at most; or class → number of tasks. A class is given as itself,
            or by its name, whose last part is enough.
        fresh: classes that have a task with a fresh result, a stubbed one included; or class → number of such tasks.

    Raises:
        AssertionError: the plan is another one; the message shows each difference, with the reason why tasks would run.
        ValueError: a name fits several classes.
    """
    known = plan_work(task)
    reasons: dict[str, Counter[str]] = {}
    for key, reason in preview(known):
        reasons.setdefault(known.graph.class_name(key), Counter())[_reason_text(known.graph, reason)] += 1
    would_run = {name: counts.total() for name, counts in reasons.items()}
    total = Counter(map(known.graph.class_name, known.graph.needs))
    is_fresh = {name: count - would_run.get(name, 0) for name, count in total.items()}
    lines = [*_run_lines(_wanted(runs, total), total, reasons), *_fresh_lines(_wanted(fresh, total), total, is_fresh)]
    if lines:
        root = known.graph.name_of(known.graph.root)
        raise AssertionError("\n".join([f"the plan of {root} is not as expected", *(f"  {line}" for line in lines)]))


def _reason_text(graph: Graph, reason: Reason) -> str:
    return summary(graph, reason) if reason.kind != "need" else "upstream tasks would run"


def _wanted(given: Collection[TaskClass], known: Collection[str]) -> dict[str, int | None]:
    """Task class → the number that is expected; None: any. What is not in the graph stays as it was given."""
    counts = given if isinstance(given, Mapping) else dict.fromkeys([given] if isinstance(given, str) else given)
    wanted: dict[str, int | None] = {}
    for cls, count in counts.items():
        name = cls if isinstance(cls, str) else cls.task_name
        fitting = [name] if name in known else [full for full in known if full.endswith(f".{name}")]
        if len(fitting) > 1:
            raise ValueError(f"{name!r} may be any of the classes {', '.join(sorted(fitting))}: give more of its name")
        wanted["".join(fitting) or name] = count
    return wanted


def _run_lines(
    wanted: Mapping[str, int | None], total: Mapping[str, int], reasons: Mapping[str, Counter[str]]
) -> Iterator[str]:
    for name, counts in reasons.items():
        because = "; ".join(counts)
        if name not in wanted:
            yield f"{name}: {counted(counts.total(), 'task')} would run, expected none   because {because}"
        elif wanted[name] not in (None, counts.total()):
            yield f"{name}: {counted(counts.total(), 'task')} would run, expected {wanted[name]:,}   because {because}"
    for name, count in wanted.items():
        if name not in total:
            yield _unknown_line(name, total)
        elif name not in reasons and count != 0:
            yield f"{name}: none would run, expected {'some' if count is None else f'{count:,}'}; all are fresh"


def _fresh_lines(
    wanted: Mapping[str, int | None], total: Mapping[str, int], is_fresh: Mapping[str, int]
) -> Iterator[str]:
    for name, count in wanted.items():
        if name not in total:
            yield _unknown_line(name, total)
        elif (count is None and not is_fresh[name]) or count not in (None, is_fresh[name]):
            number = counted(is_fresh[name], "task")
            yield f"{name}: {number} of {total[name]:,} fresh, expected {'some' if count is None else f'{count:,}'}"


def _unknown_line(name: str, total: Mapping[str, int]) -> str:
    near = did_you_mean(name, [*total, *(full.rpartition(".")[2] for full in total)])
    return f"{name}: the graph has no such task class" + (near or f". It has {', '.join(total)}")
