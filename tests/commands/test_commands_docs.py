"""What docs/commands.md shows runs, and its tables name the arguments that there are."""
from __future__ import annotations

import dataclasses
import inspect
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from taskproc import Command
from taskproc.commands import CommandResult, Finished, TaskManager

TEXT = (Path(__file__).resolve().parent.parent.parent / "docs" / "commands.md").read_text("utf-8")


def column(heading: str) -> list[str]:
    """The arguments in the first table below a heading."""
    return re.findall(r"^\| `(\w+)` \|", TEXT.partition(heading)[2].partition("\n### ")[0], re.MULTILINE)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="runs the tools of POSIX")
def test_its_code_runs(script: Callable[..., str], tmp_path: Path) -> None:
    """All of it as one script without a guard."""
    (tmp_path / "words.txt").write_text("b\na\nb\n")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))

    printed = script(code).split("\n")

    assert ["2", "model.bin", "", *(f"{each + 1} 0 {each ** 2}" for each in range(5))] == [
        *printed[:3], *sorted(printed[3:8])
    ]
    assert "['0', '1', '2', '3', '4']" == printed[8]


def test_every_argument_is_in_its_table() -> None:
    """In the order in which they are taken."""
    assert list(inspect.signature(Command.__init__).parameters)[1:] == column("### Arguments of a command")
    assert list(inspect.signature(TaskManager.__init__).parameters)[1:] == column("## A list of commands")


def test_every_field_is_reported() -> None:
    """Of results and of records."""
    for cls in (CommandResult, Finished):
        assert [field.name for field in dataclasses.fields(cls) if f"`{field.name}`" not in TEXT] == []
