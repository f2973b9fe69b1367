"""Type checkers infer what users rely on, and refuse what is wrong: mypy and pyright read good.py and wrong.py."""
from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FILES = (HERE / "good.py", HERE / "wrong.py")

Errors = dict[str, dict[int, str]]  # file name → line → what the checker says


def run_mypy(folder: Path) -> Errors:
    """Errors of mypy --strict."""
    options = ["--strict", "--no-error-summary", "--no-pretty", "--config-file=", f"--cache-dir={folder}"]
    output = run_tool("mypy", *options, *map(str, FILES))
    errors: Errors = {path.name: {} for path in FILES}
    for path, line, text in re.findall(r"^(.+?):(\d+): error: (.*)$", output, re.MULTILINE):
        errors.setdefault(Path(path).name, {})[int(line)] = text
    return errors


def run_pyright(folder: Path) -> Errors:
    """Errors of pyright; the files themselves ask for strict."""
    report = json.loads(run_tool("pyright", "--outputjson", "--pythonpath", sys.executable, *map(str, FILES)))
    assert report["summary"]["filesAnalyzed"] == len(FILES)
    errors: Errors = {path.name: {} for path in FILES}
    for each in report["generalDiagnostics"]:
        if each["severity"] == "error":
            errors.setdefault(Path(each["file"]).name, {})[each["range"]["start"]["line"] + 1] = each["message"]
    return errors


def run_tool(name: str, *arguments: str) -> str:
    """Standard output of a checker; it ends with 1 when it found errors, with more when it could not work."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed (it comes with the extra 'dev')")
    command = [sys.executable, "-m", name, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module", params=[run_mypy, run_pyright], ids=["mypy", "pyright"])
def errors(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Errors:
    """What one checker finds in both files, in one go."""
    checker: Callable[[Path], Errors] = request.param
    return checker(tmp_path_factory.mktemp("checker"))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_right_uses_are_inferred(errors: Errors) -> None:
    """Every assert_type of good.py holds, and nothing else in it is an error."""
    assert {} == errors["good.py"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_wrong_uses_are_errors(errors: Errors) -> None:
    """Each marked line of wrong.py is an error, and no other line is."""
    lines = (HERE / "wrong.py").read_text("utf-8").splitlines()
    marked = {number for number, line in enumerate(lines, 1) if line.endswith("# error")}

    assert len(marked) > 20
    assert marked == set(errors["wrong.py"]), {line: errors["wrong.py"].get(line, "no error") for line in
                                               marked ^ set(errors["wrong.py"])}
