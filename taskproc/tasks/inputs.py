"""InputFile: a file or folder outside the cache as a future, identified by its content."""
from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskproc.errors import BuildError
from taskproc.folders import absolute_path
from taskproc.kernel.model import Record, Stamp
from taskproc.store.version import Version
from taskproc.tasks.task import Task, TaskType

_LONGEST = 60  # characters that are shown of the end of a path


class _InputType(TaskType):
    if not TYPE_CHECKING:

        def __call__(cls, path: str | os.PathLike[str]) -> Any:
            built = super().__call__(os.fspath(path))  # `InputFile('a')` and `InputFile(Path('a'))` are one
            if built.path != absolute_path(path, BuildError):
                raise BuildError(
                    f"InputFile({os.fspath(path)!r}) was built in another working directory, and is {built.path!r} "
                    "in this Cache: give an absolute path"
                )
            return built


def _version(task: InputFile, root: str) -> Version:
    """The present state of the file. OSError, in words for people: it is missing or cannot be read."""
    from taskproc.store.contents import Contents  # here: 1 ms, for runs that read files from outside

    identity = task._taskproc
    try:
        content = Contents(root).look(task.path)
    except OSError as error:
        given, where = identity.arguments["path"], "" if task.path == error.filename else f" ({task.path})"
        what = "is not there" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        raise type(error)(f"{given!r}{where} {what}") from error
    record = Record(0, "", Stamp("", content.digest), "", {})
    return Version(identity.place, task.path, record, about={"path": task.path, "signs": content.signs})


def _brief(cls: type, arguments: Mapping[str, Any], room: int) -> str:
    """The end of its path, even if the room is 0: otherwise the task would be only a number."""
    path = str(arguments["path"])
    return repr(path if len(path) <= _LONGEST else "…" + path[1 - _LONGEST :])


class InputFile(Task, metaclass=_InputType):
    """A file or folder as a `Future[Path]`: tasks that read it run again when a byte of its content changes.

    Touching it, or replacing it by an equal copy, changes nothing. The result is its absolute path. The key contains
    the path as written; it is relative to the working directory in which the task is built.

    Its SHA-256 is computed once and remembered by size, times and inode: an unchanged file costs one stat, an unchanged
    folder one for each file in it. If a file changes while a task that reads it runs, the task fails. A missing file is
    a failure of the run that needs it, not of the line that builds the task.
    """

    task_pinned_name = "taskproc.InputFile"

    _taskproc_version = _version
    _taskproc_brief = staticmethod(_brief)

    def __init__(self, path: str | os.PathLike[str]):
        self.path = absolute_path(path, BuildError)

    def get_result(self) -> Path:
        """The absolute path. Costs nothing: the run checks that the file exists and whether it changed."""
        return Path(self.path)

    def run_task(self) -> Path:
        """Never runs: its content is its result."""
        return Path(self.path)
