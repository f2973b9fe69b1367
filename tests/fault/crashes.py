"""A run that dies, or fails, at one point, and the run that comes after it. In children forked from a warm process."""
from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from taskproc import Cache, LocalExecutor
from taskproc.errors import TaskprocError
from taskproc.store import claims
from taskproc.store.check import check
from tests.fault import journal
from tests.fault.forks import forked
from tests.fault.graphs import Total, Words, expected
from tests.fault.points import Death, Failure, Points, hooked

NUMBER = 3
TASKS = ("Words", "Total")


@dataclass(frozen=True)
class Trial:
    """One case: what the next run found done, by task, and what was wrong in words; nothing, if all was well."""

    name: str
    done: tuple[bool, ...] = ()
    faults: tuple[str, ...] = ()
    says: str = ""


def point_names(folder: Path) -> list[str]:
    """The operations of a run that nothing happens to, in order."""
    return list(forked(_run, folder, Points()).value()[1])


def deaths(names: list[str]) -> Iterator[tuple[int, str]]:
    """Every place to die at: before and after each operation, and half way through each write."""
    for at, name in enumerate(names, 1):
        yield at, "before"
        if name == "write":
            yield at, "half"
        yield at, "after"


def die(folder: Path, at: int, when: str, name: str) -> Trial:
    """Die there, and let the next run do the rest."""
    ended = forked(_run, folder, Death(at, when))
    title = f"{when} operation {at}, {name}"
    if ended.code != -signal.SIGKILL:
        return Trial(title, (), (f"exit code {ended.code} instead of a death: {ended.answer}",))
    done, faults = forked(outlive, folder).value()
    return Trial(title, done, faults)


def fail(folder: Path, at: int, number: int, name: str, lasts: bool = False) -> Trial:
    """Let an operation fail, look at what is said, and let the next run do the rest."""
    says, names, kind = forked(_run, folder, Failure(at, number, lasts)).value()
    title = f"{os.strerror(number)} at operation {at}, {name}"
    wrong = []
    if len(names) < at:
        wrong.append("it was never reached")
    if kind == "value" and says != repr(expected(NUMBER)):
        wrong.append(f"a wrong answer: {says}")
    if kind not in ("value", "told"):
        wrong.append(f"it crashed: {says}")
    if kind == "told" and (os.strerror(number) not in says or str(folder) not in says):
        wrong.append(f"errno or path are missing in: {says}")
    if not lasts and name not in ("unlink", "rmdir"):  # else it could not
        wrong += [f"left behind: {found}" for found in check(Cache(folder / "cache").store) if found.kind == "leftover"]
    done, faults = forked(outlive, folder).value()
    return Trial(title, done, (*wrong, *faults), f"{kind}: {says}")


def _run(folder: Path, points: Points) -> tuple[str, list[str], str]:
    """What came of it, which operations were met, and whether that was a value, told in our words, or a crash."""
    journal.begin(folder)
    seconds = itertools.count()
    time.perf_counter = lambda: float(next(seconds))  # what took a second is worth an fsync
    with hooked(points):
        try:
            with Cache(folder / "cache"):
                answer = repr(Total(NUMBER).run_graph(executor=LocalExecutor())[0])
            kind = "value"
        except TaskprocError as error:
            answer, kind = f"{type(error).__name__}: {error}", "told"
        except Exception as error:
            answer, kind = f"{type(error).__name__}: {error}", "raised"
    return answer, points.names, kind


def outlive(folder: Path) -> tuple[tuple[bool, ...], tuple[str, ...]]:
    """Run again, and again: what was done before, and all that is not as it should be."""
    journal.begin(folder)
    claims.EMPTY_CLAIM = 0.02  # what dies between two operations need not be outwaited for a second each time
    before = journal.counts(folder / "journal")
    with Cache(folder / "cache") as cache:
        tasks = {"Words": Words(NUMBER), "Total": Total(NUMBER)}
        done = tuple(tasks[name].task_is_done() for name in TASKS)
        faults = _damage(cache)
        value = tasks["Total"].run_graph(executor=LocalExecutor())[0]
        after = journal.counts(folder / "journal")
        again = tasks["Total"].run_graph(executor=LocalExecutor())[0]
        faults += _damage(cache)
    if not value == again == expected(NUMBER):
        faults.append(f"wrong answers: {value}, {again}")
    for name, was_done in zip(TASKS, done):
        line = f"start {name} {NUMBER}"
        if after[line] - before[line] != (0 if was_done else 1):
            faults.append(f"{name} ran {after[line] - before[line]} times more, done before: {was_done}")
    if journal.counts(folder / "journal") != after:
        faults.append("it did not come to rest")
    return done, tuple(faults)


def _damage(cache: Cache) -> list[str]:
    return [f"half visible: {found}" for found in check(cache.store) if found.kind == "damaged"]
