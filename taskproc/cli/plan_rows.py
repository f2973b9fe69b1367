"""What `plan` and `why` share: lines cut to the terminal, tables that give up columns, JSON rows, the next command."""
from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from taskproc.cli.options import Options
from taskproc.ledger.estimates import Estimate
from taskproc.text import cut_in_middle, cut_to, padded, printable, size_text, width_of
from taskproc.watch.standing import duration

_SHORTEST = 8  # columns that the name in a table has in any case


class ForecastColumn(NamedTuple):
    """A column of a table.

    Attributes:
        head: its first line.
        cells: one for each row.
        rank: columns with the highest rank are left out first if the table is too wide; 0 stays.
    """

    head: str
    cells: Sequence[str]
    rank: int = 0


def table_lines(name: ForecastColumn, columns: Sequence[ForecastColumn], width: int | None) -> list[str]:
    """A table with a head. The names lose their middle, and columns are left out, until it fits into `width`."""
    chosen = [column for column in columns if any(cell not in ("", "-") for cell in column.cells)]
    widest = max(map(width_of, [name.head, *name.cells]))
    while True:
        sizes = [max(map(width_of, [column.head, *column.cells])) for column in chosen]
        room = widest if width is None else width - 2 - sum(sizes) - 2 * len(sizes)
        last = max(chosen, key=lambda column: column.rank, default=None)
        if room >= min(widest, 2 * _SHORTEST) or last is None or not last.rank:
            break
        chosen.remove(last)
    shown = min(widest, max(room, _SHORTEST))
    names = [padded(cut_in_middle(printable(text), shown), shown) for text in (name.head, *name.cells)]
    cells = zip(*([column.head, *column.cells] for column in chosen)) if chosen else [()] * len(names)
    return [_indented(f"{text}  {'  '.join(map(str.rjust, row, sizes))}", width) for text, row in zip(names, cells)]


def _indented(line: str, width: int | None) -> str:
    return cut_to(f"  {line.rstrip()}", width)


def cut_lines(lines: Iterable[str], width: int | None) -> list[str]:
    """The lines, each cut to `width`."""
    return [cut_to(printable(line), width) for line in lines]


def likely_time(estimate: Estimate | None) -> str:
    """`3 min 20 s`; `-` if it is unknown, `12 ms` if it is short."""
    return "-" if estimate is None else short_duration(estimate.likely)


def short_duration(seconds: float) -> str:
    """As `duration`, with milliseconds below a tenth of a second."""
    if not seconds:
        return "0 s"
    return f"{max(1, round(seconds * 1000))} ms" if seconds < 0.1 else duration(seconds)


def range_text(estimate: Estimate | None) -> str:
    """`2.0 s to 4.0 s`."""
    return "-" if estimate is None else f"{short_duration(estimate.low)} to {short_duration(estimate.high)}"


def likely_size(estimate: Estimate | None) -> str:
    """`1.2 MB`."""
    return "-" if estimate is None else size_text(estimate.likely)


def estimate_json(estimate: Estimate | None) -> dict[str, float] | None:
    """The three figures, rounded to microseconds or whole bytes."""
    if estimate is None:
        return None
    return {name: round(getattr(estimate, name), 6) for name in ("likely", "low", "high")}


def next_command(command: str, options: Options, *more: str) -> str:
    """A command for the same script and cache, as one would type it."""
    prog, target = options.program or "python -m taskproc", options.script or "SCRIPT"
    return f"{prog} {command} {' '.join(map(shlex.quote, [target, *more, '-o', options.output]))}"
