"""What cannot be watched is reported: by `why` for each task of a graph, and by the first run that meets it."""
from __future__ import annotations

import importlib
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from taskproc.errors import BuildError
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.store.check import check
from taskproc.tasks.explaining import accept
from taskproc.tasks.task import Task

HELPER = """
CACHE = {}

def remember(key):
    CACHE[key] = 1
    return key
"""
STUDY = """
import helper
from taskproc import Task

class Raw(Task):
    OK

    def run_task(self):
        return helper.remember(1)

class Main(Task):
    OK

    def __init__(self):
        self.raw = Raw()

    def run_task(self):
        return self.raw.get_result()
"""
CHANGED = "helper:CACHE is changed by the code itself"
LINE = "1 thing that the code of Raw uses cannot be watched: see `taskproc why`"
Study = Callable[..., ModuleType]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Cache) -> Iterator[Study]:
    """Loads the module above as a new process would, with `accepted` set in the class Raw and the helper edited."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def forget() -> None:
        for name in ("study", "helper"):
            sys.modules.pop(name, None)

    def load(accepted: str = "()", old: str = "", new: str = "", inherited: bool = False) -> ModuleType:
        first, _, second = STUDY.partition("OK")
        text = f"{first}task_unwatched_ok = {accepted}{second.replace('OK', '')}"
        if inherited:
            text = text.replace("class Main(Task)", "class Main(Raw)")
        (tmp_path / "study.py").write_text(text)
        (tmp_path / "helper.py").write_text(HELPER.replace(old, new))
        forget()
        cache.instances.clear()
        importlib.invalidate_caches()
        return importlib.import_module("study")

    yield load
    forget()


def said(caplog: pytest.LogCaptureFixture, task: Any) -> list[str]:
    """What a run of `task` has logged."""
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="taskproc"):
        task.run_graph(executor=LocalExecutor())
    return [record.getMessage() for record in caplog.records]


def test_the_first_run_that_meets_it_says_so(study: Study, caplog: pytest.LogCaptureFixture) -> None:
    """In a line for the class whose code it is, upstream as well; and never again for the same code."""
    assert said(caplog, study().Main()) == [LINE]
    assert said(caplog, study().Main()) == []
    assert said(caplog, study(old="return key", new="return key + 0").Main()) == [LINE]
    assert said(caplog, study().Main()) == []


def test_what_nobody_could_see_was_not_said(study: Study, caplog: pytest.LogCaptureFixture) -> None:
    """A run that logs only errors leaves it to the next run."""
    with caplog.at_level(logging.ERROR, logger="taskproc"):
        study().Main().run_graph(executor=LocalExecutor())

    assert said(caplog, study().Main()) == [LINE]


def test_also_a_run_that_finds_all_fresh_says_so(study: Study, caplog: pytest.LogCaptureFixture, cache: Cache) -> None:
    """After an earlier version or an accepted edit, it has not been reported yet."""
    said(caplog, study().Main())
    accept(study(old="return key", new="return key + 0").Main())

    assert said(caplog, study(old="return key", new="return key + 0").Main()) == [LINE]
    assert list(check(cache.store)) == []


def test_what_a_task_keeps_is_mentioned_too(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    """Again only if there is another entry."""
    class Holds(Task):
        def __init__(self, kind: str):
            setattr(self, kind, threading.Lock())

        def run_task(self) -> int:
            return 1

    assert [len(said(caplog, Holds(kind))) for kind in ("a", "b", "a", "b")] == [1, 1, 0, 0]


def test_nothing_is_said_where_nothing_is_left_out(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    """Nor if the source does not count at all."""
    class Plain(Task):
        def run_task(self) -> int:
            return 1

    assert said(caplog, Plain()) == []


@pytest.mark.parametrize("pattern", ["helper:CACHE", "helper:*", "*changed by the code*", CHANGED])
def test_what_is_accepted_is_not_mentioned(study: Study, caplog: pytest.LogCaptureFixture, pattern: str) -> None:
    """By a pattern for its place or its text; `why` lists it as accepted, and the code is the same."""
    module = study(f"({pattern!r},)")

    assert said(caplog, module.Main()) == []
    assert f"study.Raw\n  not watched, and accepted: {CHANGED}" in str(module.Main().explain())
    assert study().Main().explain().fresh


def test_a_pattern_that_is_for_nothing_is_told(study: Study, caplog: pytest.LogCaptureFixture) -> None:
    """`why` reports it, and runs behave as if it did not exist."""
    module = study("['helper:CASH']")

    assert said(caplog, module.Main()) == [LINE]
    assert "'helper:CASH' in task_unwatched_ok matches nothing" in str(module.Main().explain())
    assert f"not watched: {CHANGED}" in str(module.Main().explain())


def test_a_pattern_that_is_inherited_is_for_one_of_the_classes(study: Study) -> None:
    """Otherwise it would be reported for each subclass that does not need it."""
    assert "matches nothing" not in str(study("['helper:CACHE']", inherited=True).Main().explain())


@pytest.mark.parametrize("wrong", ["lib:CACHE", 5, None, ["a", 5], {"a"}])
def test_another_type_is_refused(wrong: object) -> None:
    """When the class is defined; the message names the class."""
    with pytest.raises(BuildError, match="task_unwatched_ok of .*Wrong must be a list of strings"):
        type("Wrong", (Task,), {"task_unwatched_ok": wrong, "run_task": lambda self: 1})


def test_why_lists_it_for_every_task_of_the_graph(study: Study) -> None:
    """With place and cause, by class, for fresh and stale tasks."""
    before = study().Main().explain()
    study().Main().run_graph(executor=LocalExecutor())
    after = study().Main().explain()

    for found in (before, after):
        assert f"study.Raw\n  not watched: {CHANGED}" in str(found)
        assert found.unwatched == {"study.Raw": (CHANGED,)}


@pytest.mark.parametrize("options", [[], ["--dont-show-progress"], ["--log-format", "json"]])
def test_every_way_to_run_says_so(study: Study, tmp_path: Path, options: list[str]) -> None:
    """With plain lines, without progress, and with JSON; on standard error."""
    study()
    words = [sys.executable, "-m", "taskproc", "study.py", "-o", str(tmp_path / "other"), *options]

    runs = [subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True) for _ in range(2)]

    first, second = (run.stderr for run in runs)
    assert (first.count(LINE), second.count(LINE)) == (1, 0)
    if "json" in options:
        assert LINE in [json.loads(line).get("text") for line in first.splitlines()]
