"""Text from anywhere, made harmless to be shown."""
from __future__ import annotations

import io
import os
import sys

import pytest

from taskproc.text import (
    LONGEST,
    cut_to,
    did_you_mean,
    exception_text,
    padded,
    printable,
    printable_lines,
    shortened,
    size_text,
    terminal_width,
    width_of,
)


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

    assert exception_text(Silent()) == "<its __str__ raised RuntimeError>"
    assert exception_text(Number()) == "<its __str__ raised TypeError>"
    assert exception_text(KeyError("a")) == "'a'"


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("abc", None, "abc"),
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("ab cd", 4, "ab…"),
        ("漢字", 4, "漢字"),
        ("漢字", 3, "漢…"),
        ("e\u0301e\u0301", 2, "e\u0301e\u0301"),
        ("x" * 10_000, 5, "xxxx…"),
    ],
)
def test_a_line_is_cut_to_columns(text: str, columns: int | None, shown: str) -> None:
    """As a terminal counts them, and with a sign that there was more."""
    assert cut_to(text, columns) == shown
    assert columns is None or width_of(cut_to(text, columns)) <= columns


def test_a_text_is_filled_up_to_columns() -> None:
    """So that what stands behind it begins in one column."""
    assert padded("漢", 4) == "漢  "
    assert padded("abcdef", 4) == "abcdef"


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_the_width_is_that_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's, the terminal's, or 80; what is no terminal has none, whatever the user says."""
    monkeypatch.delenv("COLUMNS", raising=False)
    closed = Terminal()
    closed.close()
    assert terminal_width(Terminal()) == 80
    assert [terminal_width(stream) for stream in (io.StringIO(), None)] == [None, None]
    monkeypatch.setenv("COLUMNS", "33")
    assert (terminal_width(Terminal()), terminal_width(io.StringIO())) == (33, None)
    monkeypatch.setenv("COLUMNS", "0")
    assert terminal_width(Terminal()) == 80


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_a_terminal_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not another one that standard output may be."""
    import fcntl
    import struct
    import termios

    monkeypatch.delenv("COLUMNS", raising=False)
    main, far = os.openpty()
    with os.fdopen(main, "rb"), os.fdopen(far, "w") as stream:
        fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 47, 0, 0))
        assert terminal_width(stream) == 47


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_600, "1.0 MB"), (87_600_000, "88 MB"), (1.5e9, "1.5 GB"),
     (2e15, "2,000 TB")],
)
def test_sizes_have_two_digits_that_count(size: float, text: str) -> None:
    """In units of a thousand."""
    assert text == size_text(size)


def test_a_slip_is_guessed() -> None:
    """What is closest, as a sentence to follow another; nothing where nothing is close enough."""
    assert did_you_mean("trian", ["test", "train"]) == ". Did you mean 'train'?"
    assert did_you_mean("zzz", ["test", "train"]) == did_you_mean("trian", []) == ""
    assert did_you_mean("trian", ["train"], closeness=0.9) == ""


def test_a_slip_is_guessed_by_where_names_differ() -> None:
    """What all names of a module, a folder, or of files have in common makes none close to another."""
    assert did_you_mean("pk.s.Src", ["pk.s.Bad", "pk.s.Srcs"]) == ". Did you mean 'pk.s.Srcs'?"
    assert did_you_mean("pk.s.Src", ["pk.s.Bad"]) == did_you_mean("x.py", ["a.py"]) == ""
    assert did_you_mean("study/models/x.py", ["study/models/y.py"]) == ""
    assert did_you_mean("pkg/nod.py", ["pkg/mod.py"]) == ". Did you mean 'pkg/mod.py'?"
    assert did_you_mean("pgk.mod", ["pkg.mod"]) == ". Did you mean 'pkg.mod'?"
    assert did_you_mean("train.p", ["train.py"]) == ". Did you mean 'train.py'?"
