"""The working directory, which may have been removed: code that needs it reports that, other code works without it."""
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


def absolute_path(path: str | os.PathLike[str], error: type[TaskprocError] = OptionError) -> str:
    """The absolute form of `path`. Raises `error`, with a remedy, if the working directory was removed."""
    path = os.fspath(path)
    try:
        return os.path.abspath(path)
    except FileNotFoundError:
        text = f"the working directory {_removed()} was removed, so {path!r} leads nowhere"
        raise error(f"{text}: give an absolute path, or change to a folder that exists") from None


def warning_of_removed() -> str | None:
    """The warning that the working directory was removed, once per directory; None if there is nothing to warn of."""
    if working_folder() is not None or _removed() in _warned:
        return None
    _warned.add(_removed())
    return (
        f"the working directory {_removed()} was removed: tasks still run, but cannot open files by relative paths. "
        "Change to a folder that exists, or use absolute paths"
    )


def _removed() -> str:
    """The former path of the working directory, quoted."""
    try:
        name = os.readlink("/proc/self/cwd").removesuffix(" (deleted)")
    except OSError:
        name = os.environ.get("PWD", "")
    return repr(name)
