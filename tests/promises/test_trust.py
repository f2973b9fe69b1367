"""Freshness as a user sees it: an example is edited, and edited back."""
from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pace import limit

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = 5  # modules of the package json


def run(folder: Path, environ: dict[str, str]) -> tuple[dict[str, int], str]:
    """Run the copy of the example on one package: task class → results that were made so far, and what was said."""
    command = [sys.executable, "-m", "taskproc", "words.py", "-o", "cache", "--packages", '["json"]']
    done = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=limit(100), check=True
    )
    made: dict[str, int] = {}
    for place in (folder / "cache").glob("words.*/results/*"):
        newest = max(int(path.name.split(".")[1]) for path in place.glob("result.*"))
        made[place.parts[-3]] = made.get(place.parts[-3], 0) + newest
    return made, done.stderr


@pytest.mark.slow
def test_a_changed_helper_reruns_what_reaches_it_and_says_why(tmp_path: Path, environ: dict[str, str]) -> None:
    """Exactly that, and what reads other values for it; a change back reruns nothing but the entry task."""
    source = (ROOT / "examples" / "words.py").read_text("utf-8")
    edited = source.replace("modules: set[str] = set()", 'modules: set[str] = {"nothing"}')
    assert edited != source
    script = tmp_path / "words.py"

    script.write_text(source, "utf-8")
    cold, told_cold = run(tmp_path, environ)
    script.write_text(edited, "utf-8")
    changed, told = run(tmp_path, environ)
    script.write_text(source + "\n# a comment\n", "utf-8")
    back, told_back = run(tmp_path, environ)

    assert cold == {"words.ReadFile": FILES, "words.Total": 2, "words.TypicalWords": 1, "words.Main": 1}
    again = {name: changed[name] - cold[name] for name in changed}
    # The words are the ones they were, but a result is known as a whole; their sums are equal, and that ends it there
    assert again == {"words.ReadFile": FILES, "words.Total": 2, "words.TypicalWords": 0, "words.Main": 1}
    assert "ran because" not in told_cold + told_back
    assert f"words.ReadFile ran because source of words:imported changed ({FILES})" in told
    assert re.search(r"words\.Total ran because upstream ReadFile changed \(2\)", told)
    assert {name: back[name] - changed[name] for name in back} == {**dict.fromkeys(cold, 0), "words.Main": 1}
