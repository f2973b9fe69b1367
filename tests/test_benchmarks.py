"""The benchmarks run without any peer, tell what is wrong or missing, and judge by their own figures."""
from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as program
from benchmarks import profile
from benchmarks.environment import Environment
from benchmarks.rows import ROWS, SESSIONS, Place, Row, as_ours, fastest
from benchmarks.session import OURS, Measurer, Session, Step
from benchmarks.table import BEGIN, END, Figures, keep, table


def silent(text: str) -> None:
    """Tell nobody."""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.workload} {row.title}")
def test_every_row_can_be_measured(row: Row) -> None:
    """Each side of a row has a program, and the step that the row shows."""
    session = next(session for session in SESSIONS if session.name == row.place.session)

    for side in (OURS, *row.sides):
        assert session.file(side).exists()
        assert row.place.step in {step.name for step in session.steps(side)}


def test_every_profile_has_a_program() -> None:
    """What is profiled is a workload."""
    assert all((profile.WORKLOADS / f"{name}.py").exists() for name, *_ in profile.RUNS.values())


@pytest.mark.slow
def test_a_small_run_without_peers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ours and the floors give the sum, one line of JSON each; the table has their ratio; the folder is gone."""
    lines = tmp_path / "lines.json"

    code = program.main(["--quick", "--no-peers", "--only", "w1i", "--folder", str(tmp_path), "--json", str(lines)])

    told = [json.loads(line) for line in lines.read_text().splitlines()]
    count = told[0]["count"]
    assert code == 0
    sides = ["taskproc", "sketch", "calls"]
    assert sorted((side, "cold") for side in sides) == sorted((line["side"], line["step"]) for line in told)
    assert {count * (count + 1) // 2} == {line["answer"] for line in told}
    assert all(line["wall"] > 0 and "error" not in line for line in told)
    assert re.search(r"\| W1i \| the same, inline \| \d", capsys.readouterr().out)
    assert [lines] == list(tmp_path.iterdir())


def measurer(folder: Path, **versions: str) -> Measurer:
    return Measurer(Environment(sys.executable, versions), folder, silent, hurried=True)


def test_a_peer_that_is_not_installed_is_told(tmp_path: Path) -> None:
    """It has a line that says so, and nothing is run."""
    session = Session("s", "fan_in", 3, 3, (), packages={"joblib": ("joblib", "numpy")})

    assert [{"session": "s", "side": "joblib", "error": "joblib not installed"}] == list(
        measurer(tmp_path, numpy="2").run(session, 3, 5, {"joblib": "cold"}))


STEPS = (Step("cold", "inline"), Step("warm", "inline"))


def test_a_wrong_answer_is_told(tmp_path: Path) -> None:
    """It is an error, and that side does nothing more."""
    session = Session("s", "fan_in", 3, 3, (), STEPS, answer=lambda count: 7)

    [told] = measurer(tmp_path).run(session, 3, 2, {"sketch": "warm"})

    assert told["error"] == "answered 6, not 7"


def test_a_program_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the last line that it wrote; that side does nothing more."""
    monkeypatch.setattr("benchmarks.session.WORKLOADS", tmp_path)
    (tmp_path / "bad_side.py").write_text("print('{}')\nraise SystemExit('first\\nlast')")

    [told] = measurer(tmp_path).run(Session("s", "bad", 3, 3, (), STEPS), 3, 2, {"side": "warm"})

    assert told["error"] == "last"


def line(side: str, wall: float, step: str = "cold") -> dict[str, object]:
    return {"session": "s", "side": side, "step": step, "count": 10, "wall": wall}


def test_medians_ratios_and_verdicts() -> None:
    """Ours is held against the median of the fastest that has one, and against ours elsewhere; `d` was not asked."""
    place = Place("s", "cold")
    row = Row("W0", "what", place, "s", ("a", "b", "c", "d"), (fastest(1.5, "a", "b", "c"), fastest(1.0, "a", "b", "c"),
              as_ours(1.0, Place("s", "warm"), "W9 + 1 s", more=1.0), as_ours(1.0, Place("none", "warm"), "none")))
    figures = Figures([line(OURS, 3), line(OURS, 1), line(OURS, 100), line("a", 2), line("b", 4), line(OURS, 2, "warm"),
                       {"session": "s", "side": "c", "error": "c not installed"}])

    last = table([row], figures, judged=True).splitlines()[-1]

    assert last == ("| W0 | what | 3.00 s | a 2.00 s (1.50), b 4.00 s (0.75), c c not installed "
                    "| ≤ 1.5 × the fastest; ≤ 1 × the fastest; ≤ W9 + 1 s; ≤ none | yes; no, 1.5 × that; yes; ? |")


def test_figures_of_one_task() -> None:
    """A figure may be divided by the count, and is shown in its unit."""
    row = Row("W0", "what", Place("s", "cold", each=True), "µs")

    assert "| what | 200000 µs |" in table([row], Figures([line(OURS, 2)]), judged=False)


def test_the_readme_keeps_the_table(tmp_path: Path) -> None:
    """What stands between the marks is replaced, all else stays."""
    path = tmp_path / "README.md"
    path.write_text(f"# Title\n\n{BEGIN}old\n{END}\nthe end\n")

    keep(path, "new\n")

    assert path.read_text() == f"# Title\n\n{BEGIN}\nnew\n\n{END}\nthe end\n"


def test_what_was_measured_earlier_is_shown_beside(tmp_path: Path) -> None:
    """Of what was not measured now."""
    earlier = tmp_path / "lines.json"
    names = "workers", "kernel 100,000"
    earlier.write_text("".join(json.dumps({"session": name, "wall": 1}) + "\n" for name in names))
    rows = [row for row in ROWS if row.workload == "W1"]

    shown, lines = program._with_earlier(rows, [{"session": "workers", "wall": 2}], [earlier])

    assert ["W1", "W11"] == list(dict.fromkeys(row.workload for row in shown))
    assert [("workers", 2), ("kernel 100,000", 1)] == [(line["session"], line["wall"]) for line in lines]


def test_unknown_names_are_refused() -> None:
    """A name that is no workload or no peer ends the program before anything is made."""
    with pytest.raises(SystemExit, match="no workload is called w99"):
        program.main(["--only", "W1,W99"])
    with pytest.raises(SystemExit, match="no peer is called make"):
        program.main(["--against", "doit,make"])
