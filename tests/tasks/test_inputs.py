"""InputFile: a file outside the cache is identified by its content."""
from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from taskproc.errors import BuildError, FailedTaskError
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.tasks.future import Future
from taskproc.tasks.inputs import InputFile
from taskproc.tasks.naming import brief, nested
from taskproc.tasks.task import Task
from tests.plain import plain


class Count(Task):
    """The number of bytes of a file, or of files in a folder."""

    def __init__(self, file: Future[Path]):
        self.file = file

    def run_task(self) -> int:
        path = self.file.get_result()
        files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
        return sum(each.stat().st_size for each in files)


class Spoil(Count):
    """Changes its input."""

    def run_task(self) -> int:
        path = self.file.get_result()
        path.write_bytes(path.read_bytes() + b"!")
        return 0


def run(task: Any, **options: Any) -> tuple[Any, int]:
    """The result, and how many tasks ran."""
    value, stats = task.run_graph(executor=LocalExecutor(), **options)
    return value, sum(stats["stats"].values())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.txt"
    path.write_text("four")
    return path


def test_a_changed_byte_runs_it_again(cache: Cache, file: Path) -> None:
    """Even if the size is the same and the times are restored."""
    first = run(Count(InputFile(file)))
    status = os.stat(file)
    file.write_text("five")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert [first, run(Count(InputFile(file))), run(Count(InputFile(file)))] == [(4, 1), (4, 1), (4, 0)]


def test_a_touched_or_copied_file_changes_nothing(cache: Cache, file: Path) -> None:
    """Only its content counts; the result of an earlier content is found again."""
    run(Count(InputFile(file)))
    os.utime(file, (1, 1))
    touched = run(Count(InputFile(file)))
    shutil.copy(file, file.with_name("copy"))
    os.replace(file.with_name("copy"), file)
    copied = run(Count(InputFile(file)))
    file.write_text("other")
    other = run(Count(InputFile(file)))
    file.write_text("four")

    assert [touched, copied, other, run(Count(InputFile(file)))] == [(4, 0), (4, 0), (5, 1), (4, 0)]


def test_a_folder_counts_with_all_that_is_in_it(cache: Cache, tmp_path: Path) -> None:
    """Contents, names, folders and links; not the times."""
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "a").write_text("aa")
    (folder / "link").symlink_to("nowhere")
    counts = [run(Count(InputFile(folder)))]
    for change in (
        lambda: os.utime(folder / "inner" / "a", (1, 1)),
        lambda: (folder / "inner" / "a").rename(folder / "inner" / "b"),
        lambda: (folder / "empty").mkdir(),
        lambda: (folder / "inner" / "b").write_text("bb"),
        lambda: ((folder / "link").unlink(), (folder / "link").symlink_to("elsewhere")),
    ):
        change()
        counts.append(run(Count(InputFile(folder))))

    assert counts == [(2, 1), (2, 0), (2, 1), (2, 1), (2, 1), (2, 1)]


def test_a_folder_behind_a_link_counts(cache: Cache, tmp_path: Path) -> None:
    """Except a link that leads back to a folder above it."""
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (elsewhere / "a").write_text("aa")
    (folder / "link").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(folder)
    counts = [run(Count(InputFile(folder)))[1]]
    (elsewhere / "a").write_text("bb")
    counts += [run(Count(InputFile(folder)))[1] for _ in range(2)]

    assert counts == [1, 1, 0]


def test_one_relative_path_is_not_taken_for_two_files(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key contains the path as written, so in one Cache it stands for one file."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    monkeypatch.chdir(tmp_path / "one")
    InputFile("file")
    monkeypatch.chdir(tmp_path / "other")

    with pytest.raises(BuildError, match="another working directory"):
        InputFile("file")
    assert InputFile("../one/file").get_result() == tmp_path / "one" / "file"


def test_one_that_is_not_there_is_the_failure_of_the_run(cache: Cache, tmp_path: Path) -> None:
    """The task can be built; the failure names the path. Once the file exists, the run succeeds."""
    path = tmp_path / "later"
    task = Count(InputFile(path))

    with pytest.raises(FailedTaskError) as caught:
        run(task)
    (failure,) = caught.value.failures
    assert isinstance(failure.error, FileNotFoundError)
    assert plain(failure.task).startswith("InputFile('")
    assert failure.task.endswith("later')")
    assert str(failure.error) == f"{str(path)!r} is not there"
    assert (failure.traceback, list(cache.path.glob("*InputFile*"))) == ("", [])
    path.write_text("123")
    assert run(task) == (3, 1)


def test_a_file_that_changes_while_it_is_read_makes_the_task_fail(cache: Cache, file: Path) -> None:
    """The result belongs to neither content."""
    with pytest.raises(FailedTaskError, match="changed while it was read"):
        run(Spoil(InputFile(file)))

    assert not Spoil(InputFile(file)).task_is_done()


def test_a_string_and_a_path_are_one(cache: Cache, file: Path) -> None:
    """The result is the absolute path, also for a relative one, wherever it is read."""
    assert InputFile(file) is InputFile(str(file))
    assert InputFile(file).get_result() == file
    relative = InputFile(os.path.relpath(file))
    assert run(relative) == (file, 0)


def test_it_is_told_why(cache: Cache, file: Path) -> None:
    """The reason has the name of the file."""
    task = Count(InputFile(file))
    run(task)
    file.write_text("other")

    with pytest.raises(LookupError, match="upstream InputFile.*file.txt.* gave a new value"):
        task.get_result()


def test_workers_get_the_path(cache: Cache, file: Path) -> None:
    """In a process of its own."""
    value, _ = Count(InputFile(file)).run_graph(max_workers=1)

    assert value == 4


def test_a_task_of_the_user_answers_nothing_for_itself(cache: Cache) -> None:
    """Whatever the names of its methods: only our own classes define their version and their short text."""

    class Odd(Task):
        _is_outside = True

        def _shown(self) -> str:
            raise AssertionError("it is the user's")

        def run_task(self) -> int:
            return 1

    assert run(Odd()) == (1, 1)
    assert re.fullmatch(r"Odd#\w+\(\)", brief(Odd()).rpartition(".")[2])


@pytest.mark.parametrize("name", ["file.txt", "long/" * 20 + "file.txt"])
def test_a_part_of_something_is_told_by_its_path(cache: Cache, tmp_path: Path, name: str) -> None:
    """Where another task has only its short id; of a long path, the end is shown."""
    text = nested(InputFile(tmp_path / name))

    assert re.fullmatch(r"InputFile#\w+\('.{1,60}file.txt'\)", text)
