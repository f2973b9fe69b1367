"""The store in memory, where it differs from a folder."""
from __future__ import annotations

import threading

import pytest
from faults import PLACE, arguments, claimed, facts, newest, publish

from taskproc.errors import MissingResult
from taskproc.kernel.model import Elsewhere
from taskproc.store.base import Store, Version
from taskproc.store.memory import MemoryStore


def test_it_is_a_store() -> None:
    """For type checkers it is one, which mypy proves; here for the names."""
    store: Store = MemoryStore()

    assert all(callable(getattr(store, name)) for name in vars(Store) if not name.startswith("_"))


def test_nothing_is_shared_between_two() -> None:
    """Each has its own results, and does not load the other's."""
    one, other = MemoryStore(), MemoryStore()
    version = publish(one, 1)

    assert [] == list(other.look(PLACE))
    with pytest.raises(MissingResult):
        other.load(version)


def test_one_of_many_threads_computes() -> None:
    """The others find it elsewhere, or published."""
    store = MemoryStore()
    barrier = threading.Barrier(8)
    answers: list[object] = []

    def run() -> None:
        barrier.wait()
        answer = store.claim(PLACE, arguments, newest)
        answers.append(answer)
        if not isinstance(answer, (Version, Elsewhere)):
            answer.commit(1, facts())

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 1 == sum(not isinstance(answer, (Version, Elsewhere)) for answer in answers)
    assert 1 == len(list(store.look(PLACE)))


def test_looking_makes_no_place() -> None:
    """What was only asked for is not listed."""
    store = MemoryStore()
    list(store.look(PLACE))

    assert [] == list(store.places())
    claimed(store)
    assert [(PLACE.name, PLACE.id)] == list(store.places())
