"""Manifests of data directories: equal for equal files, and of what is not known there is none."""
from __future__ import annotations

import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from faults import PLACE, Runs, claimed, die_everywhere, facts, newest, place_of, processes

from taskproc.store import contents
from taskproc.store.check import check
from taskproc.store.contents import Manifest, manifest_of
from taskproc.store.disk import DiskStore
from taskproc.store.files import Files

pytestmark = pytest.mark.usefixtures("cache")


def made(folder: Path) -> Manifest | None:
    return manifest_of(Files(), str(folder.parent), folder.name, str(folder))


def fill(folder: Path) -> None:
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "deep" / "er" / "b").write_bytes(bytes(3 << 20))
    (folder / "a\udcff").write_text("a")
    (folder / "tool").touch(0o777)
    (folder / "link").symlink_to("a")
    (folder / "own").symlink_to(folder / "deep")
    (folder / "out").symlink_to("/")


def test_equal_files_give_equal_manifests(tmp_path: Path) -> None:
    """Wherever they lie, whenever and in whatever order they were written; times do not count."""
    for name in ("data.1", "data.2"):
        fill(tmp_path / name)
    os.utime(tmp_path / "data.2" / "tool", (1, 1))

    one, other = made(tmp_path / "data.1"), made(tmp_path / "data.2")

    assert one is not None
    assert one == other
    rows = {path: (kind, size, said) for path, kind, size, said in json.loads(one.text)["files"]}
    assert rows["deep/er/b"] == ("file", 3 << 20, sha256(bytes(3 << 20)).hexdigest())
    assert (rows["out"], rows["own"]) == (("link", 0, "/"), ("own link", 0, "/deep"))


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "deep" / "er" / "b").write_bytes(bytes((3 << 20) - 1) + b"1"),
        lambda folder: (folder / "empty").rmdir(),
        lambda folder: (folder / "tool").chmod(0o600),
        lambda folder: (folder / "tool").rename(folder / "tool2"),
        lambda folder: ((folder / "link").unlink(), (folder / "link").symlink_to("tool")),
        lambda folder: ((folder / "tool").unlink(), (folder / "tool").mkdir()),
        lambda folder: (folder / "new").touch(),
    ],
)
def test_each_difference_shows(tmp_path: Path, change: Callable[[Path], object]) -> None:
    """Content, names, kinds, links, and whether it is a program."""
    fill(tmp_path / "data.1")
    before = made(tmp_path / "data.1")
    change(tmp_path / "data.1")

    assert before != made(tmp_path / "data.1")


def test_what_is_not_known_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe, a directory that is a link, and more than is read."""
    for name in ("pipe", "large", "real"):
        (tmp_path / name).mkdir()
    os.mkfifo(tmp_path / "pipe" / "p")
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    (tmp_path / "large" / "a").write_bytes(bytes(11))
    monkeypatch.setattr(contents, "MOST_BYTES", 10)

    assert [None] * 3 == [made(tmp_path / name) for name in ("pipe", "large", "linked")]
    assert Manifest("", "", 0) == made(tmp_path / "real")


def test_it_lies_beside_the_result(runs: Runs) -> None:
    """So it can be asked what was there; nothing is left over."""
    store = runs.begin()
    attempt = claimed(store)
    (attempt.directory / "file").write_text("one")
    version = attempt.commit(1, facts())

    text = (place_of(store) / "files.1.json").read_text()

    assert version is not None
    assert version.record.stamp.value.endswith(f"+{sha256(text.encode()).hexdigest()[:32]}")
    assert [] == list(check(store))


def test_whoever_dies_in_between_has_published_nothing_or_all(tmp_path: Path) -> None:
    """At each operation of an attempt: where there is a version, what lay beside it is written down."""
    near, far = processes.Pipe()
    process = processes.Process(target=die_everywhere, args=(str(tmp_path), far, 7, 1 << 20))
    process.start()
    codes = near.recv()
    process.join()

    published = 0
    for at in range(1, len(codes) + 1):
        store = DiskStore(str(tmp_path / str(at)))
        version = newest(store.look(PLACE))
        if version is not None:
            published += 1
            text = (place_of(store) / "files.1.json").read_bytes()
            assert version.record.stamp.value.endswith(f"+{sha256(text).hexdigest()[:32]}")
    assert codes[-1] == 0
    assert 0 < published < len(codes) - 5
