"""What digests of code stand for: kept once, for people; never a reason to fail."""
from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from faults import OTHER, PLACE, Failing, Runs, publish

from taskproc.store.check import check
from taskproc.store.disk import DiskStore

DIGEST = "0123456789abcdef" * 4
CONTENT = {"items": {"run_task": "1"}, "texts": {"run_task": "def run_task(self): ...\n"}, "untracked": ["é\ud800"]}


def folder(store: DiskStore) -> Path:
    return Path(store.root, PLACE.name, "code")


def test_what_was_kept_is_found(runs: Runs) -> None:
    """By class and digest; `check` and `places` know the folder."""
    store = runs.begin()
    store.keep_code(PLACE.name, DIGEST, CONTENT)

    assert CONTENT == DiskStore(runs.root).code(PLACE.name, DIGEST)
    assert [f"{DIGEST}.json"] == os.listdir(folder(store))
    assert [None, None] == [store.code("module.Other", DIGEST), store.code(PLACE.name, "f" * 64)]
    assert ([], []) == (list(check(store)), list(store.places()))


def test_it_is_kept_once(runs: Runs) -> None:
    """What is there stays: it stands for the same."""
    store = runs.begin()
    store.keep_code(PLACE.name, DIGEST, CONTENT)

    DiskStore(runs.root).keep_code(PLACE.name, DIGEST, {})

    assert CONTENT == store.code(PLACE.name, DIGEST)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"[" * 100_000, b"\xff"])
def test_what_is_torn_is_written_anew(runs: Runs, content: bytes) -> None:
    """It is as good as gone; `check` tells."""
    store = runs.begin()
    store.keep_code(PLACE.name, DIGEST, CONTENT)
    (folder(store) / f"{DIGEST}.json").write_bytes(content)

    assert store.code(PLACE.name, DIGEST) is None
    assert ["leftover"] == [found.kind for found in check(store)]
    store.keep_code(PLACE.name, DIGEST, CONTENT)
    assert CONTENT == store.code(PLACE.name, DIGEST)


@pytest.mark.parametrize("digest", ["", "abc", "../" * 8, "A" * 64, "a" * 129, f"{DIGEST}\n", "/" + "a" * 63])
def test_what_is_no_digest_is_no_name(runs: Runs, digest: str) -> None:
    """It would be a path."""
    store = runs.begin()

    with pytest.raises(ValueError, match="not the digest"):
        store.keep_code(PLACE.name, digest, CONTENT)
    with pytest.raises(ValueError, match="not the digest"):
        store.code(PLACE.name, digest)


@pytest.mark.parametrize("number", [28, 30, 13, 5, 122], ids=["ENOSPC", "EROFS", "EACCES", "EIO", "EDQUOT"])
def test_errors_are_no_failure(runs: Runs, number: int) -> None:
    """At every operation: nothing is raised, nothing half is found, and later it is kept."""
    at, failed = 0, []
    while True:
        at += 1
        store = DiskStore(runs.root, files=Failing(number, at))
        name = f"module{at}.Task"
        store.keep_code(name, DIGEST, CONTENT)
        assert isinstance(store.files, Failing)
        if not store.files.failed:
            break
        failed.append(store.files.failed)
        assert DiskStore(runs.root).code(name, DIGEST) is None

    assert ["mkdir", "mkdir", "make", "append", "sync", "rename"] == failed
    # Who cannot make the second folder leaves the first, empty
    assert ["module2.Task"] == [os.path.basename(found.path) for found in check(DiskStore(runs.root))]


@pytest.fixture
def runs(runs: Runs) -> Runs:
    """The cache is there, and nothing in it."""
    Path(runs.root).mkdir()
    return runs


def test_a_clear_takes_it_along(runs: Runs) -> None:
    """That of the class; that of a task leaves it."""
    store = runs.begin()
    publish(store, 1)
    publish(store, 2, OTHER)
    store.keep_code(PLACE.name, DIGEST, CONTENT)
    store.clear(PLACE)
    kept = store.code(PLACE.name, DIGEST)
    store.clear_all(PLACE.name)

    assert (CONTENT, None) == (kept, store.code(PLACE.name, DIGEST))


def test_strangers_are_found(runs: Runs) -> None:
    """Files that are not code, folders, and what a process left that died while writing."""
    store = runs.begin()
    store.keep_code(PLACE.name, DIGEST, CONTENT)
    (folder(store) / "notes.txt").touch()
    (folder(store) / f"{'a' * 64}.json").mkdir()
    (folder(store) / f"{'b' * 64}.json").symlink_to(f"{DIGEST}.json")
    half = folder(store) / f".{DIGEST}.json.{'0' * 32}.tmp"
    half.touch()
    fresh = {Path(found.path).name[:5]: found.kind for found in check(store)}
    os.utime(half, (0, 0))
    aged = {Path(found.path).name[:5]: found.kind for found in check(store)}

    runs.expects_damage = True
    assert {"notes": "foreign", "aaaaa": "foreign", "bbbbb": "damaged"} == fresh
    assert {**fresh, ".0123": "leftover"} == aged


def test_the_umask_decides(runs: Runs) -> None:
    """As for results."""
    before = os.umask(0o027)
    try:
        runs.begin().keep_code(PLACE.name, DIGEST, CONTENT)
    finally:
        os.umask(before)

    path = Path(runs.root, PLACE.name, "code", f"{DIGEST}.json")
    assert 0o640 == stat.S_IMODE(path.stat().st_mode)
