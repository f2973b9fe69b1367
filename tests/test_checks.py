"""Tests of the checks of numbers that a user gives."""
from __future__ import annotations

from typing import Any

import pytest

from taskproc.checks import at_least, positive_seconds
from taskproc.errors import OptionError


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, r"jobs must be at least 1, got 0"),
        (-3, r"jobs must be at least 1, got -3"),
        (1.0, r"jobs must be an int, got 1.0 \(float\)"),
        ("2", r"jobs must be an int, got '2' \(str\)"),
        (True, r"jobs must be an int, got True \(bool\)"),
        (None, r"jobs must be an int, got None \(NoneType\)"),
    ],
)
def test_a_wrong_count_is_named(value: object, words: str) -> None:
    """With what it is for, and what it is."""
    with pytest.raises(OptionError, match=words):
        at_least(value, 1, "jobs")


def test_a_count_is_given_back() -> None:
    """The least one, too."""
    assert [1, 10**30] == [at_least(1, 1, "jobs"), at_least(10**30, 1, "jobs")]


@pytest.mark.parametrize("value", [0, -1.0, True, "1", float("nan")])
def test_a_wrong_time_is_named(value: Any) -> None:
    """It is above zero, and a number."""
    with pytest.raises(OptionError, match="timeout must be a number of seconds above zero, got"):
        positive_seconds(value, "timeout")


def test_a_time_may_be_missing() -> None:
    """None stays None; an int becomes a float."""
    assert [None, 2.0] == [positive_seconds(None, "timeout"), positive_seconds(2, "timeout")]
