"""The proof that both sides have the key: bytes in, bytes out, so that one thread can listen to hundreds of strangers.

Each side sends a random challenge, and the other one answers with its HMAC under the key, which never travels. Whoever
comes has to answer first, so a stranger gets no answer out of the manager that could be used elsewhere. The messages
are those of multiprocessing.connection in the standard library, which can only wait for them: from Python 3.12 on a
challenge names its digest (`{sha256}` and 40 bytes), and so do ours; before, it was 20 bytes and HMAC-MD5, with which
those versions answer a named challenge too.
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
_OLD_CHALLENGE, _OLD_ANSWER = 20, 16  # bytes, of HMAC-MD5 that does not name itself
_NAMED = re.compile(rb"\{(md5|sha256|sha384|sha3_256|sha3_384)\}", re.ASCII)

# Yields what to send before the next message is read, and is sent that; returns what to send in the end
Steps = Generator[bytes, bytes, bytes]


class Proof:
    """One side's part in a proof that goes on.

    Attributes:
        opening: what to send first; nothing for who comes.
        received: the number of right messages of the other side. After the first one, the newcomer has shown the key.
        is_complete: whether both have proved it. What is sent after that is not part of it.
    """

    def __init__(self, steps: Steps):
        self._steps = steps
        self._received = b""
        self.opening = _framed(next(steps))
        self.received = 0
        self.is_complete = False

    def wants(self) -> int:
        """How many bytes to read next, at most: what follows the proof is for others."""
        if len(self._received) < _HEAD.size:
            return _HEAD.size - len(self._received)
        return _HEAD.size + self._size() - len(self._received)

    def feed(self, received: bytes) -> bytes:
        """Take some bytes; what to send now. AuthenticationError: the other side does not have the key.
        """
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
    """The part of the manager, who sees the other's proof first."""
    challenge = _new_challenge()
    _verify(secret, challenge, (yield _CHALLENGE + challenge))
    _check_verdict((yield _answer(secret, (yield _WELCOME))))
    return b""


def introduce(secret: bytes) -> Steps:
    """The part of who comes."""
    _check_verdict((yield _answer(secret, (yield b""))))
    challenge = _new_challenge()
    _verify(secret, challenge, (yield _CHALLENGE + challenge))
    return _WELCOME


def refusal() -> bytes:
    """What is sent to who has not the key."""
    return _framed(_FAILURE)


def _framed(message: bytes) -> bytes:
    return _HEAD.pack(len(message)) + message if message else b""


def _new_challenge() -> bytes:
    return b"{sha256}" + os.urandom(40)


def _answer(secret: bytes, message: bytes) -> bytes:
    """To the challenge of the other side."""
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
    """AuthenticationError unless it is the answer to our challenge, whose name of a digest is digested, too."""
    named = _NAMED.match(answer)
    if len(answer) == _OLD_ANSWER:
        digest, name = answer, b"md5"
    elif named is not None:
        digest, name = answer[named.end():], named[1]
    else:
        raise AuthenticationError("it sent no answer to the challenge")
    if not hmac.compare_digest(digest, _digest(secret, challenge, name)):
        raise AuthenticationError("it has another key")


def _digest(secret: bytes, challenge: bytes, name: bytes) -> bytes:
    try:
        return hmac.digest(secret, challenge, name.decode("ascii"))
    except ValueError as error:  # MD5, on a machine that forbids it
        raise AuthenticationError(f"HMAC with {name.decode('ascii')} is not supported here") from error


def _check_verdict(verdict: bytes) -> None:
    if verdict != _WELCOME:
        raise AuthenticationError("it refused our answer")
