"""Laws of wanted arguments: a value means what it means in a key, and a text what a person may have written."""
from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from taskproc.errors import OptionError, UnnamableValue
from taskproc.ledger.argument_texts import Arguments
from taskproc.ledger.wanted import WantedArguments, moment
from taskproc.values.encode import json_form


def call(name: str, key: str, forms: Mapping[str, Any]) -> str:
    return f"{name}(1)"


def arguments(**values: object) -> Arguments:
    return Arguments({"args": {name: json_form(value, name) for name, value in values.items()}})


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("0.1", 0.1, True),
        ("1", 1.0, False),
        ("a", "a", True),
        ("'a'", "a", True),
        ("1", "1", True),
        ("'1'", 1, False),
        ("None", None, True),
        ("(1, 2)", (1, 2), True),
        ("[1, 2]", (1, 2), False),
        ("Path('a')", Path("a"), True),
        ("{'a': [1]}", {"a": [1]}, True),
        ("x=1", "x=1", True),
        ("(", "(", True),
        ("", "", True),
    ],
)
def test_a_text_means_what_is_written(text: str, value: object, expected: bool) -> None:
    """As Python, as a listing shows it, or the text itself."""
    assert expected == WantedArguments({}, {"name": text}).fits(arguments(name=value), call)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [(1, 1, True), (1, 1.0, False), (1, True, False), ("1", 1, False), ((1,), [1], False), (b"a", b"a", True)],
)
def test_a_value_is_that_of_a_key(one: object, other: object, expected: bool) -> None:
    """No more and no less is equal."""
    assert expected == WantedArguments({"name": one}).fits(arguments(name=other), call)


def test_a_task_is_known_by_what_is_shown() -> None:
    """Whether its own arguments are stored with it or not."""
    for more in ([], [{"path": "a"}]):
        stored = Arguments({"args": {"data": [{"__task__": ["a.Input", "0" * 32, *more]}]}})

        assert WantedArguments({}, {"data": "[a.Input(1)]"}).fits(stored, call)
        assert not WantedArguments({}, {"data": "[a.Input(2)]"}).fits(stored, call)


def test_a_name_that_no_task_has_is_refused() -> None:
    """With a near one; if there was no task at all, nothing is known to be wrong."""
    wanted = WantedArguments({"rate": 1})
    wanted.refuse_unknown()
    assert not wanted.fits(arguments(rat=1), call)
    assert not wanted.fits(arguments(other=1), call)

    with pytest.raises(OptionError, match=r"no task has an argument 'rate'; there are other, rat. Did you mean 'rat'"):
        wanted.refuse_unknown()
    with pytest.raises(UnnamableValue, match="where"):
        WantedArguments({"rate": object()})


def test_moments() -> None:
    """Seconds since 1970 of each kind."""
    now = time.time()

    assert (0.0, 5.0) == (moment(None), moment(5))
    assert pytest.approx(now - 3600, abs=60) == moment(dt.timedelta(hours=1))
    assert 86400.0 == moment(dt.datetime(1970, 1, 2, tzinfo=dt.timezone.utc))
