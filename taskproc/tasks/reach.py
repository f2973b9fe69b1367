"""Which files that a task reads belong to its project, and what they are called: from the folder of the project on.

The project is the folder that holds the module of the task, or the one above that has a sign of a project in it; files
below the working directory, or beside other modules of the user's, count as well. Not: the cache, what is installed,
hidden folders, what is tagged as a cache, and modules that are loaded, which count as code.
"""
from __future__ import annotations

import functools
import os
import sys
from collections.abc import Collection
from typing import Any

from taskproc.modules import FILE, site_of
from taskproc.source.project import is_users_file

_SIGNS = ("pyproject.toml", "setup.py", "setup.cfg", ".git", ".hg")
_HERE = "." + os.sep  # before a path from a working directory outside the project


def project_of(cls: type) -> str:
    """The folder of the project that a task class belongs to; the working directory where it has none."""
    names = vars(sys.modules.get(cls.__module__, sys))
    path = names.get(FILE) or names.get("__file__")
    if type(path) is not str or not is_users_file(path):
        return _real(os.getcwd())
    return _project_of_file(path)


@functools.lru_cache(maxsize=64)
def _project_of_file(path: str) -> str:
    folder = _real(site_of(path).folder)
    above = folder
    while not _is_too_wide(above):
        if any(os.path.exists(os.path.join(above, sign)) for sign in _SIGNS):
            return above
        above = os.path.dirname(above)
    return folder


def _is_too_wide(folder: str) -> bool:
    import tempfile  # here: 3 ms, and not needed by most tasks

    return folder in {os.path.dirname(folder), _real(os.path.expanduser("~")), _real(tempfile.gettempdir())}


class Reach:
    """Of one task class.

    Args:
        project: its folder.
        cache: root of the cache.
        inputs: files and folders that count as inputs already.
    """

    def __init__(self, project: str, cache: str, inputs: Collection[str] = ()):
        self._project = project
        self._apart = [_real(path) for path in (cache, *inputs)]
        prefixes = {_real(sys.prefix), _real(sys.base_prefix)}
        self._apart += [prefix for prefix in prefixes if not _below(project, prefix)]

    def name(self, path: str, folder: str) -> str | None:
        """What a file is called in a record: from the project on, else from the working directory, else whole.

        None: it does not count.

        Args:
            folder: the working directory from which it was named; empty: it was named absolutely.
        """
        real = os.path.join(_real(os.path.dirname(path)), os.path.basename(path))
        if any(_below(real, apart) or _below(_real(path), apart) for apart in self._apart) or not is_users_file(path):
            return None
        root = next((root for root in self._roots() if _below(real, root)), None)
        if root is None or _is_hidden(os.path.relpath(os.path.dirname(real), root), root):
            return None
        if folder and _real(folder) != self._project and _below(real, _real(folder)):
            return _HERE + os.path.relpath(real, _real(folder))
        return os.path.relpath(real, self._project) if root == self._project else real

    def _roots(self) -> list[str]:
        here = _real(os.getcwd())
        others = [] if _is_too_wide(here) else [here]
        return [self._project, *others, *_folders_of_modules(len(sys.modules))]


def place_of(name: str, project: str) -> str:
    """Where the file lies that a record calls `name`."""
    if name == _HERE:
        return project + os.sep
    place = os.path.abspath(name) if name.startswith(_HERE) else os.path.join(project, name)
    return place + os.sep if name.endswith(os.sep) and not place.endswith(os.sep) else place


def shown(name: str) -> str:
    """What people call it."""
    return name.removeprefix(_HERE)


@functools.lru_cache(maxsize=1)
def _folders_of_modules(count: int) -> tuple[str, ...]:
    """The folders of the user's modules that are loaded; looked at again when there are more of these."""
    paths = [vars(module).get("__file__") for module in list(sys.modules.values()) if hasattr(module, "__dict__")]
    users = [path for path in paths if type(path) is str and is_users_file(path)]
    folders = {_real(site_of(path).folder) for path in users}
    return tuple(sorted(folder for folder in folders if not _is_too_wide(folder)))


def is_module(path: str) -> bool:
    """Whether a file is that of a module that is loaded."""
    if path.endswith((".pyc", ".pyo")):
        return True
    loaded: list[Any] = list(sys.modules.values())
    return path.endswith(".py") and any(getattr(module, "__dict__", {}).get("__file__") == path for module in loaded)


def _is_hidden(below: str, root: str) -> bool:
    """Whether a folder in the path from a root is hidden, or tagged as a cache."""
    folder = root
    for part in [] if below == "." else below.split(os.sep):
        folder = os.path.join(folder, part)
        if is_apart(folder):
            return True
    return False


def is_apart(path: str) -> bool:
    """Whether a file or folder is hidden, or a cache."""
    name = os.path.basename(path)
    return name.startswith(".") or name == "__pycache__" or os.path.exists(os.path.join(path, "CACHEDIR.TAG"))


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder if folder.endswith(os.sep) else folder + os.sep)


@functools.lru_cache(maxsize=1024)
def _real(path: str) -> str:
    return os.path.realpath(path)
