"""Claims on a folder that lists late, tells of lost races in other words, and keeps back what was written."""
from __future__ import annotations

import pytest
from faults import (
    OTHER,
    PLACE,
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
from network import ClosingToShow, Remembering, like_sshfs

from taskproc.kernel.model import Elsewhere
from taskproc.store.claims import EMPTY_CLAIM, DiskAttempt
from taskproc.store.disk import DiskStore
from taskproc.store.marks import Witness
from taskproc.store.version import Version


class TestLikeSshfs:
    """Descriptors of folders list what was there when they were opened, and a lost race is EPERM."""

    @pytest.fixture(autouse=True)
    def _sshfs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        like_sshfs(monkeypatch)

    def test_published_meanwhile(self, runs: Runs) -> None:
        """Another process claims and commits after our folder was opened: its version is the answer."""
        rival = runs.begin()
        publish(rival, 0, made_from=facts(code="old"))

        def pick(versions: object) -> Version | None:
            return next((version for version in versions if version.record.code == "1"), None)  # type: ignore[attr-defined]

        answer = runs.begin(Interfering("make", lambda: publish(rival, 1))).claim(PLACE, arguments, pick)

        assert isinstance(answer, Version)
        assert [1, 0] == values(rival)

    def test_committed_just_before_it_is_fenced(self, runs: Runs) -> None:
        """A holder that was taken for dead commits after our second look: the look after the fence finds it."""
        paused = runs.begin()
        late = claimed(paused)
        runs.end(paused)
        heir = runs.begin(Interfering("unlink", lambda: late.commit("late", facts())))

        answer = heir.claim(PLACE, arguments, newest)

        assert isinstance(answer, Version)
        assert ["late"] == values(heir)

    def test_the_race_for_a_number_is_lost(self, runs: Runs) -> None:
        """The maker of the name has it, without an error."""
        rival = runs.begin()
        answer = runs.begin(Interfering("make", lambda: claimed(rival))).claim(PLACE, arguments, newest)

        assert Elsewhere(after=0.0) == answer

    @pytest.mark.parametrize("is_there", [False, True])
    def test_the_race_for_a_folder_is_lost(self, runs: Runs, is_there: bool) -> None:
        """Of a class, and of a task of a class that is there."""
        rival = runs.begin()
        if is_there:
            publish(rival, 1, OTHER)
        files = Interfering("mkdir", lambda: publish(rival, 1))

        answer = runs.begin(files).claim(PLACE, arguments, newest)

        assert files.done
        assert isinstance(answer, Version)


def test_committed_just_before_it_is_fenced(runs: Runs) -> None:
    """Also on a disk: what the second look showed says nothing of what came before the fence."""
    paused = runs.begin()
    late = claimed(paused)
    runs.end(paused)
    heir = runs.begin(Interfering("unlink", lambda: late.commit("late", facts())))

    answer = heir.claim(PLACE, arguments, newest)

    assert isinstance(answer, Version)
    assert ["late"] == values(heir)


@pytest.mark.parametrize("fails", [False, True])
def test_a_number_that_was_used_is_not_used_again(runs: Runs, fails: bool) -> None:
    """A client adds its own names to an old listing for ever; names that are asked for by themselves are true."""
    store, rival = runs.begin(Remembering(adds=True)), runs.begin()
    rival.directory(PLACE)
    assert [] == list(store.look(PLACE))
    claimed(rival).fail({}) if fails else publish(rival, 1)

    answer = store.claim(PLACE, arguments, newest)

    if fails:
        assert isinstance(answer, DiskAttempt)
        assert 2 == answer.number
    else:
        assert Elsewhere() == answer
        assert [1] == values(store)


def test_a_listing_without_the_claim_is_an_old_one(runs: Runs) -> None:
    """It is never believed; the number stays, since others may have seen it."""
    files = Remembering(adds=False)
    store, rival = runs.begin(files), runs.begin()
    rival.directory(PLACE)
    assert [] == list(store.look(PLACE))
    claimed(rival, forced=True).fail({})
    publish(rival, 1)
    (place_of(rival) / "failed.1").unlink()

    answer = store.claim(PLACE, arguments, newest)

    assert Elsewhere() == answer
    assert files.listings < 20
    assert {"data.1", "failed.1", "result.2.pkl.gz"} == names(rival)


def test_what_became_of_a_listed_claim(runs: Runs) -> None:
    """Whoever waits for it sees its version at once, and takes the next number if it has none."""
    seen = []
    for fails in (False, True):
        files = Remembering(adds=False)
        store, rival = runs.begin(files), runs.begin()
        attempt = claimed(rival, forced=True)
        seen.append((values(store), store.claim(PLACE, arguments, nothing)))
        attempt.fail({}) if fails else attempt.commit("good", facts())
        seen.append((values(store), store.claim(PLACE, arguments, newest)))
        rival.clear(PLACE)

    assert [([], Elsewhere()), (["good"], Elsewhere()), ([], Elsewhere())] == seen[:3]
    assert [] == seen[3][0]
    assert isinstance(seen[3][1], Elsewhere)  # its second listing is old, too


def test_a_claim_whose_file_is_kept_back(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its head is seen by others when it was signed: an empty claim would soon be taken for a dead one's."""
    holder, other = runs.begin(ClosingToShow()), runs.begin()
    attempt = claimed(holder)
    now = [0.0]
    other.witness = Witness(other.root, lambda: now[0])
    first = other.claim(PLACE, arguments, newest)
    now[0] += 2 * EMPTY_CLAIM
    second = other.claim(PLACE, arguments, newest)

    assert [Elsewhere(), Elsewhere()] == [first, second]
    assert attempt.commit(1, facts()) is not None


def test_a_version_whose_number_was_used_already(runs: Runs) -> None:
    """It is not replaced, though the claim is there; the claim goes, and nothing was published."""
    store, rival = runs.begin(), runs.begin()
    attempt = claimed(store)
    there = place_of(store) / "result.1.pkl.gz"
    (place_of(store) / "claim.1").rename(place_of(store) / "kept")
    assert claimed(rival).commit("good", facts()) is not None
    (place_of(store) / "kept").rename(place_of(store) / "claim.1")
    before = there.read_bytes()

    assert attempt.commit("other", facts()) is None

    assert before == there.read_bytes()
    assert {"result.1.pkl.gz"} == names(store)
    assert ["good"] == values(DiskStore(store.root))
