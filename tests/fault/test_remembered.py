"""What is remembered is never another thing than a look finds, whoever else is at work."""
from __future__ import annotations

from pathlib import Path

import pytest

from taskproc.store import index
from tests.fault.remembered import rounds
from tests.signs import SignsByContent


@pytest.mark.slow
def test_remembered_and_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cleared, forced, damaged, swapped, and run with other settings in between."""
    monkeypatch.setattr(index, "LEAST", 1)

    found = rounds(tmp_path / "cache", 1, 25, SignsByContent())

    assert [] == found.faults
    assert found.remembered > 25
