"""The soak itself: what it prints, and that it cannot say yes to what was not run."""
from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from tests.fault import soak, soak_edits
from tests.fault.rows import Row, row_of, settings


@pytest.fixture(autouse=True)
def _settings() -> Iterator[None]:
    yield
    settings.only, settings.seed = frozenset(), 0


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    """One module, of F3 and F12, with the rows that are put here."""
    rows: list[Row] = []
    module = ModuleType("tests.fault.soak_fake")
    vars(module)["rows"] = lambda minutes: rows
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(soak, "MODULES", {"soak_fake": ("F3", "F12")})
    return rows


def test_the_table(fake: list[Row], capsys: pytest.CaptureFixture[str]) -> None:
    """Rows in the order of their classes, and what stands in one cannot break it."""
    fake[:] = [("F12", "a", "b", "c", True), row_of("F3", "x|y", "0", [], "0\n0")]

    assert 0 == soak.main(["--minutes", "0", "--seed", "7"])
    _, head, _, _, _, *lines = capsys.readouterr().out.splitlines()
    assert ["| F3 | x\\|y | 0 | 0 0 | yes |", "| F12 | a | b | c | yes |"] == lines
    assert head.startswith("Seed 7, ")


def test_a_row_that_is_not_met(fake: list[Row], capsys: pytest.CaptureFixture[str]) -> None:
    """It is told by the exit code, too; those that were not asked for are left out."""
    fake[:] = [("F12", "", "", "", True), row_of("F3", "", "", ["a fault"], "5 cases")]

    assert 1 == soak.main(["--only", "F3"])
    assert "| F3 |  |  | 5 cases; 1 wrong, first: a fault | **no** |" == capsys.readouterr().out.splitlines()[-1]
    assert 0 == soak.main(["--only", "F12"])


def test_a_module_that_is_not_there(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Its rows are there, and not met."""
    monkeypatch.setattr(soak, "MODULES", {"soak_nobody": ("F5", "F6")})

    assert 1 == soak.main([])
    assert 2 == capsys.readouterr().out.count("| not run | **no** |")


def test_the_page(fake: list[Row], tmp_path: object) -> None:
    """The table stands below what it means."""
    fake[:] = [("F3", "a", "b", "c", True)]

    soak.main(["--output", f"{tmp_path}/page.md"])
    with open(f"{tmp_path}/page.md") as file:
        text = file.read()
    assert text.startswith("# Reliability\n")
    assert text.endswith("| F3 | a | b | c | yes |\n")


def test_the_page_has_the_present_introduction() -> None:
    """So that the next long run changes the figures, and no sentence."""
    assert (soak.ROOT / "docs" / "reliability.md").read_text("utf-8").startswith(soak.INTRODUCTION)


def test_every_class_has_a_module() -> None:
    """F1 to F17, none left out."""
    assert set(soak.CLASSES) == {each for classes in soak.MODULES.values() for each in classes}


@pytest.mark.parametrize(
    ("verdict", "met"),
    [("right", True), ("confessed", True), ("needless", True), ("silent", False), ("broken", False)],
)
def test_a_row_of_edits(verdict: str, met: bool) -> None:
    """It is met if no old answer was given in silence, on no Python; nor is it where nothing was played."""
    plays = [{"theme": "a", "name": "b", "where": "a.txt:1", "verdict": verdict, "detail": ""}]

    assert met == soak_edits.row_of_theme("a", {"3.10": plays})[4]
    assert not soak_edits.row_of_theme("a", {"3.10": plays, "3.13": []})[4]
