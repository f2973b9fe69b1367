"""The corpus of edits: its scenarios can be read, and a sample of them, played, gives no old answer in silence."""
from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.pace import limit
from tests.source.corpus.play import VERDICTS, play
from tests.source.corpus.scenario import BadScenario, Scenario, read, scenarios

EVERY = 14   # of the scenarios, one in so many is played here; all of them in the soak
PARTS = 4
# What each process makes again counts by its value, and what is written in another way counts as it is written
NEEDLESS = {
    "the number of the process", "the time of the import", "an overwritten statement",
    "the order of a frozen set in a call",
}  # fmt: skip


def test_all_scenarios_can_be_read() -> None:
    """There are at least 400, with different names."""
    found = scenarios()

    assert 400 <= len(found)
    assert [] == [name for name, count in Counter((each.theme, each.name) for each in found).items() if count > 1]


def test_no_edit_is_there_twice() -> None:
    """A copy under another name is not a scenario."""
    edits = Counter(json.dumps([each.old, each.new, each.how, each.needs], sort_keys=True) for each in scenarios())

    assert [] == [edit for edit, count in edits.items() if count > 1]


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_a_sample(part: int, environ: dict[str, str]) -> None:
    """The second run gives the result of a run without a cache, and runs nothing if nothing had to run."""
    words = ["--json", "--every", str(EVERY * PARTS), "--first", str(part * EVERY)]
    command = [sys.executable, "-m", "tests.source.corpus", *words]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, timeout=limit(100))
    plays = [json.loads(line) for line in done.stdout.splitlines()]

    wrong = [each for each in plays if each["verdict"] not in ("right", "confessed")]
    wrong = [each for each in wrong if each["verdict"] != "needless" or each["name"] not in NEEDLESS]
    assert plays, done.stderr
    assert [] == wrong


# ------------------------------------------------------------ the player itself


def scenario_of(tmp_path: Path, text: str) -> Scenario:
    path = tmp_path / "theme.txt"
    path.write_text(f"== name\n{text}", "utf-8")
    (found,) = read(path)
    return found


VERDICT_OF = {
    "right": "-A = 1\n+A = 2\n def f(): return A\nexpect: reruns",
    "needless": "-A = 1\n+A = 1.0\n def f(): return int(A)\nexpect: fresh",
    "confessed": "-A = 1\n+A = 2\n def f(): return eval('A')\nexpect: confessed eval",
    "silent": "-A = 1\n+A = 2\n def f(): return eval('A')\nexpect: confessed exec",
    "broken": "-A = 1\n+A = 2\n def f(): return 1\nexpect: reruns",
}


@pytest.mark.slow
@pytest.mark.parametrize("verdict", VERDICTS)
def test_each_verdict(tmp_path: Path, verdict: str) -> None:
    """The player distinguishes all verdicts: each one can be reached."""
    scenario = scenario_of(tmp_path, VERDICT_OF[verdict])

    played = play(scenario)

    assert verdict == played.verdict, played.detail


WAY_OF = {
    "script": '@ main.py\n from taskproc import Task\n-A = 1\n+A = 2\n class Main(Task):\n'
              '     def run_task(self): return A, __name__\nexpect: reruns',
    "seeds": "-A = {'a', 'b'}\n+A = {'a', 'c'}\n def f(): return sorted(A)\nexpect: reruns",
    "notebook": "@ a\n-A = 1\n+A = 2\n@ b\n def f(): return A\nexpect: reruns",
    "reload": "-A = 1\n+A = 2\n def f(): return A\nexpect: reruns",
    "stale": "-A = 1\n+A = 2\n def f(): return A\nexpect: fresh",
    "edited": "-A = 1\n+A = 2\n def f():\n     import os\n     if os.path.exists('lib.py.new'):\n"
              "         os.replace('lib.py.new', 'lib.py')\n     return A\nexpect: fresh",
}


@pytest.mark.slow
@pytest.mark.parametrize("how", WAY_OF)
def test_each_way(tmp_path: Path, how: str) -> None:
    """A changed constant is noticed in each kind of process for the second run."""
    scenario = scenario_of(tmp_path, f"{WAY_OF[how]}\nhow: {how}\n")
    if lack := scenario.lacks():
        pytest.skip(f"needs {lack}")

    played = play(scenario)

    assert "right" == played.verdict, played.detail


@pytest.mark.parametrize(
    "text",
    ["-A = 1\n+A = 2", " A = 1\nexpect: reruns", "-A = 1\n+A = (\nexpect: reruns", "-A = 1\n+A = 2\nexpect: nothing"],
    ids=["nothing is expected", "nothing is edited", "not Python", "an unknown word"],
)
def test_what_is_no_scenario_is_refused(tmp_path: Path, text: str) -> None:
    """A mistake in a text is an error that names its place, not a scenario that passes."""
    with pytest.raises(BadScenario, match=r"theme.txt:\d+"):
        scenario_of(tmp_path, text)
