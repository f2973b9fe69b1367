"""A task manager in another process, with the methods of TaskManager."""
from __future__ import annotations

import os
from collections.abc import Collection
from typing import cast

from taskproc.errors import TaskRaisedException, UnsendableItem
from taskproc.remote.channel import Address
from taskproc.remote.content import pack, pack_raised, unpack, unpack_raised
from taskproc.remote.link import Link
from taskproc.remote.requests import PulledTask
from taskproc.run.problem import traceback_text


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
