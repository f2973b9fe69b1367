"""Text from anywhere, made harmless to be shown."""
from __future__ import annotations

import pytest

from taskproc.text import LONGEST, printable, printable_lines, shortened, text_of


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, é, 漢字, \U0001f600\tand tabs", "plain, é, 漢字, \U0001f600\tand tabs"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x00\x07\x08\x7f\x9b", r"\x00\x07\x08\x7f\x9b"),
        ("a\r\nb\x0b\x0c\x85\u2028", r"a\r\nb\x0b\x0c\x85\u2028"),
        ("\ud800", r"\ud800"),
        ("\u202egnp.exe\u2066\u200b", r"\u202egnp.exe\u2066\u200b"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text: str, shown: str) -> None:
    """Colours, bells, line breaks, halves of characters, and what turns the direction of writing."""
    assert printable(text) == shown
    assert printable_lines(text) == shown.replace(r"\n", "\n")
    assert printable(text).encode()


def test_a_long_text_loses_its_middle() -> None:
    """Both ends tell more."""
    assert shortened("x" * LONGEST) == "x" * LONGEST
    assert shortened("abcdefgh", 4) == "ab\n[… 4 characters …]\ngh"


def test_an_error_without_words() -> None:
    """Its class may raise what it likes."""

    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    class Number(Exception):
        def __str__(self) -> str:
            return 3  # type: ignore[return-value]

    assert text_of(Silent()) == "<its __str__ raised RuntimeError>"
    assert text_of(Number()) == "<its __str__ raised TypeError>"
    assert text_of(KeyError("a")) == "'a'"
