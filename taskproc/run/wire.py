"""How the two sides talk: messages over a socket, marks in a file, and files beside the file of a job.

Stands apart from worker.py and entry.py, which run as `python -m`: what runs so must not have been imported before.
"""
from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

HEAD = struct.Struct("<Q")
SMALL = 1 << 16

# The first byte of what a worker is sent: a pickled job; a job of a kind, and before the first such the kind itself
JOB, OF_KIND, KIND = b"j", b"o", b"k"
NAMED = 16  # bytes of the name of a kind
# The first byte of what a worker says
READY = b"r"
BEGAN = b"b"    # the job that may run only so long
LEAVING = b"l"  # it takes no other job after this one
REFUSED = b"n"  # a MARK: the job was called back before it began
PART = b"t"     # what the job gave before it ended; see steps.py
ANSWER = b"a"   # seconds that the job took, and its pickled outcome
PLAIN = b"p"    # the same, and no name in the pickle is the user's
SECONDS = struct.Struct("<d")

# In the file of marks, each 8 bytes: the number of the last job that began, the peak memory of the worker when it
# started, the number of the last job that may begin; which step of a job began, and the number of a job that must end
# before its next step, these two as the machine orders bytes; the number of the worker, written before it gets a job.
# The worker writes the first, second and fourth.
MARK = struct.Struct("<Q")
BEGUN, PEAK, BOUND, STEP, HALT, NUMBER, MARKS = 0, 8, 16, 24, 32, 40, 48
UNBOUND = MARK.pack(2**64 - 1)


def frame(content: bytes) -> bytes:
    """A message with its length before it."""
    return HEAD.pack(len(content)) + content


def send(channel: socket.socket, content: bytes) -> None:
    """Write one message; blocks until the other side has room for it."""
    if len(content) < SMALL:
        channel.sendall(frame(content))
    else:
        channel.sendall(HEAD.pack(len(content)))  # rather than copy the content
        channel.sendall(content)


class Messages:
    """What comes in through a socket.

    Attributes:
        closed: whether the other side has closed, and all it sent was read. Half a message at the end is none.
    """

    def __init__(self, channel: socket.socket):
        self.closed = False
        self._channel = channel
        self._heard = bytearray()
        self._at = 0  # where the next message begins; what lies before it was reported

    def next(self) -> bytes | None:
        """The next message, for which it waits; None if the other side has closed."""
        while (message := self._whole()) is None:
            if self._is_large():
                return self._rest()
            self._take(0)
            if self.closed:
                return None
        return message

    def ready(self) -> Iterator[bytes]:
        """Whole messages that have come, without waiting."""
        while not self.closed and self._take(socket.MSG_DONTWAIT):
            pass
        while (message := self._whole()) is not None:
            yield message

    def _whole(self) -> bytes | None:
        """The next message, if it is there from end to end."""
        start = self._at + HEAD.size
        if len(self._heard) >= start:
            end = start + HEAD.unpack_from(self._heard, self._at)[0]
            if len(self._heard) >= end:
                self._at = end
                return bytes(memoryview(self._heard)[start:end])
        del self._heard[: self._at]  # once for all that was reported since the last time
        self._at = 0
        return None

    def _take(self, flags: int) -> bool:
        """Read once. Whether there was anything."""
        try:
            part = self._channel.recv(SMALL, flags)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            part = b""
        self.closed = not part
        self._heard += part
        return bool(part)

    def _is_large(self) -> bool:
        return len(self._heard) >= HEAD.size and HEAD.unpack_from(self._heard)[0] > SMALL

    def _rest(self) -> bytes | None:
        """A message of which only the beginning is there, read into its place."""
        content = bytearray(HEAD.unpack_from(self._heard)[0])
        begun = len(self._heard) - HEAD.size
        content[:begun] = memoryview(self._heard)[HEAD.size :]
        self._heard.clear()
        left = memoryview(content)[begun:]
        while left:
            try:
                count = self._channel.recv_into(left)
            except ConnectionResetError:
                count = 0
            if not count:
                self.closed = True
                return None
            left = left[count:]
        return bytes(content)


def job_file(file: Path, ending: str) -> Path:
    """`FILE.ending`: where the two ends of a prefix command leave each other word."""
    return file.with_name(f"{file.name}.{ending}")
