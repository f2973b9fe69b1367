"""A task manager on a network: a thread for each who has shown the key, and nothing of what it passes on is unpickled.

A request may come twice, when the connection broke before its answer arrived: it has an id, and what changes something
is done once and answered again. What was given out (a task, a result) has to be acknowledged, or it is taken back: so
a process that is killed during a call has received nothing, and nothing is lost with it.
"""
from __future__ import annotations

import logging
import os
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from taskproc.errors import ManagerUnreachable, OptionError, TaskManagerTermination, UnknownToManager
from taskproc.pickling import pack_error
from taskproc.remote.channel import (
    LONGEST_WAIT,
    VERSION,
    Address,
    Channel,
    Message,
    address_text,
    parse_address,
    secret_of,
)
from taskproc.remote.door import Door
from taskproc.remote.requests import PUBLIC, PulledTask, TaskResult
from taskproc.remote.task_manager import TaskManager
from taskproc.remote.watchdog import StartedThread
from taskproc.run.problem import sentence
from taskproc.streams import fill_gaps

logger = logging.getLogger("taskproc")

CONFIRM = 60.0       # seconds within which it has to be confirmed that something was got
REMEMBERED = 10_000  # requests whose answers are kept, for who asks again

# Done once, however often they come
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
    """What is said to a request; `undo` if it is not acknowledged."""

    message: Message
    undo: Callable[[], object] | None = None


class Server:
    """Serves `manager` to whoever has the key, from now on; a context manager that closes it.

    What is passed on are bytes, so whoever shares a served manager connects to it, also in the same process.

    Args:
        address: where; port 0 is any that is free, see the attribute `address`.
        key: at least 16 bytes, or the path of a key file.

    Raises:
        OptionError: no key, or one that others can read.
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
        self._epoch = os.urandom(8).hex()  # who comes back after a restart must know that all is forgotten
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
        """Let nobody in any more, and end all connections. The manager stays as it is."""
        self._door.close()
        with self._lock:
            channels = list(self._channels)
        for channel in channels:
            channel.shut()

    def _enter(self, sock: socket.socket) -> None:
        """A process has shown the key: a thread serves it from now on, or it is refused because there is no thread."""
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
            pass  # it is over: what was not acknowledged was taken back
        finally:
            self._end(channel)

    def _turn_away(self, channel: Channel, error: BaseException) -> None:
        text = f"no thread can be started for one more connection ({sentence(error)})"
        if not self._is_full:
            self._is_full = True  # who was turned away tries again and again
            logger.warning(
                "connections are refused: %s. %d are open\n\n"
                "hint: raise the limit on processes (ulimit -u) or on memory, or start fewer workers",
                text, len(self._channels) - 1,
            )
        try:
            channel.send({**self._hello(), "refused": text})
        except OSError:
            pass  # it has left
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
        text = f"the answer is not made of bytes and plain data ({error}): who shares a served manager connects to it"
        channel.send({"error": "failed", "text": text})
        if answer.undo is not None:
            raise OSError("nothing was given out") from error


def _listener(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise ManagerUnreachable(f"cannot listen on {address_text((host, port))}: {error}") from error
