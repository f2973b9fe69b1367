"""Threads that begin in time or not at all."""
from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from taskproc.remote.watchdog import StartedThread
from tests.pace import limit


def test_it_has_begun_and_can_be_waited_for():
    """What it is to do is done when `join` returns."""
    done = []
    StartedThread(lambda: done.append(threading.get_ident())).join()

    assert done != [threading.get_ident()]
    assert len(done) == 1


def test_one_that_raises_has_ended():
    """Who waits for it goes on."""
    script = "from taskproc.remote.watchdog import StartedThread\nStartedThread(lambda: 1 / 0).join()\nprint('joined')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=limit(60))

    assert done.stdout == "joined\n"


SCRIPT = """
import os, resource, threading
from taskproc.remote import TaskManager, UnknownToManager
from taskproc.remote.watchdog import StartedThread as Spawned

Spawned(int).join()
if os.getuid() == 0:
    os.setresuid(54321, 54321, 54321)
most = resource.getrlimit(resource.RLIMIT_NPROC)[1]
resource.setrlimit(resource.RLIMIT_NPROC, (1, most))
manager = TaskManager()
for call in (lambda: Spawned(print), lambda: manager.register_process(0.001)):
    try:
        call()
    except RuntimeError as error:
        print(error)
print(manager.number_of_active_processes())
resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
process = manager.register_process(0.001)
manager._watcher.join()
print(manager.number_of_active_processes())
"""


@pytest.mark.slow
def test_one_that_cannot_begin_is_told(environ):
    """And a process whose pings nobody could look after is not registered: it is as if it had not asked."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environ, timeout=limit(60)
    )

    assert done.stdout.splitlines() == ["can't start new thread", "can't start new thread", "0", "0"], done.stderr
