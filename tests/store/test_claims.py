"""Claims: one winner among many, others take over from the dead, and a holder that lost its claim publishes nothing."""
from __future__ import annotations

import errno
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faults import (
    ARGUMENTS,
    OTHER,
    PLACE,
    Hooked,
    Interfering,
    Runs,
    age,
    arguments,
    claimed,
    compete,
    facts,
    hold_and_die,
    names,
    nothing,
    outwait,
    place_of,
    processes,
    publish,
    values,
)

from taskproc.kernel.model import Elsewhere
from taskproc.store.claims import DiskAttempt
from taskproc.store.disk import DiskStore
from taskproc.store.layout import Place
from taskproc.store.version import Version
from tests.pace import limit

ROUNDS = 20


def test_one_of_many_threads_wins(runs: Runs) -> None:
    """However many runs claim at once, one has the attempt, and the others know that it is made elsewhere."""
    stores = [runs.begin() for _ in range(8)]
    for number in range(ROUNDS):
        barrier = threading.Barrier(len(stores))
        answers: list[object] = []
        place = Place("module.Task", number, f"{number:032d}")

        def run(store: DiskStore, place: Place = place, barrier: Any = barrier, answers: Any = answers) -> None:
            barrier.wait()
            answers.append(store.claim(place, arguments, nothing))

        threads = [threading.Thread(target=run, args=(store,)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        kinds = sorted(type(answer).__name__ for answer in answers)
        assert ["DiskAttempt", *["Elsewhere"] * (len(stores) - 1)] == kinds
        next(answer for answer in answers if isinstance(answer, DiskAttempt)).not_needed()


@pytest.mark.slow
def test_one_of_many_processes_wins(runs: Runs) -> None:
    """As with threads; and what the winner commits is what all read."""
    count = 4
    barrier = processes.Barrier(count)
    pipes = [processes.Pipe(duplex=False) for _ in range(count)]
    others = [
        processes.Process(target=compete, args=(runs.root, barrier, ROUNDS, sender)) for _, sender in pipes
    ]
    for other in others:
        other.start()
    won = [number for receiver, _ in pipes for number in (receiver.recv() if receiver.poll(limit(60)) else ["hangs"])]
    for other in others:
        other.join(limit(60))

    assert list(range(ROUNDS)) == sorted(won)
    assert [0] * count == [other.exitcode for other in others]


def test_a_killed_run_is_outlived(runs: Runs) -> None:
    """The claim of a process that was killed is taken over at once, without a word from anybody."""
    receiver, sender = processes.Pipe(duplex=False)
    process = processes.Process(target=hold_and_die, args=(runs.root, sender))
    process.start()
    token, number = receiver.recv()
    process.join(limit(60))

    # a worker of the killed run that does not know it yet
    orphan = DiskStore(runs.root, token).resume(PLACE, number)
    heir = runs.begin()
    attempt = claimed(heir)

    assert orphan is not None
    assert (1, 2) == (number, attempt.number)
    assert orphan.commit("late", facts()) is None
    assert [] == list(heir.look(PLACE))
    assert attempt.commit("good", facts()) is not None
    assert ["good"] == values(heir)
    assert {"result.2.pkl.gz"} == names(heir)


def test_a_living_run_is_waited_for(runs: Runs) -> None:
    """The claim of a run that lives is not touched."""
    store = runs.begin()
    claimed(store)

    assert isinstance(runs.begin().claim(PLACE, arguments, nothing), Elsewhere)
    assert {"claim.1"} == names(store)


def test_a_worker_that_died_in_our_own_run_is_outlived(store: DiskStore) -> None:
    """A claim of our own run is never waited for: it is of a worker that died, since the ticket is ours."""
    lost = claimed(store)
    attempt = claimed(store)

    assert (1, 2) == (lost.number, attempt.number)
    assert lost.commit("late", facts()) is None
    assert attempt.commit("good", facts()) is not None


def test_a_failed_attempt_of_the_dead_tells_why(store: DiskStore) -> None:
    """bury turns what a dead worker left into failed.<n>, with the reason in it and its files beside it."""
    (claimed(store).directory / "half").write_text("done")

    store.bury(PLACE, {"kind": "died", "error": "signal 9"})

    assert {"failed.1", "data.1"} == names(store)
    assert b'"error":"signal 9"' in (place_of(store) / "failed.1").read_bytes()
    assert "done" == (place_of(store) / "data.1" / "half").read_text()


def test_only_our_own_dead_are_buried(runs: Runs) -> None:
    """The claim of another run is left alone."""
    holder = claimed(runs.begin())

    runs.begin().bury(PLACE, {})

    assert holder.commit(1, facts()) is not None


def test_an_empty_claim_counts_as_dead_after_a_second(runs: Runs) -> None:
    """Its maker is between two operations, or died there. Its own time says nothing: that is of another clock."""
    store = runs.begin()
    claim = place_of(store) / "claim.1"
    claim.parent.mkdir(parents=True)
    claim.touch()

    age(claim)
    first = store.claim(PLACE, arguments, nothing)
    outwait(store)
    second = store.claim(PLACE, arguments, nothing)

    assert isinstance(first, Elsewhere)
    assert isinstance(second, DiskAttempt)
    assert {"claim.2"} == names(store)


def test_a_claim_that_is_signed_while_it_is_looked_at_is_held(runs: Runs) -> None:
    """The head may come between two looks at the file; then its maker has it, whatever the clocks say."""
    winner = runs.begin()
    files = Interfering("modified", lambda: claim.write_bytes(head))
    store = runs.begin(files)
    claimed(winner)
    claim = place_of(store) / "claim.1"
    head = claim.read_bytes()
    claim.write_bytes(b"")

    answer = store.claim(PLACE, arguments, nothing)

    assert files.done
    assert isinstance(answer, Elsewhere)


def test_a_paused_holder_is_fenced(runs: Runs) -> None:
    """A holder that was taken for dead, and wakes, publishes nothing and does not disturb its heir."""
    paused, heir = runs.begin(), runs.begin()
    late = claimed(paused)
    runs.end(paused)
    attempt = claimed(heir)

    late.fail({"error": "late"})
    assert {"claim.2"} == names(heir)
    assert attempt.commit("good", facts()) is not None
    assert {"result.2.pkl.gz"} == names(heir)


def test_another_tasks_result_is_no_version(runs: Runs) -> None:
    """A result that was copied into another task's folder is known by its key; a renamed one by its number."""
    store = runs.begin()
    publish(store, 1)
    source = place_of(store) / "result.1.pkl.gz"
    stranger = Place(PLACE.name, 9, "another key")
    place_of(store, stranger).mkdir()
    shutil.copy(source, place_of(store, stranger))
    shutil.copy(source, source.with_name("result.5.pkl.gz"))
    runs.expects_damage = True

    assert [] == list(store.look(stranger))
    assert [1] == [version.record.number for version in store.look(PLACE)]


def test_an_order_is_inherited_from_the_newest_readable_version(runs: Runs) -> None:
    """A damaged version has no say; if none is left the order is new."""
    store = runs.begin()
    first = publish(store, 1)
    forced = publish(store, 2, forced=True)
    Path(forced.path).write_bytes(b"damaged")
    runs.expects_damage = True

    assert first.record.stamp.order == publish(store, 3).record.stamp.order
    for version in store.look(PLACE):
        Path(version.path).write_bytes(b"damaged")
    assert first.record.stamp.order != publish(store, 4).record.stamp.order


def test_files_made_before_the_run_are_put_aside(runs: Runs) -> None:
    """The data directory may be asked for before the run; an attempt begins with an empty one, at the same path."""
    store = runs.begin()
    before = store.directory(PLACE)
    (before / "note").write_text("before")

    attempt = claimed(store)

    assert (before, []) == (attempt.directory, list(attempt.directory.iterdir()))
    assert ["before"] == [path.read_text() for path in Path(store.root, "trash").rglob("note")]


def test_arguments_are_written_for_people(runs: Runs) -> None:
    """args.json is there after the first claim, also where the folder was made before or it was lost."""
    store = runs.begin()
    store.directory(PLACE)
    path = place_of(store) / "args.json"
    for _ in range(2):
        publish(store, 1)
        assert json.loads(ARGUMENTS) == json.loads(path.read_text())
        path.unlink()


def test_an_attempt_is_resumed_by_its_own_run(runs: Runs) -> None:
    """Claimed in one process and run in another: the head of the claim says whose it is."""
    store = runs.begin()
    claimed(store).release()

    assert runs.begin().resume(PLACE, 1) is None
    attempt = DiskStore(store.root, store.token).resume(PLACE, 1)
    assert attempt is not None
    version = attempt.commit("value", facts())
    assert version is not None
    assert [version] == list(store.look(PLACE))
    assert ["value"] == values(store)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="descriptors cannot be counted")
def test_an_attempt_that_was_let_go_has_no_descriptor(runs: Runs) -> None:
    """Neither of the claim nor of its folder, before it has ended."""
    store = runs.begin()
    before = sorted(os.listdir("/proc/self/fd"))
    attempt = claimed(store)
    assert before != sorted(os.listdir("/proc/self/fd"))

    attempt.release()

    assert before == sorted(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("end", ["clear", "commit", "fence"])
def test_an_attempt_that_is_gone_is_not_resumed(runs: Runs, end: str) -> None:
    """resume gives nothing for what was cleared, has ended, or was taken over."""
    store = runs.begin()
    attempt = claimed(store)
    if end == "clear":
        store.clear(PLACE)
    elif end == "commit":
        attempt.commit(1, facts())
    else:
        runs.end(store)
        claimed(runs.begin())

    assert store.resume(PLACE, 1) is None


def test_a_lost_reply_to_the_rename_is_a_commit(runs: Runs) -> None:
    """A network folder may rename and answer that there was nothing: the head in the file tells that it is ours."""

    class Lossy(Hooked):
        def after(self, operation: str, arguments: tuple[Any, ...]) -> None:
            if operation == "rename":
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    store = runs.begin(Lossy())
    version = claimed(store).commit("value", facts())

    assert [version] == list(store.look(PLACE))


def test_a_version_is_never_replaced(runs: Runs) -> None:
    """What was published keeps its bytes, whatever is claimed, committed, failed or taken over afterwards."""
    store = runs.begin()
    path = Path(publish(store, "first").path)
    content = path.read_bytes()

    publish(store, "second")
    claimed(store).fail({})
    claimed(store)
    claimed(store).commit("third", facts())

    assert content == path.read_bytes()


def test_a_new_number_is_above_all_others(runs: Runs) -> None:
    """Failed, damaged and published numbers are never used again."""
    store = runs.begin()
    place_of(store).mkdir(parents=True)
    for name in ("failed.3", "bad.5", "claim.2", "result.4.pkl.gz"):
        (place_of(store) / name).touch()
    runs.expects_damage = True

    assert 6 == claimed(store).number


def test_the_tiny_task_costs_few_operations(runs: Runs) -> None:
    """What is promised: few operations for a claim and a commit; more of them would show in every run."""
    files = Hooked()
    store = runs.begin(files)
    publish(store, 1, OTHER)
    first = files.count

    publish(store, 1)

    assert files.count - first <= 18
    assert first <= 25  # with the folders of the class


def picks(values: list[object], store: DiskStore) -> Callable[[Iterator[Version]], Version | None]:
    """A pick that is content with one of `values`."""
    return lambda versions: next((version for version in versions if store.load(version) in values), None)


def test_a_pick_may_load(store: DiskStore) -> None:
    """What is picked is a version of the store, and may be read at once."""
    publish(store, 1)
    publish(store, 2)

    answer = store.claim(PLACE, arguments, picks([1], store))

    assert isinstance(answer, Version)
    assert 1 == answer.record.number
