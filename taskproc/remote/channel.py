"""Messages between a task manager and its users, over sockets, framed as by multiprocessing.connection.

Both sides prove that they have the key before anything else is read (proof.py). Nothing is unpickled after that either:
a message is JSON, and bytes in it, which are for another process, follow it unchanged.
"""
from __future__ import annotations

import hmac
import json
import os
import socket
import time
from multiprocessing.connection import Connection
from typing import Any, cast

from taskproc.errors import CacheError, OptionError
from taskproc.remote.proof import Proof, introduce
from taskproc.remote.requests import TaskId

VERSION = 1
HANDSHAKE = 10.0  # seconds within which a new connection must prove that it has the key
LONGEST_WAIT = 10.0  # seconds that one request may wait at the manager; to wait longer, a process asks again
LEAST_KEY = 16  # bytes
_LARGEST_HEAD = 1 << 24

Address = tuple[str, int]
Message = dict[str, Any]


def parse_address(address: str | Address) -> Address:
    """Host and port of `HOST:PORT`, `[HOST]:PORT` or a pair. Raises OptionError."""
    if not isinstance(address, str):
        return address
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65_535:
        raise OptionError(f"address must be HOST:PORT, as 127.0.0.1:7007, got {address!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def address_text(address: Address) -> str:
    """`HOST:PORT`, or `[HOST]:PORT` for IPv6."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def secret_of(key: bytes | str | os.PathLike[str] | None) -> bytes:
    """The secret that both sides prove to have, derived from a key or a key file. Raises OptionError."""
    if not key:
        raise OptionError("a task manager needs a key: give a key file (python -m taskproc.remote key FILE makes one)")
    purpose = b"taskproc.remote 1"  # so that it cannot be used to sign for a cache, nor the other way round
    if isinstance(key, bytes):
        if len(key) < LEAST_KEY:
            raise OptionError(f"a key must have at least {LEAST_KEY} bytes, got {len(key)}")
        return hmac.digest(key, purpose, "sha256")
    from taskproc.store.rules import Key  # here: not needed for a key of bytes

    try:
        return Key(os.fspath(key)).sign(purpose)
    except CacheError as error:
        raise OptionError(str(error)) from error


class Channel:
    """A connection to a process that has proved to have the key. One thread at a time; `shut`: any thread."""

    def __init__(self, sock: socket.socket):
        sock.settimeout(None)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a machine that has vanished does not close it
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._connection = Connection(sock.dup().detach())

    def introduce(self, secret: bytes) -> None:
        """Prove to a task manager that this process has the key, and check that the manager has it.

        Raises:
            AuthenticationError: it has a different key, or refused ours.
            OSError, EOFError: the connection broke, or the proof took more than HANDSHAKE seconds.
        """
        proof, deadline = Proof(introduce(secret)), time.monotonic() + HANDSHAKE
        while not proof.is_complete:
            self._sock.settimeout(max(0.001, deadline - time.monotonic()))
            received = self._sock.recv(proof.wants())
            if not received:
                raise EOFError
            self._sock.sendall(proof.feed(received))
        self._sock.settimeout(None)

    def send(self, message: Message) -> None:
        """Send plain data and bytes. For anything else raises TypeError, and nothing is sent. Raises OSError."""
        blobs: list[bytes] = []
        body = _encode(message, blobs)
        head = json.dumps([len(blobs), body]).encode()
        if len(head) > _LARGEST_HEAD:
            raise TypeError(f"a message of {len(head):,} bytes without its contents is too long")
        self._connection.send_bytes(head)
        for blob in blobs:
            self._connection.send_bytes(blob)

    def receive(self, timeout: float | None = None) -> Message:
        """The next message. EOFError if the other end was closed, OSError if it is broken or nothing came in time."""
        if not self._connection.poll(timeout):
            raise OSError(f"no message within {timeout} s")
        try:
            count, body = json.loads(self._connection.recv_bytes(_LARGEST_HEAD))
            blobs = [self._connection.recv_bytes() for _ in range(count)]
            return cast("Message", _decode(body, blobs))
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise OSError(f"not a message of taskproc: {error}") from error

    def shut(self) -> None:
        """End the connection, also while a thread waits for a message."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it was ended by the other side

    def close(self) -> None:
        """Close the descriptors."""
        self._connection.close()
        self._sock.close()


def _encode(value: Any, blobs: list[bytes]) -> Any:
    if isinstance(value, (bytes, bytearray)):
        blobs.append(bytes(value))
        return {"blob": len(blobs) - 1}
    if isinstance(value, TaskId):
        return {"task": str(value), "number": value.number}
    if isinstance(value, (list, tuple)):
        return [_encode(item, blobs) for item in value]
    if isinstance(value, dict):
        return {"dict": {name: _encode(item, blobs) for name, item in value.items()}}
    return value


def _decode(value: Any, blobs: list[bytes]) -> Any:
    if isinstance(value, list):
        return tuple(_decode(item, blobs) for item in value)
    if not isinstance(value, dict):
        return value
    if "blob" in value:
        return blobs[value["blob"]]
    if "task" in value:
        return TaskId(value["task"], value["number"])
    return {name: _decode(item, blobs) for name, item in value["dict"].items()}
