"""Problems, and the exceptions that they stand for."""
from __future__ import annotations

import pickle
import threading
from pathlib import Path
from typing import Any

import pytest
from jobs import boom, call, run_python

from taskproc.errors import PrefixError, RemoteError, UnstorableResult, WorkerDied
from taskproc.kernel.model import Problem
from taskproc.run import problem as module
from taskproc.run.group import Exit
from taskproc.run.pool import LocalExecutor
from taskproc.run.problem import death_text, end_of_log, exit_text, last_lines, problem_of, rebuild


class Plain(Exception):
    pass


class Silent(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError(("a", 1)), Plain(), Plain("a", 2), SystemExit(3), OSError(2, "no")]
)
def test_an_exception_comes_back_as_itself(error: BaseException) -> None:
    """Class, arguments and text of an exception survive the pickle."""
    problem = pickle.loads(pickle.dumps(problem_of(error)))

    again = rebuild(problem)

    assert (type(error), error.args, str(error)) == (type(again), again.args, str(again))


def test_bytes_that_cannot_be_read_have_a_stand_in() -> None:
    """If its module cannot be imported here, the exception is replaced, but its text stays."""
    again = rebuild(Problem("exception", "E: words", error=b"\x80\x05cno_such_module\nE\n."))

    assert (RemoteError, "E: words") == (type(again), str(again))


def test_in_one_process_the_exception_itself_is_kept() -> None:
    """Within one process the exception itself is kept, not a pickle."""
    error = Plain(threading.Lock())

    assert rebuild(problem_of(error, pickled=False)) is error


@pytest.mark.parametrize(
    ("kind", "expected"), [("died", WorkerDied), ("prefix", PrefixError), ("result", UnstorableResult)]
)
def test_other_kinds_are_errors_of_ours(kind: str, expected: type[Exception]) -> None:
    """Each kind of problem has its class; an exception behind it is the cause."""
    again = rebuild(Problem(kind, "words", error=ValueError("behind")))

    assert (expected, "words", "behind") == (type(again), str(again), str(again.__cause__))


def test_an_error_of_ours_is_not_wrapped_again() -> None:
    """An error of ours, such as one of the store, comes back unwrapped."""
    error = UnstorableResult("words")

    assert rebuild(Problem("result", "UnstorableResult: words", error=error)) is error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("one\ntwo"), "ValueError: one …"),
        (ValueError(), "ValueError"),
        (ValueError("\x1b[31mred\x00 \ud800"), "ValueError: \\x1b[31mred\\x00 \\ud800"),
        (Silent(), "Silent: <its __str__ raised ValueError>"),
    ],
)
def test_the_text_is_one_harmless_line(error: Exception, text: str) -> None:
    """The text is one line that cannot control a terminal and can be encoded."""
    assert text == problem_of(error).text
    assert problem_of(error).traceback.encode()


def traceback_of(function: Any, *arguments: Any) -> str:
    """The traceback of an error raised through frames of the package."""
    error = LocalExecutor().submit(function, *arguments).exception()
    assert error is not None
    return problem_of(error).traceback


def chained() -> None:
    try:
        boom("inner")
    except KeyError as error:
        raise ValueError("outer") from error


def test_the_traceback_is_the_users_own() -> None:
    """The traceback has causes, but no frames of the package."""
    text = traceback_of(chained)

    assert str(Path(module.__file__).parent) not in text
    assert "in boom" in text
    assert "in chained" in text
    assert "KeyError: 'inner'" in text
    assert text.endswith("ValueError: outer\n")


def test_a_traceback_of_nothing_but_ours_stays() -> None:
    """A traceback with frames of the package only is not hidden."""
    assert "pool.py" in traceback_of(call)


def test_a_huge_traceback_is_cut_in_its_middle() -> None:
    """Both ends of a huge traceback stay."""
    text = problem_of(ValueError("a" + "x" * 500_000 + "z")).traceback

    assert len(text) < 110_000
    assert text.startswith("ValueError: a")
    assert text.endswith("z\n")


SCRIPT = """
import pickle
from pathlib import Path
from taskproc.run.problem import problem_of, rebuild
class Mine(Exception): pass
if __name__ == '__main__':
    Path('main').write_bytes(pickle.dumps(problem_of(Mine('x'))))
    for path in sorted(path for path in (Path('main'), Path('other')) if path.exists()):
        print(path, type(rebuild(pickle.loads(path.read_bytes()))) is Mine)
"""
OTHER = """
import pickle, script
from pathlib import Path
from taskproc.run.problem import problem_of, rebuild
assert type(rebuild(pickle.loads(Path('main').read_bytes()))) is script.Mine
Path('other').write_bytes(pickle.dumps(problem_of(script.Mine('x'))))
"""


def test_a_class_of_main_is_known_again(tmp_path: Path) -> None:
    """A class raised as `__main__.Mine` here and `script.Mine` there is one class to `except`."""
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "other.py").write_text(OTHER)
    run_python("script.py", cwd=tmp_path)
    run_python("other.py", cwd=tmp_path)

    seen = run_python("script.py", cwd=tmp_path)

    assert "main True\nother True\n" == seen.stdout, seen.stderr


@pytest.mark.parametrize(
    ("code", "text"),
    [(3, "exited with code 3"), (-9, "was killed by signal 9 (SIGKILL)"), (-99, "was killed by signal 99")],
)
def test_an_exit_code_in_words(code: int, text: str) -> None:
    """A signal is named if it has a name, and a death is called one."""
    assert text == exit_text(code)
    assert death_text(Exit(code)).startswith(text)


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (Exit(-9), "was killed by signal 9 (SIGKILL)"),
        (Exit(-9, 1_234_000_000), "was killed by signal 9 (SIGKILL), peak memory 1.2 GB"),
        (Exit(-9, 87_600_000, above=False), "was killed by signal 9 (SIGKILL), peak memory at most 88 MB"),
        (Exit(-9, 999_600_000), "was killed by signal 9 (SIGKILL), peak memory 1.0 GB"),
    ],
)
def test_a_death_tells_the_peak_memory(end: Exit, text: str) -> None:
    """A death reports the peak memory, if it is known, and says if it is only a bound."""
    assert text == death_text(end)


def test_last_lines_are_few_and_harmless() -> None:
    """The end of a log is short and cannot control a terminal."""
    numbers = [str(number) for number in range(12)]

    assert [*numbers[3:], "\\x1b[2J"] == last_lines("\n".join([*numbers, "\x1b[2J\n"]).encode()).split("\n")
    assert "" == last_lines(b"\n")


def test_the_end_of_a_log_is_that_of_the_attempt(tmp_path: Path) -> None:
    """Earlier content of a log is not shown; a removed log gives nothing."""
    log = tmp_path / "stderr.txt"
    log.write_text("before\nof this\n")

    assert ["before\nof this", "of this", "", ""] == [
        end_of_log(log), end_of_log(log, 7), end_of_log(log, 15), end_of_log(tmp_path / "none")
    ]
