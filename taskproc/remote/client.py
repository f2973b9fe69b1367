"""A task manager in another process, with the methods of TaskManager.

A broken connection is made again, for `retry` seconds. A request has an id, and a repeated one is executed once. A
restarted manager is not taken for the one before, because it knows nothing of the tasks and results of that one.
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
from taskproc.remote.calls import pack, pack_raised, unpack, unpack_raised
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
from taskproc.run.problem import sentence, traceback_text
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


class RemoteTaskManager:
    """A connection to a task manager; `connect` makes it. All threads may use it, and it is a context manager.

    Each method can raise ManagerUnreachable, beside the errors of the TaskManager. Values must be picklable, else
    UnsendableItem is raised; the task manager never unpickles them.

    Attributes:
        address: host and port of the task manager.
        link: the connection itself, for values that are bytes already.
    """

    def __init__(self, address: str | Address, key: bytes | str | os.PathLike[str] | None, *, retry: float = 0.0):
        self.link = Link(address, key, retry)
        self.address = self.link.address
        self.number_of_active_processes()  # so that a wrong address or key is reported here

    def __enter__(self) -> RemoteTaskManager:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all connections. Threads that wait for an answer get ManagerUnreachable."""
        self.link.close()

    def add_task_request(
        self, tag: str, parameters: object, process_id: int | None = None, *, reply_tag: str | None = None
    ) -> str:
        """Request a task.

        Args:
            tag: the kind of task. Tasks whose tag begins with `_` are given only to processes that name the tag.
            process_id: the requester. If this process leaves, its requests with a private `reply_tag` are dropped.
            reply_tag: the tag under which the result is collected; default: `tag`.

        Returns:
            The id of the task, `tag_N`.

        Raises:
            TaskManagerTermination: after `terminate`.
        """
        return self.link.add_request(tag, pack(parameters, f"parameters of task {tag!r}"), process_id, reply_tag)

    def get_any_task(
        self, process_id: int | None = None, timeout: float | None = None, *, tags: Collection[str] | None = None
    ) -> PulledTask:
        """Take the task that has waited longest. It counts as running from now on.

        A task whose parameters cannot be unpickled here is answered with that exception, and the next one is taken.

        Args:
            process_id: the process that runs it and proves by its pings that it is alive.
            timeout: seconds after which TimeoutError is raised; None: no limit.
            tags: the tags that the process can run; default: all that are not private.

        Returns:
            Task id, tag and parameters.

        Raises:
            TaskManagerTermination: after `terminate`.
            UnknownToManager: the process was given up, and must register again.
        """
        while True:
            task_id, tag, content = self.link.take_task(process_id, timeout, tags=tags)
            try:
                return task_id, tag, unpack(cast("bytes", content), f"parameters of task {str(task_id)!r}")
            except UnsendableItem as error:
                self.store_exception(task_id, error, traceback_text(error))

    def get_task_with_tag(
        self, tag: str, process_id: int | None = None, timeout: float | None = None
    ) -> tuple[str, object]:
        """Take the task of one tag that has waited longest: task id and parameters. Otherwise like `get_any_task`."""
        task_id, _, parameters = self.get_any_task(process_id, timeout, tags=[tag])
        return task_id, parameters

    def store_result(self, task_id: str, result: object) -> bool:
        """Report the result of a task.

        Args:
            task_id: as returned by `get_any_task`, which allows late answers to be recognized.

        Returns:
            False, and nothing changes, if the task has been taken from its process in the meantime.

        Raises:
            UnknownToManager: no such task runs.
        """
        return self.link.store_result(task_id, pack(result, f"the result of task {str(task_id)!r}"))

    def store_exception(self, task_id: str, exception: object, traceback: str) -> bool:
        """Report that a task raised, with the text of the traceback. Otherwise like `store_result`."""
        return self.link.store_exception(task_id, pack_raised(exception), traceback)

    def return_task(self, task_id: str, *, died: str = "") -> bool:
        """Return a task that cannot be finished; it goes to the front of the queue. Otherwise like `store_result`.

        Args:
            died: how the worker of the task ended, if that is the reason; it counts as a death.
        """
        return bool(self.link.ask("return_task", {"task_id": task_id, "died": died}))

    def cancel_task(self, task_id: str) -> bool:
        """Drop a waiting task as if it had never been requested. False if it runs or has ended.

        A running task is not given to another process if its process dies or returns it; it has failed then.
        """
        return bool(self.link.ask("cancel_task", {"task_id": task_id}))

    def get_any_result(self, timeout: float | None = None) -> tuple[str, str, object]:
        """Remove and return the oldest result: task id, tag and value.

        Args:
            timeout: seconds after which TimeoutError is raised; None: no limit.

        Raises:
            TaskRaisedException: the task raised.
            TaskManagerTermination: there is no result, and after `terminate` none will come.
            UnsendableItem: the value cannot be unpickled here; the message names the task.
        """
        return self._get_result(None, timeout)

    def get_result_with_tag(self, tag: str, timeout: float | None = None) -> tuple[str, object]:
        """Remove and return the oldest result of one tag: task id and value. Otherwise like `get_any_result`."""
        task_id, _, value = self._get_result(tag, timeout)
        return task_id, value

    def register_process(self, watchdog_period: float | None = None, info: str | None = None) -> int:
        """Register a process and return its id. Call it first; the other methods take the id.

        Args:
            watchdog_period: the process promises a ping every `watchdog_period` seconds, and is given up after more
                than four periods without one. None: no pings are expected, so its death is not noticed.
            info: a description of the process for people.

        Raises:
            OptionError: the period is not above zero.
        """
        return int(self.link.ask("register_process", {"watchdog_period": watchdog_period, "info": info}))

    def unregister_process(self, process_id: int) -> None:
        """Forget a process that leaves; its tasks go to the front of the queue. Raises UnknownToManager."""
        self.link.ask("unregister_process", {"process_id": process_id})

    def ping(self, process_id: int) -> None:
        """Report that a process is alive. Raises UnknownToManager if it was given up; it must register again."""
        self.link.ask("ping", {"process_id": process_id})

    def number_of_active_processes(self) -> int:
        """The number of registered processes."""
        return int(self.link.ask("number_of_active_processes", {}))

    def active_process_info(self, process_id: int) -> str:
        """The `info` of a registered process; empty if it gave none. Raises UnknownToManager."""
        return str(self.link.ask("active_process_info", {"process_id": process_id}))

    def number_of_tasks(self) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
        """Tag → number of its waiting tasks, of its running tasks, and of its results. O(tasks)."""
        return cast("tuple[dict[str, int], dict[str, int], dict[str, int]]", self.link.ask("number_of_tasks", {}))

    def tags_without_worker(self) -> tuple[str, ...]:
        """Tags of waiting tasks for which no process has asked."""
        return cast("tuple[str, ...]", self.link.ask("tags_without_worker", {}))

    def store_data(self, /, **data: object) -> None:
        """Store values by label, for all processes."""
        self.link.ask("store_data", {label: pack(value, f"data {label!r}") for label, value in data.items()})

    def retrieve_data(self, label: str) -> object:
        """The value stored as `label`. Raises UnknownToManager if there is none."""
        return unpack(self.link.ask("retrieve_data", {"label": label}), f"data {label!r}")

    def delete_data(self, label: str) -> None:
        """Remove the value stored as `label`. Raises UnknownToManager if there is none."""
        self.link.ask("delete_data", {"label": label})

    def terminate(self) -> None:
        """End the work: processes that wait, or would have to wait, get TaskManagerTermination; so do new requests.

        Existing results can be collected, and running tasks answered; waiting tasks are not given out.
        """
        self.link.ask("terminate", {})

    def _get_result(self, tag: str | None, timeout: float | None) -> tuple[str, str, object]:
        task_id, tag, content, raised = self.link.take_result(tag, timeout)
        if raised is not None:
            raise TaskRaisedException(task_id, tag, unpack_raised(*raised), raised[1])
        return task_id, tag, unpack(content, f"the result of task {task_id!r}")


def connect(
    address: str | Address, key: bytes | str | os.PathLike[str] | None, *, retry: float = 0.0
) -> RemoteTaskManager:
    """Connect to the task manager that is served at `address`.

    Args:
        address: `HOST:PORT`, or a pair.
        key: the bytes, or the path of a key file.
        retry: seconds for which each call tries again to reach a manager that does not answer.

    Raises:
        OptionError: there is no key, or other users can read it.
        ManagerUnreachable: no task manager answers, or it has a different key.
    """
    return RemoteTaskManager(address, key, retry=retry)


class Link:
    """Sends requests to a task manager. All threads may use it. See `connect` for the arguments and errors.

    Parameters, results and exceptions are bytes (remote/calls.py). Otherwise the methods are like those of
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
