"""Text that may be shown: names, messages and logs come from anywhere, and a terminal obeys some of what it is given.

Control characters, lone surrogates, and what turns the direction of writing are written out as Python writes them in a
literal: `\\x1b`, `\\ud800`, `\\u202e`.
"""
from __future__ import annotations

LONGEST = 10_000  # characters of a message that are shown


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
