"""The examples of docs/remote.md run, and its table lists exactly the methods."""
from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from taskproc.remote import TaskManager
from tests.pace import limit

TEXT = (Path(__file__).resolve().parent.parent.parent / "docs" / "remote.md").read_text("utf-8")


def test_every_method_is_in_its_table():
    """The table lists each method and no other."""
    told = set(re.findall(r"^\| `(\w+)\(", TEXT.partition("## The methods")[2], re.MULTILINE))

    inner = {"validate", "check", "take_result", "put_back_result", "wait_for_termination"}
    assert told == {name for name in dir(TaskManager) if not name.startswith("_")} - inner


@pytest.mark.slow
def test_its_code_runs(remote):
    """Manager, workers, masters and executor of the page run, each in its own process at a free address."""
    (remote.folder / "pull.key").write_bytes(remote.key.read_bytes())
    (remote.folder / "pull.key").chmod(0o600)
    server, address = remote.serve()
    blocks = re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    for name, block in blocks:
        (remote.folder / name).write_text(block.replace("127.0.0.1:7007", address))
    remote.work(address, "work.py", "--jobs", "2")
    by_hand = subprocess.Popen([sys.executable, "by_hand.py"], cwd=remote.folder, env=remote.environ)
    remote.processes.append(by_hand)

    printed = {}
    for name in ("calls.py", "master.py"):
        done = subprocess.run(
            [sys.executable, name], cwd=remote.folder, env=remote.environ, text=True, timeout=limit(60),
            stdout=subprocess.PIPE, check=True,
        )
        printed[name] = done.stdout

    assert printed["calls.py"] == "[0, 1, 8, 27, 64]\n"
    lines = sorted(line.split() for line in printed["master.py"].splitlines())
    assert lines == sorted([f"square_{x + 1}", str(x * x)] for x in range(10))
    assert by_hand.wait(limit(60)) == 0
    assert server.wait(limit(60)) == 0


def test_its_commands_are_known():
    """Each command of the page exists, with its options."""
    from taskproc.cli.table import REMOTE_COMMANDS

    shown = re.findall(r"python -m taskproc\.remote (\w+)", TEXT)
    assert set(shown) == set(REMOTE_COMMANDS)
