"""Processes of `python -m taskproc.remote`, for tests."""
from __future__ import annotations

import subprocess
import sys

from taskproc.remote.client import connect
from taskproc.store.keys import make_key_file

KEY = b"0123456789abcdef"

WORK = """
import os
import subprocess
import sys
import signal
import sys
import time
from pathlib import Path

calls = 0

def do_square(x):
    return x * x

def do_add(x, y):
    global calls
    calls += 1
    return x + y, calls

def do_fail(text):
    print("it fails", flush=True)
    raise ValueError(text)

def do_kill(path):
    if Path(path).exists():
        return "done by the second one"
    Path(path).touch()
    os.kill(os.getpid(), signal.SIGKILL)

def do_hang(path):
    Path(path).write_text(str(os.getpid()))
    time.sleep(1000)

def do_wait(begun, go):
    Path(begun).write_text("begun")
    while not Path(go).exists():
        pass
    return "late"

def do_exit(code):
    sys.exit(code)
"""


class Remote:
    """Processes of `python -m taskproc.remote`, as one starts them in a shell."""

    def __init__(self, folder, environ):
        self.folder, self.environ = folder, environ
        self.processes = []
        (folder / "work.py").write_text(WORK)
        self.key = folder / "key"
        make_key_file(self.key)

    def start(self, command, *words):
        """One more process; what it prints is read by `output`."""
        words = (command, "--key-file", "key", *map(str, words))
        process = subprocess.Popen(
            [sys.executable, "-m", "taskproc.remote", *words], cwd=self.folder, env=self.environ, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        self.processes.append(process)
        return process

    def serve(self, *words):
        """A task manager; its process, and its address as it printed it."""
        process = self.start("serve", *words)
        return process, process.stdout.readline().split()[-1]

    def work(self, address, *words):
        """A worker, as soon as it is registered."""
        with connect(address, self.key) as client:
            before = client.number_of_active_processes()
            process = self.start("work", "--address", address, *words)
            while client.number_of_active_processes() == before:
                assert process.poll() is None, process.communicate()
        return process

    def stop(self):
        for process in self.processes:
            process.kill()
            process.communicate()
