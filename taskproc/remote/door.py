"""The door of a task manager: one thread listens to all who have not shown the key yet, and lets in those who have.

So a stranger costs a descriptor and some hundred bytes, never a thread, and only for HANDSHAKE seconds. Of more than
MOST_STRANGERS, and when descriptors or memory run out, the one that has been there longest goes first. Whatever happens
with one connection, the thread goes on: a door that has ended would leave the manager deaf.
"""
from __future__ import annotations

import errno
import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import AuthenticationError

from taskproc.remote import channel
from taskproc.remote.proof import Proof, refusal, welcome
from taskproc.remote.watchdog import StartedThread
from taskproc.run.problem import sentence

logger = logging.getLogger("taskproc")

MOST_STRANGERS = 256  # who have not shown the key yet
_AT_ONCE = 64         # are let in before those are listened to who are there
_PAUSE = 0.05         # seconds until the next try, when nobody can be sent away to make room
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class _Stranger:
    """Somebody who proves, or not, to have the key."""

    __slots__ = ("deadline", "proof", "sock")

    def __init__(self, sock: socket.socket, secret: bytes):
        self.sock = sock
        self.proof = Proof(welcome(secret))
        self.deadline = time.monotonic() + channel.HANDSHAKE


class Door:
    """Serves `listener` from now on, and closes it in the end.

    Args:
        enter: called in the door's thread with the socket of each who has proved to have the key, which is its own
            from then on. OSError: it cannot be taken now, and nothing was done with it.

    Raises:
        RuntimeError, MemoryError: its thread cannot be started.
    """

    def __init__(self, listener: socket.socket, secret: bytes, enter: Callable[[socket.socket], None]):
        self._listener, self._secret, self._enter = listener, secret, enter
        self._strangers: dict[_Stranger, None] = {}  # in the order in which they came
        self._closed = threading.Event()
        self._lacks_room = False
        self._bell, self._button = socket.socketpair()
        listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        for source in (listener, self._bell):
            self._selector.register(source, selectors.EVENT_READ)
        try:
            self._thread = StartedThread(self._run)
        except (RuntimeError, MemoryError):
            self._close_all()
            raise

    def close(self) -> None:
        """Let nobody in any more, and send away those who have not shown the key. Idempotent."""
        self._closed.set()
        with suppress(OSError):  # it has ended before
            self._button.send(b"!")
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self._turn()
            except Exception:  # noqa: BLE001  # out of memory, for one: it must not be the end for all others
                self._lacks_room = True
        self._close_all()

    def _turn(self) -> None:
        if self._lacks_room:
            self._lacks_room = False
            if not self._make_room():
                self._closed.wait(_PAUSE)
        ready = [key for key, _ in self._selector.select(self._seconds_left())]
        # Those who are there come first: a flood must not send away one that has answered
        for key in ready:
            if key.data is not None:
                self._listen(key.data)
        if any(key.fileobj is self._listener for key in ready):
            self._accept()
        self._send_away_late()

    def _seconds_left(self) -> float | None:
        first = next(iter(self._strangers), None)
        return None if first is None else max(0.0, first.deadline - time.monotonic())

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                # Any other than these is of the connection, which broke before it was taken
                self._lacks_room = error.errno in _NO_ROOM
                return
            self._meet(sock)

    def _meet(self, sock: socket.socket) -> None:
        try:
            sock.setblocking(False)
            stranger = _Stranger(sock, self._secret)
            _say(stranger, stranger.proof.opening)
            self._selector.register(sock, selectors.EVENT_READ, stranger)
        except OSError:
            sock.close()  # it has left
            return
        except BaseException:
            sock.close()
            raise
        self._strangers[stranger] = None
        if len(self._strangers) > MOST_STRANGERS:
            self._make_room()

    def _listen(self, stranger: _Stranger) -> None:
        try:
            received = stranger.sock.recv(stranger.proof.wants())
            if not received:
                raise EOFError("it has left")
            _say(stranger, stranger.proof.feed(received))
        except BlockingIOError:
            return
        except Exception as error:  # noqa: BLE001  # it costs who was listened to, and nobody else
            self._refuse(stranger, error)
            return
        if stranger.proof.is_complete:
            self._let_in(stranger)

    def _refuse(self, stranger: _Stranger, error: Exception) -> None:
        logger.debug("somebody who has not shown the key was sent away (%s)", sentence(error))
        if isinstance(error, AuthenticationError):
            with suppress(OSError):
                _say(stranger, refusal())
        self._send_away(stranger)

    def _let_in(self, stranger: _Stranger) -> None:
        self._forget(stranger)
        while True:
            try:
                return self._enter(stranger.sock)
            except OSError as error:
                if error.errno not in _NO_ROOM or not self._make_room():
                    return stranger.sock.close()

    def _send_away_late(self) -> None:
        now = time.monotonic()
        while (first := next(iter(self._strangers), None)) is not None and first.deadline <= now:
            self._send_away(first)

    def _make_room(self) -> bool:
        """Send away who has been there longest without showing the key. False: there is nobody."""
        oldest = next((stranger for stranger in self._strangers if not stranger.proof.received), None)
        if oldest is not None:
            self._send_away(oldest)
        return oldest is not None

    def _send_away(self, stranger: _Stranger) -> None:
        self._forget(stranger)
        stranger.sock.close()

    def _forget(self, stranger: _Stranger) -> None:
        self._strangers.pop(stranger, None)
        with suppress(KeyError, ValueError):
            self._selector.unregister(stranger.sock)

    def _close_all(self) -> None:
        for stranger in list(self._strangers):
            self._send_away(stranger)
        self._selector.close()
        for sock in (self._listener, self._bell, self._button):
            sock.close()


def _say(stranger: _Stranger, content: bytes) -> None:
    """Some dozens of bytes, for which each new connection has room. ConnectionError if it has not, or is broken."""
    try:
        sent = stranger.sock.send(content) if content else 0
    except BlockingIOError:
        sent = 0
    if sent < len(content):
        raise ConnectionError("it does not read what it is sent")
