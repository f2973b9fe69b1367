"""F14: whatever the cache is called, and whatever a task runs behind: no shell reads a path."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fault import journal
from tests.fault.behind import PATHS, PREFIXES, has_command, some_cells, trial


@pytest.mark.slow
@pytest.mark.parametrize(("prefix", "path"), list(some_cells()))
def test_behind_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str, path: str) -> None:
    """The right answer, computed once, and nothing outside the cache. The soak has all commands with all paths."""
    if not has_command(prefix):
        pytest.skip(f"no {prefix} here")
    monkeypatch.setenv(journal.VARIABLE, os.devnull)  # to be put back

    assert [] == trial(tmp_path, prefix, path)


def test_each_command_and_each_path_has_its_turn() -> None:
    """In the quick part, too."""
    assert (set(PREFIXES), set(PATHS)) == tuple(map(set, zip(*some_cells())))
