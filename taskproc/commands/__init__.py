"""Operating-system commands: `TaskManager` runs a list of them, and `Command` is one of them as a task.

A name is imported when it is first used.
"""
from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskproc.commands.command_manager import TaskManager
    from taskproc.commands.descriptors import Finished
    from taskproc.tasks.command import Command, CommandResult, DataDirectory, Output

__all__ = ["Command", "CommandResult", "DataDirectory", "Finished", "Output", "TaskManager"]

_HOMES = {"TaskManager": "taskproc.commands.command_manager", "Finished": "taskproc.commands.descriptors"}
_OTHERWISE = "taskproc.tasks.command"


if not TYPE_CHECKING:  # to which a module with __getattr__ has every name

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_HOMES.get(name, _OTHERWISE)), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
