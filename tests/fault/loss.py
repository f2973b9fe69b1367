"""A cache with one of everything in it, and what comes out when any one of its files is lost or damaged."""
from __future__ import annotations

import os
import random
import re
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from taskproc import Cache, FailedTaskError, LocalExecutor, MissingResult
from taskproc.store import claims, marks
from taskproc.store.check import check
from tests.fault import graphs, journal
from tests.fault.forks import forked
from tests.fault.graphs import Digest, Noise, Printer, Total
from tests.fault.points import Call, Points, hooked

SIZE = 600

EXPECTED: dict[str, object] = {
    **{f"noise {n}": graphs.noise(n, SIZE) for n in (1, 2)},
    **{f"digest {n}": graphs.digest(n, SIZE) for n in (1, 2)},
    **{f"total {n}": graphs.expected(n) for n in (3, 4)},
    **{f"printer {n}": n for n in (5, 6)},
}


def tasks() -> dict[str, Any]:
    """All tasks of the cache, built anew."""
    noises = {n: Noise(n, SIZE) for n in (1, 2)}
    return {
        **{f"noise {n}": noises[n] for n in noises},
        **{f"digest {n}": Digest(noises[n], n) for n in noises},
        **{f"total {n}": Total(n) for n in (3, 4)},
        **{f"printer {n}": Printer(n) for n in (5, 6)},
    }


def furnish(folder: Path) -> None:
    """Make the cache: results, files beside them, logs, failed attempts, and what a run left that was killed."""
    journal.begin(folder)
    os.environ[graphs.FAILS] = "yes"
    with Cache(folder / "cache"), ThreadPoolExecutor(1) as threads:
        for name, task in tasks().items():
            try:
                if name != "total 4":
                    task.run_graph(executor=threads)
            except FailedTaskError:
                assert name.startswith("printer"), name
        del os.environ[graphs.FAILS]
        Printer(5).run_graph(executor=threads)
    assert forked(_die, folder).code == -signal.SIGKILL
    kinds = {kind_of(path) for path in files(folder / "cache")}
    assert {"args.json", "claim.", "failed.", "result..pkl.gz", "run", "stdout..txt", "taskproc.json"} <= kinds, kinds




class _LastRename(Points):
    """Dies before the second result is published."""

    def at_point(self, name: str, call: Call, arguments: tuple[Any, ...]) -> Any:
        if name == "replace" and self.names.count("replace") == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return call()


def _die(folder: Path) -> None:
    with hooked(_LastRename()), Cache(folder / "cache"):
        Total(4).run_graph(executor=LocalExecutor())


def files(cache: Path) -> list[Path]:
    """All but what the tasks themselves wrote: that is theirs, and no digest covers it."""
    return sorted(path for path in cache.rglob("*") if path.is_file() and not path.parent.name.startswith("data."))


def kind_of(path: Path) -> str:
    """What is of one kind has one name, but for numbers."""
    return "run" if path.parent.name == "run" else re.sub(r"\d", "", path.name)


def cases(cache: Path) -> Iterator[tuple[str, Path, Path | None]]:
    """Every file with every damage, every folder of a task lost or swapped: damage, path, with what it is swapped."""
    found = files(cache)
    for path in found:
        for damage in ("deleted", "emptied", "cut in half", "garbage"):
            yield damage, path, None
        siblings = [other for other in found if kind_of(other) == kind_of(path) and other != path]
        for other in siblings[:2]:
            yield "swapped", path, other
    folders = sorted(path for path in cache.glob("*/results/*"))
    for path, other in zip(folders, folders[1:]):
        yield "deleted", path, None
        yield "swapped", path, other


def trial(folder: Path, damage: str, path: Path, other: Path | None) -> list[str]:
    """Do that to a copy of the cache that lies at `folder`/sound, and tell what is wrong then; nothing, if all is well.

    `path` and `other` are those of the copy, `folder`/cache.
    """
    shutil.rmtree(folder / "cache", ignore_errors=True)
    shutil.copytree(folder / "sound", folder / "cache")
    _harm(damage, path, other)
    faults = []
    with Cache(folder / "cache") as cache:
        for name, task in tasks().items():
            try:
                if task.get_result() != EXPECTED[name]:
                    faults.append(f"{name}: a wrong answer")
            except MissingResult:
                pass
        list(check(cache.store))
    for _ in range(2):
        before = journal.counts(folder / "journal")
        with Cache(folder / "cache"):
            answers = {name: task.run_graph(executor=LocalExecutor())[0] for name, task in tasks().items()}
        faults += [f"{name}: a wrong answer of a run" for name in EXPECTED if answers[name] != EXPECTED[name]]
    if before != journal.counts(folder / "journal"):
        faults.append(f"it did not come to rest: {journal.counts(folder / 'journal') - before}")
    return faults


def _harm(damage: str, path: Path, other: Path | None) -> None:
    if damage == "deleted":
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    elif damage == "emptied":
        path.write_bytes(b"")
    elif damage == "cut in half":
        os.truncate(path, path.stat().st_size // 2)
    elif damage == "garbage":
        path.write_bytes(random.Random(1).randbytes(500))
    else:
        assert other is not None
        away = path.with_name("away")
        path.rename(away)
        other.rename(path)
        away.rename(other)


def every_case(folder: Path, part: int = 0, parts: int = 1) -> dict[str, list[str]]:
    """Every `parts`-th case and what was wrong in it."""
    claims.EMPTY_CLAIM, marks.LEASE = 0.02, 0.1  # nobody else is at work here whose answer would be worth the wait
    furnish(folder)
    (folder / "cache").rename(folder / "sound")
    shutil.copytree(folder / "sound", folder / "cache")
    answers = {}
    for damage, path, other in list(cases(folder / "cache"))[part::parts]:
        name = f"{damage}: {path.relative_to(folder)}" + (f" with {other.relative_to(folder)}" if other else "")
        try:
            answers[name] = trial(folder, damage, path, other)
        except Exception as error:
            answers[name] = [f"crashed: {type(error).__name__}: {error}"]
    return answers
