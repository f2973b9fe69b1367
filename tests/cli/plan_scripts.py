"""A small study for the tests of `plan` and `why`, and commands as processes, as wide as a test wants them."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.cli.terminal import read_to_end, terminal
from tests.pace import limit
from tests.plain import plain

STUDY = '''
from taskproc import FutureList, Task

WORD = r"[a-z]+"


def clean(text: str) -> str:
    return text.strip()


class ReadFile(Task):
    def __init__(self, number: int):
        self.number = number

    def run_task(self) -> str:
        return clean(f" {self.number} {WORD}")


class Total(Task):
    def __init__(self, count: int):
        self.files = FutureList([ReadFile(number) for number in range(count)])

    def run_task(self) -> int:
        return sum(map(len, self.files.get_result()))


class Main(Task):
    """Print a total.

    Args:
        count: of files
    """

    def __init__(self, count: int = 4):
        self.total = Total(count)

    def run_task(self) -> None:
        print(self.total.get_result())
'''
EDITED = STUDY.replace('r"[a-z]+"', 'r"[a-z]{2,}"')


class Commands:
    """Commands in a folder."""

    def __init__(self, folder: Path, environ: dict[str, str]):
        self.folder, self.environ = folder, environ

    def write(self, source: str, name: str = "study.py") -> None:
        """Write a script."""
        (self.folder / name).write_text(source, "utf-8")

    def run(self, *words: str, columns: int | None = None, code: int = 0) -> tuple[str, str]:
        """What a command writes to standard output and to standard error."""
        command = [sys.executable, "-m", "taskproc", *words]
        if columns:
            return self._run_on_terminal(command, columns, code)
        done = subprocess.run(command, cwd=self.folder, env=self.environ, text=True, capture_output=True,
                              timeout=limit(100), check=False)  # fmt: skip
        assert done.returncode == code, done.stderr
        return done.stdout, done.stderr

    def _run_on_terminal(self, command: list[str], columns: int, code: int) -> tuple[str, str]:
        """The same with standard output on a terminal with so many columns."""
        ours, its = terminal(columns)
        environ = {name: value for name, value in self.environ.items() if name != "COLUMNS"}
        process = subprocess.Popen(command, cwd=self.folder, env=environ, stdout=its, stderr=subprocess.PIPE, text=True)
        os.close(its)
        text = read_to_end(ours)
        _, err = process.communicate(timeout=limit(100))
        assert process.returncode == code, err
        return text, err

    def lines(self, *words: str, columns: int | None = None, code: int = 0) -> list[str]:
        """The lines of standard output, without short ids."""
        return plain(self.run(*words, columns=columns, code=code)[0]).splitlines()

    def rows(self, *words: str, code: int = 0) -> list[dict[str, Any]]:
        """The rows that a command writes with --json."""
        out, err = self.run(*words, "--json", code=code)
        assert not err
        assert all(line.startswith('{"v": 1, ') for line in out.splitlines())
        return [json.loads(line) for line in out.splitlines()]
