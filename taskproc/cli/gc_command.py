"""The command `gc`: shows which results may go, and what it costs to compute them again; deletes with `--yes`."""
from __future__ import annotations

import shlex
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskproc.cli.cache_output import Column, opened, print_json, print_table, seconds_text
from taskproc.cli.clear_command import empty_trash_and_report
from taskproc.cli.meter import Meter
from taskproc.cli.usage import DONE, UsageError, UserError, program, say
from taskproc.errors import TaskprocError
from taskproc.frozen import replace
from taskproc.ledger.argument_texts import last_part
from taskproc.ledger.expiry import (
    OLD,
    UNREACHED,
    Candidate,
    Choice,
    Dropped,
    LiveUse,
    Where,
    candidates,
    choose_expired,
    delete_expired,
)
from taskproc.store import layout
from taskproc.store.disk import DiskStore
from taskproc.text import counted, cut_to, printable, size_text, terminal_width

if TYPE_CHECKING:
    from taskproc.tasks.task import Task


def gc_command(given: Namespace) -> int:
    """`gc -o DIR [SCRIPT …] [--keep-days N] [--max-size SIZE] [--yes]`."""
    scripts = list[str](given.scripts)
    if not scripts and given.keep_days is None and given.max_size is None:
        raise UsageError(
            "nothing says what may be deleted",
            "name the pipelines whose results stay, or give --keep-days or --max-size",
        )
    store = opened(given.output, writes=given.yes)
    reached = _reached(scripts, given.output) if scripts else None
    use = LiveUse(store)
    conditions = {"reached": reached, "keep_days": given.keep_days, "max_size": given.max_size}
    choice = choose_expired(list(_with_progress(store)), **conditions, is_used=use.covers)
    gone = delete_expired(store, choice, use) if given.yes else None
    if given.as_json:
        print_json(_objects(choice, gone))
    else:
        _print_table(choice, gone)
        _print_notes(choice, use)
    if gone is None:
        if choice.dropped and not given.as_json:
            say(f"nothing was deleted; to delete: {_same_command(given)} --yes")
        return DONE
    _report_gone(choice, gone)
    sys.stdout.flush()  # this is done; emptying the trash may take long and be interrupted
    empty_trash_and_report(store)
    return DONE


def _same_command(given: Namespace) -> str:
    days = [] if given.keep_days is None else ["--keep-days", f"{given.keep_days:g}"]
    size = [] if given.max_size is None else ["--max-size", f"{given.max_size}"]
    return f"{program()} gc {shlex.join([*given.scripts, '-o', given.output, *days, *size])}"


def _with_progress(store: DiskStore) -> Iterator[Candidate]:
    meter = Meter()
    yield from candidates(store, lambda count: meter.show(lambda: f"looking: {counted(count, 'task')}"))
    meter.wipe()


def _reached(scripts: Sequence[str], output: str) -> set[Where]:
    """The tasks that the pipelines need, theirs included. Nothing runs."""
    from taskproc.cli.entry_commands import existing  # here and below: only with scripts
    from taskproc.tasks.task_graph import places_of

    with existing(output):
        return places_of(entry_of_words(words, output) for words in scripts)


def entry_of_words(words: str, output: str) -> Task:
    """The entry task that a script with flags of its Main builds: `train.py --lr 0.1`. Build it inside the cache."""
    from taskproc.cli.defaults import populated
    from taskproc.cli.entry_class import load_entry
    from taskproc.cli.options import parse_options

    try:
        target, *flags = shlex.split(words)
    except ValueError as error:
        raise UsageError(f"{words!r} is not a script with flags: {error}") from None
    cls = load_entry(target)
    options = parse_options(target, cls, ["-o", output, *flags], populated())
    try:
        return cls(**options.arguments)
    except TaskprocError:
        raise
    except Exception as error:
        raise UserError from error


@dataclass
class _ClassSum:
    """What goes and stays of one class, or of all."""

    tasks: int = 0
    size: int = 0
    seconds: float = 0.0
    unknown: int = 0
    kept: int = 0
    kept_size: int = 0

    def drop(self, candidate: Candidate) -> None:
        self.tasks += 1
        self.size += candidate.size
        self.seconds += candidate.seconds or 0.0
        self.unknown += candidate.seconds is None

    def keep(self, candidate: Candidate) -> None:
        self.kept += 1
        self.kept_size += candidate.size


def _rows(dropped: Iterable[Candidate], kept: Iterable[Candidate]) -> tuple[dict[str, _ClassSum], _ClassSum]:
    """A row for each class, the one with most bytes to delete first, and the total."""
    rows: dict[str, _ClassSum] = {}
    total = _ClassSum()
    for candidate in dropped:
        rows.setdefault(candidate.folder, _ClassSum()).drop(candidate)
        total.drop(candidate)
    for candidate in kept:
        rows.setdefault(candidate.folder, _ClassSum()).keep(candidate)
        total.keep(candidate)
    ordered = sorted(rows.items(), key=lambda item: (-item[1].size, item[0]))
    return {layout.folder_task_name(folder): row for folder, row in ordered}, total


def _split(choice: Choice, gone: Sequence[Candidate] | None) -> tuple[list[Candidate], list[Candidate]]:
    dropped = [each.candidate for each in choice.dropped] if gone is None else list(gone)
    went = {candidate.where for candidate in dropped}
    others = [each.candidate for each in choice.dropped if each.candidate.where not in went]
    return dropped, [*choice.kept, *choice.used, *others]


_COLUMNS = (
    Column("task", middle=True),
    Column("to delete"),
    Column("size"),
    Column("to compute again", rank=3),
    Column("stay", rank=1),
    Column("size", rank=2),
)


def _print_table(choice: Choice, gone: Sequence[Candidate] | None) -> None:
    rows, total = _rows(*_split(choice, gone))
    columns = [column if gone is None or column.title != "to delete" else replace(column, title="deleted")
               for column in _COLUMNS]  # fmt: skip
    print_table(columns, [*(_cells(printable(name), row) for name, row in rows.items()), _cells("in all", total)])


def _cells(name: str, row: _ClassSum) -> tuple[str, ...]:
    stay = (f"{row.kept:,}", size_text(row.kept_size)) if row.kept else ("-", "-")
    if not row.tasks:
        return name, "-", "-", "-", *stay
    again = seconds_text(row.seconds) + f" + {row.unknown:,} unknown" * bool(row.unknown)
    return name, f"{row.tasks:,}", size_text(row.size), again, *stay


def _objects(choice: Choice, gone: Sequence[Candidate] | None) -> Iterator[dict[str, object]]:
    """One for each class, then the total."""
    rows, total = _rows(*_split(choice, gone))
    for folder in (candidate.folder for candidate in _first_of_classes(choice)):
        name = layout.folder_task_name(folder)
        part = replace(
            choice,
            dropped=[dropped for dropped in choice.dropped if dropped.candidate.folder == folder],
            used=[candidate for candidate in choice.used if candidate.folder == folder],
        )
        yield {"kind": "class", "task": name, **_fields(rows[name], part, gone is not None), "excess": None}
    yield {"kind": "total", "task": None, **_fields(total, choice, gone is not None), "excess": choice.excess}


def _first_of_classes(choice: Choice) -> list[Candidate]:
    """A task of each class, in the order of the names."""
    candidates = [*(dropped.candidate for dropped in choice.dropped), *choice.kept, *choice.used]
    return sorted({candidate.folder: candidate for candidate in candidates}.values())


def _fields(row: _ClassSum, choice: Choice, deleted: bool) -> dict[str, object]:
    loss = choice.largest_loss
    return {
        "deleted": deleted,
        "tasks": row.tasks,
        "bytes": row.size,
        "seconds": row.seconds,
        "unknown": row.unknown,
        "why": dict(Counter(dropped.why for dropped in choice.dropped)),
        "largest_loss": None if loss is None else _loss(loss),
        "stay": row.kept,
        "stay_bytes": row.kept_size,
        "used": len(choice.used),
    }


def _loss(dropped: Dropped) -> dict[str, object]:
    candidate = dropped.candidate
    return {"task": layout.folder_task_name(candidate.folder), "id": layout.key_digits(candidate.id),
            "seconds": candidate.seconds}  # fmt: skip


def _print_notes(choice: Choice, use: LiveUse) -> None:
    """Why tasks go, the largest loss, and what cannot go."""
    for why, count in Counter(dropped.why for dropped in choice.dropped).items():
        _note(f"{counted(count, 'task')}: {_REASONS.get(why, why)}")
    loss = choice.largest_loss
    if loss is not None and loss.candidate.seconds:
        name, digits = layout.folder_task_name(loss.candidate.folder), layout.key_digits(loss.candidate.id)[:8]
        again = seconds_text(loss.candidate.seconds)
        _note(f"the largest loss: {printable(last_part(name))}#{digits}, {again} to compute again")
    if choice.used:
        live = counted(len(use.runs), "living run")
        _note(f"{counted(len(choice.used), 'more task')} may be used by {live}, and stay")
    if choice.excess:
        _note(f"{size_text(choice.excess)} more than --max-size stay: the other results may not go")


def _note(text: str) -> None:
    say(cut_to(text, terminal_width(sys.stderr)))


_REASONS = {UNREACHED: "none of the pipelines reaches them", OLD: "they are older than --keep-days"}


def _report_gone(choice: Choice, gone: Sequence[Candidate]) -> None:
    stayed = len(choice.dropped) - len(gone)
    if stayed:
        say(f"{counted(stayed, 'task')} stayed: a run has begun to use them, or they cannot be moved")
