"""Limits of tests grow with what the machine needs, and never shrink."""
from __future__ import annotations

import pytest

from tests import pace


def test_a_limit_grows_with_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """By as much as things take longer."""
    monkeypatch.setenv(pace.VARIABLE, "2.5")

    assert pace.limit(60) == 150
    assert pace.measure() == 2.5, "it was measured already"


def test_the_pace_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is faster than usual gets no shorter limits."""
    monkeypatch.delenv(pace.VARIABLE)
    monkeypatch.setattr(pace, "_seconds", lambda: 0.001)

    assert pace.measure() == 1

    monkeypatch.delenv(pace.VARIABLE)
    monkeypatch.setattr(pace, "_seconds", lambda: 10 * pace._USUAL)

    assert pace.measure() == 10


def test_the_limit_of_each_test_has_grown(request: pytest.FixtureRequest) -> None:
    """That of pytest-timeout, too."""
    marker = request.node.get_closest_marker("timeout")

    assert marker.args[0] == pace.limit(120)
