"""Fixtures for the tests of the store; what a test leaves on disk must be sound."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import Runs

from taskproc.store.check import check
from taskproc.store.disk import DiskStore


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    """Runs on one folder; when they have ended, every version that was published there is what was written."""
    runs = Runs(tmp_path / "cache")
    yield runs
    runs.close()
    if not runs.expects_damage:
        assert [] == [found for found in check(DiskStore(runs.root)) if found.kind == "damaged"]


@pytest.fixture
def store(runs: Runs) -> DiskStore:
    """The store of one run."""
    return runs.begin()
