"""How the main process and a resident worker talk: messages over a socket, and marks in a file.

A job of many steps writes the number of each step, together with that of the job, into the file of marks before the
step begins, in one word: a half-written mark is never seen. So the last step is known even if the process dies, and the
job may be asked to end early. It may also report values before it has ended.

A module of its own, besides worker.py: what runs as `python -m` must not have been imported before.
"""
from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable, Iterator

from taskproc.frozen import frozen
from taskproc.run.far_end import this_process

HEAD = struct.Struct("<Q")
SMALL = 1 << 16

# The first byte of a message to a worker: a pickled job; a job of a kind; the kind itself, before its first job
JOB, OF_KIND, KIND = b"j", b"o", b"k"
NAMED = 16  # bytes of the name of a kind
# The first byte of a message from a worker
READY = b"r"
BEGAN = b"b"    # the job with a timeout has begun
LEAVING = b"l"  # it takes no job after the current one
REFUSED = b"n"  # a MARK: the number of a job that was called back before it began
PART = b"t"     # bytes that the job reported before its end; see Steps
ANSWER = b"a"   # seconds that the job took, and its pickled outcome
PLAIN = b"p"    # the same, and the pickle names nothing of the user
SECONDS = struct.Struct("<d")

# The file of marks has words of 8 bytes: the number of the last job that began; the peak memory of the worker when it
# started; the number of the last job that may begin; the last step that began, with its job; and the number of a job
# that must end before its next step, these two in native byte order; and the number of the worker, written before it
# gets a job. The worker writes BEGUN, PEAK and STEP.
MARK = struct.Struct("<Q")
BEGUN, PEAK, BOUND, STEP, HALT, NUMBER, MARKS = 0, 8, 16, 24, 32, 40, 48
UNBOUND = MARK.pack(2**64 - 1)
_STEPS = 32  # bits for the number of a step
_HALT_WORD, _STEP_WORD = HALT // MARK.size, STEP // MARK.size


def frame(content: bytes) -> bytes:
    """Return a message with its length before it."""
    return HEAD.pack(len(content)) + content


def send(channel: socket.socket, content: bytes) -> None:
    """Write one message. Block until the other side has room for it."""
    if len(content) < SMALL:
        channel.sendall(frame(content))
    else:
        channel.sendall(HEAD.pack(len(content)))  # saves a copy of the content
        channel.sendall(content)


class Messages:
    """Reads messages from a socket.

    Attributes:
        closed: whether the other side has closed and all was read. Half a message at the end is dropped.
    """

    def __init__(self, channel: socket.socket):
        self.closed = False
        self._channel = channel
        self._heard = bytearray()
        self._at = 0  # where the next message begins; all before it was returned

    def next(self) -> bytes | None:
        """Wait for the next message and return it; None: the other side has closed."""
        while (message := self._whole()) is None:
            if self._is_large():
                return self._rest()
            self._take(0)
            if self.closed:
                return None
        return message

    def ready(self) -> Iterator[bytes]:
        """Yield whole messages that have come, without waiting."""
        while not self.closed and self._take(socket.MSG_DONTWAIT):
            pass
        while (message := self._whole()) is not None:
            yield message

    def _whole(self) -> bytes | None:
        """Return the next message if all of it has come."""
        start = self._at + HEAD.size
        if len(self._heard) >= start:
            end = start + HEAD.unpack_from(self._heard, self._at)[0]
            if len(self._heard) >= end:
                self._at = end
                return bytes(memoryview(self._heard)[start:end])
        del self._heard[: self._at]  # once for all messages returned since the last time
        self._at = 0
        return None

    def _take(self, flags: int) -> bool:
        """Read once. Return whether anything came."""
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
        """Read the rest of a large message into its place. Return the message."""
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


@frozen
class Part:
    """What a job reported before it ended."""

    content: bytes


class Steps:
    """The steps of the job that runs here; see `of_this_job`.

    Attributes:
        tell: sends some bytes to the main process as a Part, before the outcome of the job.
    """

    __slots__ = ("_base", "_marks", "_number", "tell")

    def __init__(self, marks: memoryview, number: int, tell: Callable[[bytes], None]):
        self._marks = marks
        self._number = number
        self._base = number << _STEPS
        self.tell = tell

    def begin(self, step: int) -> bool:
        """Begin a step. Return False if the job was asked to end: then the step must not begin."""
        if self._marks[_HALT_WORD] == self._number:
            return False
        self._marks[_STEP_WORD] = self._base | step
        return True


def use_marks(marks: int, number: Callable[[], int], tell: Callable[[bytes], None]) -> None:
    """Let jobs in this process have steps. `marks`: the file of marks; `number`: returns that of the running job."""
    import mmap  # here: the main process needs none

    # Not pwrite: this takes 100 ns per step, and the pages survive in the other process
    words = memoryview(mmap.mmap(marks, MARKS)).cast("Q")
    this_process.steps = lambda: Steps(words, number(), tell)


def of_this_job() -> Steps:
    """Return the steps of the job that runs here, in a resident worker."""
    if this_process.steps is None:
        raise AssertionError("steps are reported only from worker processes of our own [this is a bug]")
    steps: Steps = this_process.steps()
    return steps


def step_of(word: bytes, job: int) -> int | None:
    """Return the step in a word of the file, if it is of that job."""
    number, step = divmod(int.from_bytes(word, sys.byteorder), 1 << _STEPS)
    return step if number == job else None
