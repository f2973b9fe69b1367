"""Text made safe to print: names, messages and logs come from anywhere, and a terminal obeys control characters.

Control characters, lone surrogates, and characters that change the direction of writing are replaced by the escapes of
Python's literals: `\\x1b`, `\\ud800`, `\\u202e`.
"""
from __future__ import annotations

import os
import re
from collections.abc import Iterable
from itertools import islice

LONGEST = 10_000  # characters of a message that are shown
_WIDTH = 80       # columns of a terminal that does not report them


def printable(text: str) -> str:
    """`text` in one line, with escapes for all characters that are not printable, except tabs."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\t" else repr(char)[1:-1] for char in text)


def printable_lines(text: str) -> str:
    """The same for text with several lines."""
    return "\n".join(map(printable, text.split("\n")))


def shortened(text: str, most: int = LONGEST) -> str:
    """`text`, without its middle if it is too long."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half:,} characters …]\n{text[-half:]}"


def exception_text(error: BaseException) -> str:
    """`str(error)`, or a text in its place if its `__str__` raises."""
    try:
        return str(error)
    except Exception as failure:  # noqa: BLE001  # the user's __str__ may raise anything
        return f"<its __str__ raised {type(failure).__name__}>"


def terminal_width(stream: object) -> int | None:
    """Columns of the terminal behind `stream`, 80 if it does not report them; None if it is not a terminal."""
    try:
        if not stream.isatty():  # type: ignore[attr-defined]  # it may be anything, or None
            return None
        if (columns := os.environ.get("COLUMNS", "")).isdecimal() and int(columns):
            return int(columns)
        return os.get_terminal_size(stream.fileno()).columns or _WIDTH  # type: ignore[attr-defined]  # see above
    except OSError:
        return _WIDTH  # it has no descriptor; that error is a ValueError, too
    except (ValueError, AttributeError):
        return None  # closed


def cut_to(text: str, columns: int | None) -> str:
    """`text`, cut with a `…` if it needs more than `columns` of a terminal; None: no limit."""
    if columns is None or width_of(text) <= columns:
        return text
    while text and width_of(text) >= columns:
        text = text[:-1] if len(text) < 2 * columns else text[: 2 * columns - 1]
    return f"{text.rstrip()}…"


def cut_in_middle(text: str, columns: int) -> str:
    """`text` without its middle if it needs more than `columns` of a terminal: names differ at their ends."""
    length = min(len(text), columns - 1)
    cut = text
    while width_of(cut) > columns and length > 1:
        cut = f"{text[: length - length // 2]}…{text[len(text) - length // 2 :]}"
        length -= 1
    return cut


def width_of(text: str) -> int:
    """Columns of a terminal that a line needs: two for a wide East Asian letter, none for a combining accent."""
    if text.isascii():
        return len(text)
    import unicodedata  # here: few texts need it

    return sum(0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF") for char in text)


def padded(text: str, columns: int) -> str:
    """`text`, filled with spaces to `columns`."""
    return text + " " * (columns - width_of(text))


def counted(count: int, noun: str, nouns: str = "") -> str:
    """`1 task`, `2,000 tasks`.

    Args:
        nouns: the plural, if it is not the noun with an `s`.
    """
    return f"{count:,} {noun if count == 1 else nouns or f'{noun}s'}"


def size_text(size: float) -> str:
    """A number of bytes with at least two significant digits: `999 B`, `120 MB`, `1.2 GB`."""
    amount, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 999.5:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.1f} {unit}" if amount < 9.95 and unit != "B" else f"{amount:,.0f} {unit}"


def did_you_mean(word: str, known: Iterable[str], closeness: float = 0.6) -> str:
    """`. Did you mean 'train'?`, to end a message about an unknown word; empty if no known word is close to it.

    Args:
        closeness: from 0 (all words are close) to 1 (only the word itself is).
    """
    from difflib import SequenceMatcher, get_close_matches  # here: 2 ms, and only for messages about typing errors

    # A module or folder that all names share must not make them close to each other
    near = (close for close in get_close_matches(word, [*known], 5, closeness)
            if SequenceMatcher(None, *_differing(word, close)).ratio() >= closeness)
    return "".join(f". Did you mean {close!r}?" for close in islice(near, 1))


def _differing(one: str, other: str) -> tuple[str, str]:
    """Two names without the modules, folders and suffix that they share; unchanged if nothing of one would be left."""
    left, right = (re.split(r"(?<=[./:])|(?=[.])", name) for name in (one, other))
    while left and right and left[0] == right[0]:
        del left[0], right[0]
    while left and right and left[-1] == right[-1]:
        del left[-1], right[-1]
    return ("".join(left), "".join(right)) if left and right else (one, other)
