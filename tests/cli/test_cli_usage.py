"""Laws of how a command ends: every exception has its message and its exit code."""
from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from taskproc.cli.usage import UsageError, UserError, failures_text, guarded, say, tell
from taskproc.errors import CacheError, CycleError, FailedTaskError, MissingResult, OptionError, TaskFailure
from taskproc.store.cache import current_cache


def raising(error: BaseException) -> Callable[[], int]:
    def call() -> int:
        raise error

    return call


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (UsageError("what?"), 2, "error: what?\n\nhint: ask\n"),
        (OptionError("limit"), 2, "error: limit\n"),
        (CycleError("A -> A"), 2, "error: A -> A\n"),
        (CacheError("a file"), 2, "error: a file\n"),
        (MissingResult("gone"), 1, "error: gone\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (SystemExit(), 0, ""),
        (SystemExit(5), 5, ""),
        (SystemExit("enough"), 1, "enough\n"),
    ],
    ids=repr,
)
def test_each_end_has_its_code(
    error: BaseException, code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 done, 1 failed, 2 wrong usage, 130 interrupted; messages go to standard error."""
    assert code == guarded(raising(error), "ask")

    assert ("", text) == capsys.readouterr()


def test_what_is_returned_is_the_code() -> None:
    """Without an exception, the returned number is the exit code."""
    assert 3 == guarded(lambda: 3)


def test_notes_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Notes on an exception, such as the task that was being built, are shown below its message."""
    error = CycleError("A -> A")
    setattr(error, "__notes__", ["while building A()"])  # noqa: B010  # Python 3.10 knows no add_note

    guarded(raising(error))

    assert "error: A -> A\n  while building A()\n" == capsys.readouterr().err


def test_a_bug_is_not_hidden() -> None:
    """An unexpected exception keeps its traceback."""
    with pytest.raises(AssertionError):
        guarded(raising(AssertionError("[this is a bug]")))


def test_the_users_traceback_has_no_frames_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    """A traceback of the user's code has no frames of taskproc, nor have its causes."""
    try:
        try:
            current_cache("a test")
        except RuntimeError as inner:
            raise ValueError("outer") from inner
    except ValueError as error:
        wrapped = UserError()
        wrapped.__cause__ = error

    assert 1 == guarded(raising(wrapped))

    text = capsys.readouterr().err
    assert "ValueError: outer" in text
    assert "NoCacheError: a test outside a cache" in text
    assert "test_cli_usage.py" in text
    assert f"taskproc{os.sep}store" not in text


def test_a_traceback_that_leads_to_itself_ends(capsys: pytest.CaptureFixture[str]) -> None:
    """Exceptions that are the context of each other are shown and do not loop."""
    first, second = ValueError("first"), ValueError("second")
    first.__context__, second.__context__ = second, first
    wrapped = UserError()
    wrapped.__cause__ = first

    assert 1 == guarded(raising(wrapped))

    assert "ValueError: first" in capsys.readouterr().err


def test_a_closed_stdout_is_no_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A closed stdout gives no traceback, neither now nor when Python flushes at its end."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)

        def call() -> int:
            print("x" * 100_000)
            return 0

        assert 0 == guarded(call)

        pipe.flush()
    assert "" == capsys.readouterr().err


def test_a_closed_stderr_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message to a closed stderr raises nothing."""

    class Deaf(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Deaf())

    say("hello")


def failure(number: int, log: str = "", traceback: str = "") -> TaskFailure:
    return TaskFailure(
        f"A({number})", "m.A", number, ValueError("boom"), traceback, stderr=Path.cwd() / "cache" / "log.txt", log=log
    )


def test_a_failure_is_told_with_its_log() -> None:
    """A failure is shown with its error, the end of its log, and the path of the log from here."""
    text = failures_text(FailedTaskError([failure(1, log="a\nb", traceback="Traceback")]))

    assert [
        "task A(1) failed: ValueError: boom",
        "  last lines of its log:",
        "  | a",
        "  | b",
        f"  log: {Path('cache', 'log.txt')}",
    ] == text.splitlines()


def test_a_failure_without_a_log_is_told_with_its_traceback() -> None:
    """A failure in this process has no log and is shown with its traceback."""
    assert "  | Traceback" in failures_text(FailedTaskError([failure(1, traceback="Traceback\n")])).splitlines()


def test_many_failures_are_counted() -> None:
    """Some failures are shown, all are counted."""
    lines = failures_text(FailedTaskError([failure(number) for number in range(1000)])).splitlines()

    assert "1,000 tasks failed" == lines[0]
    assert "… and 980 more" == lines[-1]
    assert 20 == sum("ValueError: boom" in line for line in lines)


def test_what_is_said_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    """Names and messages cannot break lines or control the terminal."""
    say("a\x1b[2J\nb")
    tell("c\u202e\nd")

    assert ("c\\u202e\nd\n", "a\\x1b[2J\nb\n") == capsys.readouterr()
