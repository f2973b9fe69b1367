"""Laws of a hundred real workers, half of which are killed: nothing is lost or answered twice."""
from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter

import pytest
from remote_processes import KEY

from taskproc.remote.client import connect
from taskproc.remote.server import Server
from taskproc.remote.task_manager import TaskManager
from tests.pace import limit

WORKERS, KILLED, TASKS = 100, 50, 1000

# A hundred forks of one small process, each with a connection and a thread of its own, as one writes a worker by hand
SCRIPT = """
import hashlib, os, sys, threading
from taskproc.errors import ManagerUnreachable, TaskManagerTermination, UnknownToManager
from taskproc.remote.client import connect

host, port, key, count, period = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode(), int(sys.argv[4]), 0.5

def ping(manager, process, over):
    try:
        while not over.wait(period):
            manager.ping(process)
    except (UnknownToManager, ManagerUnreachable):
        pass

def work():
    with connect((host, port), key, retry=10) as manager:
        while True:
            process, over = manager.register_process(period, str(os.getpid())), threading.Event()
            threading.Thread(target=ping, args=(manager, process, over), daemon=True).start()
            try:
                while True:
                    task_id, number = manager.get_task_with_tag("hash", process)
                    digest = str(number).encode()
                    for _ in range(5000):
                        digest = hashlib.sha256(digest).digest()
                    manager.store_result(task_id, (number, digest.hex(), os.getpid()))
            except UnknownToManager:
                over.set()  # it was too slow for the watchdog: once more, under another number

for _ in range(count):
    if os.fork() == 0:
        try:
            work()
        except (TaskManagerTermination, ManagerUnreachable):
            pass
        os._exit(0)
for _ in range(count):
    os.wait()
"""


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_half_of_a_hundred_workers_are_killed(environ):
    """All tasks are answered and collected once; the tasks of killed workers are run by other workers."""
    manager, chance = TaskManager(most_deaths=None), random.Random(0)
    with Server(manager, key=KEY) as server, connect(server.address, KEY) as master:
        command = [sys.executable, "-c", SCRIPT, *map(str, server.address), KEY.decode(), str(WORKERS)]
        workers = subprocess.Popen(command, env=environ)
        try:
            while manager.number_of_active_processes() < WORKERS:
                assert workers.poll() is None
            pids = [int(manager.active_process_info(process)) for process in range(1, WORKERS + 1)]
            asked = {master.add_task_request("hash", number): number for number in range(TASKS)}
            got, by = Counter(), {}
            victims = chance.sample(pids, KILLED)
            for number in range(TASKS):
                task_id, tag, (value, digest, pid) = master.get_any_result(limit(60))
                assert (asked[task_id], 64) == (value, len(digest))
                assert tag == "hash"
                got[task_id] += 1
                by[task_id] = pid
                if number % 10 == 9 and victims:
                    os.kill(victims.pop(), signal.SIGKILL)
            master.terminate()
            workers.wait(limit(60))
        finally:
            workers.kill()
            workers.wait()

    assert victims == []
    assert got == dict.fromkeys(asked, 1)
    assert len(set(by.values())) > WORKERS - KILLED
    manager.validate()
    assert manager.number_of_tasks() == ({}, {}, {})
