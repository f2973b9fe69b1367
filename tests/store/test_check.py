"""What is wrong or left over in a cache folder."""
from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults import OTHER, PLACE, Hooked, Runs, age, claimed, facts, nothing, outwait, place_of, publish

from taskproc.errors import MissingResult
from taskproc.store.cache import Cache
from taskproc.store.check import Finding, check
from taskproc.store.claims import DiskAttempt
from taskproc.store.disk import DiskStore
from taskproc.store.files import Files
from taskproc.store.layout import Place


class Broken:
    """Leaves a trace when it is loaded, and fails."""

    def __init__(self, path: Path):
        path.touch()
        raise KeyError("sprung")


KEYED = json.dumps({"key": PLACE.key})


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    """As elsewhere, but damage is what these tests are about."""
    runs = Runs(tmp_path / "cache")
    yield runs
    runs.close()


def kinds(store: DiskStore) -> dict[str, str]:
    """Path below the cache → kind."""
    return {os.path.relpath(found.path, store.root): found.kind for found in check(store)}


def test_a_sound_cache_has_no_findings(runs: Runs) -> None:
    """Not after an ordinary life of versions, failures, logs and early files; not while runs are at work."""
    with Cache(runs.root):
        store = runs.begin()
    store.directory(OTHER)
    store.log(OTHER, "stdout")
    attempt = claimed(store)
    (attempt.directory / "file").write_text("data")
    attempt.log("stderr").write_text("a word")
    attempt.commit(1, facts())
    claimed(store).fail({"error": "boom"})
    claimed(runs.begin())

    assert [] == list(check(DiskStore(runs.root)))
    assert [] == list(check(store))


def test_nothing_is_there_yet(tmp_path: Path) -> None:
    """A cache that was never made is sound."""
    assert [] == list(check(DiskStore(str(tmp_path / "nowhere"))))


def test_every_damaged_bit_is_found(runs: Runs) -> None:
    """Of a result, wherever it is: head, payload, record or footer."""
    store = runs.begin()
    path = Path(publish(store, {"answer": 42}).path)
    content = path.read_bytes()

    missed = []
    for position in range(0, len(content), 3):
        path.unlink()
        path.write_bytes(content[:position] + bytes([content[position] ^ 1 << position % 8]) + content[position + 1 :])
        if ["damaged"] != [found.kind for found in check(store)]:
            missed.append(position)

    assert [] == missed


@pytest.mark.parametrize("length", [0, 1, 65, 66, 100, -66, -1])
def test_a_truncated_result_is_found(runs: Runs, length: int) -> None:
    """However little is left of it."""
    store = runs.begin()
    path = Path(publish(store, 1).path)
    path.write_bytes(path.read_bytes()[:length])

    (found,) = check(store)

    assert (str(path), "damaged") == (found.path, found.kind)


def test_nothing_is_changed(runs: Runs) -> None:
    """To find is not to mend."""
    store = runs.begin()
    Path(publish(store, 1).path).write_bytes(b"damaged")
    claimed(store)
    runs.end(store)
    (place_of(store) / "foreign").mkdir()
    before = sorted(Path(store.root).rglob("*"))

    assert {"damaged", "dead", "foreign"} == set(kinds(store).values())
    assert before == sorted(Path(store.root).rglob("*"))


def test_nothing_is_unpickled(runs: Runs, tmp_path: Path) -> None:
    """A pickle that would do something when it is loaded does nothing."""
    trap = tmp_path / "sprung"

    class Trap:
        def __reduce__(self) -> Any:
            return Broken, (trap,)

    store = runs.begin()
    version = publish(store, Trap())

    assert [] == list(check(store))
    assert not trap.exists()
    with pytest.raises(MissingResult):
        store.load(version)
    assert trap.exists()


def test_memory_is_bounded(runs: Runs) -> None:
    """A result is read in pieces."""

    class Counting(Hooked):
        largest = 0

        def before(self, operation: str, arguments: tuple[Any, ...]) -> None:
            if operation == "read":
                self.largest = max(self.largest, arguments[1])

    publish(runs.begin(), os.urandom(3 << 20))
    files = Counting()

    assert [] == list(check(DiskStore(runs.root, files=files)))
    assert files.largest == 1 << 20


def test_the_claim_of_a_dead_run_is_found(runs: Runs) -> None:
    """Of a living one it is none; one that was never signed counts as dead after a second."""
    dead, alive = runs.begin(), runs.begin()
    claimed(dead)
    claimed(alive, OTHER)
    runs.end(dead)
    unsigned = Path(runs.root, "module.Task/results/9")
    unsigned.mkdir()
    (unsigned / "claim.1").touch()
    young = kinds(alive)
    outwait(alive, Place("module.Task", 9, ""))

    assert {"module.Task/results/7/claim.1": "dead"} == young
    assert {**young, "module.Task/results/9/claim.1": "dead"} == kinds(alive)


def test_what_is_not_ours_is_found(runs: Runs) -> None:
    """On every level, of every kind. A link is not followed, and damage where it has a name of ours."""
    store = runs.begin()
    publish(store, 1)
    root, place = Path(store.root), place_of(store)
    (root / "notes").mkdir()
    (root / "notes.txt").touch()
    (root / "link").symlink_to(place)
    (root / "module.Task" / "file").touch()
    (root / "module.Task/results/abc").mkdir()
    (root / "module.Task/results/12").touch()
    (root / "run" / "README").touch()
    (root / "run" / ("0" * 32)).mkdir()
    for name in ("file", "result.01.pkl.gz", "data.1.txt", "claim.1.pkl.gz"):
        (place / name).touch()
    for name in ("folder", "stdout.1.txt", "result.7.pkl.gz"):
        (place / name).mkdir()
    os.mkfifo(place / "claim.8")
    (place / "failed.3").symlink_to("result.1.pkl.gz")

    expected = "notes notes.txt link module.Task/file module.Task/results/abc module.Task/results/12 run/README".split()
    expected.append(f"run/{'0' * 32}")
    inside = "file result.01.pkl.gz data.1.txt claim.1.pkl.gz folder stdout.1.txt result.7.pkl.gz claim.8 failed.3"
    expected += [f"module.Task/results/7/{name}" for name in inside.split()]
    links = ["link", "module.Task/results/7/failed.3"]
    assert {**dict.fromkeys(expected, "foreign"), **dict.fromkeys(links, "damaged")} == kinds(store)


def test_the_result_of_another_task_is_found(runs: Runs) -> None:
    """Known by its class, and by the key that args.json names; a renamed version by its number."""
    store = runs.begin()
    source = Path(publish(store, 1).path)
    attempt = store.claim(OTHER, lambda: KEYED, nothing)
    assert isinstance(attempt, DiskAttempt)
    attempt.commit(2, facts())
    stranger = Place("module.Other", 7, PLACE.key)
    publish(store, 3, stranger)
    shutil.copy(source, place_of(store, stranger) / "result.1.pkl.gz")
    shutil.copy(source, source.with_name("result.3.pkl.gz"))

    assert {
        "module.Other/results/7/result.1.pkl.gz": "foreign",
        "module.Task/results/8/result.1.pkl.gz": "foreign",
        "module.Task/results/7/result.3.pkl.gz": "damaged",
    } == kinds(store)


def test_what_belongs_to_no_attempt_is_found(runs: Runs) -> None:
    """Data and logs of numbers that are gone; those of the attempt to come are none."""
    store = runs.begin()
    publish(store, 1)
    publish(store, 2)
    place = place_of(store)
    (place / "result.1.pkl.gz").unlink()
    for number in (1, 2, 3, 4):
        (place / f"data.{number}").mkdir()
        (place / f"stdout_caller.{number}.txt").touch()

    names = ["data.1", "data.4", "stdout_caller.1.txt", "stdout_caller.4.txt"]
    assert {f"module.Task/results/7/{name}": "orphan" for name in names} == kinds(store)


def test_what_runs_left_is_found(runs: Runs) -> None:
    """Marks and spools of dead runs, and the trash; whether the next clear may empty it is said."""
    store, other = runs.begin(), runs.begin()
    publish(store, 1)
    store.clear(PLACE)
    run, trash = Path(runs.root, "run"), Path(runs.root, "trash")
    (run / ("1" * 32)).touch()
    shutil.copy(run / other.token, run / ("2" * 32))
    (run / f"{'3' * 32}.d").mkdir()
    (run / f"{'4' * 32}.new").touch()
    age(run / f"{'4' * 32}.new")
    (run / f"{'5' * 32}.new").touch()
    Path(runs.root, f".taskproc.{'6' * 32}.tmp").touch()

    found = kinds(store)

    expected = [f"run/{'2' * 32}", f"run/{'3' * 32}.d", f"run/{'4' * 32}.new", f".taskproc.{'6' * 32}.tmp"]
    expected += [f"trash/{path.name}" for path in trash.iterdir()]
    assert 5 == len(expected)
    assert dict.fromkeys(expected, "leftover") == found
    assert ["cleared or retired; it stays while runs are at work"] == texts(store, "trash")
    (run / ("1" * 32)).unlink()
    runs.close()
    assert ["cleared or retired; the next clear removes it"] == texts(store, "trash")


def texts(store: DiskStore, below: str) -> list[str]:
    return [found.text for found in check(store) if Path(found.path).parent.name == below]


def test_what_vanishes_meanwhile_is_no_finding(runs: Runs) -> None:
    """A clear while it looks."""
    store = runs.begin()
    publish(store, 1)
    claimed(store, OTHER)

    class Clearing(Files):
        def read_only(self, folder: Any, name: str) -> int:
            store.clear(PLACE)
            store.clear(OTHER)
            return super().read_only(folder, name)

    found = list(check(DiskStore(runs.root, files=Clearing())))

    assert {"leftover"} >= {each.kind for each in found}


def test_findings_come_in_the_order_of_names(runs: Runs) -> None:
    """The same cache gives the same list."""
    store = runs.begin()
    publish(store, 1)
    for name in "cab":
        (place_of(store) / name).touch()

    found = list(check(store))

    assert sorted(found, key=lambda each: each.path) == found == list(check(store))
    assert found[0] == Finding(str(place_of(store) / "a"), "foreign", "a file that taskproc did not create")
