"""Laws of strangers: without the key one gets nothing and delays nobody, and neither side unpickles anything."""
from __future__ import annotations

import hmac
import os
import pickle
import socket
import struct
import threading
from contextlib import ExitStack, suppress

import pytest
from remote_processes import KEY, Limited, descriptors_of, threads_of

from taskproc.errors import ManagerUnreachable, OptionError
from taskproc.remote import channel
from taskproc.remote import server as server_module
from taskproc.remote.client import connect
from taskproc.remote.executor import RemoteExecutor
from taskproc.remote.server import Server
from taskproc.remote.task_manager import TaskManager
from taskproc.store.rules import make_key_file
from tests.pace import limit


def framed(content):
    """A message framed as by multiprocessing.connection."""
    return struct.pack("!i", len(content)) + content


def said_to(address, content):
    """Send bytes to the server without a key; returns its answer until it closes."""
    with socket.create_connection(address) as sock:
        sock.settimeout(30)
        try:
            sock.sendall(content)
            sock.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: sock.recv(4096), b""))
        except OSError:
            return b""  # it was hung up before all was said


@pytest.mark.parametrize("key", [None, b"", ""])
def test_without_a_key_nothing_is_served_and_nobody_connects(key):
    """Neither side starts without a key, and the error has the remedy."""
    for call in (lambda: Server(TaskManager(), key=key), lambda: connect("127.0.0.1:1", key),
                 lambda: RemoteExecutor("127.0.0.1:1", key)):
        with pytest.raises(OptionError, match=r"needs a key.*python -m taskproc.remote key"):
            call()


def test_a_short_key_is_none():
    """A key that could be guessed is refused."""
    with pytest.raises(OptionError, match="at least 16 bytes, got 3"):
        Server(TaskManager(), key=b"abc")


def test_a_key_file_is_for_one_user(tmp_path):
    """A key file that other users can read is refused, with the command that corrects it."""
    path = tmp_path / "key"
    make_key_file(path)
    path.chmod(0o644)

    with pytest.raises(OptionError, match="chmod 600"):
        Server(TaskManager(), key=path)
    with pytest.raises(OptionError, match="does not exist"):
        connect("127.0.0.1:1", tmp_path / "other")


def test_the_key_itself_is_not_what_is_proved(tmp_path):
    """The secret is derived from the key, so it is not a signature of anything else that the key signs."""
    path = tmp_path / "key"
    make_key_file(path)
    secret = channel.secret_of(path)

    assert secret == channel.secret_of(path.read_bytes().strip())
    assert secret not in path.read_bytes()
    assert len(secret) == 32


def test_another_key_is_refused_on_both_sides(server, client):
    """A client with a different key gets an error, and the other clients are not affected."""
    with pytest.raises(ManagerUnreachable, match="has a different key"):
        connect(server.address, b"another key, long enough")

    client.add_task_request("a", 1)
    assert client.get_any_task(timeout=limit(5))[2] == 1


def garbage(bomb):
    content = pickle.dumps(bomb)
    return {
        "nothing": b"",
        "a web browser": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "noise": bytes(range(256)) * 40,
        "a bomb": framed(content),
        "a bomb without a frame": content,
        "a bomb for an answer and another for a challenge": framed(content) + framed(content),
        "a bomb behind the right word": framed(b"#CHALLENGE#" + content),
        "a bomb that is welcome": framed(b"#WELCOME#") + framed(content),
        "a huge message": struct.pack("!i", 0x7FFFFFFF) + content,
        "a huger one": struct.pack("!i", -1) + struct.pack("!Q", 1 << 62) + content,
        "one of negative length": struct.pack("!i", -9) + content,
        "part of a message": framed(content)[:-1],
    }


@pytest.mark.parametrize("kind", garbage(None))
def test_what_strangers_send_is_not_unpickled(server, client, bomb, kind):
    """A stranger gets a challenge and a refusal, nothing is unpickled, and other clients are served."""
    answer = said_to(server.address, garbage(bomb)[kind])

    assert len(answer) < 300
    assert not bomb.path.exists()
    assert client.number_of_active_processes() == 0
    pickle.loads(pickle.dumps(bomb))  # it would have been seen
    assert bomb.path.exists()


@pytest.mark.parametrize("kind", garbage(None))
def test_what_a_false_manager_sends_is_not_unpickled(bomb, kind):
    """A client at a wrong address unpickles nothing."""
    def answer():
        with suppress(OSError), listener.accept()[0] as sock:
            sock.sendall(garbage(bomb)[kind])
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: [answer(), answer()], daemon=True)  # it tries once more
        thread.start()
        with pytest.raises(ManagerUnreachable):
            connect(listener.getsockname(), KEY)

    assert not bomb.path.exists()


def test_the_manager_unpickles_nothing_of_those_who_have_the_key(client, bomb):
    """Parameters, results, exceptions and data pass through the manager as bytes."""
    content = pickle.dumps(bomb)
    client.link.add_request("a", content)
    client.link.add_request("a", content)
    client.link.ask("store_data", {"label": content})
    task_id, _, parameters = client.link.take_task()
    client.link.store_result(task_id, content)
    client.link.store_exception(client.link.take_task()[0], content, "")

    assert parameters == content
    assert client.link.take_result(None)[2] == content
    assert client.link.take_result(None)[3] == (content, "")
    assert not bomb.path.exists()


def test_one_who_says_nothing_holds_up_nobody(server, client, monkeypatch):
    """A silent stranger delays nobody and is disconnected after some seconds, also if it sends a byte at times."""
    with socket.create_connection(server.address) as silent:
        silent.sendall(b"\0")
        with connect(server.address, KEY) as other:
            other.add_task_request("a", 1)
    monkeypatch.setattr(server_module, "HANDSHAKE", 0.05)

    with socket.create_connection(server.address) as silent:
        silent.settimeout(30)
        silent.sendall(b"\0")
        while silent.recv(4096):
            pass

    assert client.number_of_tasks()[0] == {"a": 1}


def test_many_who_say_nothing_push_each_other_out(server, client, monkeypatch):
    """The oldest stranger is disconnected first; clients with the key are not affected."""
    monkeypatch.setattr(server_module, "MOST_STRANGERS", 2)
    silent = []
    for _ in range(3):
        silent.append(socket.create_connection(server.address))
        silent[-1].settimeout(30)
        silent[-1].recv(1)  # it is one of them as soon as it is challenged

    while silent[0].recv(4096):
        pass

    with connect(server.address, KEY) as other:
        assert other.number_of_active_processes() == 0
    assert client.number_of_active_processes() == 0
    silent[2].setblocking(False)
    with pytest.raises(BlockingIOError):
        while silent[2].recv(4096):
            pass
    for each in silent:
        each.close()


def leave_at_once(sock):
    sock.close()


def break_off(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def have_another_key(sock):
    challenge = sock.recv(4096)[4:]
    sock.sendall(framed(b"{sha256}" + hmac.digest(b"another key", challenge, "sha256")))


FLOODS = {
    "silent": lambda sock: None,
    "a byte": lambda sock: sock.sendall(b"\0"),
    "half of a message": lambda sock: sock.sendall(struct.pack("!i", 200) + b"#CHALLENGE#"),
    "noise": lambda sock: sock.sendall(os.urandom(500)),
    "empty messages": lambda sock: sock.sendall(framed(b"") * 50),
    "a challenge instead of an answer": lambda sock: sock.sendall(sock.recv(4096)),
    "another key": have_another_key,
    "does not say more": lambda sock: sock.shutdown(socket.SHUT_WR),
    "leaves at once": leave_at_once,
    "breaks off": break_off,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_of_strangers_holds_up_nobody(remote, kind):
    """During and after a flood of strangers clients can connect, and the flood costs no thread."""
    server, address = remote.serve()
    host, port = channel.parse_address(address)
    with connect(address, remote.key) as client, ExitStack() as strangers:
        threads, descriptors = threads_of(server.pid), descriptors_of(server.pid)
        for _ in range(600):
            sock = strangers.enter_context(socket.create_connection((host, port), timeout=limit(30)))
            with suppress(OSError):
                FLOODS[kind](sock)

        with connect(address, remote.key) as other:
            other.store_data(a=1)
        assert threads_of(server.pid) <= threads + 1
        assert descriptors_of(server.pid) <= descriptors + server_module.MOST_STRANGERS + 2
        strangers.close()
        with connect(address, remote.key) as other:
            assert other.retrieve_data("a") == 1
        assert client.retrieve_data("a") == 1


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user who has no other threads")
def test_where_no_thread_can_be_started_one_connection_is_refused(environ):
    """A refusal is reported on both sides, open connections go on, and later ones are accepted again."""
    with Limited(environ) as limited, connect(limited.address, KEY) as client:
        limited.limit("NPROC", 0)
        strangers = [socket.create_connection(limited.address) for _ in range(60)]
        for _ in range(2):
            with pytest.raises(ManagerUnreachable, match=r"refused to connect: no thread .*can't start new thread"):
                connect(limited.address, KEY)
            for stranger in strangers:
                stranger.close()
        assert client.add_task_request("a", 1) == "a_1"

        limited.limit("NPROC", "any")
        with connect(limited.address, KEY) as other:
            assert other.number_of_tasks()[0] == {"a": 1}

    assert limited.said.count("connections are refused: no thread can be started") == 1
    assert "hint: raise the limit on processes" in limited.said


@pytest.mark.slow
def test_a_manager_that_was_out_of_memory_lets_others_in_again(environ):
    """A manager recovers from a thread that has no memory to begin, for which `Thread.start` waits for ever."""
    with Limited(environ) as limited:
        limited.limit("AS", 0)
        strangers = [socket.create_connection(limited.address) for _ in range(60)]
        with suppress(ManagerUnreachable):
            connect(limited.address, KEY).close()
        for stranger in strangers:
            stranger.close()

        limited.limit("AS", "any")
        with connect(limited.address, KEY) as other:
            assert other.number_of_tasks() == ({}, {}, {})


@pytest.mark.slow
def test_strangers_make_room_when_descriptors_run_out(environ):
    """When descriptors run out, the oldest strangers are disconnected."""
    with Limited(environ) as limited, connect(limited.address, KEY) as client:
        limited.limit("NOFILE", 20)
        strangers = [socket.create_connection(limited.address) for _ in range(60)]

        for _ in range(5):
            with connect(limited.address, KEY) as other:
                other.number_of_tasks()

        for stranger in strangers:
            stranger.close()
        assert client.number_of_tasks() == ({}, {}, {})


@pytest.mark.slow
@pytest.mark.parametrize("more", [4, 5])
def test_who_finds_no_descriptor_waits_until_one_is_free(environ, more, monkeypatch):
    """Clients with the key are not disconnected; the next one connects when one has left."""
    monkeypatch.setattr(channel, "HANDSHAKE", 1.0)
    with Limited(environ) as limited, ExitStack() as stack:
        limited.limit("NOFILE", more)
        first, _ = (stack.enter_context(connect(limited.address, KEY)) for _ in range(2))
        got = []
        thread = threading.Thread(target=lambda: got.append(connect(limited.address, KEY, retry=60)))
        thread.start()
        with pytest.raises(ManagerUnreachable):
            connect(limited.address, KEY)

        first.close()
        thread.join()

        assert got[0].number_of_tasks() == ({}, {}, {})
        got[0].close()


@pytest.mark.parametrize("address", ["", "localhost", "localhost:", ":80", "localhost:http", "localhost:99999"])
def test_an_address_is_host_and_port(address):
    """A malformed address is refused, with an example."""
    with pytest.raises(OptionError, match="must be HOST:PORT, as"):
        channel.parse_address(address)


def test_addresses_of_both_kinds():
    """IPv4 and IPv6 addresses are written as in URLs."""
    assert channel.parse_address("[::1]:80") == ("::1", 80)
    assert [channel.address_text(each) for each in (("::1", 80), ("a", 1))] == ["[::1]:80", "a:1"]
    assert os.path.sep not in channel.address_text(("a", 1))
