"""A task manager on a network: one thread per connection that has proved to have the key, and nothing is unpickled.

A request may come twice, if the connection broke before its answer arrived. It has an id, and a request that changes
something is executed once and answered again. The receipt of a task or a result must be acknowledged, or it is taken
back. So a process that is killed during a call has received nothing, and nothing is lost with it.

The door: one thread listens to all connections that have not proved to have the key. So a stranger costs a descriptor
and some hundred bytes, but no thread, and only for HANDSHAKE seconds. If there are more than MOST_STRANGERS, and when
descriptors or memory run out, the oldest one is closed. An error of one connection does not end the thread: without it
the manager could not be reached any more.
"""
from __future__ import annotations

import errno
import logging
import os
import selectors
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing import AuthenticationError
from typing import Any, NamedTuple

from taskproc.errors import ManagerUnreachable, OptionError, TaskManagerTermination, UnknownToManager
from taskproc.pickling import pack_error
from taskproc.remote.channel import (
    HANDSHAKE,
    LONGEST_WAIT,
    VERSION,
    Address,
    Channel,
    Message,
    address_text,
    parse_address,
    secret_of,
)
from taskproc.remote.proof import Proof, refusal, welcome
from taskproc.remote.requests import PUBLIC, PulledTask, TaskResult
from taskproc.remote.task_manager import TaskManager
from taskproc.remote.waiting import StartedThread
from taskproc.run.problem import sentence
from taskproc.streams import fill_gaps

logger = logging.getLogger("taskproc")

CONFIRM = 60.0        # seconds within which the receipt of an object must be acknowledged
REMEMBERED = 10_000   # requests whose answers are stored, for a process that asks again
MOST_STRANGERS = 256  # connections that have not proved to have the key
_AT_ONCE = 64         # connections accepted before those that are open are served
_PAUSE = 0.05         # seconds until the next try, when no connection can be closed to make room
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

# Executed once, however often they are received
_ONCE = frozenset({
    "add_task_request", "store_result", "store_exception", "return_task", "cancel_task", "register_process",
    "unregister_process", "delete_data", "store_data", "terminate",
})
_ANY_TIME = frozenset({
    "ping", "number_of_active_processes", "active_process_info", "number_of_tasks", "retrieve_data",
})
_ERRORS: tuple[tuple[type[Exception], str], ...] = (
    (TaskManagerTermination, "terminated"), (UnknownToManager, "unknown"), (TimeoutError, "nothing"),
    (OptionError, "option"), (TypeError, "option"),
)


class _Answer(NamedTuple):
    """The answer to a request; `undo` is called if its receipt is not acknowledged."""

    message: Message
    undo: Callable[[], object] | None = None


class Server:
    """Serves `manager` to all processes that have the key; a context manager that closes it.

    A served manager passes on bytes. So use it through `connect`, also in the same process.

    Args:
        address: `HOST:PORT`, or a pair. Port 0 is any free port.
        key: at least 16 bytes, or the path of a key file.

    Attributes:
        address: host and port that it listens on.

    Raises:
        OptionError: there is no key, or other users can read it.
        ManagerUnreachable: the address cannot be used.
    """

    def __init__(
        self,
        manager: TaskManager,
        address: str | Address = ("127.0.0.1", 0),
        *,
        key: bytes | str | os.PathLike[str] | None,
    ):
        fill_gaps()
        self._manager, self._secret = manager, secret_of(key)
        host, port = parse_address(address)
        self._listener = _listener(host, port)
        self.address: Address = self._listener.getsockname()[:2]
        self._epoch = os.urandom(8).hex()  # shows to users of the manager that it was restarted and has lost everything
        self._lock = threading.Lock()
        self._once = threading.Lock()
        self._answers: OrderedDict[str, _Answer] = OrderedDict()
        self._channels: dict[Channel, None] = {}
        self._is_full = False
        try:
            self._door = Door(self._listener, self._secret, self._enter)
        except (OSError, RuntimeError, MemoryError) as error:
            self._listener.close()
            raise ManagerUnreachable(f"cannot serve on {address_text(self.address)}: {sentence(error)}") from error

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening, and end all connections. The manager itself is not changed."""
        self._door.close()
        with self._lock:
            channels = list(self._channels)
        for channel in channels:
            channel.shut()

    def _enter(self, sock: socket.socket) -> None:
        """Start a thread for a process that has proved to have the key, or refuse it if no thread can be started."""
        channel = Channel(sock)
        with self._lock:
            self._channels[channel] = None
        try:
            StartedThread(partial(self._serve, channel))
        except (RuntimeError, MemoryError) as error:
            self._turn_away(channel, error)
        else:
            self._is_full = False

    def _serve(self, channel: Channel) -> None:
        try:
            channel.send(self._hello())
            self._converse(channel)
        except (OSError, EOFError):
            pass  # the connection has ended; whatever was not acknowledged was taken back
        finally:
            self._end(channel)

    def _turn_away(self, channel: Channel, error: BaseException) -> None:
        text = f"no thread can be started for another connection ({sentence(error)})"
        if not self._is_full:
            self._is_full = True  # so that it is logged once: a refused process tries again and again
            logger.warning(
                "connections are refused: %s. %d are open\n\n"
                "hint: raise the limit on processes (ulimit -u) or on memory, or start fewer workers",
                text, len(self._channels) - 1,
            )
        try:
            channel.send({**self._hello(), "refused": text})
        except OSError:
            pass  # it has closed the connection
        finally:
            self._end(channel)

    def _end(self, channel: Channel) -> None:
        with self._lock:
            self._channels.pop(channel, None)
        channel.close()

    def _hello(self) -> Message:
        return {"taskproc": VERSION, "epoch": self._epoch}

    def _converse(self, channel: Channel) -> None:
        while True:
            answer = self._answer(channel.receive())
            taken = answer.undo is not None
            try:
                _send(channel, answer)
                if taken and channel.receive(CONFIRM).get("got"):
                    taken = False
            finally:
                if taken and answer.undo is not None:
                    answer.undo()

    def _answer(self, request: Message) -> _Answer:
        try:
            verb, arguments = request["verb"], request["arguments"]
            if verb == "take_task":
                return self._take_task(**arguments)
            if verb == "take_result":
                return self._take_result(**arguments)
            if verb == "tags_without_worker":
                return _Answer({"value": self._manager.takers.missing()})
            if verb in _ANY_TIME:
                return _Answer({"value": getattr(self._manager, verb)(**arguments)})
            if verb in _ONCE:
                return self._do_once(str(request["id"]), verb, arguments)
            raise TypeError(f"no such request: {verb!r}")
        except Exception as error:  # noqa: BLE001  # the error is sent to the process that asked
            kinds = [kind for cls, kind in _ERRORS if isinstance(error, cls)]
            return _Answer({"error": (kinds or ["failed"])[0], "text": str(error) if kinds else sentence(error)})

    def _do_once(self, request: str, verb: str, arguments: Message) -> _Answer:
        with self._once:
            known = self._answers.get(request)
            if known is None:
                known = _Answer({"value": getattr(self._manager, verb)(**arguments)})
                self._answers[request] = known
                if len(self._answers) > REMEMBERED:
                    self._answers.popitem(last=False)
            return known

    def _take_task(self, tags: tuple[str, ...] | None, process_id: int | None, timeout: float) -> _Answer:
        task: PulledTask = self._manager.get_any_task(process_id, min(timeout, LONGEST_WAIT), tags=tags)
        return _Answer({"value": task}, partial(self._manager.return_task, task[0]))

    def _take_result(self, tag: str | None, timeout: float) -> _Answer:
        try:
            found: TaskResult = self._manager.take_result(tag, min(timeout, LONGEST_WAIT))
        except TimeoutError as error:
            missing = self._manager.takers.reported(PUBLIC if tag is None else {tag})
            return _Answer({"error": "nothing", "text": str(error), "missing": missing})
        raised = found.raised
        if raised is not None and isinstance(raised[0], BaseException):
            raised = pack_error(raised[0]), raised[1]  # one of the manager's own
        value: tuple[Any, ...] = (found.task_id, found.tag, found.value, raised)
        return _Answer({"value": value}, partial(self._manager.put_back_result, found))


def _send(channel: Channel, answer: _Answer) -> None:
    try:
        channel.send(answer.message)
    except TypeError as error:
        text = f"the answer is not made of bytes and plain data ({error}). Use a served manager only through connect()"
        channel.send({"error": "failed", "text": text})
        if answer.undo is not None:
            raise OSError("the answer could not be sent") from error


def _listener(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise ManagerUnreachable(f"cannot listen on {address_text((host, port))}: {error}") from error


class _Stranger:
    """A connection that has not proved to have the key yet."""

    __slots__ = ("deadline", "proof", "sock")

    def __init__(self, sock: socket.socket, secret: bytes):
        self.sock = sock
        self.proof = Proof(welcome(secret))
        self.deadline = time.monotonic() + HANDSHAKE


class Door:
    """Accepts connections of `listener` in a thread, and closes it in the end.

    Args:
        enter: called in the thread of the door with the socket of each connection that has proved to have the key; it
            owns the socket from then on. If it raises OSError, it has not taken the socket.

    Raises:
        RuntimeError, MemoryError: the thread cannot be started.
    """

    def __init__(self, listener: socket.socket, secret: bytes, enter: Callable[[socket.socket], None]):
        self._listener, self._secret, self._enter = listener, secret, enter
        self._strangers: dict[_Stranger, None] = {}  # oldest first
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
        """Stop listening, and close connections that have not proved to have the key. Idempotent."""
        self._closed.set()
        with suppress(OSError):  # the thread has ended
            self._button.send(b"!")
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self._turn()
            except Exception:  # noqa: BLE001  # such as out of memory: without this thread nobody can connect
                self._lacks_room = True
        self._close_all()

    def _turn(self) -> None:
        if self._lacks_room:
            self._lacks_room = False
            if not self._make_room():
                self._closed.wait(_PAUSE)
        ready = [key for key, _ in self._selector.select(self._seconds_left())]
        # Open connections come first: a flood of new ones must not push out one that has answered
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
                # Any other error belongs to the connection, which broke before it was accepted
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
            sock.close()  # the other side has closed it
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
                raise EOFError("it has closed the connection")
            _say(stranger, stranger.proof.feed(received))
        except BlockingIOError:
            return
        except Exception as error:  # noqa: BLE001  # it concerns only this connection
            self._refuse(stranger, error)
            return
        if stranger.proof.is_complete:
            self._let_in(stranger)

    def _refuse(self, stranger: _Stranger, error: Exception) -> None:
        logger.debug("a connection without the key was closed (%s)", sentence(error))
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
        """Close the oldest connection that has sent no part of a proof. False if there is none."""
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
    """Send some dozens of bytes, for which a new connection has room; ConnectionError if it has none or broke."""
    try:
        sent = stranger.sock.send(content) if content else 0
    except BlockingIOError:
        sent = 0
    if sent < len(content):
        raise ConnectionError("it does not read its messages")
