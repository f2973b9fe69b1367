"""The part of a value that cannot be pickled, and the path to it."""
from __future__ import annotations

import dataclasses
import threading
from typing import Any

import pytest

from taskproc.store.codec import _pickles, unpicklable_part

LOCK = threading.Lock()


@dataclasses.dataclass
class Pair:
    left: object
    right: object = None


class Own:
    """How it is pickled is its own business."""

    def __init__(self, value: object):
        self.value = value

    def __getstate__(self) -> object:
        return {"value": self.value}


class Unshowable(str):
    def __repr__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("value", "way"),
    [
        (LOCK, ""),
        ([1, LOCK], "[1]"),
        ({"a": (0, [LOCK])}, "['a'][1][0]"),
        ({Unshowable("a"): LOCK}, "[<Unshowable>]"),
        ({"x" * 99: LOCK}, f"['{'x' * 38}…]"),
        (Pair(1, {2: Pair(LOCK)}), ".right[2].left"),
    ],
)
def test_the_way_is_as_one_would_write_it(value: object, way: str) -> None:
    """Through dicts, lists, tuples and plain objects."""
    assert (way, LOCK) == unpicklable_part(value, lambda part: _pickles(part, ""))


def test_where_no_part_can_be_told_it_is_the_whole() -> None:
    """What a class pickles in its own way, what is too large to be tried in parts, and what contains itself."""
    itself: list[Any] = [LOCK]
    itself[0] = itself
    for value in (Own(LOCK), [LOCK] * 1001, itself):
        way, part = unpicklable_part(value, lambda part: False)

        assert ("", True) == (way, part is value)
