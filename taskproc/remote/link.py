"""The connections to a task manager: requests and answers as bytes that neither side has to unpickle.

A broken connection is made again, for `retry` seconds. A request has an id, and a repeated one is executed once. A
restarted manager is not taken for the one before: it knows nothing of the tasks and results of that one.
"""
from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Collection
from multiprocessing import AuthenticationError
from typing import Any, TypeVar, cast

from taskproc.errors import ManagerUnreachable, OptionError, TaskManagerTermination, UnknownToManager
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
from taskproc.remote.requests import PulledTask
from taskproc.remote.waiting import missing_worker_text
from taskproc.run.problem import sentence
from taskproc.streams import fill_gaps

T = TypeVar("T")
logger = logging.getLogger("taskproc")
_PATIENCE = 30.0  # seconds beyond those that the manager was given to answer
_PAUSES = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)  # seconds between attempts to connect; the last one is repeated
_ERRORS: dict[str, type[Exception]] = {
    "terminated": TaskManagerTermination,
    "unknown": UnknownToManager,
    "nothing": TimeoutError,
    "option": OptionError,
}


class Link:
    """Sends requests to a task manager. All threads may use it. See `connect` for the arguments and errors.

    Parameters, results and exceptions are bytes (remote/content.py). Otherwise the methods are like those of
    TaskManager.

    Attributes:
        address: of the task manager.
    """

    def __init__(self, address: str | Address, key: bytes | str | os.PathLike[str] | None, retry: float):
        fill_gaps()
        self.address = parse_address(address)
        self._secret, self._retry = secret_of(key), retry
        self._lock = threading.Lock()
        self._idle: list[Channel] = []
        self._busy: dict[Channel, None] = {}
        self._epoch = ""
        self._missing: dict[str | None, frozenset[str]] = {}
        self._closed = False
        self._pid = os.getpid()

    def close(self) -> None:
        """End all connections. Threads that wait for an answer get ManagerUnreachable."""
        with self._lock:
            self._closed = True
            for channel in self._busy:
                channel.shut()
            for channel in self._idle:
                channel.close()
            self._idle.clear()

    def add_request(self, tag: str, content: bytes, process_id: int | None = None, reply_tag: str | None = None) -> str:
        """Request a task; its id."""
        arguments = {"tag": tag, "parameters": content, "process_id": process_id, "reply_tag": reply_tag}
        return str(self.ask("add_task_request", arguments))

    def take_task(
        self, process_id: int | None = None, timeout: float | None = None, *, tags: Collection[str] | None = None
    ) -> PulledTask:
        """Take a task: id, tag and content of the parameters."""
        names = None if tags is None else sorted(tags)
        return cast("PulledTask", self._wait_for("take_task", {"tags": names, "process_id": process_id}, timeout))

    def store_result(self, task_id: str, content: bytes) -> bool:
        """Report a result."""
        return bool(self.ask("store_result", {"task_id": task_id, "result": content}))

    def store_exception(self, task_id: str, content: bytes, traceback: str) -> bool:
        """Report an exception."""
        arguments = {"task_id": task_id, "exception": content, "traceback": traceback}
        return bool(self.ask("store_exception", arguments))

    def take_result(self, tag: str | None, timeout: float | None = None) -> tuple[str, str, Any, Any]:
        """Take a result: task id, tag, content, and (content, traceback) of an exception or None."""
        return cast("tuple[str, str, Any, Any]", self._wait_for("take_result", {"tag": tag}, timeout))

    def ask(self, verb: str, arguments: Message, wait: float | None = None) -> Any:
        """The answer to a request.

        Args:
            wait: for a request that gives out an object: the seconds for which the manager may wait for one. Its
                receipt is acknowledged.
        """
        message: Message = {"id": os.urandom(12).hex(), "verb": verb, "arguments": arguments}
        answer = self._persistently(lambda channel: _exchange(channel, message, wait))
        if "missing" in answer:
            self._warn_of(arguments["tag"], frozenset(answer["missing"]))
        if "error" in answer:
            raise _ERRORS.get(answer["error"], RuntimeError)(answer["text"])
        return answer["value"]

    def _wait_for(self, verb: str, arguments: Message, timeout: float | None) -> object:
        """Ask until there is an answer. No single request waits so long that a network would drop the connection."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = LONGEST_WAIT if deadline is None else max(0.0, deadline - time.monotonic())
            wait = min(left, LONGEST_WAIT)
            try:
                return self.ask(verb, {**arguments, "timeout": wait}, wait)
            except TimeoutError:
                if deadline is not None and time.monotonic() >= deadline:
                    raise TimeoutError(f"nothing came within {timeout:g} s") from None

    def _warn_of(self, reply_tag: str | None, missing: frozenset[str]) -> None:
        """Log tags without a worker whose results are waited for by `reply_tag`; each once, until there is a worker."""
        before: frozenset[str] = frozenset().union(*self._missing.values())
        self._missing[reply_tag] = missing
        for tag in sorted(missing - before):
            logger.warning("no result comes from %s: %s", address_text(self.address), missing_worker_text(tag))

    def _persistently(self, exchange: Callable[[Channel], T]) -> T:
        deadline, pauses = time.monotonic() + self._retry, iter(_PAUSES)
        failures = 0
        while True:
            try:
                return self._with_channel(exchange)
            except ManagerUnreachable:
                raise
            except (OSError, EOFError) as error:
                failures += 1
                # Once in any case: an idle connection may have ended long ago
                if self._closed or (failures > 1 and time.monotonic() >= deadline):
                    where = address_text(self.address)
                    if isinstance(error, _Refused):
                        raise ManagerUnreachable(f"the task manager at {where} refused to connect: {error}") from error
                    raise ManagerUnreachable(f"no task manager answers at {where}: {sentence(error)}") from error
                time.sleep(next(pauses, _PAUSES[-1]))

    def _with_channel(self, exchange: Callable[[Channel], T]) -> T:
        channel = self._channel()
        try:
            result = exchange(channel)
        except BaseException:
            with self._lock:
                self._busy.pop(channel, None)
            channel.close()  # also after Ctrl-C, because it may contain half an answer
            raise
        with self._lock:
            self._busy.pop(channel, None)
            if not self._closed:
                self._idle.append(channel)
                return result
        channel.close()
        return result

    def _channel(self) -> Channel:
        with self._lock:
            if self._pid != os.getpid():
                self._pid, self._idle, self._busy = os.getpid(), [], {}  # those belong to the parent process
            if self._closed:
                raise ManagerUnreachable(f"the connection to {address_text(self.address)} was closed")
            channel = self._idle.pop() if self._idle else None
            if channel is not None:
                self._busy[channel] = None
                return channel
        channel = self._connected()
        with self._lock:
            self._busy[channel] = None
        return channel

    def _connected(self) -> Channel:
        channel = Channel(socket.create_connection(self.address, timeout=HANDSHAKE))
        try:
            channel.introduce(self._secret)
            self._check_hello(channel.receive(HANDSHAKE))
        except AuthenticationError as error:
            channel.close()
            text = f"the server at {address_text(self.address)} has a different key or is not a task manager"
            raise ManagerUnreachable(f"{text} ({sentence(error)})") from error
        except BaseException:
            channel.close()
            raise
        return channel

    def _check_hello(self, hello: Message) -> None:
        where = address_text(self.address)
        if hello.get("taskproc") != VERSION:
            raise ManagerUnreachable(f"the task manager at {where} is of another version of taskproc")
        if self._epoch and hello.get("epoch") != self._epoch:
            raise ManagerUnreachable(f"the task manager at {where} was restarted and has lost its tasks and results")
        self._epoch = hello["epoch"]
        if "refused" in hello:
            raise _Refused(hello["refused"])


class _Refused(OSError):
    """The manager accepts no more connections at present."""


def _exchange(channel: Channel, message: Message, wait: float | None) -> Message:
    channel.send(message)
    answer = channel.receive((wait or 0.0) + _PATIENCE)
    if wait is not None and "error" not in answer:
        channel.send({"got": True})  # without this, the manager gives the object to another process
    return answer
