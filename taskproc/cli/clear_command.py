"""`clear`: remove the results of a class, or of some tasks, and empty the trash."""
from __future__ import annotations

import math
import sys
from argparse import Namespace
from collections.abc import Sequence

from taskproc.cli.cache_output import opened
from taskproc.cli.meter import Meter
from taskproc.cli.usage import DONE, UsageError, say, tell
from taskproc.ledger.identifiers import Catalogue
from taskproc.store import layout
from taskproc.store.disk import DiskStore
from taskproc.store.trash import discard, empty_trash
from taskproc.text import counted, printable


def clear_command(given: Namespace) -> int:
    """`clear -o DIR NAME [ID …]`: remove the results of a class, or of some of its tasks; none, if an id is unknown.

    Then empty the trash, in which other processes may have left files, too. Without a name, only that.
    """
    store = opened(given.output, writes=True)
    if not given.what:
        if not store.names("trash"):
            raise UsageError("nothing to clear: give the name of a task class, as `list` shows it")
    else:
        _clear(store, given.what)
    _empty_trash(store)
    return DONE


def _clear(store: DiskStore, words: Sequence[str]) -> None:
    """Move the results of a class, or of some tasks, into the trash."""
    catalogue = Catalogue(store)
    folder, tasks = catalogue.choose(words, "; nothing was cleared")
    if not tasks:
        discard(store, folder)
        name = printable(layout.folder_task_name(folder))
        tell(f"cleared {name}: {counted(len(catalogue.ids[folder]), 'task')}")
    for task in tasks:
        discard(store, task.class_folder, "results", str(task.id))
        tell(f"cleared {printable(task.name)}#{catalogue.short(task.id)}")
    sys.stdout.flush()  # this is done; emptying the trash may take long and be interrupted


def _empty_trash(store: DiskStore) -> None:
    """Empty the trash and report the progress."""
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
