"""Digests of files outside the cache, remembered until something about them changes."""
from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from taskproc.store import contents
from taskproc.store.contents import Contents, signs_of


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths that were read."""
    found: list[str] = []
    original = open

    def opened(path: str, *rest: object, **more: object) -> object:
        if not str(path).endswith((".json", ".tmp")):
            found.append(os.path.basename(path))
        return original(path, *rest, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(contents, "open", opened, raising=False)
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    settle(path)
    return path


def settle(path: Path) -> None:
    """Its modification is long ago; its change time is not, so the clock goes on instead."""
    os.utime(path, (1, 1))


@pytest.fixture(autouse=True)
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour has passed since whatever the test does."""
    real = contents.time.time
    monkeypatch.setattr(contents.time, "time", lambda: real() + 3600)


def test_a_digest_is_that_of_the_bytes(tmp_path: Path, file: Path) -> None:
    """SHA-256 of a file."""
    assert Contents(str(tmp_path)).look(str(file)).digest == hashlib.sha256(b"content").hexdigest()


def test_an_unchanged_file_is_read_once(tmp_path: Path, file: Path, reads: list[str]) -> None:
    """By whomever; one of which anything differs is read again."""
    for _ in range(3):
        Contents(str(tmp_path)).look(str(file))
    assert reads == ["file"]
    os.utime(file, (2, 2))
    Contents(str(tmp_path)).look(str(file))
    assert reads == ["file"] * 2


def test_what_was_changed_just_now_is_not_remembered(
    tmp_path: Path, file: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second change in the same tick of the clock would leave no trace."""
    monkeypatch.setattr(contents.time, "time", lambda: os.stat(file).st_ctime + 1)

    for _ in range(2):
        Contents(str(tmp_path)).look(str(file))

    assert reads == ["file"] * 2


def test_of_a_folder_only_what_changed_is_read(tmp_path: Path, reads: list[str]) -> None:
    """However many files there are."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in "abc":
        (folder / name).write_text(name)
    one = Contents(str(tmp_path)).look(str(folder))
    reads.clear()
    (folder / "b").write_text("new")
    other = Contents(str(tmp_path)).look(str(folder))

    assert reads == ["b"]
    assert one.digest != other.digest


@pytest.mark.parametrize("content", ["", "{", "[]", '{"path": "other", "files": {}}', '{"path": 1}', "null"])
def test_a_damaged_memory_is_none(tmp_path: Path, file: Path, content: str) -> None:
    """It only saves reading."""
    digest = Contents(str(tmp_path)).look(str(file)).digest
    (memory,) = (tmp_path / "inputs").iterdir()
    memory.write_text(content)

    assert Contents(str(tmp_path)).look(str(file)).digest == digest
    assert json.loads(memory.read_text())["path"] == str(file)


def test_a_memory_that_cannot_be_written_is_none(tmp_path: Path, file: Path) -> None:
    """A read-only cache costs a read."""
    (tmp_path / "inputs").write_text("in the way")

    assert Contents(str(tmp_path)).look(str(file)).digest == hashlib.sha256(b"content").hexdigest()


def test_what_does_not_stand_still_is_refused(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some tries; one that settles down is read to its end."""
    writes = iter(range(100))

    def grow(path: str) -> str:
        file.write_bytes(bytes(next(writes)))
        return signs_of(path)

    monkeypatch.setattr(contents, "signs_of", grow)

    with pytest.raises(OSError, match="it is being written to"):
        Contents(str(tmp_path)).look(str(file))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_a_pipe_is_refused(tmp_path: Path) -> None:
    """Reading it would wait for ever."""
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(OSError, match="neither a file nor a folder"):
        Contents(str(tmp_path)).look(str(tmp_path / "pipe"))
