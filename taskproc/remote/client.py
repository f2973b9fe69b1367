"""A task manager that is somewhere else, with the same methods; values travel as bytes that it does not look into.

A connection that breaks is made again, for `retry` seconds; what is asked again is done once. Another manager in the
place of the first is not taken for it: it knows nothing of what was before.
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

from taskproc.errors import (
    ManagerUnreachable,
    OptionError,
    TaskManagerTermination,
    TaskRaisedException,
    UnknownToManager,
    UnsendableItem,
)
from taskproc.remote.content import pack, pack_raised, unpack, unpack_raised
from taskproc.remote.nouns import Task
from taskproc.remote.takers import remark
from taskproc.remote.wire import (
    HANDSHAKE,
    LONGEST_WAIT,
    VERSION,
    Address,
    Channel,
    Message,
    parse_address,
    secret_of,
    show_address,
)
from taskproc.run.problem import sentence, traceback_text
from taskproc.streams import fill_gaps

T = TypeVar("T")
logger = logging.getLogger("taskproc")
_PATIENCE = 30.0  # seconds beyond those that the manager was given to answer
_PAUSES = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)  # seconds between tries to connect; the last one again and again
_ERRORS: dict[str, type[Exception]] = {
    "terminated": TaskManagerTermination,
    "unknown": UnknownToManager,
    "nothing": TimeoutError,
    "option": OptionError,
}


class RemoteTaskManager:
    """What `connect` gives. All threads may use it; the methods are those of TaskManager, and raise what they raise.

    Beyond that: ManagerUnreachable, and UnsendableItem for a value that cannot be pickled. A task whose parameters
    cannot be unpickled here is answered with that exception, and the next one is taken.

    Attributes:
        address: where it is.
    """

    def __init__(self, address: str | Address, key: bytes | str | os.PathLike[str] | None, *, retry: float = 0.0):
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
        self.number_of_active_processes()  # so that a wrong address or key is told here

    def __enter__(self) -> RemoteTaskManager:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all connections, also under threads that wait: they get ManagerUnreachable."""
        with self._lock:
            self._closed = True
            for channel in self._busy:
                channel.shut()
            for channel in self._idle:
                channel.close()
            self._idle.clear()

    def add_task_request(
        self, tag: str, parameters: object, process_id: int | None = None, *, reply_tag: str | None = None
    ) -> str:
        """See TaskManager."""
        content = pack(parameters, f"parameters of task {tag!r}")
        return self.add_packed_request(tag, content, process_id, reply_tag=reply_tag)

    def add_packed_request(
        self, tag: str, content: bytes, process_id: int | None = None, *, reply_tag: str | None = None
    ) -> str:
        """The same, with parameters that were packed elsewhere."""
        arguments = {"tag": tag, "parameters": content, "process_id": process_id, "reply_tag": reply_tag}
        return str(self._ask("add_task_request", arguments))

    def get_any_task(
        self, process_id: int | None = None, timeout: float | None = None, *, tags: Collection[str] | None = None
    ) -> Task:
        """See TaskManager."""
        while True:
            task_id, tag, content = self.take_packed_task(process_id, timeout, tags=tags)
            try:
                return task_id, tag, unpack(cast("bytes", content), f"parameters of task {str(task_id)!r}")
            except UnsendableItem as error:
                self.store_exception(task_id, error, traceback_text(error))

    def get_task_with_tag(
        self, tag: str, process_id: int | None = None, timeout: float | None = None
    ) -> tuple[str, object]:
        """See TaskManager."""
        task_id, _, parameters = self.get_any_task(process_id, timeout, tags=[tag])
        return task_id, parameters

    def take_packed_task(
        self, process_id: int | None = None, timeout: float | None = None, *, tags: Collection[str] | None = None
    ) -> Task:
        """As get_any_task, with parameters as the bytes that they travel as."""
        named = None if tags is None else sorted(tags)
        return cast("Task", self._wait_for("take_task", {"tags": named, "process_id": process_id}, timeout))

    def store_result(self, task_id: str, result: object) -> bool:
        """See TaskManager."""
        return self.store_packed_result(task_id, pack(result, f"the result of task {str(task_id)!r}"))

    def store_packed_result(self, task_id: str, content: bytes) -> bool:
        """The same, of a result that was packed elsewhere."""
        return bool(self._ask("store_result", {"task_id": task_id, "result": content}))

    def store_exception(self, task_id: str, exception: object, traceback: str) -> bool:
        """See TaskManager."""
        return self.store_packed_exception(task_id, pack_raised(exception), traceback)

    def store_packed_exception(self, task_id: str, content: bytes, traceback: str) -> bool:
        """The same, of one that was packed elsewhere."""
        arguments = {"task_id": task_id, "exception": content, "traceback": traceback}
        return bool(self._ask("store_exception", arguments))

    def return_task(self, task_id: str, *, died: str = "") -> bool:
        """See TaskManager."""
        return bool(self._ask("return_task", {"task_id": task_id, "died": died}))

    def cancel_task(self, task_id: str) -> bool:
        """See TaskManager."""
        return bool(self._ask("cancel_task", {"task_id": task_id}))

    def get_any_result(self, timeout: float | None = None) -> tuple[str, str, object]:
        """See TaskManager. UnsendableItem, which names the task, if its value cannot be unpickled here."""
        return self._get_result(None, timeout)

    def get_result_with_tag(self, tag: str, timeout: float | None = None) -> tuple[str, object]:
        """See TaskManager, and above."""
        task_id, _, value = self._get_result(tag, timeout)
        return task_id, value

    def take_packed_result(self, tag: str | None, timeout: float | None = None) -> tuple[str, str, Any, Any]:
        """Task id, tag, content, and if it raised (content, traceback), which are for `payload`."""
        return cast("tuple[str, str, Any, Any]", self._wait_for("take_result", {"tag": tag}, timeout))

    def register_process(self, watchdog_period: float | None = None, info: str | None = None) -> int:
        """See TaskManager."""
        return int(self._ask("register_process", {"watchdog_period": watchdog_period, "info": info}))

    def unregister_process(self, process_id: int) -> None:
        """See TaskManager."""
        self._ask("unregister_process", {"process_id": process_id})

    def ping(self, process_id: int) -> None:
        """See TaskManager."""
        self._ask("ping", {"process_id": process_id})

    def number_of_active_processes(self) -> int:
        """See TaskManager."""
        return int(self._ask("number_of_active_processes", {}))

    def active_process_info(self, process_id: int) -> str:
        """See TaskManager."""
        return str(self._ask("active_process_info", {"process_id": process_id}))

    def number_of_tasks(self) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
        """See TaskManager."""
        return cast("tuple[dict[str, int], dict[str, int], dict[str, int]]", self._ask("number_of_tasks", {}))

    def tags_without_worker(self) -> tuple[str, ...]:
        """Tags of tasks that wait though no process there is, nor one that gave no number, has asked for such ones."""
        return cast("tuple[str, ...]", self._ask("tags_without_worker", {}))

    def store_data(self, /, **data: object) -> None:
        """See TaskManager."""
        self._ask("store_data", {label: pack(value, f"data {label!r}") for label, value in data.items()})

    def retrieve_data(self, label: str) -> object:
        """See TaskManager."""
        return unpack(self._ask("retrieve_data", {"label": label}), f"data {label!r}")

    def delete_data(self, label: str) -> None:
        """See TaskManager."""
        self._ask("delete_data", {"label": label})

    def terminate(self) -> None:
        """See TaskManager."""
        self._ask("terminate", {})

    def _get_result(self, tag: str | None, timeout: float | None) -> tuple[str, str, object]:
        task_id, tag, content, raised = self.take_packed_result(tag, timeout)
        if raised is not None:
            raise TaskRaisedException(task_id, tag, unpack_raised(*raised), raised[1])
        return task_id, tag, unpack(content, f"the result of task {task_id!r}")

    def _wait_for(self, verb: str, arguments: Message, timeout: float | None) -> object:
        """Ask until there is something: no request waits so long that a network would take it for dead."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = LONGEST_WAIT if deadline is None else max(0.0, deadline - time.monotonic())
            wait = min(left, LONGEST_WAIT)
            try:
                return self._ask(verb, {**arguments, "timeout": wait}, wait)
            except TimeoutError:
                if deadline is not None and time.monotonic() >= deadline:
                    raise TimeoutError(f"nothing came within {timeout:g} s") from None

    def _ask(self, verb: str, arguments: Message, wait: float | None = None) -> Any:
        """`wait`: it is given something, after so many seconds at most, and says that it has got it."""
        message: Message = {"id": os.urandom(12).hex(), "verb": verb, "arguments": arguments}
        answer = self._persistently(lambda channel: _exchange(channel, message, wait))
        if "missing" in answer:
            self._warn_of(arguments["tag"], frozenset(answer["missing"]))
        if "error" in answer:
            raise _ERRORS.get(answer["error"], RuntimeError)(answer["text"])
        return answer["value"]

    def _warn_of(self, replies: str | None, missing: frozenset[str]) -> None:
        """Log for which tasks there is no worker, whose results are waited for by a tag; each once, until there is one.
        """
        before: frozenset[str] = frozenset().union(*self._missing.values())
        self._missing[replies] = missing
        for tag in sorted(missing - before):
            logger.warning("no result comes from %s: %s", show_address(self.address), remark(tag))

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
                # Once in any case: a connection that lay idle may have ended long ago
                if self._closed or (failures > 1 and time.monotonic() >= deadline):
                    where = show_address(self.address)
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
            channel.close()  # also after Ctrl-C: half an answer may be in it
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
                self._pid, self._idle, self._busy = os.getpid(), [], {}  # those are the parent's
            if self._closed:
                raise ManagerUnreachable(f"the connection to {show_address(self.address)} was closed")
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
            self._know(channel.receive(HANDSHAKE))
        except AuthenticationError as error:
            channel.close()
            text = f"who answers at {show_address(self.address)} has not the same key, or is no task manager"
            raise ManagerUnreachable(f"{text} ({sentence(error)})") from error
        except BaseException:
            channel.close()
            raise
        return channel

    def _know(self, hello: Message) -> None:
        where = show_address(self.address)
        if hello.get("taskproc") != VERSION:
            raise ManagerUnreachable(f"the task manager at {where} is of another version of taskproc")
        if self._epoch and hello.get("epoch") != self._epoch:
            raise ManagerUnreachable(f"the task manager at {where} was started anew, and has forgotten all")
        self._epoch = hello["epoch"]
        if "refused" in hello:
            raise _Refused(hello["refused"])


class _Refused(OSError):
    """The manager takes no more connections for now."""


def connect(
    address: str | Address, key: bytes | str | os.PathLike[str] | None, *, retry: float = 0.0
) -> RemoteTaskManager:
    """The task manager that is served at `address`, for those who have the same key.

    Args:
        address: `HOST:PORT`, or a pair.
        key: the bytes, or the path of a key file.
        retry: seconds for which a manager that does not answer is tried again, in each call.

    Raises:
        OptionError: there is no key, or others can read it.
        ManagerUnreachable: nobody answers, or somebody who has another key.
    """
    return RemoteTaskManager(address, key, retry=retry)


def _exchange(channel: Channel, message: Message, wait: float | None) -> Message:
    channel.send(message)
    answer = channel.receive((wait or 0.0) + _PATIENCE)
    if wait is not None and "error" not in answer:
        channel.send({"got": True})  # before that, it was not given
    return answer
