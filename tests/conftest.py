"""What tests of several rooms share: a cache of one's own, and scripts that run as `__main__`."""
from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest

from taskproc.cli import defaults
from taskproc.run import far_end
from taskproc.store.cache import Cache
from tests.pace import limit, measure

ROOT = Path(__file__).resolve().parent.parent
RAY_VARIABLE = "TASKPROC_TESTS_OF_RAY"  # of the environment: set where the tests of Ray run

# In the background of a shell, or under nohup, these are ignored, and would be in all that the tests start
for _name in ("SIGINT", "SIGHUP"):
    if hasattr(signal, _name) and signal.getsignal(getattr(signal, _name)) == signal.SIG_IGN:
        signal.signal(getattr(signal, _name), signal.default_int_handler if _name == "SIGINT" else signal.SIG_DFL)

# A deadline of a single example would tell a busy machine, and no fault; what hangs is ended by pytest-timeout
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("steady")


def is_open_to_all(path: Path) -> bool:
    """Whether every user can get to `path`: a test that gives up its rights must still find its code."""
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents)


@pytest.fixture
def open_code() -> None:
    """Skips a test where only its owner can read this checkout."""
    if not is_open_to_all(Path(__file__)):
        pytest.skip("other users cannot read this checkout")


def pytest_xdist_auto_num_workers() -> int:
    """Twice as many as processors: tests of processes wait more than they compute."""
    return 2 * (os.cpu_count() or 1)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    """A new cache, in force during the test."""
    with Cache(tmp_path / "cache") as made:
        yield made


@pytest.fixture
def restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of its own for a test that calls the command line; modules, paths and defaults are restored."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(sys, "argv", ["taskproc"])
    monkeypatch.setattr(defaults, "_populated", None)
    monkeypatch.setattr(far_end, "_scripts", dict(far_end._scripts))
    modules, logger = set(sys.modules), logging.getLogger("taskproc")
    level, handlers = logger.level, logger.handlers[:]
    yield
    for name in set(sys.modules) - modules:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]
    logger.setLevel(level)
    logger.handlers[:] = handlers


@pytest.fixture
def environ() -> dict[str, str]:
    """Environment for child processes: they find this taskproc, and tell where they hang or crash."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONFAULTHANDLER": "1"}


@pytest.fixture
def script(tmp_path: Path, environ: dict[str, str]) -> Callable[..., str]:
    """Run a text as `script.py` in a folder of its own: `script(text, *arguments)` gives what it printed."""

    def run(text: str, *arguments: str) -> str:
        (tmp_path / "script.py").write_text(text)
        command = [sys.executable, "script.py", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=limit(100))
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def pytest_configure() -> None:
    """Measure how busy this machine is, once: the processes of xdist inherit what was found."""
    measure()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let the limits of tests grow on a busy machine, and choose those of Ray or all others."""
    if config.getoption("timeout") is None:  # `--timeout 0` is for a debugger
        _scale_timeouts(items, float(config.getini("timeout")))
    _choose(config, items)


def _scale_timeouts(items: list[pytest.Item], usual: float) -> None:
    for item in items:
        marker = item.get_closest_marker("timeout")
        item.add_marker(pytest.mark.timeout(limit(marker.args[0] if marker else usual)), append=False)


def _choose(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of Ray run in a process of their own, and no others there; see test_on_ray.py."""
    there = RAY_VARIABLE in os.environ
    elsewhere = [item for item in items if _is_of_ray(item) != there]
    if elsewhere:
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = [item for item in items if _is_of_ray(item) == there]


def _is_of_ray(item: pytest.Item) -> bool:
    """Whether a test needs Ray: by its fixtures, or the way of making managers that it is given."""
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    return "ray" in getattr(item, "fixturenames", ()) or parameters.get("make") == "ray"


@pytest.fixture(scope="session")
def ray() -> Iterator[ModuleType]:
    """A local Ray of two processors, one for all its tests."""
    found = pytest.importorskip("ray", reason="Ray is not installed, or has no wheel for this Python")
    found.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield found
    found.shutdown()
