"""How the two sides talk: messages over a socket, each with its length before it, and files beside a job's file.

Stands apart from worker.py and entry.py, which run as `python -m`: what runs so must not have been imported before.
"""
from __future__ import annotations

import socket
import struct
from pathlib import Path

HEAD = struct.Struct("<Q")
MARK = struct.Struct("<Q")
# What a worker says beside its answers, which are pickles and begin otherwise
READY = b"ready"
BEGAN = b"began"  # the job that may run only so long
LEAVING = b"leaving"  # it takes no other job after this one
SMALL = 1 << 16


def send(channel: socket.socket, content: bytes) -> None:
    """Write one message; blocks until the other side has room for it."""
    head = HEAD.pack(len(content))
    if len(content) < SMALL:
        channel.sendall(head + content)
    else:
        channel.sendall(head)  # rather than copy the content
        channel.sendall(content)


def receive(channel: socket.socket) -> bytes | None:
    """The next message, or None if the other side has closed."""
    head = _exactly(channel, HEAD.size)
    return None if head is None else _exactly(channel, HEAD.unpack(head)[0])


def _exactly(channel: socket.socket, size: int) -> bytes | None:
    content = bytearray(size)
    left = memoryview(content)
    while left:
        try:
            count = channel.recv_into(left)
        except ConnectionResetError:
            count = 0
        if not count:
            return None
        left = left[count:]
    return bytes(content)


def beside(file: Path, ending: str) -> Path:
    """`FILE.ending`: where the two ends of a prefix command leave each other word."""
    return file.with_name(f"{file.name}.{ending}")
