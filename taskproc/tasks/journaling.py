"""The journal of a run of a graph: who runs which task, from where and with which options; see docs/journal.md."""
from __future__ import annotations

import functools
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from taskproc.errors import FailedTaskError, LinkInCache
from taskproc.folders import working_folder
from taskproc.ledger.git_state import DirtyLook, commit_of
from taskproc.ledger.journal_writer import Describe, Journal, open_journal
from taskproc.machine import birth_of, host_name, realm, user_name
from taskproc.store import layout
from taskproc.store.disk import DiskStore
from taskproc.store.layout import Place
from taskproc.store.version import read_head
from taskproc.tasks.naming import arguments_forms
from taskproc.watch.stream import COMMANDS, WORKERS

_LONGEST = 1 << 16  # characters of the arguments
_METADATA = re.compile(r"taskproc-(.+)\.dist-info")


def begin_journal(
    task: Any,
    store: DiskStore,
    run: str,
    totals: Mapping[str, int],
    options: Mapping[str, object],
    describe: Describe,
    *,
    alone: bool,
) -> Journal | None:
    """Open the journal of a run of the entry `task`, or of a tuple of tasks; None if there is to be none.

    Args:
        totals: task class → the number of its tasks.
        options: of the run, ready for JSON.
        describe, alone: see open_journal.
    """
    is_sweep = isinstance(task, tuple)
    first: Any = task[0] if is_sweep else task
    script = getattr(sys.modules.get(type(first).__module__), "__file__", None)
    folder = working_folder() or ""
    script = os.path.join(folder, script) if script else None
    git = commit_of(os.path.dirname(script) if script else folder)
    head = {
        "argv": list(sys.argv),
        "script": script,
        "entry": first._taskproc.place.name,
        "key": None if is_sweep else first._taskproc.place.key,
        "arguments": None if is_sweep else _arguments(first),
        "host": host_name(),
        "user": user_name(),
        "pid": os.getpid(),
        "birth": birth_of(os.getpid()),
        "realm": realm(),
        "cwd": folder or None,
        "commit": git and git[1],
        "dirty": None,
        "versions": _versions(),
        "options": options,
        "tasks": totals,
    }
    journal = open_journal(store, run, head, alone=alone, describe=describe)
    if journal is not None and git is not None:
        journal.on_tick(functools.partial(_look_at_git, DirtyLook(git[0], waits=alone)))
    return journal


def _look_at_git(git: DirtyLook, journal: Journal, is_last: bool) -> None:
    if (dirty := git.look(is_last)) is not None:
        journal.add("git", {"dirty": dirty})


def _arguments(task: Any) -> Mapping[str, object] | None:
    """The arguments in JSON; None if they are too long to be written into each journal."""
    forms = arguments_forms(task._taskproc, type(task).__qualname__)
    return forms if len(json.dumps(forms)) <= _LONGEST else None


@functools.cache
def _versions() -> Mapping[str, str]:
    """Of Python, and of taskproc if it is installed: found by a name, since `importlib.metadata` takes 10 ms."""
    folder = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    try:
        found = next(filter(None, map(_METADATA.fullmatch, os.listdir(folder))), None)
    except OSError:
        found = None
    python = ".".join(map(str, sys.version_info[:3]))
    return {"python": python, **({"taskproc": found[1]} if found else {})}


def described(labels: tuple[str, ...], *, in_process: bool, captures: bool) -> dict[str, object]:
    """What the line of a started task says of where it runs; a process is known only when the task has ended."""
    here = ("thread" if captures else "inline") if in_process else None
    place = "prefix" if COMMANDS in labels else here
    return {"worker": place, "labels": [label for label in labels if label not in (WORKERS, COMMANDS)]}


@contextmanager
def closed_at_end(journal: Journal | None, stats: Callable[[], Mapping[str, object]]) -> Iterator[None]:
    """A block of a run: at its end the journal gets its last line, however it ends. `stats`: the statistics by then."""
    try:
        yield
    except Exception as error:
        # The failures of tasks have lines of their own
        more = {} if isinstance(error, FailedTaskError) else {"error": f"{type(error).__name__}: {error}"[:_LONGEST]}
        if journal is not None:
            journal.close("failed", {**stats(), **more})
        raise
    except BaseException:
        if journal is not None:
            journal.close("interrupted", stats())
        raise
    if journal is not None:
        journal.close("done", stats())


def claimed_by(store: DiskStore, place: Place) -> dict[str, object] | None:
    """Host and process of the run that computes a task now; None if that cannot be found out."""
    try:
        with store.held(*layout.place_levels(place)) as folder:
            claims = layout.numbers(store.files.listdir(folder))["claim"]
            token = str(read_head(_start_of(store, folder, layout.claim_file(claims[0]))).get("token", ""))
        with store.held("run") as folder:
            about = json.loads(_start_of(store, folder, token).partition(b"\n")[2])
        return {"host": about["host"], "pid": about["pid"]}
    except (OSError, LinkInCache, ValueError, KeyError, TypeError, IndexError):
        return None  # it has ended by now


def _start_of(store: DiskStore, folder: Any, name: str) -> bytes:
    handle = store.files.read_only(folder, name)
    try:
        return store.files.read(handle, 4096, 0)
    finally:
        store.files.close(handle)
