"""One of many makes a name, and nothing is replaced: on disks, and where the system says so in other words."""
from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from network import like_sshfs

from taskproc.errors import CacheError
from taskproc.store import files as file_calls
from taskproc.store.files import Files
from taskproc.store.rules import make_key_file


@pytest.fixture(params=["disk", "sshfs"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where: on a disk, or on what does as sshfs does."""
    if request.param == "sshfs":
        like_sshfs(monkeypatch)
    return str(request.param)


def raises(call: Callable[[], object]) -> type[BaseException] | None:
    try:
        call()
    except OSError as error:
        return type(error)
    return None


def test_a_name_is_made_once(kind: str, tmp_path: Path) -> None:
    """A file or a folder, by its path or in a folder that is open; whatever has the name."""
    path, at = str(tmp_path / "file"), os.open(tmp_path, os.O_RDONLY)
    os.close(file_calls.make_file(path))
    os.symlink("nowhere", tmp_path / "link")

    for name in ("file", "link"):
        assert FileExistsError is raises(partial(file_calls.make_file, str(tmp_path / name)))
        assert FileExistsError is raises(partial(file_calls.make_file, name, at))
        assert not file_calls.make_folder(str(tmp_path / name))
        assert not file_calls.make_folder(name, at)
    for folder in (str(tmp_path), at):
        assert FileNotFoundError is raises(partial(Files().mkdir, folder, f"a{os.sep}b"))
    assert [True, False, False] == [Files().mkdir(folder, "a", 0o700) for folder in (at, at, str(tmp_path))]
    assert 0o700 == (tmp_path / "a").stat().st_mode & 0o777
    os.close(at)
    with pytest.raises(CacheError, match="already exists and is not replaced"):
        make_key_file(path)


@pytest.mark.parametrize("times", [1, 99])
def test_an_error_is_believed_when_it_comes_again(times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The winner may have renamed what it made by the time it is looked for; then the loser may have the name."""
    open_, errors = os.open, [errno.EPERM] * times

    def opened(path: str, flags: int, *arguments: int, **options: int | None) -> int:
        if flags & os.O_EXCL and errors:
            raise OSError(errors.pop(), "sorry", path)
        return open_(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", opened)
    raised = raises(lambda: os.close(file_calls.make_file(str(tmp_path / "file"))))

    assert (None if times == 1 else PermissionError) is raised
    assert (times == 1) == (tmp_path / "file").exists()


def test_what_is_there(tmp_path: Path) -> None:
    """Whatever kind it is, and wherever a link leads."""
    os.symlink("nowhere", tmp_path / "link")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()

    names = ["link", "fifo", "folder", "nothing", "nothing/below"]
    assert [True, True, True, False, False] == [file_calls.exists_now(str(tmp_path / name)) for name in names]


@pytest.mark.parametrize("refused", [0, errno.EINVAL, errno.ENOSYS, errno.EPERM])
def test_a_rename_replaces_nothing(refused: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the system has no such rename; one that is to replace does."""
    if refused:
        monkeypatch.setattr(file_calls, "_renameat2", lambda: lambda at, old, new: refused)
    for name in ("old", "new"):
        (tmp_path / name).write_text(name)
    files = Files()
    folder = files.open_folder(str(tmp_path))

    assert FileExistsError is raises(lambda: files.rename(folder, "old", "new"))
    assert ["old", "new"] == [(tmp_path / name).read_text() for name in ("old", "new")]
    files.rename(folder, "old", "third")
    files.rename(folder, "third", "new", True)
    assert FileNotFoundError is raises(lambda: files.rename(folder, "old", "fourth"))
    assert ["old"] == [path.read_text() for path in tmp_path.iterdir()]
    files.close_folder(folder)


@pytest.mark.skipif(file_calls._renameat2() is None, reason="the system has no such rename")
def test_of_many_renames_one_has_the_name(tmp_path: Path) -> None:
    """At the same moment."""
    count, rounds = 8, 50
    folder, barrier = os.open(tmp_path, os.O_RDONLY), threading.Barrier(count)
    won: list[tuple[int, int]] = []

    def compete(number: int) -> None:
        for turn in range(rounds):
            (tmp_path / f"old {turn} {number}").write_text(str(number))
            barrier.wait()
            try:
                assert file_calls.rename_exclusively(f"old {turn} {number}", f"new {turn}", folder)
                won.append((turn, number))
            except FileExistsError:
                pass

    threads = [threading.Thread(target=compete, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.close(folder)

    assert list(range(rounds)) == sorted(turn for turn, _ in won)
    assert [str(number) for _, number in won] == [(tmp_path / f"new {turn}").read_text() for turn, _ in won]
