"""All that kills, damages and waits for real is kept to one Python in the checks."""
from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what stands in this folder as `long`."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.long)
