"""Processes of `python -m taskproc.remote`, for tests."""
from __future__ import annotations

import os
import subprocess
import sys

from taskproc.remote.client import connect
from taskproc.store.rules import make_key_file

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

# A task manager that says when it is served, and sets a limit on itself when it is asked to. Root has no limit on
# threads, so it becomes somebody else before; what is imported only when it is needed is imported by then.
LIMITED = """
import os, resource, sys
from taskproc.remote import Server, TaskManager, connect

def size():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmSize"))

with Server(TaskManager(), key=sys.argv[1].encode()) as server:
    files = len(os.listdir("/proc/self/fd")) - 1
    now = {"AS": size, "NOFILE": lambda: files, "NPROC": lambda: 3}
    with connect(server.address, sys.argv[1].encode()) as client:
        client.number_of_tasks()
    print(server.address[1], flush=True)
    for line in sys.stdin:
        kind, more = line.split()
        if kind == "NPROC" and os.getuid() == 0:
            os.setresuid(54321, 54321, 54321)
        limit = getattr(resource, "RLIMIT_" + kind)
        most = resource.getrlimit(limit)[1]
        resource.setrlimit(limit, (most if more == "any" else now[kind]() + int(more), most))
        print("limited", flush=True)
"""


class Limited:
    """A task manager in a process with few threads, descriptors or bytes; a context manager that ends it."""

    def __init__(self, environ):
        self.process = subprocess.Popen(
            [sys.executable, "-c", LIMITED, KEY.decode()], env=environ, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        self.address = "127.0.0.1", int(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.said = self.process.communicate()[1]

    def limit(self, kind, more):
        """From now on it may have no more than it has now, and `more`; or "any".

        "AS" are bytes, "NOFILE" descriptors beyond those that no connection needs, "NPROC" threads beyond three, which
        it has while one connection is served.
        """
        self.process.stdin.write(f"{kind} {more}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "limited\n"


def threads_of(pid):
    """The number of threads of a process."""
    return len(os.listdir(f"/proc/{pid}/task"))


def descriptors_of(pid):
    """The number of open descriptors of a process."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def content_of(path):
    """The content of a file, as soon as there is some."""
    while not path.exists() or not path.read_text():
        pass
    return path.read_text()


class Remote:
    """Starts processes of `python -m taskproc.remote`, as in a shell."""

    def __init__(self, folder, environ):
        self.folder, self.environ = folder, environ
        self.processes = []
        (folder / "work.py").write_text(WORK)
        self.key = folder / "key"
        make_key_file(self.key)

    def start(self, command, *words):
        """Start a process; its output is read by `output`."""
        words = (command, "--key-file", "key", *map(str, words))
        process = subprocess.Popen(
            [sys.executable, "-m", "taskproc.remote", *words], cwd=self.folder, env=self.environ, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        self.processes.append(process)
        return process

    def serve(self, *words):
        """Start a task manager; returns its process, and its address as printed."""
        process = self.start("serve", *words)
        return process, process.stdout.readline().split()[-1]

    def work(self, address, *words):
        """Do one thing that a worker may do."""
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
