"""The Cache context."""
from __future__ import annotations

import asyncio
import inspect
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import OTHER, PLACE, claimed, publish

from taskproc.errors import CacheError, NoCacheError
from taskproc.store.cache import ActiveCache, Cache, current_cache


def path_in_force() -> Path:
    return current_cache("a test").path


def test_outside_there_is_none() -> None:
    """The error says what needs a cache, and how to give it one."""
    with pytest.raises(NoCacheError, match=r"a test outside a cache: .*with Cache"):
        current_cache("a test")


def test_blocks_nest(tmp_path: Path) -> None:
    """The innermost is in force; afterwards the one around it is again."""
    seen = []
    with Cache(tmp_path / "a") as outer:
        with Cache(tmp_path / "b"):
            seen.append(path_in_force())
            with outer:
                seen.append(path_in_force())
            seen.append(path_in_force())
        seen.append(path_in_force())

    assert [tmp_path / name for name in "baba"] == seen
    with pytest.raises(NoCacheError):
        path_in_force()


def test_a_block_ends_with_an_exception(tmp_path: Path) -> None:
    """The exception comes through, and the cache is not in force any more."""
    with pytest.raises(KeyError), Cache(tmp_path):
        raise KeyError

    with pytest.raises(NoCacheError):
        path_in_force()


def test_a_generator_that_ends_late_ends_its_own(tmp_path: Path) -> None:
    """Blocks need not end in the order in which they began."""

    def generator() -> Iterator[None]:
        with Cache(tmp_path / "a"):
            yield

    some = generator()
    next(some)
    with Cache(tmp_path / "b"):
        some.close()
        assert tmp_path / "b" == path_in_force()


def test_threads_have_their_own(tmp_path: Path) -> None:
    """Two threads in two caches do not meet; nor does the one that started them."""
    barrier = threading.Barrier(2)
    seen: dict[str, Path] = {}

    def run(name: str) -> None:
        with Cache(tmp_path / name):
            barrier.wait()
            seen[name] = path_in_force()
            barrier.wait()

    threads = [threading.Thread(target=run, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {name: tmp_path / name for name in "ab"} == seen
    with pytest.raises(NoCacheError):
        path_in_force()


def test_one_cache_may_be_entered_by_many_threads(tmp_path: Path) -> None:
    """Entering changes no state of the object."""
    cache = Cache(tmp_path)
    barrier = threading.Barrier(4)
    seen: list[Path] = []

    def run() -> None:
        with cache:
            barrier.wait()
        with cache:
            seen.append(path_in_force())

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [tmp_path] * 4 == seen


def test_asyncio_tasks_have_their_own(tmp_path: Path) -> None:
    """Two that are inside at the same time do not meet."""
    seen: dict[str, Path] = {}

    async def run(name: str, mine: asyncio.Event, other: asyncio.Event) -> None:
        with Cache(tmp_path / name):
            mine.set()
            await other.wait()
            seen[name] = path_in_force()

    async def main() -> None:
        one, two = asyncio.Event(), asyncio.Event()
        await asyncio.gather(run("a", one, two), run("b", two, one))

    asyncio.run(main())

    assert {name: tmp_path / name for name in "ab"} == seen


def test_a_function_is_decorated(tmp_path: Path) -> None:
    """It runs inside the cache, with its arguments, and keeps its name."""

    @Cache(tmp_path)
    def work(a: int, *, b: int) -> tuple[Path, int]:
        """Its words."""
        return path_in_force(), a + b

    assert (tmp_path, 3) == work(1, b=2)
    assert ("work", "Its words.") == (work.__name__, work.__doc__)
    with pytest.raises(NoCacheError):
        path_in_force()


def test_a_coroutine_function_is_decorated(tmp_path: Path) -> None:
    """It is one afterwards too, and its cache is in force across its awaits, for nobody else."""

    @Cache(tmp_path / "a")
    async def work(mine: asyncio.Event, other: asyncio.Event) -> Path:
        mine.set()
        await other.wait()
        return path_in_force()

    async def stranger(mine: asyncio.Event, other: asyncio.Event) -> bool:
        mine.set()
        await other.wait()
        try:
            current_cache("a test")
        except NoCacheError:
            return True
        return False

    async def main() -> list[object]:
        one, two = asyncio.Event(), asyncio.Event()
        return list(await asyncio.gather(work(one, two), stranger(two, one)))

    assert inspect.iscoroutinefunction(work)
    assert [tmp_path / "a", True] == asyncio.run(main())


def test_in_force_touches_no_file(tmp_path: Path) -> None:
    """Jobs are inside a cache whose folder is there already."""
    with ActiveCache(Cache(tmp_path / "a")):
        assert tmp_path / "a" == path_in_force()

    assert not (tmp_path / "a").exists()


def test_the_folder_is_made_on_entering(tmp_path: Path) -> None:
    """With its parents, a format, and marks for programs that back up or commit folders; making it is not."""
    cache = Cache(tmp_path / "a" / "b")
    before = (tmp_path / "a").exists()
    with cache:
        pass

    names = {"taskproc.json", "CACHEDIR.TAG", ".gitignore"}
    assert (False, names) == (before, set(os.listdir(tmp_path / "a" / "b")))
    assert (tmp_path / "a/b/CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55\n")
    assert 1 == json.loads((tmp_path / "a/b/taskproc.json").read_text())["format"]


def test_a_folder_with_other_things_is_not_tagged(tmp_path: Path) -> None:
    """A working directory that is used as a cache is backed up as before."""
    (tmp_path / "thesis.tex").touch()

    with Cache(tmp_path):
        pass

    assert {"thesis.tex", "taskproc.json"} == set(os.listdir(tmp_path))


@pytest.mark.parametrize(
    ("there", "asks"),
    [
        ([], False),
        ([".git/config", ".env"], False),
        (["notes.txt"], True),
        (["src/module.py"], True),
        (["CACHEDIR.TAG", "notes.txt"], False),
        (["script.Main/results/1/args.json", "notes.txt"], False),
        (["data/results/1.csv"], True),
        (["taskproc.json", "notes.txt"], False),
    ],
    ids=str,
)
def test_a_cache_among_other_files_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, there: list[str], asks: bool
) -> None:
    """Once, when it is created; hidden files and the remains of a cache do not count."""
    for name in there:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")

    for _ in range(2):
        with Cache(tmp_path):
            pass

    told = [record.getMessage() for record in caplog.records]
    assert [asks] * asks == ["a folder with other files" in text for text in told]


def test_a_path_is_relative_to_where_the_cache_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later change of directory does not move it."""
    monkeypatch.chdir(tmp_path)
    cache = Cache("./a")
    monkeypatch.chdir("/")

    assert (tmp_path / "a", f"Cache({str(tmp_path / 'a')!r})") == (cache.path, repr(cache))


@pytest.mark.parametrize("path", ["file", "file/below", "dangling"])
def test_a_path_that_is_a_file_is_refused(tmp_path: Path, path: str) -> None:
    """Also one below a file, and a link to nowhere."""
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")

    with pytest.raises(CacheError, match="is a file|not a folder|cannot be created"), Cache(tmp_path / path):
        pass


@pytest.mark.parametrize("version", [2, 99, "2", None, 1.5])
def test_a_newer_format_is_only_read(tmp_path: Path, version: object) -> None:
    """What is of our format is found; to write is refused, with both versions and two remedies, and changes nothing."""
    with Cache(tmp_path) as cache:
        made = publish(cache.store, "kept")
    (tmp_path / "taskproc.json").write_text(json.dumps({"format": version}))
    before = sorted(tmp_path.rglob("*"))

    with Cache(tmp_path) as cache:
        assert "kept" == cache.store.load(next(cache.store.look(PLACE)))
        for write in (
            lambda: claimed(cache.store, OTHER),
            lambda: cache.store.clear(PLACE),
            lambda: cache.store.clear_all(PLACE.name),
            lambda: cache.store.accept(PLACE, made, "a" * 64),
        ):
            with pytest.raises(CacheError, match=f"has format {version}; this taskproc knows format 1 .*: update"):
                write()
        cache.store.directory(OTHER)
        cache.store.log(OTHER, "stdout")
        cache.store.keep_code(PLACE.name, "a" * 64, {})
        cache.store.retire({PLACE: 1})

    assert before == sorted(tmp_path.rglob("*"))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"null", b"\xff\xfe\x00", b"1"])
def test_a_torn_marker_decides_nothing(tmp_path: Path, content: bytes) -> None:
    """The cache is used as it is: every record has its own format."""
    (tmp_path / "taskproc.json").write_bytes(content)

    with Cache(tmp_path):
        assert tmp_path == path_in_force()


def test_a_marker_that_is_no_file_is_said_so(tmp_path: Path) -> None:
    """CacheError, with the cause."""
    (tmp_path / "taskproc.json").mkdir()

    with pytest.raises(CacheError, match="cannot be read"), Cache(tmp_path):
        pass


def test_many_may_make_one_folder(tmp_path: Path) -> None:
    """Threads that enter a new cache at once all find it whole."""
    barrier = threading.Barrier(8)
    errors: list[BaseException] = []

    def run() -> None:
        barrier.wait()
        try:
            with Cache(tmp_path / "a"):
                pass
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == errors
    assert 1 == json.loads((tmp_path / "a" / "taskproc.json").read_text())["format"]
    assert not list((tmp_path / "a").glob("*.tmp"))
