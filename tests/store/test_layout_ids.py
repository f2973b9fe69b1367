"""Laws of short ids: they tell keys apart, at any length that takes, and lead back to the tasks that they mean."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskproc.store.layout import FEWEST_DIGITS, ShortIds, digits_apart, key_digits, matching_ids

keys = st.text("01", min_size=32, max_size=32)  # of two digits only: many begin alike


@given(st.lists(keys, min_size=1, unique=True))
def test_no_short_id_begins_another_key(some: list[str]) -> None:
    """And there are at least six digits, and no more than it takes."""
    ids = ShortIds(some)

    short = [ids.of(key) for key in some]

    length = len(short[0])
    assert len(ids) == len(set(short)) == len(some)
    assert all(key.startswith(each) and len(each) == length >= FEWEST_DIGITS for key, each in zip(some, short))
    assert length == FEWEST_DIGITS or len({key[: length - 1] for key in some}) < len(some)


def test_a_short_id_that_was_given_stays_true() -> None:
    """It gets longer when a key comes that begins like it; who asks for the new one gets another."""
    ids = ShortIds(["3fa1c2" + "0" * 26])
    assert ids.of("3fa1c2" + "0" * 26) == "3fa1c2"

    assert ids.of("3fa1c2" + "1" * 26) == "3fa1c21"
    assert ids.of("3fa1c2" + "0" * 26) == "3fa1c20"


@given(st.integers(0, (1 << 63) - 1), st.integers(0, 1))
def test_an_id_has_the_first_digits_of_its_key(number: int, bit: int) -> None:
    """All that a folder's name tells."""
    key = f"{number << 1 | bit:016x}" + "0" * 16

    assert int(key[:16], 16) >> 1 == number
    assert key.startswith(key_digits(number))
    assert [number] == matching_ids(str(number), [number]) == matching_ids(key, [number])


def number_of(digits: str) -> int:
    return int(digits.ljust(16, "0"), 16) >> 1


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("90b2d3", ["90b2d3"]),
        ("90B2D3", ["90b2d3"]),
        ("#90b2d3", ["90b2d3"]),
        ("Fit#90b2d3", ["90b2d3"]),
        ("3fa1c2", ["3fa1c27", "3fa1c28"]),
        ("3fa1c27", ["3fa1c27"]),
        ("3fa1c", []),
        ("#", []),
        ("", []),
        ("none", []),
        ("²²²²", []),
    ],
)
def test_which_tasks_a_word_means(word: str, meant: list[str]) -> None:
    """Six digits at least; with or without what stands before them where a task is named."""
    numbers = [number_of(digits) for digits in ("90b2d3", "3fa1c27", "3fa1c28")]

    assert [number_of(digits) for digits in meant] == matching_ids(word, numbers)


def test_digits_alone_may_be_both() -> None:
    """An id and the beginning of a key: then both are meant, and a `#` tells which."""
    one, other = 123456, number_of("123456")

    assert [one, other] == matching_ids("123456", [one, other])
    assert [other] == matching_ids("#123456", [one, other])
    assert [one] == matching_ids(key_digits(one), [one, other])


@given(st.lists(keys, unique=True))
def test_digits_that_tell_apart_are_those_of_short_ids(some: list[str]) -> None:
    """As ShortIds counts them, which keeps all keys."""
    ids = ShortIds(some)

    assert [key[: digits_apart(some)] for key in some] == [ids.of(key) for key in some]
