"""Batches of items: a task for each worker, results in order, savers that resume after an interruption.

A name is imported when it is first used, as in taskproc itself.
"""
from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskproc.batch.batch_manager import TaskManager
    from taskproc.batch.batch_task import Task
    from taskproc.batch.handlers import (
        CallbackResultHandler,
        ListResultHandler,
        OnlineMeanResultHandler,
        ResultHandler,
    )
    from taskproc.batch.savers.file_saver import FileSaver, Saver
    from taskproc.batch.savers.hdf5 import HDF5Saver
    from taskproc.batch.savers.jsonl import JSONLinesSaver
    from taskproc.batch.savers.npy import NpySaver
    from taskproc.batch.savers.npz import NpzSaver
    from taskproc.batch.savers.parquet import ParquetSaver
    from taskproc.batch.savers.zarr import ZarrSaver
    from taskproc.errors import SaveError
    from taskproc.run.ray import RayExecutor

__all__ = [
    "CallbackResultHandler",
    "FileSaver",
    "HDF5Saver",
    "JSONLinesSaver",
    "ListResultHandler",
    "NpySaver",
    "NpzSaver",
    "OnlineMeanResultHandler",
    "ParquetSaver",
    "RayExecutor",
    "ResultHandler",
    "SaveError",
    "Saver",
    "Task",
    "TaskManager",
    "ZarrSaver",
]

_HOMES = {
    "CallbackResultHandler": "batch.handlers",
    "FileSaver": "batch.savers.file_saver",
    "HDF5Saver": "batch.savers.hdf5",
    "JSONLinesSaver": "batch.savers.jsonl",
    "ListResultHandler": "batch.handlers",
    "NpySaver": "batch.savers.npy",
    "NpzSaver": "batch.savers.npz",
    "OnlineMeanResultHandler": "batch.handlers",
    "ParquetSaver": "batch.savers.parquet",
    "RayExecutor": "run.ray",
    "ResultHandler": "batch.handlers",
    "SaveError": "errors",
    "Saver": "batch.savers.file_saver",
    "Task": "batch.batch_task",
    "TaskManager": "batch.batch_manager",
    "ZarrSaver": "batch.savers.zarr",
}


if not TYPE_CHECKING:  # to which a module with __getattr__ has every name

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home = import_module(f"{__name__.partition('.')[0]}.{_HOMES[name]}")
        value = globals()[name] = getattr(home, name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
