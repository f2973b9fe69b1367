"""Laws of waiting: which tasks without a worker are reported, to whom and when, and how threads are started."""
from __future__ import annotations

import subprocess
import sys
import threading

import pytest
from remote_processes import KEY

from taskproc.errors import TaskManagerTermination
from taskproc.remote import RemoteExecutor, connect, waiting
from taskproc.remote.requests import PUBLIC
from taskproc.remote.server import Server
from taskproc.remote.task_manager import TaskManager
from taskproc.remote.waiting import StartedThread
from tests.pace import limit

AFTER = waiting.REPORT_AFTER


class Clock:
    """A clock that the test sets."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def manager(clock):
    manager = TaskManager(clock=clock)
    yield manager
    manager.validate()


@pytest.fixture
def reports(manager, clock, caplog):
    """The reports of some seconds later, after which the log is cleared."""
    def reports(seconds=AFTER):
        clock.now += seconds
        manager.check()
        texts = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return texts

    return reports


def takes(manager, process, *tags):
    """A process has asked for tasks of these tags, and there was none."""
    with pytest.raises(TimeoutError):
        manager.get_any_task(process, 0, tags=tags or None)


def test_a_tag_that_nobody_takes_is_reported_once(manager, reports):
    """A tag without a worker is reported once, in time and with the remedy, however many tasks wait."""
    takes(manager, manager.register_process(), "a")
    for _ in range(3):
        manager.add_task_request("b", 1)

    assert manager.takers.missing() == ["b"]
    assert reports(AFTER - 1) == []
    assert manager.check() == 1.0
    [text] = reports(1)
    assert text.startswith("tasks with the tag 'b' wait, but there is no worker for them\n\nhint: start one whose mod")
    assert "do_b" in text
    manager.add_task_request("b", 1)
    assert reports(1000) == []
    assert manager.check() is None


def test_what_somebody_takes_is_not_reported(manager, reports):
    """A tag that a process takes, by name or with all others, busy or without an id, is not reported."""
    takes(manager, manager.register_process(), "a")
    takes(manager, None, "c")
    manager.add_task_request("a", 1)
    manager.add_task_request("c", 1)
    assert reports() == []

    takes(manager, manager.register_process(), "x")
    manager.add_task_request("b", 1)
    manager.add_task_request("_private", 1)
    assert manager.get_any_task(manager.register_process())[1] == "a"

    assert manager.takers.missing() == ["_private"]
    assert len(reports()) == 1


def test_a_worker_that_comes_ends_it(manager, reports):
    """A worker ends the lack, before or after the report; a new lack is reported again."""
    manager.add_task_request("a", 1)
    takes(manager, manager.register_process(), "b")
    late = manager.register_process()
    assert manager.get_any_task(late, tags=["a"])[2] == 1
    assert reports() == []

    manager.add_task_request("a", 2)
    assert (manager.takers.missing(), reports()) == ([], [])
    manager.unregister_process(late)
    assert manager.takers.missing() == ["a"]
    assert len(reports()) == 1
    assert manager.takers.reported(PUBLIC) == ["a"]
    manager.get_any_task(manager.register_process(), tags=["a"])
    assert manager.takers.missing() == manager.takers.reported(PUBLIC) == []


def test_the_last_worker_of_a_tag_is_given_up(manager, reports):
    """A tag is reported when its last worker is given up or leaves, and not while another one takes it."""
    dead, other = manager.register_process(1.0), manager.register_process()
    for process in (dead, other):
        takes(manager, process, "a")
    manager.add_task_request("a", 1)
    assert reports(100) == reports(AFTER) == []

    manager.unregister_process(other)

    assert len(reports()) == 1


def test_a_task_that_does_not_wait_any_more_is_not_missed(manager, reports):
    """A cancelled task is not reported."""
    manager.cancel_task(manager.add_task_request("a", 1))

    assert reports() == manager.takers.missing() == []
    assert manager.check() is None


def test_nothing_is_missed_after_the_end(manager, reports):
    """After `terminate` nothing is reported."""
    manager.add_task_request("a", 1)
    manager.terminate()

    assert reports() == []
    with pytest.raises(TaskManagerTermination):
        manager.get_any_task()


def test_only_those_who_wait_for_it_are_told(manager, reports):
    """A lack is reported to processes that wait for its reply tag, and to no other."""
    manager.add_task_request("a", 1, reply_tag="mine")
    manager.add_task_request("b", 1, reply_tag="_private")
    reports()

    assert manager.takers.reported(PUBLIC) == ["a"]
    assert manager.takers.reported({"mine"}) == ["a"]
    assert manager.takers.reported({"_private"}) == ["b"]
    assert manager.takers.reported({"a"}) == []


def test_a_master_that_waits_is_told_once(manager, reports, caplog):
    """A waiting master logs a lack once, in its own process, whichever results it waits for."""
    with Server(manager, key=KEY) as server, connect(server.address, KEY) as client:
        client.add_task_request("a", 1)
        client.add_task_request("b", 1, reply_tag="mine")
        reports()
        for _ in range(2):
            for wait in (client.get_any_result, lambda timeout: client.get_result_with_tag("other", timeout)):
                with pytest.raises(TimeoutError):
                    wait(timeout=0)

        assert client.tags_without_worker() == ("a", "b")
    texts = [record.getMessage() for record in caplog.records]
    assert [text.partition(": ")[2].partition(" wait")[0] for text in texts] == [
        "tasks with the tag 'a'", "tasks with the tag 'b'"
    ]


@pytest.mark.slow
def test_who_serves_and_who_asks_is_told(remote):
    """`serve`, `status` and a master report a lack on standard error, until a worker has come."""
    server, address = remote.serve()
    remote.work(address, "work")
    with connect(address, remote.key) as client:
        client.add_task_request("misspelt", 1)
        client.add_task_request("square", 2)
        assert client.get_any_result(limit(60))[2] == 4
        said = [server.stderr.readline() for _ in range(3)]
        asked = remote.start("status", "--address", address).communicate(timeout=limit(60))
        (remote.folder / "more.py").write_text("def do_misspelt(x): return x\n")
        remote.work(address, "more")
        assert client.get_any_result(limit(60))[2] == 1
        later = remote.start("status", "--address", address).communicate(timeout=limit(60))

    assert said[0] == "tasks with the tag 'misspelt' wait, but there is no worker for them\n"
    assert said[2].startswith("hint: start one whose module has a function do_misspelt: `python -m taskproc.remote")
    assert asked == ("1 process\nmisspelt: 1 waiting, 0 running, 0 results\n", f"warning: {''.join(said)}")
    assert later == ("2 processes\n", "")


@pytest.mark.slow
def test_an_executor_without_workers_says_so(caplog):
    """An executor whose futures wait without a worker logs it."""
    with Server(TaskManager(), key=KEY) as server, RemoteExecutor(server.address, KEY) as executor:
        future = executor.submit(int)
        while not any(record.getMessage().startswith("no result comes from") for record in caplog.records):
            assert not future.done()
        future.cancel()

    assert "hint: start one: `python -m taskproc.remote work`" in caplog.text


def test_it_has_begun_and_can_be_waited_for():
    """The work of a thread is done when `join` returns."""
    done = []
    StartedThread(lambda: done.append(threading.get_ident())).join()

    assert done != [threading.get_ident()]
    assert len(done) == 1


def test_one_that_raises_has_ended():
    """`join` returns also if the work raised."""
    script = "from taskproc.remote.waiting import StartedThread\nStartedThread(lambda: 1 / 0).join()\nprint('joined')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=limit(60))

    assert done.stdout == "joined\n"


SCRIPT = """
import os, resource, threading
from taskproc.remote import TaskManager, UnknownToManager
from taskproc.remote.waiting import StartedThread as Spawned

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
    """A thread that cannot begin is an error, and a process whose pings could not be watched is not registered."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environ, timeout=limit(60)
    )

    assert done.stdout.splitlines() == ["can't start new thread", "can't start new thread", "0", "0"], done.stderr
