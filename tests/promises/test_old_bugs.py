"""Faults of the program that the document described; none of them can be brought about. Numbers as in the list."""
from __future__ import annotations

import asyncio
import json
import math
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from taskproc import Cache, CacheError, Const, FailedTaskError, LocalExecutor, MissingResult, Task
from tests.pace import limit
from tests.plain import plain
from tests.promises.graphs import Choose, Echo, Environment, Fails, Many, Where


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with Cache(tmp_path / "cache") as made:
        yield made


def run(task: Any, **options: Any) -> Any:
    return task.run_graph(**{"executor": LocalExecutor(), **options})


@pytest.mark.parametrize(
    ("one", "other"),
    [((1, 2), [1, 2]), ({"1": 2}, {1: 2}), (1, 1.0), (1, True), ("1", 1), (0.0, -0.0), ({1}, frozenset({1}))],
)
def test_001_45_values_keep_their_type(cache: Cache, one: Any, other: Any) -> None:
    """Arguments that JSON would confuse are two tasks, and each gets back what it was given."""
    assert Echo(one).task_id != Echo(other).task_id
    for value in (one, other):
        result = run(Echo(value))[0]
        assert (type(result), repr(result)) == (type(value), repr(value))


def test_001_52_arguments_are_normalised(cache: Cache) -> None:
    """Positional, by keyword and by default: one task."""
    assert Echo(1) is Echo(value=1) is Echo()
    assert Echo(1) is not Echo(1, other=0)


def test_001_53_building_twice_gives_a_complete_object(cache: Cache) -> None:
    """Both times it has its attributes; in another Cache object, too."""
    assert hasattr(Choose(3, 1), "left")
    assert hasattr(Choose(3, 1), "left")
    with Cache(cache.path):
        assert hasattr(Choose(3, 1), "left")


class Base(Task):
    def __init__(self, x: int):
        self.x = x

    def run_task(self) -> int:
        return self.x


class Derived(Base):
    def __init__(self, x: int):
        super().__init__(x + 1)


def test_001_54_a_hierarchy_registers_one_task(cache: Cache) -> None:
    """super().__init__ with other arguments poisons nothing: each task has its own value and folder."""
    assert [run(Derived(3))[0], run(Derived(4))[0], run(Base(4))[0]] == [4, 5, 4]
    assert len(list((cache.path / Derived.task_name / "results").iterdir())) == 2


class Doubled(Task):
    def __init__(self, left: Any, right: Any):
        self.left, self.right = left, right

    def run_task(self) -> int:
        return int(self.left.get_result() + self.right.get_result())


def test_001_55_keys_do_not_grow(cache: Cache) -> None:
    """The text of a task does not double with each level of a graph that shares."""
    task: Any = Const(1)
    sizes = []
    for _ in range(60):
        task = Doubled(task, task)
        sizes.append(len(json.dumps(task.to_json())))

    assert max(sizes[2:]) - min(sizes[2:]) < 10
    assert run(task)[0] == 2**60


@pytest.fixture
def in_memory(roomy: Path) -> Iterator[None]:
    """A cache there is in force."""
    with Cache(roomy):
        yield


class Link(Task):
    """A chain that its definition makes."""

    def __init__(self, i: int):
        self.up: Any = Link(i - 1) if i else Const(0)

    def run_task(self) -> int:
        return int(self.up.get_result()) + 1


class Chained(Task):
    """A chain of arguments."""

    def __init__(self, up: Any):
        self.up = up

    def run_task(self) -> int:
        return int(self.up.get_result()) + 1


@pytest.fixture
def roomy(tmp_path: Path) -> Iterator[Path]:
    """A folder for 20,000 others: in memory where the host has such, for a disk needs minutes and proves no more."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as folder:
        yield Path(folder)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.long
def test_001_56_a_definition_may_be_20_000_deep(roomy: Path) -> None:
    """It is built under the default recursion limit, runs, and is found done."""
    with Cache(roomy):
        assert run(Link(20_000))[0] == 20_001
    with Cache(roomy):
        assert run(Link(20_000))[1]["stats"] == {}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("in_memory")
@pytest.mark.long
def test_001_56_a_chain_of_arguments_may_be_20_000_long() -> None:
    """A task that is an argument of a task that is an argument …"""
    task: Any = Const(0)
    for _ in range(20_000):
        task = Chained(task)

    assert run(task)[0] == 20_000
    assert run(task)[1]["stats"] == {}


def test_001_57_freshness_looks_at_no_clock(cache: Cache) -> None:
    """Modification times of any age, on any file, rerun nothing and hide nothing."""
    task = Echo(Echo(1))
    run(task)
    for path in cache.path.rglob("*"):
        os.utime(path, (0, 0) if "args" in path.name else (4e9, 4e9))

    assert run(task)[1]["stats"] == {}
    Echo(1).clear_task()
    assert run(task)[1]["stats"] == {Echo.task_name: 2}


def test_001_58_no_interpreter_per_task(cache: Cache) -> None:
    """Many tasks run in few processes."""
    places = Many([Where(i) for i in range(30)]).run_graph(max_workers=1)[0]

    assert len({pid for pid, _ in places}) == 1


def test_001_59_a_failure_stops_the_start_of_others(cache: Cache) -> None:
    """With one worker, whatever is queued behind a failing task does not run any more."""
    parts = [Echo(1), Fails("exception"), *(Echo(i) for i in range(2, 30))]

    with pytest.raises(FailedTaskError) as caught:
        Many(parts).run_graph(max_workers=1)

    assert [failure.task_name for failure in caught.value.failures] == [Fails.task_name]
    assert sum(part.task_is_done() for part in parts) == 1


def test_001_60_a_partial_result_does_not_count(cache: Cache) -> None:
    """A result cut at any length is computed again in the next run."""
    task = Echo(Echo("some text"))
    run(task)
    folder = cache.path / Echo.task_name / "results" / str(Echo("some text").task_id)
    whole = next(folder.glob("result.*")).read_bytes()

    for length in range(0, len(whole), 7):
        next(folder.glob("result.*")).write_bytes(whole[:length])
        assert run(task)[0] == "some text"
        assert run(task)[1]["stats"] == {}


def test_001_61_caches_nest(tmp_path: Path) -> None:
    """The inner one is in force inside, the outer one again after it; an odd Const is no trouble."""
    with Cache(tmp_path / "outer") as outer:
        with Cache(tmp_path / "inner") as inner:
            assert Echo(1)._taskproc.cache is inner
        assert Echo(1)._taskproc.cache is outer
        assert math.isnan(Const(math.nan).get_result())
        assert run(Echo({1, 2}))[0] == {1, 2}


def test_001_61_caches_in_threads_and_coroutines(tmp_path: Path) -> None:
    """Each thread and each coroutine has its own, also where they take turns; as a decorator, too."""

    async def one(name: str) -> Path:
        with Cache(tmp_path / name):
            for _ in range(3):
                await asyncio.sleep(0)
                task = Echo(1)
            return task._taskproc.cache.path  # type: ignore[union-attr]

    async def both() -> list[Path]:
        return list(await asyncio.gather(one("a"), one("b")))

    @Cache(tmp_path / "c")
    def decorated() -> Path:
        return Echo(1)._taskproc.cache.path  # type: ignore[union-attr]

    assert [path.name for path in asyncio.run(both())] == ["a", "b"]
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(decorated).result().name == "c"
    with pytest.raises(RuntimeError):
        Echo(1)


@pytest.mark.parametrize(
    ("how", "says"),
    [("death", "code 0 without"), ("kill", "signal 9"), ("exit", "SystemExit"), ("lock", "cannot be pickled")],
)
def test_001_62_failures_say_what_happened(cache: Cache, how: str, says: str) -> None:
    """The task is named with its signal or exit code and the end of its log; its siblings' results are kept."""
    siblings = [Echo(i) for i in range(4)]

    with pytest.raises(FailedTaskError) as caught:
        Many([*siblings, Fails(how)]).run_graph(max_workers=2, on_error="continue")

    (failure,) = caught.value.failures
    assert plain(failure.task) == f"Fails(how={how!r}, after=None)"
    assert says in str(caught.value)
    assert failure.stdout is not None
    assert failure.stdout.read_text().startswith(f"about to fail by {how}\n")
    assert failure.log
    assert all(sibling.task_is_done() for sibling in siblings)


def test_001_62_all_failures_are_reported(cache: Cache) -> None:
    """Each with its error and its traceback, also one that cannot be pickled; the whole error can be."""
    parts = [Fails("exception"), Fails("odd exception"), Echo(1)]

    with pytest.raises(FailedTaskError) as caught:
        Many(parts).run_graph(max_workers=2, on_error="continue")

    by_how = {plain(failure.task): failure for failure in caught.value.failures}
    usual, odd = by_how["Fails(how='exception', after=None)"], by_how["Fails(how='odd exception', after=None)"]
    assert isinstance(usual.error, KeyError)
    assert "OddError" in str(odd.error)
    assert "raise OddError" in odd.traceback
    assert isinstance(caught.value.__cause__, Exception)
    assert "no such thing" in str(pickle.loads(pickle.dumps(caught.value)))


def test_001_63_works_on_every_python_of_the_list() -> None:
    """At least 3.10 is needed and said so; nothing that 3.13 removed is used (CI runs the oldest and the newest)."""
    assert sys.version_info >= (3, 10)
    assert isinstance(Echo.task_name, str)


def test_001_64_a_second_run_disturbs_nobody(cache: Cache) -> None:
    """Two runs of one graph at once, in two processes: both right, each task executed once."""
    journal = cache.path.parent / "journal"
    code = (
        "from taskproc import Cache\n"
        "from tests.promises.test_old_bugs import Journal, Many\n"
        f"with Cache({str(cache.path)!r}):\n"
        f"    print(Many([Journal(i, {str(journal)!r}) for i in range(12)]).run_graph(max_workers=1)[0])\n"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
        for _ in range(2)
    ]
    answers = [each.communicate(timeout=limit(60))[0] for each in both]

    assert answers == [f"{list(range(12))}\n"] * 2
    assert sorted(journal.read_text().split()) == sorted(str(i) for i in range(12))


class Journal(Task):
    """Writes down that it ran."""

    def __init__(self, number: int, path: str):
        self.number, self.path = number, path

    def run_task(self) -> int:
        with open(self.path, "a") as file:
            file.write(f"{self.number}\n")
        return self.number


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a 'quoted\" path", "two\nlines", "a';touch HACKED;#", "$(touch HACKED)"])
def test_001_65_any_path_works_behind_a_prefix(tmp_path: Path, name: str) -> None:
    """Quotes, spaces and newlines in the cache path: no shell reads them."""
    with Cache(tmp_path / name):
        task = Environment("A")
        answer = run(task, prefixes={"first": ["env", "A={task_directory}"]})[0]

    assert Path(answer) == task.task_directory
    assert not list(Path.cwd().glob("HACKED")) + list(tmp_path.rglob("HACKED"))


def test_a_cycle_is_told_with_its_path(cache: Cache) -> None:
    """In a definition when it is built, through attributes when it is to be run."""

    class Endless(Task):
        def __init__(self, n: int):
            self.other = Endless((n + 1) % 3)

        def run_task(self) -> None: ...

    name = Endless.__qualname__
    with pytest.raises(RuntimeError) as caught:
        Endless(0)
    path = " -> ".join(f"{name}(n={n})" for n in (0, 1, 2, 0))
    assert plain(caught.value) == f"{name} needs itself: {path}"

    first, second = Echo(1), Echo(2)
    first.value, second.value = second, first
    with pytest.raises(RuntimeError, match=r"needs itself: .* -> .* -> "):
        run(first)


def test_bad_options_are_refused_before_anything_starts(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    """Each names the option; a label that no task has is only warned of."""
    task = Echo(1)
    for options in (
        {"rate_limits": {"a": 0}}, {"rate_limits": {"a": 1.5}}, {"rate_limits": {"a": True}}, {"prefixes": {"a": "'"}},
        {"prefixes": {"a": "x"}, "prefix": {"a": "y"}}, {"on_error": "ignore"}, {"executor": 3},
        {"executor": None, "max_workers": 0},
    ):  # fmt: skip
        with pytest.raises(ValueError, match="'a'|on_error|executor|max_workers"):
            run(task, **options)

    assert not task.task_is_done()
    run(task, rate_limits={"nobody": 1}, prefixes={"no one": "env"})
    assert [record.args[0] for record in caplog.records if record.args] == ["nobody", "no one"]  # type: ignore[index]


def test_a_cache_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    """A file, a folder below a file; a newer format, as soon as there is something to write."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(CacheError, match="file"), Cache(path):
            pass

    (tmp_path / "newer").mkdir()
    (tmp_path / "newer" / "taskproc.json").write_text('{"format": 99}')
    with Cache(tmp_path / "newer"), pytest.raises(CacheError, match=r"format 99.*update taskproc"):
        Choose(1, 1).run_graph(executor=LocalExecutor(), show_progress=False)
    assert ["taskproc.json"] == os.listdir(tmp_path / "newer")


def test_a_class_without_run_task_is_refused(cache: Cache) -> None:
    """When it is built, by name."""

    class Empty(Task):
        pass

    with pytest.raises(RuntimeError, match=r"Empty has no run_task method"):
        Empty()


def test_wrong_arguments_name_the_class(cache: Cache) -> None:
    """As Python does for functions."""
    with pytest.raises(TypeError, match="Choose.*'k'"):
        Choose(1)  # type: ignore[call-arg]


def test_none_is_a_result_like_any_other(cache: Cache) -> None:
    """It is stored, found and given to others."""
    task = Echo(Echo(None))

    assert run(task)[0] is None
    assert run(task)[1]["stats"] == {}


def test_get_result_before_the_run_says_why(cache: Cache) -> None:
    """Also where only something above is missing."""
    task = Echo(Echo(1))
    with pytest.raises(MissingResult, match="no result is stored"):
        task.get_result()

    run(task)
    Echo(1).clear_task()
    with pytest.raises(MissingResult, match=r"Echo#\w+\(value=1, other=None\) must run first"):
        task.get_result()


@dataclass
class Config:
    rate: float
    parts: list[Any]


def test_futures_in_plain_containers_and_dataclasses_count(cache: Cache) -> None:
    """At any depth."""

    class Deep(Task):
        def __init__(self) -> None:
            self.config = Config(0.5, [{"a": (Echo(1), [Echo(2)])}])

        def run_task(self) -> int:
            first, (second,) = self.config.parts[0]["a"]
            return int(first.get_result() + second.get_result())

    assert run(Deep())[0] == 3
    assert Deep().run_graph(force=True, max_workers=1)[0] == 3


def test_a_run_after_the_block_uses_the_cache_of_the_task(tmp_path: Path) -> None:
    """A task remembers its cache; two caches in one graph are refused."""
    with Cache(tmp_path / "a"):
        task = Echo(1)

    assert run(task)[0] == 1
    assert task._taskproc.cache.path == tmp_path / "a"  # type: ignore[union-attr]
    with Cache(tmp_path / "b"), pytest.raises(RuntimeError, match="build both in one"):
        Echo(task)
    with Cache(tmp_path / "b"):
        mixed = Echo(2)
    mixed.value = task
    with pytest.raises(RuntimeError, match="build both in one"):
        run(mixed)


def test_two_threads_may_run_one_graph(cache: Cache) -> None:
    """Both get the answer, and each task ran once."""
    task = Many([Echo(i) for i in range(20)])
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(run(task))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [answer for answer, _ in answers] == [list(range(20))] * 2
    ran = [sum(stats["stats"].values()) for _, stats in answers]
    assert sum(ran) == 21


UNGUARDED = """
from taskproc import Cache, Task
class Main(Task):
    def run_task(self): return 1
with Cache("cache"):
    Main().run_graph(max_workers=1)
"""


@pytest.mark.slow
def test_an_unguarded_script_given_to_the_command_line_is_refused(tmp_path: Path) -> None:
    """Its workers must import it, and would run it again, and theirs again: the first says what to do instead."""
    (tmp_path / "script.py").write_text(UNGUARDED)

    done = subprocess.run(
        [sys.executable, "-m", "taskproc", "script.py", "-o", "cache"],
        cwd=tmp_path, capture_output=True, text=True, timeout=limit(60), check=False,
    )  # fmt: skip

    assert done.returncode == 1
    assert "put the call under `if __name__ == '__main__':`" in done.stderr


def test_a_dry_run_runs_nothing(cache: Cache) -> None:
    """It tells what would run."""
    task = Many([Echo(1), Echo(2)])

    answer, stats = task.run_graph(dry_run=True)

    assert answer is None
    assert stats["stats"] == {Echo.task_name: 2, Many.task_name: 1}
    assert not Echo(1).task_is_done()
