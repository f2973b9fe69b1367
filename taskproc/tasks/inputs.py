"""InputFile: a file or folder from outside as a future, known by its content."""
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

_LONGEST = 60  # characters of a path that are shown: its end


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
    """The file as it is now. OSError in words for people: it is not there, or cannot be read."""
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
    """The end of its path, also where there is no room: without it the task is a number only."""
    path = str(arguments["path"])
    return repr(path if len(path) <= _LONGEST else "…" + path[1 - _LONGEST :])


class InputFile(Task, metaclass=_InputType):
    """A file or folder as a `Future[Path]`: what reads it runs again when its content changes, by a byte.

    One that is touched, copied or downloaded again, and equal, changes nothing. The result is its absolute path. The
    path stands in the key as it is written; it is taken from the working directory where the task is built.

    Its SHA-256 is taken once, and remembered by size, times and inode: an unchanged file costs a stat, an unchanged
    folder one for each file in it. A file that is changed while a task runs that reads it makes that task fail. One
    that is not there is the failure of the run that needs it, not of the line that builds it.
    """

    task_pinned_name = "taskproc.InputFile"

    _taskproc_version = _version
    _taskproc_brief = staticmethod(_brief)

    def __init__(self, path: str | os.PathLike[str]):
        self.path = absolute_path(path, BuildError)

    def _json_form(self) -> object:
        # With its path: it has no folder in the cache where its arguments would stand
        place = self._taskproc.place
        return {"__task__": [place.name, place.key, {"path": self._taskproc.arguments["path"]}]}

    def get_result(self) -> Path:
        """The absolute path. Costs nothing: that the file is there and what it was is seen to by the run."""
        return Path(self.path)

    def run_task(self) -> Path:
        """Never run: its content is its result."""
        return Path(self.path)
