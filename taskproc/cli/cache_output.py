"""What the commands that look at a cache share: opening it, tables that fit the terminal, JSON, and what to do next."""
from __future__ import annotations

import json
import shlex
import sys
import time
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from taskproc.cli.cache_folder import default_folder
from taskproc.cli.usage import UsageError, program, say, tell
from taskproc.errors import CacheError
from taskproc.folders import absolute_path
from taskproc.frozen import frozen, replace
from taskproc.store.cache import is_cache, prepare_cache
from taskproc.store.disk import DiskStore
from taskproc.store.folder import refuse_links
from taskproc.store.rules import checked_rules
from taskproc.streams import is_terminal
from taskproc.text import cut_in_middle, cut_to, padded, printable, size_text, terminal_width, width_of
from taskproc.watch.standing import duration

VERSION = 1  # of the objects of --json; see docs/json.md
NEVER = "-"
_ROOM = 24  # columns of a terminal that the last column should have
_SHORTEST = 8


def opened(path: str, *, writes: bool = False) -> DiskStore:
    """The store of an existing cache. Raises UsageError if there is none.

    Args:
        writes: refuse a cache that contains links.
    """
    root = absolute_path(path, CacheError)
    if not is_cache(path):
        raise UsageError(f"no cache at {path!r}")
    rules = checked_rules("result", 0, None, False)
    if writes:
        refuse_links(Path(root))
        rules = replace(rules, refusal=prepare_cache(Path(root)))
    return DiskStore(root, rules=rules)


def print_json(objects: Iterable[Mapping[str, object]]) -> None:
    """Print each object in a line; its first field is the version of the format."""
    for fields in objects:
        tell(json.dumps({"v": VERSION, **fields}, default=str))


def tell_lines(lines: Iterable[str]) -> None:
    """Print lines, each cut to the width of the terminal; whole in a pipe."""
    width = terminal_width(sys.stdout)
    tell("\n".join(cut_to(printable(line), width) for line in lines))


def suggest(given: Namespace, words: str, effect: str) -> None:
    """Show the command that a person would want next, on standard error, if the output was read on a terminal.

    Args:
        words: of the command, without the program and the cache folder.
        effect: what it does, to follow the command.
    """
    if given.as_json or not is_terminal(sys.stdout):
        return
    sys.stdout.flush()
    folder = "" if given.output == default_folder() else f" -o {shlex.quote(given.output)}"
    say(f"\nhint: `{program()} {words}{folder}` {effect}")


@frozen
class Column:
    """A column of a table.

    Attributes:
        left: whether it is left-aligned, as the first one is.
        middle: whether long texts in the last column lose their middle rather than their end.
        rank: of the columns that a narrow terminal does not show, the lowest go first; 0: it is always shown.
    """

    title: str
    left: bool = False
    middle: bool = False
    rank: int = 0


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, whole: bool = False) -> None:
    """Print a table. On a terminal, columns are left out and lines are cut so that they fit; never in a pipe.

    Args:
        whole: cut nothing.
    """
    width = None if whole else terminal_width(sys.stdout)
    table = [[column.title for column in columns], *rows]
    widths = [max(width_of(row[place]) for row in table) for place in range(len(columns))]
    shown = list(range(len(columns)))
    while width is not None and (narrow := _least(columns, shown)) is not None:
        if sum(widths[place] + 2 for place in shown[:-1]) + min(_ROOM, widths[-1]) <= width:
            break
        shown.remove(narrow)
    for row in table:
        *cells, last = _cells(columns, widths, shown, row)
        line = "".join(f"{cell}  " for cell in cells)
        if width is not None and columns[-1].middle and width - len(line) >= _SHORTEST:
            last = cut_in_middle(last, width - width_of(line))
        tell(cut_to(f"{line}{last}".rstrip(), width))


def _least(columns: Sequence[Column], shown: Sequence[int]) -> int | None:
    ranked = [place for place in shown if columns[place].rank]
    return min(ranked, key=lambda place: columns[place].rank) if ranked else None


def _cells(columns: Sequence[Column], widths: Sequence[int], shown: Sequence[int], row: Sequence[str]) -> list[str]:
    cells = []
    for place in shown:
        text = row[place]
        is_left = columns[place].left or place == 0
        if place != shown[-1] or not is_left:
            text = padded(text, widths[place]) if is_left else " " * (widths[place] - width_of(text)) + text
        cells.append(text)
    return cells


def time_text(when: float | None, *, whole: bool = True) -> str:
    """Local date and time to the minute, `-` for never.

    Args:
        whole: else only the time for a moment of today, and only the date for others.
    """
    if not when:
        return NEVER
    then = time.localtime(when)
    if whole:
        return time.strftime("%Y-%m-%d %H:%M", then)
    return time.strftime("%H:%M" if then[:3] == time.localtime()[:3] else "%Y-%m-%d", then)


def seconds_text(seconds: float | None) -> str:
    """A duration; `-` if it is not known, and milliseconds where tenths say nothing."""
    if seconds is None:
        return NEVER
    return f"{seconds * 1000:.0f} ms" if seconds < 0.0995 else duration(seconds)


def amount_text(size: int | None) -> str:
    """A number of bytes; `-` if it is not known."""
    return NEVER if size is None else size_text(size)
