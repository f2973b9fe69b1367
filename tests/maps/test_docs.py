"""What docs/maps.md shows runs, and its table names the arguments that there are."""
from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from taskproc import Pool

TEXT = (Path(__file__).resolve().parent.parent.parent / "docs" / "maps.md").read_text("utf-8")
BEFORE = """
items = images = others = range(5)

def load(device):
    return lambda image: (device, image)
"""
AFTER = """
assert first == second == [("cuda:0", image) for image in images]
assert result == [0, 1, 4, 9, 16]
"""


@pytest.mark.slow
def test_its_code_runs(script: Callable[..., str]) -> None:
    """All of it as one script without a guard."""
    pytest.importorskip("tqdm", reason="the last block needs tqdm")
    blocks = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)

    printed = script("\n".join([BEFORE, *blocks, AFTER]))

    assert [x * x for x in range(1000)] == [int(line) for line in printed.split()]


def test_every_argument_is_in_its_table() -> None:
    """In the order in which the pool takes them."""
    documented = re.findall(r"^\| `(\w+)` \|", TEXT.partition("## Arguments")[2].partition("\n## ")[0], re.MULTILINE)

    parameters = list(inspect.signature(Pool).parameters)
    assert [name for name in parameters if name != "exception_behaviour"] == documented
