"""Laws of completion: the words of the table, in shells that complete with the script that is printed."""
from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from taskproc.cli.completion import next_words
from taskproc.cli.main import main
from taskproc.cli.table import COMMANDS, SHELLS
from tests.pace import limit

LINES = {
    "taskproc l": ["list"],
    "taskproc list --o": ["--output"],
    "taskproc job.py --num": ["--num-workers"],
    "taskproc run job.py -t th": ["thread"],
    "taskproc completion z": ["zsh"],
    "taskproc list ": [],  # names of files, by the shell itself
}
BASH = """
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 ))
_taskproc
printf '%s\\n' "${COMPREPLY[@]}"
"""


def test_words_of_the_table_come_next() -> None:
    """Commands; the values of an option; what the command takes; and what a script takes."""
    assert [*COMMANDS, "-h", "--help", "--version"] == next_words([])
    assert ["stop", "continue"] == next_words(["job.py", "-o", "cache", "--on-error"])
    assert ["-o", "--output", "-h", "--help"] == next_words(["list"])
    assert next_words(["run"]) == next_words(["job.py"]) == next_words(["accept"])
    assert list(SHELLS) == next_words(["completion"])[: len(SHELLS)]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes(tmp_path: Path, capsys: pytest.CaptureFixture[str], shell: str) -> None:
    """What it offers for the last word of a line. zsh offers it only to someone who types: its script is parsed."""
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    assert 0 == main(["completion", shell])
    (tmp_path / "empty").mkdir()
    path = tmp_path / "completion"
    path.write_text(capsys.readouterr().out, "utf-8")

    for line, offered in LINES.items():
        commands = {
            "bash": ["bash", "--norc", "-c", f". {path}\n{BASH}", "bash", *line.split(" ")],
            "zsh": ["zsh", "-f", "-n", str(path)],
            "fish": ["fish", "--no-config", "-c", f"source {path}; complete -C '{line}'"],
        }
        done = subprocess.run(commands[shell], cwd=tmp_path / "empty", capture_output=True, text=True, check=True,
                              timeout=limit(60))  # fmt: skip

        words = [word.partition("\t")[0] for word in done.stdout.splitlines() if word]
        assert ("", [] if shell == "zsh" else offered) == (done.stderr, words)
