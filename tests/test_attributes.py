"""Tests of attributes that lie in slots."""
from __future__ import annotations

from taskproc.attributes import filled_slots, slots_of


class Base:
    __slots__ = ("__dict__", "__hidden", "open")

    def __init__(self) -> None:
        self.__hidden = 1
        self.shown = self.__hidden


class Inner(Base):
    __slots__ = "left"


def test_slots_have_the_names_that_getattr_finds() -> None:
    """Private ones, too; those of bases follow, and what is a dict or a reference is none."""
    assert ("left", "_Base__hidden", "open") == slots_of(Inner)


def test_only_what_is_filled_counts() -> None:
    """What stands in the dict of the instance does not."""
    inner = Inner()
    inner.left = 2

    assert [("left", 2), ("_Base__hidden", 1)] == list(filled_slots(inner))
