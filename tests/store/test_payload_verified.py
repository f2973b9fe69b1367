"""What is read is what was written, whichever way it is read; and a few bytes are hashed as a few gigabytes are."""
from __future__ import annotations

import errno
import mmap
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from faults import Runs, publish

from taskproc.frozen import replace
from taskproc.store import payload
from taskproc.store.files import Files
from taskproc.store.payload import read_payload
from taskproc.store.version import Version

VALUE = {"answer": list(range(40))}


@pytest.fixture(params=["small", "large", "without preadv", "without threads"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How it is read: at once, or in pieces that a thread hashes."""
    if request.param != "small":
        monkeypatch.setattr(payload, "LARGE", 0)
        monkeypatch.setattr(payload, "_PIECE", 41)
    if request.param == "without preadv":
        monkeypatch.delattr(os, "preadv", raising=False)
    if request.param == "without threads":
        monkeypatch.setattr(ThreadPoolExecutor, "submit", no_thread)
    return str(request.param)


def no_thread(*_: object) -> None:
    raise RuntimeError("can't start new thread")


def read(version: Version, content: bytes | None = None) -> bytes | None:
    """The payload of a version, if its file is as it says; of a file with another content, if it is given."""
    path = Path(version.path)
    if content is not None:
        path.unlink()
        path.write_bytes(content)
    handle = os.open(path, os.O_RDONLY)
    try:
        payload = read_payload(Files(), handle, version)
    finally:
        os.close(handle)
    return None if payload is None else bytes(payload)


@pytest.mark.usefixtures("way")
def test_what_was_written_is_read(runs: Runs) -> None:
    """All between head and record."""
    version = publish(runs.begin(), VALUE)

    assert Path(version.path).read_bytes()[version.head : version.size] == read(version)


@pytest.mark.usefixtures("way")
def test_what_is_cut_or_changed_is_not(runs: Runs) -> None:
    """Wherever that is in head and payload, and if there is nothing behind them. The record is somebody else's care."""
    version = publish(runs.begin(), VALUE)
    runs.expects_damage = True
    content = Path(version.path).read_bytes()

    cut = [length for length in range(version.size + 1) if read(version, content[:length]) is not None]
    changed = [
        place
        for place in range(version.size)
        if read(version, content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]) is not None
    ]

    assert ([], []) == (cut, changed)
    assert read(version, content + b"more") is not None


def test_threads_end(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the disk fails in the middle."""

    class Failing(Files):
        def read_into(self, handle: int, target: memoryview, offset: int) -> int:
            if offset:
                raise OSError(errno.EIO, "broken")
            return super().read_into(handle, target, offset)

    version, before = publish(runs.begin(), VALUE), threading.active_count()
    monkeypatch.setattr(payload, "LARGE", 0)
    monkeypatch.setattr(payload, "_PIECE", 41)
    handle = os.open(version.path, os.O_RDONLY)

    with pytest.raises(OSError, match="broken"):
        read_payload(Failing(), handle, version)

    os.close(handle)
    assert before == threading.active_count()


def test_too_little_memory_is_no_damage(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result that does not fit exists, and is not computed again."""

    def full(*_: object) -> mmap.mmap:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    store = runs.begin()
    version = replace(publish(store, VALUE), payload=b"")
    monkeypatch.setattr(payload, "LARGE", 0)
    monkeypatch.setattr(mmap, "mmap", full)

    with pytest.raises(MemoryError, match="no memory for a result of"):
        store.load(version)
