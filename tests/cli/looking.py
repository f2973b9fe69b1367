"""docs/looking.md: the commands that look at a cache, on examples/words.py: `python tests/cli/looking.py` writes it.

Figures differ from machine to machine and from run to run, so a test runs the commands again and compares their shape.
"""
from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

from taskproc.machine import host_name, user_name
from tests.pace import limit

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "looking.md"
_MOST_LINES = 14
_COLUMNS = 96
_EDIT = ('WORD = re.compile(r"[A-Z]?[a-z]{2,}")', 'WORD = re.compile(r"[a-z]{2,}")')
_HEAD = """\
# Looking at a cache

Each command on the example `words.py`, which reads the source files of some packages and counts their words.
All of them take `-o DIR`.
Without it, the folder is that of the environment variable `TASKPROC_CACHE`, or of `cache` in `pyproject.toml`.
All that list or show something take `--json`, which [json.md](json.md) describes.
Lines are cut to the width of a terminal, and never in a pipe; long outputs are shortened here, too.
"""
# What is said, and the words of the command behind `taskproc`; EDIT is made before a command, FAIL is its exit code
_STEPS = (
    ("Before the first run nothing is known of its time.", "plan words.py --packages '[\"json\", \"html\"]'", ""),
    ("", "words.py --packages '[\"json\", \"html\"]'", ""),
    ("The expression `WORD` is edited in the file. What would that cost?",
     "plan words.py --packages '[\"json\", \"html\"]'", "edit"),
    ("Why would it run? Each cause is shown once, with the difference of the source.",
     "why words.py --packages '[\"json\", \"html\"]'", ""),
    ("What is in the cache?", "list", ""),
    ("", "list ReadFile --sort seconds", ""),
    ("All that is known of one task; `--value` loads its result, too.", "show TypicalWords", ""),
    ("What did it print? `log -f` follows it while it runs.", "log Main", ""),
    ("What is on its way now, on any host that shares the folder? `status -w` follows it.", "status", ""),
    ("Which runs were there? `history RUN` shows one of them.", "history", ""),
    ("One task again, alone and in this process; `--pdb` stops where it fails. Nothing is stored.",
     "rerun words.py TypicalWords ID", ""),
    ("What takes the space?", "du", ""),
    ("What may be deleted, and what would it cost to compute that again? Nothing is deleted without `--yes`.",
     "gc 'words.py --packages [\\\"json\\\"]'", ""),
)


def page() -> str:
    """The whole page, made by running all commands."""
    with tempfile.TemporaryDirectory() as name:
        return "\n".join([_HEAD, *_sections(Path(name))])


def _sections(folder: Path) -> Iterator[str]:
    source = (ROOT / "examples" / "words.py").read_text("utf-8")
    for words, command, change in _STEPS:
        (folder / "words.py").write_text(source, "utf-8")
        if change:
            source = source.replace(*_EDIT)
            (folder / "words.py").write_text(source, "utf-8")
        if words:
            yield f"{words}\n"
        shown, out = ran(folder, command)
        lines = [line if len(line) <= _COLUMNS else f"{line[: _COLUMNS - 1]}…" for line in out.splitlines()]
        more = ["…"] if len(lines) > _MOST_LINES else []
        yield "\n".join(["```console", f"$ taskproc {shown}", *lines[:_MOST_LINES], *more, "```", ""])


def ran(folder: Path, command: str) -> tuple[str, str]:
    """The command with the id of a task in place of ID, and what it prints."""
    words = shlex.split(command)
    if "ID" in words:
        names = os.listdir(folder / "cache" / "words.TypicalWords" / "results")
        words[words.index("ID")] = f"{int(names[0]) << 1:016x}"[:6]
        command = command.replace("ID", words[words.index(f"{int(names[0]) << 1:016x}"[:6])])
    environ = {**os.environ, "TASKPROC_CACHE": "cache", "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    done = subprocess.run([sys.executable, "-m", "taskproc", *words], cwd=folder, env=environ, capture_output=True,
                          text=True, timeout=limit(300), check=False)  # fmt: skip
    if done.returncode:
        raise AssertionError(f"{command}: {done.stdout}{done.stderr}")
    return command, _anonymous(done.stdout.rstrip())


def _anonymous(text: str) -> str:
    """The text without names and paths of this machine."""
    library = re.escape(sysconfig.get_path("stdlib"))
    text = re.sub(rf"(?<=path='){library}", "/usr/lib/python3", text)
    text = text.replace(f"on {host_name()} by {user_name()} ", "on host by ada ")
    return re.sub(rf"(\d\d:\d\d +){re.escape(str(user_name()))} ", r"\1ada ", text)


def shape(text: str) -> list[tuple[str, str]]:
    """Each command of a page, and its first line without figures and ids."""
    blocks = re.findall(r"```console\n\$ (.*)\n(.*)\n", text)
    return [(_plain(command), _plain(first)) for command, first in blocks]


def _plain(line: str) -> str:
    return re.sub(r"\d+T\d+-\w+|#?\b[0-9a-f]{6}\b|\d[\d.,:TZ-]*", "0", re.sub(" +", " ", line))


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
