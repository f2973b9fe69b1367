"""A link stands at some level of a cache: whatever is done, nothing outside the cache is read, changed or removed."""
from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taskproc import Cache, InputFile, LocalExecutor, Task
from taskproc.cli.main import main
from taskproc.errors import CacheError, FailedTaskError, MissingResult, TaskprocError
from taskproc.tasks.explaining import accept, explain
from taskproc.tasks.future import Future

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")

NAME = "links.Noted"


class Noted(Task):
    """Prints, and leaves a file in its data directory."""

    task_pinned_name = NAME

    def __init__(self, x: int, source: Future[Path]):
        self.x, self.source = x, source

    def run_task(self) -> int:
        print("a word")
        (self.task_directory / "file").write_text("data")
        return self.x + self.source.get_result().is_file()


def noted(x: int = 2) -> Noted:
    """The task of these tests."""
    return Noted(x, InputFile(__file__))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """What is passed over is told once; here it does not matter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def run(task: Task, force: bool = False) -> object:
    return task.run_graph(executor=LocalExecutor(), force=force, show_progress=False)[0]


def run_captured(task: Task, force: bool = False) -> object:
    """In a process of its own, which prints into the logs."""
    return task.run_graph(max_workers=1, force=force, show_progress=False)[0]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cache in which one task has a version, with all that may lie beside it."""
    folder = tmp_path_factory.mktemp("links")
    with Cache(folder / "cache"):
        run_captured(noted())
    assert 0 == main(["check", "-o", str(folder / "cache")])
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy of it, which a test may spoil."""
    shutil.copytree(original, tmp_path / "copy", symlinks=True)
    return tmp_path / "copy"


def place_of(cache: Path) -> Path:
    return next((cache / NAME / "results").iterdir())


LEVELS: dict[str, Callable[[Path], Path]] = {
    "class": lambda cache: cache / NAME,
    "results": lambda cache: cache / NAME / "results",
    "code": lambda cache: cache / NAME / "code",
    "index": lambda cache: cache / NAME / "index",
    "task": place_of,
    "data.1": lambda cache: place_of(cache) / "data.1",
    "data.2": lambda cache: place_of(cache) / "data.2",
    "args.json": lambda cache: place_of(cache) / "args.json",
    "result.1": lambda cache: place_of(cache) / "result.1.pkl.gz",
    "claim.2": lambda cache: place_of(cache) / "claim.2",
    "stdout.1": lambda cache: place_of(cache) / "stdout.1.txt",
    "stdout.2": lambda cache: place_of(cache) / "stdout.2.txt",
    "accept.1": lambda cache: place_of(cache) / "accept.1.json",
    "run": lambda cache: cache / "run",
    "trash": lambda cache: cache / "trash",
    "inputs": lambda cache: cache / "inputs",
    "taskproc.json": lambda cache: cache / "taskproc.json",
}
FILES = {"index", "args.json", "result.1", "claim.2", "stdout.1", "stdout.2", "accept.1", "taskproc.json"}


def plant(folder: Path, level: str, shape: str) -> Path:
    """Put a link at that level; returns the folder outside to which it leads, or in which its target lies.

    shape: 'moved': what was there lies outside now; 'planted': something else does; 'inside': that lies in the cache.
    """
    cache = folder / "cache"
    path = LEVELS[level](cache)
    outside = cache / "elsewhere" if shape == "inside" else folder / "outside"
    outside.mkdir()
    (outside / "sub" / "deep").mkdir(parents=True)
    (outside / "sub" / "deep" / "file").write_text("precious")
    (outside / "precious").write_text("precious")
    target = outside / "precious" if level in FILES else outside
    if shape == "moved" and os.path.lexists(path):
        target = outside / "moved"
        path.rename(target)
    elif path.is_dir():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()
    path.symlink_to(target)
    return outside


def content(folder: Path) -> dict[str, tuple[object, ...]]:
    """All that can be seen of a tree: names, kinds, modes, times of change and digests."""
    found: dict[str, tuple[object, ...]] = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        status = path.lstat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and not path.is_symlink() else ""
        found[str(path.relative_to(folder))] = (status.st_mode, status.st_mtime_ns, status.st_ctime_ns, digest)
    return found


def in_cache(deed: Callable[[Path], object]) -> Callable[[Path], object]:
    """Do it inside the cache of a folder."""

    def done(folder: Path) -> object:
        with Cache(folder / "cache"):
            return deed(folder)

    return done


def command(*words: str) -> Callable[[Path], object]:
    return lambda folder: main([words[0], "-o", str(folder / "cache"), *words[1:]])


def third_version(folder: Path) -> object:
    """So that the first is retired."""
    return [run(noted(), force=True) for _ in range(2)]


OPERATIONS: dict[str, Callable[[Path], object]] = {
    "run": in_cache(lambda folder: run(noted())),
    "run again": in_cache(lambda folder: run_captured(noted(), force=True)),
    "retire": in_cache(third_version),
    "clear_task": in_cache(lambda folder: noted().clear_task()),
    "clear_all_tasks": in_cache(lambda folder: Noted.clear_all_tasks()),
    "clear and run": in_cache(lambda folder: [noted().clear_task(), run(noted())]),
    "get_result": in_cache(lambda folder: noted().get_result()),
    "task_is_done": in_cache(lambda folder: noted().task_is_done()),
    "task_directory": in_cache(lambda folder: (noted().task_directory / "new").write_text("early")),
    "task_stdout": in_cache(lambda folder: noted().task_stdout.read_text()),
    "explain": in_cache(lambda folder: str(explain(noted()))),
    "accept": in_cache(lambda folder: accept(noted())),
    "list": command("list"),
    "list NAME": command("list", NAME),
    "show": command("show", NAME, "--value"),
    "log": command("log", NAME),
    "du": command("du"),
    "entries": lambda folder: [entry.load() for entry in Cache(folder / "cache").entries(NAME)],
    "check": command("check"),
    "clear": command("clear", NAME),
    "clear NAME ID": in_cache(lambda folder: command("clear", NAME, str(noted()._taskproc.place.id))(folder)),
    "logs of two": in_cache(lambda folder: [run(noted(), force=True), noted().task_stderr, noted().task_directory]),
}


@pytest.mark.parametrize("shape", ["moved", "planted"])
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("level", LEVELS)
def test_nothing_outside_is_touched(folder: Path, level: str, operation: str, shape: str) -> None:
    """Whatever is done, wherever the link stands and whatever it leads to; what cannot be done is told in our words."""
    outside = plant(folder, level, shape)
    before = content(outside)

    with quiet(), contextlib.suppress(CacheError, MissingResult, FailedTaskError):
        OPERATIONS[operation](folder)

    assert before == content(outside)


@pytest.mark.parametrize("level", LEVELS)
def test_check_calls_it_damaged(folder: Path, level: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By its path, with exit code 1; it looks at nothing behind it."""
    plant(folder, level, "moved")
    path = LEVELS[level](folder / "cache") if level != "task" else next((folder / "cache" / NAME / "results").iterdir())

    assert 1 == main(["check", "-o", str(folder / "cache")])

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["damaged", str(path.relative_to(folder / "cache"))] in [line[:2] for line in lines]


@pytest.mark.parametrize("shape", ["moved", "planted", "inside"])
@pytest.mark.parametrize("level", ["class", "results", "task"])
def test_a_run_refuses_it(folder: Path, level: str, shape: str) -> None:
    """Also where it leads to another folder of the cache: it is told which link, and what to do; nothing is used."""
    outside = plant(folder, level, shape)
    before = content(outside)

    with quiet(), Cache(folder / "cache"), pytest.raises(TaskprocError, match="is a link, and no link is followed"):
        run(noted())

    assert before == content(outside)
    with quiet(), Cache(folder / "cache"):
        assert not noted().task_is_done()
        assert "is a link" in str(explain(noted()))


@pytest.mark.parametrize("level", ["run", "trash", "inputs", "taskproc.json"])
def test_a_cache_with_such_a_link_is_not_entered(folder: Path, level: str) -> None:
    """Nor is it cleared: what holds for all of it is a link."""
    plant(folder, level, "moved")

    with pytest.raises(CacheError, match=f"{level}' is a link, and no link is followed.* Remove the link"):
        Cache(folder / "cache").__enter__()
    assert 2 == main(["clear", "-o", str(folder / "cache"), NAME])
    assert (folder / "cache" / NAME / "results").is_dir()


def test_a_link_is_cleared_and_not_what_it_leads_to(folder: Path) -> None:
    """Then the task has no result, and is made anew in its place."""
    outside = plant(folder, "class", "moved")
    before = content(outside)

    with Cache(folder / "cache"), quiet():
        Noted.clear_all_tasks()
        assert 3 == run(noted())

    assert before == content(outside)
    assert not (folder / "cache" / NAME).is_symlink()


def test_the_cache_itself_may_be_reached_through_links(folder: Path) -> None:
    """Its path is the user's."""
    (folder / "way").symlink_to(folder / "cache")

    with Cache(folder / "way"):
        assert 3 == run(noted(), force=True)
        assert 3 == noted().get_result()
        noted().clear_task()
    assert 0 == main(["check", "-o", str(folder / "way")])


def test_a_link_that_comes_while_a_run_is_at_work(folder: Path) -> None:
    """The class was a folder when the run began: the next claim sees what it is now."""
    outside = folder / "outside"

    class Moving(Task):
        task_pinned_name = "links.Moving"

        def __init__(self, x: int, before: list[Future[int]]):
            self.x, self.before = x, before

        def run_task(self) -> int:
            if self.x == 1:
                (folder / "cache" / "links.Moving").rename(outside)
                (folder / "cache" / "links.Moving").symlink_to(outside)
            return self.x

    with quiet(), Cache(folder / "cache"), pytest.raises(TaskprocError, match="is a link"):
        first = Moving(1, [])
        second = Moving(2, [first])
        run(Moving(3, [second]))

    assert 1 == len(list((outside / "results").iterdir()))
