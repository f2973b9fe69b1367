"""taskproc: computations as graphs of tasks whose results are stored and reused.

A public name is imported when it is first used: a worker process needs none of them, `--help` few. The module of each
name is listed twice, for type checkers and for Python.
"""
from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # type checkers know the name; `typing` takes 7 ms

if TYPE_CHECKING:
    from taskproc.cli.defaults import DefaultArguments
    from taskproc.errors import (
        BuildError,
        CacheError,
        CommandFailed,
        CorruptedResult,
        CycleError,
        FailedTaskError,
        ItemErrors,
        MissingResult,
        NoCacheError,
        OptionError,
        PrefixError,
        SaveError,
        TaskFailure,
        TaskprocError,
        TaskTimeout,
        UnnamableValue,
        UnsendableItem,
        UnstorableResult,
        WorkerDied,
    )
    from taskproc.kernel.model import Event
    from taskproc.ledger.entries import Entry
    from taskproc.maps.delayed import delayed_init
    from taskproc.maps.map_options import ArgumentPassing, ExceptionBehaviour
    from taskproc.maps.map_pool import Pool, is_exception
    from taskproc.run.pool import LocalExecutor
    from taskproc.store.cache import Cache
    from taskproc.store.rules import make_key_file
    from taskproc.tasks.command import Command
    from taskproc.tasks.explaining import Explanation, accept
    from taskproc.tasks.forecast import Forecast
    from taskproc.tasks.future import Const, Future, FutureDict, FutureList
    from taskproc.tasks.inputs import InputFile
    from taskproc.tasks.stats import RunStats
    from taskproc.tasks.task import Task
    from taskproc.values.encode import register as register_key
    from taskproc.watch.json_lines import JsonLines
    from taskproc.watch.stream import Outline, Watcher

__all__ = [
    "ArgumentPassing",
    "BuildError",
    "Cache",
    "CacheError",
    "Command",
    "CommandFailed",
    "Const",
    "CorruptedResult",
    "CycleError",
    "DefaultArguments",
    "Entry",
    "Event",
    "ExceptionBehaviour",
    "Explanation",
    "FailedTaskError",
    "Forecast",
    "Future",
    "FutureDict",
    "FutureList",
    "InputFile",
    "ItemErrors",
    "JsonLines",
    "LocalExecutor",
    "MissingResult",
    "NoCacheError",
    "OptionError",
    "Outline",
    "Pool",
    "PrefixError",
    "RunStats",
    "SaveError",
    "Task",
    "TaskFailure",
    "TaskTimeout",
    "TaskprocError",
    "UnnamableValue",
    "UnsendableItem",
    "UnstorableResult",
    "Watcher",
    "WorkerDied",
    "accept",
    "delayed_init",
    "is_exception",
    "make_key_file",
    "register_key",
]

_HOMES = {
    "ArgumentPassing": "maps.map_options",
    "Cache": "store.cache",
    "Command": "tasks.command",
    "Const": "tasks.future",
    "DefaultArguments": "cli.defaults",
    "Entry": "ledger.entries",
    "Event": "kernel.model",
    "ExceptionBehaviour": "maps.map_options",
    "Explanation": "tasks.explaining",
    "Forecast": "tasks.forecast",
    "Future": "tasks.future",
    "FutureDict": "tasks.future",
    "FutureList": "tasks.future",
    "InputFile": "tasks.inputs",
    "JsonLines": "watch.json_lines",
    "LocalExecutor": "run.pool",
    "Outline": "watch.stream",
    "Pool": "maps.map_pool",
    "RunStats": "tasks.stats",
    "Task": "tasks.task",
    "Watcher": "watch.stream",
    "accept": "tasks.explaining",
    "delayed_init": "maps.delayed",
    "is_exception": "maps.map_pool",
    "make_key_file": "store.rules",
    "register_key": "values.encode",
}
_OTHERWISE = "errors"
_NAMED_THERE = {"register_key": "register"}


import_module(f"{__name__}.imports").note_imports()  # before the first import of a module of the user

if not TYPE_CHECKING:  # to which a module with __getattr__ has every name

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home = import_module(f"{__name__}.{_HOMES.get(name, _OTHERWISE)}")
        found = globals()[name] = getattr(home, _NAMED_THERE.get(name, name))
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
