"""What a task manager deals in: ids, requests and results; and what it answers when there is nothing to give."""
from __future__ import annotations

from dataclasses import dataclass

from taskproc.errors import TaskManagerTermination, TaskRaisedException, UnknownToManager
from taskproc.frozen import frozen

CALL = "_call"  # the tag of calls: parameters are function, arguments and keyword arguments


class TaskId(str):
    """The id of a task that was pulled: text like any other, that knows the number of its ticket (0: of none)."""

    __slots__ = ("number",)
    number: int

    def __new__(cls, text: str, number: int = 0) -> TaskId:
        made = super().__new__(cls, text)
        made.number = number
        return made

    def __getnewargs__(self) -> tuple[str, int]:  # type: ignore[override]  # that of str has one
        return str(self), self.number


@frozen
class Finished:
    """What came of a task: its value, or what it raised and the text of the traceback."""

    task_id: str
    tag: str
    reply_tag: str
    value: object
    raised: tuple[object, str] | None = None
    requester: int | None = None

    def result(self) -> object:
        """The value. TaskRaisedException if there is none."""
        if self.raised is not None:
            raise TaskRaisedException(self.task_id, self.tag, *self.raised)
        return self.value


@dataclass(slots=True, eq=False)
class Request:
    """A task that has no result yet; `deaths` counts the processes that disappeared with it.

    `wanted`: whether it is to be done by another, if who has it does not.
    """

    tag: str
    parameters: object
    requester: int | None
    reply_tag: str
    deaths: int = 0
    wanted: bool = True


class Public:
    """All tags but the private ones."""

    def __contains__(self, tag: object) -> bool:
        return not is_private(str(tag))


PUBLIC = Public()


def is_private(tag: str) -> bool:
    """Whether tasks and results of that tag are given only to those who name it."""
    return tag.startswith("_")


def termination() -> TaskManagerTermination:
    """Nothing more is wanted."""
    return TaskManagerTermination("the task manager was terminated")


def unknown(process: int) -> UnknownToManager:
    """It is not registered."""
    return UnknownToManager(f"process {process} is not registered, or was given up since it missed its pings")


# What is given to who takes a task: its id, tag and parameters
Task = tuple[TaskId, str, object]
