"""Names that are no names: as arguments, keys, classes and cache paths they stay data, and make nothing elsewhere."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from taskproc import Cache, CacheError, Const, FailedTaskError, FutureDict, LocalExecutor, Task
from tests.fault import graphs, journal
from tests.fault.graphs import Echo
from tests.fault.odd import NAMES, untouched


@pytest.fixture(autouse=True)
def _journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(journal.VARIABLE, str(tmp_path / "journal"))
    (tmp_path / "journal").touch()


def around(tmp_path: Path) -> Any:
    """Nothing but the cache may change."""
    return untouched(tmp_path, tmp_path / "cache")


@pytest.mark.slow
def test_as_arguments(tmp_path: Path) -> None:
    """Alone, nested, as keys of dicts and of a FutureDict: each comes back as it was, and each is a task of its own."""
    with around(tmp_path), Cache("cache"):
        tasks: list[Any] = []
        for name in NAMES.values():
            for value in (name, {"value": [name]}, {name: 1}, FutureDict({name: Const(name)})):
                task = Echo(value)
                expected = {name: name} if isinstance(value, FutureDict) else value
                assert expected == task.run_graph(executor=LocalExecutor())[0]
                assert expected == task.get_result()
                tasks.append(task)

        assert len({task.task_id for task in tasks}) == 4 * len(NAMES)


@pytest.mark.slow
def test_in_a_worker(tmp_path: Path) -> None:
    """They travel, too."""
    with around(tmp_path), Cache("cache"):
        futures = FutureDict({name: Echo({name: name}) for name in NAMES.values()})

        assert {name: {name: name} for name in NAMES.values()} == Echo(futures).run_graph(max_workers=1)[0]


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_as_names_of_classes(tmp_path: Path, name: str) -> None:
    """A class of any name has a folder inside the cache, and is found there again."""
    odd: Any = type("Odd", (Echo,), {"__module__": "odd", "__qualname__": name})
    with around(tmp_path), Cache("cache") as cache:
        for _ in range(2):
            assert 5 == odd(5).run_graph(executor=LocalExecutor())[0]
        (odd(5).task_directory / "file").touch()
        with pytest.raises(FailedTaskError):
            type("Bad", (Task,), {"run_task": lambda self: 1 / 0, "__qualname__": name})().run_graph(
                executor=LocalExecutor()
            )
        found = list(cache.path.rglob("file"))

        assert [found[0].resolve()] == found
        odd.clear_all_tasks()
        assert not odd(5).task_is_done()
    assert 1 == journal.counts(tmp_path / "journal")["start Echo"]


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_as_the_path_of_a_cache(tmp_path: Path, name: str) -> None:
    """What can be a path is used as it is written; what cannot is a CacheError."""
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "a" / "b").mkdir(parents=True)
    given = os.path.join("inside", "a", "b", name.lstrip("/"))
    with untouched(tmp_path, inside):
        try:
            with Cache(given):
                value = Echo(5).run_graph(executor=LocalExecutor())[0]
        except CacheError:
            assert name in ("a\0b", "\ud800", "x" * 300, "ü" * 300)
        else:
            assert 5 == value
            assert os.path.isfile(os.path.join(given, "taskproc.json"))


def test_as_a_key_of_a_dict_that_looks_like_a_future(tmp_path: Path) -> None:
    """What only looks like a task is a dict."""
    with around(tmp_path), Cache("cache"):
        task = Echo(1)
        alike = task.to_json()

        assert alike == Echo(alike).run_graph(executor=LocalExecutor())[0]
        assert Echo(alike) is not Echo(task)
        assert graphs.Echo(alike).task_id != task.task_id
