"""F4: any file of a cache may be lost, damaged or mixed up with another: at most something is computed again."""
from __future__ import annotations

from pathlib import Path

import pytest

from tests.fault.forks import nursed
from tests.fault.loss import every_case

PARTS = 2


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_every_file(tmp_path: Path, part: int) -> None:
    """Deleted, emptied, cut in half, garbage, swapped with its like: the right answers, of the right task."""
    answers = nursed(every_case, tmp_path, part, PARTS)

    assert {} == {name: faults for name, faults in answers.items() if faults}
    assert len(answers) > 150 / PARTS
