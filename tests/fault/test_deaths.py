"""Each way to die on each executor: the killer is named, and nobody else is hurt."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fault.deaths import DEADLY, HARMLESS, IN_PROCESS, OURS, POOLS, RAISING, WAYS, run_cell

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="some ways are those of Linux"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]
CALM = (*RAISING, *HARMLESS)
ABOVE = tuple(way for way in RAISING if way != "memory limit")  # in threads and inline the limit is that of pytest
CELLS = [
    *((tuple(WAYS)[start::4], executor) for executor in OURS for start in range(4)),
    *(((way,), "fork") for way in DEADLY),
    *(((way,), executor) for executor in ("spawn", "forkserver") for way in ("kill", "close all", "kill group")),
    *((CALM, executor) for executor in POOLS),
    *((ABOVE, executor) for executor in IN_PROCESS),
]


NAMES = [f"{executor}: {', '.join(ways)}" for ways, executor in CELLS]


@pytest.mark.parametrize(("ways", "executor"), CELLS, ids=NAMES)
def test_the_killer_is_named_and_nobody_else_is_hurt(tmp_path: Path, ways: tuple[str, ...], executor: str) -> None:
    """With its signal or exit code and its peak memory; no more runs than one for each suspect; and no hang."""
    assert [] == run_cell(ways, executor, tmp_path)
