"""Every exception that taskproc raises of its own, in one tree.

TaskprocError
├── NoCacheError (RuntimeError)        a task was built or asked for outside `with Cache(...)`
├── BuildError (RuntimeError)          a task class or a graph cannot be built as written
│   └── CycleError                     a task needs itself
├── UnnamableValue (TypeError)         an argument has no canonical form, so it cannot be part of a key
├── CacheError (RuntimeError)          the cache folder cannot be used: a file, not writable, a newer format
│   └── LinkInCache                    a folder or file of the cache is a link, and is not followed
├── MissingResult (LookupError)        no fresh result is stored
│   └── CorruptedResult                bytes are stored, but they are not what was written
├── UnstorableResult (TypeError)       what run_task returned cannot be pickled
├── OptionError (ValueError)           a rate limit, a prefix or another option is wrong
├── SystemLimit (RuntimeError)         the system allows no more threads, processes or open files
├── WorkerDied (RuntimeError)          the process that ran a task ended without a word
├── TaskTimeout (TimeoutError)         a task ran longer than its `task_timeout`, and was ended
├── PrefixError (RuntimeError)         the prefix command, not the task, went wrong
├── CommandFailed (RuntimeError)       an operating-system command could not be started, or did not end well
├── UnsendableItem (TypeError)         an item of a map, or its value, cannot be brought to another process
├── SaveError (ValueError)             results of a batch could not be saved, or not be gone on with
├── ItemErrors (ExceptionGroup)        a map ended with items that raised; `.exceptions` has them all
├── TaskManagerTermination (RuntimeError)  the task manager was told that nothing more is wanted
├── TaskRaisedException (RuntimeError)     a task of the task manager raised; `.exception` is what
├── UnknownToManager (LookupError)         a process, task or label that the task manager does not know
├── ManagerUnreachable (ConnectionError)   the task manager is not there, or does not have the same key
└── FailedTaskError (RuntimeError)     a run ended with failed tasks; `.failures` has them all

Exceptions that the user's own code raised are never wrapped away: they are the `error` of a TaskFailure and the
`__cause__` of the FailedTaskError. A RemoteError (RuntimeError) stands for one that could not be sent from another
process, and a RemoteTraceback is the cause of one that could.
"""
from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from taskproc.text import printable, printable_lines, shortened, text_of


class TaskprocError(Exception):
    """The root: `except TaskprocError` catches all that taskproc itself raises."""


class RemoteError(RuntimeError):
    """Stands for an exception that could not be sent from another process; the message has its class and its text."""


class RemoteTraceback(Exception):
    """The last cause of an exception that was raised in another process: its traceback there, as text."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


class NoCacheError(TaskprocError, RuntimeError):
    """A task was built, or its cache asked for, outside a `with Cache(...)` block."""


class BuildError(TaskprocError, RuntimeError):
    """A task class or a graph of tasks cannot be built as it is written."""


class CycleError(BuildError):
    """A task needs itself, directly or through others; the message has the path."""


class UnnamableValue(TaskprocError, TypeError):
    """A value has no canonical form; the message says where it stands and what to do instead."""


class CacheError(TaskprocError, RuntimeError):
    """The cache folder cannot be used as asked."""


class LinkInCache(CacheError):
    """A folder or file of the cache is a link. It is not followed: it may lead to files that are not the cache's."""


class MissingResult(TaskprocError, LookupError):
    """There is no stored result that is fresh for the present code; the message says why."""


class CorruptedResult(MissingResult):
    """A stored result is not, byte for byte, what was written."""


class UnstorableResult(TaskprocError, TypeError):
    """What `run_task` returned cannot be pickled; nothing was stored."""


class OptionError(TaskprocError, ValueError):
    """An option of a run is wrong: the message names it and the values it takes."""


class SystemLimit(TaskprocError, RuntimeError):
    """The system allows no more threads, processes or open files, and not even one worker could be started.

    What was computed until then is stored.
    """


class WorkerDied(TaskprocError, RuntimeError):
    """The process that ran a task ended without an answer (signal, `os._exit`, out of memory)."""


class TaskTimeout(TaskprocError, TimeoutError):
    """A task ran longer than its `task_timeout`; its process and their children were ended."""


class PrefixError(TaskprocError, RuntimeError):
    """The prefix command is not there, failed, or never started the task."""


class CommandFailed(TaskprocError, RuntimeError):
    """A command could not be started, ended with an exit code that says so, or left an output unwritten.

    Attributes:
        exit_code: minus the signal, if one killed it; None if it was not started.
    """

    exit_code: int | None = None


class UnsendableItem(TaskprocError, TypeError):
    """An item of a map, its value or its worker cannot be pickled, or not be unpickled on the other side."""


class SaveError(TaskprocError, ValueError):
    """Results of a batch could not be saved, or what is saved is not what a saver has left.

    Attributes:
        saved: how many results of this batch were saved until then; None where it had not begun.
    """

    def __init__(self, message: str, saved: int | None = None):
        super().__init__(message)
        self.saved = saved


class TaskManagerTermination(TaskprocError, RuntimeError):
    """The task manager was terminated: it gives out no tasks any more, and there is nothing left to wait for."""


class TaskRaisedException(TaskprocError, RuntimeError):
    """A task that was run for a task manager raised, which is told where its result was to be got.

    Attributes:
        task_id, tag: those of the task.
        exception: what it raised, as itself where it can be rebuilt here; also the `__cause__`.
        traceback: text of the traceback as it was where the task ran.
    """

    def __init__(self, task_id: str, tag: str, exception: object, traceback: str = ""):
        super().__init__(task_id, tag, exception, traceback)
        self.task_id, self.tag, self.exception, self.traceback = task_id, tag, exception, traceback
        if isinstance(exception, BaseException):
            self.__cause__ = exception  # also after pickling, which forgets causes

    def __str__(self) -> str:
        error = self.exception
        what = f"{type(error).__name__}: {text_of(error)}" if isinstance(error, BaseException) else str(error)
        return printable_lines(shortened(f"task {printable(self.task_id)} raised {what}".removesuffix(": ")))


class UnknownToManager(TaskprocError, LookupError):
    """A task manager was asked for a process, a task or a label that it does not know, or not any more."""


class ManagerUnreachable(TaskprocError, ConnectionError):
    """No task manager answers at an address, or not the same one any more, or it does not have our key."""


if sys.version_info >= (3, 11):

    class ItemErrors(TaskprocError, ExceptionGroup[Exception]):  # noqa: F821  # of Python 3.11
        """A map that deferred its exceptions has ended; `.exceptions` has all, in the order of their items."""

        def derive(self, excs: Sequence[Exception], /) -> ItemErrors:  # type: ignore[override]
            return ItemErrors(self.message, excs)

else:

    class ItemErrors(TaskprocError):
        """A map that deferred its exceptions has ended; `.exceptions` has all, in the order of their items."""

        def __init__(self, message: str, exceptions: Sequence[Exception]):
            super().__init__(message, exceptions)
            self.message, self.exceptions = message, tuple(exceptions)

        def __str__(self) -> str:
            count = len(self.exceptions)
            return f"{self.message} ({count} sub-exception{'' if count == 1 else 's'})"


@dataclass(frozen=True)
class TaskFailure:
    """One failed task of a run.

    Attributes:
        task: the task as one would write it, with its short id: `Choose#3fa1(n=6, k=3)`.
        task_name: name of its class, `module.Choose`.
        task_id: its integer id, which is also the name of its folder.
        error: the exception itself where it could be rebuilt here, else one of ours that describes it.
        traceback: text of the traceback as it was where the task ran; empty if the task raised nothing.
        stdout: path of what the task printed.
        stderr: path of what it printed to standard error.
        log: the last lines of these.
    """

    task: str
    task_name: str
    task_id: int
    error: BaseException
    traceback: str = ""
    stdout: Path | None = None
    stderr: Path | None = None
    log: str = ""

    def __str__(self) -> str:
        text = printable_lines(shortened(f"{type(self.error).__name__}: {text_of(self.error)}"))
        lines = [f"task {printable(self.task)} failed: {text}".rstrip(": ")]
        if self.log and printable_lines(self.log) not in text:
            lines += ["  last lines of its log:", *(f"  | {printable(line)}" for line in self.log.splitlines())]
        if self.stderr is not None:
            lines.append(f"  log: {printable(str(self.stderr))}")
        return "\n".join(lines)

    def __copy__(self) -> TaskFailure:
        return self

    def __deepcopy__(self, memo: object) -> TaskFailure:
        return self  # its error may be anything, and need not allow it


class FailedTaskError(TaskprocError, RuntimeError):
    """A run ended with failed tasks. What else was computed is in the cache, and is reused by the next run.

    Attributes:
        failures: all of them, in the order in which they failed.
    """

    def __init__(self, failures: Sequence[TaskFailure]):
        super().__init__(tuple(failures))
        self.failures = tuple(failures)
        if failures:
            self.__cause__ = failures[0].error  # also after pickling, which forgets causes

    def __str__(self) -> str:
        count = len(self.failures)
        parts = [str(failure) for failure in self.failures]
        return parts[0] if count == 1 else "\n".join([f"{count} tasks failed", *parts])
