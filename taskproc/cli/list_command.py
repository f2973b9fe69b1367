"""`list`: the classes of a cache, or its tasks with their arguments, states, times and sizes. It loads no result."""
from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence

from taskproc.cli.cache_output import (
    Column,
    amount_text,
    opened,
    print_json,
    print_table,
    seconds_text,
    suggest,
    time_text,
)
from taskproc.cli.usage import DONE, UsageError, say
from taskproc.frozen import replace
from taskproc.ledger.entries import FIELDS, Entry, entries
from taskproc.ledger.identifiers import Catalogue
from taskproc.ledger.sizes import ClassUsage, class_usages
from taskproc.ledger.task_calls import LONGEST
from taskproc.ledger.wanted import WantedArguments
from taskproc.store.disk import DiskStore
from taskproc.text import printable

_WHOLE = 1_000  # characters of a task among the arguments, where lines are not cut
_CLASS_COLUMNS = (Column("task"), Column("results"), Column("seconds", rank=2), Column("size", rank=3),
                  Column("newest", left=True, rank=1))  # fmt: skip
_TASK_COLUMNS = (
    Column("id"), Column("task", left=True), Column("state", left=True, rank=4), Column("when", rank=3),
    Column("seconds", rank=5), Column("peak", rank=1), Column("size", rank=2),
    Column("arguments", left=True, middle=True),
)  # fmt: skip
_CLASS_ORDER: Mapping[str, Callable[[ClassUsage], object]] = {
    "name": lambda usage: usage.task,
    "seconds": lambda usage: -usage.seconds,
    "size": lambda usage: -usage.bytes,
    "when": lambda usage: -usage.newest,
    "peak": lambda usage: -(usage.peak or 0),
}
_TASK_ORDER: Mapping[str, Callable[[Entry], object]] = {
    "name": lambda entry: (entry.task, list(entry.arguments.items())),
    "seconds": lambda entry: -(entry.seconds or 0.0),
    "size": lambda entry: -entry.bytes,
    "when": lambda entry: -entry.when,
    "peak": lambda entry: -(entry.peak_memory or 0),
}


def list_command(given: Namespace) -> int:
    """A line per task class; with a class or a condition, a line per task, newest first."""
    store = opened(given.output)
    words = [word for word in given.what if "=" not in word]
    conditions = [*given.where, *(word for word in given.what if "=" in word)]
    if len(words) > 1:
        raise UsageError(f"list takes one task class, got {' '.join(words)}", hint="`show ID` shows a task")
    if words or conditions or given.failed or given.since is not None or given.script:
        return _list_tasks(given, store, words, conditions)
    return _list_classes(given, store)


def _list_classes(given: Namespace, store: DiskStore) -> int:
    usages = class_usages(store, costs=True)
    if given.sort:
        usages.sort(key=_CLASS_ORDER[given.sort])  # type: ignore[arg-type]  # all of one kind of text or number
    if given.as_json:
        print_json(class_fields(usage) for usage in usages)
    else:
        print_table(_CLASS_COLUMNS, [_class_row(usage) for usage in usages], whole=given.wide)
    _report_links(store)
    if usages:
        largest = max(usages, key=lambda usage: usage.tasks)
        suggest(given, f"list {printable(largest.task)}", "shows its tasks")
    return DONE


def class_fields(usage: ClassUsage) -> dict[str, object]:
    """What `--json` gives for a class."""
    return {
        "task": usage.task,
        "results": usage.tasks,
        "seconds": round(usage.seconds, 6),
        "bytes": usage.bytes,
        "newest": usage.newest or None,
    }


def _class_row(usage: ClassUsage) -> tuple[str, ...]:
    seconds = seconds_text(usage.seconds if usage.tasks else None)
    return printable(usage.task), f"{usage.tasks:,}", seconds, amount_text(usage.bytes), time_text(usage.newest)


def _report_links(store: DiskStore) -> None:
    """Report links: the folders behind them are not listed."""
    names = [name for name in store.files.listdir(store.root) if store.files.kind(store.root, name) == "link"]
    if names:
        say(f"not followed: {', '.join(sorted(names))} ({'a link' if len(names) == 1 else 'links'})")


def _list_tasks(given: Namespace, store: DiskStore, words: Sequence[str], conditions: Sequence[str]) -> int:
    catalogue = Catalogue(store)
    shown = entries(
        store,
        words[0] if words else None,
        where=WantedArguments({}, dict(condition.split("=", 1) for condition in conditions)),
        failed=given.failed,
        since=given.since,
        catalogue=catalogue,
        longest=_WHOLE if given.wide else LONGEST,
    )
    if given.script:
        reasons = _reasons(given.script, given.output)
        shown = [replace(entry, state="stale", error=reasons[entry.key])
                 if entry.state == "good" and entry.key in reasons else entry for entry in shown]  # fmt: skip
    if given.sort:
        shown.sort(key=_TASK_ORDER[given.sort])  # type: ignore[arg-type]  # as above
    if given.as_json:
        print_json(entry_fields(entry) for entry in shown)
        return DONE
    if not shown:
        say("no task fits")
        return DONE
    _print_tasks(shown, one_class=bool(words), wide=given.wide)
    suggest(given, f"show {shown[0].id}", "shows all that is known of the first one")
    return DONE


def _reasons(script: str, output: str) -> dict[str, str]:
    """The key of each task of a script that would run, and why. Nothing runs."""
    from taskproc.cli.entry_commands import existing  # here and below: only with a script
    from taskproc.cli.gc_command import entry_of_words
    from taskproc.tasks.inspection import preview
    from taskproc.tasks.running import plan_work

    with existing(output):
        return {key: reason.text for key, reason in preview(plan_work(entry_of_words(script, output)))}


def entry_fields(entry: Entry) -> dict[str, object]:
    """What `--json` gives for a task."""
    fields = {name: getattr(entry, name) for name in FIELDS}
    return {**fields, "arguments": dict(entry.arguments), "attempt": entry.attempt, "versions": list(entry.versions)}


def _print_tasks(shown: Sequence[Entry], *, one_class: bool, wide: bool) -> None:
    shared = _shared_arguments(shown)
    rows = [_task_row(entry, shared, wide) for entry in shown]
    columns = list(_TASK_COLUMNS)
    if one_class:
        columns.pop(1)
        rows = [[cell for place, cell in enumerate(row) if place != 1] for row in rows]
    print_table(columns, rows, whole=wide)


def _task_row(entry: Entry, shared: frozenset[str], wide: bool) -> list[str]:
    """Arguments in which the tasks differ come first, so that a line that is cut still identifies its task."""
    names = sorted(entry.arguments, key=lambda name: name in shared)
    arguments = ", ".join(f"{name}={entry.arguments[name]}" for name in names)
    error = f"  # {printable(entry.error)}" if entry.error else ""
    return [
        entry.id,
        printable(entry.task),
        entry.state,
        time_text(entry.when, whole=wide),
        seconds_text(entry.seconds),
        amount_text(entry.peak_memory),
        amount_text(entry.bytes),
        arguments + error,
    ]


def _shared_arguments(shown: Sequence[Entry]) -> frozenset[str]:
    """Names of the arguments that are equal in all tasks."""
    if len(shown) < 2:
        return frozenset()
    first, *others = (entry.arguments for entry in shown)
    return frozenset(name for name in first if all(each.get(name) == first[name] for each in others))
