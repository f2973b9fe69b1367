"""One listing of a class tells which of its tasks have no folder."""
from __future__ import annotations

from typing import Any

import pytest
from faults import PLACE, Hooked, Runs, publish

from taskproc.store.disk import DiskStore
from taskproc.store.index import Listing
from taskproc.store.layout import Place


class Counting(Hooked):
    """Counts the listings."""

    def __init__(self) -> None:
        super().__init__()
        self.listings = 0

    def before(self, operation: str, arguments: tuple[Any, ...]) -> None:
        self.listings += operation == "few"


def place(number: int, name: str = PLACE.name) -> Place:
    return Place(name, number, f"{number:064d}")


@pytest.fixture
def store(runs: Runs) -> DiskStore:
    """One with the results 1 and 2."""
    writer = runs.begin()
    for number in (1, 2):
        publish(writer, number, place(number))
    return DiskStore(runs.root, files=Counting())


def missed(listing: Listing, count: int) -> list[bool]:
    """Whether each of so many looks in vain could have been left out."""
    told = []
    for number in range(100, 100 + count):
        told.append(listing.lacks(place(number)))
        listing.missed(place(number))
    return told


def test_it_tells_what_is_not_there(store: DiskStore) -> None:
    """After some looks in vain, for all that come; not what has a folder, and not of other classes."""
    listing = Listing(store, 10)

    assert [*[False] * 8, True, True] == missed(listing, 10)
    assert [False, False, True] == [listing.lacks(place(number)) for number in (1, 2, 3)]
    assert not listing.lacks(place(3, "module.Other"))


def test_of_a_class_that_is_new(store: DiskStore) -> None:
    """It has no folder, so nothing has."""
    listing = Listing(store, 10)
    for number in range(8):
        listing.missed(place(number, "module.New"))

    assert listing.lacks(place(1, "module.New"))


def test_a_class_is_listed_once(store: DiskStore) -> None:
    """However many are not there."""
    missed(Listing(store, 10), 100)

    assert isinstance(store.files, Counting)
    assert 1 == store.files.listings


def test_a_class_of_many_is_not_listed(runs: Runs, store: DiskStore) -> None:
    """A run over few tasks does not pay for all that others have kept there."""
    writer = runs.begin()
    for number in range(3, 6):
        publish(writer, number, place(number))

    assert [False] * 20 == missed(Listing(store, 1), 20)
