"""Laws of logs: bytes from any place on, of a file that may not be there yet, and never through a link."""
from __future__ import annotations

from pathlib import Path

import pytest

from taskproc.ledger.identifiers import Located
from taskproc.ledger.logs import Log
from taskproc.store.cache import Cache


@pytest.fixture
def folder(cache: Cache) -> Path:
    """The folder of a task."""
    path = Path(cache.path, "job.One", "results", "5")
    path.mkdir(parents=True)
    return path


def test_a_log_appears_and_grows(cache: Cache, folder: Path) -> None:
    """What was not there is read when it is, from the place where the reader stands."""
    log = Log(cache.store, Located("job.One", 5), "stdout", 2)
    assert (b"", 0) == (log.read(0, 100), log.size())

    (folder / "stdout.2.txt").write_bytes(b"one\n")
    assert (b"one\n", 4) == (log.read(0, 100), log.size())
    with open(folder / "stdout.2.txt", "ab") as file:
        file.write(b"two\n")

    assert (b"two\n", b"wo\n", b"tw") == (log.read(4, 100), log.end(3), log.read(4, 2))


def test_a_link_is_not_read(cache: Cache, folder: Path, tmp_path: Path) -> None:
    """Nor is a log in a folder that is one."""
    (tmp_path / "precious").write_bytes(b"secret")
    (folder / "stdout.1.txt").symlink_to(tmp_path / "precious")
    log = Log(cache.store, Located("job.One", 5), "stdout", 1)

    assert (b"", 0, b"") == (log.read(0, 100), log.size(), log.end(10))
    folder.rename(tmp_path / "moved")
    (tmp_path / "moved" / "stdout.1.txt").unlink()
    (tmp_path / "moved" / "stdout.1.txt").write_bytes(b"secret")
    folder.symlink_to(tmp_path / "moved")
    assert (b"", 0) == (log.read(0, 100), log.size())
