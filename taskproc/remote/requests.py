"""Ids, requests and results of a task manager, and its errors. Imports little, because workers import it."""
from __future__ import annotations

from dataclasses import dataclass

from taskproc.errors import TaskManagerTermination, TaskRaisedException, UnknownToManager
from taskproc.frozen import frozen

CALL = "_call"  # the tag of calls: parameters are function, arguments and keyword arguments


class TaskId(str):
    """The id of a pulled task: a str with the number of its ticket (0: none)."""

    __slots__ = ("number",)
    number: int

    def __new__(cls, text: str, number: int = 0) -> TaskId:
        made = super().__new__(cls, text)
        made.number = number
        return made

    def __getnewargs__(self) -> tuple[str, int]:  # type: ignore[override]  # that of str has one
        return str(self), self.number


@frozen
class TaskResult:
    """The result of a task: its value, or its exception and the text of the traceback."""

    task_id: str
    tag: str
    reply_tag: str
    value: object
    raised: tuple[object, str] | None = None
    requester: int | None = None

    def result(self) -> object:
        """The value. Raises TaskRaisedException if the task raised."""
        if self.raised is not None:
            raise TaskRaisedException(self.task_id, self.tag, *self.raised)
        return self.value


@dataclass(slots=True, eq=False)
class Request:
    """A task without a result.

    Attributes:
        deaths: the number of processes that disappeared with it.
        is_wanted: whether it is run again if its process does not finish it.
    """

    tag: str
    parameters: object
    requester: int | None
    reply_tag: str
    deaths: int = 0
    is_wanted: bool = True


class Public:
    """The set of all tags that are not private."""

    def __contains__(self, tag: object) -> bool:
        return not is_private(str(tag))


PUBLIC = Public()


def is_private(tag: str) -> bool:
    """Whether tasks and results of this tag are given only to processes that name it."""
    return tag.startswith("_")


def termination() -> TaskManagerTermination:
    """The error after `terminate`."""
    return TaskManagerTermination("the task manager was terminated")


def unknown_process(process: int) -> UnknownToManager:
    """The error for a process that is not registered."""
    return UnknownToManager(f"process {process} is not registered, or was given up because its pings were missing")


# A task as it is given to a process: id, tag and parameters
PulledTask = tuple[TaskId, str, object]
