"""The command `gc`: it shows, deletes only when asked to, and never what a living run may use."""
from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taskproc.cli.main import main
from tests.cli.schema import objects
from tests.pace import limit

Write = Callable[..., str]
Capture = pytest.CaptureFixture[str]

SCRIPT = '''
import os
from taskproc import FutureList, Task

class Load(Task):
    def __init__(self, day: int):
        self.day = day

    def run_task(self) -> bytes:
        return os.urandom(1000)

class Main(Task):
    def __init__(self, days: int = 2, waits: str = ""):
        self.parts = FutureList([Load(day) for day in range(days)])
        self.waits = waits

    def run_task(self) -> int:
        if self.waits:
            with open(self.waits) as file:  # until the test opens the other end
                file.read()
        return len(self.parts.get_result())
'''


@pytest.fixture
def cache(script: Write, capsys: Capture) -> str:
    """A cache with Main(2) and Main(4): two tasks of Load are needed by both."""
    for days in ("2", "4"):
        assert 0 == main([script(SCRIPT), "-o", "cache", "-t", "local", "--days", days])
    capsys.readouterr()
    return "cache"


def stored() -> dict[str, int]:
    """Name of a class → how many of its tasks have a result."""
    found = {path.parents[2].name for path in Path("cache").glob("*/results/*/result.*")}
    return {name: len({path.parent for path in Path("cache", name).glob("results/*/result.*")}) for name in found}


def test_shows_and_deletes_nothing(cache: str, capsys: Capture) -> None:
    """A row for each class and one for all; the command that would delete is named."""
    before = stored()
    assert 0 == main(["gc", "job.py", "-o", cache])

    out, err = capsys.readouterr()
    assert [line.split()[:2] for line in out.splitlines()[1:3]] == [["job.Load", "2"], ["job.Main", "1"]]
    assert out.splitlines()[3].split()[:3] == ["in", "all", "3"]
    assert "3 tasks: none of the pipelines reaches them" in err
    assert "gc job.py -o cache --yes" in err
    assert stored() == before == {"job.Load": 4, "job.Main": 2}


def test_yes_deletes_what_no_pipeline_reaches(cache: str, capsys: Capture) -> None:
    """What the named pipeline needs is fresh afterwards."""
    assert 0 == main(["gc", "job.py", "-o", cache, "--yes"])
    assert stored() == {"job.Load": 2, "job.Main": 1}
    capsys.readouterr()

    assert 0 == main(["job.py", "-o", cache, "--dont-force-entrypoint", "--dry-run"])
    assert "0 of 3 tasks would run" in capsys.readouterr().out


def test_several_pipelines_with_flags(cache: str, capsys: Capture) -> None:
    """What any of them reaches stays."""
    assert 0 == main(["gc", "job.py", "job.py --days 4", "-o", cache])

    assert capsys.readouterr().out.splitlines()[-1].split()[:6] == ["in", "all", "-", "-", "-", "6"]


def test_json(cache: str, capsys: Capture) -> None:
    """One object for each class, then the total, as docs/json.md says."""
    assert 0 == main(["gc", "job.py", "-o", cache, "--json"])

    *classes, total = objects(capsys.readouterr().out, "gc")
    assert {row["task"]: (row["tasks"], row["stay"]) for row in classes} == {"job.Load": (2, 2), "job.Main": (1, 1)}
    assert {"not reached": 2} == classes[0]["why"]
    assert total["bytes"] == sum(row["bytes"] for row in classes) > 0
    assert (False, 0, 0) == (total["deleted"], total["used"], total["excess"])


def test_a_size_is_respected(cache: str, capsys: Capture) -> None:
    """As much goes as is needed, and no more than one result beyond that."""
    assert 0 == main(["gc", "-o", cache, "--max-size", "5k", "--json", "--yes"])

    total = objects(capsys.readouterr().out, "gc")[-1]
    assert 3000 < total["stay_bytes"] <= 5000


def test_young_results_stay(cache: str) -> None:
    """Those of the last days, and older ones go."""
    old = next(Path(cache).glob("job.Load/results/*/result.*"))
    os.utime(old, (1e9, 1e9))

    assert 0 == main(["gc", "-o", cache, "--keep-days", "30", "--yes"])

    assert stored() == {"job.Load": 3, "job.Main": 2}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "nothing says what may be deleted"),
        (["--max-size", "3X"], "expected a size in bytes such as 500M or 200G, got '3X'"),
        (["--keep-days", "-1"], "expected a number of days of at least 0"),
        (["nowhere.py"], "no such file: 'nowhere.py'"),
        (["job.py --dayz 3"], "--dayz"),
        (["job.py 'x"], "is not a script with flags"),
    ],
)
def test_wrong_use_is_refused(cache: str, capsys: Capture, words: list[str], text: str) -> None:
    """It says what is wrong, and deletes nothing."""
    before = stored()

    assert 2 == main(["gc", "-o", cache, "--yes", *words])

    assert text in capsys.readouterr().err
    assert stored() == before


@pytest.fixture
def waiting(cache: str, script: Write) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A run of Main(3) in another process, which waits in its entry task until its pipe is opened."""
    pipe = Path("pipe").absolute()
    os.mkfifo(pipe)
    words = ["job.py", "-o", cache, "-t", "local", "--days", "3", "--waits", str(pipe)]
    run = subprocess.Popen([sys.executable, "-m", "taskproc", *words], stdout=subprocess.PIPE, text=True)
    with pipe.open("w"):  # returns when the task has opened it to read
        yield run, pipe
        run.kill()
    run.wait(limit(60))


@pytest.mark.skipif(sys.platform == "win32", reason="a named pipe tells that the task has begun")
def test_a_living_run_keeps_what_it_may_use(waiting: tuple[subprocess.Popen[str], Path], capsys: Capture) -> None:
    """Its inputs stay, though nobody names it; when it was killed they go."""
    run, _ = waiting
    everything = ["gc", "-o", "cache", "--max-size", "0"]

    assert 0 == main([*everything, "--yes"])
    assert "3 more tasks may be used by 1 living run, and stay" in capsys.readouterr().err
    assert stored() == {"job.Load": 3}

    run.kill()
    run.wait(limit(60))
    assert 0 == main([*everything, "--yes"])
    assert stored() == {}
