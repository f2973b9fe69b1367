"""A folder as a store: what is read is verified, and what is damaged is never a value."""
from __future__ import annotations

import errno
import gzip
import pickle
import random
from pathlib import Path
from typing import Any

import pytest
from faults import (
    OTHER,
    PLACE,
    WRITES,
    Failing,
    Hooked,
    Runs,
    arguments,
    claimed,
    facts,
    names,
    nothing,
    place_of,
    publish,
    values,
)

from taskproc.errors import CacheError, CorruptedResult, MissingResult
from taskproc.store.disk import DiskStore
from taskproc.store.version import Version


def read(store: DiskStore) -> tuple[str, object]:
    """The answer to a reader: a value, or one of the two expected errors."""
    versions = list(store.look(PLACE))
    if not versions:
        return "left out", None
    try:
        return "value", store.load(versions[0])
    except CorruptedResult:
        return "corrupted", None


def rewrite(path: Path, content: bytes) -> None:
    """A new file: to cut an old one to nothing costs some file systems milliseconds."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


@pytest.fixture
def result(runs: Runs) -> Version:
    """A small result, beside files and with a need."""
    return publish(runs.begin(), {"answer": 42})


def test_every_truncation_is_seen(result: Version, runs: Runs) -> None:
    """A torn write of whatever length is left out, never read."""
    path, store = Path(result.path), DiskStore(runs.root)
    content = path.read_bytes()

    seen = []
    for length in range(len(content)):
        rewrite(path, content[:length])
        seen.append(read(store))

    assert [("left out", None)] * len(content) == seen
    rewrite(path, content)
    assert ("value", {"answer": 42}) == read(store)


def test_every_flipped_bit_is_seen(result: Version, runs: Runs) -> None:
    """A bit that changed anywhere in the file is found before one byte is unpickled."""
    path, store = Path(result.path), DiskStore(runs.root)
    content = path.read_bytes()

    seen = set()
    for position in range(len(content)):
        rewrite(path, content[:position] + bytes([content[position] ^ 1 << position % 8]) + content[position + 1 :])
        seen.add(read(store)[0])

    assert {"left out", "corrupted"} == seen
    rewrite(path, content)


@pytest.mark.parametrize("damage", ["appended", "prepended", "zeros", "random", "doubled", "payload swapped"])
def test_other_damage_is_seen(result: Version, runs: Runs, damage: str) -> None:
    """So are bytes too many, blocks of zeros, and the payload of another result."""
    path, store = Path(result.path), DiskStore(runs.root)
    content = path.read_bytes()
    other = publish(runs.begin(), {"answer": 43}, OTHER)
    theirs = Path(other.path).read_bytes()
    path.write_bytes({
        "appended": content + b"\x00",
        "prepended": b"\x00" + content,
        "zeros": bytes(len(content)),
        "random": random.Random(1).randbytes(len(content)),
        "doubled": content + content,
        "payload swapped": content[: result.head] + theirs[other.head : other.size] + content[result.size :],
    }[damage])

    runs.expects_damage = True

    assert read(store)[0] in ("left out", "corrupted")


def test_a_footer_never_makes_a_reader_read_more_than_there_is(result: Version, runs: Runs) -> None:
    """A length that was damaged does not become a buffer."""

    class Counting(Hooked):
        largest = 0

        def before(self, operation: str, arguments: tuple[Any, ...]) -> None:
            if operation == "tail":
                self.largest = max(self.largest, arguments[2])

    path, files = Path(result.path), Counting()
    runs.expects_damage = True
    content = path.read_bytes()
    path.write_bytes(content[:-50] + (1 << 62).to_bytes(8, "little") + content[-42:])

    assert [] == list(DiskStore(runs.root, files=files).look(PLACE))
    assert 0 < files.largest <= 4096


def test_a_damaged_result_is_moved_aside(result: Version, runs: Runs) -> None:
    """The load that finds it makes it bad.<n>, so the next look does not find it; the number is not reused."""
    store = runs.begin()
    damage(result)

    with pytest.raises(CorruptedResult, match="damaged"):
        store.load(result)

    assert {"bad.1"} == names(store)
    assert 2 == claimed(store).number


def damage(version: Version) -> None:
    with open(version.path, "r+b") as file:
        file.seek(version.head + 3)
        file.write(b"\xaa\xbb")


def test_an_older_version_survives_the_newest(runs: Runs) -> None:
    """If the newest does not verify, the one before is what is found."""
    store = runs.begin()
    publish(store, "old")
    newest = publish(store, "new")
    Path(newest.path).write_bytes(b"")

    runs.expects_damage = True

    assert ["old"] == [store.load(version) for version in store.look(PLACE)]


def test_a_result_that_was_made_anew_is_not_moved_aside(runs: Runs) -> None:
    """Whoever holds a version from before a clear misses it; the result that bears its name now is somebody else's."""
    store = runs.begin()
    old = publish(store, "old")
    store.clear(PLACE)
    publish(store, "new")

    with pytest.raises(MissingResult) as caught:
        store.load(old)

    assert not isinstance(caught.value, CorruptedResult)
    assert ["new"] == [store.load(version) for version in store.look(PLACE)]


def test_a_result_made_anew_while_damage_is_found_is_not_moved_aside(runs: Runs) -> None:
    """Whatever operations of the load a clear and then a commit come before: the new result stays where it is."""
    other = runs.begin()

    class Between(Hooked):
        """Clears and claims before one operation, commits before the same or a later one."""

        def __init__(self, clears: int, commits: int):
            super().__init__()
            self.clears, self.commits = clears, commits

        def before(self, operation: str, arguments: tuple[Any, ...]) -> None:
            if self.count == self.clears:
                other.clear(PLACE)
                self.attempt = claimed(other)
            if self.count == self.commits:
                self.attempt.commit("new", facts())

    def left(clears: int, commits: int) -> list[object]:
        other.clear(PLACE)
        old = publish(other, "old")
        damage(old)
        files = Between(clears, commits)
        with pytest.raises(MissingResult):
            DiskStore(runs.root, files=files).load(old)
        return values(other) if files.count >= commits else ["new"]

    pairs = [(clears, commits) for commits in range(1, 12) for clears in range(1, commits + 1)]

    assert [] == [pair for pair in pairs if left(*pair) != ["new"]]


def test_nothing_is_unpickled_that_does_not_verify(runs: Runs, tmp_path: Path) -> None:
    """A pickle that somebody put into a result is not run, whatever it would do."""
    store = runs.begin()
    version = publish(store, "good")
    path, trap = Path(version.path), tmp_path / "sprung"

    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (trap,)

    content = path.read_bytes()
    crafted = gzip.compress(pickle.dumps(Trap()))
    path.write_bytes(content[: version.head] + crafted + content[version.size :])
    assert [] == list(store.look(PLACE))
    size = version.size - version.head
    path.write_bytes(content[: version.head] + crafted[:size].ljust(size, b"\x00") + content[version.size :])
    with pytest.raises(CorruptedResult):
        store.load(version)

    assert not trap.exists()


class TestReadOnly:
    """A cache that cannot be written is read as any other."""

    @pytest.fixture(params=[errno.EROFS, errno.EACCES])
    def store(self, request: pytest.FixtureRequest, runs: Runs) -> DiskStore:
        publish(runs.begin(), 1)
        return DiskStore(runs.root, files=Failing(request.param, 0))

    def test_is_read(self, store: DiskStore) -> None:
        """Looking, loading and asking for paths need no write."""
        (version,) = store.look(PLACE)

        assert 1 == store.load(version)
        assert place_of(store) / "data.1" == store.directory(PLACE)
        assert place_of(store) / "stdout.1.txt" == store.log_path(PLACE, "stdout")
        assert place_of(store, OTHER) / "data.1" == store.directory(OTHER)
        assert [(PLACE.name, PLACE.id)] == list(store.places())

    def test_damage_is_told(self, store: DiskStore, runs: Runs) -> None:
        """A damaged result cannot be moved aside, and is not believed either."""
        (version,) = store.look(PLACE)
        damage(version)

        for _ in range(2):
            with pytest.raises(CorruptedResult):
                store.load(version)
        runs.expects_damage = True

    def test_cannot_be_claimed(self, store: DiskStore) -> None:
        """CacheError says which folder and why."""
        with pytest.raises(CacheError, match=r"cannot write to cache .*(Read-only|Permission)"):
            store.claim(OTHER, arguments, nothing)

    def test_cannot_be_cleared(self, store: DiskStore) -> None:
        """Neither a task nor a class; CacheError says which folder and why."""
        for clear in (lambda: store.clear(PLACE), lambda: store.clear_all(PLACE.name)):
            with pytest.raises(CacheError, match=r"cannot clear in cache .*(Read-only|Permission)"):
                clear()

    def test_every_write_is_covered(self) -> None:
        """The list of writing operations names all that would fail there."""
        folders = {"listdir", "list_anew", "scandir", "open_folder", "close_folder"}
        reads = folders | {"few", "tail", "open_to_append", "read_only"}
        reads |= {"size_and_owner", "modified", "identity", "identity_of", "read", "read_into", "close", "remove_tree"}
        reads |= {"sign", "has", "kind", "target"}

        assert reads | WRITES == {name for name in vars(Hooked.__base__) if not name.startswith("_")}


def test_directory_names_the_newest_version_or_the_attempt_that_runs_or_will(runs: Runs) -> None:
    """Asked outside a run: where the files of the result are, or where those of the first attempt are or will be."""
    store, outside = runs.begin(), DiskStore(runs.root)
    before = outside.directory(PLACE)
    attempt = claimed(store)
    during = outside.directory(PLACE)
    attempt.commit(1, facts())
    claimed(store).fail({})

    assert before == during == attempt.directory
    assert before == store.directory(PLACE)


def test_logs_are_those_of_the_newest_attempt(runs: Runs) -> None:
    """Also of one that failed; asking for the file makes it, asking for the path does not."""
    store = runs.begin()
    claimed(store).fail({})
    publish(store, 1)

    assert place_of(store) / "stderr.2.txt" == store.log_path(PLACE, "stderr")
    assert not store.log_path(PLACE, "stderr").exists()
    assert "" == store.log(PLACE, "stderr").read_text()
    store.log(PLACE, "stderr").write_text("kept")
    assert "kept" == store.log(PLACE, "stderr").read_text()


def test_highest_counts_every_number(runs: Runs) -> None:
    """Published, failed and claimed ones."""
    store = runs.begin()
    seen = [store.highest(PLACE)]
    publish(store, 1)
    seen.append(store.highest(PLACE))
    claimed(store).fail({})
    seen.append(store.highest(PLACE))
    claimed(store)

    assert [0, 1, 2, 3] == [*seen, store.highest(PLACE)]


def test_places_are_what_has_a_folder(runs: Runs) -> None:
    """Whatever else lies in the cache is passed over."""
    store = runs.begin()
    publish(store, 1)
    root = Path(store.root)
    for path in ("notes/readme", "x/results/abc", "x/results/²", "x/results/-1"):
        (root / path).mkdir(parents=True)
    (root / "module.Task/results/file.txt").touch()
    (root / "file").touch()

    assert [(PLACE.name, PLACE.id)] == list(store.places())


def test_a_place_that_is_a_file_is_said_so(runs: Runs) -> None:
    """A file in the place of a folder is a CacheError for the writer, and empty for the reader."""
    store = runs.begin()
    place_of(store).parent.mkdir(parents=True)
    place_of(store).write_text("hello")

    assert [] == list(store.look(PLACE))
    with pytest.raises(CacheError, match="Not a directory"):
        store.claim(PLACE, arguments, nothing)
    assert store.clear(PLACE)
    assert claimed(store).commit(1, facts()) is not None


@pytest.mark.filterwarnings("ignore:.*is a link:RuntimeWarning")
def test_a_place_that_is_a_link_is_refused(runs: Runs, tmp_path: Path) -> None:
    """Somebody may have planted it: nothing is read or written where it leads."""
    store = runs.begin()
    publish(store, 1)
    place_of(store).rename(tmp_path / "elsewhere")
    place_of(store).symlink_to(tmp_path / "elsewhere")
    before = sorted((tmp_path / "elsewhere").iterdir())

    assert [] == list(store.look(PLACE))
    with pytest.raises(CacheError, match="Not a directory|link"):
        store.claim(PLACE, arguments, nothing)
    store.retire({PLACE: 1})
    assert store.clear(PLACE)
    assert before == sorted((tmp_path / "elsewhere").iterdir())


def test_whatever_lies_in_the_trash_is_removed(runs: Runs) -> None:
    """Files and links that were moved aside go as folders do; what a link leads to stays."""
    store = DiskStore(runs.root)
    place_of(store).mkdir(parents=True)
    trash = Path(store.root, "trash")
    trash.mkdir()
    (trash / "file").touch()
    (trash / "link").symlink_to(Path(__file__).parent)

    store.clear(PLACE)

    assert [] == list(trash.iterdir())
    assert Path(__file__).exists()
