"""Older versions are let go: what is in use stays, what is kept stays, and nobody is hurt who is at work."""
from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults import (
    OTHER,
    PLACE,
    Dying,
    Failing,
    Hooked,
    Interfering,
    Runs,
    claimed,
    facts,
    few,
    names,
    place_of,
    processes,
    publish,
    values,
)
from hypothesis import given
from hypothesis import strategies as st

from taskproc.errors import MissingResult
from taskproc.store import layout
from taskproc.store.check import check
from taskproc.store.disk import DiskStore
from taskproc.store.marks import Mark
from taskproc.store.rules import CacheRules
from taskproc.store.trash import superfluous
from tests.pace import limit


def store_of(runs: Runs, keep_versions: int = 1, files: Any = None) -> DiskStore:
    """The store of a run that keeps so many versions."""
    begun = runs.begin(files)
    begun.rules = CacheRules(keep_versions=keep_versions)
    return begun


def live(store: DiskStore, number: int) -> None:
    """A life of `number` versions, each with data, logs and an acceptance; before each, an attempt that failed."""
    for value in range(1, number + 1):
        failing = claimed(store)
        (failing.directory / "half").touch()
        failing.log("stdout").touch()
        failing.fail({"error": "boom"})
        attempt = claimed(store)
        (attempt.directory / "file").write_text(str(value))
        attempt.log("stderr").touch()
        version = attempt.commit(value, facts())
        assert version is not None
        store.accept(PLACE, version, "a" * 64)


def all_of(*numbers: int) -> set[str]:
    """Names that live() gives versions of these numbers."""
    kinds = ("result.{}.pkl.gz", "data.{}", "stderr.{}.txt", "accept.{}.json", "files.{}.json")
    return {kind.format(number) for number in numbers for kind in kinds}


@pytest.mark.parametrize(("keep", "kept"), [(0, (6,)), (1, (4, 6)), (2, (2, 4, 6)), (9, (2, 4, 6))])
def test_so_many_stay(runs: Runs, keep: int, kept: tuple[int, ...]) -> None:
    """The one in use, and the newest others, with all that lies beside them; failures below go too."""
    store = store_of(runs, keep)
    live(store, 3)

    store.retire({PLACE: 6})

    assert all_of(*kept) == names(store)
    assert [number // 2 for number in reversed(kept)] == values(store)
    assert [] == list(Path(store.root, "trash").iterdir())
    assert [] == list(check(store))


@pytest.mark.parametrize(("in_use", "kept"), [(2, (2, 6)), (4, (4, 6)), (6, (4, 6))])
def test_what_is_in_use_stays(runs: Runs, in_use: int, kept: tuple[int, ...]) -> None:
    """However old it is: its code came back."""
    store = store_of(runs)
    live(store, 3)

    store.retire({PLACE: in_use})

    assert all_of(*kept) == names(store)


def test_the_highest_number_stays(runs: Runs) -> None:
    """Whatever became of it, so that it is not used twice; what lies beside it, and before the next, too."""
    store = store_of(runs, 0)
    live(store, 2)
    last = claimed(store)
    (last.directory / "half").touch()
    last.fail({})
    ahead = store.directory(OTHER)

    store.retire({PLACE: 2, OTHER: 1})

    assert {*all_of(2), "failed.5", "data.5"} == names(store)
    assert ahead.is_dir()
    assert 6 == claimed(store).number


def test_a_claim_stays(runs: Runs) -> None:
    """Nobody may move it, even if its run is dead, nor its data: the holder may only be asleep."""
    store, asleep = store_of(runs, 0), runs.begin()
    held = claimed(asleep)
    (held.directory / "half").touch()
    runs.end(asleep)
    shutil.copy(publish(store, 1, OTHER).path, place_of(store) / "result.3.pkl.gz")
    for name in ("failed.2", "failed.4"):
        (place_of(store) / name).touch()

    store.retire({PLACE: 3})

    assert {"claim.1", "data.1", "result.3.pkl.gz", "failed.4"} == names(store)
    runs.expects_damage = True


def test_not_while_another_run_is_at_work(runs: Runs) -> None:
    """Its tasks may read files of the version that they were given; when it has ended, they go."""
    store, other = store_of(runs, 0), runs.begin()
    live(store, 2)
    before = names(store)

    store.retire({PLACE: 4})
    during = names(store)
    runs.end(other)
    store.retire({PLACE: 4})

    assert (before, all_of(4)) == (during, names(store))


def test_what_was_cleared_meanwhile(runs: Runs) -> None:
    """A number that is not there any more says nothing of those that are."""
    store = store_of(runs, 0)
    live(store, 3)
    store.clear(PLACE)
    publish(store, "a")
    publish(store, "b")

    store.retire({PLACE: 6, OTHER: 3})

    assert ["b", "a"] == values(store)


@pytest.mark.slow
def test_a_clear_at_any_moment(runs: Runs) -> None:
    """What somebody else makes at the path afterwards is not touched."""

    def clear() -> None:
        stranger = DiskStore(runs.root, "stranger")
        stranger.clear(PLACE)
        for value in "abc":
            publish(stranger, value)

    at = 0
    while True:
        at += 1
        DiskStore(runs.root).clear(PLACE)
        maker = store_of(runs, 0)
        live(maker, 2)
        runs.end(maker)
        files = Interfering(at, clear)
        store = store_of(runs, 0, files)

        store.retire({PLACE: 4})
        files.stop()
        runs.end(store)

        if not files.done:
            break
        assert ["c", "b", "a"] == values(store), at
    assert at > 10
    assert [2] == values(store)


def test_a_strangers_files_stay(runs: Runs) -> None:
    """What is named like ours and is of another kind, or has another name."""
    store = store_of(runs, 0)
    live(store, 3)
    place = place_of(store)
    shutil.rmtree(place / "data.1")
    (place / "data.1").symlink_to(runs.root)
    runs.expects_damage = True  # a link where a folder of ours would be
    (place / "stdout.2.txt").mkdir()
    (place / "bad.1").mkdir()
    (place / "notes.1.txt").touch()

    store.retire({PLACE: 6})

    assert {*all_of(6), "data.1", "stdout.2.txt", "bad.1", "notes.1.txt"} == names(store)


class TestReaders:
    """Whoever looks while versions are let go."""

    def test_a_version_that_was_seen(self, runs: Runs) -> None:
        """It is missing, as after a clear: the run judges again, and finds the one that is in use."""
        store, reader = store_of(runs, 0), DiskStore(runs.root)
        publish(store, "old")
        publish(store, "new")
        new, old = reader.look(PLACE)

        store.retire({PLACE: 2})

        with pytest.raises(MissingResult):
            reader.load(old)
        assert "new" == reader.load(new)
        assert [new] == list(reader.look(PLACE))

    def test_a_look_that_is_under_way(self, runs: Runs) -> None:
        """What was listed and is gone is passed over without a word."""
        store, reader = store_of(runs, 0), DiskStore(runs.root)
        for value in "abc":
            publish(store, value)
        look = reader.look(PLACE)
        first = next(look)

        store.retire({PLACE: 3})

        assert ("c", []) == (reader.load(first), list(look))
        assert {} == reader.passed_over

    def test_a_file_that_is_open(self, runs: Runs) -> None:
        """It is read to its end."""
        store = store_of(runs, 0)
        publish(store, "old")
        publish(store, "new")

        class Retiring(Hooked):
            def after(self, operation: str, arguments: tuple[Any, ...]) -> None:
                if operation == "read_only":
                    store.retire({PLACE: 2})

        (*_, old) = DiskStore(runs.root).look(PLACE)

        assert "old" == DiskStore(runs.root, files=Retiring()).load(old)
        assert {"result.2.pkl.gz"} == names(store)


@pytest.mark.slow
@pytest.mark.parametrize("number", [28, 13, 30], ids=["ENOSPC", "EACCES", "EROFS"])
def test_an_error_at_every_operation(runs: Runs, number: int) -> None:
    """Nothing is raised, what is kept is whole, what was not moved is a version still; later all of it goes."""
    kinds = frozenset(name for name in vars(Hooked) if not name.startswith("_")) - {"before", "after"}
    at = 0
    while True:
        at += 1
        DiskStore(runs.root).clear(PLACE)
        maker = runs.begin()
        live(maker, 2)
        runs.end(maker)
        files = Failing(number, at, kinds)
        store = store_of(runs, 0, files)

        store.retire({PLACE: 4})
        failed, files.on = files.failed, False

        assert values(store) in ([2], [2, 1])
        assert {"orphan", "leftover"} >= {found.kind for found in check(store)}, failed
        store.retire({PLACE: 4})
        assert all_of(4) == names(store), failed
        runs.end(store)
        if not failed:
            break
    assert at > 10


def retire_and_die(root: str, at: int) -> None:
    mark = Mark(root)
    DiskStore(root, mark.token, Dying(at), CacheRules(keep_versions=0)).retire({PLACE: 4})


def die_everywhere(folder: str, answers: Any) -> None:
    """Retire in copies of `folder`/0, and die at the first operation, the second and so on; tells how each ended."""
    codes: list[int] = []
    while not codes or codes[-1] != 0:
        at = len(codes) + 1
        copy = os.path.join(folder, str(at))
        shutil.copytree(os.path.join(folder, "0"), copy)
        child = os.fork()
        if not child:
            retire_and_die(copy, at)
            os._exit(0)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    answers.send(codes)


@pytest.mark.slow
def test_killed_at_every_operation(tmp_path: Path) -> None:
    """What is kept is whole; what is left over are data and logs of numbers below the highest; the next one tidies."""
    first = Runs(tmp_path / "0")
    live(first.begin(), 2)
    first.close()
    receiver, sender = processes.Pipe(duplex=False)
    process = processes.Process(target=die_everywhere, args=(str(tmp_path), sender))
    process.start()
    assert receiver.poll(limit(60)), "it hangs"
    codes = receiver.recv()
    process.join(limit(60))

    assert [-signal.SIGKILL] * (len(codes) - 1) + [0] == codes
    assert len(codes) > 15
    left = [leave(tmp_path / str(number)) for number in range(1, len(codes) + 1)]
    assert ([2, 1], [2]) == (left[0], left[-1])
    assert sorted(left, key=len, reverse=True) == left, "what was let go stays so"


def leave(root: Path) -> list[object]:
    """The values that the next reader finds, after a check of the cache."""
    runs = Runs(root)
    looker = DiskStore(str(root))
    found = values(looker)
    assert 4 == looker.highest(PLACE)
    assert all_of(4) <= names(looker)
    findings = [each for each in check(looker) if each.kind != "leftover"]
    assert {"orphan"} >= {each.kind for each in findings}
    assert not [each for each in findings if "4" in Path(each.path).name]
    store = store_of(runs, 0)
    store.retire({PLACE: 4})
    assert all_of(4) == names(store)
    runs.close()
    return found


KINDS: list[Callable[[int], str]] = [
    layout.claim_file,
    layout.result_file,
    "failed.{}".format,
    "bad.{}".format,
    layout.data_folder,
    layout.accept_file,
    lambda number: layout.log_file("stdout", number),
]
FOLDERS = st.lists(st.builds(lambda kind, number: kind(number), st.sampled_from(KINDS), st.integers(1, 9)), unique=True)


@few
@given(FOLDERS, st.integers(1, 9), st.integers(0, 3))
def test_laws(listed: list[str], in_use: int, keep_versions: int) -> None:
    """Whatever lies there: results go first; the highest stays, as does what is in use, kept, or claimed."""
    gone = superfluous(listed, in_use, keep_versions)

    before = layout.numbers(listed)
    after = layout.numbers(set(listed) - set(gone))
    top = layout.highest_number(before)
    assert len(gone) == len(set(gone)) == len(set(gone) & set(listed))
    assert layout.highest_number(after) == top
    assert before["claim"] == after["claim"]
    assert not [name for name in gone if any(f".{number}." in f"{name}." for number in (top, in_use, *after["claim"]))]
    assert gone == sorted(gone, key=lambda name: not name.startswith("result."))
    if in_use not in before["result"]:
        assert [] == gone
        return
    others = [number for number in before["result"] if number != in_use]
    assert {in_use, *others[:keep_versions]} <= set(after["result"]) <= {in_use, *others[:keep_versions], top} | set(
        before["claim"]
    )


def test_results_go_in_the_order_of_their_age(runs: Runs) -> None:
    """The oldest first: whoever dies in between leaves the newer ones."""
    assert ["result.1.pkl.gz", "result.2.pkl.gz", "data.1", "failed.3"] == superfluous(
        ["failed.3", "data.1", "result.2.pkl.gz", "result.9.pkl.gz", "result.1.pkl.gz", "data.9"], 9, 0
    )


def test_nothing_is_asked_where_nothing_was_made(runs: Runs) -> None:
    """A run that made first versions only costs nothing."""

    class Never(Hooked):
        def before(self, operation: str, arguments: tuple[Any, ...]) -> None:
            raise AssertionError(operation)

    DiskStore(runs.root, files=Never()).retire({})
