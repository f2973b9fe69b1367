"""A resident worker, seen from the main process: a fresh interpreter with a channel, a lifeline and a file of marks."""
from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from taskproc.kernel.model import Ticket
from taskproc.run.group import Exit, await_exit, reap, signal_group
from taskproc.run.inbox import Alarm
from taskproc.run.problem import last_lines
from taskproc.run.setup import Setup, interpreter, start_environ
from taskproc.run.wire import HEAD, MARK, send

K = TypeVar("K", bound=Hashable)


@dataclass
class Parcel(Generic[K]):
    """A pickled job on its way, how long it may run, and how many workers died with it before they looked at it."""

    ticket: Ticket[K]
    content: bytes
    timeout: float | None = None
    tries: int = 0


class Worker(Generic[K]):
    """One process, seen from here. Raises OSError if it cannot be started.

    Attributes:
        parcel: what it has in hand; None: it is idle, or not ready yet.
        ready: whether it has started well; deaf: whether it has closed its end of the channel.
        silent: whether it was given up for that.
        leaves: whether it takes no more jobs, since it cannot be put in order or is to be killed.
        expired: whether its job has run too long; alarm: what is to be done about it, and when.
        gone: set as soon as it has ended.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.parcel: Parcel[K] | None = None
        self.ready = False
        self.deaf = self.silent = False
        self.leaves = False
        self.expired = False
        self.alarm: Alarm | None = None
        self.gone = threading.Event()
        self._given = 0
        self._heard = bytearray()
        self._marks = tempfile.TemporaryFile()  # noqa: SIM115  # these live as long as the process
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self.channel, there = socket.socketpair()
        life, self._lifeline = os.pipe()
        self.exit, exit_writer = os.pipe()
        inherited = (there.fileno(), life, self._marks.fileno())
        self.command = [*interpreter(), "-m", "taskproc.run.worker", *map(str, inherited), str(os.getpid())]
        try:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._errors,
                pass_fds=inherited, start_new_session=True, env=start_environ(environ),
            )
        except BaseException:
            os.close(exit_writer)
            self._close_all()
            raise
        finally:
            there.close()
            os.close(life)
        waiter = threading.Thread(target=_tell_exit, args=(self._process, self.gone, exit_writer), daemon=True)
        waiter.start()
        self._send(pickle.dumps(Setup.here(environ=environ), 5))

    def give(self, parcel: Parcel[K]) -> None:
        """Send it a job; it must be idle, so it is reading."""
        self.parcel = parcel
        self._given += 1
        self._send(parcel.content)

    def read(self) -> Iterator[bytes]:
        """Whole messages that have come, without waiting."""
        while True:
            try:
                part = self.channel.recv(1 << 16, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except ConnectionResetError:
                part = b""
            if not part:
                self.deaf = True
                break
            self._heard += part
        while len(self._heard) >= HEAD.size:
            end = HEAD.size + HEAD.unpack_from(self._heard)[0]
            if len(self._heard) < end:
                break
            message = bytes(self._heard[HEAD.size:end])
            del self._heard[:end]
            yield message

    def began(self) -> bool:
        """Whether it had looked at the last job it was given."""
        return self._mark(0) == self._given

    def signal(self, number: int = signal.SIGKILL) -> None:
        """Send it, and all its children, a signal; nothing happens if they are gone."""
        signal_group(self._process, number)

    def last_words(self) -> str:
        """What it wrote to standard error before it was ready."""
        self._errors.seek(0)
        return last_lines(self._errors.read(1 << 20))

    def dismiss(self) -> None:
        """Ask it to end: at once if it is busy."""
        if self.parcel is not None:
            self.signal(signal.SIGTERM)
        else:
            self.channel.close()

    def close(self) -> Exit:
        """Kill what is left of its process group and free all it had; how it ended."""
        self.signal(signal.SIGKILL)
        self.gone.wait()
        end = reap(self._process, self._mark(MARK.size))
        os.close(self.exit)
        self._close_all()
        return end

    def _mark(self, place: int) -> int | None:
        mark = os.pread(self._marks.fileno(), MARK.size, place)
        return int(MARK.unpack(mark)[0]) if len(mark) == MARK.size else None

    def _send(self, content: bytes) -> None:
        try:
            send(self.channel, content)
        except (BrokenPipeError, ConnectionResetError):
            pass  # its exit will be told, with all there is to say
        except BaseException:
            self.signal(signal.SIGKILL)  # half a message leaves it of no use
            raise

    def _close_all(self) -> None:
        self.channel.close()
        os.close(self._lifeline)
        self._marks.close()
        self._errors.close()


def _tell_exit(process: subprocess.Popen[bytes], gone: threading.Event, exit_writer: int) -> None:
    """Wait in a thread of its own. End of file on the socket would not do: a grandchild may hold that open."""
    await_exit(process)
    gone.set()
    os.close(exit_writer)
