"""The proof that both sides have the key: bytes in, bytes out, so that one thread can serve hundreds of connections.

Each side sends a random challenge, and the other side answers with its HMAC under the key; the key is never sent. The
client has to answer first, so a stranger gets no answer from the manager that it could use elsewhere. The messages are
those of multiprocessing.connection in the standard library, whose functions block. Since Python 3.12 a challenge names
its digest (`{sha256}` and 40 bytes), and so do ours. Before, a challenge was 20 bytes, answered with HMAC-MD5; those
versions answer a named challenge with HMAC-MD5 too.
"""
from __future__ import annotations

import hmac
import os
import re
import struct
from collections.abc import Generator
from multiprocessing import AuthenticationError

LONGEST = 256  # bytes of a message
_HEAD = struct.Struct("!i")
_CHALLENGE, _WELCOME, _FAILURE = b"#CHALLENGE#", b"#WELCOME#", b"#FAILURE#"
_OLD_CHALLENGE, _OLD_ANSWER = 20, 16  # bytes, of HMAC-MD5 without its name
_NAMED = re.compile(rb"\{(md5|sha256|sha384|sha3_256|sha3_384)\}", re.ASCII)

# Yields bytes to send, and is sent the next message; returns the last bytes to send
Steps = Generator[bytes, bytes, bytes]


class Proof:
    """The state of one side in a proof.

    Attributes:
        opening: the bytes to send first; empty for the client.
        received: the number of correct messages from the other side. After the first one, the client has proved it.
        is_complete: whether both sides have proved it. Bytes that follow are not part of the proof.
    """

    def __init__(self, steps: Steps):
        self._steps = steps
        self._received = b""
        self.opening = _framed(next(steps))
        self.received = 0
        self.is_complete = False

    def wants(self) -> int:
        """The most bytes to read next, so that nothing behind the proof is read."""
        if len(self._received) < _HEAD.size:
            return _HEAD.size - len(self._received)
        return _HEAD.size + self._size() - len(self._received)

    def feed(self, received: bytes) -> bytes:
        """Process received bytes and return the bytes to send. Raises AuthenticationError if the key is different."""
        self._received += received
        if len(self._received) < _HEAD.size or self.wants():
            return b""
        message, self._received = self._received[_HEAD.size:], b""
        try:
            answer = self._steps.send(message)
        except StopIteration as end:
            self.is_complete = True
            answer = end.value
        self.received += 1
        return _framed(answer)

    def _size(self) -> int:
        size: int = _HEAD.unpack_from(self._received)[0]
        if not 0 <= size <= LONGEST:
            raise AuthenticationError(f"a message of {size} bytes")
        return size


def welcome(secret: bytes) -> Steps:
    """The steps of the manager, which checks the proof of the client first."""
    challenge = _new_challenge()
    _verify(secret, challenge, (yield _CHALLENGE + challenge))
    _check_verdict((yield _answer(secret, (yield _WELCOME))))
    return b""


def introduce(secret: bytes) -> Steps:
    """The steps of the client."""
    _check_verdict((yield _answer(secret, (yield b""))))
    challenge = _new_challenge()
    _verify(secret, challenge, (yield _CHALLENGE + challenge))
    return _WELCOME


def refusal() -> bytes:
    """The message to a client that does not have the key."""
    return _framed(_FAILURE)


def _framed(message: bytes) -> bytes:
    return _HEAD.pack(len(message)) + message if message else b""


def _new_challenge() -> bytes:
    return b"{sha256}" + os.urandom(40)


def _answer(secret: bytes, message: bytes) -> bytes:
    """The answer to the challenge of the other side."""
    challenge = message.removeprefix(_CHALLENGE)
    if challenge == message:
        raise AuthenticationError("it sent no challenge")
    if len(challenge) == _OLD_CHALLENGE:
        return _digest(secret, challenge, b"md5")
    named = _NAMED.match(challenge)
    if named is None or len(challenge) < _OLD_CHALLENGE:
        raise AuthenticationError("it sent a challenge of an unknown kind")
    return named[0] + _digest(secret, challenge, named[1])


def _verify(secret: bytes, challenge: bytes, answer: bytes) -> None:
    """Raise AuthenticationError unless it answers our challenge. The name of the digest is digested too."""
    named = _NAMED.match(answer)
    if len(answer) == _OLD_ANSWER:
        digest, name = answer, b"md5"
    elif named is not None:
        digest, name = answer[named.end():], named[1]
    else:
        raise AuthenticationError("it sent no answer to the challenge")
    if not hmac.compare_digest(digest, _digest(secret, challenge, name)):
        raise AuthenticationError("it has a different key")


def _digest(secret: bytes, challenge: bytes, name: bytes) -> bytes:
    try:
        return hmac.digest(secret, challenge, name.decode("ascii"))
    except ValueError as error:  # MD5, on a machine that forbids it
        raise AuthenticationError(f"HMAC with {name.decode('ascii')} is not supported here") from error


def _check_verdict(verdict: bytes) -> None:
    if verdict != _WELCOME:
        raise AuthenticationError("it refused our answer")
