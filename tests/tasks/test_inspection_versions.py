"""A result that was made with another version of a package is reported, and stays fresh."""
from __future__ import annotations

import importlib
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from taskproc.run.pool import LocalExecutor
from taskproc.store import index
from taskproc.store.cache import Cache
from taskproc.store.disk import DiskStore
from taskproc.store.layout import Place
from taskproc.store.version import Version

STUDY = """
import toolkit
from taskproc import FutureList, Task

class Part(Task):
    task_packages = []

    def __init__(self, number):
        self.number = number

    def run_task(self):
        return toolkit.one() * self.number

class Main(Task):
    def __init__(self, count=3):
        self.parts = FutureList([Part(number) for number in range(count)])

    def run_task(self):
        return sum(self.parts.get_result())
"""
Study = Callable[..., ModuleType]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Cache) -> Iterator[Study]:
    """Loads the module above as a new process would, with this version of a package `toolkit` installed."""
    installed = tmp_path / "site-packages"
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(installed))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def forget() -> None:
        for name in ("study", "toolkit"):
            sys.modules.pop(name, None)
        for module in [each for name, each in sys.modules.items() if name.startswith("taskproc.source")]:
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()  # installed versions are read once per process

    def load(version: str, counts: bool = False) -> ModuleType:
        for old in installed.glob("toolkit-*"):
            (old / "METADATA").unlink()
            old.rmdir()
        (installed / f"toolkit-{version}.dist-info").mkdir(parents=True)
        about = f"Metadata-Version: 2.1\nName: toolkit\nVersion: {version}\n"
        (installed / f"toolkit-{version}.dist-info" / "METADATA").write_text(about)
        (installed / "toolkit.py").write_text("def one():\n    return 1\n")
        text = STUDY.replace("task_packages = []", "task_packages = ['toolkit']") if counts else STUDY
        (tmp_path / "study.py").write_text(text)
        forget()
        cache.instances.clear()
        importlib.invalidate_caches()
        module = importlib.import_module("study")
        if not fingerprint_names_packages(module):
            pytest.skip("the look at the source does not name packages yet")
        return module

    yield load
    forget()


def fingerprint_names_packages(module: Any) -> bool:
    from taskproc.tasks.task_code import fingerprint

    return bool(fingerprint(module.Part).packages)


def said(caplog: pytest.LogCaptureFixture, task: Any, **options: Any) -> tuple[int, list[str]]:
    """How many tasks a run has run, and what it has logged."""
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="taskproc"):
        _, stats = task.run_graph(**{"executor": LocalExecutor(), **options})
    return sum(stats["stats"].values()), [record.getMessage() for record in caplog.records]


def line(count: str) -> str:
    they = "it" if count.startswith("1 ") else "them"
    return f"{count} made with toolkit 1.0; toolkit 2.0 is installed now: name it in task_packages to rerun {they}"


@pytest.mark.parametrize("options", [{}, {"executor": None, "max_workers": 1}], ids=["here", "in workers"])
def test_it_is_told_with_the_run(study: Study, caplog: pytest.LogCaptureFixture, options: dict[str, Any]) -> None:
    """One line per package, only for results that were found, in each run until the versions agree."""
    assert said(caplog, study("1.0").Main(), **options) == (4, [])
    study("2.0").Part(0).clear_task()

    assert said(caplog, study("2.0").Main()) == (2, [line("2 fresh results were")])
    assert said(caplog, study("2.0").Part(1)) == (0, [line("1 fresh result was")])
    assert said(caplog, study("1.0").Part(1)) == (0, [])


def test_why_tells_it(study: Study, caplog: pytest.LogCaptureFixture) -> None:
    """For all tasks of the graph."""
    said(caplog, study("1.0").Main())

    assert line("3 fresh results were") in str(study("2.0").Main().explain())


def test_it_reruns_where_task_packages_names_it(study: Study, caplog: pytest.LogCaptureFixture) -> None:
    """Then nothing more is reported."""
    said(caplog, study("1.0", counts=True).Part(1))

    assert said(caplog, study("2.0", counts=True).Part(1)) == (1, [])


def test_a_warm_run_opens_no_record_for_it(
    study: Study, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index has the versions of the results that it finds, in each run."""
    monkeypatch.setattr(index, "LEAST", 2)
    monkeypatch.setattr(index, "_TICK", 0)  # results made just now are remembered, too
    said(caplog, study("1.0").Main(8))
    said(caplog, study("2.0").Main(8))
    names: list[str] = []
    look = DiskStore.look

    def noted(store: DiskStore, place: Place) -> Iterator[Version]:
        names.append(place.name)
        return look(store, place)

    monkeypatch.setattr(DiskStore, "look", noted)

    assert said(caplog, study("2.0").Main(8)) == (0, [line("8 fresh results were")])
    assert set(names) <= {"study.Main"}


def test_the_command_line_tells_it(study: Study, tmp_path: Path, environ: dict[str, str]) -> None:
    """On standard error with a run, on standard output with a dry one."""
    words = [sys.executable, "-m", "taskproc", "study.py:Main", "-o", "here", "--dont-force-entrypoint"]
    paths = os.pathsep.join([str(tmp_path / "site-packages"), environ["PYTHONPATH"]])

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        env = {**environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run([*words, *more], cwd=tmp_path, capture_output=True, text=True, check=True, env=env)

    study("1.0")
    run()
    study("2.0")

    assert line("3 fresh results were") in run("--dry-run").stdout
    assert line("3 fresh results were") in run().stderr
