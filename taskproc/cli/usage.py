"""How a command ends: whatever is raised becomes words on standard error and an exit code.

0 done, 1 a task or the user's own code failed, 2 wrong usage, 130 interrupted. Tracebacks are shown of the user's code
only, without the frames of taskproc.
"""
from __future__ import annotations

import dataclasses
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
    TaskprocError,
    UnnamableValue,
)
from taskproc.streams import flush_or_drop, supply_streams, write_error
from taskproc.text import printable_lines

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
_WRONG_USE = (OptionError, UnnamableValue, BuildError, CacheError, NoCacheError)
_MOST_FAILURES = 20  # shown; all are counted


class UsageError(Exception):
    """The command line cannot be understood, or lacks something; exit code 2.

    Args:
        hint: what to do, where the command's own hint does not help; an empty one is none.
    """

    def __init__(self, text: str, hint: str | None = None):
        super().__init__(text)
        self.hint = hint


class UserError(Exception):
    """The user's own code raised, outside of any task; its exception is the cause."""


class UnwrittenError(Exception):
    """Standard output cannot be written; `error` says why. Results are stored all the same."""

    def __init__(self, error: OSError):
        super().__init__(str(error))
        self.error = error


def guarded(call: Callable[[], int], hint: str = "") -> int:
    """What `call` returns as exit code, or the one that fits what it raises. `hint` is shown after wrong usage."""
    supply_streams()
    code = DONE
    unwritten: OSError | None = None
    try:
        code = _told(call, hint)
    except BrokenPipeError as error:
        unwritten = error
    except UnwrittenError as error:
        unwritten = error.error
    lost: OSError | None = flush_or_drop(sys.stdout) or unwritten
    if lost is not None and not isinstance(lost, BrokenPipeError):  # else whoever read it has had enough of it
        say(f"error: standard output could not be written: {lost.strerror or lost}")
        code = code or FAILED
    flush_or_drop(sys.stderr)
    return code


def _told(call: Callable[[], int], hint: str) -> int:
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
        from taskproc.run.scarce import is_scarce, limit_text  # here: what is raised here is a bug of ours, or this

        if not is_scarce(error):
            raise
        say(f"error: {limit_text('the command could not go on', error)}")
        return FAILED


def _exit_code(error: SystemExit) -> int:
    if error.code is None or isinstance(error.code, int):
        return error.code or DONE
    say(str(error.code))
    return FAILED


def say(text: str) -> None:
    """Write to standard error; if nobody listens any more, that changes nothing."""
    write_error(printable_lines(text))


def tell(text: str) -> None:
    """Write to standard output what the command was asked for, harmless. Raises UnwrittenError."""
    with output():
        print(printable_lines(text))


@contextmanager
def output() -> Iterator[None]:
    """Within the block standard output is written, and nothing else is done: the errors are those of that."""
    try:
        yield
    except OSError as error:
        raise UnwrittenError(error) from error


def failures_text(error: FailedTaskError) -> str:
    """What failed, with the paths of logs as seen from here; where nothing was logged, the traceback."""
    shown = [dataclasses.replace(each, stdout=None, stderr=_near(each.stderr)) for each in error.failures]
    parts = []
    for each in shown[:_MOST_FAILURES]:
        parts.append(str(each))
        if not each.log and each.traceback:
            parts += [f"  | {line}" for line in each.traceback.rstrip().splitlines()]
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
        return path  # elsewhere, or there is no working directory any more
