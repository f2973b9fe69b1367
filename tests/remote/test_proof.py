"""Laws of the proof, without sockets, and against the standard library of any Python."""
from __future__ import annotations

import glob
import hmac
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge

import pytest

from taskproc.remote.proof import Proof, introduce, refusal, welcome
from tests.pace import limit

SECRET = b"a key that both sides have"


def framed(message):
    return struct.pack("!i", len(message)) + message


def talk(one, other):
    """Connect two sides, a byte at a time, until both have nothing more to send."""
    said = {one: one.opening, other: other.opening}
    while said[one] or said[other]:
        for side, peer in ((one, other), (other, one)):
            content, said[side] = said[side], b""
            for number in range(len(content)):
                said[peer] += peer.feed(content[number:number + 1])


def test_both_sides_prove_it_to_each_other():
    """Both sides prove the key in four messages and two verdicts, which may arrive in pieces."""
    manager, client = Proof(welcome(SECRET)), Proof(introduce(SECRET))

    talk(manager, client)

    assert manager.is_complete
    assert client.is_complete


def test_another_key_is_no_key():
    """A client or a manager with a different key is refused, and learns nothing else."""
    with pytest.raises(AuthenticationError, match="it has a different key"):
        talk(Proof(welcome(SECRET)), Proof(introduce(b"another")))

    client = Proof(introduce(SECRET))
    client.feed(framed(b"#CHALLENGE#{sha256}" + bytes(40)))
    client.feed(framed(b"#WELCOME#"))
    with pytest.raises(AuthenticationError, match="it has a different key"):
        client.feed(framed(b"{sha256}" + bytes(32)))


def test_a_refusal_is_understood():
    """A refusal raises AuthenticationError."""
    client = Proof(introduce(SECRET))
    client.feed(framed(b"#CHALLENGE#{sha256}" + bytes(40)))

    with pytest.raises(AuthenticationError, match="it refused our answer"):
        client.feed(refusal())


def test_no_challenge_is_answered_before_the_key_was_shown():
    """The manager answers no challenge of a client that has not proved it, whose answer could be used elsewhere."""
    manager, other = Proof(welcome(SECRET)), Proof(welcome(SECRET))

    with pytest.raises(AuthenticationError):
        other.feed(manager.opening)


def test_what_follows_is_not_touched():
    """No byte behind the next message is read, and the first correct message proves the key."""
    manager, client = Proof(welcome(SECRET)), Proof(introduce(SECRET))
    answer = client.feed(manager.opening)

    assert manager.wants() == 4
    assert manager.feed(answer[:4]) == b""
    assert (manager.wants(), manager.received) == (len(answer) - 4, 0)
    assert manager.feed(answer[4:]) == framed(b"#WELCOME#")
    assert manager.received == 1


def md5_of(challenge):
    return hmac.digest(SECRET, challenge, "md5")


def test_the_proof_of_python_3_10():
    """A challenge of 20 bytes without a digest is answered with HMAC-MD5, and such an answer is accepted."""
    manager, challenge = Proof(welcome(SECRET)), bytes(range(20))

    assert manager.feed(framed(md5_of(manager.opening[4 + len(b"#CHALLENGE#"):]))) == framed(b"#WELCOME#")
    assert manager.feed(framed(b"#CHALLENGE#" + challenge)) == framed(md5_of(challenge))
    manager.feed(framed(b"#WELCOME#"))
    assert manager.is_complete


@pytest.mark.parametrize("size", [-1, -(1 << 31), 257, (1 << 31) - 1])
def test_a_message_is_short(size):
    """A message that is too long is refused by its length, before it is read."""
    with pytest.raises(AuthenticationError, match=f"a message of {size} bytes"):
        Proof(welcome(SECRET)).feed(struct.pack("!i", size))


@pytest.mark.parametrize(
    "challenge",
    [b"", b"#CHALLENGE#", b"#CHALLENGE#" + bytes(19), b"#CHALLENGE#" + bytes(40), b"#CHALLENGE#{crc32}" + bytes(40),
     b"#CHALLENGE#{md5}short", b"{sha256}" + bytes(40)],
)
def test_what_is_no_challenge_is_not_answered(challenge):
    """A challenge with an unknown digest, or too short to be unique, is not answered."""
    with pytest.raises(AuthenticationError):
        Proof(introduce(SECRET)).feed(framed(challenge))


def converse(sock, proof):
    """Run a proof over a socket that may block."""
    sock.sendall(proof.opening)
    while not proof.is_complete:
        if answer := proof.feed(sock.recv(proof.wants())):
            sock.sendall(answer)


@pytest.mark.parametrize("is_manager", [True, False])
def test_the_standard_library_understands_it(is_manager):
    """Either side can be the standard library of this Python."""
    ours, theirs = socket.socketpair()
    connection = Connection(theirs.detach())
    steps = [answer_challenge, deliver_challenge] if is_manager else [deliver_challenge, answer_challenge]
    thread = threading.Thread(target=lambda: [step(connection, SECRET) for step in steps])
    thread.start()
    with ours, connection:
        converse(ours, Proof((welcome if is_manager else introduce)(SECRET)))
        thread.join()


def other_pythons():
    """One interpreter of each other version, from the path and from pyenv."""
    kept = os.path.expanduser(os.environ.get("PYENV_ROOT", "~/.pyenv"))
    for minor in range(10, 15):
        name = f"python3.{minor}"
        candidates = [*glob.glob(f"{kept}/versions/3.{minor}.*/bin/{name}"), shutil.which(name)]
        for python in [each for each in candidates if each and minor != sys.version_info[1]][:1]:
            if subprocess.run([python, "-c", ""], capture_output=True, check=False, timeout=limit(60)).returncode == 0:
                yield python


THEIRS = """
import sys
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
connection = Connection(int(sys.argv[1]))
steps = {"manager": [deliver_challenge, answer_challenge], "client": [answer_challenge, deliver_challenge]}
for step in steps[sys.argv[2]]:
    step(connection, sys.argv[3].encode())
connection.send_bytes(b"done")
"""


@pytest.mark.slow
def test_the_standard_library_of_other_pythons_understands_it():
    """Either side can be the standard library of another Python."""
    pythons = list(other_pythons())
    if not pythons:
        pytest.skip("there is no other Python from 3.10 on")
    for python in pythons:
        for role, steps in (("client", welcome), ("manager", introduce)):
            ours, theirs = socket.socketpair()
            command = [python, "-c", THEIRS, str(theirs.fileno()), role, SECRET.decode()]
            with ours, subprocess.Popen(command, pass_fds=[theirs.fileno()]) as process:
                theirs.close()
                converse(ours, Proof(steps(SECRET)))
                assert ours.recv(100) == framed(b"done"), python
                process.wait(limit(60))
