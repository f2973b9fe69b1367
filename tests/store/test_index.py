"""What is remembered is what a look finds, at any time: or there is a look."""
from __future__ import annotations

import errno
import itertools
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from faults import Dying, Failing, Hooked, Runs, few, place_of, processes, publish
from hypothesis import given
from hypothesis import strategies as st

from taskproc.frozen import replace
from taskproc.kernel.model import Stamp
from taskproc.kernel.rebuild import Present, judge
from taskproc.store import index, layout
from taskproc.store.check import check
from taskproc.store.disk import DiskStore
from taskproc.store.files import Folder
from taskproc.store.index import Index
from taskproc.store.layout import Place
from taskproc.store.rules import make_key_file
from taskproc.store.version import Facts, Version, package_versions
from tests.signs import SignsByContent

NAME = "module.Task"
PLACES = [Place(NAME, number, f"{number:064x}") for number in range(1, 4)]
CODE = Present("1", {})


class Signs(SignsByContent, Hooked):
    """With hooks."""


class Looks(Signs):
    """Counts what is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def before(self, operation: str, arguments: tuple[Any, ...]) -> None:
        self.looks += operation in ("open_folder", "tail")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three tasks are many."""
    monkeypatch.setattr(index, "LEAST", 2)


def begin(store: DiskStore) -> Index:
    """That of a new run over all places."""
    return Index(store, {NAME: len(PLACES)})


def looked(store: DiskStore, place: Place, now: Present) -> Version | None:
    """What a look finds."""
    found = judge(store.look(place), now)
    return found if isinstance(found, Version) else None


def keep(store: DiskStore, now: Present = CODE) -> None:
    """What a run over all places remembers."""
    found = [(version, now) for place in PLACES if (version := looked(store, place, now)) is not None]
    begin(store).keep(found)


def file_of(store: DiskStore) -> Path:
    return Path(layout.class_path(store.root, NAME), "index")


@pytest.fixture
def store(runs: Runs) -> DiskStore:
    return runs.begin(Looks())


@pytest.fixture
def kept(store: DiskStore) -> DiskStore:
    """All places have a result, and all are remembered."""
    for place in PLACES:
        publish(store, place.id, place)
    keep(store)
    return store


def remembered(store: DiskStore, now: Present = CODE) -> list[Version | None]:
    return [begin(store).find(place, now) for place in PLACES]


def test_what_is_remembered_is_what_was_found(kept: DiskStore) -> None:
    """All that a reader needs: number, stamp, path and digests, and the value without opening a file."""
    versions = remembered(kept)
    files: Any = kept.files
    before = files.looks

    assert [1, 2, 3] == [kept.value(version) for version in versions if version is not None]
    assert before == files.looks
    for version, place in zip(versions, PLACES):
        found = looked(kept, place, CODE)
        assert version is not None
        assert found is not None
        thin = replace(found.record, nonce="", code="", needs={})
        assert replace(found, record=thin, about={}) == version
        assert place.id == kept.load(version)


def test_the_versions_of_packages_are_remembered(store: DiskStore) -> None:
    """Where a record names some, so that who compares them need not open it; also in a row that is carried over."""
    made = [{"numpy": "1.26.4"}, {"numpy": "2.1.0", "yaml": "6.0 beta"}, {}]
    for place, packages in zip(PLACES, made):
        publish(store, place.id, place, made_from=Facts("1", {}, packages=packages))
    keep(store)
    begin(store).keep([(version, CODE) for place in PLACES[:1] if (version := looked(store, place, CODE)) is not None])

    found = [version and package_versions(version.about) for version in remembered(store)]

    assert [{name: version for name, version in each.items() if name != "python"} for each in found if each] == made[:2]
    assert found[2] == {}
    assert [version and version.record.stamp for version in remembered(store)] == [
        version and version.record.stamp for version in (looked(store, place, CODE) for place in PLACES)
    ]


def test_one_look_at_a_folder(kept: DiskStore) -> None:
    """One `lstat` a task, and one small file for all."""
    files: Any = kept.files
    index, before = begin(kept), files.count
    index.find(PLACES[0], CODE)
    first = files.count - before

    assert None is not index.find(PLACES[1], CODE)
    assert first + 1 == files.count - before
    assert 9 == first  # open, size, read, close; two folders opened and closed; and the folder of the task


NEED = {"upstream": Stamp("order", "value")}


@pytest.mark.parametrize(
    "now",
    [
        Present("2", {}),
        Present(None, {}),
        Present("1", NEED),
        Present("1", {}, {"version": "2"}),
        Present("1", {}, above=1),
    ],
    ids=["code", "no code", "needs", "settings", "above"],
)
def test_made_from_other_things(kept: DiskStore, now: Present) -> None:
    """Then there is a look, which may find another version, or this one for other reasons."""
    assert [None] * 3 == remembered(kept, now)


def test_needs_are_told_apart(store: DiskStore) -> None:
    """By key, order and value, also where these run into each other."""
    stamps = [("ab", "c", "d"), ("a", "bc", "d"), ("a", "b", "cd"), ("abc", "d", "")]
    presents = [Present("1", {key: Stamp(order, value)}) for key, order, value in stamps]
    presents += [Present("1", {}), Present("1", {"a": Stamp("b", "c"), "d": Stamp("e", "f")})]

    assert len(presents) == len({begin(store)._digest_of("key", now) for now in presents})


@pytest.mark.parametrize("change", ["cleared", "cleared and made", "a newer one", "a file more", "moved and back"])
def test_a_folder_that_has_changed(kept: DiskStore, change: str, tmp_path: Path) -> None:
    """Whatever it was: there is a look. The others are as they were."""
    place, folder = PLACES[0], place_of(kept, PLACES[0])
    if change.startswith("cleared"):
        kept.clear(place)
    if change == "cleared and made":
        publish(kept, 9, place)
    elif change == "a newer one":
        publish(kept, 9, place, forced=True)
    elif change == "a file more":
        (folder / "notes.txt").touch()
    elif change == "moved and back":
        folder.rename(tmp_path / "elsewhere")
        folder.mkdir()

    versions = remembered(kept)

    assert versions[0] is None
    assert None not in versions[1:]


def test_a_link_in_its_place(kept: DiskStore, runs: Runs, tmp_path: Path) -> None:
    """Is not followed."""
    runs.expects_damage = True
    folder = place_of(kept, PLACES[0])
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")

    assert remembered(kept)[0] is None


def test_only_the_newest_is_remembered(store: DiskStore) -> None:
    """A version that is good though a newer one is there is found by a look, each time."""
    for place in PLACES:
        publish(store, place.id, place)
    publish(store, 9, PLACES[0], made_from=Facts("2", {}))

    keep(store)

    assert [None, 1, 1] == [version and version.record.number for version in remembered(store)]


@pytest.mark.skipif(sys.platform != "linux", reason="what a descriptor leads to is told by /proc")
def test_a_link_that_comes_while_it_is_made(runs: Runs, tmp_path: Path) -> None:
    """What is looked at is what was opened; behind the link nothing is read, remembered or written."""
    runs.expects_damage = True
    outside, moved = tmp_path / "outside", tmp_path / "moved"
    store = runs.begin(Signs())
    for place in PLACES:
        publish(store, place.id, place)
    folder = file_of(store).parent
    shutil.copytree(folder, outside)
    seen: list[str] = []

    class Planting(Signs):
        def before(self, operation: str, arguments: tuple[Any, ...]) -> None:
            if operation == "make" and not folder.is_symlink():
                folder.rename(moved)
                folder.symlink_to(outside)
            if operation in ("listdir", "tail", "read_only") and folder.is_symlink():
                seen.append(os.readlink(f"/proc/self/fd/{arguments[0]}"))

    store.files = Planting()
    keep(store)

    assert not (outside / "index").exists()
    assert (moved / "index").exists()
    assert [str(moved / "results" / str(place.id)) for place in PLACES] == seen


def test_changed_just_now(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """What may change once more within a tick of the clock is left out; so is a time without fine parts."""
    times, ids = {place.id: 1_000_000_000_000_001 for place in PLACES}, dict[int, int]()

    class Clock(Hooked):
        now = 1_000_000_100_000_000
        asked = 0

        def sign(self, folder: Folder) -> tuple[int, int] | None:
            self.asked += 1
            number = ids.get(os.stat(folder).st_ino)
            return (1, self.asked if number is None else times[number])

        def modified(self, handle: int) -> int:
            Clock.now += 25_000_000
            return Clock.now

    store = runs.begin(Clock())
    for place in PLACES:
        publish(store, place.id, place)
        ids[place_of(store, place).stat().st_ino] = place.id
    times[PLACES[0].id] = Clock.now + 1               # grows old enough while the others are looked at
    times[PLACES[1].id] = 1_000_000_000_000_000       # a clock of whole milliseconds

    keep(store)

    assert [True, False, True] == [version is not None for version in remembered(store)]
    file_of(store).unlink()
    times[PLACES[2].id] = Clock.now + 60_000_001      # and this one does not
    keep(store)
    assert not file_of(store).exists()


def test_folders_that_do_not_tell(runs: Runs) -> None:
    """On a file system on which the time of a folder stays as it is nothing is remembered."""

    class Still(Hooked):
        def sign(self, path: str) -> tuple[int, int] | None:
            return (1, 7)

    store = runs.begin(Still())
    for place in PLACES:
        publish(store, place.id, place)

    keep(store)

    assert {"results"} == {path.name for path in file_of(store).parent.iterdir()}


def test_too_few_or_too_many(kept: DiskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run over few tasks does not read what is remembered of many, and leaves it as it is."""
    content = file_of(kept).read_bytes()
    monkeypatch.setattr(index, "_MOST", 10)

    assert [None] * 3 == remembered(kept)
    keep(kept)
    assert content == file_of(kept).read_bytes()
    monkeypatch.setattr(index, "LEAST", 9)
    assert [None] * 3 == remembered(kept)


def test_it_takes_no_longer_than_a_part_of_the_run(kept: DiskStore) -> None:
    """What there is no time for is looked at by the next run; and a second may always be taken."""
    found = [(version, CODE) for place in PLACES if (version := looked(kept, place, CODE)) is not None]
    for begun, step, expected in ((0.0, 1.0, 2), (0.0, 0.8, 3), (8.0, 0.4, 2), (8.0, 0.3, 3)):
        file_of(kept).unlink()
        times = itertools.chain([begun], itertools.count(10.0, step))

        Index(kept, {NAME: len(PLACES)}, clock=lambda times=times: next(times)).keep(found)  # type: ignore[misc]

        assert expected == sum(version is not None for version in remembered(kept)), (begun, step)


def test_rows_of_others_stay(kept: DiskStore) -> None:
    """As long as their folders are as they were."""
    publish(kept, 9, PLACES[0], forced=True)
    kept.clear(PLACES[2])
    publish(kept, 3, PLACES[2])
    found = [(version, CODE) for place in PLACES[::2] if (version := looked(kept, place, CODE)) is not None]

    begin(kept).keep(found)

    assert [2, 1, 1] == [version and version.record.number for version in remembered(kept)]
    for place in PLACES[:2]:
        kept.clear(place)
    begin(kept).keep(found)  # of which nothing is there any more but one: not worth a file
    assert [None, None, 1] == [version and version.record.number for version in remembered(kept)]


def test_one_row_a_place(kept: DiskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered last, and no rows of folders that have changed."""
    size = file_of(kept).stat().st_size
    keep(kept, Present(None, {}))

    assert ([None] * 3, size) == (remembered(kept), file_of(kept).stat().st_size)
    assert None not in remembered(kept, Present(None, {}))
    kept.clear(PLACES[0])
    begin(kept).keep([(version, CODE) for version in remembered(kept, Present(None, {})) if version is not None])
    assert size * 2 // 3 < file_of(kept).stat().st_size < size * 3 // 4


def test_a_few_are_not_worth_a_new_file(kept: DiskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """One in eight, and none that would not be worth a first one."""
    monkeypatch.setattr(index, "LEAST", 1)
    monkeypatch.setattr(index, "_SHARE", 1)
    file_of(kept).touch()
    before = file_of(kept).stat()

    begin(kept).keep([(version, CODE) for version in remembered(kept)[:2] if version is not None])

    assert before == file_of(kept).stat()


def test_one_that_needs_much_is_worth_it(store: DiskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record is the longer the more it names."""
    monkeypatch.setattr(index, "LEAST", 3)
    publish(store, 1, PLACES[0], made_from=Facts("1", NEED))
    for needs in (NEED, {**NEED, "another": Stamp("order", "value")}):
        now = Present("1", needs)
        run = Index(store, {NAME: 1 + len(needs)})

        run.keep([(version, now) for version in store.look(PLACES[0])])

        known = Index(store, {NAME: 3}).find(PLACES[0], now)
        assert (len(needs) == 2) == file_of(store).exists() == (known is not None)


def test_of_two_with_one_id_the_key_decides(kept: DiskStore) -> None:
    """As in the folder that they share."""
    assert begin(kept).find(PLACES[0]._replace(key="f" * 64), CODE) is None


def test_damage_is_seen(kept: DiskStore) -> None:
    """Cut off or changed anywhere: all folders are read, and the next run writes it again."""
    path = file_of(kept)
    content = path.read_bytes()
    bad = [content[:length] for length in (0, 10, len(content) // 2, len(content) - 1)] + [content + b"x"]
    bad += [content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :] for at in range(0, len(content), 7)]

    seen = set()
    for each in bad:
        path.write_bytes(each)
        seen.update(remembered(kept))

    assert {None} == seen
    keep(kept)
    assert content == path.read_bytes()


def test_whose_it_is(kept: DiskStore, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was not signed with our key, belongs to a stranger, or holds results of strangers, does not count."""
    make_key_file(tmp_path / "key")
    shared = DiskStore(kept.root, files=kept.files, rules=replace(kept.rules, shared=True))
    signed = DiskStore(kept.root, files=kept.files, rules=replace(kept.rules, key_file=str(tmp_path / "key")))

    assert [None] * 6 == [*remembered(shared), *remembered(signed)]
    begin(signed).keep([(version, CODE) for place in PLACES if (version := looked(kept, place, CODE))])
    assert ([None] * 3, 3) == (remembered(kept), sum(version is not None for version in remembered(signed)))
    monkeypatch.setattr(type(signed.rules), "trusts", lambda rules, owner: False)
    assert [None] * 3 == remembered(signed)


def test_a_cache_that_cannot_be_written(kept: DiskStore) -> None:
    """Existing rows are used; a failed write raises nothing and leaves nothing behind."""
    file_of(kept).unlink()
    files = Failing(errno.EROFS, 0)
    kept.files = files
    keep(kept)

    assert files.failed == "make"
    assert {"results"} == {path.name for path in file_of(kept).parent.iterdir()}
    kept.rules = replace(kept.rules, refusal="of a newer format")
    kept.files = Signs()
    keep(kept)
    assert not file_of(kept).exists()


def test_it_is_no_stranger_to_check(kept: DiskStore) -> None:
    """And the remains of one that was being written are reported."""
    assert [] == list(check(kept))
    left = file_of(kept).parent / f".index.{'0' * 32}.tmp"
    left.touch()
    os.utime(left, (1, 1))
    assert [("leftover", str(left))] == [(found.kind, found.path) for found in check(kept)]


def _dies(root: str, at: int) -> None:
    class Ends(Signs, Dying):
        pass

    index.LEAST = 2
    store = DiskStore(root, files=Signs())
    found = [(version, CODE) for place in PLACES if (version := looked(store, place, CODE)) is not None]
    run = begin(store)
    store.files = Ends(at)
    run.keep(found)
    os._exit(7)


@pytest.mark.slow
def test_who_dies_in_it_costs_nothing(kept: DiskStore) -> None:
    """Killed at each operation: what is remembered is what was before, or all that was to be."""
    ends, at = [], 0
    while not ends or ends[-1] != 7:
        at += 1
        file_of(kept).unlink(missing_ok=True)
        process = processes.Process(target=_dies, args=(kept.root, at))
        process.start()
        process.join()
        ends.append(process.exitcode)
        assert sum(version is not None for version in remembered(kept)) in (0, 3)

    assert at > 10
    assert 3 == sum(version is not None for version in remembered(kept))


DEEDS = ["publish", "force", "clear", "accept", "keep", "damage"]
deeds = st.lists(st.tuples(st.sampled_from(DEEDS), st.integers(0, 2), st.sampled_from("12")), max_size=12)


@few
@given(deeds=deeds)
def test_it_never_says_anything_but_a_look(deeds: list[tuple[str, int, str]], tmp_path_factory: Any) -> None:
    """Whatever was published, forced, cleared, accepted and remembered, in whatever order, under either code."""
    runs = Runs(tmp_path_factory.mktemp("runs") / "cache")
    store = runs.begin(Signs())
    for deed, number, code in deeds:
        place, now = PLACES[number], Present(code, {})
        _do(deed, store, place, code)
        for place in PLACES:
            for now in (Present("1", {}), Present("2", {})):
                known, found = begin(store).find(place, now), looked(store, place, now)
                assert known is None or (found is not None and known.record.stamp == found.record.stamp)
    runs.close()


def _do(deed: str, store: DiskStore, place: Place, code: str) -> None:
    if deed in ("publish", "force"):
        publish(store, code, place, forced=deed == "force", made_from=Facts(code, {}))
    elif deed == "clear":
        store.clear(place)
    elif deed == "accept" and (version := next(store.look(place), None)) is not None:
        store.accept(place, version, code)
    elif deed == "keep":
        keep(store, Present(code, {}))
    elif deed == "damage" and (version := next(store.look(place), None)) is not None:
        os.rename(version.path, Path(version.path).with_name(f"bad.{version.record.number}"))
