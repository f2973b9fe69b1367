"""Limits of tests grow with what the machine needs, and never shrink."""
from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import pace

HERE = Path(__file__).resolve().parent


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


WAITING = frozenset("wait join result poll communicate get_any_result get_any_task".split())


def bare_limits(tree: ast.AST) -> Iterator[int]:
    """Lines of calls that give up waiting after a number of seconds that does not grow with the pace."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            waits = isinstance(node.func, ast.Attribute) and node.func.attr in WAITING
            given = [each.value for each in node.keywords if each.arg in ("timeout", "within")]
            for value in [*given, *(node.args[-1:] if waits else ())]:
                if isinstance(value, ast.Constant) and type(value.value) in (int, float) and value.value >= 5:
                    yield node.lineno


def test_no_limit_is_a_number() -> None:
    """Each limit of seconds is asked of `limit`; the fakes of the package have a clock of their own."""
    found = [
        f"{path.relative_to(HERE)}:{line}"
        for path in sorted(HERE.rglob("*.py"))
        if path.name != "test_testing.py"
        for line in bare_limits(ast.parse(path.read_text("utf-8")))
    ]

    assert [2] == list(bare_limits(ast.parse("process.wait(limit(60))\nprocess.wait(60)")))
    assert [] == found
