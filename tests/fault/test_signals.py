"""Signals to a run, once and twice, and the death of its main process, on each executor."""
from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.fault.signals import EXECUTORS, SIGNALS, interrupt, kill_anywhere, kill_main

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc"),
]
SLACK = 20.0  # the machine may be busy; the soak has the figures


@pytest.mark.parametrize("executor", [*EXECUTORS, "prefix"])
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_ends_the_run(tmp_path: Path, executor: str, number: signal.Signals) -> None:
    """Nothing new starts, nobody is left, one line tells how far it came, and the next run goes on from there."""
    assert [] == interrupt(executor, number, False, tmp_path, SLACK)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_second_signal_leaves_no_grace(tmp_path: Path, executor: str, number: signal.Signals) -> None:
    """To tasks that do not listen; and threads are left."""
    assert [] == interrupt(executor, number, True, tmp_path, SLACK)


@pytest.mark.parametrize("executor", [*EXECUTORS, "prefix", "spawn"])
def test_nothing_outlives_the_main_process(tmp_path: Path, executor: str) -> None:
    """Nor starts after it, also in a pool of somebody else's; and the next run finds no obstacle."""
    assert [] == kill_main(executor, tmp_path, slack=SLACK)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_kill_at_any_time_loses_nothing_that_was_stored(tmp_path: Path, executor: str) -> None:
    """One moment of many; the soak tries more."""
    assert [] == kill_anywhere(executor, tmp_path, 0.6, SLACK)
