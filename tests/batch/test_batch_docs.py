"""The examples of docs/batches.md run, and its tables are complete."""
from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from taskproc import batch

TEXT = (Path(__file__).resolve().parent.parent.parent / "docs" / "batches.md").read_text("utf-8")
AFTER = """
assert distances[:2] == [10.0, 2 * 20 ** 0.5] and len(distances) == 1000
assert manager.get_results() == [distance / 2 for distance in distances]
"""


@pytest.mark.slow
def test_its_code_runs(script: Callable[..., str]) -> None:
    """All of it as one script without a guard."""
    pytest.importorskip("numpy", reason="saves arrays")
    blocks = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)

    assert "" == script("\n".join([*blocks, AFTER]))


def test_every_argument_is_in_its_table() -> None:
    """In the order in which they are taken."""
    documented = re.findall(r"^\| `(\w+)` \|", TEXT.partition("## Arguments")[2], re.MULTILINE)

    _, *parameters = inspect.signature(batch.TaskManager.submit_tasks).parameters
    assert parameters == documented


def test_every_public_name_is_reported() -> None:
    """But those that only type checkers and authors of savers ask for."""
    assert set() == {name for name in batch.__all__ if name not in TEXT} - {"FileSaver", "Saver"}
