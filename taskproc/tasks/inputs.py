"""InputFile: a file or folder from outside as a future, known by its content."""
from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskproc.errors import BuildError
from taskproc.folders import absolute
from taskproc.tasks.task import Task, TaskType


class _InputType(TaskType):
    if not TYPE_CHECKING:

        def __call__(cls, path: str | os.PathLike[str]) -> Any:
            built = super().__call__(os.fspath(path))  # `InputFile('a')` and `InputFile(Path('a'))` are one
            if built.path != absolute(path, BuildError):
                raise BuildError(
                    f"InputFile({os.fspath(path)!r}) was built in another working directory, and is {built.path!r} "
                    "in this Cache: give an absolute path"
                )
            return built


class InputFile(Task, metaclass=_InputType):
    """A file or folder as a `Future[Path]`: what reads it runs again when its content changes, by a byte.

    One that is touched, copied or downloaded again, and equal, changes nothing. The result is its absolute path. The
    path stands in the key as it is written; it is taken from the working directory where the task is built.

    Its SHA-256 is taken once, and remembered by size, times and inode: an unchanged file costs a stat, an unchanged
    folder one for each file in it. A file that is changed while a task runs that reads it makes that task fail. One
    that is not there is the failure of the run that needs it, not of the line that builds it.
    """

    task_pinned_name = "taskproc.InputFile"

    _is_outside = True

    def __init__(self, path: str | os.PathLike[str]):
        self.path = absolute(path, BuildError)

    def get_result(self) -> Path:
        """The absolute path. Costs nothing: that the file is there and what it was is seen to by the run."""
        return Path(self.path)

    def run_task(self) -> Path:
        """Never run: its content is its result."""
        return Path(self.path)
