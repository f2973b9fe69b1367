"""Claims among others: whatever happens between two operations, one version is published and it is right."""
from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from faults import (
    PLACE,
    Hooked,
    Interfering,
    Runs,
    arguments,
    claimed,
    facts,
    names,
    newest,
    nothing,
    place_of,
    publish,
    values,
)

from taskproc.kernel.model import Elsewhere
from taskproc.store import layout
from taskproc.store.claims import DiskAttempt
from taskproc.store.disk import DiskStore
from taskproc.store.version import Version


class TestSecondLook:
    """Whatever is published between the look and the claim is used."""

    def test_published_meanwhile(self, runs: Runs) -> None:
        """Another process claimed and committed after our listing: its version is the answer, ours was not needed."""
        rival = runs.begin()
        files = Interfering("make", lambda: publish(rival, "first"))

        answer = runs.begin(files).claim(PLACE, arguments, newest)

        assert files.done
        assert isinstance(answer, Version)
        assert {"result.1.pkl.gz", "failed.2"} == names(rival)

    @pytest.mark.parametrize("gone", ["claim.1", layout.ARGUMENTS])
    def test_two_names_that_are_not_ours_alone(self, runs: Runs, gone: str) -> None:
        """A higher number counts also where the folder has no more in it than it would have without: ours is dropped.
        """
        rival = runs.begin()

        def deed() -> None:
            (place_of(rival) / gone).unlink()
            (place_of(rival) / "claim.2").touch()

        answer = runs.begin(Interfering("listdir", deed)).claim(PLACE, arguments, newest)

        assert Elsewhere() == answer
        assert {"claim.2"} == names(rival)

    @pytest.mark.parametrize("number", [1, 2])
    def test_published_in_another_folder(self, runs: Runs, number: int) -> None:
        """Ours was cleared before we opened it, and another one made: it is not empty, and the second look tells."""
        rival = runs.begin()

        def deed() -> None:
            rival.clear(PLACE)
            for value in range(number):
                publish(rival, value)
            (place_of(rival) / "result.1.pkl.gz").unlink() if number > 1 else None

        files = Interfering("open_folder", deed)

        answer = runs.begin(files).claim(PLACE, arguments, newest)

        assert files.done
        assert isinstance(answer, Version)
        assert number == answer.record.number
        assert {f"result.{number}.pkl.gz", f"failed.{number + 1}"} == names(rival)

    def test_committed_by_one_taken_for_dead(self, runs: Runs) -> None:
        """A holder that was taken for dead commits right before it is fenced: its version is the answer."""
        paused = runs.begin()
        late = claimed(paused)
        runs.end(paused)
        files = Interfering("make", lambda: late.commit("late", facts()))
        heir = runs.begin(files)

        answer = heir.claim(PLACE, arguments, newest)

        assert files.done
        assert isinstance(answer, Version)
        assert ["late"] == values(heir)

    def test_fenced_before_he_commits(self, runs: Runs) -> None:
        """One operation later it is fenced, and its commit is not seen."""
        paused = runs.begin()
        late = claimed(paused)
        runs.end(paused)
        commits: list[object] = []

        class After(Hooked):
            def after(self, operation: str, arguments: tuple[Any, ...]) -> None:
                if operation == "unlink":
                    commits.append(late.commit("late", facts()))

        heir = runs.begin(After())
        attempt = claimed(heir)

        assert [None] == commits
        assert attempt.commit("good", facts()) is not None
        assert ["good"] == values(heir)

    def test_nothing_fresh(self, runs: Runs) -> None:
        """A version that is not fresh does not count; the attempt gets a higher number."""
        rival = runs.begin()
        files = Interfering("make", lambda: publish(rival, "first"))

        attempt = claimed(runs.begin(files))

        assert (True, 2) == (files.done, attempt.number)
        assert {"result.1.pkl.gz", "claim.2"} == names(rival)

    def test_two_heirs(self, runs: Runs) -> None:
        """Of two that take over from the dead at once, one wins."""
        dead, rival = runs.begin(), runs.begin()
        claimed(dead)
        runs.end(dead)
        won: list[DiskAttempt] = []
        files = Interfering("make", lambda: won.append(claimed(rival)))

        answer = runs.begin(files).claim(PLACE, arguments, nothing)

        assert isinstance(answer, Elsewhere)
        assert won[0].commit(1, facts()) is not None

    def test_an_old_listing(self, runs: Runs) -> None:
        """A higher number that was not in the listing: our claim is removed, the other one stays."""
        rival = runs.begin()
        won: list[DiskAttempt] = []

        def fail_and_claim() -> None:
            claimed(rival).fail({})
            won.append(claimed(rival))

        files = Interfering("make", fail_and_claim)
        answer = runs.begin(files).claim(PLACE, arguments, nothing)

        assert isinstance(answer, Elsewhere)
        assert {"failed.1", "claim.2"} == names(rival)
        assert won[0].commit(1, facts()) is not None


def test_a_claim_that_was_deleted_by_hand(runs: Runs) -> None:
    """Two hold one number then; the one whose claim exists publishes its value, the other one nothing."""
    first, second = runs.begin(), runs.begin()
    lost = claimed(first)
    (place_of(first) / "claim.1").unlink()
    attempt = claimed(second)

    assert (1, 1) == (lost.number, attempt.number)
    assert lost.commit("lost", facts()) is None
    assert [] == list(second.look(PLACE))
    assert attempt.commit("good", facts()) is not None
    assert ["good"] == values(second)


class TestClear:
    """A clear is everything or nothing for whoever is at work."""

    def test_a_late_commit_lands_in_the_trash(self, runs: Runs) -> None:
        """The holder works through the descriptor of its directory, wherever that is now."""
        store = runs.begin()
        attempt = claimed(store)
        runs.begin().clear(PLACE)

        assert attempt.commit("late", facts()) is None
        assert ["result.1.pkl.gz"] == [path.name for path in Path(store.root, "trash").rglob("result.*")]
        assert not place_of(store).exists()

    def test_a_late_commit_finds_a_stranger(self, runs: Runs) -> None:
        """The trash was emptied, and the name has a stranger's result: the head in it tells that it is not ours."""
        late = runs.begin()
        attempt = claimed(late)
        runs.end(late)
        DiskStore(runs.root).clear(PLACE)
        store = runs.begin()
        publish(store, "good")

        assert attempt.commit("late", facts()) is None
        assert ["good"] == values(store)

    def test_the_trash_is_emptied_when_nobody_works(self, runs: Runs) -> None:
        """Data directories are in use until the runs end; the next clear sweeps them."""
        store, other = runs.begin(), runs.begin()
        publish(store, 1)
        store.clear(PLACE)
        kept = list(Path(store.root, "trash").iterdir())
        publish(store, 1)
        runs.end(store)
        runs.end(other)

        DiskStore(store.root).clear(PLACE)

        assert 1 == len(kept)
        assert [] == list(Path(store.root, "trash").iterdir())

    @pytest.mark.parametrize("what", ["place", "class", "cache"])
    def test_at_any_moment_of_a_claim(self, runs: Runs, what: str) -> None:
        """A clear, or a removal by hand, at any operation of a claim raises nothing; the rerun is right."""

        def clear() -> object:
            store = DiskStore(runs.root)
            if what == "cache":
                return shutil.rmtree(Path(runs.root, layout.folder_name(PLACE.name)), ignore_errors=True)
            return store.clear(PLACE) if what == "place" else store.clear_all(PLACE.name)

        at = 0
        while True:
            at += 1
            clear()
            files = Interfering(at, clear)
            answer = runs.begin(files).claim(PLACE, arguments, newest)
            files.stop()

            assert isinstance(answer, DiskAttempt)
            version = answer.commit(at, facts())
            assert (version is not None) == (values(DiskStore(runs.root)) == [at])
            if not files.done:
                break
        assert at > 6

    def test_at_any_moment_of_a_commit(self, runs: Runs) -> None:
        """The commit returns whether its version stands."""
        at, answers = 0, []
        while True:
            at += 1
            files = Interfering(10**6, lambda: DiskStore(runs.root).clear(PLACE))
            store = runs.begin(files)
            attempt = claimed(store)
            files.operation = files.count + at

            version = attempt.commit(at, facts(seconds=1.0))
            files.stop()
            if version is not None and files.done:
                # cleared after the last look at it
                assert [] == list(store.look(PLACE))
            elif version is not None:
                assert [at] == [store.load(version)]
                break
            answers.append(version)
            assert [] == list(store.look(PLACE))

        assert len(answers) > 5
        assert None in answers
