"""What a run would do: by class, why, for how long, and which edit explains how much."""
from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from taskproc.errors import OptionError
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.tasks.causes import Edit
from taskproc.tasks.forecast import Forecast

STUDY = """
from taskproc import Task, FutureList

LIMIT = 3

def clean(text):
    return text.strip()

def longest(texts):
    return max(map(len, texts))

class Raw(Task):
    def __init__(self, number=0):
        self.number = number

    def run_task(self):
        return f" {self.number} "

class Clean(Task):
    def __init__(self, number=0):
        self.raw = Raw(number)

    def run_task(self):
        return clean(self.raw.get_result())[:LIMIT]

class Longest(Task):
    def __init__(self, count=4):
        self.texts = FutureList([Clean(number) for number in range(count)])

    def run_task(self):
        return longest(self.texts.get_result())
"""
Study = Callable[..., ModuleType]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Cache) -> Iterator[Study]:
    """Loads the module above, as it is after some replacements, in place of what was loaded before."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def load(*replacements: tuple[str, str]) -> ModuleType:
        text = STUDY
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "study.py").write_text(text)
        sys.modules.pop("study", None)
        cache.instances.clear()
        importlib.invalidate_caches()
        return importlib.import_module("study")

    yield load
    sys.modules.pop("study", None)


def run(task: Any) -> None:
    """In this process, which is quickest."""
    task.run_graph(executor=LocalExecutor())


def counts(found: Forecast) -> dict[str, tuple[int, int, int, int]]:
    """Class → total, fresh, to run, at most."""
    return {name.partition(".")[2]: (each.total, each.fresh, each.to_run, each.at_most)
            for name, each in found.classes.items()}  # fmt: skip


def summaries(edits: tuple[Edit, ...]) -> list[tuple[str, int, int]]:
    """Where each edit is, and how many tasks it explains, alone and with others."""
    return [(edit.where, edit.alone, edit.all) for edit in edits]


def test_a_cold_cache_would_run_all(study: Study) -> None:
    """What was never run has no time; no task is uncertain, and nobody has edited anything."""
    found = study().Longest().plan()

    assert counts(found) == {"Raw": (4, 0, 4, 0), "Clean": (4, 0, 4, 0), "Longest": (1, 0, 1, 0)}
    assert (found.total, found.to_run, found.at_most, found.unknown) == (9, 9, 0, 9)
    assert found.classes["study.Raw"].reasons == {"no result is stored": 4}
    assert {each.seconds for each in found.classes.values()} == {None}
    assert found.edits == ()


def test_a_warm_cache_would_run_nothing(study: Study) -> None:
    """And the path is empty."""
    run(study().Longest())
    found = study().Longest().plan()

    assert (found.to_run, found.path, found.wall.likely) == (0, (), 0.0)
    assert not found.runs_something()


def test_an_edit_is_priced(study: Study) -> None:
    """Its own tasks for sure, those below at most; times come from the records of the same tasks."""
    run(study().Longest())
    found = study(("text.strip()", "text.strip().upper()")).Longest().plan(2)

    assert counts(found) == {"Raw": (4, 4, 0, 0), "Clean": (4, 0, 4, 0), "Longest": (1, 0, 1, 1)}
    assert (found.workers, found.unknown, found.at_most) == (2, 0, 1)
    clean, longest = found.classes["study.Clean"].seconds, found.classes["study.Longest"].seconds
    assert clean is not None
    assert longest is not None
    assert 0 < clean.low < clean.likely < clean.high
    assert (longest.low, longest.likely > 0) == (0.0, True)
    assert clean.likely / 2 <= found.wall.likely <= found.seconds.likely
    assert summaries(found.edits) == [("`clean()` in study.py", 5, 5)]
    alone = study(("text.strip()", "text.strip().upper()")).Longest().plan(1)
    for end in ("low", "likely", "high"):
        assert getattr(alone.wall, end) == pytest.approx(getattr(alone.seconds, end))


def test_each_edit_is_counted_alone(study: Study) -> None:
    """What two edits make stale is explained by none of them alone; a constant has no brackets."""
    run(study().Longest())
    changes = ("LIMIT = 3", "LIMIT = 4"), ("max(map", "min(map")
    found = study(*changes).Longest().plan()

    assert summaries(found.edits) == [("`LIMIT` in study.py", 4, 5), ("`longest()` in study.py", 0, 1)]
    assert found.edits[0].classes == {"study.Clean": 4}


def test_what_an_edit_uses_now_is_part_of_it(study: Study) -> None:
    """A function that is called by the changed one only is no edit of its own."""
    run(study().Longest())
    trim = "def trim(text):\n    return text[:LIMIT]\n\n"
    change = ("def clean(text):\n    return text", f"{trim}def clean(text):\n    return trim(text)")
    found = study(change).Longest().plan()

    assert summaries(found.edits) == [("`clean()` in study.py", 5, 5)]


def test_what_is_new_beside_an_edit_is_not_explained_by_it(study: Study) -> None:
    """Longest(5) would be new anyhow."""
    run(study().Longest())
    found = study(("text.strip()", "text.strip().upper()")).Longest(5).plan()

    assert summaries(found.edits) == [("`clean()` in study.py", 4, 5)]
    assert found.classes["study.Raw"].reasons == {"no result is stored": 1}
    assert counts(found)["Longest"] == (1, 0, 1, 0)


def test_new_tasks_are_estimated_by_their_relatives(study: Study) -> None:
    """Those of the class with the nearest arguments."""
    run(study().Longest())
    found = study().Longest(6).plan()

    assert (found.to_run, found.unknown) == (5, 0)


def test_a_forced_task_is_no_change(study: Study) -> None:
    """The command line forces its entry task each time."""
    run(study().Longest())
    found = study().Longest().plan(force=True)

    assert (found.to_run, found.is_forced, found.runs_something()) == (1, True, False)
    edited = study(("text.strip()", "text.strip().upper()")).Longest().plan(force=True)
    assert summaries(edited.edits) == [("`clean()` in study.py", 4, 4)]
    assert edited.runs_something()


def test_the_critical_path_is_a_chain_of_needs(study: Study) -> None:
    """Upstream tasks first."""
    run(study().Longest())
    study().Raw.clear_all_tasks()
    found = study().Longest().plan()

    assert [each.task for each in found.path] == ["study.Raw", "study.Clean", "study.Longest"]


def test_wrong_numbers_are_refused(study: Study) -> None:
    """As run_graph does."""
    with pytest.raises(OptionError, match="workers must be at least 1, got 0"):
        study().Longest().plan(0)
    with pytest.raises(OptionError, match="rate limit of label 'gpu'"):
        study().Longest().plan(rate_limits={"gpu": 0})


def test_nothing_is_run_or_written(study: Study, cache: Cache) -> None:
    """A plan only looks."""
    run(study().Longest())
    before = {path: path.stat().st_mtime_ns for path in Path(cache.store.root).rglob("*")}
    study(("text.strip()", "text.strip().upper()")).Longest(7).plan()

    assert before == {path: path.stat().st_mtime_ns for path in Path(cache.store.root).rglob("*")}
