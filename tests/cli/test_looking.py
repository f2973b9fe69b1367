"""docs/looking.md shows what the commands print."""
from __future__ import annotations

import pytest

from tests.cli.looking import PAGE, page, shape


@pytest.mark.slow
def test_the_page_is_what_the_commands_print() -> None:
    """Each command of the page runs, and begins as it is shown there; figures may differ."""
    assert shape(page()) == shape(PAGE.read_text("utf-8"))
