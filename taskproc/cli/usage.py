"""How a command ends: every exception becomes a message on standard error and an exit code.

0 done, 1 a task or the user's own code failed, 2 wrong usage, 130 interrupted. Tracebacks are shown for the user's code
only, without the frames of taskproc.
"""
from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from taskproc.errors import (
    BuildError,
    CacheError,
    FailedTaskError,
    NoCacheError,
    OptionError,
    TaskFailure,
    TaskprocError,
    UnnamableValue,
)
from taskproc.streams import flush_or_drop, supply_streams, write_error
from taskproc.text import printable_lines

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
_WRONG_USE = (OptionError, UnnamableValue, BuildError, CacheError, NoCacheError)
_MOST_FAILURES = 20  # are shown; all are counted


class UsageError(Exception):
    """The command line cannot be understood, or lacks something; exit code 2.

    Args:
        hint: the remedy, if the command's own hint does not help; an empty text means none.
    """

    def __init__(self, text: str, hint: str | None = None):
        super().__init__(text)
        self.hint = hint


class UserError(Exception):
    """The user's own code raised outside of a task; its exception is the cause."""


class UnwrittenError(Exception):
    """Standard output cannot be written; `error` says why. Results are stored nevertheless."""

    def __init__(self, error: OSError):
        super().__init__(str(error))
        self.error = error


def program_name() -> str:
    """How the user has called the program."""
    return "python -m taskproc" if os.path.basename(sys.argv[0]) in ("__main__.py", "-m") else "taskproc"


def guarded(call: Callable[[], int], hint: str = "") -> int:
    """The exit code that `call` returns, or that of the exception it raises. `hint` is shown after wrong usage."""
    supply_streams()
    code = DONE
    unwritten: OSError | None = None
    try:
        code = _reported(call, hint)
    except BrokenPipeError as error:
        unwritten = error
    except UnwrittenError as error:
        unwritten = error.error
    lost: OSError | None = flush_or_drop(sys.stdout) or unwritten
    if lost is not None and not isinstance(lost, BrokenPipeError):  # else the reader closed the pipe
        say(f"error: standard output could not be written: {lost.strerror or lost}")
        code = code or FAILED
    flush_or_drop(sys.stderr)
    return code


def _reported(call: Callable[[], int], hint: str) -> int:
    try:
        return call()
    except UsageError as error:
        hint = hint if error.hint is None else error.hint
        say(f"error: {error}" + (f"\n\nhint: {hint}" if hint else ""))
        return WRONG
    except UserError as error:
        from taskproc.run.problem import traceback_text  # here: few commands end with one

        say(traceback_text(error.__cause__ or error).rstrip())
        return FAILED
    except TaskprocError as error:
        say("\n".join([f"error: {error}", *(f"  {note}" for note in getattr(error, "__notes__", []))]))
        return WRONG if isinstance(error, _WRONG_USE) else FAILED
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except SystemExit as error:
        return _exit_code(error)
    except (OSError, RuntimeError) as error:
        from taskproc.run.system_limits import is_scarce, limit_text  # here: rare

        if not is_scarce(error):
            raise
        say(f"error: {limit_text('the command could not go on', error)}")
        return FAILED


def _exit_code(error: SystemExit) -> int:
    if error.code is None or isinstance(error.code, int):
        return error.code or DONE
    say(str(error.code))
    return FAILED


def program() -> str:
    """How this program was called, to be called again."""
    return "python -m taskproc" if os.path.basename(sys.argv[0]) in ("__main__.py", "-m") else "taskproc"


def say(text: str) -> None:
    """Write to standard error; do nothing if nobody reads it."""
    write_error(printable_lines(text))


def tell(text: str) -> None:
    """Write output of the command, made safe to print, to standard output. Raises UnwrittenError."""
    with output():
        print(printable_lines(text))


@contextmanager
def output() -> Iterator[None]:
    """A block that only writes to standard output, so that its OSErrors become UnwrittenError."""
    try:
        yield
    except OSError as error:
        raise UnwrittenError(error) from error


def failures_text(error: FailedTaskError, command: Callable[[TaskFailure], str] = lambda failure: "") -> str:
    """The failed tasks, with relative paths of their logs, and with the traceback of those without a log.

    Args:
        command: gives the command that reruns a failed task; empty if there is none.
    """
    shown = [dataclasses.replace(failure, stdout=None, stderr=_near(failure.stderr)) for failure in error.failures]
    parts = []
    for failure in shown[:_MOST_FAILURES]:
        parts.append(str(failure))
        if not failure.log and failure.traceback:
            parts += [f"  | {line}" for line in failure.traceback.rstrip().splitlines()]
        if words := command(failure):
            parts.append(f"  rerun: {words}")
    if len(shown) > 1:
        parts.insert(0, f"{len(shown):,} tasks failed")
    if len(shown) > _MOST_FAILURES:
        parts.append(f"… and {len(shown) - _MOST_FAILURES:,} more")
    return "\n".join(parts)


def _near(path: Path | None) -> Path | None:
    if path is None:
        return None
    try:
        return path.relative_to(Path.cwd())
    except (ValueError, OSError):
        return path  # not below the working directory, or that was removed
