"""The file operations, one by one."""
from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from taskproc.store.files import Files

FILES = Files()


def test_mkdir_tells_who_made_it(tmp_path: Path) -> None:
    """True for the one that made it; a missing parent is an error."""
    assert [True, False] == [FILES.mkdir(str(tmp_path), "a") for _ in range(2)]
    with pytest.raises(FileNotFoundError):
        FILES.mkdir(str(tmp_path / "b"), "c")


def test_a_folder_is_held_wherever_it_is_moved(tmp_path: Path) -> None:
    """What is made through the descriptor is made in the directory that was opened, not in what has its name now."""
    (tmp_path / "a").mkdir()
    folder = FILES.open_folder(str(tmp_path / "a"))
    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "a").mkdir()

    handle = FILES.make(folder, "one")
    FILES.append(handle, b"text")
    FILES.close(handle)
    FILES.rename(folder, "one", "two")

    assert ["two"] == FILES.listdir(folder) == os.listdir(tmp_path / "b")
    FILES.unlink(folder, "two")
    FILES.close_folder(folder)
    assert [[], []] == [os.listdir(tmp_path / name) for name in "ab"]


def test_a_folder_given_as_a_path_will_do(tmp_path: Path) -> None:
    """Where the system has no directory descriptors a folder is a path."""
    folder = str(tmp_path)

    handle = FILES.make(folder, "one")
    FILES.append(handle, b"text")
    mine = FILES.identity(handle)
    FILES.close(handle)
    FILES.rename(folder, "one", "two")

    assert mine == FILES.identity_of(folder, "two")
    FILES.close_folder(folder)
    FILES.unlink(folder, "two")
    FILES.unlink(folder, "two")
    assert [] == FILES.listdir(folder)


def test_open_folder_refuses_what_is_none(tmp_path: Path) -> None:
    """A missing name and a file are two errors; a link is not a folder, whatever its target."""
    (tmp_path / "file").touch()

    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    with pytest.raises(NotADirectoryError):
        FILES.open_folder(str(tmp_path / "link"))
    with pytest.raises(FileNotFoundError):
        FILES.open_folder(str(tmp_path / "nothing"))
    with pytest.raises(NotADirectoryError):
        FILES.open_folder(str(tmp_path / "file"))


def test_make_is_for_one(tmp_path: Path) -> None:
    """A name that is taken, by whatever, is not made: neither a file nor what a link leads to."""
    FILES.close(FILES.make(str(tmp_path), "one"))
    (tmp_path / "link").symlink_to("nowhere")

    for name in ("one", "link"):
        with pytest.raises(FileExistsError):
            FILES.make(str(tmp_path), name)
    assert not (tmp_path / "nowhere").exists()


def test_files_obey_the_umask(tmp_path: Path) -> None:
    """A shared cache is shared as far as the user's umask says."""
    before = os.umask(0o027)
    try:
        FILES.close(FILES.make(str(tmp_path), "one"))
        FILES.write_text(str(tmp_path), "two", "text")
    finally:
        os.umask(before)

    assert [0o640, 0o640] == [stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in ("one", "two")]


@pytest.mark.parametrize("operation", ["read_only", "open_to_append"])
@pytest.mark.parametrize("kind", ["link", "directory", "fifo"])
def test_only_regular_files_are_opened(tmp_path: Path, operation: str, kind: str) -> None:
    """A link is not followed, and a fifo does not make us wait for its other end."""
    (tmp_path / "file").touch()
    path = tmp_path / "it"
    {"link": lambda: path.symlink_to("file"), "directory": path.mkdir, "fifo": lambda: os.mkfifo(path)}[kind]()

    with pytest.raises(OSError, match="it"):
        getattr(FILES, operation)(str(tmp_path), "it")


@pytest.mark.parametrize("has_pread", [True, False])
def test_append_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_pread: bool) -> None:
    """Appended at the end, wherever was read before; read from an offset, less at the end of the file."""
    if not has_pread:
        monkeypatch.delattr(os, "pread")
    handle = FILES.make(str(tmp_path), "one")
    FILES.append(handle, b"he", b"llo ")
    FILES.read(handle, 2, 0)
    FILES.append(handle, memoryview(b"wo"))
    FILES.close(handle)
    handle = FILES.open_to_append(str(tmp_path), "one")
    FILES.read(handle, 3, 1)
    FILES.append(handle, b"rld")
    FILES.sync(handle)

    assert (b"hello world", b"wor", b"ld", b"") == tuple(
        FILES.read(handle, size, offset) for size, offset in ((100, 0), (3, 6), (9, 9), (9, 99))
    )
    assert (11, os.geteuid(), True) == (*FILES.size_and_owner(handle), FILES.modified(handle) > 0)
    FILES.close(handle)


def test_append_of_what_is_large(tmp_path: Path) -> None:
    """Too large to be copied into one: all is there, in order."""
    parts = (b"a" * 50_000, memoryview(b"b" * 50_000), b"c")
    handle = FILES.make(str(tmp_path), "one")
    FILES.append(handle, *parts)
    FILES.close(handle)

    assert b"".join(parts) == (tmp_path / "one").read_bytes()


def test_few_names(tmp_path: Path) -> None:
    """As many as were asked for at most; nothing there is an empty directory."""
    for name in "abc":
        (tmp_path / name).touch()

    found = [FILES.few(str(tmp_path), most) for most in (2, 3, 4)]

    assert [2, 3, 3] == [len(names) for names in found]
    assert ["a", "b", "c"] == sorted(found[1]) == sorted(found[2])
    assert [] == FILES.few(str(tmp_path / "nothing"), 2) == FILES.few(str(tmp_path / "a"), 2)


def test_what_is_cut_off_is_gone(tmp_path: Path) -> None:
    """And what is appended follows what stayed."""
    handle = FILES.make(str(tmp_path), "one")
    FILES.append(handle, b"hello world")

    FILES.cut(handle, 6)
    FILES.append(handle, b"all")

    assert b"hello all" == FILES.read(handle, 100, 0)
    FILES.close(handle)


def test_move_out_tells_whether_there_was_anything(tmp_path: Path) -> None:
    """A missing name raises nothing."""
    (tmp_path / "a").mkdir()

    assert [True, False] == [FILES.move_out(str(tmp_path), "a", str(tmp_path), "b") for _ in range(2)]
    assert (tmp_path / "b").is_dir()


def test_scandir_of_nothing_is_empty(tmp_path: Path) -> None:
    """So is that of a file."""
    (tmp_path / "file").touch()

    assert [[], []] == [FILES.scandir(str(tmp_path / name)) for name in ("nothing", "file")]
    assert ["file"] == [entry.name for entry in FILES.scandir(str(tmp_path))]


def test_remove_tree_removes_what_is_there(tmp_path: Path) -> None:
    """A directory with everything in it, a file, a link but not its target; a missing name raises nothing."""
    kept = tmp_path / "kept"
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    (tmp_path / "file").touch()
    kept.mkdir()
    (tmp_path / "link").symlink_to(kept)

    for name in ("folder", "file", "link", "nothing"):
        assert FILES.remove_tree(str(tmp_path), name)

    assert [kept] == list(tmp_path.iterdir())


def test_write_text_replaces_what_was_there(tmp_path: Path) -> None:
    """As a whole; what has no bytes is escaped."""
    path = tmp_path / "text"
    FILES.write_text(str(tmp_path), "text", "old and longer")
    FILES.write_text(str(tmp_path), "text", "new \ud800 é")

    assert "new \\ud800 é" == path.read_text("utf-8")


def test_what_is_moved_out_of_a_folder(tmp_path: Path) -> None:
    """By name, out of the open directory, wherever that is now; a missing name raises nothing."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").mkdir()
    folder = FILES.open_folder(str(tmp_path / "a"))
    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").touch()

    FILES.move_out(folder, "one", str(tmp_path), "out")
    FILES.move_out(folder, "one", str(tmp_path), "twice")
    names = [entry.name for entry in FILES.scandir(folder)]
    FILES.close_folder(folder)

    assert ([], ["one"], True, False) == (
        names,
        os.listdir(tmp_path / "a"),
        (tmp_path / "out").is_dir(),
        (tmp_path / "twice").exists(),
    )


def test_a_folder_is_flushed_by_descriptor_and_by_path(tmp_path: Path) -> None:
    """Anything but a folder cannot be removed so."""
    folder = FILES.open_folder(str(tmp_path))
    FILES.sync_folder(folder)
    FILES.sync_folder(str(tmp_path))
    assert [] == FILES.listdir(folder)
    FILES.close_folder(folder)

    with pytest.raises(FileNotFoundError):
        FILES.sync_folder(str(tmp_path / "nowhere"))


def test_a_sign_is_not_what_a_client_keeps_of_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network folder may answer a path from a cache of attributes: a folder is opened, and then asked."""
    before, kept, lstat = FILES.sign(str(tmp_path)), os.lstat(tmp_path), os.lstat
    monkeypatch.setattr(os, "lstat", lambda path, **options: kept if path == str(tmp_path) else lstat(path, **options))
    while lstat(tmp_path).st_ctime_ns == kept.st_ctime_ns:
        (tmp_path / "new").touch()
        (tmp_path / "new").unlink()

    assert before != FILES.sign(str(tmp_path))
