"""Folders of a cache are reached level by level, and no level is a link."""
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from faults import PLACE, Interfering, Runs, arguments, claimed, facts, nothing, place_of, publish

from taskproc.errors import CacheError, LinkInCache
from taskproc.store import layout
from taskproc.store.disk import DiskStore
from taskproc.store.files import Files, IsLink
from taskproc.store.folder import CacheFolder


@pytest.fixture
def inside(tmp_path: Path) -> CacheFolder:
    """A cache folder with one folder in it, and one outside."""
    (tmp_path / "cache" / "a").mkdir(parents=True)
    (tmp_path / "outside" / "b").mkdir(parents=True)
    return CacheFolder(str(tmp_path / "cache"))


def test_a_folder_is_made_level_by_level(inside: CacheFolder) -> None:
    """What is there stays, what is missing is made."""
    for _ in range(2):
        inside.files.close_folder(inside.made_folder("a", "b", "c"))

    assert (Path(inside.root) / "a" / "b" / "c").is_dir()


@pytest.mark.parametrize("levels", [("link",), ("link", "b"), ("a", "link"), ("a", "link", "b")], ids=str)
def test_a_link_at_any_level_is_refused(inside: CacheFolder, tmp_path: Path, levels: tuple[str, ...]) -> None:
    """By its own path, whether there is something behind it or not; nothing is made behind it."""
    for parent in (tmp_path / "cache", tmp_path / "cache" / "a"):
        (parent / "link").symlink_to(tmp_path / "outside")
    link = os.path.join(inside.root, *levels[: levels.index("link") + 1])

    for reach in (inside.folder, inside.made_folder):
        with pytest.raises(LinkInCache) as caught:
            reach(*levels, "new")
        assert str(caught.value).startswith(f"{link!r} is a link")
    assert ["b"] == os.listdir(tmp_path / "outside")


def test_a_cache_that_is_gone_is_not_made(inside: CacheFolder) -> None:
    """There would be a second one without a mark."""
    Path(inside.root).rename(f"{inside.root}.gone")

    with pytest.raises(CacheError, match="was removed or renamed"):
        inside.made_folder("a", "b")
    assert not Path(inside.root).exists()


def test_files_without_descriptors_look_at_each_level(
    inside: CacheFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system has none a folder is a path, and a link is refused as well."""
    monkeypatch.setattr("taskproc.store.files._HAS_FOLDERS", False)
    (tmp_path / "cache" / "a" / "link").symlink_to(tmp_path / "outside")

    assert str(tmp_path / "outside" / "b") == Files().open_folder(str(tmp_path / "outside"), ("b",))
    with pytest.raises(IsLink):
        Files().open_folder(str(tmp_path / "cache" / "a"), ("link", "b"))
    with pytest.raises(FileNotFoundError):
        Files().open_folder(str(tmp_path / "cache" / "a"), ("nothing",))


OPERATIONS = (
    "mkdir write_text make append rename move_out tail listdir list_anew has kind touch open_folder read_only".split()
)
DEEDS: dict[str, Callable[[DiskStore], object]] = {
    "claim": lambda store: claimed(store).commit(1, facts()),
    "again": lambda store: publish(store, 2),
    "look": lambda store: [store.load(version) for version in store.look(PLACE)],
    "clear": lambda store: store.clear(PLACE),
    "retire": lambda store: store.retire({PLACE: 3}),
    "code": lambda store: store.keep_code(PLACE.name, "a" * 64, {}),
    "log": lambda store: store.log(PLACE, "stdout"),
    "directory": lambda store: store.directory(PLACE, lambda versions: versions[-1]),
    "bury": lambda store: [claimed(store, forced=True), store.bury(PLACE, {}), store.failure(PLACE)],
}


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_link_that_comes_in_between_leads_nowhere(runs: Runs, tmp_path: Path, operation: str, deed: str) -> None:
    """The folder is swapped for a link right before an operation: that goes on in what was opened, or is refused."""
    first = runs.begin()
    if deed != "claim":
        for value in (1, 2, 3):
            publish(first, value)
    runs.end(first)
    outside = tmp_path / "outside"
    (outside / "results" / str(PLACE.id)).mkdir(parents=True)
    (outside / "results" / str(PLACE.id) / "result.1.pkl.gz").write_text("precious")
    class_folder = Path(layout.class_path(runs.root, PLACE.name))

    def swap() -> None:
        class_folder.mkdir(exist_ok=True)
        class_folder.rename(tmp_path / "aside")
        class_folder.symlink_to(outside)

    files = Interfering(operation, swap)
    runs.expects_damage = True
    before = sorted(map(str, outside.rglob("*")))

    try:
        DEEDS[deed](runs.begin(files))
    except (CacheError, LookupError, AssertionError):
        pass  # told, or somebody else is said to have it

    assert before == sorted(map(str, outside.rglob("*")))
    assert "precious" == (outside / "results" / str(PLACE.id) / "result.1.pkl.gz").read_text()


def test_a_claim_says_which_link(runs: Runs, tmp_path: Path) -> None:
    """And what to do."""
    store = runs.begin()
    publish(store, 1)
    runs.expects_damage = True
    place_of(store).parent.rename(tmp_path / "elsewhere")
    place_of(store).parent.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(LinkInCache, match=r"results' is a link.* Remove the link, or move what it leads to"):
        store.claim(PLACE, arguments, nothing)
