"""Why an attempt failed: as text that any process can read, and as the exception itself if that can be rebuilt."""
from __future__ import annotations

import os
import signal
import traceback
from pathlib import Path

from taskproc.errors import (
    CommandFailed,
    PrefixError,
    RemoteError,
    SystemLimit,
    TaskprocError,
    TaskTimeout,
    UnstorableResult,
    WorkerDied,
)
from taskproc.kernel.model import Failed, Problem
from taskproc.pickling import append_traceback, pack_error, unpack_error
from taskproc.run.far_end import PACKAGE_FOLDER
from taskproc.run.group import Exit
from taskproc.text import exception_text, printable, printable_lines, shortened, size_text

LONGEST_SENTENCE = 1_000
LONGEST_TRACEBACK = 100_000
_TAIL = 4096  # bytes of a log that are read for its last lines
_OWN = (PACKAGE_FOLDER + os.sep, "<frozen importlib")

_OWN_KINDS: dict[str, type[TaskprocError]] = {
    "died": WorkerDied,
    "limit": SystemLimit,
    "timeout": TaskTimeout,
    "prefix": PrefixError,
    "command": CommandFailed,
    "result": UnstorableResult,
}


def problem_of(error: BaseException, *, pickled: bool = True) -> Problem:
    """Describe `error`, in the process where it was raised. Never raises.

    Args:
        pickled: store the exception as bytes; see pickling.py. False stores the exception itself, for a problem that
            never leaves this process.
    """
    kept = pack_error(error) if pickled else error
    return Problem("exception", sentence(error), traceback_text(error), kept)


def rebuild(problem: Problem) -> BaseException:
    """Return the exception of `problem` with its causes, or one that says the same."""
    original = unpack_error(problem.error, problem.traceback) if isinstance(problem.error, bytes) else problem.error
    own = _OWN_KINDS.get(problem.kind)
    if own is None:
        if original is None:
            append_traceback(original := RemoteError(problem.text), problem.traceback)
        return original
    if isinstance(original, own):
        return original
    error = own(problem.text)
    error.__cause__ = original
    return error


def sentence(error: BaseException) -> str:
    """Return `ValueError: its text`, in one line without control characters."""
    lines = exception_text(error).strip().splitlines() or [""]
    text = f"{type(error).__name__}: {lines[0]}".removesuffix(": ")
    return printable(text + (" …" if len(lines) > 1 else ""))[:LONGEST_SENTENCE]


def traceback_text(error: BaseException) -> str:
    """Return the traceback with causes and contexts, without frames of taskproc and of imports; a long one is cut."""
    try:
        story = traceback.TracebackException.from_exception(error, compact=True)
        _leave_out_own_frames(story)
        text = "".join(story.format())
    except Exception as failure:  # noqa: BLE001  # the user's exception classes take part in this
        text = f"{sentence(error)}\n<its traceback could not be formatted: {sentence(failure)}>\n"
    return printable_lines(shortened(text, LONGEST_TRACEBACK))


def exit_text(code: int) -> str:
    """Say how a process ended, to follow its name: `exited with code 3`, `was killed by signal 9 (SIGKILL)`."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"was killed by signal {-code}"


def death_text(end: Exit) -> str:
    """Say how the process of a task ended without an answer, and its peak memory, if that is known."""
    without = " without an answer (os._exit, exec, or a crash of the interpreter)" if end.code >= 0 else ""
    return exit_text(end.code) + without + memory_text(end)


def memory_text(end: Exit) -> str:
    """Return `, peak memory 1.2 GB`; empty if it is not known."""
    if end.memory is None:
        return ""
    return f", peak memory {'' if end.above else 'at most '}{size_text(end.memory)}"


def timed_out(seconds: float, end: Exit | None = None, step: int | None = None, *, hint: str = "") -> Failed:
    """Return the failure of a job that ran too long, with its step, if it has many, and what to do about it."""
    text = f"timed out after {seconds:g} s" + (f"\n{hint}" if hint else "")
    if end is None:
        return Failed(Problem("timeout", text), float(seconds))
    return Failed(Problem("timeout", text, exit_code=end.code, memory=end.memory, step=step), float(seconds))


def last_lines(content: bytes) -> str:
    """Return the end of a log, printable, for a message; empty if there is nothing."""
    text = content[-2_000:].decode("utf-8", "replace").strip()
    return "\n".join(printable(line) for line in text.splitlines()[-10:])


def end_of_log(path: Path, start: int = 0) -> str:
    """Return the last lines of a file after its first `start` bytes; empty if it cannot be read."""
    try:
        with open(path, "rb") as file:
            file.seek(max(start, os.path.getsize(path) - _TAIL))
            return last_lines(file.read())
    except OSError:
        return ""  # removed meanwhile: the rest of the message is known


def _leave_out_own_frames(story: traceback.TracebackException) -> None:
    """Cut our frames out of a traceback and its causes. One that has no others is our own fault and stays."""
    left, seen = [story], {id(story)}
    while left:
        part = left.pop()
        foreign = [frame for frame in part.stack if not frame.filename.startswith(_OWN)]
        if foreign:
            part.stack[:] = foreign
        for other in [part.__cause__, part.__context__, *(getattr(part, "exceptions", None) or ())]:
            if other is not None and id(other) not in seen:
                seen.add(id(other))
                left.append(other)
