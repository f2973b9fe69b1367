"""Runs on storage that gives out: a full disk, a limit, no rights, a cache that goes away. Each in a child of its own.

What a trial returns is what is wrong; nothing, if all is well.
"""
from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from taskproc import Cache, CacheError, FailedTaskError, LocalExecutor, Task
from taskproc.errors import TaskprocError
from taskproc.store.check import check
from tests.fault import journal
from tests.fault.graphs import Noise, Total, expected, noise
from tests.fault.mounts import mount, remount

BIG = 200_000


def made(folder: Path) -> Path:
    """The folder of the cache, to mount something on."""
    path = folder / "cache"
    path.mkdir()
    return path


def run(folder: Path, make: Callable[[], Task]) -> tuple[Any, str]:
    """The value of a run, or what was said instead."""
    try:
        with Cache(folder / "cache"):
            return make().run_graph(executor=LocalExecutor())[0], ""  # type: ignore[misc]
    except TaskprocError as error:
        return None, f"{type(error).__name__}: {error}"


def judged(folder: Path, words: str, said: tuple[Any, str]) -> list[str]:
    """What is wrong with a failure: it must be told, with its path, and leave nothing half visible."""
    value, says = said
    faults = [] if value is None else [f"it did not fail: {str(value)[:60]}"]
    if words not in says or str(folder / "cache") not in says:
        faults.append(f"{words!r} or the path is missing in: {says}")
    store = Cache(folder / "cache").store
    return faults + [f"half visible: {found}" for found in check(store) if found.kind == "damaged"]


def repaired(folder: Path) -> list[str]:
    """What is wrong with the run that comes after the repair."""
    value, says = run(folder, lambda: Noise(1, BIG))
    return [] if value == noise(1, BIG) else [f"after the repair: {says or 'a wrong answer'}"]


def file_size_limit(folder: Path) -> list[str]:
    """A file may not grow beyond 64 kB."""
    journal.begin(folder)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64_000, resource.RLIM_INFINITY))
    faults = judged(folder, "File too large", run(folder, lambda: Noise(1, BIG)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return faults + repaired(folder)


def full_disk(folder: Path) -> list[str]:
    """A disk of 64 kB, and later of 4 MB."""
    journal.begin(folder)
    mount(made(folder), "size=64k")
    faults = judged(folder, "No space left", run(folder, lambda: Noise(1, BIG)))
    remount(folder / "cache", "size=4m")
    return faults + repaired(folder)


def no_inodes(folder: Path) -> list[str]:
    """Room for more and more files: for none of the cache, for some, for all."""
    journal.begin(folder)
    mount(made(folder), "size=4m,nr_inodes=2")
    faults, ended = [], set()
    for inodes in range(2, 120, 5):  # more than a failed attempt leaves
        remount(folder / "cache", f"size=4m,nr_inodes={inodes}")
        value, says = run(folder, lambda: Total(1))
        ended.add(says.partition(":")[0])
        if value != expected(1) if not says else "No space left" not in says or str(folder / "cache") not in says:
            faults.append(f"{inodes} inodes: {says or 'a wrong answer'}")
    if ended != {"CacheError", "FailedTaskError", ""}:
        faults.append(f"it always ended in one way: {ended}")
    remount(folder / "cache", "size=4m,nr_inodes=300")
    return faults + repaired(folder)


def read_only_disk(folder: Path) -> list[str]:
    """A complete cache on a disk that is read-only from now on."""
    journal.begin(folder)
    mount(made(folder), "size=4m")
    run(folder, lambda: Total(1))
    remount(folder / "cache", "size=4m", read_only=True)
    return _readable(folder, "Read-only file system")


def no_rights(folder: Path) -> list[str]:
    """A complete cache of somebody else, who lets others read."""
    journal.begin(folder)
    run(folder, lambda: Total(1))
    for path in (folder / "cache").rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    (folder / "cache").chmod(0o555)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    return _readable(folder, "Permission denied")


def _readable(folder: Path, words: str) -> list[str]:
    before = (folder / "journal").read_text()
    with Cache(folder / "cache") as cache:
        task = Total(1)
        values = [task.get_result(), task.run_graph(executor=LocalExecutor())[0], task.run_graph(max_workers=1)[0]]
        faults = [] if values == [expected(1)] * 3 and task.task_is_done() else [f"not read: {values}"]
        faults += [str(found) for found in check(cache.store)]
        if not (task.words.task_directory / "words.txt").read_text():
            faults.append("its files are not read")
        try:
            faults.append(f"it was run: {Noise(1, BIG).run_graph(executor=LocalExecutor())}")
        except (CacheError, FailedTaskError) as error:
            if words not in str(error) or str(folder) not in str(error):
                faults.append(f"{words!r} or the path is missing in: {error}")
        try:
            task.clear_task()
            faults.append("it was cleared")
        except CacheError as error:
            if words not in str(error):
                faults.append(f"{words!r} is missing in: {error}")
    if before != (folder / "journal").read_text():
        faults.append("something was run")
    return faults


class Remover(Task):
    """Removes the cache it runs in, the first time."""

    def __init__(self, path: str):
        self.path = path

    def run_task(self) -> str:
        journal.note("start Remover")
        if journal.counts(Path(os.environ[journal.VARIABLE]))["start Remover"] == 1:
            shutil.rmtree(self.path)
        return "done"


def removed(folder: Path) -> list[str]:
    """The cache is removed while a task runs, inline and in a worker of its own; it is run again there or next time."""
    faults = []
    for number, options in enumerate(({"executor": LocalExecutor()}, {"max_workers": 1})):
        journal.begin(folder / str(number))
        cache = folder / str(number) / "cache"
        cache.mkdir(parents=True)
        for _ in range(2):
            try:
                with Cache(cache):
                    value = Remover(str(cache)).run_graph(**options)[0]  # type: ignore[call-overload]
            except TaskprocError as error:
                value = f"{type(error).__name__}: {error}"
                if str(cache) not in str(error):
                    faults.append(f"no path in: {error}")
        if value != "done":
            faults.append(f"{options}: {value}")
    return faults


TRIALS: dict[str, Callable[[Path], list[str]]] = {
    trial.__name__: trial
    for trial in (file_size_limit, full_disk, no_inodes, read_only_disk, no_rights, removed)
}
