"""Why a task is fresh or would run, and how an edit is accepted."""
from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from taskproc.errors import FailedTaskError
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.tasks.explaining import accept, explain
from taskproc.watch.standing import duration
from tests.plain import plain

STUDY = """
from taskproc import Task

def clean(text):
    return text.strip()

class Raw(Task):
    def __init__(self, name="a", size=1, more=()):
        self.name = name
        self.size = size

    def run_task(self):
        return f" {self.name} " * self.size

class Clean(Task):
    def __init__(self, name="a"):
        self.raw = Raw(name)

    def run_task(self):
        return clean(self.raw.get_result())

class Length(Task):
    def __init__(self, name="a"):
        self.clean = Clean(name)

    def run_task(self):
        return len(self.clean.get_result())
"""
Study = Callable[..., ModuleType]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Cache) -> Iterator[Study]:
    """Loads the module below, after some replacements, in place of the loaded one."""
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


def run(task: Any, **options: Any) -> dict[str, int]:
    """Class → how many of its tasks ran."""
    _, stats = task.run_graph(executor=LocalExecutor(), **options)
    return {name.partition(".")[2]: count for name, count in stats["stats"].items()}


EDIT = ("def run_task(self):\n        return f", "def run_task(self):\n        x = 1\n        return f")


def test_a_fresh_task_is_explained(study: Study) -> None:
    """Which result it has, and since when."""
    task = study().Length()
    run(task)

    found = task.explain()

    assert (found.fresh, found.reasons) == (True, {})
    assert plain(found).startswith("Length(name='a') is fresh: result 1 of 2")


def test_an_edit_is_explained_with_its_difference(study: Study) -> None:
    """Down to the task in question, which would run at most."""
    run(study().Length())

    found = study(EDIT).Length().explain()

    assert {plain(task): plain(reason) for task, reason in found.reasons.items()} == {
        "Length(name='a')": "upstream Clean(name='a') would run",
        "Raw(name='a', size=1, more=())": "source of study:Raw.run_task changed",
        "Clean(name='a')": "upstream Raw(name='a', size=1, more=()) would run",
    }
    assert "Raw(name='a', size=1, more=()): source of study:Raw.run_task changed" in plain(found)
    assert "study:Raw" in str(found).splitlines()[2]


@pytest.mark.parametrize("asked", ["Clean", "Length"])
def test_a_helper_that_changed_the_graph_is_the_first_cause(study: Study, asked: str) -> None:
    """It comes before the new upstream task; the new needs of the graph follow the difference."""
    names = ("class Raw(Task)", "def names():\n    return ['a']\n\nclass Raw(Task)")
    build = ("self.raw = Raw(name)", "self.raw = Raw(name); self.all = [Raw(some) for some in names()]")
    run(getattr(study(names, build), asked)())

    found = getattr(study(names, build, ("['a']", "['a', 'z']")), asked)().explain()

    text = plain(found)
    places = [text.index(words) for words in (
        "Clean(name='a')", "source of study:names changed", "+    return ['a', 'z']",
        "with it: upstream Raw(name='z', size=1, more=()) is needed now",
    )]  # fmt: skip
    assert places == sorted(places)
    assert text.find("no result is stored") > places[-1]
    assert "source of study:names changed" in [plain(reason) for reason in found.reasons.values()]


def test_a_new_need_is_told_as_such(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the cause is not code of the task but data that `__init__` has read."""
    module = study(("self.raw = Raw(name)", "self.raw = Raw(name); self.all = [Raw(x) for x in os.environ['ALL']]"),
                   ("def clean", "import os\n\ndef clean"))  # fmt: skip
    monkeypatch.setenv("ALL", "a")
    run(module.Clean())
    module.Clean()._taskproc.cache.instances.clear()
    monkeypatch.setenv("ALL", "az")

    assert plain(module.Clean().explain()).startswith(
        "Clean(name='a') would run: attribute all changed\n"
        "  with it: upstream Raw(name='z', size=1, more=()) is needed now\n"
    )


def test_what_does_not_count_is_no_part_of_the_difference(study: Study) -> None:
    """A comment in one function, next to an edit of another."""
    comment = ("    return text.strip()", "    # both ends\n    return text.strip()")
    run(study().Clean())

    found = str(study(comment, ("return clean(", "return 2 * clean(")).Clean().explain())

    assert "+    return 2 * clean(self.raw.get_result())" in found
    assert "both ends" not in found


def test_one_edit_of_many_tasks_is_shown_once(study: Study) -> None:
    """Each task is named with its reason."""
    second = ("self.clean = Clean(name)", "self.clean = Clean(name)\n        self.other = Raw('z')")
    run(study(second).Length())

    found = str(study(second, EDIT).Length().explain())

    assert 2 == found.count("source of study:Raw.run_task changed")
    assert 1 == found.count("+    x = 1")


def test_a_result_tells_how_long_it_took(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the same form as a run, also for hours."""
    run(study().Raw())
    monkeypatch.setattr("taskproc.tasks.explaining.duration", lambda seconds: duration(seconds + 7500))

    assert str(study().Raw().explain()).endswith("after 2 h 5 min")


def test_a_new_task_is_told_with_its_nearest_relative(study: Study) -> None:
    """The task that differs in the fewest arguments, unless all differ."""
    module = study()
    run(module.Raw("a", 1))
    run(module.Raw("b", 3))

    found = str(module.Raw("b", 4).explain())

    assert "would run: no result is stored" in found
    assert "nearest that is there: size 3 → 4" in found
    assert "nearest" not in str(module.Raw("c", 5, (1,)).explain())


def test_a_task_of_the_same_graph_is_no_relative(study: Study) -> None:
    """It has not become another task: both exist."""
    module = study(("self.clean = Clean(name)", "self.clean = Clean(name)\n        self.other = Raw(name, 2)"))
    run(module.Raw("a", 1))

    assert "nearest" not in str(module.Length().explain())


def test_stats_tell_the_reasons(study: Study) -> None:
    """By class, in words that fit all tasks of the class."""
    module = study()
    _, cold = module.Length().run_graph(executor=LocalExecutor())
    module.Raw().clear_task()
    _, stats = module.Length().run_graph(executor=LocalExecutor())
    _, dry = study(EDIT).Length().run_graph(dry_run=True)

    assert cold["reasons"] == {f"study.{name}": {"no result is stored": 1} for name in ("Raw", "Clean", "Length")}
    assert stats["reasons"]["study.Clean"] == {"upstream Raw changed": 1}
    assert dry["reasons"]["study.Raw"] == {"source of study:Raw.run_task changed": 1}


def test_an_accepted_edit_runs_nothing(study: Study) -> None:
    """All that it reaches is accepted; the code that made the result still counts, and so does a further edit."""
    run(study().Length())

    assert accept(study(EDIT).Length()) == {"study.Raw": 1}
    assert run(study(EDIT).Length()) == {}
    assert run(study().Length()) == {}
    assert run(study(EDIT, ("x = 1", "x = 2")).Length()) == {"Raw": 1}


def test_only_the_source_is_accepted(study: Study) -> None:
    """A task that never ran, or has a forced upstream task, must still run."""
    module = study()
    assert accept(module.Length()) == {}
    run(module.Length())
    module.Raw().clear_task()
    module = study(("return len(", "return 0 + len("))

    assert accept(module.Length()) == {}
    assert run(module.Length()) == {"Raw": 1, "Clean": 1, "Length": 1}


def test_accepting_twice_changes_nothing(study: Study) -> None:
    """Nor does accepting fresh results."""
    run(study().Length())
    accept(study(EDIT).Length())

    assert accept(study(EDIT).Length()) == {}


def test_what_cannot_be_watched_is_told(study: Study) -> None:
    """For the task itself."""
    module = study(("self.size = size", "self.size = size; self.lock = __import__('threading').Lock()"))
    run(module.Raw())

    assert "not watched: attribute lock (a lock)" in str(explain(module.Raw()))


def test_the_last_failure_is_told(study: Study) -> None:
    """It is the reason for the missing result. After a later success it is not shown."""
    module = study(("return f", "raise ValueError('no disk') ; return f"))
    with pytest.raises(FailedTaskError):
        run(module.Raw())

    assert "its last attempt failed: ValueError: no disk" in str(module.Raw().explain())
    run(study().Raw())
    assert "failed" not in str(study().Raw().explain())
