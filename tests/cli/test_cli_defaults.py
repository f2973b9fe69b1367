"""Laws of DefaultArguments: checked when they are created, and in force when populated."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from taskproc.cli.defaults import DefaultArguments, populated
from taskproc.errors import OptionError


def test_the_defaults_of_the_defaults() -> None:
    """Fields that are not set have the documented defaults."""
    found = populated()

    assert ("warning", None, "process", "stop") == (found.loglevel, found.num_workers, found.exec_type, found.on_error)
    assert found.detect_source_change
    assert found.force_entrypoint
    assert found.show_progress
    assert not any([found.kwargs, found.prefix, found.prefixes, found.rate_limits, found.output])


def test_the_order_of_the_fields() -> None:
    """The first fields keep their positions."""
    found = DefaultArguments("info", 2, {"x": 1}, {"gpu": "srun"}, {"gpu": 1}, "thread")

    assert ("info", 2, {"x": 1}, {"gpu": "srun"}, {"gpu": 1}, "thread") == (
        found.loglevel, found.num_workers, found.kwargs, found.prefix, found.rate_limits, found.exec_type
    )  # fmt: skip


def test_the_last_populated_is_in_force() -> None:
    """A process has one set of defaults."""
    DefaultArguments(num_workers=1).populate()
    last = DefaultArguments(num_workers=2)

    last.populate()

    assert last is populated()


def test_a_path_may_be_the_output() -> None:
    """A Path as output is stored as text."""
    assert DefaultArguments(output=Path("a") / "b").output == str(Path("a/b"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"exec_type": "processes"},
        {"on_error": "ignore"},
        {"loglevel": "loud"},
        {"num_workers": 0},
        {"num_workers": True},
        {"kwargs": [1]},
        {"output": 3},
        {"output": b"x"},
        {"show_progress": "no"},
        {"force_entrypoint": 0},
        {"detect_source_change": None},
        {"rate_limits": "gpu"},
        {"prefix": {"gpu": "a"}, "prefixes": {"gpu": "b"}},
    ],
)
def test_a_wrong_value_is_refused_where_it_is_given(wrong: dict[str, Any]) -> None:
    """A wrong value is refused with the name of its field."""
    with pytest.raises(OptionError, match=next(iter(wrong))):
        DefaultArguments(**wrong)
