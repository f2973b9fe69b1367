"""How a cache is kept: what its options take, and what they do to the files."""
from __future__ import annotations

import errno
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults import PLACE, Hooked, Runs, claimed, facts, newest

from taskproc.errors import CacheError, OptionError
from taskproc.store.cache import Cache
from taskproc.store.disk import DiskStore
from taskproc.store.rules import CacheRules, Durability, own_uid


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"durability": "all"}, "durability must be 'none', 'result' or 'full', got 'all'"),
        ({"durability": None}, "durability must be .*, got None"),
        ({"durability": ["full"]}, "durability must be .*, got"),
        ({"keep_versions": -1}, "keep_versions must be at least 0, got -1"),
        ({"keep_versions": True}, "keep_versions must be .*, got True"),
        ({"keep_versions": 1.0}, "keep_versions must be .*, got 1.0"),
        ({"shared": 1}, "shared must be True or False, got 1"),
        ({"shared": "group"}, "shared must be .*, got 'group'"),
        ({"key_file": 5}, "key_file must be the path of a file, got a int"),
        ({"key_file": b"secret"}, "key_file must be the path of a file, got a bytes"),
        ({"key_file": ""}, "key_file must be the path of a file, got a str"),
    ],
    ids=str,
)
def test_a_wrong_option_is_refused_where_it_is_given(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    """Before a folder is made; the option is named, and what might be a secret is not."""
    with pytest.raises(OptionError, match=words) as caught:
        Cache(tmp_path / "cache", **options)

    assert "secret" not in str(caught.value)
    assert not (tmp_path / "cache").exists()


def test_the_options_become_rules(tmp_path: Path) -> None:
    """As they were given; what is ours counts."""
    cache = Cache(tmp_path, durability="full", keep_versions=3, shared=True)

    assert CacheRules("full", 3, None, True, frozenset({own_uid()})) == cache.store.rules
    assert CacheRules(owners=frozenset({own_uid()})) == Cache(tmp_path).store.rules


def test_rules_travel() -> None:
    """They go with every job."""
    rules = CacheRules("none", 0, "/key", True, frozenset({1, 2}), "no")

    assert rules == pickle.loads(pickle.dumps(rules))


@pytest.mark.parametrize(
    ("rules", "trusted"),
    [
        (CacheRules(), {0, own_uid()}),
        (CacheRules(owners=frozenset({7})), {0, 7, own_uid()}),
        (CacheRules(shared=True), {0, 7, 8, own_uid()}),
    ],
)
def test_whose_files_count(rules: CacheRules, trusted: set[int]) -> None:
    """Root's, one's own, those of who began the run; everybody's where the cache is shared."""
    assert trusted == {owner for owner in (0, 7, 8, own_uid()) if rules.trusts(owner)}


class Noting(Hooked):
    """Notes the operations that write, or make what was written last."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[str] = []

    def before(self, operation: str, arguments: tuple[Any, ...]) -> None:
        if operation in {"mkdir", "sync", "sync_folder", "rename"}:
            self.noted.append(operation)


def operations(root: str, token: str, durability: Durability, seconds: float) -> list[str]:
    """What is done to the disk by a first claim and its commit."""
    files = Noting()
    attempt = claimed(DiskStore(root, token, files, CacheRules(durability)))
    assert attempt.commit(1, facts(seconds=seconds)) is not None
    return files.noted


@pytest.mark.parametrize(
    ("durability", "seconds", "expected"),
    [
        ("none", 9.0, "mkdir mkdir mkdir rename"),
        ("result", 0.019, "mkdir mkdir mkdir rename"),
        ("result", 0.02, "mkdir mkdir mkdir sync rename"),
        ("full", 0.0, "mkdir mkdir mkdir sync_folder sync_folder sync_folder sync rename sync_folder"),
    ],
)
def test_durability(runs: Runs, durability: Durability, seconds: float, expected: str) -> None:
    """Nothing is flushed, or what took 20 ms, or all: new folders in their parents, the file, then its name."""
    assert expected.split() == operations(runs.root, runs.begin().token, durability, seconds)


def test_a_folder_that_cannot_be_flushed(runs: Runs) -> None:
    """After the rename the version is published, so this is not a failure any more."""

    class Failing(Hooked):
        on = False

        def before(self, operation: str, arguments: tuple[Any, ...]) -> None:
            if self.on and operation == "sync_folder":
                raise OSError(errno.EIO, "broken")

    files = Failing()
    attempt = claimed(DiskStore(runs.root, runs.begin().token, files, CacheRules("full")))
    files.on = True

    assert attempt.commit(1, facts()) is not None


class TestARemovedCache:
    """Somebody removes the cache folder while a run is at work on it."""

    @pytest.fixture
    def removed(self, runs: Runs) -> DiskStore:
        store = runs.begin()
        Path(runs.root).rename(f"{runs.root}.gone")
        return store

    def test_a_claim_says_so(self, removed: DiskStore) -> None:
        """It makes no second cache at the path, which would have no mark, no format and none of the results."""
        with pytest.raises(CacheError, match="was removed or renamed while it was in use"):
            removed.claim(PLACE, lambda: "{}", newest)

        assert not Path(removed.root).exists()

    @pytest.mark.parametrize(
        "look",
        [
            lambda store: list(store.look(PLACE)),
            lambda store: list(store.places()),
            lambda store: store.clear(PLACE),
            lambda store: store.code(PLACE.name, "a" * 64),
            lambda store: store.keep_code(PLACE.name, "a" * 64, {}),
            lambda store: store.retire({PLACE: 1}),
            lambda store: store.highest(PLACE),
        ],
    )
    def test_whoever_looks_finds_nothing(self, removed: DiskStore, look: Callable[[DiskStore], object]) -> None:
        """And makes nothing."""
        assert look(removed) in ([], False, None, 0)

        assert not Path(removed.root).exists()

    def test_an_attempt_ends(self, runs: Runs) -> None:
        """What is at work can publish nothing, and its next claim says why."""
        store = runs.begin()
        attempt = claimed(store)
        Path(runs.root).rename(f"{runs.root}.gone")

        with pytest.raises(CacheError, match="was removed"):
            _ = attempt.directory
        assert attempt.commit(1, facts()) is None
        assert not Path(runs.root).exists()




@pytest.mark.parametrize(("value", "shared"), [("1", True), ("yes", True), ("0", False), ("", False)])
def test_the_environment_may_share(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str, shared: bool) -> None:
    """Where there is no line to write it on, as on the command line; what was said in code stays said."""
    monkeypatch.setenv("TASKPROC_SHARED", value)

    assert Cache(tmp_path).store.rules.shared is shared
    assert Cache(tmp_path, shared=True).store.rules.shared
