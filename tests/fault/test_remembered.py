"""What is remembered is never another thing than a look finds, whoever else is at work."""
from __future__ import annotations

import os
import zlib
from pathlib import Path

import pytest

from taskproc.store import index
from taskproc.store.files import Files
from tests.fault.remembered import rounds


class Signs(Files):
    """Folders whose time of change is told by what is in them: as that of a clock without ticks, made long ago."""

    def sign(self, path: str) -> tuple[int, int] | None:
        found = super().sign(path)
        if found is None:
            return None
        content = sorted((entry.name, entry.inode()) for entry in os.scandir(path))
        return found[0], 2 * zlib.crc32(repr(content).encode()) + 1


@pytest.mark.slow
def test_remembered_and_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cleared, forced, damaged, swapped, and run with other settings in between."""
    monkeypatch.setattr(index, "LEAST", 1)

    found = rounds(tmp_path / "cache", 1, 25, Signs())

    assert [] == found.faults
    assert found.remembered > 25
