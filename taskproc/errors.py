"""Every exception that taskproc raises itself, in one tree.

TaskprocError
├── NoCacheError (RuntimeError)        a task was built or used outside `with Cache(...)`
├── BuildError (RuntimeError)          a task class or a graph cannot be built as written
│   └── CycleError                     a task needs itself
├── UnnamableValue (TypeError)         an argument has no canonical form, so it cannot be part of a key
├── CacheError (RuntimeError)          the cache folder cannot be used: a file, not writable, a newer format
│   └── LinkInCache                    a folder or file of the cache is a link, and is not followed
├── MissingResult (LookupError)        no fresh result is stored
│   └── CorruptedResult                bytes are stored, but they are not what was written
├── UnstorableResult (TypeError)       the value that run_task returned cannot be pickled
├── OptionError (ValueError)           a rate limit, a prefix or another option is wrong
├── SystemLimit (RuntimeError)         the system allows no more threads, processes or open files
├── WorkerDied (RuntimeError)          the process that ran a task ended without an answer
├── TaskTimeout (TimeoutError)         a task ran longer than its `task_timeout`, and was ended
├── PrefixError (RuntimeError)         the prefix command failed, not the task
├── CommandFailed (RuntimeError)       an operating-system command could not be started, or failed
├── UnsendableItem (TypeError)         an item of a map, or its value, cannot be sent to another process
├── SaveError (ValueError)             results of a batch could not be saved, or the file cannot be resumed
├── ItemErrors (ExceptionGroup)        items of a map raised; `.exceptions` has all their exceptions
├── TaskManagerTermination (RuntimeError)  the task manager was terminated
├── TaskRaisedException (RuntimeError)     a task of the task manager raised; see `.exception`
├── UnknownToManager (LookupError)         a process, task or label that the task manager does not know
├── ManagerUnreachable (ConnectionError)   no task manager answers, or it has a different key
└── FailedTaskError (RuntimeError)     a run ended with failed tasks; `.failures` has them all

Exceptions of the user's code are never lost: they are the `error` of a TaskFailure and the
`__cause__` of the FailedTaskError. A RemoteError (RuntimeError) stands for one that could not be sent from another
process, and a RemoteTraceback is the cause of one that could.
"""
from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from taskproc.text import exception_text, printable, printable_lines, shortened


class TaskprocError(Exception):
    """The root: `except TaskprocError` catches every exception that taskproc itself raises."""


class RemoteError(RuntimeError):
    """Stands for an exception that could not be sent from another process; the message has its class and its text."""


class RemoteTraceback(Exception):
    """The last cause of an exception that was raised in another process: its traceback there, as text."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


class NoCacheError(TaskprocError, RuntimeError):
    """A task was built or used outside a `with Cache(...)` block."""


class BuildError(TaskprocError, RuntimeError):
    """A task class or a graph of tasks cannot be built as it is written."""


class CycleError(BuildError):
    """A task needs itself, directly or through others; the message has the path."""


class UnnamableValue(TaskprocError, TypeError):
    """A value has no canonical form, so it cannot be part of a key; the message says where it is and what to do."""


class CacheError(TaskprocError, RuntimeError):
    """The cache folder cannot be used as asked."""


class LinkInCache(CacheError):
    """A folder or file of the cache is a link. It is not followed, because it may lead out of the cache."""


class MissingResult(TaskprocError, LookupError):
    """There is no stored result that is fresh for the present code; the message says why."""


class CorruptedResult(MissingResult):
    """The bytes of a stored result are not those that were written."""


class UnstorableResult(TaskprocError, TypeError):
    """The value that `run_task` returned cannot be pickled; nothing was stored."""


class OptionError(TaskprocError, ValueError):
    """An option is wrong; the message names it and the accepted values."""


class SystemLimit(TaskprocError, RuntimeError):
    """The system allows no more threads, processes or open files, and not even one worker could be started.

    Results that were computed before are stored.
    """


class WorkerDied(TaskprocError, RuntimeError):
    """The process that ran a task ended without an answer (signal, `os._exit`, out of memory)."""


class TaskTimeout(TaskprocError, TimeoutError):
    """A task ran longer than its `task_timeout`; its process and the children of this process were ended."""


class PrefixError(TaskprocError, RuntimeError):
    """The prefix command does not exist, failed, or did not start the task."""


class CommandFailed(TaskprocError, RuntimeError):
    """A command could not be started, ended with an exit code that means failure, or did not write an output.

    Attributes:
        exit_code: minus the signal that killed it, if one did; None if it was not started.
    """

    exit_code: int | None = None


class UnsendableItem(TaskprocError, TypeError):
    """An item of a map, its value or its worker cannot be pickled, or cannot be unpickled by the receiver."""


class SaveError(TaskprocError, ValueError):
    """Results of a batch could not be saved, or the file to resume is not the one that the saver wrote.

    Attributes:
        saved: the number of results of this batch that were saved before; None if it had not begun.
    """

    def __init__(self, message: str, saved: int | None = None):
        super().__init__(message)
        self.saved = saved


class TaskManagerTermination(TaskprocError, RuntimeError):
    """The task manager was terminated: it gives out no more tasks, and no result will come."""


class TaskRaisedException(TaskprocError, RuntimeError):
    """A task of a task manager raised; raised where its result is collected.

    Attributes:
        task_id, tag: of the task.
        exception: the exception of the task, or a RemoteError if it cannot be rebuilt here; also the `__cause__`.
        traceback: text of the traceback in the process that ran the task.
    """

    def __init__(self, task_id: str, tag: str, exception: object, traceback: str = ""):
        super().__init__(task_id, tag, exception, traceback)
        self.task_id, self.tag, self.exception, self.traceback = task_id, tag, exception, traceback
        if isinstance(exception, BaseException):
            self.__cause__ = exception  # also after unpickling, which loses causes

    def __str__(self) -> str:
        error = self.exception
        text = f"{type(error).__name__}: {exception_text(error)}" if isinstance(error, BaseException) else str(error)
        return printable_lines(shortened(f"task {printable(self.task_id)} raised {text}".removesuffix(": ")))


class UnknownToManager(TaskprocError, LookupError):
    """A task manager was asked for a process, a task or a label that it does not know, or no longer knows."""


class ManagerUnreachable(TaskprocError, ConnectionError):
    """No task manager answers at an address, it is not the same one as before, or it has a different key."""


if sys.version_info >= (3, 11):

    class ItemErrors(TaskprocError, ExceptionGroup[Exception]):  # noqa: F821  # of Python 3.11
        """A map that deferred its exceptions has ended; `.exceptions` has all of them, in the order of their items."""

        def derive(self, excs: Sequence[Exception], /) -> ItemErrors:  # type: ignore[override]
            return ItemErrors(self.message, excs)

else:

    class ItemErrors(TaskprocError):
        """A map that deferred its exceptions has ended; `.exceptions` has all of them, in the order of their items."""

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
        task: the task as Python code, with its short id: `Choose#3fa1(n=6, k=3)`.
        task_name: name of its class, `module.Choose`.
        task_id: its integer id, which is also the name of its folder.
        error: the exception itself, or one that describes it if it could not be rebuilt here.
        traceback: text of the traceback in the process that ran the task; empty if the task raised nothing.
        stdout: path of the file with the task's standard output.
        stderr: path of the file with its standard error.
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
        text = printable_lines(shortened(f"{type(self.error).__name__}: {exception_text(self.error)}"))
        lines = [f"task {printable(self.task)} failed: {text}".rstrip(": ")]
        if self.log and printable_lines(self.log) not in text:
            lines += ["  last lines of its log:", *(f"  | {printable(line)}" for line in self.log.splitlines())]
        if self.stderr is not None:
            lines.append(f"  log: {printable(str(self.stderr))}")
        return "\n".join(lines)

    def __copy__(self) -> TaskFailure:
        return self

    def __deepcopy__(self, memo: object) -> TaskFailure:
        return self  # its error may be of any class, and may not allow copies


class FailedTaskError(TaskprocError, RuntimeError):
    """A run ended with failed tasks. All other results are in the cache and are used by the next run.

    Attributes:
        failures: one per failed task, in the order in which they failed.
    """

    def __init__(self, failures: Sequence[TaskFailure]):
        super().__init__(tuple(failures))
        self.failures = tuple(failures)
        if failures:
            self.__cause__ = failures[0].error  # also after unpickling, which loses causes

    def __str__(self) -> str:
        count = len(self.failures)
        parts = [str(failure) for failure in self.failures]
        return parts[0] if count == 1 else "\n".join([f"{count} tasks failed", *parts])
