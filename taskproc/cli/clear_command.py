"""`clear`: remove the results of a class, or of some tasks, and empty the trash."""
from __future__ import annotations

import math
import sys
from argparse import Namespace
from collections.abc import Sequence

from taskproc.cli.cache_output import opened, print_json, suggest
from taskproc.cli.meter import Meter
from taskproc.cli.usage import DONE, UsageError, say, tell
from taskproc.ledger.identifiers import Catalogue
from taskproc.store import layout
from taskproc.store.disk import DiskStore
from taskproc.store.trash import discard, empty_trash
from taskproc.text import counted, printable


def clear_command(given: Namespace) -> int:
    """Remove the results of a class, or of some tasks; none, if an id is unknown.

    Then empty the trash, in which other processes may have left files, too. Without a class or an id, only that.
    """
    store = opened(given.output, writes=True)
    if not given.what:
        if not store.names("trash"):
            raise UsageError("nothing to clear: give the name of a task class, as `list` shows it")
    else:
        _clear(store, given.what, given.as_json)
    empty_trash_and_report(store)
    suggest(given, "du", "shows what is left")
    return DONE


def _clear(store: DiskStore, words: Sequence[str], as_json: bool) -> None:
    """Move the results of a class, or of some tasks, into the trash."""
    catalogue = Catalogue(store)
    folder, tasks = catalogue.choose(words, "; nothing was cleared")
    if not tasks:
        discard(store, folder)
        _report(as_json, layout.folder_task_name(folder), None, len(catalogue.ids[folder]))
    for task in tasks:
        discard(store, task.class_folder, "results", str(task.id))
        _report(as_json, task.name, catalogue.short(task.id), 1)
    sys.stdout.flush()  # this is done; emptying the trash may take long and be interrupted


def _report(as_json: bool, name: str, short: str | None, count: int) -> None:
    """Say what was cleared: one task, or all of a class."""
    if as_json:
        print_json([{"task": name, "id": short, "tasks": count}])
    else:
        tell(f"cleared {printable(name)}" + (f": {counted(count, 'task')}" if short is None else f"#{short}"))


def empty_trash_and_report(store: DiskStore) -> None:
    """Empty the trash of a cache, and show the progress."""
    meter, removed = Meter(), 0

    def note(count: int) -> None:
        nonlocal removed
        removed = count
        meter.show(lambda: f"emptying the trash: {counted(count, 'file')} removed")

    try:
        is_empty = empty_trash(store, seconds=math.inf, tell=note)
    except KeyboardInterrupt:
        meter.wipe()
        say(f"{counted(removed, 'file')} removed from the trash; the next clear removes the rest")
        raise
    meter.wipe()
    if is_empty:
        say(f"emptied the trash: {counted(removed, 'file')} removed")
    elif store.witness.others():
        say("a run may still read the cleared results: they stay in the trash until the next clear")
    else:
        say(f"{counted(removed, 'file')} removed from the trash; some files cannot be removed")
