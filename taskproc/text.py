"""Text that may be shown: names, messages and logs come from anywhere, and a terminal obeys some of what it is given.

Control characters, lone surrogates, and what turns the direction of writing are written out as Python writes them in a
literal: `\\x1b`, `\\ud800`, `\\u202e`.
"""
from __future__ import annotations

import os
import re
from collections.abc import Iterable
from itertools import islice

LONGEST = 10_000  # characters of a message that are shown
_WIDTH = 80       # of a terminal that does not say


def printable(text: str) -> str:
    """`text` in one line, with what a terminal would obey, or UTF-8 cannot say, as escapes; tabs are kept."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each == "\t" else repr(each)[1:-1] for each in text)


def printable_lines(text: str) -> str:
    """The same, with its line breaks."""
    return "\n".join(map(printable, text.split("\n")))


def shortened(text: str, most: int = LONGEST) -> str:
    """`text`, without its middle if it is too long: the ends tell more."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half:,} characters …]\n{text[-half:]}"


def text_of(error: BaseException) -> str:
    """`str(error)`, whatever its class does then."""
    try:
        return str(error)
    except Exception as failure:  # noqa: BLE001  # any user's __str__ may raise anything
        return f"<its __str__ raised {type(failure).__name__}>"


def terminal_width(stream: object) -> int | None:
    """Columns of the terminal that `stream` leads to, 80 if it does not say; None: it is none, but a file or a pipe."""
    try:
        if not stream.isatty():  # type: ignore[attr-defined]  # it may be anything, or None
            return None
        if (columns := os.environ.get("COLUMNS", "")).isdecimal() and int(columns):
            return int(columns)
        return os.get_terminal_size(stream.fileno()).columns or _WIDTH  # type: ignore[attr-defined]  # see above
    except OSError:
        return _WIDTH  # it has no descriptor, which is a ValueError, too
    except (ValueError, AttributeError):
        return None  # closed


def cut_to(text: str, columns: int | None) -> str:
    """`text`, as far as so many columns take it, with a `…` for the rest; None: as many as it likes."""
    if columns is None or width_of(text) <= columns:
        return text
    while text and width_of(text) >= columns:
        text = text[:-1] if len(text) < 2 * columns else text[: 2 * columns - 1]
    return f"{text.rstrip()}…"


def cut_in_middle(text: str, columns: int) -> str:
    """`text` without its middle, if it takes more than `columns` of a terminal: names differ at their ends."""
    length = min(len(text), columns - 1)
    cut = text
    while width_of(cut) > columns and length > 1:
        cut = f"{text[: length - length // 2]}…{text[len(text) - length // 2 :]}"
        length -= 1
    return cut


def width_of(text: str) -> int:
    """How many columns a terminal takes for a line: two for a letter of East Asia, none for an accent of its own."""
    if text.isascii():
        return len(text)
    import unicodedata  # here: for few texts

    return sum(0 if unicodedata.combining(each) else 1 + (unicodedata.east_asian_width(each) in "WF") for each in text)


def padded(text: str, columns: int) -> str:
    """`text` with spaces behind it up to so many columns."""
    return text + " " * (columns - width_of(text))


def counted(count: int, noun: str, nouns: str = "") -> str:
    """`1 task`, `2,000 tasks`.

    Args:
        nouns: the plural, where it is not an `s` more.
    """
    return f"{count:,} {noun if count == 1 else nouns or f'{noun}s'}"


def size_text(size: float) -> str:
    """`999 B`, `120 MB`, `1.2 GB`: with at least two digits that count."""
    amount, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 999.5:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.1f} {unit}" if amount < 9.95 and unit != "B" else f"{amount:,.0f} {unit}"


def did_you_mean(word: str, known: Iterable[str], closeness: float = 0.6) -> str:
    """`. Did you mean 'train'?`, to follow a message about a word that is not known; empty if none is close to it.

    Args:
        closeness: from 0 (all are close) to 1 (only the word itself is).
    """
    from difflib import SequenceMatcher, get_close_matches  # here: 2 ms, for those who have mistyped

    # What all names of a module or a folder have in common makes none of them close to another
    near = (close for close in get_close_matches(word, [*known], 5, closeness)
            if SequenceMatcher(None, *_differing(word, close)).ratio() >= closeness)
    return "".join(f". Did you mean {close!r}?" for close in islice(near, 1))


def _differing(one: str, other: str) -> tuple[str, str]:
    """Two names without the modules, folders and suffix that they share; whole if nothing else is left of one."""
    left, right = (re.split(r"(?<=[./:])|(?=[.])", name) for name in (one, other))
    while left and right and left[0] == right[0]:
        del left[0], right[0]
    while left and right and left[-1] == right[-1]:
        del left[-1], right[-1]
    return ("".join(left), "".join(right)) if left and right else (one, other)
