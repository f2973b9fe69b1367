"""What became of attempts, and which of them people ask for."""
from __future__ import annotations

from faults import PLACE, Runs, arguments, claimed, facts, newest, place_of, publish

from taskproc.store import layout
from taskproc.store.disk import DiskStore
from taskproc.store.version import Version


def number(store: DiskStore) -> int:
    """Of the newest attempt that ran."""
    if not place_of(store).exists():
        return 0
    with store.held(*layout.place_levels(PLACE)) as folder:
        return store.newest_attempt(folder, store.files.listdir(folder))


def test_the_newest_attempt_is_one_that_ran(runs: Runs) -> None:
    """It runs, has published, has failed, or went bad; one that was not needed did not run."""
    store = runs.begin()
    seen = [number(store)]
    attempt = claimed(store)
    seen.append(number(store))
    attempt.commit(1, facts())
    assert isinstance(store.claim(PLACE, arguments, newest), Version)
    seen.append(number(store))
    claimed(store).fail({"error": "no"})
    seen.append(number(store))
    publish(store, 2)
    (place_of(store) / "result.4.pkl.gz").rename(place_of(store) / "bad.4")

    assert [0, 1, 1, 3, 4] == [*seen, number(store)]


def test_one_that_failed_without_a_word_may_have_printed(runs: Runs) -> None:
    """The disk was full: there was no room for the error, and a log is there."""
    store = runs.begin()
    claimed(store).not_needed()
    silent = number(store)
    attempt = claimed(store)
    attempt.log("stderr").write_text("no space")
    attempt.not_needed()

    assert [0, 2] == [silent, number(store)]
