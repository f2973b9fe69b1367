"""F16: no clock and no time of a file decides anything."""
from __future__ import annotations

from pathlib import Path

import pytest

from tests.fault.clocks import CELLS, cell
from tests.fault.forks import nursed


@pytest.mark.slow
def test_every_lie(tmp_path: Path) -> None:
    """Nothing is run again because of a clock, and what was cleared is, with all that lies below it."""
    assert {} == {name: faults for name, faults in nursed(_all, tmp_path).items() if faults}


def _all(folder: Path) -> dict[str, list[str]]:
    answers = {}
    for number, name in enumerate(CELLS):
        (folder / str(number)).mkdir()
        answers[name] = cell(folder / str(number), name)
    return answers
