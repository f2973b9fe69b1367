"""Laws of signals at `serve` and `work` in each phase: they end with the same exit code and leave nothing."""
from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys

import pytest
from gone import is_gone
from remote_processes import content_of

from taskproc.remote import ManagerUnreachable, connect
from taskproc.remote.channel import parse_address
from tests.pace import limit

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "tgkill"), reason="needs tgkill, of Linux with glibc 2.30"),
]
NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def code_of(process, seconds=60):
    """The exit code of a process; a process that ignores its signal fails the test."""
    return process.wait(limit(seconds))


def signal_beside(process, number):
    """Have its oldest thread but the main one take the signal, as the system may choose one at any time.

    So the main thread is not disturbed in its sleep, as if the signal had come just before that.
    """
    threads = sorted(int(name) for name in os.listdir(f"/proc/{process.pid}/task"))
    others = [thread for thread in threads if thread != process.pid]  # none any more when it is about to end
    assert any(ctypes.CDLL(None).tgkill(process.pid, thread, int(number)) == 0 for thread in [*others, process.pid])


def at_work(remote, address, *words):
    """A worker that has finished a task, so that all its threads exist and no start goes on."""
    agent = remote.work(address, "work", *words)
    with connect(address, remote.key) as client:
        client.add_task_request("square", 2)
        client.get_result_with_tag("square", limit(60))
    return agent


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_ends_a_manager(remote, number):
    """Each signal, in whichever thread, ends a manager."""
    for send in (signal_beside, subprocess.Popen.send_signal):
        server, _ = remote.serve()

        send(server, number)

        assert code_of(server) == 130


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_ends_a_worker_that_waits(remote, number):
    """A waiting worker unregisters, so that the manager does not wait for it."""
    _, address = remote.serve()
    for send in (signal_beside, subprocess.Popen.send_signal):
        agent = at_work(remote, address)

        send(agent, number)

        assert code_of(agent) == 130
        with connect(address, remote.key) as client:
            assert client.number_of_active_processes() == 0


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_ends_a_worker_that_works(remote, number):
    """A busy worker ends with the processes of its tasks, and returns the tasks."""
    _, address = remote.serve()
    with connect(address, remote.key) as client:
        agent, path = at_work(remote, address), remote.folder / "pid"
        client.add_task_request("hang", str(path))
        worker = int(content_of(path))

        signal_beside(agent, number)

        assert code_of(agent) == 130
        assert is_gone(worker)
        assert client.number_of_tasks() == ({"hang": 1}, {}, {})


def test_two_signals_at_once(remote):
    """The second signal ends the process at once; the exit code is that of the first."""
    for send in (subprocess.Popen.send_signal, signal_beside):
        for _ in range(5):
            server, address = remote.serve()
            agent = at_work(remote, address)
            for process in (agent, server):
                send(process, signal.SIGINT)
                send(process, signal.SIGTERM)

            assert [code_of(process) for process in (agent, server)] == [130, 130]


@pytest.mark.parametrize("command", ["serve", "work"])
def test_signals_until_it_has_ended(remote, command):
    """Signals while the interpreter ends do not change the exit code."""
    for _ in range(3):
        server, address = remote.serve()
        process = server if command == "serve" else remote.work(address, "work")
        while process.poll() is None:
            process.send_signal(signal.SIGTERM)

        assert code_of(process) == 130


def test_a_second_signal_does_not_wait_for_others(remote):
    """A manager waits for registered processes after one signal, and not after two."""
    server, address = remote.serve()
    with connect(address, remote.key) as client:
        client.register_process(1000.0)
        server.send_signal(signal.SIGTERM)
        while not server.poll() and client_is_served(address, remote.key):
            server.send_signal(signal.SIGTERM)

    assert code_of(server) == 130


def client_is_served(address, key):
    try:
        connect(address, key).close()
    except ManagerUnreachable:  # it is about to end
        return False
    return True


def test_a_worker_whose_module_does_not_come(remote):
    """A signal ends the import of the module."""
    _, address = remote.serve()
    mark = remote.folder / "begun"
    # Not open(…).write(…): a signal that meets the destructor of the file is lost, as in any program
    text = f"import time\nwith open({str(mark)!r}, 'w') as file:\n    file.write('begun')\ntime.sleep(1000)\n"
    (remote.folder / "slow.py").write_text(text)
    agent = remote.start("work", "--address", address, "slow")
    content_of(mark)

    agent.send_signal(signal.SIGTERM)

    assert code_of(agent) == 130


@pytest.mark.parametrize("send", [subprocess.Popen.send_signal, signal_beside])
def test_a_worker_whom_nobody_answers(remote, send):
    """A signal ends a worker that waits for an answer to its first connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        agent = remote.start("work", "--address", f"127.0.0.1:{listener.getsockname()[1]}", "--retry", "1000", "work")
        with listener.accept()[0]:
            send(agent, signal.SIGTERM)

            assert code_of(agent) == 130


def test_a_worker_whose_manager_hangs(remote):
    """A worker whose manager hangs ends after GOOD_BYE seconds, with a task in hand and a result unreported."""
    server, address = remote.serve()
    with connect(address, remote.key) as client:
        agent, path = at_work(remote, address, "--jobs", "2"), remote.folder / "pid"
        begun, go = remote.folder / "begun", remote.folder / "go"
        client.add_task_request("hang", str(path))
        client.add_task_request("wait", (str(begun), str(go)))
        worker = int(content_of(path))
        content_of(begun)
        server.send_signal(signal.SIGSTOP)
        go.touch()

        agent.send_signal(signal.SIGTERM)

        assert code_of(agent, seconds=25) == 130  # it would wait 30 s for an answer
        assert is_gone(worker)
        server.send_signal(signal.SIGCONT)


def test_no_signal_is_taken_that_is_ignored(remote):
    """A signal that was ignored at the start stays ignored; the others end the process."""
    command = [sys.executable, "-m", "taskproc.remote", "serve", "--key-file", "key"]
    script = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    server = subprocess.Popen([sys.executable, "-c", script, *command], cwd=remote.folder, env=remote.environ,
                              text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    remote.processes.append(server)
    address = server.stdout.readline().split()[-1]

    server.send_signal(signal.SIGINT)
    with connect(parse_address(address), remote.key) as client:
        assert client.number_of_tasks() == ({}, {}, {})
    server.send_signal(signal.SIGTERM)

    assert code_of(server) == 130
