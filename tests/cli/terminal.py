"""A command on a terminal of its own, and in pipes."""
from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence

from tests.pace import limit


def taskproc(words: Sequence[str], environ: Mapping[str, str], code: int = 0) -> subprocess.CompletedProcess[str]:
    """The command line in a process, with pipes; it must end with this code."""
    command = [sys.executable, "-m", "taskproc", *words]
    done = subprocess.run(command, env=dict(environ), capture_output=True, text=True, timeout=limit(60))
    assert code == done.returncode, done.stdout + done.stderr
    return done


def on_terminal(words: Sequence[str], environ: Mapping[str, str], columns: int, code: int = 0) -> str:
    """What the command line shows on a terminal with so many columns, output and messages in their order."""
    ours, its = terminal(columns)
    environ = {name: value for name, value in environ.items() if name != "COLUMNS"}
    command = [sys.executable, "-m", "taskproc", *words]
    process = subprocess.Popen(command, env={**environ, "TERM": "xterm"}, stdin=its, stdout=its, stderr=its)
    os.close(its)
    text = read_to_end(ours)
    assert code == process.wait(limit(60)), text
    return text


def terminal(columns: int) -> tuple[int, int]:
    """Our end and the other end of a new terminal with so many columns."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    return ours, its


def read_to_end(ours: int) -> str:
    """What is written to a terminal until its other end is closed."""
    text = b""
    try:
        while part := os.read(ours, 4096):
            text += part
    except OSError:
        pass  # Linux reports an error when the other end was closed
    finally:
        os.close(ours)
    return text.decode("utf-8").replace("\r\n", "\n")
