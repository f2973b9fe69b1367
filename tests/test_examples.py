"""The examples run cold, and then warm from the cache, where only the entry task is computed again."""
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ("binomial", "digits", "imports", "nesting", "spelling", "survey", "unix_tools", "words")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def run(folder: Path, *arguments: str) -> str:
    """Standard output of a Python program that is run in `folder` without a terminal."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=env, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def script(name: str) -> str:
    if name == "digits":
        pytest.importorskip("sklearn", reason="digits.py needs the extra 'examples'")
        pytest.importorskip("matplotlib", reason="digits.py needs the extra 'examples'")
    return str(ROOT / "examples" / f"{name}.py")


def results(folder: Path) -> set[Path]:
    """Every stored result: `<task name>/results/<id>/result.<n>.pkl.gz`."""
    return {path.relative_to(folder) for path in (folder / "cache").glob("*/results/*/result.*")}


def test_every_example_is_tested() -> None:
    """No example is left out."""
    assert set(EXAMPLES) == {path.stem for path in (ROOT / "examples").glob("*.py")}


def run_cold_then_warm(folder: Path, name: str) -> str:
    """What an example prints, both times; it was seen that the second run computed only its entry task."""
    path = script(name)
    cold = run(folder, "-m", "taskproc", path, "-o", "cache")
    made = results(folder)

    warm = run(folder, "-m", "taskproc", path, "-o", "cache")

    assert cold == warm
    assert len(made) > 10
    assert {f"{name}.Main"} == {result.parts[1] for result in results(folder) - made}
    return cold


@pytest.mark.parametrize("name", ["binomial", "unix_tools", "words"])
def test_cold_then_warm(tmp_path: Path, name: str) -> None:
    """The second run prints the same and computes only the entry task; so does a run without `-m taskproc`."""
    printed = run_cold_then_warm(tmp_path, name)
    made = results(tmp_path)

    direct = run(tmp_path, script(name), "-o", "cache")

    assert printed == direct
    assert {f"{name}.Main"} == {result.parts[1] for result in results(tmp_path) - made}


@pytest.mark.long
def test_the_study_leaves_its_files(tmp_path: Path) -> None:
    """digits.py, cold and then warm, prints a line per model and the paths of the best model and of a picture."""
    printed = run_cold_then_warm(tmp_path, "digits")

    assert re.findall(r"^(\w+) +0\.9\d\d ± 0\.0", printed, re.MULTILINE) == ["neighbours", "forest", "logistic"]
    files = [tmp_path / name for name in re.findall(r": (.*)$", printed, re.MULTILINE)]
    assert [file.suffix for file in files] == [".joblib", ".png"]
    assert files[0].stat().st_size > 1000
    assert files[1].read_bytes().startswith(b"\x89PNG")


def test_words_are_corrected(tmp_path: Path) -> None:
    """By workers that have each read what they know."""
    out = run(tmp_path, script("spelling"), "funtcion", "argumnet", "object")

    corrected = [line.split() for line in out.splitlines()]
    assert [["funtcion", "function"], ["argumnet", "argument"], ["object", "object"]] == corrected


def test_a_batch_is_gone_on_with(tmp_path: Path) -> None:
    """A run that finds some of its results saved, or all, prints the same."""
    out = run(tmp_path, script("nesting"), "whole.jsonl")
    lines = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "part.jsonl").write_bytes(b"".join(lines[:24]))
    size = len(b"".join(lines[:24]))
    note = {"items": 24, "extra": 0, "results": 24, "chunk_size": 12, "size": size}
    (tmp_path / "part.jsonl.saved").write_text(json.dumps(note))

    assert out == run(tmp_path, script("nesting"), "part.jsonl") == run(tmp_path, script("nesting"), "whole.jsonl")
    assert lines == (tmp_path / "part.jsonl").read_bytes().splitlines(keepends=True)
    assert re.fullmatch(r"( +\d+ \w+\.py +\w+\n){5}\d{4,} functions in \d{3} files\n", out)


def test_a_batch_needs_no_argument(tmp_path: Path) -> None:
    """Its results have a name of their own then."""
    run(tmp_path, script("nesting"))

    assert (tmp_path / "nesting.jsonl").stat().st_size > 0


def test_files_are_surveyed(tmp_path: Path) -> None:
    """By a manager, workers and a master, which the example starts all three."""
    out = run(tmp_path, script("survey"), "json", "html")

    found = re.findall(r"^(\w+) +(\d+) files +(\d+) functions +(\d+) bare   longest +(\d+)$", out, re.MULTILINE)
    assert [line[0] for line in found] == ["json", "html"]
    assert all(int(number) > 0 for line in found for number in line[1:])


def test_imports_are_followed_to_their_end(tmp_path: Path) -> None:
    """By commands that were added while others ran."""
    out = run(tmp_path, script("imports"), "json", "xml.sax", "json.tool")

    *chains, last = out.splitlines()
    assert ["json", "xml.sax", "json.tool"] == [chain.split()[0] for chain in chains]
    assert all(re.fullmatch(r"\S+ \(\d+\.\d ms\)", part) for chain in chains for part in chain.split(" > "))
    assert int(last.split()[0]) == len({part.split()[0] for chain in chains for part in chain.split(" > ")}) > 3


def test_flags_reach_the_entry_task(tmp_path: Path) -> None:
    """The parameters of the entry task are flags of the command line."""
    out = run(tmp_path, "-m", "taskproc", script("binomial"), "-o", "cache", "--n", "10", "--k", "5")

    assert out == "10 choose 5 is 252\n"


def test_a_new_package_reads_its_own_files_only(tmp_path: Path) -> None:
    """What another run has read is taken from the cache."""
    path = script("words")
    run(tmp_path, "-m", "taskproc", path, "-o", "cache", "--packages", '["json", "html"]')
    made = results(tmp_path)

    out = run(tmp_path, "-m", "taskproc", path, "-o", "cache", "--packages", '["json", "html", "logging"]')

    read = [result for result in results(tmp_path) - made if result.parts[1] == "words.ReadFile"]
    assert [line.split()[0] for line in out.splitlines()[:-1]] == ["json", "html", "logging"]
    assert len(read) == int(re.findall(r"logging +(\d+) files", out)[0])
