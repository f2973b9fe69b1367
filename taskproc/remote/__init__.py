"""A task manager from which processes on any machine pull tasks.

A name is imported at its first use, as in the package root, because a worker needs few of them.
"""
from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskproc.errors import ManagerUnreachable, TaskManagerTermination, TaskRaisedException, UnknownToManager
    from taskproc.remote.client import RemoteTaskManager, connect
    from taskproc.remote.executor import RemoteExecutor
    from taskproc.remote.server import Server
    from taskproc.remote.task_manager import TaskManager
    from taskproc.store.rules import make_key_file

__all__ = [
    "ManagerUnreachable",
    "RemoteExecutor",
    "RemoteTaskManager",
    "Server",
    "TaskManager",
    "TaskManagerTermination",
    "TaskRaisedException",
    "UnknownToManager",
    "connect",
    "make_key_file",
]

_HOMES = {
    "RemoteExecutor": "remote.executor",
    "RemoteTaskManager": "remote.client",
    "Server": "remote.server",
    "TaskManager": "remote.task_manager",
    "connect": "remote.client",
    "make_key_file": "store.rules",
}
_OTHERWISE = "errors"


if not TYPE_CHECKING:  # to which a module with __getattr__ has every name

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home = import_module(f"{__name__.partition('.')[0]}.{_HOMES.get(name, _OTHERWISE)}")
        found = globals()[name] = getattr(home, name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
