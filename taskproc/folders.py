"""The working directory, which may have been removed: what needs it says so, and all else goes on without."""
from __future__ import annotations

import os

from taskproc.errors import OptionError, TaskprocError

_warned: set[str] = set()


def working_folder() -> str | None:
    """The working directory; None if it was removed."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


def absolute(path: str | os.PathLike[str], error: type[TaskprocError] = OptionError) -> str:
    """`path` from the working directory on. Raises `error`, which names that, if it leads nowhere any more."""
    path = os.fspath(path)
    try:
        return os.path.abspath(path)
    except FileNotFoundError:
        text = f"the working directory {_removed()} was removed, so {path!r} leads nowhere"
        raise error(f"{text}: give an absolute path, or change to a folder that exists") from None


def warning_of_removed() -> str | None:
    """What to say once of a working directory that was removed, before tasks run in it; None: nothing."""
    if working_folder() is not None or _removed() in _warned:
        return None
    _warned.add(_removed())
    return (
        f"the working directory {_removed()} was removed: tasks run all the same, but cannot open what they name by a "
        "relative path. Change to a folder that exists, or use absolute paths"
    )


def _removed() -> str:
    """What it was called."""
    try:
        name = os.readlink("/proc/self/cwd").removesuffix(" (deleted)")
    except OSError:
        name = os.environ.get("PWD", "")
    return repr(name)
