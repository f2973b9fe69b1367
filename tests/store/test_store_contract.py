"""What a store promises to those who know nothing of its files."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from faults import OTHER, PLACE, Runs, arguments, claimed, facts, newest, nothing, publish

from taskproc.errors import MissingResult, UnstorableResult
from taskproc.kernel.model import Elsewhere, Stamp
from taskproc.store.layout import Place
from taskproc.store.version import Version

NEW_RUN = Callable[[], Any]


@pytest.fixture
def new_run(runs: Runs) -> NEW_RUN:
    """Gives what another run sees of one store."""
    return runs.begin


def numbers(store: Any, place: Place = PLACE) -> list[int]:
    return [version.record.number for version in store.look(place)]


def test_an_unknown_place_is_empty(store: Any) -> None:
    """Looking at what was never made finds nothing, and makes nothing."""
    assert [] == list(store.look(PLACE))
    assert [] == list(store.places())


@pytest.mark.parametrize("value", [None, 0, "text", b"\x00" * 5000, [1, {"a": (2, 3)}], NotImplemented, float("inf")])
def test_what_was_committed_is_loaded(store: Any, value: object) -> None:
    """The value comes back equal and of the same type."""
    publish(store, value)

    (version,) = store.look(PLACE)
    loaded = store.load(version)
    assert (type(value), value) == (type(loaded), loaded)


def test_what_is_loaded_is_never_shared(store: Any) -> None:
    """Each load gives an object of its own."""
    version = publish(store, [1])

    store.load(version).append(2)

    assert [1] == store.load(version)


def test_what_is_committed_is_what_is_found(store: Any) -> None:
    """commit answers the very version that look finds."""
    given = facts({"need": Stamp("order", "value")}, code="7")

    version = publish(store, 1, made_from=given)

    assert [version] == list(store.look(PLACE))
    assert (given.code, given.needs) == (version.record.code, version.record.needs)
    assert (PLACE, 1) == (version.place, version.record.number)


def test_versions_come_newest_first(store: Any) -> None:
    """A later version is numbered higher and is looked at first; older ones stay."""
    for value in "abc":
        publish(store, value)

    assert [3, 2, 1] == numbers(store)
    assert ["c", "b", "a"] == [store.load(version) for version in store.look(PLACE)]


def test_places_do_not_meet(store: Any) -> None:
    """What is published at one place is not seen at another one."""
    publish(store, 1)

    assert [] == list(store.look(OTHER))
    assert {(PLACE.name, PLACE.id)} == set(store.places())


def test_an_attempt_is_won_by_one(new_run: NEW_RUN) -> None:
    """While a run holds the attempt, all others hear that it is made elsewhere."""
    attempt = claimed(new_run())

    assert isinstance(new_run().claim(PLACE, arguments, nothing), Elsewhere)
    assert attempt.commit(1, facts()) is not None


def test_nothing_is_seen_of_an_attempt(new_run: NEW_RUN) -> None:
    """Before the commit there is no version."""
    claimed(new_run())

    assert [] == list(new_run().look(PLACE))


@pytest.mark.parametrize("end", ["commit", "fail", "not_needed"])
def test_an_attempt_that_ended_is_free_for_others(new_run: NEW_RUN, end: str) -> None:
    """Commit, fail and not_needed each end the claim; the next one has the next number."""
    first = claimed(new_run())
    {
        "commit": lambda: first.commit(1, facts()),
        "fail": lambda: first.fail({"error": "boom"}),
        "not_needed": first.not_needed,
    }[end]()

    assert first.number + 1 == claimed(new_run()).number


@pytest.mark.parametrize("end", ["fail", "not_needed"])
def test_without_commit_there_is_no_version(store: Any, end: str) -> None:
    """An attempt that failed, or was not needed, leaves what was published before."""
    publish(store, 1)

    attempt = claimed(store)
    attempt.fail({}) if end == "fail" else attempt.not_needed()

    assert [1] == numbers(store)


def test_an_attempt_ends_once(new_run: NEW_RUN) -> None:
    """What is called on an attempt after its end does not free the claim of somebody else."""
    first = claimed(new_run())
    first.commit(1, facts())
    claimed(new_run())

    first.not_needed()
    first.fail({})

    assert isinstance(new_run().claim(PLACE, arguments, nothing), Elsewhere)


def test_what_is_picked_is_not_computed(store: Any) -> None:
    """claim answers the version that `pick` finds good, and leaves the place free."""
    version = publish(store, 1)

    assert version == store.claim(PLACE, arguments, newest)
    assert [version] == list(store.look(PLACE))
    assert claimed(store).commit(2, facts()) is not None


def test_pick_sees_all_versions_newest_first(store: Any) -> None:
    """An older version may be picked: an edit that was taken back costs nothing."""
    publish(store, "old")
    publish(store, "new")

    def oldest(versions: Iterator[Version]) -> Version:
        return list(versions)[-1]

    found = store.claim(PLACE, arguments, oldest)

    assert "old" == store.load(found)


def test_a_pick_that_raises_holds_nothing(new_run: NEW_RUN) -> None:
    """The exception comes through, and the next run gets the attempt."""

    def broken(versions: Iterator[Version]) -> None:
        raise KeyError("broken")

    publish(new_run(), 0)
    with pytest.raises(KeyError, match="broken"):
        new_run().claim(PLACE, arguments, broken)

    assert claimed(new_run()).commit(1, facts()) is not None


def test_an_ordinary_rerun_keeps_the_order(store: Any) -> None:
    """Made again only because it was doubted: the order is that of the previous version."""
    first, second = (publish(store, value).record.stamp for value in (1, 2))

    assert first.order == second.order
    assert first.value != second.value


def test_an_equal_rerun_keeps_the_stamp(store: Any) -> None:
    """Doubted, made again, and equal: nothing below needs to run."""
    first, second = (publish(store, [1, 2]).record.stamp for _ in range(2))

    assert first == second


def test_a_forced_run_has_a_new_order(store: Any) -> None:
    """A new order reaches everything below, also with an equal value."""
    first = publish(store, 1).record.stamp
    second = publish(store, 1, forced=True).record.stamp

    assert (first.value, True) == (second.value, first.order != second.order)


def test_a_cleared_place_has_a_new_order(store: Any) -> None:
    """A clear is an order too; numbers begin again."""
    first = publish(store, 1)
    store.clear(PLACE)
    second = publish(store, 1)

    assert (1, 1) == (first.record.number, second.record.number)
    assert first.record.stamp.order != second.record.stamp.order


def test_the_order_of_a_need_is_part_of_the_order(store: Any) -> None:
    """A task with a need of a new order has a new order; a new value alone keeps it."""
    orders = [
        publish(store, 1, made_from=facts({"need": stamp})).record.stamp.order
        for stamp in (Stamp("a", "1"), Stamp("a", "2"), Stamp("b", "2"))
    ]

    assert orders[0] == orders[1] != orders[2]


def test_two_places_have_two_orders(store: Any) -> None:
    """An order is random: equal tasks without needs do not share it."""
    assert publish(store, 1).record.stamp.order != publish(store, 1, OTHER).record.stamp.order


def test_files_beside_the_result_make_another_value(store: Any) -> None:
    """Equal bytes beside other files are another value, beside equal files the same; an empty directory is nothing."""
    values = []
    for text in (None, "", "one", "two", "one"):
        attempt = claimed(store)
        if text is not None:
            directory = attempt.directory
            if text:
                (directory / "file").write_text(text)
        values.append(attempt.commit(1, facts()).record.stamp.value)

    assert 3 == len(set(values))
    assert values[0] == values[1]
    assert values[2] == values[4]


def test_the_data_directory_is_made_empty_and_stays(store: Any) -> None:
    """Each attempt has its own, the same whenever it is asked for; that of a published version is left alone."""
    first = claimed(store)
    (first.directory / "file").write_text("kept")
    first.commit(1, facts())
    second = claimed(store)

    assert second.directory == second.directory
    assert [] == list(second.directory.iterdir())
    assert ["kept"] == [path.read_text() for path in first.directory.iterdir()]


def test_what_cannot_be_pickled_is_said_so(new_run: NEW_RUN) -> None:
    """UnstorableResult names the type; nothing is published, and the attempt can be failed."""
    attempt = claimed(new_run())

    with pytest.raises(UnstorableResult, match="generator"):
        attempt.commit((n for n in ()), facts())

    attempt.fail({"error": "unstorable"})
    assert [] == list(new_run().look(PLACE))
    assert claimed(new_run()).commit(1, facts()) is not None


def test_a_commit_after_a_clear_publishes_nothing(new_run: NEW_RUN) -> None:
    """Whoever computed while the place was cleared hears it, and the place stays empty."""
    store = new_run()
    attempt = claimed(store)
    new_run().clear(PLACE)

    assert attempt.commit(1, facts()) is None
    assert [] == list(store.look(PLACE))


def test_a_commit_after_a_clear_does_not_touch_the_next_attempt(new_run: NEW_RUN) -> None:
    """A stranger may hold the same number in the new folder, and commits its own value."""
    late = claimed(new_run())
    new_run().clear(PLACE)
    store = new_run()
    stranger = claimed(store)

    assert late.commit("late", facts()) is None
    assert isinstance(new_run().claim(PLACE, arguments, nothing), Elsewhere)
    assert stranger.commit("good", facts()) is not None
    assert ["good"] == [store.load(version) for version in store.look(PLACE)]


def test_a_clear_forgets_one_place(store: Any) -> None:
    """clear tells whether there was anything, and leaves the neighbours alone."""
    publish(store, 1)
    other = publish(store, 2, OTHER)

    assert [True, False] == [store.clear(PLACE), store.clear(PLACE)]
    assert ([], [other]) == (list(store.look(PLACE)), list(store.look(OTHER)))


def test_clear_all_forgets_one_class(store: Any) -> None:
    """clear_all tells whether there was anything, and leaves other classes alone."""
    stranger = PLACE._replace(name="module.Stranger")
    for place in (PLACE, OTHER, stranger):
        publish(store, 1, place)

    assert [True, False] == [store.clear_all(PLACE.name), store.clear_all(PLACE.name)]
    assert {(stranger.name, stranger.id)} == set(store.places())


def test_a_cleared_version_is_missing(store: Any) -> None:
    """To load a version that was cleared meanwhile is a MissingResult."""
    version = publish(store, 1)
    store.clear(PLACE)

    with pytest.raises(MissingResult):
        store.load(version)


def test_a_version_is_not_taken_for_its_successor(store: Any) -> None:
    """After a clear the same number may hold another value; the old version does not load it."""
    version = publish(store, "old")
    store.clear(PLACE)
    publish(store, "new")

    with pytest.raises(MissingResult):
        store.load(version)


class Moved:
    """Pickles, but does not load: what it needs is gone."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


def test_what_does_not_load_is_missing_not_damaged(store: Any) -> None:
    """Intact bytes whose class is gone are a MissingResult that names the cause."""
    version = publish(store, Moved())

    with pytest.raises(MissingResult, match="no number"):
        store.load(version)

    assert [version] == list(store.look(PLACE))


def test_older_versions_are_let_go(store: Any) -> None:
    """What is in use stays, and the newest of the others."""
    versions = [publish(store, value) for value in "abcd"]

    store.retire({PLACE: 2, OTHER: 1})

    assert [4, 2] == numbers(store)
    assert ["d", "b"] == [store.load(version) for version in store.look(PLACE)]
    with pytest.raises(MissingResult):
        store.load(versions[0])
    assert 5 == publish(store, "e").record.number


def test_what_is_not_there_is_not_in_use(store: Any) -> None:
    """It was cleared: what is there now is another life."""
    for value in "abc":
        publish(store, value)

    store.retire({PLACE: 7})

    assert [3, 2, 1] == numbers(store)


def test_code_is_accepted(store: Any) -> None:
    """For one version; it is the same version otherwise, and loads as before."""
    first, second = publish(store, 1), publish(store, 2)

    store.accept(PLACE, first, "a" * 64)
    store.accept(PLACE, first, "b" * 64)

    assert [frozenset(), {"a" * 64, "b" * 64}] == [version.record.accepted for version in store.look(PLACE)]
    assert [2, 1] == [store.load(version) for version in (second, first)]
    store.clear(PLACE)
    with pytest.raises(MissingResult):
        store.accept(PLACE, first, "c" * 64)


def test_code_is_kept(store: Any, new_run: NEW_RUN) -> None:
    """By class and digest, until the class is cleared."""
    publish(store, 1)
    store.keep_code(PLACE.name, "a" * 64, {"items": {}})

    kept = new_run().code(PLACE.name, "a" * 64)
    unknown = store.code(PLACE.name, "b" * 64)
    store.clear_all(PLACE.name)

    assert ({"items": {}}, None, None) == (kept, unknown, store.code(PLACE.name, "a" * 64))
