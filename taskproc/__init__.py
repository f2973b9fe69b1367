"""taskproc: a computation that has parts, as a graph of tasks whose results are kept and reused."""
from taskproc.cli.defaults import DefaultArguments
from taskproc.errors import (
    BuildError,
    CacheError,
    CorruptedResult,
    CycleError,
    FailedTaskError,
    MissingResult,
    NoCacheError,
    OptionError,
    PrefixError,
    TaskFailure,
    TaskprocError,
    UnnamableValue,
    UnstorableResult,
    WorkerDied,
)
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.store.keys import make_key_file
from taskproc.tasks.explaining import Explanation, accept
from taskproc.tasks.future import Const, Future, FutureDict, FutureList
from taskproc.tasks.inputs import InputFile
from taskproc.tasks.stats import RunStats
from taskproc.tasks.task import Task
from taskproc.values.encode import register as register_key

__all__ = [
    "BuildError",
    "Cache",
    "CacheError",
    "Const",
    "CorruptedResult",
    "CycleError",
    "DefaultArguments",
    "Explanation",
    "FailedTaskError",
    "Future",
    "FutureDict",
    "FutureList",
    "InputFile",
    "LocalExecutor",
    "MissingResult",
    "NoCacheError",
    "OptionError",
    "PrefixError",
    "RunStats",
    "Task",
    "TaskFailure",
    "TaskprocError",
    "UnnamableValue",
    "UnstorableResult",
    "WorkerDied",
    "accept",
    "make_key_file",
    "register_key",
]
